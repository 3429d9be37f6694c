//! `typed_per_filter_config`: what a level of the routes says of filters by their names.

use std::collections::HashMap;
use std::sync::Arc;

use api::envoy::Any;
use api::envoy::buffer::BufferPerRoute;
use api::envoy::compressor::CompressorPerRoute;
use api::envoy::cors::CorsPolicy;
use api::envoy::fault::HttpFault;
use api::envoy::header_mutation::HeaderMutationPerRoute;
use api::envoy::http_rbac::RbacPerRoute;
use api::envoy::local_ratelimit::LocalRateLimit;
use api::envoy::route::FilterConfig;
use prost::Name;

use super::{buffer, compressor, cors, fault, limit, mutation, type_name};
use crate::compile::at::{At, Fault, decide, typed};
use crate::compile::rbac;
use crate::limits::MAX_FILTERS;
use crate::snapshot::{HttpRbac, Override, OverrideKind, Overrides};

/// What this level says. As in Envoy the type tells what it is, and the name only whom it is for:
/// nobody of that name need be there.
pub(crate) fn compile(at: &At<'_>, said: &HashMap<String, Any>) -> Result<Overrides, Fault> {
    let at = at.field("typed_per_filter_config");
    at.at_most(MAX_FILTERS, said.len())?;
    let mut sorted: Vec<_> = said.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let each = sorted.into_iter().map(|(name, any)| {
        let said = match any.type_url.is_empty() {
            false => one(&at.key(name), name, any)?,
            true => return Err(at.key(name).missing("`@type` has to be given")),
        };
        Ok((Arc::from(name.as_str()), said))
    });
    each.collect()
}

fn one(at: &At<'_>, name: &str, any: &Any) -> Result<Override, Fault> {
    if type_name(any) != FilterConfig::full_name() {
        return match kind(at, name, any)? {
            Some(kind) => Ok(Override::With(kind)),
            None => Err(unknown(at, name, any)),
        };
    }
    let wrapper: FilterConfig = typed(at, any)?;
    decide!(at, &wrapper => FilterConfig {
        used: config, is_optional, disabled;
    });
    if *disabled {
        return Ok(Override::Off);
    }
    let at = at.field("config");
    let Some(any) = config else {
        return Err(at.missing("`config` or `disabled` has to be given"));
    };
    if any.type_url.is_empty() {
        return Ok(Override::On);
    }
    match kind(&at, name, any)? {
        Some(kind) => Ok(Override::With(kind)),
        // As in Envoy: it is on, for what it is.
        None if *is_optional => Ok(Override::On),
        None => Err(unknown(&at, name, any)),
    }
}

/// `None`: there is no such filter here, or a route has nothing to say to it.
fn kind(at: &At<'_>, name: &str, any: &Any) -> Result<Option<OverrideKind>, Fault> {
    let kind = type_name(any);
    Ok(Some(if kind == RbacPerRoute::full_name() {
        let RbacPerRoute { rbac } = typed(at, any)?;
        let at = at.field("rbac");
        let rules = match &rbac {
            Some(rbac) => rbac::http(&at, name, rbac)?,
            None => HttpRbac { name: name.into(), rules: None },
        };
        OverrideKind::Rbac(Arc::new(rules))
    } else if kind == HttpFault::full_name() {
        OverrideKind::Fault(Arc::new(fault::compile(at, &typed(at, any)?)?))
    } else if kind == BufferPerRoute::full_name() {
        OverrideKind::Buffer(buffer::of_route(at, &typed(at, any)?)?)
    } else if kind == CompressorPerRoute::full_name() {
        OverrideKind::Compressor(compressor::of_route(at, &typed(at, any)?)?)
    } else if kind == CorsPolicy::full_name() {
        OverrideKind::Cors(Arc::new(cors::policy(at, &typed(at, any)?)?))
    } else if kind == LocalRateLimit::full_name() {
        let limit = limit::compile(at, &typed(at, any)?, true)?;
        OverrideKind::LocalRateLimit(Arc::new(limit))
    } else if kind == HeaderMutationPerRoute::full_name() {
        let HeaderMutationPerRoute { mutations } = typed(at, any)?;
        OverrideKind::HeaderMutation(Arc::new(mutation::compile(at, mutations.as_ref())?))
    } else {
        return Ok(None);
    }))
}

fn unknown(at: &At<'_>, name: &str, any: &Any) -> Fault {
    let kind = type_name(any);
    at.unsupported(format!("`{kind}` is nothing that a route can say to the filter `{name}`"))
}
