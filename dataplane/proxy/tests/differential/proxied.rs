//! The PROXY protocol: read from a proxy in front, and written to an upstream that is one too.

use crate::cases::HCM;

/// One configuration: the listener filter, and what is sent.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    filter: &'static str,
    pub(crate) cases: &'static [&'static str],
}

/// A request behind these bytes.
macro_rules! behind {
    ($($header:literal),*) => {
        concat!($($header,)* "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    };
}

/// How version 2 begins.
macro_rules! two {
    ($($header:literal),*) => {
        concat!("\r\n\r\n\0\r\nQUIT\n", $($header,)* "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    };
}

const HEADERS: &[&str] = &[
    behind!("PROXY TCP4 10.1.1.1 10.2.2.2 1234 80\r\n"),
    behind!("PROXY TCP6 1:2::3 4:5::6 1234 80\r\n"),
    behind!("PROXY UNKNOWN\r\n"),
    behind!("PROXY UNKNOWN whatever 1 2\r\n"),
    behind!(),
    behind!("PROXY TCP4 10.1.1.1 10.2.2.2 1234\r\n"),
    behind!("PROXY TCP4 10.1.1.1 10.2.2.2 1234 99999\r\n"),
    behind!("PROXY TCP4 1:2::3 4:5::6 1234 80\r\n"),
    behind!("PROXY TCP6 10.1.1.1 10.2.2.2 1234 80\r\n"),
    behind!("PROXY TCP4 0.0.0.0 10.2.2.2 1234 80\r\n"),
    behind!("PROXY TCP4 10.1.1.1 224.0.0.1 1234 80\r\n"),
    behind!("PROXY TCP4 10.1.1.1 255.255.255.255 1234 80\r\n"),
    behind!("PROXY UDP4 10.1.1.1 10.2.2.2 1234 80\r\n"),
    behind!("PROXY \r\n"),
    concat!(
        "PROXY TCP4 10.1.1.1 10.2.2.2 1234 80\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    two!("\x21\x11\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
    two!("\x21\x12\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
    two!("\x21\x11\0\x11\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50\x04\0\x02ab"),
    two!(
        "\x21\x21\0\x24",
        "\0\x01\0\x02\0\0\0\0\0\0\0\0\0\0\0\x03\0\x04\0\x05\0\0\0\0\0\0\0\0\0\0\0\x06",
        "\x04\x52\0\x50"
    ),
    two!("\x20\0\0\0"),
    two!("\x20\x11\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
    two!("\x21\x11\0\x0b\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0"),
    two!("\x11\x11\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
    two!("\x22\x11\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
    two!("\x21\0\0\0"),
    two!("\x21\x13\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
];

const FEW: &[&str] = &[
    behind!(),
    behind!("PROXY TCP4 10.1.1.1 10.2.2.2 1234 80\r\n"),
    behind!("PROXY nonsense\r\n"),
    two!("\x21\x11\0\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x04\x52\0\x50"),
    two!("\x20\0\0\0"),
];

const TOWARDS: &[&str] = &[
    "GET /one HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /two HTTP/1.1\r\nHost: x\r\n\r\n",
    concat!(
        "PROXY TCP4 10.1.1.1 10.2.2.2 1234 80\r\n",
        "GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    concat!(
        "PROXY TCP6 1:2::3 4:5::6 1234 80\r\n",
        "GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "PROXY TCP4 10.1.1.2 10.2.2.2 1234 80\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n",
];

pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "proxied", filter: "", cases: HEADERS },
    Setting {
        name: "maybe proxied",
        filter: "allow_requests_without_proxy_protocol: true",
        cases: HEADERS,
    },
    Setting { name: "not by one", filter: "disallowed_versions: [V1]", cases: FEW },
    Setting { name: "not by two", filter: "disallowed_versions: [V2]", cases: FEW },
    Setting {
        name: "maybe not by two",
        filter: "allow_requests_without_proxy_protocol: true, disallowed_versions: [V2]",
        cases: FEW,
    },
    Setting {
        name: "towards proxies",
        filter: "allow_requests_without_proxy_protocol: true",
        cases: TOWARDS,
    },
];

impl Setting {
    pub(crate) fn bootstrap(&self) -> String {
        BOOTSTRAP
            .replace("@FILTER@", self.filter)
            .replace("@HCM@", HCM)
            .replace("@PROXY@", &extension("filters.listener.proxy_protocol", "ProxyProtocol"))
            .replace("@TOWARDS@", &extension("transport_sockets.proxy_protocol", TOWARDS_PROXY))
            .replace("@RAW@", &extension("transport_sockets.raw_buffer", "RawBuffer"))
    }
}

const TOWARDS_PROXY: &str = "ProxyProtocolUpstreamTransport";

fn extension(package: &str, name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{package}.v3.{name}")
}

const BOOTSTRAP: &str = r#"
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
    listener_filters_timeout: 1s
    listener_filters:
    - name: envoy.filters.listener.proxy_protocol
      typed_config: { "@type": @PROXY@, @FILTER@ }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: main
          http_filters:
          - &router
            name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: main
            request_headers_to_add:
            - header: { key: x-remote, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" }
            - header: { key: x-direct, value: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" }
            - header: { key: x-local, value: "%DOWNSTREAM_LOCAL_ADDRESS%" }
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { path: /one }, route: { cluster: one } }
              - { match: { path: /two }, route: { cluster: two } }
              - { match: { prefix: "/" }, route: { cluster: up } }
  - name: inner
    address: { socket_address: { address: 127.0.0.1, port_value: @INNER@ } }
    listener_filters:
    - name: envoy.filters.listener.proxy_protocol
      typed_config: { "@type": @PROXY@ }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: inner
          http_filters: [*router]
          route_config:
            name: inner
            request_headers_to_add:
            - header: { key: x-inner-remote, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" }
            - header: { key: x-inner-local, value: "%DOWNSTREAM_LOCAL_ADDRESS%" }
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
  - name: one
    connect_timeout: 1s
    transport_socket:
      name: envoy.transport_sockets.upstream_proxy_protocol
      typed_config:
        "@type": @TOWARDS@
        config: { version: V1 }
        transport_socket: &raw
          name: envoy.transport_sockets.raw_buffer
          typed_config: { "@type": @RAW@ }
    load_assignment:
      cluster_name: one
      endpoints:
      - lb_endpoints: &inner
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @INNER@ } }
  - name: two
    connect_timeout: 1s
    transport_socket:
      name: envoy.transport_sockets.upstream_proxy_protocol
      typed_config:
        "@type": @TOWARDS@
        config: { version: V2 }
        transport_socket: *raw
    load_assignment:
      cluster_name: two
      endpoints:
      - lb_endpoints: *inner
"#;
