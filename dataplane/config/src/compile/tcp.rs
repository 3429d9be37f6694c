//! `envoy.filters.network.tcp_proxy`.

use std::time::Duration;

use api::envoy::tcp_proxy::{TcpProxy, tcp_proxy};

use super::at::{At, Fault, decide};
use super::scope::Scope;
use super::{access_log, format, hash, labels, value};
use crate::limits::MAX_WEIGHTED;
use crate::snapshot::{self, Format, Weighted};

/// Envoy's default idle time-out.
const IDLE: Duration = Duration::from_secs(3600);

pub(crate) fn compile(
    at: &At<'_>,
    proxy: &TcpProxy,
    scope: &mut Scope<'_>,
) -> Result<snapshot::TcpProxy, Fault> {
    decide!(at, proxy => TcpProxy {
        used: stat_prefix, idle_timeout, hash_policy, max_connect_attempts, cluster_specifier,
            access_log, metadata_match, max_downstream_connection_duration,
            max_downstream_connection_duration_jitter_percentage, tunneling_config;
        refused: on_demand, downstream_idle_timeout, upstream_idle_timeout,
            backoff_options, max_early_data_bytes, proxy_protocol_tlvs, upstream_connect_mode,
            access_log_flush_interval, flush_access_log_on_connected, access_log_options;
        without_effect: proxy_protocol_tlv_merge_policy, check_drain_close;
    });
    let mut clusters = clusters(at, cluster_specifier, scope)?;
    labels::add(metadata_match.as_ref(), &mut clusters);
    let attempts = value::u32_or(max_connect_attempts, 1);
    if attempts == 0 {
        return Err(at.field("max_connect_attempts").invalid("at least 1"));
    }
    let place = at.field("max_downstream_connection_duration_jitter_percentage");
    let jitter = max_downstream_connection_duration_jitter_percentage.as_ref();
    let jitter_percent = jitter.map_or(0.0, |percent| percent.value);
    if !(0.0..=100.0).contains(&jitter_percent) {
        return Err(place.invalid("from 0 to 100"));
    }
    let place = at.field("max_downstream_connection_duration");
    Ok(snapshot::TcpProxy {
        stat_prefix: stat_prefix.as_str().into(),
        total_weight: total(at, &clusters)?,
        clusters,
        idle_timeout: value::timeout(&at.field("idle_timeout"), idle_timeout, Some(IDLE))?,
        tunnel: tunnel(&at.field("tunneling_config"), tunneling_config.as_ref())?,
        max_duration: value::duration(&place, max_downstream_connection_duration)?,
        jitter_percent,
        max_connect_attempts: attempts,
        hash_source: hash::tcp(&at.field("hash_policy"), hash_policy)?,
        access_log: access_log::list(&at.field("access_log"), access_log, scope)?,
    })
}

fn tunnel(
    at: &At<'_>,
    given: Option<&tcp_proxy::TunnelingConfig>,
) -> Result<Option<Format>, Fault> {
    let Some(given) = given else { return Ok(None) };
    decide!(at, given => tcp_proxy::TunnelingConfig {
        used: hostname;
        refused: use_post, headers_to_add, propagate_response_headers, post_path,
            propagate_response_trailers, request_id_extension, request_id_header,
            request_id_metadata_key, formatters;
    });
    let at = at.field("hostname");
    if hostname.is_empty() {
        return Err(at.missing("it has to be given"));
    }
    format::format(&at, hostname).map(Some)
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
        used: name, weight, metadata_match;
    });
    if *weight == 0 {
        return Err(at.field("weight").invalid("at least 1"));
    }
    let (name, cluster) = scope.names.id(&at.field("name"), name)?;
    let subset = labels::of_metadata(metadata_match.as_ref());
    Ok(Weighted { subset, ..Weighted::plain(name, cluster, *weight) })
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
