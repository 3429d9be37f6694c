//! One route: what it asks of a request and what it does with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::envoy::Any;
use api::envoy::core::RoutingPriority;
use api::envoy::protobuf;
use api::envoy::route::route_action::upgrade_config::ConnectConfig;
use api::envoy::route::route_action::{
    ClusterNotFoundResponseCode, MaxStreamDuration, UpgradeConfig,
};
use api::envoy::route::{DirectResponseAction, Route, RouteAction, route};

use super::at::{At, Fault, decide};
use super::headers::{self, Lists};
use super::scope::Scope;
use super::{destination, hash, http_filter, labels, matches, mirror, retry, rewrite, tcp, value};
use crate::snapshot::{self, Forward, GrpcTimeout, Mirror, Overrides, Retry, StreamDuration};

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
    /// Who is sent copies.
    pub(crate) mirrors: Arc<[Mirror]>,
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
    let matches = matches::compile(&place, r#match)?;
    let overrides = overrides(at, action.as_ref(), typed_per_filter_config)?;
    let action = route_action(at, action.as_ref(), defaults, scope)?;
    let mut headers = headers::changes(at, &lists)?;
    if let snapshot::RouteAction::Forward(forward) = &action {
        let mut owns = forward.clusters.iter().filter_map(|cluster| cluster.own.as_ref());
        // What its clusters' changes want to know the route's do.
        headers.has_formats |= owns.any(|own| own.headers.has_formats);
    }
    Ok(snapshot::Route { name: name.as_str().into(), matches, action, overrides, headers })
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
            regex_rewrite, append_x_forwarded_host, host_rewrite_specifier, max_grpc_timeout,
            grpc_timeout_offset, request_mirror_policies, metadata_match;
        used_elsewhere: rate_limits, include_vh_rate_limits;
        refused: path_rewrite_policy, path_rewrite, flush_timeout,
            early_data_policy, cors, retry_policy_typed_config,
            hedge_policy, internal_redirect_policy, internal_redirect_action;
        without_effect: max_internal_redirects;
    });
    let place = at.field("max_stream_duration");
    let duration = max_stream_duration.as_ref();
    let duration = duration.map(|given| stream_duration(&place, given)).transpose()?;
    let class: RoutingPriority = value::enumeration(&at.field("priority"), *priority)?;
    if class != RoutingPriority::Default {
        return Err(at.field("priority").unsupported("only DEFAULT is supported"));
    }
    let place = at.field("retry_policy");
    let own = retry_policy.as_ref().map(|policy| retry::compile(&place, policy)).transpose()?;
    let mut to = destination::compile(at, cluster_specifier.as_ref(), defaults, scope)?;
    labels::add(metadata_match.as_ref(), &mut to.clusters);
    let code = at.field("cluster_not_found_response_code");
    let rewrites = rewrite::Given {
        prefix: prefix_rewrite,
        regex: regex_rewrite.as_ref(),
        host: host_rewrite_specifier.as_ref(),
        append_forwarded_host: *append_x_forwarded_host,
    };
    Ok(Forward {
        total_weight: tcp::total(at, &to.clusters)?,
        clusters: to.clusters,
        random_header: to.random_header,
        mirrors: {
            let place = at.field("request_mirror_policies");
            mirror::compile(&place, request_mirror_policies, defaults, scope)?
        },
        timeout: value::timeout(&at.field("timeout"), timeout, Some(TIMEOUT))?
            .filter(|_| duration.is_none()),
        grpc: grpc_timeout(at, max_grpc_timeout, grpc_timeout_offset)?
            .filter(|_| duration.is_none())
            .map(Box::new),
        duration: duration.map(Box::new),
        idle_timeout: match idle_timeout {
            Some(_) => Some(value::timeout(&at.field("idle_timeout"), idle_timeout, None)?),
            None => None,
        },
        cluster_not_found: match value::enumeration(&code, *cluster_not_found_response_code)? {
            ClusterNotFoundResponseCode::ServiceUnavailable => 503,
            ClusterNotFoundResponseCode::NotFound => 404,
            ClusterNotFoundResponseCode::InternalServerError => 500,
        },
        retry: own.or_else(|| defaults.retry.clone()),
        hash: hash::compile(&at.field("hash_policy"), hash_policy)?,
        upgrades: upgrades(&at.field("upgrade_configs"), upgrade_configs)?,
        rewrite: rewrite::compile(at, &rewrites)?.map(Box::new),
        terminates_connect: upgrade_configs.iter().any(|config| config.connect_config.is_some()),
    })
}

fn stream_duration(at: &At<'_>, given: &MaxStreamDuration) -> Result<StreamDuration, Fault> {
    decide!(_, given => MaxStreamDuration {
        used: max_stream_duration, grpc_timeout_header_max, grpc_timeout_header_offset;
    });
    let limit = |name: &'static str, given: &Option<protobuf::Duration>| match given {
        None => Ok(None),
        Some(_) => value::timeout(&at.field(name), given, None).map(Some),
    };
    let place = at.field("grpc_timeout_header_offset");
    Ok(StreamDuration {
        max: limit("max_stream_duration", max_stream_duration)?,
        grpc_max: limit("grpc_timeout_header_max", grpc_timeout_header_max)?,
        grpc_offset: value::duration(&place, grpc_timeout_header_offset)?.unwrap_or_default(),
    })
}

fn grpc_timeout(
    at: &At<'_>,
    max: &Option<protobuf::Duration>,
    offset: &Option<protobuf::Duration>,
) -> Result<Option<GrpcTimeout>, Fault> {
    let offset = value::duration(&at.field("grpc_timeout_offset"), offset)?.unwrap_or_default();
    if max.is_none() {
        return Ok(None);
    }
    let max = value::timeout(&at.field("max_grpc_timeout"), max, None)?;
    Ok(Some(GrpcTimeout { max, offset }))
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
