//! `envoy.filters.http.grpc_web`.

use super::{Ask, Setting, ask, get, post};

const FILTERS: &str = r#"
- name: web
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb }
- name: fault
  typed_config: { "@type": @FAULT@ }
"#;

const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  routes:
  - match: { prefix: "/refused" }
    route: { cluster: up }
    typed_per_filter_config:
      fault: { "@type": @FAULT@, abort: { http_status: 403, percentage: { numerator: 100 } } }
  - match: { prefix: "/said" }
    route: { cluster: up }
    response_headers_to_add:
    - header: { key: content-type, value: application/grpc+proto }
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
  - match: { prefix: "/off" }
    route: { cluster: up }
    typed_per_filter_config: { web: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/direct" }
    direct_response: { status: 404, body: { inline_string: "no such, 100%" } }
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

const WEB: &[&str] = &["content-type: application/grpc-web"];
const PROTO: &[&str] = &["content-type: application/grpc-web+proto", "x-user: 1"];
const TEXT: &[&str] =
    &["content-type: application/grpc-web-text", "accept: application/grpc-web-text"];
const TEXT_PROTO: &[&str] =
    &["content-type: application/grpc-web-text+proto", "accept: application/grpc-web-text+proto"];
const TO_TEXT: &[&str] = &["content-type: application/grpc-web", TEXT[1]];

/// The upstream speaks HTTP/1.1.
const UNENDED: Option<&str> = Some("of an upstream that sends no trailers");

const ASKS: &[Ask] = &[
    get("/grpc", &[]),
    post("/grpc", WEB, "abc"),
    post("/grpc", PROTO, "abc"),
    Ask { differs: UNENDED, ..post("/grpc", TEXT, "AAAAAANhYmM=") },
    Ask { differs: UNENDED, ..post("/grpc", TEXT_PROTO, "AAAAAANhYmM=") },
    Ask { differs: UNENDED, ..post("/grpc", TO_TEXT, "abc") },
    post("/grpc", &["content-type: application/grpc-web-text; charset=utf-8"], "AAAA"),
    post("/grpc", &["content-type: application/grpc-web+json"], "AAAA"),
    post("/off", WEB, "abc"),
    // Answers that are none by gRPC.
    post("/", WEB, "abc"),
    post("/", TEXT, "AAAA"),
    post("/status/503", WEB, "abc"),
    post("/status/204", WEB, "abc"),
    post("/direct", WEB, "abc"),
    post("/direct", TEXT, "AAAA"),
    post("/refused", WEB, "abc"),
    post("/refused", TEXT, "AAAA"),
    post("/said/grpc", WEB, "abc"),
    // What is no base64.
    post("/grpc", TEXT, "A"),
    post("/grpc", TEXT, "AAA*"),
    post("/grpc", TEXT, "===="),
    ask("OPTIONS", "/grpc", WEB, ""),
];

pub(super) const SETTINGS: &[Setting] =
    &[Setting { name: "web", filters: FILTERS, routes: ROUTES, asks: ASKS }];
