//! `envoy.filters.http.health_check`.

use api::envoy::health_check;

use crate::compile::at::{At, Fault, decide};
use crate::compile::matcher;
use crate::compile::scope::Scope;
use crate::limits::MAX_CHECKED_CLUSTERS;
use crate::snapshot::{CheckedCluster, HealthCheckFilter};

pub(super) fn compile(
    at: &At<'_>,
    check: &health_check::HealthCheck,
    scope: &mut Scope<'_>,
) -> Result<HealthCheckFilter, Fault> {
    decide!(at, check => health_check::HealthCheck {
        used: pass_through_mode, cluster_min_healthy_percentages, headers;
        refused: cache_time;
    });
    let place = at.field("pass_through_mode");
    let passes = pass_through_mode.as_ref().ok_or_else(|| place.missing("it has to be given"))?;
    let place = at.field("headers");
    let headers = headers.iter().enumerate();
    let headers = headers.map(|(index, header)| matcher::header(&place.item(index), header));
    let place = at.field("cluster_min_healthy_percentages");
    place.at_most(MAX_CHECKED_CLUSTERS, cluster_min_healthy_percentages.len())?;
    let mut clusters = Vec::new();
    for (name, percent) in cluster_min_healthy_percentages {
        let at = place.key(name);
        if !(0.0..=100.0).contains(&percent.value) {
            return Err(at.invalid("between 0 and 100"));
        }
        let (name, cluster) = scope.names.id(&at, name)?;
        // Whole ones, as in Envoy.
        clusters.push(CheckedCluster { name, cluster, min_percent: percent.value as u64 });
    }
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(HealthCheckFilter {
        passes_through: passes.value,
        headers: headers.collect::<Result<_, _>>()?,
        clusters,
        service_cluster: scope.service_cluster.clone(),
    })
}
