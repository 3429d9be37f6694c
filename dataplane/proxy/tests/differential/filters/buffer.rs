//! `envoy.filters.http.buffer`.

use super::{Ask, Setting, ask, get, post};

const FILTER: &str = r#"
- name: buffer
  typed_config: { "@type": @BUFFER@.Buffer, max_request_bytes: 10 }
"#;

const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  routes:
  - match: { prefix: "/off" }
    route: { cluster: up }
    typed_per_filter_config: { buffer: { "@type": @BUFFER@.BufferPerRoute, disabled: true } }
  - match: { prefix: "/more" }
    route: { cluster: up }
    typed_per_filter_config:
      buffer: { "@type": @BUFFER@.BufferPerRoute, buffer: { max_request_bytes: 40 } }
  - match: { prefix: "/wrapped" }
    route: { cluster: up }
    typed_per_filter_config: { buffer: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "direct" } }
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

const LONG: &str = "eleven long";
const LONGER: &str = "a body that is too long for each of them";

const ASKS: &[Ask] = &[
    get("/", &[]),
    ask("HEAD", "/", &[], ""),
    post("/", &[], ""),
    post("/", &[], "short"),
    post("/", &[], "ten bytes."),
    post("/direct", &[], "short"),
    post("/off", &[], LONGER),
    post("/wrapped", &[], LONGER),
    post("/more", &[], LONG),
];

pub(super) const SETTINGS: &[Setting] =
    &[Setting { name: "buffer", filters: FILTER, routes: ROUTES, asks: ASKS }];
