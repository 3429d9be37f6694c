//! What routes may ask besides path, headers and query.

use super::{PLAIN, Setting, get, same};

const MATCHES: Setting = Setting {
    name: "matches",
    routes: r#"
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - match: { prefix: "/cookie/", cookies: [{ name: k, string_match: { exact: v } }] }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match:
      prefix: "/none/"
      cookies: [{ name: k, string_match: { exact: v }, invert_match: true }]
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match:
      prefix: "/two/"
      cookies:
      - { name: k, string_match: { prefix: v } }
      - { name: m, string_match: { safe_regex: { regex: "[a-z]*" } } }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match: { prefix: "/call/", grpc: {} }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match:
      prefix: "/all/"
      runtime_fraction: { default_value: { numerator: 1000000, denominator: MILLION } }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match: { prefix: "/nobody/", runtime_fraction: { default_value: { numerator: 0 } } }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match: { prefix: "/shown/", tls_context: { presented: true } }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match: { prefix: "/hidden/", tls_context: { presented: false, validated: false } }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - match: { prefix: "/tls/", tls_context: {} }
    route: { cluster: up, prefix_rewrite: "/found/" }
  - { match: { prefix: "/" }, route: { cluster: up, prefix_rewrite: "/other/" } }"#,
    cases: &[
        same(get!("/cookie/a", "cookie: k=v")),
        same(get!("/cookie/a", "cookie: k=w")),
        same(get!("/cookie/a", "cookie: a=b; k=v")),
        same(get!("/cookie/a", "cookie: a=b;k=v")),
        same(get!("/cookie/a", "cookie: k=\"v\"")),
        same(get!("/cookie/a", "cookie: k=v; k=w")),
        same(get!("/cookie/a", "cookie: k=w; k=v")),
        same(get!("/cookie/a", "cookie: a=b", "cookie: k=v")),
        same(get!("/cookie/a", "cookie: K=v")),
        same(get!("/cookie/a", "cookie: k =v")),
        same(get!("/cookie/a", "cookie: k")),
        same(get!("/cookie/a", "cookie: k=v=w")),
        same(get!("/cookie/a")),
        same(get!("/none/a", "cookie: k=v")),
        same(get!("/none/a", "cookie: k=w")),
        same(get!("/none/a")),
        same(get!("/two/a", "cookie: k=vv; m=abc")),
        same(get!("/two/a", "cookie: k=vv; m=")),
        same(get!("/two/a", "cookie: k=vv; m=1")),
        same(get!("/two/a", "cookie: k=vv")),
        same(get!("/call/a", "content-type: application/grpc")),
        same(get!("/call/a", "content-type: application/grpc+proto")),
        same(get!("/call/a", "content-type: application/grpc-web")),
        same(get!("/call/a", "content-type: application/json")),
        same(get!("/all/a")),
        same(get!("/nobody/a")),
        same(get!("/shown/a")),
        same(get!("/hidden/a")),
        same(get!("/tls/a")),
    ],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&MATCHES];
