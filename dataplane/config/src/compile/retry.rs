//! `RetryPolicy`.

use api::envoy::protobuf::Duration;
use api::envoy::route::{RetryPolicy, retry_policy};

use super::at::{At, Fault, decide};
use super::value;
use crate::snapshot::{BackOff, Retry};

/// A retry policy; `None` if it asks for nothing.
pub(crate) fn compile(at: &At<'_>, policy: &RetryPolicy) -> Result<Option<Retry>, Fault> {
    decide!(at, policy => RetryPolicy {
        used: retry_on, num_retries, per_try_timeout, retry_host_predicate,
            retriable_status_codes, retry_back_off;
        refused: per_try_idle_timeout, retry_priority, retry_options_predicates,
            rate_limited_retry_back_off, retriable_headers, retriable_request_headers,
            refresh_cluster_on_retry;
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
        ..Retry::default()
    };
    let mut by_list = false;
    for condition in retry_on.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        match condition {
            "retriable-status-codes" => by_list = true,
            other => add(&at.field("retry_on"), other, &mut retry)?,
        }
    }
    let place = at.field("retriable_status_codes");
    for (index, status) in retriable_status_codes.iter().enumerate() {
        let known = u16::try_from(*status).ok().filter(|status| (100..600).contains(status));
        let status = known.ok_or_else(|| {
            place.item(index).invalid(format!("{status} is no status of a response"))
        })?;
        if by_list {
            retry.on_status.push((status, status));
        }
    }
    let asks = retry.on_connect_failure
        || retry.on_reset
        || retry.on_rate_limited
        || retry.on_grpc != 0
        || !retry.on_status.is_empty();
    Ok(Some(retry).filter(|_| asks))
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

/// One condition of `retry_on`. Ranges of statuses have both ends in them.
fn add(at: &At<'_>, condition: &str, retry: &mut Retry) -> Result<(), Fault> {
    match condition {
        "connect-failure" | "refused-stream" | "reset-before-request" => {
            retry.on_connect_failure = true;
        }
        "reset" => {
            retry.on_connect_failure = true;
            retry.on_reset = true;
        }
        "5xx" => {
            retry.on_connect_failure = true;
            retry.on_reset = true;
            retry.on_status.push((500, 599));
        }
        "gateway-error" => {
            retry.on_connect_failure = true;
            retry.on_reset = true;
            retry.on_status.push((502, 504));
        }
        "retriable-4xx" => retry.on_status.push((409, 409)),
        "envoy-ratelimited" => retry.on_rate_limited = true,
        "cancelled" => retry.on_grpc |= 1 << 1,
        "deadline-exceeded" => retry.on_grpc |= 1 << 4,
        "resource-exhausted" => retry.on_grpc |= 1 << 8,
        "internal" => retry.on_grpc |= 1 << 13,
        "unavailable" => retry.on_grpc |= 1 << 14,
        // HTTP/3 is not spoken.
        "http3-post-connect-failure" => {}
        other => return Err(at.unsupported(format!("the condition `{other}` is not supported"))),
    }
    Ok(())
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
