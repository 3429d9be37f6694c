//! `/clusters`: what is in force, in Envoy's lines.

use std::fmt::Write;

use config::snapshot::{Cluster, Discovery, Endpoint, Health, Snapshot};

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
        writeln!(text, "{name}::{address}::health_flags::{}", flags(host))?;
        writeln!(text, "{name}::{address}::weight::{}", host.weight)?;
    }
    Ok(())
}

/// Envoy's words, in its order.
fn flags(host: &Endpoint) -> String {
    let flag = |is_set: bool, name| if is_set { name } else { "" };
    let flags = [
        flag(host.checked == Some(Health::Unhealthy), "/failed_active_hc"),
        flag(host.configured == Health::Unhealthy, "/failed_eds_health"),
        flag(host.checked == Some(Health::Degraded), "/degraded_active_hc"),
        flag(host.configured == Health::Degraded, "/degraded_eds_health"),
    ];
    let flags = flags.concat();
    if flags.is_empty() { "healthy".to_owned() } else { flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_checks_and_discovery_say_is_told_apart() {
        use Health::{Degraded, Healthy, Unhealthy};
        for (configured, checked, expected) in [
            (Healthy, None, "healthy"),
            (Healthy, Some(Healthy), "healthy"),
            (Healthy, Some(Unhealthy), "/failed_active_hc"),
            (Unhealthy, None, "/failed_eds_health"),
            (Unhealthy, Some(Unhealthy), "/failed_active_hc/failed_eds_health"),
            (Degraded, Some(Unhealthy), "/failed_active_hc/degraded_eds_health"),
            (Degraded, Some(Degraded), "/degraded_active_hc/degraded_eds_health"),
        ] {
            let address = ([10, 0, 0, 1], 80).into();
            assert_eq!(
                flags(&Endpoint { configured, checked, ..Endpoint::new(address) }),
                expected
            );
        }
    }
}
