//! `envoy.filters.http.health_check`, compiled.

use std::sync::Arc;

use super::{ClusterId, HeaderMatch};

/// `HealthCheck`.
#[derive(Debug)]
pub struct HealthCheckFilter {
    /// The upstream answers, while this process is well (`pass_through_mode`).
    pub passes_through: bool,
    /// What tells a health check from other requests: all of these.
    pub headers: Vec<HeaderMatch>,
    /// Clusters that have to be well, ordered by name.
    pub clusters: Vec<CheckedCluster>,
    /// What the answer calls the service (`node.cluster`).
    pub service_cluster: Arc<str>,
}

/// A cluster of which a share has to be well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCluster {
    /// Its name.
    pub name: Arc<str>,
    /// Where to find it.
    pub cluster: ClusterId,
    /// So many percent of its hosts.
    pub min_percent: u64,
}
