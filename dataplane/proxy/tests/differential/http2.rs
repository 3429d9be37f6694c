//! The table of requests by HTTP/2. Each is what curl is told besides the address.

/// One request.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// The words of `docs/differences-from-envoy.md` that say why this one differs, for an upstream
    /// of HTTP/1.1.
    pub(crate) differs: Option<&'static str>,
}

impl Case {
    /// It is answered before its body is looked at: whether that is counted is a race.
    pub(crate) fn is_race(&self) -> bool {
        let is_ours = ["/dead", "/empty", "/direct", "/nowhere"].contains(&self.path);
        is_ours && self.arguments.contains(&"-d")
    }
}

const fn same(name: &'static str, path: &'static str, arguments: &'static [&'static str]) -> Case {
    Case { name, path, arguments, differs: None }
}

const fn differs(
    name: &'static str,
    path: &'static str,
    arguments: &'static [&'static str],
    line: &'static str,
) -> Case {
    Case { name, path, arguments, differs: Some(line) }
}

const GRPC: &[&str] = &["-X", "POST", "-H", "content-type: application/grpc", "-d", "x"];

/// Each is asked twice: for an upstream of HTTP/1.1, and below `/h2` for one of HTTP/2.
pub(crate) const CASES: &[Case] = &[
    same("get", "/a?b=c", &["-H", "X-Mixed-Case: Value"]),
    same("head", "/a", &["-I"]),
    same("post", "/p", &["-d", "hello"]),
    same("post nothing", "/p", &["-X", "POST"]),
    same("put", "/p", &["-X", "PUT", "-d", "hello"]),
    same("delete", "/p", &["-X", "DELETE"]),
    same("options", "/p", &["-X", "OPTIONS"]),
    same("cookies in crumbs", "/a", &["-H", "cookie: a=1", "-H", "cookie: b=2"]),
    same("another authority", "/a", &["-H", "Host: Example.com:8080"]),
    same("te trailers", "/a", &["-H", "te: trailers"]),
    same("expect", "/p", &["-H", "Expect: 100-continue", "-d", "hello"]),
    same("forwarded for", "/a", &["-H", "x-forwarded-for: 1.2.3.4"]),
    same("forwarded proto", "/a", &["-H", "x-forwarded-proto: https"]),
    same("steering", "/a", &["-H", "x-envoy-max-retries: 3", "-H", "x-envoy-foo: 1"]),
    same("dots", "/a/../b//c", &["--path-as-is"]),
    same("204", "/status/204", &[]),
    same("304", "/status/304", &[]),
    same("503", "/status/503", &[]),
    same("503 to head", "/status/503", &["-I"]),
    same("chunked", "/chunked", &[]),
    same("until the end", "/close", &[]),
    same("closing", "/closing", &[]),
    same("interim", "/interim", &[]),
    differs("fields of the hop", "/hop", &[], "what `connection` lists in a response"),
    same("broken", "/broken", &[]),
    differs(
        "silent",
        "/silent",
        &[],
        "an idle upstream connection is found closed when a request is sent on it",
    ),
    same("direct", "/direct", &[]),
    same("direct to head", "/direct", &["-I"]),
    same("direct to post", "/direct", &["-d", "hello"]),
    same("dead", "/dead", &[]),
    same("empty", "/empty", &[]),
    same("no cluster", "/nowhere", &[]),
    same("no route", "/a", &["-H", "Host: other.example"]),
    same("grpc", "/a.B/c", GRPC),
    same("grpc dead", "/dead", GRPC),
    same("grpc empty", "/empty", GRPC),
    same("grpc direct", "/direct", GRPC),
    same("grpc broken", "/broken", GRPC),
    same("grpc 503", "/status/503", GRPC),
    same(
        "grpc with a suffix",
        "/dead",
        &["-X", "POST", "-H", "content-type: application/grpc+json"],
    ),
    same("grpc-web", "/dead", &["-X", "POST", "-H", "content-type: application/grpc-web"]),
];

const BOOTSTRAP: &str = r#"
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: main
          access_log: @ACCESS_LOG@
          normalize_path: true
          http_filters: [@ROUTER@]
          route_config:
            name: main
            validate_clusters: false
            virtual_hosts:
            - name: all
              domains: ["127.0.0.1:*", "Example.com:8080"]
              routes:
              - match: { prefix: "/direct" }
                direct_response: { status: 200, body: { inline_string: "direct" } }
              - match: { prefix: "/h2/direct" }
                direct_response: { status: 403, body: { inline_string: "no" } }
              - { match: { prefix: "/dead" }, route: { cluster: dead } }
              - { match: { prefix: "/h2/dead" }, route: { cluster: dead-h2 } }
              - { match: { prefix: "/empty" }, route: { cluster: empty } }
              - { match: { prefix: "/nowhere" }, route: { cluster: nowhere } }
              - { match: { prefix: "/h2" }, route: { cluster: inner } }
              - { match: { prefix: "/" }, route: { cluster: up } }
  - name: inner
    address: { socket_address: { address: 127.0.0.1, port_value: @INNER@ } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: inner
          codec_type: HTTP2
          server_header_transformation: PASS_THROUGH
          http_filters: [@ROUTER@]
          route_config:
            name: inner
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { prefix: "/" }, route: { cluster: up } }
  clusters:
  - name: up
    connect_timeout: 1s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @UPSTREAM@ } }
  - name: inner
    connect_timeout: 1s
    typed_extension_protocol_options: &h2
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": @OPTIONS@
        explicit_http_config: { http2_protocol_options: {} }
    load_assignment:
      cluster_name: inner
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @INNER@ } }
  - name: dead
    connect_timeout: 1s
    load_assignment:
      cluster_name: dead
      endpoints:
      - lb_endpoints:
        - endpoint: &dead
            address: { socket_address: { address: 127.0.0.1, port_value: @DEAD@ } }
  - name: dead-h2
    connect_timeout: 1s
    typed_extension_protocol_options: *h2
    load_assignment:
      cluster_name: dead-h2
      endpoints:
      - lb_endpoints:
        - endpoint: *dead
  - name: empty
    connect_timeout: 1s
    load_assignment: { cluster_name: empty }
"#;

const OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const ROUTER: &str = concat!(
    "{ name: envoy.filters.http.router, typed_config: { \"@type\": ",
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }"
);

pub(crate) fn bootstrap() -> String {
    BOOTSTRAP
        .replace("@HCM@", super::cases::HCM)
        .replace("@ROUTER@", ROUTER)
        .replace("@OPTIONS@", OPTIONS)
}
