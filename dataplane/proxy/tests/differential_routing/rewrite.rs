//! What is made of paths and authorities on their way up.

use super::{PLAIN, Setting, differs, get, same};

/// The words in docs/differences-from-envoy.md.
const INVALID: &str = "a rewrite whose outcome is no path or no host";

const PATHS: Setting = Setting {
    name: "rewrite-paths",
    options: "normalize_path: true\nmerge_slashes: true",
    filters: r#"
- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: DENY
      policies:
        before:
          permissions: [{ url_path: { path: { prefix: "/p/secret" } } }]
          principals: [{ any: true }]
        after:
          permissions: [{ url_path: { path: { prefix: "/after" } } }]
          principals: [{ any: true }]"#,
    routes: r#"
virtual_hosts:
- name: r
  domains: ["*"]
  routes:
  - { match: { prefix: "/p/" }, route: { cluster: up, prefix_rewrite: "/" } }
  - { match: { prefix: "/p" }, route: { cluster: up, prefix_rewrite: "/" } }
  - { match: { prefix: "/judged" }, route: { cluster: up, prefix_rewrite: "/after" } }
  - { match: { path: "/exact" }, route: { cluster: up, prefix_rewrite: "/e" } }
  - match: { prefix: "/CASE", case_sensitive: false }
    route: { cluster: up, prefix_rewrite: "/c" }
  - { match: { safe_regex: { regex: "/re/.*" } }, route: { cluster: up, prefix_rewrite: "/all" } }
  - { match: { path_separated_prefix: "/sep" }, route: { cluster: up, prefix_rewrite: "/s" } }
  - match: { prefix: "/rx" }
    route:
      cluster: up
      regex_rewrite:
        pattern: { regex: "/([a-z]+)/([0-9]+)" }
        substitution: '/\2/\1-\0'
  - match: { prefix: "/star" }
    route: { cluster: up, regex_rewrite: { pattern: { regex: "a*" }, substitution: "/" } }
  - match: { prefix: "/backslash" }
    route: { cluster: up, regex_rewrite: { pattern: { regex: "b" }, substitution: 'x\\y' } }
  - match: { prefix: "/nothing" }
    route: { cluster: up, regex_rewrite: { pattern: { regex: ".*" }, substitution: "" } }
  - match: { prefix: "/relative/" }
    route: { cluster: up, regex_rewrite: { pattern: { regex: "^/relative/" }, substitution: "" } }
  - { match: { prefix: "/query" }, route: { cluster: up, prefix_rewrite: "/x?y=" } }
  - { match: { prefix: "/dead" }, route: { cluster: dead, prefix_rewrite: "/" } }
  - match: { prefix: "/told" }
    request_headers_to_add: [{ header: { key: x-envoy-original-path, value: mine } }]
    route: { cluster: up, prefix_rewrite: "/b" }"#,
    cases: &[
        same(get!("/p/a?b")),
        same(get!("/p/a?b", "x-envoy-original-path: /client")),
        same(get!("/p")),
        same(get!("/pabc")),
        same(get!("/p//a/./b")),
        same(get!("/p/a/../../p/b")),
        same(get!("/p/secret")),
        same(get!("/p/x/../secret")),
        same(get!("/judged")),
        same(get!("/after")),
        same(get!("/exact?q")),
        same(get!("/cAsEx")),
        same(get!("/re/a?b")),
        same(get!("/sep")),
        same(get!("/sep/a")),
        same(get!("/rx/ab/12/cd/34?x=/a/1")),
        same(get!("/rx")),
        same(get!("/starbaac")),
        same(get!("/backslash")),
        same(get!("/nothing/x?y")),
        differs(get!("/relative/x?y"), INVALID),
        same(get!("/queryz?a")),
        same(get!("/dead/x")),
        same(get!("/told/x")),
        same("POST /p/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
    ],
    ..PLAIN
};

const HOST_ROUTES: &str = r#"
virtual_hosts:
- name: r
  domains: ["*"]
  routes:
  - match: { prefix: "/literal" }
    route: { cluster: up, host_rewrite_literal: "new.example" }
  - match: { prefix: "/forwarded" }
    route:
      cluster: up
      host_rewrite_literal: "new.example:81"
      append_x_forwarded_host: true
  - match: { prefix: "/header" }
    route: { cluster: up, host_rewrite_header: x-host, append_x_forwarded_host: true }
  - match: { prefix: "/path/" }
    route: { cluster: up, host_rewrite_header: ":path" }
  - match: { prefix: "/hpx" }
    route:
      cluster: up
      host_rewrite_path_regex:
        pattern: { regex: "^/hpx/([a-z]*)/.*$" }
        substitution: '\1.example'
      append_x_forwarded_host: true
      prefix_rewrite: "/z"
  - match: { prefix: "/auto" }
    route: { cluster: named, auto_host_rewrite: true, append_x_forwarded_host: true }
  - { match: { prefix: "/nameless" }, route: { cluster: up, auto_host_rewrite: true } }
  - match: { prefix: "/manual" }
    route: { cluster: named, auto_host_rewrite: false, append_x_forwarded_host: true }
  - match: { prefix: "/added" }
    request_headers_to_add:
    - { header: { key: x-envoy-original-host, value: mine } }
    - { header: { key: x-host, value: added } }
    route: { cluster: up, prefix_rewrite: "/b", host_rewrite_header: x-host }
  - match: { prefix: "/status/503" }
    route:
      cluster: named
      auto_host_rewrite: true
      append_x_forwarded_host: true
      retry_policy: { retry_on: "5xx", num_retries: 1 }"#;

const HOSTS: Setting = Setting {
    name: "rewrite-hosts",
    routes: HOST_ROUTES,
    cases: &[
        same(get!("/literal" at "old:99")),
        same(get!("/literal" at "old", "x-envoy-original-host: client")),
        same(get!("/forwarded" at "old:99")),
        same(get!("/forwarded" at "old", "x-forwarded-host: old")),
        same(get!("/forwarded" at "old", "x-forwarded-host: a, old")),
        same(get!("/forwarded" at "old", "x-forwarded-host: a,old")),
        same(get!("/forwarded" at "old", "x-forwarded-host: a", "x-forwarded-host: b")),
        same(get!("/forwarded" at "old", "x-forwarded-host: ,")),
        same(get!("/header" at "old", "x-host: h1", "x-host: h2")),
        same(get!("/header" at "old")),
        same(get!("/header" at "old", "x-host: ")),
        differs(get!("/header" at "old", "x-host: a b"), INVALID),
        differs(get!("/path/x" at "old"), INVALID),
        same(get!("/hpx/abc/d?e=/hpx/q/" at "old")),
        same(get!("/hpx//d" at "old")),
        differs(get!("/hpxno" at "old"), INVALID),
        same(get!("/auto" at "old")),
        same(get!("/nameless" at "old")),
        same(get!("/manual" at "old")),
        same(get!("/added/x" at "old")),
        same(get!("/status/503" at "old")),
        same("POST /auto HTTP/1.1\r\nHost: old\r\nContent-Length: 2\r\n\r\nhi"),
    ],
    ..PLAIN
};

const SUPPRESSED: Setting = Setting {
    name: "rewrite-suppressed",
    router: "suppress_envoy_headers: true",
    routes: HOST_ROUTES,
    cases: &[
        same(get!("/literal" at "old:99")),
        same(get!("/hpx/abc/d?e" at "old", "x-envoy-original-path: /client")),
        same(get!("/auto" at "old")),
        same(get!("/status/503" at "old")),
    ],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&PATHS, &HOSTS, &SUPPRESSED];
