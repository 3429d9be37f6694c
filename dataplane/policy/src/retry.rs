//! What is tried again.

use config::snapshot::{HeaderMatch, Retry, ValueMatch};
use wire::head::{Head, Known, Names};

use crate::steer::{Steering, listed};
use crate::{matcher, reply};

/// The retry policy of a request, where it is not its route's as it stands.
pub fn of_request(
    route: Option<&Retry>,
    steering: Option<&Steering>,
    head: &Head,
) -> Option<Box<Retry>> {
    let takes = |asked: &HeaderMatch| matcher::header(asked, head);
    if let Some(route) = route
        && !route.requests.is_empty()
        && !route.requests.iter().any(takes)
    {
        return Some(Box::new(route.asking_nothing()));
    }
    let steering = steering.filter(|steering| steers(steering))?;
    let mut retry = route.cloned().unwrap_or_else(|| Retry { retries: 1, ..Retry::default() });
    add(&mut retry, steering);
    Some(Box::new(retry))
}

fn steers(steering: &Steering) -> bool {
    let Steering { retry_on, retry_grpc_on, max_retries, statuses, header_names, .. } = steering;
    let words = [retry_on, retry_grpc_on, statuses, header_names];
    max_retries.is_some() || words.into_iter().any(Option::is_some)
}

/// Adds to what the route says; words that are no conditions say nothing.
fn add(retry: &mut Retry, steering: &Steering) {
    for condition in listed(&steering.retry_on) {
        retry.add(condition);
    }
    for condition in listed(&steering.retry_grpc_on) {
        retry.add_grpc(condition);
    }
    if let Some(retries) = steering.max_retries.filter(|_| retry.asks()) {
        retry.retries = retries;
    }
    retry.statuses.extend(listed(&steering.statuses).filter_map(|code| code.parse::<u16>().ok()));
    retry.headers.extend(listed(&steering.header_names).map(|name| HeaderMatch {
        name: name.to_ascii_lowercase().into_bytes().into(),
        value: ValueMatch::Present(true),
        invert: false,
        missing_as_empty: false,
    }));
}

/// The policy wants another attempt after this answer.
pub fn covers(retry: &Retry, head: &Head) -> bool {
    // As Envoy: no other condition is a reason to press a service that has had enough.
    let is_limited = head.may_have(Names::of(&[Known::XEnvoyOther]))
        && head.values(b"x-envoy-ratelimited").next().is_some();
    if is_limited {
        return retry.on_rate_limited;
    }
    retry.covers_status(head.status)
        || (retry.on_headers && retry.headers.iter().any(|asked| matcher::header(asked, head)))
        || (retry.on_grpc != 0 && has_grpc_status(head, retry.on_grpc))
}

/// The head says how a call by gRPC has ended, and it is one of these, a bit each.
fn has_grpc_status(head: &Head, statuses: u32) -> bool {
    let status = reply::call_status(head);
    status.and_then(|status| statuses.checked_shr(status)).is_some_and(|bits| bits & 1 == 1)
}

#[cfg(test)]
mod tests;
