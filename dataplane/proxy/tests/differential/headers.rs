//! Header matchers of routes and policies where a name has several lines.

use super::{Setting, differs, get, same};

pub(super) const SETTING: Setting = Setting {
    name: "headers",
    options: "",
    filters: r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: ALLOW
      policies:
        routes:
          permissions: [{ url_path: { path: { prefix: "/route" } } }]
          principals: [{ any: true }]
        exact:
          permissions: [{ url_path: { path: { exact: "/exact" } } }]
          principals: [{ header: { name: x-k, string_match: { exact: v } } }]
        joined:
          permissions: [{ url_path: { path: { exact: "/joined" } } }]
          principals: [{ header: { name: x-k, string_match: { exact: "v,w" } } }]
        inverted:
          permissions: [{ url_path: { path: { exact: "/not" } } }]
          principals:
          - header: { name: x-k, string_match: { exact: v }, invert_match: true }
        folded:
          permissions: [{ url_path: { path: { exact: "/folded" } } }]
          principals: [{ header: { name: accept, string_match: { exact: "v,w" } } }]
        range:
          permissions: [{ url_path: { path: { exact: "/range" } } }]
          principals: [{ header: { name: x-k, range_match: { start: 1, end: 10 } } }]"#,
    routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { path: "/route/exact", headers: [{ name: x-k, string_match: { exact: v } }] }
    direct_response: { status: 200, body: { inline_string: "exact" } }
  - match: { path: "/route/joined", headers: [{ name: x-k, string_match: { exact: "v,w" } }] }
    direct_response: { status: 200, body: { inline_string: "joined" } }
  - match:
      path: "/route/not"
      headers: [{ name: x-k, string_match: { exact: v }, invert_match: true }]
    direct_response: { status: 200, body: { inline_string: "inverted" } }
  - match: { path: "/route/folded", headers: [{ name: accept, string_match: { exact: "v,w" } }] }
    direct_response: { status: 200, body: { inline_string: "folded" } }
  - match: { path: "/route/prefix", headers: [{ name: x-k, string_match: { prefix: v } }] }
    direct_response: { status: 200, body: { inline_string: "prefix" } }
  - match: { path: "/route/range", headers: [{ name: x-k, range_match: { start: 1, end: 10 } }] }
    direct_response: { status: 200, body: { inline_string: "range" } }
  - match:
      path: "/route/regex"
      headers: [{ name: x-k, string_match: { safe_regex: { regex: "v.*w" } } }]
    direct_response: { status: 200, body: { inline_string: "regex" } }
  - { match: { prefix: "/" }, route: { cluster: up } }"#,
    clusters: "",
    cases: &[
        same("route: the second line", get!("/route/exact", "X-K: w", "X-K: v")),
        same("route: no joined line", get!("/route/joined", "X-K: v", "X-K: w")),
        same("route: one line with a comma", get!("/route/joined", "X-K: v,w")),
        same("route: not, one is", get!("/route/not", "X-K: w", "X-K: v")),
        same("route: not, none is", get!("/route/not", "X-K: u", "X-K: w")),
        same("route: folded", get!("/route/folded", "Accept: v", "Accept: w")),
        same("route: prefix of the second", get!("/route/prefix", "X-K: w", "X-K: v1")),
        same("route: range, the second", get!("/route/range", "X-K: 20", "X-K: 5")),
        same("route: regex over lines", get!("/route/regex", "X-K: v", "X-K: w")),
        same("policy: the second line", get!("/exact", "X-K: w", "X-K: v")),
        same("policy: no joined line", get!("/joined", "X-K: v", "X-K: w")),
        same("policy: one line with a comma", get!("/joined", "X-K: v,w")),
        same("policy: not, one is", get!("/not", "X-K: w", "X-K: v")),
        same("policy: not, none is", get!("/not", "X-K: u", "X-K: w")),
        same("policy: range, the second", get!("/range", "X-K: 20", "X-K: 5")),
        same("policy: not folded", get!("/folded", "Accept: v", "Accept: x")),
        differs(
            "policy: folded",
            get!("/folded", "Accept: v", "Accept: w"),
            "several lines of a field that Envoy knows",
        ),
    ],
};
