//! `envoy.filters.network.tcp_proxy`.

use std::time::Duration;

use api::envoy::tcp_proxy::{TcpProxy, tcp_proxy};

use super::at::{At, Fault, decide};
use super::scope::Scope;
use super::{access_log, hash, value};
use crate::limits::MAX_WEIGHTED;
use crate::snapshot::{self, Weighted};

/// Envoy's default idle time-out.
const IDLE: Duration = Duration::from_secs(3600);

pub(crate) fn compile(
    at: &At<'_>,
    proxy: &TcpProxy,
    scope: &mut Scope<'_>,
) -> Result<snapshot::TcpProxy, Fault> {
    decide!(at, proxy => TcpProxy {
        used: stat_prefix, idle_timeout, hash_policy, max_connect_attempts, cluster_specifier,
            access_log;
        refused: on_demand, metadata_match, downstream_idle_timeout, upstream_idle_timeout,
            backoff_options, tunneling_config, max_early_data_bytes,
            max_downstream_connection_duration, proxy_protocol_tlvs, upstream_connect_mode,
            access_log_flush_interval, flush_access_log_on_connected, access_log_options;
        without_effect: max_downstream_connection_duration_jitter_percentage,
            proxy_protocol_tlv_merge_policy, check_drain_close;
    });
    let clusters = clusters(at, cluster_specifier, scope)?;
    let attempts = value::u32_or(max_connect_attempts, 1);
    if attempts == 0 {
        return Err(at.field("max_connect_attempts").invalid("at least 1"));
    }
    Ok(snapshot::TcpProxy {
        stat_prefix: stat_prefix.as_str().into(),
        total_weight: total(at, &clusters)?,
        clusters,
        idle_timeout: value::timeout(&at.field("idle_timeout"), idle_timeout, Some(IDLE))?,
        max_connect_attempts: attempts,
        hash_source: hash::tcp(&at.field("hash_policy"), hash_policy)?,
        access_log: access_log::list(&at.field("access_log"), access_log, scope)?,
    })
}

fn clusters(
    at: &At<'_>,
    specifier: &Option<tcp_proxy::ClusterSpecifier>,
    scope: &mut Scope<'_>,
) -> Result<Vec<Weighted>, Fault> {
    match specifier {
        Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => {
            let (name, cluster) = scope.names.id(&at.field("cluster"), name)?;
            Ok(vec![Weighted::plain(name, cluster, 1)])
        }
        Some(tcp_proxy::ClusterSpecifier::WeightedClusters(list)) => {
            let at = at.field("weighted_clusters");
            let at = at.field("clusters");
            at.at_most(MAX_WEIGHTED, list.clusters.len())?;
            let each = list.clusters.iter().enumerate();
            each.map(|(index, one)| weighted(&at.item(index), one, scope)).collect()
        }
        None => Err(at.missing("`cluster` or `weighted_clusters` has to be given")),
    }
}

fn weighted(
    at: &At<'_>,
    one: &tcp_proxy::weighted_cluster::ClusterWeight,
    scope: &mut Scope<'_>,
) -> Result<Weighted, Fault> {
    decide!(at, one => tcp_proxy::weighted_cluster::ClusterWeight {
        used: name, weight;
        refused: metadata_match;
    });
    if *weight == 0 {
        return Err(at.field("weight").invalid("at least 1"));
    }
    let (name, cluster) = scope.names.id(&at.field("name"), name)?;
    Ok(Weighted::plain(name, cluster, *weight))
}

/// The sum of the weights, which has to be at least 1 and fit 32 bits.
pub(crate) fn total(at: &At<'_>, clusters: &[Weighted]) -> Result<u32, Fault> {
    let sum = clusters.iter().try_fold(0_u32, |sum, one| sum.checked_add(one.weight));
    match sum {
        Some(0) => Err(at.invalid("the weights have to add up to at least 1")),
        Some(sum) => Ok(sum),
        None => Err(at.invalid("the weights add up to more than 4294967295")),
    }
}
