//! Weighted clusters with changes of their own, and clusters that requests name.

use super::{PLAIN, Setting, get, same};

const WEIGHTS: Setting = Setting {
    name: "weights",
    routes: r#"
validate_clusters: false
request_headers_to_add:
- { header: { key: x-o, value: table } }
- { header: { key: x-w, value: table }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
request_headers_to_remove: [x-gone]
response_headers_to_add: [{ header: { key: y-o, value: table } }]
virtual_hosts:
- name: v
  domains: ["*"]
  request_headers_to_add:
  - { header: { key: x-o, value: vhost } }
  - { header: { key: x-w, value: vhost }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
  response_headers_to_add: [{ header: { key: y-o, value: vhost } }]
  routes:
  - match: { prefix: "/order" }
    request_headers_to_add:
    - { header: { key: x-o, value: route } }
    - { header: { key: x-w, value: route }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
    response_headers_to_add: [{ header: { key: y-o, value: route } }]
    route:
      prefix_rewrite: "/z"
      weighted_clusters:
        clusters:
        - name: up
          weight: 1
          host_rewrite_literal: "w.example"
          request_headers_to_add:
          - { header: { key: x-o, value: cluster } }
          - { header: { key: x-gone, value: cluster } }
          - { header: { key: x-w, value: cluster }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
          request_headers_to_remove: [x-c]
          response_headers_to_add: [{ header: { key: y-o, value: cluster } }]
          response_headers_to_remove: [x-up]
  - match: { prefix: "/hosts" }
    route:
      host_rewrite_literal: "route.example"
      weighted_clusters:
        clusters: [{ name: up, weight: 1, host_rewrite_literal: "w.example" }]
  - match: { prefix: "/named" }
    route: { cluster_header: x-cluster }
  - match: { prefix: "/missing" }
    route: { cluster_header: x-cluster, cluster_not_found_response_code: NOT_FOUND }
  - match: { prefix: "/added" }
    request_headers_to_add: [{ header: { key: x-cluster, value: up } }]
    route: { cluster_header: x-cluster }
  - { match: { prefix: "/pathname" }, route: { cluster_header: ":path" } }
  - match: { prefix: "/dead" }
    route:
      weighted_clusters:
        clusters:
        - name: dead
          weight: 1
          response_headers_to_add: [{ header: { key: y-o, value: cluster } }]
  - match: { prefix: "/nobody" }
    route:
      weighted_clusters:
        clusters:
        - name: nosuch
          weight: 1
          response_headers_to_add: [{ header: { key: y-o, value: cluster } }]
  - match: { prefix: "/weightnamed" }
    route:
      weighted_clusters:
        clusters:
        - cluster_header: x-cluster
          weight: 1
          request_headers_to_add: [{ header: { key: x-o, value: cluster } }]
  - match: { prefix: "/random" }
    route:
      weighted_clusters:
        header_name: x-rnd
        total_weight: 1000
        clusters:
        - name: up
          weight: 30
          response_headers_to_add: [{ header: { key: y-c, value: a } }]
        - name: up
          weight: 70
          response_headers_to_add: [{ header: { key: y-c, value: b } }]
  - match: { prefix: "/closed" }
    route:
      weighted_clusters:
        clusters:
        - name: dead
          weight: 1
          typed_per_filter_config: {}
          response_headers_to_add: [{ header: { key: y-o, value: "%RESPONSE_CODE%" } }]
  - { match: { prefix: "/stop" }, non_forwarding_action: {} }"#,
    cases: &[
        same(get!("/order/a", "x-gone: client", "x-c: 1", "x-w: client")),
        same(get!("/hosts")),
        same(get!("/named", "x-cluster: up")),
        same(get!("/named", "x-cluster: nosuch")),
        same(get!("/named")),
        same(get!("/named", "x-cluster: up", "x-cluster: dead")),
        same(get!("/missing")),
        same(get!("/added")),
        same(get!("/pathname")),
        same(get!("/dead")),
        same(get!("/nobody")),
        same(get!("/weightnamed", "x-cluster: up")),
        same(get!("/weightnamed")),
        same(get!("/random", "x-rnd: 29")),
        same(get!("/random", "x-rnd: 30")),
        same(get!("/random", "x-rnd: 129")),
        same(get!("/random", "x-rnd: 130")),
        same(get!("/random", "x-rnd: 18446744073709551615")),
        same(get!("/random", "x-rnd: +29")),
        same(get!("/closed")),
        same(get!("/stop")),
    ],
    ..PLAIN
};

const SPECIFIC: Setting = Setting {
    name: "weights-specific",
    routes: r#"
most_specific_header_mutations_wins: true
request_headers_to_add: [{ header: { key: x-o, value: table } }]
response_headers_to_add: [{ header: { key: y-o, value: table } }]
virtual_hosts:
- name: v
  domains: ["*"]
  request_headers_to_add: [{ header: { key: x-o, value: vhost } }]
  response_headers_to_add: [{ header: { key: y-o, value: vhost } }]
  routes:
  - match: { prefix: "/" }
    request_headers_to_add: [{ header: { key: x-o, value: route } }]
    response_headers_to_add: [{ header: { key: y-o, value: route } }]
    route:
      weighted_clusters:
        clusters:
        - name: up
          weight: 1
          request_headers_to_add: [{ header: { key: x-o, value: cluster } }]
          response_headers_to_add: [{ header: { key: y-o, value: cluster } }]"#,
    cases: &[same(get!("/")), same(get!("/status/503"))],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&WEIGHTS, &SPECIFIC];
