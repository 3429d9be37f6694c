//! `/clusters`: what is in force, in Envoy's lines.

use std::fmt::Write;

use config::snapshot::{Cluster, Discovery, Health, Snapshot};

/// One block a cluster, in the order of their names.
pub fn clusters_text(snapshot: &Snapshot) -> String {
    let mut clusters: Vec<&Cluster> = snapshot.clusters.iter().flatten().map(|c| &**c).collect();
    clusters.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut text = String::new();
    for cluster in clusters {
        // Writing to a String cannot fail.
        let _ = block(cluster, &mut text);
    }
    text
}

fn block(cluster: &Cluster, text: &mut String) -> std::fmt::Result {
    let name = &cluster.name;
    let kind = match cluster.discovery {
        Discovery::Static => "static",
        Discovery::Eds => "eds",
        Discovery::OriginalDst => "original_dst",
        Discovery::StrictDns => "strict_dns",
        Discovery::LogicalDns => "logical_dns",
    };
    writeln!(text, "{name}::discovery::{kind}")?;
    for host in &cluster.endpoints.hosts {
        let address = host.address;
        let health = match host.health {
            Health::Healthy => "healthy",
            Health::Degraded => "/degraded_eds_health",
            Health::Unhealthy => "/failed_eds_health",
        };
        writeln!(text, "{name}::{address}::health_flags::{health}")?;
        writeln!(text, "{name}::{address}::weight::{}", host.weight)?;
    }
    Ok(())
}
