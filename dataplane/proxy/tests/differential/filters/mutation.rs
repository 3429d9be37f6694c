//! `envoy.filters.http.header_mutation`, on the way up and on the way back.

use super::{Ask, GRPC, Setting, get, post};

/// The last word is the table's.
const FILTERS: &str = r#"
- name: first
  typed_config:
    "@type": @MUTATION@.HeaderMutation
    mutations:
      request_mutations:
      - append: { header: { key: x-order, value: first } }
      - remove: x-gone
      - append: { header: { key: x-set, value: "1" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
      - append: { header: { key: x-if, value: "1" }, append_action: OVERWRITE_IF_EXISTS }
      - append: { header: { key: x-new, value: "1" }, append_action: ADD_IF_ABSENT }
      - append: { header: { key: x-empty, value: "" } }
      response_mutations:
      - append: { header: { key: x-order, value: first } }
      - remove: x-up
- name: deny
  typed_config:
    "@type": @RBAC@.RBAC
    rules:
      action: DENY
      policies:
        all: { permissions: [{ any: true }], principals: [{ header: { name: x-order-deny } }] }
- name: second
  typed_config:
    "@type": @MUTATION@.HeaderMutation
    most_specific_header_mutations_wins: @WINS@
    mutations:
      request_mutations:
      - remove_on_match: { key_matcher: { prefix: "x-secret" } }
      - append: { header: { key: x-order, value: second } }
      response_mutations:
      - append: { header: { key: x-order, value: second } }
      - append: { header: { key: x-set, value: filter }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
"#;

const ROUTES: &str = r#"
response_headers_to_add: [{ header: { key: x-order, value: routes } }]
typed_per_filter_config:
  second:
    "@type": @MUTATION@.HeaderMutationPerRoute
    mutations:
      request_mutations: [{ append: { header: { key: x-order, value: table } } }]
      response_mutations:
      - append: { header: { key: x-set, value: table }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
virtual_hosts:
- name: all
  domains: ["*"]
  typed_per_filter_config:
    second:
      "@type": @MUTATION@.HeaderMutationPerRoute
      mutations:
        request_mutations: [{ append: { header: { key: x-order, value: host } } }]
  routes:
  - match: { prefix: "/route" }
    route: { cluster: up }
    typed_per_filter_config:
      second:
        "@type": @MUTATION@.HeaderMutationPerRoute
        mutations:
          request_mutations: [{ append: { header: { key: x-order, value: route } } }]
          response_mutations:
          - append:
              header: { key: x-set, value: route }
              append_action: OVERWRITE_IF_EXISTS_OR_ADD
  - match: { prefix: "/off" }
    route: { cluster: up }
    typed_per_filter_config: { second: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "direct" } }
  - match: { prefix: "/a" }
    route: { cluster: up }
"#;

const ASKS: &[Ask] = &[
    get("/a", &[]),
    get("/a", &["x-gone: 1", "x-set: 0", "x-if: 0", "x-new: 0", "x-secret-a: 1", "x-secret: 2"]),
    get("/route", &[]),
    get("/off", &["x-secret: 2"]),
    get("/direct", &[]),
    get("/a", &["x-order-deny: 1"]),
    post("/a", GRPC, ""),
    get("/nowhere", &[]),
    get("/status/204", &[]),
];

pub(super) const SETTINGS: &[Setting] = &[
    Setting { name: "mutation", filters: FILTERS, routes: ROUTES, asks: ASKS },
    Setting { name: "mutation-wins", filters: FILTERS, routes: ROUTES, asks: ASKS },
];
