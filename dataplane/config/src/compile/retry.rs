//! `RetryPolicy`.

use api::envoy::protobuf::Duration;
use api::envoy::route::{HeaderMatcher, RetryPolicy, retry_policy};

use super::at::{At, Fault, decide};
use super::{matcher, value};
use crate::limits::MAX_RETRIABLE;
use crate::snapshot::{BackOff, HeaderMatch, Retry};

/// A retry policy. One that asks for nothing still says how long an attempt may take.
pub(crate) fn compile(at: &At<'_>, policy: &RetryPolicy) -> Result<Retry, Fault> {
    decide!(at, policy => RetryPolicy {
        used: retry_on, num_retries, per_try_timeout, retry_host_predicate,
            retriable_status_codes, retry_back_off, retriable_headers, retriable_request_headers;
        refused: per_try_idle_timeout, retry_priority, retry_options_predicates,
            rate_limited_retry_back_off, refresh_cluster_on_retry;
        without_effect: host_selection_retry_max_attempts;
    });
    let place = at.field("retry_host_predicate");
    for (index, predicate) in retry_host_predicate.iter().enumerate() {
        other_host(&place.item(index), predicate)?;
    }
    let mut retry = Retry {
        retries: value::u32_or(num_retries, 1),
        per_try_timeout: value::timeout(&at.field("per_try_timeout"), per_try_timeout, None)?,
        back_off: match retry_back_off {
            Some(given) => back_off(&at.field("retry_back_off"), given)?,
            None => BackOff::default(),
        },
        statuses: statuses(&at.field("retriable_status_codes"), retriable_status_codes)?,
        headers: headers(&at.field("retriable_headers"), retriable_headers)?,
        requests: headers(&at.field("retriable_request_headers"), retriable_request_headers)?,
        ..Retry::default()
    };
    let conditions = retry_on.split(',').map(str::trim).filter(|text| !text.is_empty());
    for condition in conditions {
        if !retry.add(condition) && !retry.add_grpc(condition) {
            let at = at.field("retry_on");
            return Err(at.unsupported(format!("the condition `{condition}` is not supported")));
        }
    }
    Ok(retry)
}

fn statuses(at: &At<'_>, given: &[u32]) -> Result<Vec<u16>, Fault> {
    at.at_most(MAX_RETRIABLE, given.len())?;
    let each = given.iter().enumerate().map(|(index, status)| {
        let known = u16::try_from(*status).ok().filter(|status| (100..600).contains(status));
        known.ok_or_else(|| at.item(index).invalid(format!("{status} is no status of a response")))
    });
    each.collect()
}

fn headers(at: &At<'_>, given: &[HeaderMatcher]) -> Result<Vec<HeaderMatch>, Fault> {
    at.at_most(MAX_RETRIABLE, given.len())?;
    let each = given.iter().enumerate();
    each.map(|(index, one)| matcher::header(&at.item(index), one)).collect()
}

/// The intervals between attempts, cut to whole milliseconds before they are compared, as in Envoy.
fn back_off(at: &At<'_>, given: &retry_policy::RetryBackOff) -> Result<BackOff, Fault> {
    decide!(at, given => retry_policy::RetryBackOff {
        used: base_interval, max_interval;
    });
    let base = at.field("base_interval");
    let base_ms = interval_ms(&base, base_interval)?;
    let base_ms = base_ms.ok_or_else(|| base.missing("it has to be given"))?;
    let at = at.field("max_interval");
    match interval_ms(&at, max_interval)? {
        None => Ok(BackOff::from_base_ms(base_ms)),
        Some(max_ms) if max_ms < base_ms => {
            Err(at.invalid(format!("{max_ms} ms are less than base_interval, {base_ms} ms")))
        }
        Some(max_ms) => Ok(BackOff { base_ms, max_ms }),
    }
}

fn interval_ms(at: &At<'_>, given: &Option<Duration>) -> Result<Option<u64>, Fault> {
    match value::duration(at, given)? {
        None => Ok(None),
        Some(interval) if interval.is_zero() => Err(at.invalid("it has to be more than 0")),
        // A protobuf duration has at most 64 bits of seconds; longer than for ever is for ever.
        Some(interval) => Ok(Some(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1))),
    }
}

/// `previous_hosts` is a preference among hosts; the balancer's next choice is good enough for now.
fn other_host(at: &At<'_>, predicate: &retry_policy::RetryHostPredicate) -> Result<(), Fault> {
    decide!(_, predicate => retry_policy::RetryHostPredicate {
        used: name;
        without_effect: config_type;
    });
    match name.as_str() {
        "envoy.retry_host_predicates.previous_hosts" => Ok(()),
        other => Err(at.unsupported(format!("the predicate `{other}` is not supported"))),
    }
}

#[cfg(test)]
mod tests;
