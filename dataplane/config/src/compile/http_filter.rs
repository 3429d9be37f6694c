//! The HTTP filters of a connection manager: `rbac`, and `router` at the end.

use std::sync::Arc;

use api::envoy::Any;
use api::envoy::hcm::{HttpFilter, http_filter::ConfigType};
use api::envoy::http_rbac::Rbac;
use api::envoy::router::Router;
use api::typed_struct::{UdpaTypedStruct, XdsTypedStruct};
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::rbac;
use crate::limits::MAX_FILTERS;
use crate::snapshot;

pub(crate) struct Filters {
    pub(crate) filters: Vec<snapshot::HttpFilter>,
    pub(crate) suppress_envoy_headers: bool,
}

enum Compiled {
    Filter(snapshot::HttpFilter),
    Router { suppress_envoy_headers: bool },
    Skipped,
}

pub(crate) fn compile(at: &At<'_>, list: &[HttpFilter]) -> Result<Filters, Fault> {
    at.at_most(MAX_FILTERS, list.len())?;
    let mut filters = Vec::new();
    let mut router = None;
    for (index, filter) in list.iter().enumerate() {
        let at = at.item(index);
        if router.is_some() {
            return Err(at.invalid("the router has to be the last filter"));
        }
        match one(&at, filter)? {
            Compiled::Filter(filter) => filters.push(filter),
            Compiled::Router { suppress_envoy_headers } => router = Some(suppress_envoy_headers),
            Compiled::Skipped => {}
        }
    }
    match router {
        Some(suppress_envoy_headers) => Ok(Filters { filters, suppress_envoy_headers }),
        None => Err(at.missing("the last filter has to be envoy.filters.http.router")),
    }
}

fn one(at: &At<'_>, filter: &HttpFilter) -> Result<Compiled, Fault> {
    decide!(at, filter => HttpFilter {
        used: name, is_optional, config_type;
        refused: disabled;
    });
    let any = match config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(at.field("config_discovery").unsupported("this field is not supported"));
        }
        None => return Err(at.field("typed_config").missing(format!("the filter `{name}`"))),
    };
    let at = at.field("typed_config");
    let kind = type_name(any);
    if kind == Rbac::full_name() {
        let rules = rbac::http(&at, name, &typed::<Rbac>(&at, any)?)?;
        return Ok(Compiled::Filter(snapshot::HttpFilter::Rbac(Arc::new(rules))));
    }
    if kind == Router::full_name() {
        return router(&at, &typed(&at, any)?);
    }
    match is_optional {
        // As in Envoy: whoever wrote it says that the chain is right without it.
        true => Ok(Compiled::Skipped),
        false => Err(at.unsupported(format!("the HTTP filter `{name}` ({kind}) is not supported"))),
    }
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
