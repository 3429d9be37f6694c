//! `envoy.filters.http.cors`: all that it does a level of a route asks it to do.

use api::envoy::cors::CorsPolicy;

use super::runtime_share;
use crate::compile::at::{At, Fault, decide};
use crate::compile::{headers, matcher};
use crate::snapshot;

pub(super) fn policy(at: &At<'_>, policy: &CorsPolicy) -> Result<snapshot::CorsPolicy, Fault> {
    decide!(at, policy => CorsPolicy {
        used: allow_origin_string_match, allow_methods, allow_headers, expose_headers, max_age,
            allow_credentials, filter_enabled, allow_private_network_access,
            forward_not_matching_preflights;
        // What is shadowed is only counted.
        without_effect: shadow_enabled;
    });
    let place = at.field("allow_origin_string_match");
    let origins = allow_origin_string_match.iter().enumerate();
    let origins = origins.map(|(index, origin)| matcher::string(&place.item(index), origin));
    let text = |name: &str, text: &String| match text.as_bytes() {
        b"" => Ok(None),
        bytes => headers::value(&at.field(name), bytes).map(Some),
    };
    let place = at.field("filter_enabled");
    let enabled = filter_enabled.as_ref().map(|given| runtime_share(&place, given)).transpose()?;
    Ok(snapshot::CorsPolicy {
        origins: origins.collect::<Result<_, _>>()?,
        methods: text("allow_methods", allow_methods)?,
        headers: text("allow_headers", allow_headers)?,
        expose: text("expose_headers", expose_headers)?,
        max_age: text("max_age", max_age)?,
        credentials: allow_credentials.as_ref().map(|given| given.value),
        enabled,
        private_network: allow_private_network_access.as_ref().map(|given| given.value),
        forwards_others: forward_not_matching_preflights.as_ref().map(|given| given.value),
    })
}
