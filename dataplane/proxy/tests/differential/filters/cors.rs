//! `envoy.filters.http.cors`.

use super::{Ask, Setting, ask, get};

const FILTER: &str = "- { name: cors, typed_config: { \"@type\": @CORS@.Cors } }";

const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  typed_per_filter_config:
    cors:
      "@type": @CORS@.CorsPolicy
      allow_origin_string_match: [{ exact: "http://host" }]
      allow_methods: "*"
      allow_headers: "*"
      expose_headers: "x-expose"
      max_age: "60"
      allow_private_network_access: true
  routes:
  - match: { prefix: "/own" }
    route: { cluster: up }
    typed_per_filter_config:
      cors:
        "@type": @CORS@.CorsPolicy
        allow_origin_string_match:
        - safe_regex: { regex: "http://own[0-9]" }
        - prefix: "https"
        allow_methods: "GET,PUT"
        allow_headers: "x-a,x-b"
        allow_credentials: true
  - match: { prefix: "/any" }
    route: { cluster: up }
    typed_per_filter_config:
      cors: { "@type": @CORS@.CorsPolicy, allow_origin_string_match: [{ exact: "*" }] }
  - match: { prefix: "/strict" }
    route: { cluster: up }
    typed_per_filter_config:
      cors:
        "@type": @CORS@.CorsPolicy
        forward_not_matching_preflights: false
        allow_credentials: true
  - match: { prefix: "/off" }
    route: { cluster: up }
    typed_per_filter_config:
      cors: { "@type": @CORS@.CorsPolicy, filter_enabled: { default_value: { numerator: 0 } } }
  - match: { prefix: "/shadow" }
    route: { cluster: up }
    typed_per_filter_config:
      cors:
        "@type": @CORS@.CorsPolicy
        filter_enabled: { default_value: { numerator: 0 } }
        shadow_enabled: { default_value: { numerator: 100 } }
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "direct" } }
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

/// A preflight from an origin.
macro_rules! preflight {
    ($path:literal, $origin:literal $(, $field:literal)*) => {
        ask(
            "OPTIONS",
            $path,
            &[concat!("origin: ", $origin), "access-control-request-method: PUT" $(, $field)*],
            "",
        )
    };
}

const ASKS: &[Ask] = &[
    get("/", &[]),
    get("/", &["origin: http://host"]),
    get("/", &["origin: http://other"]),
    preflight!("/", "http://host"),
    preflight!("/", "http://host", "access-control-request-headers: x-1,x-2"),
    preflight!("/", "http://host", "access-control-request-private-network: true"),
    preflight!("/", "http://other"),
    preflight!("/", "http://host", "content-type: application/grpc"),
    ask("OPTIONS", "/", &["origin: http://host"], ""),
    get("/own", &["origin: http://own7"]),
    get("/own", &["origin: http://host"]),
    get("/own", &["origin: https://anything"]),
    preflight!("/own", "http://own7", "access-control-request-headers: x-1"),
    preflight!("/own", "http://own77"),
    get("/any", &["origin: null"]),
    preflight!("/any", "null"),
    get("/strict", &["origin: http://other"]),
    preflight!("/strict", "http://other"),
    preflight!("/strict", "http://host"),
    get("/off", &["origin: http://host"]),
    preflight!("/off", "http://host"),
    get("/shadow", &["origin: http://host"]),
    preflight!("/shadow", "http://host"),
    preflight!("/direct", "http://host"),
    get("/status/503", &["origin: http://host"]),
];

pub(super) const SETTINGS: &[Setting] =
    &[Setting { name: "cors", filters: FILTER, routes: ROUTES, asks: ASKS }];
