//! Header values with format operators, at all levels, of requests and responses.

use super::{Setting, differs, get, same};

pub(super) const SETTING: Setting = Setting {
    name: "formats",
    options: "",
    filters: r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: DENY
      policies:
        "no secrets":
          permissions: [{ url_path: { path: { prefix: "/secret" } } }]
          principals: [{ any: true }]"#,
    routes: r#"request_headers_to_add:
- { header: { key: x-table, value: "t[%REQ(x-a)%][%REQ(x-host)%]" } }
- { header: { key: x-up, value: "%UPSTREAM_HOST%" }, keep_empty_value: true }
- header:
    key: x-facts
    value: "%UPSTREAM_CLUSTER% %ROUTE_NAME% %RESPONSE_CODE% %RESPONSE_FLAGS% %PROTOCOL%\
      \ %BYTES_RECEIVED% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\
      \ %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%\
      \ %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_CODE_DETAILS%%REQUESTED_SERVER_NAME%"
- { header: { key: x-none, value: "%REQ(nope)%" } }
- { header: { key: x-keep, value: "%REQ(nope)%" }, keep_empty_value: true }
- { header: { key: x-resp, value: "%RESP(x)%-%RESPONSE_CODE_DETAILS%" } }
- header:
    key: x-req
    value: "%REQ(x-envoy-expected-rq-timeout-ms)% %REQ(x-forwarded-proto)% %REQ(:path)%\
      \ %REQ(:scheme)% %REQ(host)% %REQ(:method)% %REQ(x-b?user-agent):5% 100%%"
- { header: { key: x-query, value: "%PATH(NQ)% %QUERY_PARAM(b)% %QUERY_PARAMS%" } }
- { header: { key: x-state, value: "%FILTER_STATE(a)%|%DYNAMIC_METADATA(a:b)%|%TRACE_ID%" } }
- { header: { key: x-folded, value: "%REQ(accept)% %REQ(x-many)%" } }
response_headers_to_add:
- header:
    key: x-req
    value: "%REQ(x-a)%|%REQ(x-envoy-expected-rq-timeout-ms)%|%REQ(x-host)%|%REQ(:path)%\
      |%RESP(x-up)%|%RESP(:status)%|%RESP(server)%"
- header:
    key: x-facts
    value: "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_PROTOCOL%\
      \ %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_CLUSTER% %ROUTE_NAME% %GRPC_STATUS%\
      \ %RESPONSE_CODE_DETAILS% %PROTOCOL%"
virtual_hosts:
- name: v
  domains: ["*"]
  request_headers_to_add:
  - header: { key: x-host, value: "h[%REQ(x-a)%]" }
    append_action: OVERWRITE_IF_EXISTS_OR_ADD
  routes:
  - name: direct
    match: { prefix: "/direct" }
    direct_response: { status: 403, body: { inline_string: "no" } }
  - { name: empty, match: { prefix: "/empty" }, route: { cluster: empty } }
  - { name: dead, match: { prefix: "/dead" }, route: { cluster: dead } }
  - name: level
    match: { prefix: "/level" }
    route: { cluster: up }
    request_headers_to_add:
    - header: { key: x-a, value: "1" }
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
    - { header: { key: x-b, value: "[%REQ(x-a)%][%REQ(x-gone)%]" } }
    - { header: { key: x-o, value: "added" } }
    - header: { key: x-o, value: "replaced" }
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
    - { header: { key: x-abs, value: "1" }, append_action: ADD_IF_ABSENT }
    - { header: { key: x-abs, value: "2" }, append_action: ADD_IF_ABSENT }
    request_headers_to_remove: [x-gone]
  - { name: all, match: { prefix: "/" }, route: { cluster: up } }"#,
    clusters: "",
    cases: &[
        same("a request", get!("/a?b=c%20d&e", "X-A: 1", "User-Agent: curl/8")),
        same("nothing to say", get!("/")),
        differs(
            "lines of one name",
            get!("/", "Accept: a", "Accept: b", "X-Many: c", "X-Many: d"),
            "several lines of a field that Envoy knows",
        ),
        same("levels", get!("/level", "X-A: old", "X-Gone: g", "X-O: mine", "X-B: b")),
        same("a forwarded client", get!("/", "X-Forwarded-For: 9.9.9.9, 8.8.8.8")),
        same("an answer of the route", get!("/direct", "X-A: 1")),
        same("no host", get!("/empty", "X-A: 1")),
        same("a dead host", get!("/dead", "X-A: 1")),
        same("refused by a policy", get!("/secret", "X-A: 1")),
        same("a body", "POST /status/503 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
        differs(
            "a call by gRPC",
            get!("/direct", "Content-Type: application/grpc"),
            "operators in `response_headers_to_add` on our own answer to a call by gRPC",
        ),
        same("HEAD", "HEAD / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\r\n"),
    ],
};
