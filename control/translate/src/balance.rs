//! What a `DestinationRule` says of load balancing and of hosts that fail.

use api::envoy::cluster::cluster::{
    CommonLbConfig, LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig,
    RoundRobinLbConfig, SlowStartConfig,
};
use api::envoy::cluster::{Cluster, OutlierDetection};
use api::envoy::core::RuntimeDouble;
use api::envoy::protobuf::{UInt32Value, UInt64Value};
use api::envoy::route::route_action::HashPolicy;
use api::envoy::route::route_action::hash_policy::{
    ConnectionProperties, Cookie, Header, PolicySpecifier, QueryParameter,
};
use model::Model;
use model::kinds::networking::{self, ConsistentHash, LoadBalancer, SimpleLb, Warmup};

use crate::cluster::Settings;
use crate::parts::{number, percent, span};

/// Istio's, where a rule says nothing of the ring.
const RING_MIN: u64 = 1024;
const WARMUP_PERCENT: f64 = 10.0;

/// Fills in how hosts are chosen.
pub(crate) fn apply(settings: &Settings<'_>, cluster: &mut Cluster) {
    let balancer = settings.first(|policy| policy.load_balancer.as_ref());
    let slow = balancer.and_then(|lb| lb.warmup.as_deref()).map(slow_start_of);
    let (policy, config) = match balancer {
        Some(LoadBalancer { consistent_hash: Some(hash), .. }) => hashing(hash),
        Some(LoadBalancer { simple: SimpleLb::Random, .. }) => (LbPolicy::Random, None),
        Some(LoadBalancer { simple: SimpleLb::RoundRobin, .. }) => {
            let config = slow.map(|slow| RoundRobinLbConfig { slow_start_config: Some(slow) });
            (LbPolicy::RoundRobin, config.map(LbConfig::RoundRobinLbConfig))
        }
        _ => {
            let config = slow.map(|slow| LeastRequestLbConfig {
                slow_start_config: Some(slow),
                ..LeastRequestLbConfig::default()
            });
            (LbPolicy::LeastRequest, config.map(LbConfig::LeastRequestLbConfig))
        }
    };
    (cluster.lb_policy, cluster.lb_config) = (policy as i32, config);
    if let Some(rule) = settings.first(|policy| policy.outlier_detection.as_deref()) {
        cluster.outlier_detection = Some(detection(rule));
        // With few pods Envoy's threshold of 50 % would soon let those in that were just ejected.
        cluster.common_lb_config = Some(CommonLbConfig {
            healthy_panic_threshold: Some(percent(rule.min_health_percent.into())),
            ..CommonLbConfig::default()
        });
    }
}

fn hashing(hash: &ConsistentHash) -> (LbPolicy, Option<LbConfig>) {
    let size = |value: u64| (value > 0).then_some(UInt64Value { value });
    if let Some(maglev) = &hash.maglev {
        let config = size(maglev.table_size).map(|size| MaglevLbConfig { table_size: Some(size) });
        return (LbPolicy::Maglev, config.map(LbConfig::MaglevLbConfig));
    }
    let min = match &hash.ring_hash {
        Some(ring) => ring.minimum_ring_size,
        None => hash.minimum_ring_size,
    };
    let config = RingHashLbConfig {
        minimum_ring_size: size(if min > 0 { min } else { RING_MIN }),
        ..RingHashLbConfig::default()
    };
    (LbPolicy::RingHash, Some(LbConfig::RingHashLbConfig(config)))
}

fn slow_start_of(warmup: &Warmup) -> SlowStartConfig {
    SlowStartConfig {
        slow_start_window: warmup.duration.map(span),
        aggression: warmup
            .aggression
            .map(|default_value| RuntimeDouble { default_value, runtime_key: String::new() }),
        min_weight_percent: Some(percent(warmup.minimum_percent.unwrap_or(WARMUP_PERCENT))),
    }
}

/// Rates are not compared; what a rule does not set is Envoy's default.
fn detection(rule: &networking::OutlierDetection) -> OutlierDetection {
    let enforced = |count: Option<u32>| {
        count.map(|count| UInt32Value { value: if count > 0 { 100 } else { 0 } })
    };
    let count = |count: Option<u32>| count.map(|value| UInt32Value { value });
    let split = rule.split_external_local_origin_errors;
    let local = rule.consecutive_local_origin_failures.filter(|count| split && *count > 0);
    OutlierDetection {
        enforcing_success_rate: number(0),
        consecutive_5xx: count(rule.consecutive_5xx_errors),
        enforcing_consecutive_5xx: enforced(rule.consecutive_5xx_errors),
        consecutive_gateway_failure: count(rule.consecutive_gateway_errors),
        enforcing_consecutive_gateway_failure: enforced(rule.consecutive_gateway_errors),
        interval: rule.interval.map(span),
        base_ejection_time: rule.base_ejection_time.map(span),
        max_ejection_percent: count(Some(rule.max_ejection_percent).filter(|most| *most > 0)),
        split_external_local_origin_errors: split,
        consecutive_local_origin_failure: count(local),
        enforcing_consecutive_local_origin_failure: enforced(local),
        enforcing_local_origin_success_rate: if split { number(0) } else { None },
        ..OutlierDetection::default()
    }
}

/// What of a request is hashed for a service, or a subset of it, as a namespace sees it.
pub(crate) fn hash_of(model: &Model, viewer: &str, host: &str, subset: &str) -> Option<HashPolicy> {
    hash_policy(rule(model, viewer, host, subset)?)
}

/// The client's address says which host its raw connections go to.
pub(crate) fn is_by_source(model: &Model, viewer: &str, host: &str) -> bool {
    rule(model, viewer, host, "").is_some_and(|hash| hash.use_source_ip == Some(true))
}

fn rule<'m>(
    model: &'m Model,
    viewer: &str,
    host: &str,
    subset: &str,
) -> Option<&'m ConsistentHash> {
    let service = model.services.get(host)?;
    let destinations = model.destinations(service, viewer);
    let own = destinations.subsets.iter().find(|own| own.name == subset);
    let own = own.and_then(|own| own.traffic_policy.as_ref());
    let settings = Settings::merge(destinations.policy, own);
    settings.first(|policy| policy.load_balancer.as_ref())?.consistent_hash.as_deref()
}

fn hash_policy(hash: &ConsistentHash) -> Option<HashPolicy> {
    let specifier = if let Some(name) = &hash.http_header_name {
        PolicySpecifier::Header(Header { header_name: name.clone(), regex_rewrite: None })
    } else if let Some(cookie) = &hash.http_cookie {
        PolicySpecifier::Cookie(Cookie {
            name: cookie.name.clone(),
            ttl: cookie.ttl.map(span),
            path: cookie.path.clone(),
            attributes: Vec::new(),
        })
    } else if let Some(name) = &hash.http_query_parameter_name {
        PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
    } else if hash.use_source_ip == Some(true) {
        PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
    } else {
        return None;
    };
    Some(HashPolicy { terminal: false, policy_specifier: Some(specifier) })
}
