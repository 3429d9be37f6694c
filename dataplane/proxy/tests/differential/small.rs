//! Many small configurations: one option of the connection manager, of a route or a cluster each.

use super::{ALL_UP, Case, Setting, differs, get, option, routes, same};

const fn filter(name: &'static str, filters: &'static str, cases: &'static [Case]) -> Setting {
    Setting { name, options: "", filters, routes: ALL_UP, clusters: "", cases }
}

/// Paths in every form that some option changes.
const PATHS: &[Case] = &[
    same("dots", get!("/a/./b/../c")),
    same("slashes", get!("//a///b")),
    same("encoded slash", get!("/a%2Fb%5cc")),
    same("encoded letters", get!("/%41%7e%25?%2F//..")),
    same("above the root", get!("/../../a")),
    same("only dots", get!("/..")),
    same("nested escapes", get!("/a%%32fb%%%32%66%%41")),
    same("nested dots", get!("/a/%%32e%%32e/b%2%66")),
];

/// Requests by HTTP/1.0.
const OLD: &[Case] = &[
    same("old get with host", "GET /a HTTP/1.0\r\nHost: x\r\n\r\n"),
    same("old keep-alive", "GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"),
    same("old post", "POST /a HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
    same("old chunked answer", "GET /chunked HTTP/1.0\r\nHost: x\r\n\r\n"),
    same("old head", "HEAD /a HTTP/1.0\r\nHost: x\r\n\r\n"),
];

/// What says who asks.
const FORWARDED: &[Case] = &[
    same("nothing said", get!("/a")),
    same("for said", get!("/a", "X-Forwarded-For: 1.2.3.4, 10.0.0.1")),
    same("proto said", get!("/a", "X-Forwarded-Proto: https")),
    same("host said", get!("/a", "X-Forwarded-Host: other", "X-Forwarded-Port: 99")),
    same("id said", get!("/a", "X-Request-Id: mine")),
    same("steering", get!("/a", "X-Envoy-Max-Retries: 2", "X-Envoy-Internal: true")),
];

/// Who serves.
const SERVED: &[Case] =
    &[same("from upstream", get!("/a")), same("not from upstream", get!("/status/503"))];

/// Fields around the number of six to nine.
const HEADS: &[Case] = &[
    same("small", get!("/a")),
    same("several", get!("/a", "A: 1", "B: 2", "C: 3", "D: 4", "E: 5", "F: 6")),
    same("twice the same", get!("/a", "A: 1", "A: 2", "A: 3", "A: 4", "A: 5", "A: 6", "A: 7")),
];

pub(super) const SETTINGS: &[Setting] = &[
    option("accept old", "http_protocol_options: { accept_http_10: true }", OLD),
    option(
        "accept old without a host",
        "http_protocol_options: { accept_http_10: true }",
        &[differs("old get", "GET /a HTTP/1.0\r\n\r\n", "an HTTP/1.0 request that is refused")],
    ),
    option("refuse old", "http_protocol_options: { accept_http_10: false }", OLD),
    option("normalize", "normalize_path: true", PATHS),
    option("merge", "merge_slashes: true", PATHS),
    option("normalize and merge", "normalize_path: true\nmerge_slashes: true", PATHS),
    option("escaped kept", "path_with_escaped_slashes_action: KEEP_UNCHANGED", PATHS),
    option("escaped refused", "path_with_escaped_slashes_action: REJECT_REQUEST", PATHS),
    option("escaped forwarded", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", PATHS),
    option("escaped redirected", "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT", PATHS),
    option(
        "all forms",
        "normalize_path: true\nmerge_slashes: true\n\
         path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD",
        PATHS,
    ),
    option(
        "remote address",
        "use_remote_address: true",
        &[differs("nothing said", get!("/a"), "`use_remote_address` and a client on loopback")],
    ),
    option("no remote address", "use_remote_address: false", FORWARDED),
    option("ids kept", "preserve_external_request_id: true", FORWARDED),
    option("no ids", "generate_request_id: false", FORWARDED),
    option("via", "via: mesh", FORWARDED),
    option("server overwritten", "server_header_transformation: OVERWRITE", SERVED),
    option("server if absent", "server_header_transformation: APPEND_IF_ABSENT", SERVED),
    option("server passed", "server_header_transformation: PASS_THROUGH", SERVED),
    option("server named", "server_name: other", SERVED),
    option("few fields", "common_http_protocol_options: { max_headers_count: 6 }", HEADS),
    option("fields enough", "common_http_protocol_options: { max_headers_count: 9 }", HEADS),
    option("short heads", "max_request_headers_kb: 1", HEADS),
    option(
        "absolute urls",
        "http_protocol_options: { allow_absolute_url: true }",
        &[
            same("absolute", "GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("absolute with port", "GET http://b:8080/c?d HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("absolute without path", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n"),
            same("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ],
    ),
    option(
        "continue passed on",
        "proxy_100_continue: true",
        &[
            same(
                "expected",
                "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
            ),
            same("interim", get!("/interim")),
        ],
    ),
    option(
        "http 1 alone",
        "codec_type: HTTP1",
        &[
            same("get", get!("/a")),
            same("methods", "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"),
            same("delete", "DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("patch", "PATCH /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"),
            same("options", "OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("trace", "TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("unknown method", "BREW /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("small letters", "get /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            differs(
                "the preface of HTTP/2",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "HTTP/2's preface where HTTP/1 alone is spoken",
            ),
        ],
    ),
    option(
        "upgrades",
        "upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: other, enabled: false }]",
        &[
            same("not enabled", get!("/a", "Connection: Upgrade", "Upgrade: other")),
            same("unknown", get!("/a", "Connection: Upgrade", "Upgrade: foo")),
            same("no connection", get!("/a", "Upgrade: websocket")),
        ],
    ),
    routes(
        "hosts",
        r#"ignore_port_in_host_matching: true
virtual_hosts:
- name: a
  domains: ["a.b", "*.long.b", "*.b"]
  routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: a } } }]
- name: c
  domains: ["x.*", "x.long.*"]
  routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: c } } }]
- name: d
  domains: ["e.long.b", "*"]
  routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: d } } }]
