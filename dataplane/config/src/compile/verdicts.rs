//! What active health checks have found out.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::scope::Fingerprint;
use crate::health::Verdict;
use crate::snapshot::Health;

/// The newest verdict on each host that is checked.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    known: HashMap<Arc<str>, Cluster>,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Cluster {
    hosts: HashMap<SocketAddr, Health>,
    /// Different for each change of any verdict.
    epoch: u64,
}

impl Verdicts {
    /// Takes a verdict. Says whether it differs from the one before, or is the first.
    pub(crate) fn take(&mut self, verdict: &Verdict) -> bool {
        let cluster = self.known.entry(Arc::clone(&verdict.cluster)).or_default();
        let before = cluster.hosts.insert(verdict.host, verdict.health);
        if before == Some(verdict.health) {
            return false;
        }
        self.epoch += 1;
        cluster.epoch = self.epoch;
        true
    }

    /// What is known of a host.
    pub(crate) fn of(&self, cluster: &str, host: SocketAddr) -> Option<Health> {
        self.known.get(cluster)?.hosts.get(&host).copied()
    }

    /// Changes with each change of a verdict on the cluster's hosts.
    pub(crate) fn print(&self, cluster: &str) -> Fingerprint {
        self.known.get(cluster).map_or(0, |cluster| Fingerprint::from(cluster.epoch) << 64)
    }

    /// Forgets hosts that nobody checks any more.
    pub(crate) fn retain(&mut self, checked: &HashSet<(Arc<str>, SocketAddr)>) {
        self.known.retain(|name, cluster| {
            cluster.hosts.retain(|host, _| checked.contains(&(Arc::clone(name), *host)));
            !cluster.hosts.is_empty()
        });
    }
}

/// A host is what the worse of its configuration and its checks says. One that has not been checked
/// yet is not healthy.
pub(crate) fn combined(configured: Health, checked: Option<Health>) -> Health {
    match (configured, checked.unwrap_or(Health::Unhealthy)) {
        (Health::Unhealthy, _) | (_, Health::Unhealthy) => Health::Unhealthy,
        (Health::Degraded, _) | (_, Health::Degraded) => Health::Degraded,
        (Health::Healthy, Health::Healthy) => Health::Healthy,
    }
}
