//! Fields with which a client inside the mesh steers what is done for its request: time-outs and
//! retries. From everybody else's requests they have been removed by now.

use std::time::Duration;

use config::snapshot::{Forward, Retry};
use wire::head::{Head, Known, Names};

use crate::deadline::{self, Limits};
use crate::retry;

/// What holds for one request along its route.
#[derive(Debug)]
pub struct Terms {
    /// How long it may take.
    pub limits: Limits,
    /// The retry policy, where it is not the route's.
    pub retry: Option<Box<Retry>>,
    /// A time-out is answered with 204.
    pub answers_204: bool,
}

/// The route's word, and the request's where it has one. Takes the fields that steer out of the
/// head. `is_grpc`: it is a call, as far as that matters to the route.
pub fn terms(head: &mut Head, forward: &Forward, is_grpc: bool) -> Terms {
    let steering = take(head);
    let steering = steering.as_deref();
    let retry = retry::of_request(forward.retry.as_ref(), steering, head);
    let limits = deadline::limits(head, forward, steering, is_grpc);
    let answers_204 = steering.is_some_and(|steering| steering.answers_204);
    Terms { limits, retry, answers_204 }
}

/// What a request says of how it is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// `x-envoy-upstream-rq-timeout-ms` (inner `None`: no limit).
    pub timeout: Option<Option<Duration>>,
    /// `x-envoy-upstream-rq-per-try-timeout-ms` (inner `None`: no limit).
    pub per_try_timeout: Option<Option<Duration>>,
    /// A time-out is answered with 204 (`x-envoy-upstream-rq-timeout-alt-response`).
    pub answers_204: bool,
    /// `x-envoy-retry-on`
    pub(crate) retry_on: Option<Box<[u8]>>,
    /// `x-envoy-retry-grpc-on`
    pub(crate) retry_grpc_on: Option<Box<[u8]>>,
    /// `x-envoy-max-retries`
    pub(crate) max_retries: Option<u32>,
    /// `x-envoy-retriable-status-codes`
    pub(crate) statuses: Option<Box<[u8]>>,
    /// `x-envoy-retriable-header-names`
    pub(crate) header_names: Option<Box<[u8]>>,
}

/// The fields that steer are among these.
const NAMES: Names = Names::of(&[Known::XEnvoyUpstreamRqTimeoutMs, Known::XEnvoyOther]);

/// Values that one such field may list; what stands behind them is not looked at.
const LISTED_MAX: usize = 64;

/// Takes the fields that steer out of the head. Few requests have any.
pub fn take(head: &mut Head) -> Option<Box<Steering>> {
    let there = |head: &Head| head.fields().iter().any(|field| steers(head.get(field.name)));
    if !head.may_have(NAMES) || !there(head) {
        return None;
    }
    let first = |name: &[u8]| head.values(name).next().map(Box::from);
    let limit = |name: &[u8]| {
        let millis = Duration::from_millis(number(head.values(name).next()?)?);
        Some(Some(millis).filter(|limit| !limit.is_zero()))
    };
    let retries = head.values(b"x-envoy-max-retries").next().and_then(number);
    let alternative = head.values(b"x-envoy-upstream-rq-timeout-alt-response").next();
    let steering = Steering {
        timeout: limit(b"x-envoy-upstream-rq-timeout-ms"),
        per_try_timeout: limit(b"x-envoy-upstream-rq-per-try-timeout-ms"),
        answers_204: alternative.is_some(),
        retry_on: first(b"x-envoy-retry-on"),
        retry_grpc_on: first(b"x-envoy-retry-grpc-on"),
        max_retries: retries.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX)),
        statuses: first(b"x-envoy-retriable-status-codes"),
        header_names: first(b"x-envoy-retriable-header-names"),
    };
    head.remove_where(|head, field| steers(head.get(field.name)));
    Some(Box::new(steering))
}

/// The router uses fields of this name up.
pub(crate) fn steers(name: &[u8]) -> bool {
    name.strip_prefix(b"x-envoy-").is_some_and(|rest| {
        matches!(
            rest,
            b"hedge-on-per-try-timeout"
                | b"max-retries"
                | b"retriable-header-names"
                | b"retriable-status-codes"
                | b"retry-grpc-on"
                | b"retry-on"
                | b"upstream-alt-stat-name"
                | b"upstream-rq-per-try-timeout-ms"
                | b"upstream-rq-timeout-alt-response"
                | b"upstream-rq-timeout-ms"
                | b"upstream-stream-duration-ms"
        )
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim_ascii().parse().ok()
}

/// The values between commas.
pub(crate) fn listed(value: &Option<Box<[u8]>>) -> impl Iterator<Item = &str> {
    let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    let all = text.unwrap_or_default().split(',').map(str::trim_ascii);
    all.filter(|one| !one.is_empty()).take(LISTED_MAX)
}

#[cfg(test)]
mod tests;
