//! One route: what it asks of a request and what it does with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::envoy::Any;
use api::envoy::core::RoutingPriority;
use api::envoy::route::route_action::upgrade_config::ConnectConfig;
use api::envoy::route::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier, MaxStreamDuration, UpgradeConfig,
};
use api::envoy::route::weighted_cluster::ClusterWeight;
use api::envoy::route::{
    DirectResponseAction, Route, RouteAction, RouteMatch, WeightedCluster, route, route_match,
};

use super::at::{At, Fault, decide};
use super::headers::{self, Lists};
use super::scope::Scope;
use super::{hash, http_filter, matcher, retry, rewrite, tcp, value};
use crate::limits::MAX_WEIGHTED;
use crate::snapshot::{self, Forward, Overrides, PathMatch, Retry, Weighted};

/// Envoy's default time-out for a response.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a route has from the levels above it.
#[derive(Clone)]
pub(crate) struct Defaults {
    /// The longest body of a direct response, in bytes.
    pub(crate) max_body: u32,
    /// The clusters that are named have to exist.
    pub(crate) must_exist: bool,
    /// The virtual host's retry policy.
    pub(crate) retry: Option<Retry>,
}

pub(crate) fn route(
    at: &At<'_>,
    route: &Route,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<snapshot::Route, Fault> {
    decide!(at, route => Route {
        used: name, r#match, request_headers_to_add, request_headers_to_remove,
            response_headers_to_add, response_headers_to_remove, action, typed_per_filter_config;
        refused: tracing, route_specifiers;
        without_effect: metadata, decorator, stat_prefix, per_request_buffer_limit_bytes,
            request_body_buffer_limit;
    });
    let place = at.field("match");
    let Some(r#match) = r#match else { return Err(place.missing("it has to be given")) };
    let lists = Lists {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    Ok(snapshot::Route {
        name: name.as_str().into(),
        matches: matches(&place, r#match)?,
        action: route_action(at, action.as_ref(), defaults, scope)?,
        overrides: overrides(at, action.as_ref(), typed_per_filter_config)?,
        headers: headers::changes(at, &lists)?,
    })
}

/// What the route says of HTTP filters, and to those that limit rates.
#[allow(deprecated)] // there is no other field for it
fn overrides(
    at: &At<'_>,
    action: Option<&route::Action>,
    said: &HashMap<String, Any>,
) -> Result<Overrides, Fault> {
    let mut overrides = http_filter::overrides(at, said)?;
    let Some(route::Action::Route(action)) = action else { return Ok(overrides) };
    let at = at.field("route");
    let place = at.field("rate_limits");
    overrides.rate_limits = http_filter::rate_limits(&place, &action.rate_limits)?;
    overrides.includes_host_limits = value::bool_or(&action.include_vh_rate_limits, false);
    Ok(overrides)
}

fn matches(at: &At<'_>, given: &RouteMatch) -> Result<snapshot::RouteMatch, Fault> {
    decide!(at, given => RouteMatch {
        used: case_sensitive, headers, query_parameters, path_specifier;
        refused: runtime_fraction, cookies, grpc, tls_context, dynamic_metadata, filter_state;
    });
    let place = at.field("headers");
    let headers = headers.iter().enumerate();
    let headers = headers.map(|(index, header)| matcher::header(&place.item(index), header));
    let headers = headers.collect::<Result<_, _>>()?;
    let place = at.field("query_parameters");
    let query = query_parameters.iter().enumerate();
    let query = query.map(|(index, one)| matcher::query(&place.item(index), one));
    Ok(snapshot::RouteMatch {
        path: path(at, path_specifier.as_ref())?,
        case_sensitive: value::bool_or(case_sensitive, true),
        headers,
        query: query.collect::<Result<_, _>>()?,
    })
}

fn path(at: &At<'_>, given: Option<&route_match::PathSpecifier>) -> Result<PathMatch, Fault> {
    use route_match::PathSpecifier as Specifier;
    let bytes = |text: &String| text.as_bytes().into();
    match given {
        Some(Specifier::Prefix(prefix)) => Ok(PathMatch::Prefix(bytes(prefix))),
        Some(Specifier::Path(path)) => Ok(PathMatch::Exact(bytes(path))),
        Some(Specifier::SafeRegex(pattern)) => {
            Ok(PathMatch::Regex(matcher::regex(&at.field("safe_regex"), pattern)?))
        }
        Some(Specifier::PathSeparatedPrefix(prefix)) => {
            let good = prefix.starts_with('/') && !prefix.ends_with('/');
            if !good || prefix.contains(['?', '#']) {
                let at = at.field("path_separated_prefix");
                return Err(at.invalid("it begins with `/`, does not end in one, has no query"));
            }
            Ok(PathMatch::SeparatedPrefix(bytes(prefix)))
        }
        Some(Specifier::ConnectMatcher(_)) => Ok(PathMatch::Connect),
        Some(Specifier::PathMatchPolicy(_)) => {
            Err(at.field("path_match_policy").unsupported("path templates are not supported"))
        }
        None => Err(at.missing("`prefix`, `path`, `safe_regex` … has to be given")),
    }
}

fn route_action(
    at: &At<'_>,
    action: Option<&route::Action>,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<snapshot::RouteAction, Fault> {
    match action {
        Some(route::Action::Route(action)) => {
            let forward = forward(&at.field("route"), action, defaults, scope)?;
            Ok(snapshot::RouteAction::Forward(forward))
        }
        Some(route::Action::DirectResponse(action)) => {
            direct(&at.field("direct_response"), action, defaults)
        }
        Some(route::Action::Redirect(action)) => {
            let redirect = rewrite::redirect(&at.field("redirect"), action)?;
            Ok(snapshot::RouteAction::Redirect(Box::new(redirect)))
        }
        Some(route::Action::FilterAction(_)) => {
            Err(at.field("filter_action").unsupported("not supported"))
        }
        Some(route::Action::NonForwardingAction(_)) => {
            // Envoy forwards to a cluster without a name, which is never there.
            Ok(snapshot::RouteAction::Forward(Forward::nowhere()))
        }
        None => Err(at.missing("`route`, `redirect` or `direct_response` has to be given")),
    }
}

fn direct(
    at: &At<'_>,
    action: &DirectResponseAction,
    defaults: &Defaults,
) -> Result<snapshot::RouteAction, Fault> {
    decide!(at, action => DirectResponseAction {
        used: status, body;
        refused: body_format;
    });
    let code = u16::try_from(*status).ok().filter(|code| (200..600).contains(code));
    let status = code.ok_or_else(|| {
        at.field("status").invalid(format!("{status} is not between 200 and 599"))
    })?;
    let at = at.field("body");
    let body = body.as_ref().map(|body| value::data(&at, body)).transpose()?.unwrap_or_default();
    at.at_most(defaults.max_body as usize, body.len())?;
    Ok(snapshot::RouteAction::Direct { status, body: body.into() })
}

fn forward(
    at: &At<'_>,
    action: &RouteAction,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Forward, Fault> {
    decide!(at, action => RouteAction {
        used: cluster_not_found_response_code, timeout, idle_timeout, retry_policy, priority,
            upgrade_configs, max_stream_duration, cluster_specifier, hash_policy, prefix_rewrite,
            regex_rewrite, append_x_forwarded_host, host_rewrite_specifier;
        used_elsewhere: rate_limits, include_vh_rate_limits;
        refused: metadata_match, path_rewrite_policy, path_rewrite, flush_timeout,
            early_data_policy, cors, retry_policy_typed_config,
            request_mirror_policies, hedge_policy, internal_redirect_policy,
            internal_redirect_action;
        // gRPC time-outs matter to gRPC.
        without_effect: max_grpc_timeout, grpc_timeout_offset, max_internal_redirects;
    });
    stream_duration(&at.field("max_stream_duration"), max_stream_duration.as_ref())?;
    let class: RoutingPriority = value::enumeration(&at.field("priority"), *priority)?;
    if class != RoutingPriority::Default {
        return Err(at.field("priority").unsupported("only DEFAULT is supported"));
    }
    let place = at.field("retry_policy");
    let own = retry_policy.as_ref().map(|policy| retry::compile(&place, policy)).transpose()?;
    let clusters = clusters(at, cluster_specifier.as_ref(), defaults, scope)?;
    let code = at.field("cluster_not_found_response_code");
    let rewrites = rewrite::Given {
        prefix: prefix_rewrite,
        regex: regex_rewrite.as_ref(),
        host: host_rewrite_specifier.as_ref(),
        append_forwarded_host: *append_x_forwarded_host,
    };
    Ok(Forward {
        total_weight: tcp::total(at, &clusters)?,
        clusters,
        timeout: value::timeout(&at.field("timeout"), timeout, Some(TIMEOUT))?,
        idle_timeout: match idle_timeout {
            Some(_) => Some(value::timeout(&at.field("idle_timeout"), idle_timeout, None)?),
            None => None,
        },
        cluster_not_found: match value::enumeration(&code, *cluster_not_found_response_code)? {
            ClusterNotFoundResponseCode::ServiceUnavailable => 503,
            ClusterNotFoundResponseCode::NotFound => 404,
            ClusterNotFoundResponseCode::InternalServerError => 500,
        },
        retry: own.unwrap_or_else(|| defaults.retry.clone()),
        hash: hash::compile(&at.field("hash_policy"), hash_policy)?,
        upgrades: upgrades(&at.field("upgrade_configs"), upgrade_configs)?,
        rewrite: rewrite::compile(at, &rewrites)?.map(Box::new),
        terminates_connect: upgrade_configs.iter().any(|config| config.connect_config.is_some()),
    })
}

/// Only "no limit" is understood; the two gRPC fields matter to gRPC alone.
fn stream_duration(at: &At<'_>, given: Option<&MaxStreamDuration>) -> Result<(), Fault> {
    let Some(given) = given else { return Ok(()) };
    decide!(_, given => MaxStreamDuration {
        used: max_stream_duration;
        without_effect: grpc_timeout_header_max, grpc_timeout_header_offset;
    });
    let at = at.field("max_stream_duration");
    match value::timeout(&at, max_stream_duration, None)? {
        None => Ok(()),
        Some(_) => Err(at.unsupported("only 0s (no limit) is supported")),
    }
}

fn upgrades(at: &At<'_>, configs: &[UpgradeConfig]) -> Result<Vec<(Box<str>, bool)>, Fault> {
    let each = configs.iter().enumerate().map(|(index, config)| {
        let at = at.item(index);
        decide!(at, config => UpgradeConfig {
            used: upgrade_type, enabled, connect_config;
        });
        let name = upgrade_name(&at.field("upgrade_type"), upgrade_type)?;
        if let Some(config) = connect_config {
            let at = at.field("connect_config");
            if *name != *"connect" {
                return Err(at.invalid("only for `CONNECT`, as in Envoy"));
            }
            decide!(at, config => ConnectConfig {
                refused: proxy_protocol_config, allow_post;
            });
        }
        Ok((name, value::bool_or(enabled, true)))
    });
    each.collect()
}

/// An upgrade's name in lower case; the method CONNECT is one of them.
pub(crate) fn upgrade_name(at: &At<'_>, name: &str) -> Result<Box<str>, Fault> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "" => Err(at.missing("an upgrade has to be named")),
        "connect-udp" => Err(at.unsupported("datagrams are not proxied")),
        _ => Ok(lower.into()),
    }
}

fn clusters(
    at: &At<'_>,
    specifier: Option<&ClusterSpecifier>,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Vec<Weighted>, Fault> {
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            Ok(vec![named(&at.field("cluster"), name, 1, defaults, scope)?])
        }
        Some(ClusterSpecifier::WeightedClusters(list)) => {
            weighted(&at.field("weighted_clusters"), list, defaults, scope)
        }
        Some(ClusterSpecifier::ClusterHeader(_)) => {
            Err(at.field("cluster_header").unsupported("this field is not supported"))
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => {
            Err(at.field("cluster_specifier_plugin").unsupported("this field is not supported"))
        }
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => Err(at
            .field("inline_cluster_specifier_plugin")
            .unsupported("this field is not supported")),
        None => Err(at.missing("`cluster` or `weighted_clusters` has to be given")),
    }
}

fn weighted(
    at: &At<'_>,
    list: &WeightedCluster,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Vec<Weighted>, Fault> {
    decide!(at, list => WeightedCluster {
        // Envoy too goes by the sum of the weights; a runtime key without a runtime says nothing.
        used: clusters;
        refused: random_value_specifier;
        without_effect: total_weight, runtime_key_prefix;
    });
    let at = at.field("clusters");
    at.at_most(MAX_WEIGHTED, clusters.len())?;
    let each = clusters.iter().enumerate();
    each.map(|(index, one)| weight(&at.item(index), one, defaults, scope)).collect()
}

fn weight(
    at: &At<'_>,
    one: &ClusterWeight,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Weighted, Fault> {
    decide!(at, one => ClusterWeight {
        used: name, weight, typed_per_filter_config;
        refused: cluster_header, metadata_match, request_headers_to_add,
            request_headers_to_remove, response_headers_to_add, response_headers_to_remove,
            host_rewrite_specifier;
    });
    let overrides = http_filter::overrides(at, typed_per_filter_config)?;
    let one = named(&at.field("name"), name, value::u32_or(weight, 0), defaults, scope)?;
    Ok(Weighted { overrides, ..one })
}

fn named(
    at: &At<'_>,
    name: &str,
    weight: u32,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Weighted, Fault> {
    let (name, cluster) = scope.names.id(at, name)?;
    if defaults.must_exist {
        // The field is printed now, because the check comes when all clusters are known.
        scope.needs.clusters.push((at.missing("").field, Arc::clone(&name)));
    }
    Ok(Weighted { name, cluster, weight, overrides: Default::default() })
}
