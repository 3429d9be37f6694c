//! Weights, mirrors and limits of routes.

use std::time::Duration;

use super::*;
use crate::snapshot::{
    ClusterId, Forward, GrpcTimeout, RouteAction, Routes, Share, StreamDuration,
};

fn forward(snapshot: &Snapshot, index: usize) -> &Forward {
    let Routes::Inline(table) = &manager(snapshot).routes else { panic!("not inline") };
    let RouteAction::Forward(forward) = &table.hosts[0].routes[index].action else {
        panic!("not forwarded")
    };
    forward
}

#[test]
fn weighted_clusters_have_their_own_say() {
    let (snapshot, _) = good(&with_route(
        r#"match: {prefix: /}
route:
  weighted_clusters:
    header_name: X-Rnd
    clusters:
    - {name: a, weight: 1}
    - name: b
      weight: 2
      host_rewrite_literal: b.example
      request_headers_to_add: [{header: {key: x-b, value: "%ROUTE_NAME%"}}]
      response_headers_to_remove: [x-up]
    - {cluster_header: X-Cluster, weight: 3}
"#,
    ));
    let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("not inline") };
    assert!(table.hosts[0].routes[0].headers.has_formats, "the cluster's changes have one");
    let forward = forward(&snapshot, 0);
    assert_eq!((forward.total_weight, forward.random_header.as_deref()), (6, Some(&b"x-rnd"[..])));
    let [plain, own, named] = &forward.clusters[..] else { panic!("not three") };
    assert!(plain.own.is_none());
    let own = own.own.as_ref().expect("its own");
    assert_eq!((own.headers.request.len(), own.headers.response.len()), (1, 1));
    assert_eq!((own.host.as_deref(), own.named_by.as_ref()), (Some(&b"b.example"[..]), None));
    assert_eq!((named.named_by(), named.cluster), (Some(&b"x-cluster"[..]), ClusterId::NOBODY));
}

#[test]
fn clusters_are_named_once() {
    for (cluster, fault) in [
        ("{name: a, cluster_header: x, weight: 1}", "`name` and `cluster_header` are both set"),
        ("{weight: 1}", "`name` or `cluster_header` has to be given"),
    ] {
        let yaml = format!(
            "match: {{prefix: /}}\nroute: {{weighted_clusters: {{clusters: [{cluster}]}}}}"
        );
        let (_, refused, _) = apply(&with_route(&yaml));
        let said = refused.first().map(ToString::to_string).unwrap_or_default();
        assert!(said.contains("weighted_clusters.clusters[0]") && said.contains(fault), "{said}");
    }
}

#[test]
fn mirrors_are_inherited() {
    let (snapshot, compiler) = good(&with_routes(
        r#"request_mirror_policies: [{cluster: t}]
virtual_hosts:
- name: v
  domains: ['*']
  routes:
  - match: {prefix: /a}
    route:
      cluster: c
      request_mirror_policies:
      - cluster_header: X-M
        disable_shadow_host_suffix_append: true
        trace_sampled: true
        runtime_fraction: {default_value: {numerator: 5, denominator: MILLION}, runtime_key: k}
        request_headers_mutations: [{remove: x-a}]
      - {cluster: m, host_rewrite_literal: m.example}
  - {match: {prefix: /b}, route: {cluster: c}}
"#,
    ));
    let [mirror, other] = &forward(&snapshot, 0).mirrors[..] else { panic!("not two") };
    assert_eq!(mirror.named_by.as_deref(), Some(&b"x-m"[..]));
    assert_eq!(mirror.share, Share { some: 5, of: 1_000_000 });
    assert_eq!((mirror.keeps_host, mirror.changes.len()), (true, 1));
    assert_eq!(other.host.as_deref(), Some(&b"m.example"[..]));
    assert_eq!(Some(other.cluster), compiler.cluster_id("m"));
    let [inherited] = &forward(&snapshot, 1).mirrors[..] else { panic!("not one") };
    assert_eq!((inherited.share, inherited.keeps_host), (Share::ALL, false));
    assert_eq!(Some(inherited.cluster), compiler.cluster_id("t"));
}

#[test]
fn durations_take_the_place_of_timeouts() {
    let (snapshot, _) = good(&with_routes(
        r#"virtual_hosts:
- name: v
  domains: ['*']
  routes:
  - match: {prefix: /a}
    route: {cluster: c, max_grpc_timeout: 0s, grpc_timeout_offset: 0.1s}
  - match: {prefix: /b}
    route:
      cluster: c
      max_grpc_timeout: 1s
      max_stream_duration: {max_stream_duration: 0s, grpc_timeout_header_max: 1s}
"#,
    ));
    let offset = Duration::from_millis(100);
    let calls = forward(&snapshot, 0);
    assert_eq!(calls.grpc.as_deref(), Some(&GrpcTimeout { max: None, offset }));
    assert!(calls.duration.is_none() && calls.timeout.is_some());
    let limited = forward(&snapshot, 1);
    assert!(limited.grpc.is_none() && limited.timeout.is_none());
    let duration = StreamDuration {
        max: Some(None),
        grpc_max: Some(Some(Duration::from_secs(1))),
        grpc_offset: Duration::ZERO,
    };
    assert_eq!(limited.duration.as_deref(), Some(&duration));
}

#[test]
fn a_route_may_ask_for_more() {
    let (snapshot, _) = good(&with_routes(
        r#"virtual_hosts:
- name: v
  domains: ['*']
  routes:
  - match:
      prefix: /a
      grpc: {}
      cookies: [{name: k, string_match: {prefix: v}, invert_match: true}]
      runtime_fraction: {default_value: {numerator: 5, denominator: TEN_THOUSAND}}
      tls_context: {presented: true}
    route: {cluster: c}
  - {match: {prefix: /b, tls_context: {}}, route: {cluster: c}}
"#,
    ));
    let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("not inline") };
    let routes = &table.hosts[0].routes;
    let more = routes[0].matches.more.as_ref().expect("more");
    assert!(more.grpc && more.cookies[0].invert && *more.cookies[0].name == *b"k");
    assert_eq!(more.share, Some(Share { some: 5, of: 10_000 }));
    assert_eq!((more.tls.presented, more.tls.validated), (Some(true), None));
    assert!(routes[1].matches.more.is_none(), "nothing is asked");
}
