//! `envoy.filters.http.health_check`.

use super::{Ask, GRPC, Setting, get, post};

const FILTERS: &str = r#"
- name: check
  typed_config:
    "@type": @CHECK@
    pass_through_mode: false
    headers: [{ name: ":path", string_match: { exact: /healthz } }]
- name: through
  typed_config:
    "@type": @CHECK@
    pass_through_mode: true
    headers: [{ name: ":path", string_match: { prefix: /through } }, { name: x-check }]
- name: well
  typed_config:
    "@type": @CHECK@
    pass_through_mode: false
    headers: [{ name: ":path", string_match: { exact: /well } }]
    cluster_min_healthy_percentages: { up: { value: 100 }, half: { value: 50.9 } }
- name: ill
  typed_config:
    "@type": @CHECK@
    pass_through_mode: false
    headers: [{ name: ":path", string_match: { exact: /ill } }]
    cluster_min_healthy_percentages: { half: { value: 51 } }
- name: empty
  typed_config:
    "@type": @CHECK@
    pass_through_mode: false
    headers: [{ name: ":path", string_match: { exact: /empty } }]
    cluster_min_healthy_percentages: { empty: { value: 1 } }
- name: nothing
  typed_config:
    "@type": @CHECK@
    pass_through_mode: false
    headers: [{ name: ":path", string_match: { exact: /nothing } }]
    cluster_min_healthy_percentages: { empty: { value: 0.5 } }
- name: unknown
  typed_config:
    "@type": @CHECK@
    pass_through_mode: false
    headers: [{ name: ":path", string_match: { exact: /unknown } }]
    cluster_min_healthy_percentages: { nobody: { value: 0 } }
"#;

const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-host, value: h } }]
  routes:
  - match: { path: "/through/off" }
    route: { cluster: up }
    typed_per_filter_config: { through: { "@type": @WRAPPED@, disabled: true } }
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

const ASKS: &[Ask] = &[
    get("/healthz", &[]),
    get("/healthz?q", &[]),
    post("/healthz", &[], "with a body"),
    post("/healthz", GRPC, ""),
    get("/through", &[]),
    get("/through", &["x-check: 1"]),
    get("/through/off", &["x-check: 1"]),
    get("/well", &[]),
    get("/ill", &[]),
    post("/ill", GRPC, ""),
    get("/empty", &[]),
    get("/nothing", &[]),
    get("/unknown", &[]),
    get("/", &[]),
];

pub(super) const SETTINGS: &[Setting] =
    &[Setting { name: "check", filters: FILTERS, routes: ROUTES, asks: ASKS }];