"#,
        &[
            same("equal", "GET / HTTP/1.1\r\nHost: a.b\r\n\r\n"),
            same("equal with port", "GET / HTTP/1.1\r\nHost: a.b:1234\r\n\r\n"),
            same("equal before suffix", "GET / HTTP/1.1\r\nHost: e.long.b\r\n\r\n"),
            same("suffix", "GET / HTTP/1.1\r\nHost: z.b\r\n\r\n"),
            same("suffix before prefix", "GET / HTTP/1.1\r\nHost: x.b\r\n\r\n"),
            same("prefix", "GET / HTTP/1.1\r\nHost: x.long.y\r\n\r\n"),
            same("any", "GET / HTTP/1.1\r\nHost: q\r\n\r\n"),
            same("ipv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
        ],
    ),
    routes(
        "header kinds",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /, headers: [{ name: k, string_match: { prefix: pre } }] }
    direct_response: { status: 201 }
  - match: { prefix: /, headers: [{ name: k, string_match: { suffix: suf } }] }
    direct_response: { status: 202 }
  - match: { prefix: /, headers: [{ name: k, string_match: { contains: mid } }] }
    direct_response: { status: 203 }
  - match: { prefix: /, headers: [{ name: k, string_match: { safe_regex: { regex: "[0-9]+x" } } }] }
    direct_response: { status: 206 }
  - match: { prefix: /, headers: [{ name: k, range_match: { start: -5, end: 5 } }] }
    direct_response: { status: 207 }
  - match: { prefix: /, headers: [{ name: k, string_match: { exact: FOLD, ignore_case: true } }] }
    direct_response: { status: 208 }
  - match: { prefix: /, headers: [{ name: k, present_match: false }] }
    direct_response: { status: 400 }
  - match: { prefix: /, headers: [{ name: ":method", string_match: { exact: POST } }] }
    direct_response: { status: 401 }"#,
        &[
            same("prefix", get!("/", "K: prefer")),
            same("suffix", get!("/", "K: xsuf")),
            same("contains", get!("/", "K: amidst")),
            same("regex", get!("/", "K: 12x")),
            same("regex not whole", get!("/", "K: 12xy")),
            same("range", get!("/", "K: -5")),
            same("range end", get!("/", "K: 5")),
            same("folded", get!("/", "K: fOLd")),
            same("absent", get!("/")),
            same("method", "POST / HTTP/1.1\r\nHost: x\r\nK: z\r\nContent-Length: 0\r\n\r\n"),
            same("nothing", get!("/", "K: z")),
        ],
    ),
    routes(
        "query kinds",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /, query_parameters: [{ name: k, string_match: { prefix: p } }] }
    direct_response: { status: 201 }
  - match:
      prefix: /
      query_parameters: [{ name: k, string_match: { safe_regex: { regex: "1+" } } }]
    direct_response: { status: 202 }
  - match: { prefix: /, query_parameters: [{ name: there, present_match: true }] }
    direct_response: { status: 203 }
  - match: { prefix: / }
    direct_response: { status: 206 }"#,
        &[
            same("prefix", get!("/?k=pre")),
            same("second", get!("/?a=b&k=pre")),
            same("first of two", get!("/?k=x&k=pre")),
            same("regex", get!("/?k=11")),
            same("present", get!("/?there")),
            same("present with value", get!("/?x&there=1&y")),
            same("encoded", get!("/?k=%70re")),
            same("empty", get!("/?")),
        ],
    ),
    routes(
        "direct answers",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - { match: { path: /200 }, direct_response: { status: 200, body: { inline_string: "{}" } } }
  - { match: { path: /204 }, direct_response: { status: 204 } }
  - { match: { path: /404 }, direct_response: { status: 404, body: { inline_string: "no" } } }
  - { match: { path: /503 }, direct_response: { status: 503 } }"#,
        &[
            same("200", get!("/200")),
            same("204", get!("/204")),
            same("404", get!("/404")),
            same("503", get!("/503")),
            same("nowhere", get!("/nowhere")),
        ],
    ),
    routes(
        "additions",
        r#"request_headers_to_add: [{ header: { key: x-a, value: table } }]
response_headers_to_add: [{ header: { key: x-r, value: table } }]
virtual_hosts:
- name: all
  domains: ["*"]
  request_headers_to_add: [{ header: { key: x-a, value: host } }]
  response_headers_to_add: [{ header: { key: x-r, value: host } }]
  routes:
  - match: { prefix: /append }
    route: { cluster: up }
    request_headers_to_add: [{ header: { key: x-a, value: route } }]
    response_headers_to_add: [{ header: { key: x-r, value: route } }]
  - match: { prefix: /if-absent }
    route: { cluster: up }
    request_headers_to_add:
    - { header: { key: x-a, value: route }, append_action: ADD_IF_ABSENT }
    - { header: { key: x-new, value: route }, append_action: ADD_IF_ABSENT }
  - match: { prefix: /overwrite }
    route: { cluster: up }
    request_headers_to_add:
    - { header: { key: x-own, value: route }, append_action: OVERWRITE_IF_EXISTS }
    - { header: { key: x-new, value: route }, append_action: OVERWRITE_IF_EXISTS }
  - match: { prefix: /remove }
    route: { cluster: up }
    request_headers_to_remove: [x-own, x-other]
    response_headers_to_remove: [x-up]"#,
        &[
            same("append", get!("/append", "X-A: own")),
            same("append to none", get!("/append")),
            same("if absent", get!("/if-absent", "X-New: own")),
            same("if it is absent", get!("/if-absent")),
            same("overwrite", get!("/overwrite", "X-Own: 1", "X-Own: 2")),
            same("overwrite nothing", get!("/overwrite")),
            same("remove", get!("/remove", "X-Own: 1", "X-Other: 2", "X-Third: 3")),
        ],
    ),
    routes(
        "the most specific wins",
        r#"most_specific_header_mutations_wins: true
request_headers_to_add:
- { header: { key: x-a, value: table }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
virtual_hosts:
- name: all
  domains: ["*"]
  request_headers_to_add:
  - { header: { key: x-a, value: host }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
  routes: [{ match: { prefix: / }, route: { cluster: up } }]"#,
        &[same("own", get!("/", "X-A: own")), same("none", get!("/"))],
    ),
    routes(
        "no such cluster",
        r#"validate_clusters: false
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /404 }
    route: { cluster: none, cluster_not_found_response_code: NOT_FOUND }
  - { match: { prefix: / }, route: { cluster: none } }"#,
        &[same("404", get!("/404")), same("503", get!("/"))],
    ),
    routes(
        "retries",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /status/503 }
    route: { cluster: up, timeout: 0s, retry_policy: { retry_on: 5xx, num_retries: 2 } }
  - match: { prefix: /status/304 }
    route:
      cluster: up
      timeout: 0s
      retry_policy:
        { retry_on: retriable-status-codes, retriable_status_codes: [304], num_retries: 1 }
  - match: { prefix: /dead }
    route: { cluster: dead, retry_policy: { retry_on: connect-failure, num_retries: 1 } }
  - match: { prefix: /gateway }
    route: { cluster: dead, retry_policy: { retry_on: gateway-error } }
  - match: { prefix: / }
    route: { cluster: up, retry_policy: { retry_on: 5xx } }"#,
        &[
            same("twice more", get!("/status/503")),
            same("a status", get!("/status/304")),
            same("nobody there", get!("/dead")),
            same("gateway", get!("/gateway")),
            same("good", get!("/a")),
            same("asked for", get!("/a", "X-Envoy-Retry-On: 5xx")),
        ],
    ),
    routes(
        "weights",
        r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: /all }
    route: { weighted_clusters: { clusters: [{ name: dead, weight: 0 }, { name: up, weight: 5 }] } }
  - match: { prefix: /none }
    route: { weighted_clusters: { clusters: [{ name: dead, weight: 7 }, { name: up, weight: 0 }] } }
