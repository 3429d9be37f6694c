//! The HTTP filters of a connection manager, with `router` at the end.

mod buffer;
mod check;
mod compressor;
mod cors;
mod fault;
mod limit;
mod mutation;
mod overrides;

use std::sync::Arc;

use api::envoy::Any;
use api::envoy::buffer::Buffer;
use api::envoy::compressor::Compressor;
use api::envoy::core::RuntimeFractionalPercent;
use api::envoy::cors::Cors;
use api::envoy::fault::HttpFault;
use api::envoy::grpc_stats;
use api::envoy::grpc_web::GrpcWeb;
use api::envoy::hcm::{HttpFilter, http_filter::ConfigType};
use api::envoy::header_mutation::HeaderMutation;
use api::envoy::health_check::HealthCheck;
use api::envoy::http_rbac::Rbac;
use api::envoy::local_ratelimit::LocalRateLimit;
use api::envoy::router::Router;
use api::envoy::types::FractionalPercent;
use api::envoy::types::fractional_percent::DenominatorType;
use api::typed_struct::{UdpaTypedStruct, XdsTypedStruct};
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::scope::Scope;
use super::{rbac, value};
use crate::limits::MAX_FILTERS;
use crate::snapshot::{self, FilterKind, HeaderMutationFilter, HttpFilters, Share};

pub(crate) use limit::{bucket, rate_limits};
pub(crate) use mutation::list as mutations;
pub(crate) use overrides::compile as overrides;

pub(crate) struct Filters {
    pub(crate) filters: HttpFilters,
    pub(crate) suppress_envoy_headers: bool,
}

enum Compiled {
    Filter(snapshot::HttpFilter),
    Router { suppress_envoy_headers: bool },
    Skipped,
}

pub(crate) fn compile(
    at: &At<'_>,
    list: &[HttpFilter],
    scope: &mut Scope<'_>,
) -> Result<Filters, Fault> {
    at.at_most(MAX_FILTERS, list.len())?;
    let mut filters = Vec::new();
    let mut router = None;
    for (index, filter) in list.iter().enumerate() {
        let at = at.item(index);
        if router.is_some() {
            return Err(at.invalid("the router has to be the last filter"));
        }
        match one(&at, filter, scope)? {
            Compiled::Filter(filter) => filters.push(filter),
            Compiled::Router { suppress_envoy_headers } => router = Some(suppress_envoy_headers),
            Compiled::Skipped => {}
        }
    }
    match router {
        Some(suppress_envoy_headers) => {
            Ok(Filters { filters: filters.into(), suppress_envoy_headers })
        }
        None => Err(at.missing("the last filter has to be envoy.filters.http.router")),
    }
}

fn one(at: &At<'_>, filter: &HttpFilter, scope: &mut Scope<'_>) -> Result<Compiled, Fault> {
    decide!(at, filter => HttpFilter {
        used: name, is_optional, config_type, disabled;
    });
    let any = match config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(at.field("config_discovery").unsupported("this field is not supported"));
        }
        None => return Err(at.field("typed_config").missing(format!("the filter `{name}`"))),
    };
    if type_name(any) == Router::full_name() {
        let place = at.field("disabled");
        return match disabled {
            true => Err(place.invalid("the router ends the chain and cannot be off")),
            false => router(&at.field("typed_config"), &typed(&at.field("typed_config"), any)?),
        };
    }
    let at = at.field("typed_config");
    if type_name(any) == grpc_stats::FilterConfig::full_name() {
        return Ok(statistics(&typed(&at, any)?));
    }
    match kind(&at, name, any, scope)? {
        Some(kind) => {
            let name = name.as_str().into();
            Ok(Compiled::Filter(snapshot::HttpFilter { name, is_off: *disabled, kind }))
        }
        // As in Envoy: whoever wrote it says that the chain is right without it.
        None if *is_optional => Ok(Compiled::Skipped),
        None => {
            let kind = type_name(any);
            Err(at.unsupported(format!("the HTTP filter `{name}` ({kind}) is not supported")))
        }
    }
}

