//! `envoy.filters.http.health_check`: which requests are health checks, and how they are answered.

use config::snapshot::{ClusterId, HealthCheckFilter};
use wire::head::Head;

use super::Answer;
use crate::matcher;
use crate::reply::{Filtered, Reason};

/// The hosts of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// All of them.
    pub all: u64,
    /// Of these, those that may be chosen.
    pub usable: u64,
}

/// The request is a health check.
pub fn concerns(check: &HealthCheckFilter, head: &Head) -> bool {
    check.headers.iter().all(|header| matcher::header(header, head))
}

/// How a health check is answered here. `members`: of a cluster; `None`: it is not there.
pub fn judge(
    check: &HealthCheckFilter,
    is_ending: bool,
    members: impl Fn(ClusterId) -> Option<Members>,
) -> Answer<'static> {
    let all_well = match check.clusters.is_empty() {
        true => Filtered::Well,
        false => Filtered::ClustersWell,
    };
    let mut failures = check.clusters.iter().filter_map(|asked| {
        let Some(members) = members(asked.cluster) else {
            return Some(Filtered::NoCluster);
        };
        if members.all == 0 {
            return (asked.min_percent > 0).then_some(Filtered::ClusterEmpty);
        }
        let wanted = members.all.saturating_mul(asked.min_percent);
        let is_well = members.usable.saturating_mul(100) >= wanted;
        (!is_well).then_some(Filtered::ClusterUnwell)
    });
    Answer::of(Reason::Filtered(match is_ending {
        true => Filtered::Ending,
        false => failures.next().unwrap_or(all_well),
    }))
}

/// Tells whoever asked which service it was.
pub fn tell(check: &HealthCheckFilter, head: &mut Head) {
    head.set(b"x-envoy-upstream-healthchecked-cluster", check.service_cluster.as_bytes());
}