"#,
        &[
            same("all", concat!(get!("/all"), get!("/all"), get!("/all"))),
            same("none", get!("/none")),
        ],
    ),
    filter(
        "deny",
        r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: DENY
      policies:
        p:
          permissions:
          - or_rules:
              rules:
              - url_path: { path: { safe_regex: { regex: "/no/.*" } } }
              - header: { name: x-no, present_match: true }
              - not_rule: { header: { name: ":authority", string_match: { exact: x } } }
          principals: [{ any: true }]"#,
        &[
            same("good", get!("/yes")),
            same("path", get!("/no/a")),
            same("path with query", get!("/yes?/no/a")),
            same("field", get!("/yes", "X-No: 1")),
            same("authority", "GET / HTTP/1.1\r\nHost: y\r\n\r\n"),
        ],
    ),
    filter(
        "allow nothing",
        r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules: { action: ALLOW, policies: {} }"#,
        &[
            same("get", get!("/")),
            same("post", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
            same("no route", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ],
    ),
    Setting {
        name: "one request a connection",
        options: "",
        filters: "",
        routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: / }, route: { cluster: once } }]"#,
        clusters: r#"- name: once
  max_requests_per_connection: 1
  load_assignment:
    cluster_name: once
    endpoints: [{ lb_endpoints: [{ endpoint: *up }] }]"#,
        cases: &[same("three", concat!(get!("/1"), get!("/2"), get!("/3")))],
    },
];
