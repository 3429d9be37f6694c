//! What a route does.

use api::envoy::core::header_value_option::HeaderAppendAction;
use api::envoy::core::{DataSource, HeaderValue, HeaderValueOption, data_source::Specifier};
use api::envoy::route::retry_policy::{RetryHostPredicate, retry_host_predicate::ConfigType};
use api::envoy::route::route::Action;
use api::envoy::route::route_action::ClusterSpecifier;
use api::envoy::route::weighted_cluster::ClusterWeight;
use api::envoy::route::{DirectResponseAction, RetryPolicy, RouteAction, WeightedCluster};
use api::names::ClusterName;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use model::kinds::networking::{Destination, HeaderOperations, HttpRoute, Retries, VirtualService};
use model::{Config, Model, resolve_host};

use crate::balance;
use crate::parts::{any, number, seconds, span};

/// What is tried again where nothing is said, and how often.
const DEFAULT_RETRY_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const DEFAULT_RETRIES: u32 = 2;
/// A host that has just failed is passed over so often.
const OTHER_HOST_ATTEMPTS_MAX: i64 = 5;
const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";
/// Towards the own application: only what it cannot have seen.
const INBOUND_RETRY_ON: &str = "reset-before-request";

/// To one cluster, for as long as it takes.
// Istio limits gRPC's own time-outs by this deprecated field.
#[allow(deprecated)]
pub(super) fn to_cluster(cluster: &str) -> RouteAction {
    RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        timeout: Some(seconds(0)),
        max_grpc_timeout: Some(seconds(0)),
        ..RouteAction::default()
    }
}

/// What a route of a `VirtualService` asks for, reached over `port`.
#[allow(deprecated)]
pub(super) fn of(
    model: &Model,
    viewer: &str,
    config: &Config<VirtualService>,
    http: &HttpRoute,
    port: u16,
) -> Action {
    if let Some(direct) = &http.direct_response {
        let mut response = status(direct.status);
        let body = direct.body.as_ref().and_then(|body| body.string.clone());
        response.body = body.map(|text| DataSource {
            specifier: Some(Specifier::InlineString(text)),
            ..DataSource::default()
        });
        return Action::DirectResponse(response);
    }
    let retry_policy = match &http.retries {
        None => Some(default_retry()),
        Some(retries) => retry(retries),
    };
    let timeout = http.timeout.map_or_else(|| seconds(0), span);
    let hashes = http.route.iter().filter_map(|route| {
        let to = &route.destination;
        let host = resolve_host(&model.mesh, &to.host, &config.namespace);
        balance::hash_of(model, viewer, &host, &to.subset)
    });
    let mut action = RouteAction {
        cluster_specifier: Some(specifier(model, config, http, port)),
        timeout: Some(timeout),
        max_grpc_timeout: Some(timeout),
        hash_policy: hashes.collect(),
        retry_policy,
        ..RouteAction::default()
    };
    keep_to_the_hash(&mut action);
    Action::Route(action)
}

/// A request that is hashed goes to its host, also when it is sent again.
pub(super) fn keep_to_the_hash(action: &mut RouteAction) {
    if let (false, Some(retry)) = (action.hash_policy.is_empty(), &mut action.retry_policy) {
        retry.retry_host_predicate.clear();
    }
}

fn specifier(
    model: &Model,
    config: &Config<VirtualService>,
    http: &HttpRoute,
    port: u16,
) -> ClusterSpecifier {
    let name = |to| cluster(model, &config.namespace, to, port);
    match http.route.as_slice() {
        [single] => ClusterSpecifier::Cluster(name(&single.destination)),
        several => {
            let weighty = several.iter().filter(|route| route.weight > 0);
            let clusters = weighty.map(|route| ClusterWeight {
                name: name(&route.destination),
                weight: number(route.weight),
                ..ClusterWeight::default()
            });
            ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: clusters.collect(),
                ..WeightedCluster::default()
            })
        }
    }
}

/// The port that the destination names; else the only one that the service has; else the one that
/// the request came over.
fn cluster(model: &Model, namespace: &str, to: &Destination, port: u16) -> String {
    let host = resolve_host(&model.mesh, &to.host, namespace);
    let only = model.services.get(&host).and_then(|service| match service.ports.as_slice() {
        [single] => Some(single.number),
        _ => None,
    });
    let named = to.port.as_ref().map(|port| port.number);
    let port = named.or(only).unwrap_or(port);
    ClusterName::outbound(port, &to.subset, &host).to_string()
}

/// An answer without asking anybody.
pub(super) fn status(status: u32) -> DirectResponseAction {
    DirectResponseAction { status, ..DirectResponseAction::default() }
}

pub(super) fn default_retry() -> RetryPolicy {
    RetryPolicy {
        retry_on: DEFAULT_RETRY_ON.to_owned(),
        num_retries: number(DEFAULT_RETRIES),
        retry_host_predicate: vec![RetryHostPredicate {
            name: PREVIOUS_HOSTS.to_owned(),
            config_type: Some(ConfigType::TypedConfig(any(&PreviousHostsPredicate {}))),
        }],
        host_selection_retry_max_attempts: OTHER_HOST_ATTEMPTS_MAX,
        ..RetryPolicy::default()
    }
}

pub(super) fn inbound_retry() -> RetryPolicy {
    RetryPolicy {
        retry_on: INBOUND_RETRY_ON.to_owned(),
        num_retries: number(DEFAULT_RETRIES),
        ..RetryPolicy::default()
    }
}

/// `attempts: 0` turns retries off. Numbers in `retryOn` are statuses.
fn retry(retries: &Retries) -> Option<RetryPolicy> {
    if retries.attempts == 0 {
        return None;
    }
    let mut policy = default_retry();
    policy.num_retries = number(retries.attempts);
    policy.per_try_timeout = retries.per_try_timeout.map(span);
    let asked = retries.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut words: Vec<&str> = Vec::new();
    for word in asked {
        match word.parse() {
            Ok(status) => policy.retriable_status_codes.push(status),
            Err(_) => words.push(word),
        }
    }
    if !policy.retriable_status_codes.is_empty() && !words.contains(&"retriable-status-codes") {
        words.push("retriable-status-codes");
    }
    if !words.is_empty() {
        policy.retry_on = words.join(",");
    }
    Some(policy)
}

/// `set` replaces, `add` adds; each sorted by name.
pub(super) fn header_values(changes: &HeaderOperations) -> Vec<HeaderValueOption> {
    let option = |(key, value): (&String, &String), action: HeaderAppendAction| HeaderValueOption {
        header: Some(HeaderValue {
            key: key.clone(),
            value: value.clone(),
            ..HeaderValue::default()
        }),
        append_action: action as i32,
        ..HeaderValueOption::default()
    };
    let set = changes.set.iter();
    let set = set.map(|entry| option(entry, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = changes.add.iter();
    let add = add.map(|entry| option(entry, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add).collect()
}
