//! `envoy.filters.http.local_ratelimit`. Buckets fill so slowly that nothing comes back meanwhile.

use super::{Ask, GRPC, Setting, get, post};

const FILTER: &str = r#"
- name: limit
  typed_config: { "@type": @LIMIT@, stat_prefix: limit }
"#;

const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  routes:
  - match: { prefix: "/two" }
    route: { cluster: up }
    typed_per_filter_config:
      limit: &two
        "@type": @LIMIT@
        stat_prefix: two
        token_bucket: { max_tokens: 2, tokens_per_fill: 1, fill_interval: 1000s }
        filter_enabled: { default_value: { numerator: 100 } }
        filter_enforced: { default_value: { numerator: 100 } }
        enable_x_ratelimit_headers: DRAFT_VERSION_03
        response_headers_to_add:
        - { header: { key: x-limited, value: "yes" } }
        - { header: { key: x-host, value: "mine" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "direct" } }
    typed_per_filter_config:
      limit:
        "@type": @LIMIT@
        stat_prefix: direct
        token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: 1000s }
        filter_enabled: { default_value: { numerator: 100 } }
        filter_enforced: { default_value: { numerator: 100 } }
  - match: { prefix: "/status" }
    route: { cluster: up }
    typed_per_filter_config:
      limit:
        "@type": @LIMIT@
        stat_prefix: status
        status: { code: ServiceUnavailable }
        token_bucket: { max_tokens: 0, fill_interval: 1000s }
        filter_enabled: { default_value: { numerator: 100 } }
        filter_enforced: { default_value: { numerator: 100 } }
        rate_limited_as_resource_exhausted: true
        enable_retry_after_header: true
  - match: { prefix: "/mild" }
    route: { cluster: up }
    typed_per_filter_config:
      limit:
        "@type": @LIMIT@
        stat_prefix: mild
        status: { code: OK }
        token_bucket: { max_tokens: 0, fill_interval: 1000s }
        filter_enabled: { default_value: { numerator: 100 } }
        filter_enforced: { default_value: { numerator: 100 } }
        response_headers_to_add: [{ header: { key: retry-after, value: "7" } }]
        enable_retry_after_header: true
  - match: { prefix: "/later" }
    route: { cluster: up }
    typed_per_filter_config:
      limit:
        "@type": @LIMIT@
        stat_prefix: later
        token_bucket: { max_tokens: 1, tokens_per_fill: 3, fill_interval: 6000s }
        filter_enabled: { default_value: { numerator: 100 } }
        filter_enforced: { default_value: { numerator: 100 } }
        enable_retry_after_header: true
  - match: { prefix: "/warned" }
    route: { cluster: up }
    typed_per_filter_config:
      limit:
        "@type": @LIMIT@
        stat_prefix: warned
        token_bucket: { max_tokens: 1, fill_interval: 1000s }
        filter_enabled: { default_value: { numerator: 100 } }
        filter_enforced: { default_value: { numerator: 0 } }
        request_headers_to_add_when_not_enforced:
        - { header: { key: x-too-many, value: "1" } }
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

const ASKS: &[Ask] = &[
    get("/two", &[]),
    get("/two", &[]),
    get("/two", &[]),
    post("/two", GRPC, ""),
    get("/direct", &[]),
    get("/direct", &[]),
    get("/status", &[]),
    post("/status", GRPC, ""),
    get("/mild", &[]),
    get("/later", &[]),
    get("/later", &[]),
    get("/warned", &[]),
    get("/warned", &[]),
    get("/", &[]),
];

