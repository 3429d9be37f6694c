//! Requests and answers of unusual shape, and what is made of them by options that change it.

use super::{ALL_UP, Case, Setting, differs, get, option, routes, same};

/// A POST of two bytes with these fields.
macro_rules! post {
    ($($field:literal),*) => {
        concat!("POST /p HTTP/1.1\r\nHost: x\r\n", $($field, "\r\n",)* "\r\nhi")
    };
}

/// What upstreams say of themselves.
const SERVERS: &[Case] = &[
    same("said by the upstream", get!("/server")),
    same("not said", get!("/a")),
    same("none is asked", "GET / HTTP/1.1\r\n\r\n"),
];

/// A certificate that somebody claims to have seen.
const CLAIMED: &[Case] = &[
    same("claimed", get!("/a", "X-Forwarded-Client-Cert: Hash=1;URI=spiffe://a/ns/b/sa/c")),
    same("not claimed", get!("/a")),
];

/// Methods, bodies and endings as they pass from one codec to the other.
const CODECS: &[Case] = &[
    same("get", get!("/a?b=c", "X-Mixed: Value")),
    same("head", "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"),
    same("post", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
    same(
        "post chunked",
        "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
         0\r\nx-t: 1\r\n\r\n",
    ),
    same("cookies", get!("/a", "Cookie: a=1; b=2", "Cookie: c=3")),
    same("te", get!("/a", "TE: trailers")),
    same("hop by hop", get!("/a", "Connection: keep-alive, x-hop", "X-Hop: 1", "Keep-Alive: 5")),
    same("204", get!("/status/204")),
    same("304", get!("/status/304")),
    same("503", get!("/status/503")),
    same("chunked", get!("/chunked")),
    same("until the end", get!("/close")),
    same("closing", get!("/closing")),
    same("broken", get!("/broken")),
    same("short", get!("/short")),
    same("two", concat!(get!("/1"), get!("/2"))),
    same("a call by gRPC", get!("/grpc/0", "Content-Type: application/grpc", "TE: trailers")),
    same("a long authority", "GET / HTTP/1.1\r\nHost: a.b.c:8080\r\n\r\n"),
];

pub(super) const SETTINGS: &[Setting] = &[
    option(
        "unusual targets",
        "normalize_path: false",
        &[
            same("a fragment", get!("/a#b")),
            same("a fragment behind a query", get!("/a?b#c")),
            same("an empty query", get!("/?")),
            same("two question marks", get!("/a?b?c")),
            same("slashes alone", get!("///")),
            same("no escape", get!("/%zz")),
            same("half an escape", get!("/%2")),
            same("an escaped NUL", get!("/%00")),
            same("marks", get!("/a;b=c,d:e@f!g$h&i'j(k)*l+m")),
            same("no slash", "GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("an asterisk", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("a query alone", "GET ?a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("https", "GET https://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("ftp", "GET ftp://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("a host without a host field", "GET http://b/c HTTP/1.1\r\n\r\n"),
        ],
    ),
    option(
        "unusual targets made normal",
        "normalize_path: true\nmerge_slashes: true",
        &[
            same("a fragment", get!("/a/../b#c/../d")),
            same("dots in a query", get!("/a/../b?c/../d")),
            same("an escaped NUL", get!("/a/..%00/b")),
            same("no escape", get!("/a/../%zz")),
            same("marks", get!("/a/./;b/..;/c")),
            same("parameters of dots", get!("/a/b/..;x=1/c/.;y/d/...;z")),
            same("parameters of the last dots", get!("/a/b/..;x")),
            differs(
                "parameters of escaped dots",
                get!("/a/b/%2e%2e;x/c"),
                "escaped dots with parameters",
            ),
            same("three dots", get!("/a/.../b")),
            same("a slash at the end", get!("/a/b/..")),
            same("an absolute form", "GET http://b/c/../d HTTP/1.1\r\nHost: a\r\n\r\n"),
        ],
    ),
    option(
        "unusual fields",
        "via: none",
        &[
            same("empty", get!("/", "X-A:")),
            same("spaces around", get!("/", "X-A:   b  c\t ")),
            same("high bytes", get!("/", "X-A: \u{e9}t\u{e9}")),
            same("an underscore", get!("/", "X_A: b")),
            same("marks in a name", get!("/", "X!#$%&'*+.^`|~: b")),
            same("a control character", get!("/", "X-A: a\u{1}b")),
            same("a tab", get!("/", "X-A: a\tb")),
            same("DEL", get!("/", "X-A: a\u{7f}b")),
            same("no name", get!("/", ": b")),
            same("a space in a name", get!("/", "X A: b")),
            same("no colon", get!("/", "X-A")),
            same("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
            same("empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("many cookies", get!("/", "Cookie: a=1", "Cookie: b=2")),
            same("expects something else", post!("Expect: wonders", "Content-Length: 2")),
            same("max-forwards", get!("/", "Max-Forwards: 0")),
            same("authorization", get!("/", "Authorization: Basic YTpi")),
        ],
    ),
    option(
        "unusual lengths",
        "codec_type: HTTP1",
        &[
            same("a sign", post!("Content-Length: +2")),
            same("below zero", post!("Content-Length: -2")),
            same("twice the same", post!("Content-Length: 2", "Content-Length: 2")),
            same("a list of the same", post!("Content-Length: 2, 2")),
            same("empty", post!("Content-Length:")),
            same("hexadecimal", post!("Content-Length: 0x2")),
            same("too large", post!("Content-Length: 99999999999999999999999")),
            same("of a GET", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
            same("an unknown coding", post!("Transfer-Encoding: gzip, chunked")),
            same("identity", post!("Transfer-Encoding: identity")),
            same("chunked twice", post!("Transfer-Encoding: chunked, chunked")),
            same(
                "capitals",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n\
                 2\r\nhi\r\n0\r\n\r\n",
            ),
            same(
                "extensions",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;a=b;c=\"d\"\r\nhi\r\n0;e\r\n\r\n",
            ),
            same(
                "zeros before a size",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             0002\r\nhi\r\n000\r\n\r\n",
            ),
            same(
                "a size that is none",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhi\r\n",
            ),
            same(
                "an empty size",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            ),
        ],
    ),
    option(
        "no absolute targets",
        "http_protocol_options: { allow_absolute_url: false }",
        &[
            same("absolute", "GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("of the origin", get!("/a")),
        ],
    ),
    option(
        "dots at the end",
        "strip_trailing_host_dot: true",
        &[
            same("dot", "GET / HTTP/1.1\r\nHost: a.b.\r\n\r\n"),
            same("dot and port", "GET / HTTP/1.1\r\nHost: a.b.:80\r\n\r\n"),
            same("two dots", "GET / HTTP/1.1\r\nHost: a.b..\r\n\r\n"),
            same("none", "GET / HTTP/1.1\r\nHost: a.b\r\n\r\n"),
        ],
    ),
    option(
        "three hops",
        "xff_num_trusted_hops: 3",
        &[
            same("four", get!("/", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4")),
            same("three", get!("/", "X-Forwarded-For: 1.1.1.1,2.2.2.2,3.3.3.3")),
            same("two", get!("/", "X-Forwarded-For: 1.1.1.1, 2.2.2.2")),
            same("of IPv6", get!("/", "X-Forwarded-For: ::1, 2.2.2.2, 3.3.3.3")),
            same("with ports", get!("/", "X-Forwarded-For: 1.1.1.1:80, 2.2.2.2:1, 3.3.3.3:2")),
        ],
    ),
    option(
        "no ids but in answers",
        "generate_request_id: false\nalways_set_request_id_in_response: true",
        &[same("none", get!("/")), same("own", get!("/", "X-Request-Id: mine"))],
    ),
    option("upstreams overwritten", "server_header_transformation: OVERWRITE\nvia: mesh", SERVERS),
    option(
        "upstreams if absent",
        "server_header_transformation: APPEND_IF_ABSENT\nserver_name: mine",
        SERVERS,
    ),
    option("upstreams passed", "server_header_transformation: PASS_THROUGH\nvia: mesh", SERVERS),
    option("certificates removed", "forward_client_cert_details: SANITIZE", CLAIMED),
    option("certificates forwarded", "forward_client_cert_details: FORWARD_ONLY", CLAIMED),
    option("certificates added", "forward_client_cert_details: APPEND_FORWARD", CLAIMED),
    option(
        "certificates always forwarded",
        "forward_client_cert_details: ALWAYS_FORWARD_ONLY",
        CLAIMED,
    ),
    routes(
        "upgrades of a route",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /ws }
    route: { cluster: up, upgrade_configs: [{ upgrade_type: WebSocket }] }
  - match: { prefix: /no }
    route: { cluster: up, upgrade_configs: [{ upgrade_type: websocket, enabled: false }] }
  - match: { prefix: / }
    route: { cluster: up }"#,
        &[
            same("enabled", get!("/ws", "Connection: upgrade", "Upgrade: websocket")),
            same("in capitals", get!("/ws", "Connection: Upgrade", "Upgrade: WEBSOCKET")),
            same("not enabled", get!("/no", "Connection: upgrade", "Upgrade: websocket")),
            same("not named", get!("/a", "Connection: upgrade", "Upgrade: websocket")),
            same("another", get!("/ws", "Connection: upgrade", "Upgrade: other")),
        ],
    ),
    routes(
        "fields taken away",
        r#"request_headers_to_remove: [x-forwarded-for, x-request-id, user-agent, cookie]
response_headers_to_remove: [server, date, content-type, x-up]
response_headers_to_add:
- { header: { key: x-late, value: "%RESP(content-length)%" } }
virtual_hosts:
- name: all
  domains: ["*"]
  request_headers_to_add:
  - header: { key: x-forwarded-proto, value: https }
    append_action: OVERWRITE_IF_EXISTS_OR_ADD
  - { header: { key: cookie, value: "a=%REQ(cookie)%" } }
  routes:
  - { match: { prefix: /direct }, direct_response: { status: 410 } }
  - { match: { prefix: / }, route: { cluster: up } }"#,
        &[
            same("of a request", get!("/", "X-Forwarded-For: 1.2.3.4", "Cookie: c=d")),
            same("of an answer", get!("/server")),
            same("of ours", get!("/direct")),
        ],
    ),
    routes(
        "pseudo-fields",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match:
      prefix: /
      headers: [{ name: ":method", string_match: { safe_regex: { regex: "P(OST|UT)" } } }]
    direct_response: { status: 201 }
  - match: { prefix: /, headers: [{ name: ":path", string_match: { suffix: "?q" } }] }
    direct_response: { status: 202 }
  - match: { prefix: /, headers: [{ name: ":authority", string_match: { prefix: "b." } }] }
    direct_response: { status: 203 }
  - match: { prefix: /, headers: [{ name: ":scheme", string_match: { exact: https } }] }
    direct_response: { status: 206 }
  - match: { prefix: /, headers: [{ name: host, string_match: { exact: c } }] }
    direct_response: { status: 207 }
  - match: { prefix: /, headers: [{ name: x-forwarded-proto, string_match: { exact: http } }] }
    direct_response: { status: 208 }"#,
        &[
            same("method", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
            same("path", get!("/a?q")),
            same("authority", "GET / HTTP/1.1\r\nHost: b.c\r\n\r\n"),
            same("scheme", get!("/", "X-Forwarded-Proto: https")),
            same("host", "GET / HTTP/1.1\r\nHost: c\r\n\r\n"),
            same("proto", get!("/")),
        ],
    ),
    routes(
        "paths in detail",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { path_separated_prefix: /sep, case_sensitive: false }
    direct_response: { status: 201 }
  - match: { path: /Exact, case_sensitive: false }
    direct_response: { status: 202 }
  - match: { safe_regex: { regex: "/re(/|\\?q)?.*x" } }
    direct_response: { status: 203 }
  - match: { prefix: "/pre%20fix" }
    direct_response: { status: 206 }
  - match: { prefix: /a/ }
    direct_response: { status: 207 }"#,
        &[
            same("separated", get!("/sep")),
            same("separated with a slash", get!("/sep/")),
            same("separated with a query", get!("/sep?x")),
            same("separated in capitals", get!("/SEP/x")),
            same("not separated", get!("/separate")),
            same("exact in small letters", get!("/exact?q")),
            same("exact and a slash", get!("/exact/")),
            same("regex without the query", get!("/re?qx")),
            same("regex", get!("/re/yx?q")),
            same("escaped", get!("/pre%20fixed")),
            same("a slash at the end", get!("/a")),
            same("semicolon", get!("/a;b/c")),
        ],
    ),
    Setting {
        name: "who asks by address",
        options: "xff_num_trusted_hops: 1",
        filters: r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: ALLOW
      policies:
        remote:
          permissions: [{ url_path: { path: { exact: /remote } } }]
          principals: [{ remote_ip: { address_prefix: 10.0.0.0, prefix_len: 8 } }]
        direct:
          permissions: [{ url_path: { path: { exact: /direct } } }]
          principals: [{ direct_remote_ip: { address_prefix: 127.0.0.0, prefix_len: 8 } }]
        port:
          permissions:
          - and_rules:
              rules:
              - url_path: { path: { exact: /port } }
              - destination_port_range: { start: 1, end: 1024 }
          principals: [{ any: true }]
        name:
          permissions:
          - and_rules:
              rules:
              - url_path: { path: { exact: /name } }
              - requested_server_name: { exact: a.b }
          principals: [{ any: true }]"#,
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("inside", get!("/remote", "X-Forwarded-For: 10.1.1.1, 1.1.1.1")),
            same("the last", get!("/remote", "X-Forwarded-For: 1.1.1.1, 10.1.1.1")),
            same("nobody said", get!("/remote")),
            same("direct", get!("/direct", "X-Forwarded-For: 10.1.1.1")),
            same("port", get!("/port")),
            same("name", get!("/name")),
        ],
    },
    Setting {
        name: "upstream by HTTP 2",
        options: "",
        filters: "",
        routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: / }, route: { cluster: inner } }]"#,
        clusters: r#"- name: inner
  connect_timeout: 1s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 1 } }
  load_assignment:
    cluster_name: inner
    endpoints: [{ lb_endpoints: [{ endpoint: { address: *inner } }] }]"#,
        cases: CODECS,
    },
    Setting {
        name: "upstream as downstream",
        options: "",
        filters: "",
        routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: / }, route: { cluster: inner } }]"#,
        clusters: r#"- name: inner
  connect_timeout: 1s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      use_downstream_protocol_config: { http2_protocol_options: {} }
  load_assignment:
    cluster_name: inner
    endpoints: [{ lb_endpoints: [{ endpoint: { address: *inner } }] }]"#,
        cases: CODECS,
    },
];
