//! Copies of requests. Both go to one upstream, under two names.

use super::{PLAIN, Setting, get, same};

const MIRRORS: Setting = Setting {
    name: "mirrors",
    routes: r#"
request_mirror_policies: [{ cluster: named }]
virtual_hosts:
- name: own
  domains: ["own"]
  request_mirror_policies: [{ cluster: named, disable_shadow_host_suffix_append: true }]
  routes:
  - match: { prefix: "/two" }
    route:
      cluster: up
      prefix_rewrite: "/mm"
      request_mirror_policies:
      - { cluster: named }
      - { cluster: named, disable_shadow_host_suffix_append: true }
  - match: { prefix: "/none" }
    route:
      cluster: up
      request_mirror_policies:
      - { cluster: named, runtime_fraction: { default_value: { numerator: 0 } } }
  - match: { prefix: "/all" }
    route:
      cluster: up
      request_mirror_policies:
      - cluster: named
        runtime_fraction: { default_value: { numerator: 10000, denominator: TEN_THOUSAND } }
  - match: { prefix: "/header" }
    route: { cluster: up, request_mirror_policies: [{ cluster_header: x-cluster }] }
  - match: { prefix: "/renamed" }
    route:
      cluster: up
      request_mirror_policies: [{ cluster: named, host_rewrite_literal: "m.example:1" }]
  - match: { prefix: "/changed" }
    route:
      cluster: up
      request_mirror_policies:
      - cluster: named
        request_headers_mutations:
        - { remove: x-a }
        - { append: { header: { key: x-b, value: c } } }
  - match: { prefix: "/todead" }
    route: { cluster: up, request_mirror_policies: [{ cluster: dead }] }
  - { match: { prefix: "/dead" }, route: { cluster: dead } }
  - { match: { prefix: "/empty" }, route: { cluster: empty } }
  - { match: { prefix: "/direct" }, direct_response: { status: 200 } }
  - { match: { prefix: "/" }, route: { cluster: up } }
- name: table
  domains: ["*"]
  routes:
  - match: { prefix: "/weighted" }
    route:
      weighted_clusters:
        clusters:
        - name: up
          weight: 1
          host_rewrite_literal: "w.example:81"
          request_headers_to_add: [{ header: { key: x-o, value: cluster } }]
  - match: { prefix: "/status/503" }
    route: { cluster: up, retry_policy: { retry_on: "5xx", num_retries: 1 } }
  - { match: { prefix: "/" }, route: { cluster: up } }"#,
    cases: &[
        same(get!("/two/x?y" at "own")),
        same("POST /two/x HTTP/1.1\r\nHost: own\r\nContent-Length: 5\r\n\r\nhello"),
        same(get!("/none" at "own")),
        same(get!("/all" at "own")),
        same(get!("/header" at "own", "x-cluster: named")),
        same(get!("/header" at "own", "x-cluster: nosuch")),
        same(get!("/header" at "own")),
        same(get!("/todead" at "own")),
        same(get!("/renamed" at "own")),
        same(get!("/changed" at "own", "x-a: 1", "x-b: 2")),
        same(get!("/dead" at "own")),
        same(get!("/empty" at "own")),
        same(get!("/direct" at "own")),
        same(get!("/" at "own")),
        same(get!("/" at "other")),
        same(get!("/" at "other:99")),
        same(get!("/weighted")),
        same(get!("/status/503")),
        same("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"),
        same("POST / HTTP/1.1\r\nHost: x\r\ncontent-type: application/grpc\r\n\r\n"),
    ],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&MIRRORS];