/// Buckets for some, and what they are told apart by.
const DESCRIBED: &str = r#"
- name: limit
  typed_config:
    "@type": @LIMIT@
    stat_prefix: limit
    token_bucket: { max_tokens: 1000, tokens_per_fill: 1, fill_interval: 1000s }
    filter_enabled: { default_value: { numerator: 100 } }
    filter_enforced: { default_value: { numerator: 100 } }
    enable_x_ratelimit_headers: DRAFT_VERSION_03
    descriptors:
    - entries: [{ key: who, value: alice }]
      token_bucket: { max_tokens: 1, fill_interval: 1000s }
    - entries: [{ key: who, value: bob }, { key: generic_key, value: fixed }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
    - entries: [{ key: header_match, value: marked }]
      token_bucket: { max_tokens: 1, fill_interval: 1000s }
    - entries: [{ key: remote_address, value: 10.1.2.3 }]
      token_bucket: { max_tokens: 1, fill_interval: 1000s }
    - entries: [{ key: masked_remote_address, value: 10.9.0.0/16 }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
    - entries: [{ key: destination_cluster, value: other }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
    - entries: [{ key: q, value: "1" }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
    - entries: [{ key: query_match, value: asked }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
    - entries: [{ key: generic_key, value: host }]
      token_bucket: { max_tokens: 1, fill_interval: 1000s }
    - entries: [{ key: generic_key, value: staged }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
"#;

const DESCRIPTIONS: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  rate_limits:
  - actions: [{ generic_key: { descriptor_value: host } }]
  routes:
  - match: { prefix: "/who" }
    route:
      cluster: up
      rate_limits:
      - actions: [{ request_headers: { header_name: x-who, descriptor_key: who } }]
      - actions:
        - { request_headers: { header_name: x-who, descriptor_key: who } }
        - { generic_key: { descriptor_value: fixed } }
  - match: { prefix: "/skips" }
    route:
      cluster: up
      rate_limits:
      - actions:
        - { request_headers: { header_name: x-no, descriptor_key: absent, skip_if_absent: true } }
        - { request_headers: { header_name: x-who, descriptor_key: who } }
        - { generic_key: { descriptor_value: fixed } }
  - match: { prefix: "/marked" }
    route:
      cluster: up
      rate_limits:
      - actions:
        - header_value_match: { descriptor_value: marked, headers: [{ name: x-mark }] }
  - match: { prefix: "/unmarked" }
    route:
      cluster: up
      rate_limits:
      - actions:
        - header_value_match:
            descriptor_value: marked
            expect_match: false
            headers: [{ name: x-mark }]
  - match: { prefix: "/address" }
    route:
      cluster: up
      rate_limits:
      - actions: [{ remote_address: {} }]
      - actions: [{ masked_remote_address: { v4_prefix_mask_len: 16 } }]
  - match: { prefix: "/other" }
    route: { cluster: other, rate_limits: [{ actions: [{ destination_cluster: {} }] }] }
  - match: { prefix: "/query" }
    route:
      cluster: up
      rate_limits:
      - actions: [{ query_parameters: { query_parameter_name: a, descriptor_key: q } }]
      - actions:
        - query_parameter_value_match:
            descriptor_value: asked
            query_parameters: [{ name: b, string_match: { exact: yes_ } }]
  - match: { prefix: "/both" }
    route:
      cluster: up
      include_vh_rate_limits: true
      rate_limits:
      - actions: [{ request_headers: { header_name: x-who, descriptor_key: who } }]
  - match: { prefix: "/staged" }
    route:
      cluster: up
      rate_limits:
      - stage: 1
        actions: [{ generic_key: { descriptor_value: staged } }]
  - match: { prefix: "/disabled" }
    route:
      cluster: up
      rate_limits:
      - disable_key: some.key
        actions: [{ generic_key: { descriptor_value: staged } }]
  - match: { prefix: "/host" }
    route: { cluster: up }
"#;

const DESCRIBED_ASKS: &[Ask] = &[
    get("/who", &["x-who: alice"]),
    get("/who", &["x-who: alice"]),
    get("/who", &["x-who: bob"]),
    get("/who", &["x-who: carol"]),
    get("/who", &[]),
    get("/skips", &["x-who: bob"]),
    get("/skips", &["x-who: bob", "x-no: 1"]),
    get("/marked", &["x-mark: 1"]),
    get("/marked", &["x-mark: 1"]),
    get("/marked", &[]),
    get("/unmarked", &[]),
    get("/address", &["x-forwarded-for: 10.1.2.3"]),
    get("/address", &["x-forwarded-for: 10.1.2.3"]),
    get("/address", &["x-forwarded-for: 10.9.8.7"]),
    get("/address", &["x-forwarded-for: 10.8.8.7"]),
    get("/other", &[]),
    get("/query?a=1", &[]),
    get("/query?a=2&b=yes_", &[]),
    get("/query?a=2&b=no", &[]),
    get("/host", &[]),
    get("/host", &[]),
    get("/both", &["x-who: carol"]),
    get("/staged", &[]),
    get("/disabled", &[]),
];

/// The filter's own descriptions, besides which those of routes do not count.
const OWN: &str = r#"
- name: limit
  typed_config:
    "@type": @LIMIT@
    stat_prefix: limit
    token_bucket: { max_tokens: 3, fill_interval: 1000s }
    filter_enabled: { default_value: { numerator: 100 } }
    filter_enforced: { default_value: { numerator: 100 } }
    always_consume_default_token_bucket: false
    enable_x_ratelimit_headers: DRAFT_VERSION_03
    rate_limits:
    - actions: [{ request_headers: { header_name: ":path", descriptor_key: path } }]
    descriptors:
    - entries: [{ key: path, value: "/a" }]
      token_bucket: { max_tokens: 2, fill_interval: 1000s }
    - entries: [{ key: generic_key, value: host }]
      token_bucket: { max_tokens: 0, fill_interval: 1000s }
"#;

const OWN_ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  rate_limits:
  - actions: [{ generic_key: { descriptor_value: host } }]
  routes: [{ match: { prefix: "/" }, route: { cluster: up } }]
"#;

pub(super) const SETTINGS: &[Setting] = &[
    Setting { name: "limit", filters: FILTER, routes: ROUTES, asks: ASKS },
    Setting {
        name: "limit-described",
        filters: DESCRIBED,
        routes: DESCRIPTIONS,
        asks: DESCRIBED_ASKS,
    },
    Setting {
        name: "limit-own",
        filters: OWN,
        routes: OWN_ROUTES,
        asks: &[
            get("/a", &[]),
            get("/b", &[]),
            get("/a", &[]),
            get("/a", &[]),
            get("/b", &[]),
            get("/b", &[]),
            get("/b", &[]),
        ],
    },
];
