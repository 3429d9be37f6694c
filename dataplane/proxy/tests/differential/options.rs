//! What a connection manager and a cluster may be asked to do with messages, option by option.

use super::{ALL_UP, Setting, differs, get, same};

/// Names in several cases.
const MIXED: &str = "POST /p HTTP/1.1\r\nHOst: x\r\nX-FoRwarded-Proto: http\r\nX-AbC: 1\r\n\
                     x-abc: 2\r\nTransfer-encoding: chunked\r\nTE: trailers\r\n\r\n0\r\n\r\n";

/// All requests go to the cluster `other`.
const ALL_OTHER: &str = r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: "/" }, route: { cluster: other } }]"#;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "one trusted hop",
        options: r#"xff_num_trusted_hops: 1
internal_address_config:
  cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }]"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("two addresses", get!("/", "X-Forwarded-For: 10.1.1.1, 5.6.7.8")),
            same("one address", get!("/", "X-Forwarded-For: 10.1.1.1")),
            same("nobody", get!("/")),
            same("junk", get!("/", "X-Forwarded-For: junk, 1.1.1.1")),
        ],
    },
    Setting {
        name: "hops to the edge",
        options: r#"xff_num_trusted_hops: 2
use_remote_address: true
skip_xff_append: true
append_x_forwarded_port: true"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same(
                "two addresses",
                get!(
                    "/",
                    "X-Forwarded-For: 1.2.3.4, 5.6.7.8",
                    "X-Forwarded-Proto: https",
                    "X-Forwarded-Port: 5"
                ),
            ),
            same("one address", get!("/", "X-Forwarded-For: 1.2.3.4")),
            same("own id", get!("/", "X-Request-Id: mine")),
            same(
                "edge fields",
                get!("/", "X-Envoy-Original-Path: /x", "X-Envoy-Decorator-Operation: a"),
            ),
        ],
    },
    Setting {
        name: "at the edge",
        options: r#"use_remote_address: true
skip_xff_append: true
append_x_forwarded_port: true
internal_address_config:
  cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }]"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same(
                "inside",
                get!(
                    "/",
                    "X-Forwarded-Proto: https",
                    "X-Forwarded-Port: 5",
                    "X-Envoy-Original-Path: /x"
                ),
            ),
            same("for somebody", get!("/", "X-Forwarded-For: 10.1.1.1", "X-Envoy-Internal: true")),
            same("own id", get!("/", "X-Request-Id: mine")),
        ],
    },
    Setting {
        name: "internal addresses",
        options: r#"internal_address_config:
  cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }]"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same(
                "inside",
                get!(
                    "/",
                    "X-Forwarded-For: 10.1.1.1",
                    "X-Envoy-Force-Trace: 1",
                    "X-Envoy-Ip-Tags: a",
                    "X-Envoy-Original-Url: /"
                ),
            ),
            same(
                "outside",
                get!(
                    "/",
                    "X-Forwarded-For: 11.1.1.1",
                    "X-Envoy-Ip-Tags: a",
                    "X-Envoy-Internal: true"
                ),
            ),
            same("two addresses", get!("/", "X-Forwarded-For: 10.1.1.2, 10.1.1.1")),
            differs(
                "two lines",
                get!("/", "X-Forwarded-For: 10.1.1.2", "X-Forwarded-For: 10.1.1.1"),
                "several lines of a field that Envoy knows",
            ),
        ],
    },
    Setting {
        name: "address in a field",
        options: r#"original_ip_detection_extensions:
- name: field
  typed_config: { "@type": @FIELD@,
    header_name: x-real, allow_extension_to_set_address_as_trusted: true,
    reject_with_status: { code: TooManyRequests } }
internal_address_config:
  cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }]"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("inside", get!("/", "X-Real: 10.1.1.1")),
            same("outside", get!("/", "X-Real: 11.1.1.1")),
            same("none", get!("/")),
            same("junk", get!("/", "X-Real: nobody")),
        ],
    },
    Setting {
        name: "trusted proxies",
        options: r#"original_ip_detection_extensions:
- name: field
  typed_config: { "@type": @FIELD@,
    header_name: x-real }
- name: proxies
  typed_config: { "@type": @XFF@,
    xff_trusted_cidrs: { cidrs: [{ address_prefix: 127.0.0.0, prefix_len: 8 },
      { address_prefix: 10.0.0.0, prefix_len: 8 }] } }
internal_address_config:
  cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }]"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("all trusted", get!("/", "X-Forwarded-For: 10.2.2.2, 10.1.1.1")),
            same("the first is not", get!("/", "X-Forwarded-For: 1.2.3.4, 10.1.1.1")),
            same("junk", get!("/", "X-Forwarded-For: zz, 10.1.1.1")),
            same("a field", get!("/", "X-Real: 10.1.1.1")),
        ],
    },
    Setting {
        name: "another scheme",
        options: r#"scheme_header_transformation: { scheme_to_overwrite: https }
append_x_forwarded_port: true"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("none", get!("/")),
            same("http", get!("/", "X-Forwarded-Proto: http", "X-Forwarded-Port: 5")),
            same("direct", get!("/", "X-Forwarded-Proto: https")),
        ],
    },
    Setting {
        name: "hosts without ports",
        options: r#"strip_any_host_port: true
strip_trailing_host_dot: true"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("port", "GET / HTTP/1.1\r\nHost: a.b:81\r\n\r\n"),
            same("dot", "GET / HTTP/1.1\r\nHost: a.b.\r\n\r\n"),
            same("dot and port", "GET / HTTP/1.1\r\nHost: a.b.:80\r\n\r\n"),
            same("address", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
            same("address alone", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"),
            same("nothing to strip", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("absolute form", "GET http://b.:80/q HTTP/1.1\r\nHost: x:1\r\n\r\n"),
        ],
    },
    Setting {
        name: "hosts without our port",
        options: r#"strip_matching_host_port: true"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("ours", "GET / HTTP/1.1\r\nHost: a.b:@PORT@\r\n\r\n"),
            same("another", "GET / HTTP/1.1\r\nHost: a.b:81\r\n\r\n"),
            same("dot", "GET / HTTP/1.1\r\nHost: a.b.:@PORT@\r\n\r\n"),
        ],
    },
    Setting {
        name: "names kept",
        options: r#"http_protocol_options:
  header_key_format:
    stateful_formatter:
      name: preserve_case
      typed_config:
        "@type": @PRESERVE@"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("mixed", MIXED),
            same("lower", get!("/", "x-a: b")),
            same("answer", get!("/status/503")),
            same("length", "POST / HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 5\r\n\r\nhello"),
        ],
    },
    Setting {
        name: "names kept or proper",
        options: r#"http_protocol_options:
  header_key_format:
    stateful_formatter:
      name: preserve_case
      typed_config:
        "@type": @PRESERVE@
        formatter_type_on_envoy_headers: PROPER_CASE"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("mixed", MIXED),
            same("lower", get!("/", "x-a: b")),
            same("no host", "GET / HTTP/1.1\r\n\r\n"),
        ],
    },
    Setting {
        name: "proper names",
        options: r#"http_protocol_options: { header_key_format: { proper_case_words: {} } }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("mixed", MIXED),
            same("answer", get!("/chunked")),
            same("direct", get!("/status/204")),
            same("refused", "GET / HTTP/1.1\r\n\r\n"),
        ],
    },
    Setting {
        name: "proper names upstream, whole targets",
        options: r#""#,
        filters: "",
        routes: ALL_OTHER,
        clusters: r#"- name: other
  connect_timeout: 1s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http_protocol_options:
          send_fully_qualified_url: true
          header_key_format: { proper_case_words: {} }
  load_assignment: { cluster_name: other, endpoints: [{ lb_endpoints: [{ endpoint: *up }] }] }"#,
        cases: &[
            same("mixed", MIXED),
            same("path", get!("/a?b=c")),
            same("https", get!("/", "X-Forwarded-Proto: https")),
            same("options", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
        ],
    },
    Setting {
        name: "names of answers kept",
        options: r#""#,
        filters: "",
        routes: ALL_OTHER,
        clusters: r#"- name: other
  connect_timeout: 1s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http_protocol_options:
          allow_chunked_length: true
          header_key_format:
            stateful_formatter:
              name: preserve_case
              typed_config:
                "@type": @PRESERVE@
                formatter_type_on_envoy_headers: PROPER_CASE
  load_assignment: { cluster_name: other, endpoints: [{ lb_endpoints: [{ endpoint: *up }] }] }"#,
        cases: &[
            same("mixed", MIXED),
            same("plain", get!("/")),
            same("hop", get!("/status/503")),
            same("both lengths", get!("/both")),
        ],
    },
    Setting {
        name: "a host for http 1.0",
        options: r#"http_protocol_options:
  { accept_http_10: true, default_host_for_http_10: dflt }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("none", "GET / HTTP/1.0\r\n\r\n"),
            same("its own", "GET / HTTP/1.0\r\nHost: x\r\n\r\n"),
            same("http/1.1 without", "GET / HTTP/1.1\r\n\r\n"),
            same("kept alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        ],
    },
    Setting {
        name: "length beside chunked",
        options: r#"http_protocol_options: { allow_chunked_length: true }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same(
                "both",
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\
                 Transfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n",
            ),
            same("length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
            same(
                "two lengths",
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            same("from upstream", get!("/both")),
        ],
    },
    Setting {
        name: "methods and upgrades",
        options: r#"http_protocol_options:
  allow_custom_methods: true
  ignore_http_11_upgrade: [{ prefix: web }, { exact: foo }]
upgrade_configs: [{ upgrade_type: websocket }]"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("method", "FOO / HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("method in two cases", "Get / HTTP/1.1\r\nHost: x\r\n\r\n"),
            same(
                "upgrade",
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            ),
            same(
                "another",
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
            ),
            same(
                "refused",
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: bar\r\n\r\n",
            ),
        ],
    },
    Setting {
        name: "no underscores",
        options: r#"common_http_protocol_options:
  { headers_with_underscores_action: REJECT_REQUEST }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("one", get!("/", "x_y: 1")),
            same("none", get!("/", "x-y: a_b")),
            same("in the path", get!("/a_b")),
        ],
    },
    Setting {
        name: "underscores dropped",
        options: r#"common_http_protocol_options:
  { headers_with_underscores_action: DROP_HEADER }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[same("one", get!("/", "x_y: 1", "x-y: 2")), same("none", get!("/", "x-y: a_b"))],
    },
    Setting {
        name: "two requests a connection",
        options: r#"common_http_protocol_options: { max_requests_per_connection: 2 }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("three", concat!(get!("/1"), get!("/2"), get!("/3"))),
            same("two", concat!(get!("/1"), get!("/2"))),
            same("one", get!("/1")),
        ],
    },
    Setting {
        name: "ids in answers",
        options: r#"always_set_request_id_in_response: true"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("none", get!("/")),
            same("own", get!("/", "X-Request-Id: mine")),
            same("refused", "GET /hang HTTP/1.1\r\n\r\n"),
            same("broken", get!("/broken")),
        ],
    },
    Setting {
        name: "little time",
        options: r#"common_http_protocol_options: { max_stream_duration: 0.2s }"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("hangs", get!("/hang")),
            same("answers", get!("/")),
            same("half a request", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"),
            same("half an answer", get!("/short")),
        ],
    },
    Setting {
        name: "small answers",
        options: r#""#,
        filters: "",
        routes: ALL_OTHER,
        clusters: r#"- name: other
  connect_timeout: 1s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: { http_protocol_options: {} }
      common_http_protocol_options: { max_response_headers_kb: 2, max_headers_count: 20 }
  load_assignment: { cluster_name: other, endpoints: [{ lb_endpoints: [{ endpoint: *up }] }] }"#,
        cases: &[
            same("small", get!("/")),
            same("large", get!("/large")),
            same("many", get!("/many")),
        ],
    },
    Setting {
        name: "malformed and open",
        options: r#"stream_error_on_invalid_http_message: true"#,
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"),
            same("fine", get!("/")),
        ],
    },
];
