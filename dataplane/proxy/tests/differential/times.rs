//! Time-outs, retries and circuit breakers: what becomes of a request whose answer does not come,
//! or not as it should.

use super::{Case, Setting, differs, get, option, routes, same};

/// Half of a head, and nothing behind it.
const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nHost: x\r\n";
/// Half of a body.
const HALF_A_BODY: &str = "POST /hang HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab";
const POST: &str = "POST /status/503 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

/// What keeps somebody waiting.
const SLOW: &[Case] = &[
    same("no answer", get!("/hang")),
    same("half an answer", get!("/stall")),
    same("half a body", HALF_A_BODY),
    same("an answer", get!("/a")),
];

pub(super) const SETTINGS: &[Setting] = &[
    option("idle streams", "stream_idle_timeout: 0.4s", SLOW),
    option(
        "a time for requests",
        "request_timeout: 0.4s",
        &[
            same("half a head", HALF_A_HEAD),
            same("half a body", HALF_A_BODY),
            same("whole", get!("/a")),
        ],
    ),
    option(
        "a time for heads",
        "request_headers_timeout: 0.4s",
        &[
            same("half a head", HALF_A_HEAD),
            same("whole", get!("/a")),
            same("and half of the next", concat!(get!("/a"), "GET /b HTTP/1.1\r\nHo")),
        ],
    ),
    routes(
        "a time for answers",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: / }, route: { cluster: up, timeout: 0.4s } }]"#,
        &[
            same("no answer", get!("/hang")),
            same("half an answer", get!("/stall")),
            same("an answer", get!("/a")),
            same("no answer to HEAD", "HEAD /hang HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("no answer by gRPC", get!("/hang", "Content-Type: application/grpc")),
        ],
    ),
    routes(
        "idle streams of a route",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - { match: { prefix: / }, route: { cluster: up, timeout: 0s, idle_timeout: 0.4s } }"#,
        SLOW,
    ),
    routes(
        "a time for each try",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /once }
    route:
      cluster: up
      timeout: 0s
      prefix_rewrite: /hang
      retry_policy: { retry_on: connect-failure, num_retries: 1, per_try_timeout: 0.3s }
  - match: { prefix: / }
    route:
      cluster: up
      timeout: 0s
      retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 0.3s }"#,
        &[
            same("twice", get!("/hang")),
            same("not tried again for it", get!("/once")),
            same("half an answer", get!("/stall")),
            same("an answer", get!("/a")),
        ],
    ),
    routes(
        "tries that are counted",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  include_request_attempt_count: true
  routes:
  - match: { prefix: /none }
    route:
      cluster: up
      timeout: 0s
      prefix_rewrite: /status/503
      retry_policy: { retry_on: 5xx, num_retries: 0 }
  - match: { prefix: / }
    route: { cluster: up, timeout: 0s, retry_policy: { retry_on: 5xx, num_retries: 3 } }"#,
        &[
            same("the second is good", get!("/second")),
            same("none is good", get!("/status/500")),
            same("none is asked for", get!("/none")),
            same("none is needed", get!("/a")),
            same("said by the client", get!("/a", "X-Envoy-Attempt-Count: 7")),
            differs("of a body", POST, "a retry of a request with a body"),
            same("broken each time", get!("/broken")),
            same("closed each time", get!("/silent")),
        ],
    ),
    routes(
        "what is tried again",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  retry_policy: { retry_on: retriable-4xx, num_retries: 1 }
  routes:
  - match: { prefix: /gateway }
    route:
      cluster: up
      timeout: 0s
      prefix_rewrite: /status
      retry_policy: { retry_on: gateway-error, num_retries: 1 }
  - match: { prefix: /reset }
    route:
      cluster: up
      timeout: 0s
      prefix_rewrite: /silent
      retry_policy: { retry_on: reset, num_retries: 1 }
  - match: { prefix: /limited }
    route:
      cluster: up
      timeout: 0s
      prefix_rewrite: /limited
      retry_policy: { retry_on: envoy-ratelimited, num_retries: 1 }
  - match: { prefix: /codes }
    route:
      cluster: up
      timeout: 0s
      prefix_rewrite: /status
      retry_policy:
        retry_on: "5xx,retriable-status-codes"
        retriable_status_codes: [404, 410]
        num_retries: 2
  - match: { prefix: / }
    route: { cluster: up, timeout: 0s }"#,
        &[
            same("502", get!("/gateway/502")),
            same("500 is no gateway's", get!("/gateway/500")),
            same("504", get!("/gateway/504")),
            differs("a reset", get!("/reset"), "an idle upstream connection is found closed"),
            same("limited", get!("/limited")),
            same("404 of a list", get!("/codes/404")),
            same("501 beside a list", get!("/codes/501")),
            same("403", get!("/codes/403")),
            same("409 by the virtual host", get!("/status/409")),
            same("408 by the virtual host", get!("/status/408")),
        ],
    ),
    routes(
        "what gRPC says is tried again",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: / }
    route:
      cluster: up
      timeout: 0s
      retry_policy: { retry_on: "unavailable,cancelled", num_retries: 1 }"#,
        &[
            same("unavailable", get!("/grpc/14", "Content-Type: application/grpc")),
            same("cancelled", get!("/grpc/1", "Content-Type: application/grpc")),
            same("internal", get!("/grpc/13", "Content-Type: application/grpc")),
            same("good", get!("/grpc/0", "Content-Type: application/grpc")),
        ],
    ),
    Setting {
        name: "breakers",
        options: "",
        filters: "",
        routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - { match: { prefix: /requests }, route: { cluster: requests } }
  - { match: { prefix: /pending }, route: { cluster: pending } }
  - match: { prefix: / }
    route:
      cluster: retries
      timeout: 0s
      retry_policy: { retry_on: 5xx, num_retries: 2 }"#,
        clusters: r#"- name: requests
  circuit_breakers: { thresholds: [{ max_requests: 0 }] }
  load_assignment: &here
    cluster_name: here
    endpoints: [{ lb_endpoints: [{ endpoint: *up }] }]
- name: pending
  circuit_breakers: { thresholds: [{ max_pending_requests: 0 }] }
  load_assignment: *here
- name: retries
  circuit_breakers: { thresholds: [{ max_retries: 0 }] }
  load_assignment: *here"#,
        cases: &[
            same("no request", get!("/requests")),
            same("no request by gRPC", get!("/requests", "Content-Type: application/grpc")),
            differs("none may wait", get!("/pending"), "`max_pending_requests`"),
            same("no retry", get!("/status/503")),
            same("none needed", get!("/a")),
        ],
    },
];
