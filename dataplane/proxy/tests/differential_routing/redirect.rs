//! Redirects, `require_tls`, and where direct responses point to.

use super::{PLAIN, Setting, by_http1, get, same};

const TO_HOSTS: Setting = Setting {
    name: "redirect-hosts",
    routes: r#"
virtual_hosts:
- name: r
  domains: ["*"]
  response_headers_to_add: [{ header: { key: x-vh, value: "1" } }]
  routes:
  - { match: { prefix: "/host" }, redirect: { host_redirect: new.example } }
  - { match: { prefix: "/port" }, redirect: { port_redirect: 8080 } }
  - match: { prefix: "/both" }
    redirect: { host_redirect: new.example, port_redirect: 8080, response_code: FOUND }
  - { match: { prefix: "/scheme" }, redirect: { scheme_redirect: ftp } }
  - match: { prefix: "/https" }
    redirect: { https_redirect: true, response_code: PERMANENT_REDIRECT }
  - match: { prefix: "/nothttps" }
    redirect: { https_redirect: false, response_code: SEE_OTHER }
  - match: { prefix: "/http" }
    redirect: { scheme_redirect: http, response_code: TEMPORARY_REDIRECT }
  - { match: { prefix: "/same" }, redirect: {} }
  - match: { prefix: "/headers" }
    redirect: { host_redirect: new.example }
    response_headers_to_add:
    - { header: { key: location, value: "elsewhere" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
    - { header: { key: x-route, value: "1" } }"#,
    cases: &[
        same(get!("/host/a?b=c")),
        same(get!("/host" at "x:80")),
        same(get!("/host" at "x:8080")),
        same(get!("/port" at "x:99")),
        by_http1(get!("/port" at "[::1]:99")),
        by_http1(get!("/port" at "[::1]")),
        same(get!("/both?x")),
        same(get!("/scheme" at "x:80")),
        same(get!("/scheme" at "x:443")),
        same(get!("/https" at "x:80")),
        same(get!("/https" at "x:81")),
        same(get!("/https" at "x:443")),
        same(get!("/https?a" at "X.Y")),
        same(get!("/https" at "x:80", "x-forwarded-proto: https")),
        same(get!("/https" at "x:443", "x-forwarded-proto: https")),
        same(get!("/nothttps" at "x:80")),
        same(get!("/http" at "x:443", "x-forwarded-proto: https")),
        same(get!("/http" at "x:80")),
        same(get!("/same" at "x:443", "x-forwarded-proto: https")),
        same(get!("/same?a")),
        same(get!("/host", "x-forwarded-proto: HTTPS")),
        same(get!("/host", "x-forwarded-proto: ws")),
        same(get!("/headers")),
        same("POST /host HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
        same("POST /host HTTP/1.1\r\nHost: x\r\ncontent-type: application/grpc\r\n\r\n"),
        by_http1("GET http://abs.example/same?x HTTP/1.1\r\nHost: x\r\n\r\n"),
        by_http1("GET https://abs.example:443/host HTTP/1.1\r\nHost: x\r\n\r\n"),
        by_http1("GET https://abs.example:443/same HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
    ..PLAIN
};

const TO_PATHS: Setting = Setting {
    name: "redirect-paths",
    options: "normalize_path: true",
    routes: r#"
virtual_hosts:
- name: r
  domains: ["*"]
  routes:
  - { match: { path: "/exact" }, redirect: { prefix_rewrite: "/e" } }
  - { match: { prefix: "/path" }, redirect: { path_redirect: "/new" } }
  - { match: { prefix: "/query" }, redirect: { path_redirect: "/new?a=b" } }
  - match: { prefix: "/strip/query" }
    redirect: { path_redirect: "/new?a=b", strip_query: true }
  - match: { prefix: "/strip/path" }
    redirect: { path_redirect: "/new", strip_query: true }
  - match: { prefix: "/strip/host" }
    redirect: { host_redirect: h, strip_query: true }
  - match: { prefix: "/strip/prefix/" }
    redirect: { prefix_rewrite: "/n", strip_query: true }
  - { match: { prefix: "/relative" }, redirect: { path_redirect: "new" } }
  - { match: { prefix: "/prefix/" }, redirect: { prefix_rewrite: "/p/" } }
  - { match: { prefix: "/top" }, redirect: { prefix_rewrite: "/" } }
  - { match: { prefix: "/empty" }, redirect: { prefix_rewrite: "" } }
  - match: { prefix: "/CASE", case_sensitive: false }
    redirect: { prefix_rewrite: "/c" }
  - { match: { safe_regex: { regex: "/re/.*" } }, redirect: { prefix_rewrite: "/all" } }
  - { match: { path_separated_prefix: "/sep" }, redirect: { prefix_rewrite: "/s" } }
  - match: { prefix: "/rx" }
    redirect:
      regex_rewrite:
        pattern: { regex: "/rx/([a-z]+)/([0-9]+)" }
        substitution: '/\2/\1/\0'
  - match: { prefix: "/nothing" }
    redirect: { regex_rewrite: { pattern: { regex: ".*" }, substitution: "" } }
  - { match: { prefix: "/moved" }, direct_response: { status: 301 } }
  - match: { prefix: "/created" }
    direct_response: { status: 201, body: { inline_string: a } }"#,
    cases: &[
        same(get!("/path")),
        same(get!("/path/x?y=z")),
        same(get!("/query?y")),
        same(get!("/strip/query?y")),
        same(get!("/strip/path?y")),
        same(get!("/strip/host/a?b")),
        same(get!("/strip/prefix/a?b")),
        same(get!("/relative/a?z")),
        same(get!("/prefix/a?b")),
        same(get!("/prefix/")),
        same(get!("/prefix/./a/../b")),
        same(get!("/top/a")),
        same(get!("/top")),
        same(get!("/empty/x")),
        same(get!("/exact?x")),
        same(get!("/caseX?y")),
        same(get!("/re/abc?d")),
        same(get!("/sep/x")),
        same(get!("/sep?x")),
        same(get!("/rx/abc/12/z?q=/rx/a/1")),
        same(get!("/rxno")),
        same(get!("/nothing/a?x")),
        same(get!("/moved/x?y" at "old:80")),
        same(get!("/created/x?y" at "old:80")),
    ],
    ..PLAIN
};

const TO_TLS: Setting = Setting {
    name: "require-tls",
    options: "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT",
    filters: r#"
- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: DENY
      policies:
        secret:
          permissions: [{ url_path: { path: { prefix: "/secret" } } }]
          principals: [{ any: true }]"#,
    routes: r#"
response_headers_to_add: [{ header: { key: x-table, value: "1" } }]
virtual_hosts:
- name: all
  domains: ["all", "all:80"]
  require_tls: ALL
  response_headers_to_add: [{ header: { key: x-vh, value: "1" } }]
  routes: [{ match: { prefix: "/a" }, route: { cluster: up } }]
- name: external
  domains: ["external"]
  require_tls: EXTERNAL_ONLY
  routes: [{ match: { prefix: "/a" }, route: { cluster: up } }]
- name: never
  domains: ["never"]
  require_tls: NONE
  routes: [{ match: { prefix: "/" }, route: { cluster: up } }]"#,
    cases: &[
        same(get!("/a?b" at "all")),
        same(get!("/a" at "all:80")),
        same(get!("/none" at "all")),
        same(get!("/a" at "all", "x-forwarded-proto: https")),
        same(get!("/a" at "all", "x-forwarded-proto: HTTPS")),
        same(get!("/secret" at "all")),
        same(get!("/none" at "all", "x-forwarded-proto: https")),
        same(get!("/a" at "external")),
        same(get!("/a" at "external", "x-envoy-internal: true")),
        same(get!("/a" at "never")),
        same("POST /a HTTP/1.1\r\nHost: all\r\nContent-Length: 2\r\n\r\nhi"),
        same("POST /a HTTP/1.1\r\nHost: all\r\ncontent-type: application/grpc\r\n\r\n"),
        same(get!("/a%2Fb?c" at "never")),
    ],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&TO_HOSTS, &TO_PATHS, &TO_TLS];