/// `envoy.filters.http.grpc_stats` changes nothing about a call: it counts.
fn statistics(filter: &grpc_stats::FilterConfig) -> Compiled {
    decide!(_, filter => grpc_stats::FilterConfig {
        without_effect: emit_filter_state, enable_upstream_stats,
            replace_dots_in_grpc_service_name, per_method_stat_specifier;
    });
    Compiled::Skipped
}

/// What the filter does; `None`: there is no such filter here.
fn kind(
    at: &At<'_>,
    name: &str,
    any: &Any,
    scope: &mut Scope<'_>,
) -> Result<Option<FilterKind>, Fault> {
    let kind = type_name(any);
    Ok(Some(if kind == Rbac::full_name() {
        FilterKind::Rbac(Arc::new(rbac::http(at, name, &typed::<Rbac>(at, any)?)?))
    } else if kind == HttpFault::full_name() {
        FilterKind::Fault(Arc::new(fault::compile(at, &typed(at, any)?)?))
    } else if kind == Cors::full_name() {
        let Cors {} = typed(at, any)?;
        FilterKind::Cors
    } else if kind == LocalRateLimit::full_name() {
        let limit = limit::compile(at, &typed(at, any)?, false)?;
        FilterKind::LocalRateLimit(Arc::new(limit))
    } else if kind == HealthCheck::full_name() {
        FilterKind::HealthCheck(Arc::new(check::compile(at, &typed(at, any)?, scope)?))
    } else if kind == Buffer::full_name() {
        FilterKind::Buffer(buffer::compile(at, &typed(at, any)?)?)
    } else if kind == Compressor::full_name() {
        FilterKind::Compressor(Arc::new(compressor::compile(at, &typed(at, any)?)?))
    } else if kind == GrpcWeb::full_name() {
        let GrpcWeb {} = typed(at, any)?;
        FilterKind::GrpcWeb
    } else if kind == HeaderMutation::full_name() {
        let HeaderMutation { mutations, most_specific_header_mutations_wins } = typed(at, any)?;
        FilterKind::HeaderMutation(Arc::new(HeaderMutationFilter {
            mutations: mutation::compile(at, mutations.as_ref())?,
            most_specific_wins: most_specific_header_mutations_wins,
        }))
    } else {
        return Ok(None);
    }))
}

/// A share of the requests; absent: none.
pub(crate) fn share(at: &At<'_>, given: Option<&FractionalPercent>) -> Result<Share, Fault> {
    let Some(given) = given else { return Ok(Share::NONE) };
    let FractionalPercent { numerator, denominator } = given;
    let of = match value::enumeration(&at.field("denominator"), *denominator)? {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    Ok(Share { some: *numerator, of })
}

/// The same where a runtime might say otherwise, which there is not.
pub(crate) fn runtime_share(at: &At<'_>, given: &RuntimeFractionalPercent) -> Result<Share, Fault> {
    let RuntimeFractionalPercent { default_value, runtime_key: _ } = given;
    share(&at.field("default_value"), default_value.as_ref())
}

fn router(at: &At<'_>, router: &Router) -> Result<Compiled, Fault> {
    decide!(at, router => Router {
        used: suppress_envoy_headers;
        refused: upstream_log, strict_check_headers, respect_expected_rq_timeout,
            upstream_http_filters;
        refused_if_true: reject_connect_request_early_data;
        without_effect: dynamic_stats, start_child_span, upstream_log_options,
            suppress_grpc_request_failure_code_stats;
    });
    Ok(Compiled::Router { suppress_envoy_headers: *suppress_envoy_headers })
}

/// The full name of what an `Any` holds; of a `TypedStruct`, what that stands for.
pub(crate) fn type_name(any: &Any) -> String {
    let inner = api::unpack::<UdpaTypedStruct>(any)
        .map(|inner| inner.type_url)
        .or_else(|_| api::unpack::<XdsTypedStruct>(any).map(|inner| inner.type_url));
    match inner {
        Ok(inner) => format!("TypedStruct of {}", api::any::full_name(&inner)),
        Err(_) => api::any::full_name(&any.type_url).to_owned(),
    }
}
