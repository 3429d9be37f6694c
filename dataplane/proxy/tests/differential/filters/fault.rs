//! `envoy.filters.http.fault`, and how the levels of a route overrule each other.

use super::{Ask, GRPC, Setting, ask, get, post};

/// One filter, and a route each for what it may be told.
const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  routes:
  - match: { prefix: "/abort" }
    route: { cluster: up }
    typed_per_filter_config:
      fault: &abort
        "@type": @FAULT@
        abort: { http_status: 418, percentage: { numerator: 100 } }
  - match: { prefix: "/million" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        abort: { http_status: 500, percentage: { numerator: 1000000, denominator: MILLION } }
  - match: { prefix: "/never" }
    route: { cluster: up }
    typed_per_filter_config:
      fault: { "@type": @FAULT@, abort: { http_status: 500 } }
  - match: { prefix: "/body" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        abort: { http_status: 503, response_body: "mine", percentage: { numerator: 100 } }
  - match: { prefix: "/grpc" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        abort: { grpc_status: 8, percentage: { numerator: 100 } }
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "direct" } }
    typed_per_filter_config: { fault: *abort }
  - match: { prefix: "/delay" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        delay: { fixed_delay: 0.15s, percentage: { numerator: 100 } }
  - match: { prefix: "/slow" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: { numerator: 100 } }
  - match: { prefix: "/metered" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        response_rate_limit: { header_limit: {}, percentage: { numerator: 100 } }
        abort: { header_abort: {}, percentage: { numerator: 100 } }
  - match: { prefix: "/both" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        delay: { fixed_delay: 0.05s, percentage: { numerator: 100 } }
        abort: { http_status: 502, percentage: { numerator: 100 } }
  - match: { prefix: "/asked" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        delay: { header_delay: {}, percentage: { numerator: 100 } }
        abort: { header_abort: {}, percentage: { numerator: 100 } }
  - match: { prefix: "/header" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        headers: [{ name: x-hurt, string_match: { exact: "me" } }]
        abort: { http_status: 400, percentage: { numerator: 100 } }
  - match: { prefix: "/node" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        downstream_nodes: [one, two]
        abort: { http_status: 400, percentage: { numerator: 100 } }
  - match: { prefix: "/cluster/up" }
    route: { cluster: up }
    typed_per_filter_config:
      fault: &cluster
        "@type": @FAULT@
        upstream_cluster: up
        abort: { http_status: 400, percentage: { numerator: 100 } }
  - match: { prefix: "/cluster/other" }
    route: { cluster: other }
    typed_per_filter_config: { fault: *cluster }
  - match: { prefix: "/none" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @FAULT@
        max_active_faults: 0
        delay: { fixed_delay: 3s, percentage: { numerator: 100 } }
        abort: { http_status: 400, percentage: { numerator: 100 } }
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

const ASKS: &[Ask] = &[
    get("/abort", &[]),
    ask("HEAD", "/abort", &[], ""),
    post("/abort", &[], "hello"),
    post("/abort", GRPC, ""),
    get("/million", &[]),
    get("/never", &[]),
    get("/body", &[]),
    post("/body", GRPC, ""),
    get("/grpc", &[]),
    post("/grpc", GRPC, ""),
    get("/direct", &[]),
    get("/delay", &[]),
    post("/delay", &[], "hello"),
    get("/slow", &[]),
    get("/slow/chunked", &[]),
    ask("HEAD", "/slow", &[], ""),
    get("/metered", &[]),
    get("/metered", &["x-envoy-fault-throughput-response: 1"]),
    get("/metered", &["x-envoy-fault-throughput-response: 0"]),
    get("/metered", &["x-envoy-fault-throughput-response: 1", "x-envoy-fault-abort-request: 404"]),
    get("/both", &[]),
    get("/asked", &[]),
    get("/asked", &["x-envoy-fault-abort-request: 404"]),
    get("/asked", &["x-envoy-fault-abort-request: 99"]),
    get("/asked", &["x-envoy-fault-abort-grpc-request: 5"]),
    post("/asked", &["content-type: application/grpc", "x-envoy-fault-abort-grpc-request: 5"], ""),
    get("/asked", &["x-envoy-fault-delay-request: 30"]),
    get(
        "/asked",
        &["x-envoy-fault-abort-request: 404", "x-envoy-fault-abort-request-percentage: 0"],
    ),
    get("/header", &[]),
    get("/header", &["x-hurt: me"]),
    get("/node", &[]),
    get("/node", &["x-envoy-downstream-service-node: two"]),
    get("/node", &["x-envoy-downstream-service-node: three"]),
    get("/cluster/up", &[]),
    get("/cluster/other", &[]),
    get("/none", &[]),
    get("/", &[]),
];

/// Every level says something else.
const LEVELS: &str = r#"
typed_per_filter_config:
  fault:
    "@type": @FAULT@
    abort: { http_status: 401, percentage: { numerator: 100 } }
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: "/off" }
    route: { cluster: up }
    typed_per_filter_config: { fault: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/on" }
    route: { cluster: up }
    typed_per_filter_config:
      second: { "@type": @WRAPPED@, config: {} }
      fault: { "@type": @WRAPPED@, disabled: true }
  - match: { prefix: "/wrapped" }
    route: { cluster: up }
    typed_per_filter_config:
      fault:
        "@type": @WRAPPED@
        config:
          "@type": @FAULT@
          abort: { http_status: 403, percentage: { numerator: 100 } }
  - match: { prefix: "/weighted" }
    route:
      weighted_clusters:
        clusters:
        - name: up
          weight: 1
          typed_per_filter_config:
            fault:
              "@type": @FAULT@
              abort: { http_status: 404, percentage: { numerator: 100 } }
    typed_per_filter_config: { fault: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/unsaid" }
    route: { cluster: up }
    typed_per_filter_config: { fault: { "@type": @WRAPPED@, config: {} } }
  - match: { prefix: "/nobody" }
    route: { cluster: up }
    typed_per_filter_config:
      nobody:
        "@type": @FAULT@
        abort: { http_status: 405, percentage: { numerator: 100 } }
- name: other
  domains: ["other"]
  routes: [{ match: { prefix: "/" }, route: { cluster: up } }]
"#;

const TWO: &str = r#"
- name: fault
  typed_config: { "@type": @FAULT@ }
- name: second
  disabled: true
  typed_config:
    "@type": @FAULT@
    abort: { http_status: 409, percentage: { numerator: 100 } }
"#;

/// A policy of the chain, and what routes say instead.
const POLICY: &str = r#"
- name: rbac
  typed_config:
    "@type": @RBAC@.RBAC
    rules:
      action: DENY
      policies:
        all: { permissions: [{ any: true }], principals: [{ header: { name: x-evil } }] }
"#;

const POLICIES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  typed_per_filter_config:
    rbac:
      "@type": @RBAC@.RBACPerRoute
      rbac:
        rules:
          action: DENY
          policies:
            host: { permissions: [{ any: true }], principals: [{ header: { name: x-bad } }] }
  routes:
  - match: { prefix: "/free" }
    route: { cluster: up }
    typed_per_filter_config: { rbac: { "@type": @RBAC@.RBACPerRoute } }
  - match: { prefix: "/off" }
    route: { cluster: up }
    typed_per_filter_config: { rbac: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "direct" } }
  - match: { prefix: "/strict" }
    route: { cluster: up }
    typed_per_filter_config:
      rbac:
        "@type": @RBAC@.RBACPerRoute
        rbac: { rules: { action: ALLOW } }
  - match: { prefix: "/a" }
    route: { cluster: up }
"#;

/// The chain's own fault, for requests that no route is found for too.
const CHAINS: &str = r#"
- name: fault
  typed_config:
    "@type": @FAULT@
    headers: [{ name: x-hurt }]
    abort: { http_status: 429, percentage: { numerator: 100 } }
"#;

const NOWHERE: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: "/a" }, route: { cluster: up } }]
"#;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "fault",
        filters: "- { name: fault, typed_config: { \"@type\": @FAULT@ } }",
        routes: ROUTES,
        asks: ASKS,
    },
    Setting {
        name: "levels",
        filters: TWO,
        routes: LEVELS,
        asks: &[
            get("/off", &[]),
            get("/on", &[]),
            get("/wrapped", &[]),
            get("/weighted", &[]),
            get("/unsaid", &[]),
            get("/nobody", &[]),
            get("/nowhere", &[]),
        ],
    },
    Setting {
        name: "policies",
        filters: POLICY,
        routes: POLICIES,
        asks: &[
            get("/a", &[]),
            get("/a", &["x-evil: 1"]),
            get("/a", &["x-bad: 1"]),
            get("/free", &["x-bad: 1"]),
            get("/off", &["x-bad: 1", "x-evil: 1"]),
            get("/strict", &[]),
            post("/strict", GRPC, ""),
            get("/direct", &[]),
            get("/direct", &["x-bad: 1"]),
            get("/nowhere", &["x-evil: 1"]),
            get("/nowhere", &["x-bad: 1"]),
        ],
    },
    Setting {
        name: "chain",
        filters: CHAINS,
        routes: NOWHERE,
        asks: &[
            get("/a", &[]),
            get("/a", &["x-hurt: 1"]),
            get("/nowhere", &["x-hurt: 1"]),
            get("/nowhere", &[]),
        ],
    },
];
