//! What a proxy is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::Workload;

/// Everything about a proxy that its resources depend on. Two proxies with equal keys get equal
/// resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What kind of proxy it is.
    pub kind: ProxyKind,
    /// The workload's namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses, sorted.
    pub addresses: Vec<IpAddr>,
}

/// The kinds of proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyKind {
    /// Beside one workload.
    #[default]
    Sidecar,
}

impl Key {
    /// The sidecar of a workload.
    pub fn of(workload: &Workload) -> Self {
        let mut addresses = workload.addresses.clone();
        addresses.sort_unstable();
        Self {
            kind: ProxyKind::Sidecar,
            namespace: workload.identity.namespace.clone(),
            service_account: workload.identity.service_account.clone(),
            labels: workload.labels.clone(),
            addresses,
        }
    }
}
