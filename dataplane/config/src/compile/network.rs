//! Network filters that count connections: `connection_limit` and `local_ratelimit`.

use std::sync::Arc;

use api::envoy::core::RuntimeFeatureFlag;
use api::envoy::cx_limit::ConnectionLimit;
use api::envoy::network_limit::LocalRateLimit;

use super::at::{At, Fault, decide};
use super::{http_filter, value};
use crate::snapshot::{self, Gate};

/// A connection that is too many is closed within a day.
const DELAY_MAX_S: u64 = 24 * 60 * 60;

/// `None`: it is off.
pub(crate) fn connections(at: &At<'_>, limit: &ConnectionLimit) -> Result<Option<Gate>, Fault> {
    decide!(at, limit => ConnectionLimit {
        used: max_connections, delay, runtime_enabled;
        without_effect: stat_prefix;
    });
    let place = at.field("max_connections");
    let most = max_connections.as_ref().ok_or_else(|| place.missing("it has to be given"))?.value;
    if most == 0 {
        return Err(place.invalid("at least 1"));
    }
    let place = at.field("delay");
    let delay = value::timeout(&place, delay, None)?;
    if delay.is_some_and(|delay| delay.as_secs() > DELAY_MAX_S) {
        return Err(place.invalid("a day at most"));
    }
    let open = Arc::default();
    let gate = Gate::Limit(Arc::new(snapshot::ConnectionLimit { most, delay, open }));
    Ok(Some(gate).filter(|_| is_on(runtime_enabled.as_ref())))
}

/// `None`: it is off.
pub(crate) fn rate(at: &At<'_>, limit: &LocalRateLimit) -> Result<Option<Gate>, Fault> {
    decide!(at, limit => LocalRateLimit {
        used: token_bucket, runtime_enabled;
        refused: share_key;
        without_effect: stat_prefix;
    });
    let place = at.field("token_bucket");
    let given = token_bucket.as_ref().ok_or_else(|| place.missing("it has to be given"))?;
    let gate = Gate::Rate(Arc::new(http_filter::bucket(&place, given)?));
    Ok(Some(gate).filter(|_| is_on(runtime_enabled.as_ref())))
}

/// As it is by default: there is no runtime that could say otherwise.
pub(crate) fn is_on(flag: Option<&RuntimeFeatureFlag>) -> bool {
    let Some(RuntimeFeatureFlag { default_value, runtime_key: _ }) = flag else { return true };
    value::bool_or(default_value, true)
}
