//! Retries as Envoy 1.40 had them for the same requests and answers.

use config::snapshot::{HeaderMatch, Retry, ValueMatch};
use wire::head::Head;

use super::{covers, of_request};
use crate::fixture::head;
use crate::steer;

fn present(name: &str) -> HeaderMatch {
    HeaderMatch {
        name: name.as_bytes().into(),
        value: ValueMatch::Present(true),
        invert: false,
        missing_as_empty: false,
    }
}

/// What becomes of a route's policy for a request with these fields; `None`: it stays.
fn steered(route: Option<&Retry>, fields: &str) -> Option<Box<Retry>> {
    let mut head = head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
    let steering = steer::take(&mut head);
    of_request(route, steering.as_deref(), &head)
}

fn answer(status: u16, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.status = status;
    for (name, value) in fields {
        head.append(name.as_bytes(), value.as_bytes());
    }
    head
}

#[test]
fn clients_add_to_what_the_route_retries() {
    assert!(steered(None, "x-envoy-foo: 1").is_none());
    assert!(steered(None, "x-envoy-upstream-rq-timeout-ms: 1").is_none());
    let retry = steered(None, "x-envoy-retry-on: 5xx, nonsense").expect("its own");
    assert_eq!((retry.retries, retry.on_reset), (1, true));
    let route = Retry { retries: 3, statuses: vec![404], ..Retry::default() };
    let retry = steered(
        Some(&route),
        "x-envoy-retry-on: retriable-status-codes\n\
                                       x-envoy-retriable-status-codes: 405, x,406",
    )
    .expect("its own");
    assert_eq!((retry.retries, retry.statuses.as_slice()), (3, &[404, 405, 406][..]));
    assert!(covers(&retry, &answer(404, &[])) && covers(&retry, &answer(406, &[])));
    assert!(!covers(&route, &answer(404, &[])) && !covers(&retry, &answer(503, &[])));
    let idle = steered(Some(&route), "x-envoy-max-retries: 9").expect("its own");
    assert_eq!(idle.retries, 3, "nothing is retried");
    let many = steered(None, "x-envoy-max-retries: 9\nx-envoy-retry-grpc-on: cancelled");
    let many = many.expect("its own");
    assert_eq!(many.retries, 9);
    assert!(covers(&many, &answer(200, &[("grpc-status", "1")])));
    assert!(!covers(&many, &answer(200, &[("grpc-status", "2")])));
}

#[test]
fn answers_are_known_by_their_headers() {
    let route = Retry { headers: vec![present("x-again")], ..Retry::default() };
    let again = answer(200, &[("x-again", "1")]);
    assert!(!covers(&route, &again));
    let retry = steered(
        Some(&route),
        "x-envoy-retry-on: retriable-headers\n\
                                       x-envoy-retriable-header-names: X-More,x-most",
    )
    .expect("its own");
    assert!(covers(&retry, &again) && covers(&retry, &answer(200, &[("x-most", "1")])));
    assert!(!covers(&retry, &answer(200, &[("x-less", "1")])));
    let limited = answer(503, &[("x-again", "1"), ("x-envoy-ratelimited", "true")]);
    assert!(!covers(&retry, &limited));
}

#[test]
fn some_requests_alone_are_retried() {
    let mut route = Retry { retries: 2, requests: vec![present("x-mine")], ..Retry::default() };
    route.add("5xx");
    assert!(!steered(Some(&route), "x-other: 1").expect("its own").asks());
    assert!(route.asks() && steered(Some(&route), "x-mine: 1").is_none(), "it stays as it is");
    assert!(!steered(Some(&route), "x-envoy-retry-on: reset").expect("its own").asks());
}
