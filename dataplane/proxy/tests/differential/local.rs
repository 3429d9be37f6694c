//! `local_reply_config`, and bodies that are kept back.

use super::{Setting, differs, get, same};

const ROUTES: &str = r#"virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  routes:
  - match: { prefix: /direct }
    direct_response: { status: 200, body: { inline_string: "direct" } }
    name: direct
  - match: { prefix: /moved }
    redirect: { path_redirect: /elsewhere }
  - match: { prefix: /typed }
    direct_response: { status: 500, body: { inline_string: "direct" } }
    response_headers_to_add: [{ header: { key: content-type, value: text/html } }]
  - match: { prefix: /teapot }
    direct_response: { status: 418, body: { inline_string: "short and stout" } }
  - match: { prefix: /nothing }
    direct_response: { status: 204 }
  - match: { prefix: /empty }
    route: { cluster: empty }
  - match: { prefix: /gone }
    route: { cluster: nobody }
  - match: { prefix: /up }
    route: { cluster: up }
validate_clusters: false"#;

const GRPC: &str = "POST /teapot HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\n\
                    Content-Length: 0\r\n\r\n";

const CASES: &[super::Case] = &[
    same("direct", get!("/direct")),
    same("moved", get!("/moved")),
    same("typed", get!("/typed")),
    same("teapot", get!("/teapot", "X-Who: me")),
    same("teapot by gRPC", GRPC),
    same("teapot by HEAD", "HEAD /teapot HTTP/1.1\r\nHost: x\r\n\r\n"),
    same("no host is well", get!("/empty")),
    same("no cluster", get!("/gone", "X-Who: me")),
    same("no route", get!("/none")),
    same("malformed", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"),
    same("no host", "GET / HTTP/1.1\r\n\r\n"),
    same("an answer of the upstream", get!("/up")),
    same("its error", get!("/up/status/503")),
];

const TEXT: &str = r#"local_reply_config:
  mappers:
  - filter:
      status_code_filter: { comparison: { op: EQ, value: { default_value: 418, runtime_key: a } } }
    status_code: 200
    body: { inline_string: "tea" }
    headers_to_add:
    - { header: { key: x-brewed, value: "%REQ(x-who)% %RESPONSE_CODE%" } }
    - { header: { key: x-host, value: other }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
  - filter: { response_flag_filter: { flags: [NR, NC] } }
    body_format_override:
      text_format: "nowhere: %RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(:path)%\n"
      content_type: text/own
  - filter: { header_filter: { header: { name: x-never } } }
    status_code: 599
  body_format:
    text_format_source:
      inline_string: "%LOCAL_REPLY_BODY%:%RESPONSE_CODE%:%RESPONSE_CODE_DETAILS%:%REQ(x-who)%""#;

const JSON: &str = r#"local_reply_config:
  mappers:
  - filter:
      and_filter:
        filters:
        - status_code_filter:
            comparison: { op: GE, value: { default_value: 400, runtime_key: a } }
        - status_code_filter:
            comparison: { op: LE, value: { default_value: 499, runtime_key: a } }
    status_code: 400
  - filter:
      status_code_filter: { comparison: { op: EQ, value: { default_value: 503, runtime_key: a } } }
    body: { inline_string: "" }
    body_format_override: { text_format: "" }
  - filter:
      status_code_filter: { comparison: { op: EQ, value: { default_value: 500, runtime_key: a } } }
    headers_to_add:
    - header: { key: content-type, value: text/mine }
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
    body: { inline_string: "changed" }
  body_format:
    json_format:
      message: "%LOCAL_REPLY_BODY%"
      status: "%RESPONSE_CODE%"
      flags: "%RESPONSE_FLAGS%""#;

/// No format, and bodies that are replaced or not.
const PLAIN: &str = r#"local_reply_config:
  mappers:
  - filter:
      status_code_filter: { comparison: { op: EQ, value: { default_value: 500, runtime_key: a } } }
    body: { inline_string: "replaced" }
  - filter:
      status_code_filter: { comparison: { op: EQ, value: { default_value: 404, runtime_key: a } } }
    status_code: 403
    headers_to_add: [{ header: { key: grpc-status, value: "5" } }]
  - filter:
      status_code_filter: { comparison: { op: EQ, value: { default_value: 418, runtime_key: a } } }
    headers_to_add: [{ header: { key: grpc-status, value: "5" } }]"#;

/// A body where there may be none.
const NOTHING: &[super::Case] =
    &[differs("nothing", get!("/nothing"), "a body that is written for a 204")];

const fn setting(name: &'static str, options: &'static str) -> Setting {
    Setting { name, options, filters: "", routes: ROUTES, clusters: "", cases: CASES }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting("answers as text", TEXT),
    setting("answers as JSON", JSON),
    setting("answers with other bodies", PLAIN),
    Setting { cases: NOTHING, ..setting("answers of nothing", JSON) },
    Setting {
        name: "bodies kept back",
        options: "",
        filters: r#"- name: buffer
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
    max_request_bytes: 10"#,
        routes: super::ALL_UP,
        clusters: "",
        cases: &[
            same("its length is told", CHUNKED),
            same("it has to come first", EXPECTS),
            same("two", TWO),
            same("an upgrade", UPGRADE),
            same("too long", TOO_LONG),
            same("too long by and by", TOO_MANY),
        ],
    },
];

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\n4;a=b\r\n you\r\n0\r\n\r\n";
const EXPECTS: &str = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                       Content-Length: 5\r\n\r\nhello";
const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\r\n";
const TWO: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi\
                   POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nyou";
const TOO_LONG: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nhello, hello";
const TOO_MANY: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                        5\r\nhello\r\n6\r\n again\r\n0\r\n\r\n";
