//! Fields with which clients inside the mesh steer time-outs and retries. `/slow` answers after a
//! second.

use super::{PLAIN, Setting, get, same};

/// Everybody on this machine is inside.
const INSIDE: &str = r#"use_remote_address: true
internal_address_config:
  cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }]"#;

const ROUTES: &str = r#"
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - match: { prefix: "/policy/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      retry_policy: { retry_on: "reset", num_retries: 2, retriable_status_codes: [404] }
  - match: { prefix: "/idle/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      retry_policy: { num_retries: 3, per_try_timeout: 4s }
  - match: { prefix: "/some/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      retry_policy: { retry_on: "5xx", retriable_request_headers: [{ name: x-mine }] }
  - match: { prefix: "/headers/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      retry_policy: { retry_on: "retriable-headers", retriable_headers: [{ name: x-up }] }
  - { match: { prefix: "/plain/" }, route: { cluster: up, prefix_rewrite: "/", timeout: 0s } }
  - { match: { prefix: "/direct" }, direct_response: { status: 200 } }
  - { match: { prefix: "/" }, route: { cluster: up } }"#;

const CASES: &[super::Case] = &[
    same(get!("/a", "x-envoy-upstream-rq-timeout-ms: 4000")),
    same(get!("/a", "x-envoy-upstream-rq-timeout-ms: 0")),
    same(get!("/a", "x-envoy-upstream-rq-timeout-ms: soon")),
    same(get!("/a", "x-envoy-upstream-rq-timeout-ms: -5")),
    same(get!("/a", "x-envoy-upstream-rq-per-try-timeout-ms: 4000")),
    same(get!("/a", "x-envoy-upstream-rq-per-try-timeout-ms: 20000")),
    same(get!("/plain/a", "x-envoy-expected-rq-timeout-ms: 7")),
    same(get!("/a", "x-envoy-expected-rq-timeout-ms: 7")),
    same(get!("/plain/a", "x-envoy-upstream-rq-timeout-alt-response: 1")),
    same(get!("/plain/a", "x-envoy-upstream-alt-stat-name: other")),
    same(get!("/plain/a", "x-envoy-hedge-on-per-try-timeout: true")),
    same(get!("/plain/a", "x-envoy-upstream-stream-duration-ms: 9000")),
    same(get!("/plain/a", "x-envoy-force-trace: 1", "x-request-id: mine")),
    same(get!("/direct", "x-envoy-max-retries: 1")),
    same(get!("/status/503", "x-envoy-retry-on: 5xx")),
    same(get!("/status/503", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3")),
    same(get!("/status/503", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 0")),
    same(get!("/status/503", "x-envoy-retry-on: gateway-error, nonsense")),
    same(get!("/status/503", "x-envoy-retry-on: retriable-4xx")),
    same(get!("/status/503", "x-envoy-max-retries: 3")),
    same(get!(
        "/status/304",
        "x-envoy-retry-on: retriable-status-codes",
        "x-envoy-retriable-status-codes: 404, 304"
    )),
    same(get!("/status/304", "x-envoy-retriable-status-codes: 304")),
    same(get!(
        "/policy/status/503",
        "x-envoy-retry-on: retriable-status-codes",
        "x-envoy-retriable-status-codes: 503,x"
    )),
    same(get!("/policy/status/503", "x-envoy-max-retries: 1")),
    same(get!(
        "/a",
        "x-envoy-retry-on: retriable-headers",
        "x-envoy-retriable-header-names: x-none, X-Up"
    )),
    same(get!("/headers/a")),
    same(get!("/headers/chunked")),
    same(get!("/headers/chunked", "x-envoy-retriable-header-names: transfer-encoding")),
    same(get!("/some/status/503", "x-mine: 1")),
    same(get!("/some/status/503", "x-other: 1")),
    same(get!("/some/status/503", "x-envoy-retry-on: 5xx")),
    same(get!("/idle/status/503")),
    same(get!("/idle/status/503", "x-envoy-retry-on: 5xx")),
];

const BY_INSIDERS: Setting =
    Setting { name: "steering", options: INSIDE, routes: ROUTES, cases: CASES, ..PLAIN };

const BY_OTHERS: Setting =
    Setting { name: "steering-outside", options: "", routes: ROUTES, cases: CASES, ..PLAIN };

/// What takes its time is not asked twice over.
const SLOW: Setting = Setting {
    name: "steering-slow",
    options: INSIDE,
    routes: ROUTES,
    cases: &[
        same(get!("/slow", "x-envoy-upstream-rq-timeout-ms: 200")),
        same(get!("/slow", "x-envoy-upstream-rq-per-try-timeout-ms: 200")),
        same(get!(
            "/slow",
            "x-envoy-upstream-rq-timeout-ms: 200",
            "x-envoy-upstream-rq-timeout-alt-response: 1"
        )),
        same(get!(
            "/slow",
            "x-envoy-upstream-rq-per-try-timeout-ms: 200",
            "x-envoy-upstream-rq-timeout-alt-response: 1",
            "x-envoy-retry-on: 5xx"
        )),
        same(get!("/slow", "x-envoy-retry-on: 5xx")),
    ],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&BY_INSIDERS, &BY_OTHERS, &SLOW];
