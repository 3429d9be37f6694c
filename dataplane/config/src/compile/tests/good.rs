//! What is understood becomes these facts.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::snapshot::{
    Action, ChainMatch, Discovery, EscapedSlashes, FilterKind, ForwardClientCert, HeaderChange,
    HeaderValue, Health, HostForm, Http2, LbPolicy, NameForm, PathMatch, Permission, PortRule,
    Principal, RouteAction, Routes, ServerHeader, SourceType, StringKind, StripPort, TcpProbes,
    Transport, Underscores, UpstreamProtocol, UpstreamTransport, ValueMatch,
};

const HTTP_INSPECTOR: &str = "type.googleapis.com/\
    envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_cluster_has_envoys_defaults() {
    let (snapshot, compiler) = good(&with_cluster("type: STATIC"));
    let cluster = cluster(&snapshot, &compiler, "c");
    assert_eq!(cluster.discovery, Discovery::Static);
    assert_eq!(cluster.policy, LbPolicy::RoundRobin);
    assert_eq!((cluster.connect_timeout, cluster.panic_percent), (5 * SECOND, 50));
    assert_eq!(cluster.idle_timeout, Some(3600 * SECOND));
    assert_eq!((cluster.limits.max_connections, cluster.limits.max_pending), (1024, 1024));
    assert!(matches!(cluster.transport, UpstreamTransport::Raw));
    assert_eq!((cluster.bind, cluster.tcp_probes, cluster.port_override), (None, None, None));
}

#[test]
fn a_cluster_says_what_it_was_told() {
    let (snapshot, compiler) = good(&with_cluster(
        r#"type: ORIGINAL_DST
lb_policy: CLUSTER_PROVIDED
original_dst_lb_config: {upstream_port_override: 9080}
connect_timeout: 10s
upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}
circuit_breakers: {thresholds: [{max_connections: 7, max_requests: 4294967295}]}
upstream_connection_options: {tcp_keepalive: {keepalive_time: 300, keepalive_probes: 2}}
alt_stat_name: x
metadata: {filter_metadata: {istio: {config: a}}}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: {idle_timeout: 0s, max_requests_per_connection: 3}
    use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}
"#,
    ));
    let cluster = cluster(&snapshot, &compiler, "c");
    assert_eq!(cluster.discovery, Discovery::OriginalDst);
    assert_eq!(cluster.policy, LbPolicy::Provided);
    assert_eq!(cluster.port_override, Some(9080));
    assert_eq!(cluster.connect_timeout, 10 * SECOND);
    assert_eq!(cluster.bind, Some(IpAddr::from([127, 0, 0, 6])));
    assert_eq!((cluster.limits.max_connections, cluster.limits.max_requests), (7, u32::MAX));
    assert_eq!(cluster.limits.max_pending, 1024);
    let probes = TcpProbes { idle_s: Some(300), interval_s: None, probes: Some(2) };
    assert_eq!(cluster.tcp_probes, Some(probes));
    assert_eq!(cluster.max_requests_per_connection, 3);
    assert_eq!(cluster.idle_timeout, None);
    assert_eq!(cluster.protocol, UpstreamProtocol::Downstream);
}

#[test]
fn what_a_cluster_speaks() {
    let explicit = "explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 7, \
                    initial_stream_window_size: 70000, initial_connection_window_size: 2000000}}";
    let auto = "auto_config: {http2_protocol_options: {}}";
    let extension = |options: &str| {
        format!(
            "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.\
             HttpProtocolOptions: {{\"@type\": type.googleapis.com/envoy.extensions.upstreams.\
             http.v3.HttpProtocolOptions, {options}}}}}"
        )
    };
    let cases = [
        (String::new(), UpstreamProtocol::Http1),
        (extension(explicit), UpstreamProtocol::Http2),
        (extension(auto), UpstreamProtocol::Negotiated),
        ("http2_protocol_options: {}".to_owned(), UpstreamProtocol::Http2),
        (
            "http2_protocol_options: {}\nprotocol_selection: USE_DOWNSTREAM_PROTOCOL".to_owned(),
            UpstreamProtocol::Downstream,
        ),
    ];
    for (lines, protocol) in cases {
        let (snapshot, compiler) = good(&with_cluster(&lines));
        let cluster = cluster(&snapshot, &compiler, "c");
        assert_eq!(cluster.protocol, protocol, "{lines}");
        if lines.contains("explicit") {
            let Http2 { streams_max, stream_window_bytes, connection_window_bytes, .. } =
                cluster.http2;
            assert_eq!((streams_max, stream_window_bytes), (7, 70_000));
            assert_eq!(connection_window_bytes, 1 << 20, "no larger than can be kept");
        }
    }
}

#[test]
fn the_panic_threshold_is_a_whole_percent() {
    for (given, expected) in [("0", 0), ("0.9", 0), ("33.3", 33), ("100", 100)] {
        let text = format!("common_lb_config: {{healthy_panic_threshold: {{value: {given}}}}}");
        let (snapshot, compiler) = good(&with_cluster(&text));
        assert_eq!(cluster(&snapshot, &compiler, "c").panic_percent, expected, "{given}");
    }
}

#[test]
fn endpoints_choose_priority_health_weight_and_transport() {
    let (snapshot, compiler) = good(&with_cluster(
        r#"type: STATIC
lb_policy: LEAST_REQUEST
least_request_lb_config: {choice_count: 3}
transport_socket_matches:
- name: tlsMode-istio
  match: {tlsMode: istio}
  transport_socket:
    name: tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: outbound_.80_._.reviews
      common_tls_context: {alpn_protocols: [istio]}
- name: tlsMode-disabled
  match: {}
load_assignment:
  cluster_name: c
  endpoints:
  - priority: 1
    lb_endpoints:
    - {endpoint: {address: {socket_address: {address: 10.0.0.9, port_value: 1}}}}
  - priority: 0
    lb_endpoints:
    - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}
      load_balancing_weight: 5
      metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: istio}}}
    - endpoint: {address: {socket_address: {address: "::1", port_value: 2}}}
      health_status: UNHEALTHY
    - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}}
"#,
    ));
    let cluster = cluster(&snapshot, &compiler, "c");
    assert_eq!(cluster.policy, LbPolicy::LeastRequest { choices: 3, bias: 1.0 });
    let hosts: Vec<_> = cluster
        .endpoints
        .hosts
        .iter()
        .map(|host| {
            let of = (host.priority, host.weight, host.health, host.transport);
            (host.address.to_string(), of)
        })
        .collect();
    // An address that comes again is the host that it was first.
    let expected = [
        ("10.0.0.9:1".to_owned(), (1, 1, Health::Healthy, Some(1))),
        ("10.0.0.1:1".to_owned(), (0, 5, Health::Healthy, Some(0))),
        ("[::1]:2".to_owned(), (0, 1, Health::Unhealthy, Some(1))),
    ];
    assert_eq!(hosts, expected);
    assert!(matches!(cluster.transport_matches[0].transport, UpstreamTransport::Tls(_)));
}

#[test]
fn localities_have_names_weights_and_hosts_keys() {
    let (snapshot, compiler) = good(&with_cluster(
        r#"lb_policy: MAGLEV
maglev_lb_config: {table_size: 11}
common_lb_config:
  locality_weighted_lb_config: {}
  consistent_hashing_lb_config: {use_hostname_for_hashing: true, hash_balance_factor: 150}
load_assignment:
  cluster_name: c
  policy: {overprovisioning_factor: 200, weighted_priority_health: true}
  endpoints:
  - locality: {region: r, zone: b}
    load_balancing_weight: 3
    lb_endpoints:
    - {endpoint: {hostname: h, address: {socket_address: {address: 10.0.0.1, port_value: 1}}}}
  - locality: {region: r, zone: a}
    lb_endpoints:
    - endpoint: {hostname: i, address: {socket_address: {address: 10.0.0.2, port_value: 1}}}
      metadata: {filter_metadata: {envoy.lb: {hash_key: k}}}
"#,
    ));
    let cluster = cluster(&snapshot, &compiler, "c");
    assert_eq!(cluster.policy, LbPolicy::Maglev { table_size: 11 });
    assert!(cluster.balance.by_locality);
    assert_eq!(cluster.balance.hash_percent, Some(150));
    let endpoints = &cluster.endpoints;
    assert_eq!((endpoints.overprovisioning_percent, endpoints.weighted_health), (200, true));
    let weights: Vec<_> = endpoints.localities.iter().map(|locality| locality.weight).collect();
    assert_eq!(weights, [0, 3], "in the order of their names");
    let hosts = endpoints.hosts.iter().map(|host| (host.locality, host.hash_key.as_deref()));
    assert_eq!(hosts.collect::<Vec<_>>(), [(1, Some("h")), (0, Some("k"))]);
}

#[test]
fn a_policy_that_is_known_goes_before_the_older_fields() {
    let list = |policies: &str| {
        with_cluster(&format!(
            "lb_policy: RANDOM\ncommon_lb_config: {{locality_weighted_lb_config: {{}}, \
             healthy_panic_threshold: {{value: 7}}}}\n\
             load_balancing_policy: {{policies: [{policies}]}}"
        ))
    };
    let of = |kind: &str, fields: &str| {
        let kind = format!("type.googleapis.com/envoy.extensions.load_balancing_policies.{kind}");
        format!(
            "{{typed_extension_config: {{name: p, typed_config: {{\"@type\": {kind}{fields}}}}}}}"
        )
    };
    let unknown = "{typed_extension_config: {name: u, typed_config: \
                   {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster}}}";
    let least = of("least_request.v3.LeastRequest", ", choice_count: 4");
    let (snapshot, compiler) = good(&list(&format!("{unknown}, {least}")));
    let found = cluster(&snapshot, &compiler, "c");
    assert_eq!(found.policy, LbPolicy::LeastRequest { choices: 4, bias: 1.0 });
    assert_eq!((found.panic_percent, found.balance.by_locality), (7, false));
    let fields = ", slow_start_config: {slow_start_window: 3s}, \
                  locality_lb_config: {locality_weighted_lb_config: {}}";
    let (snapshot, compiler) = good(&list(&of("round_robin.v3.RoundRobin", fields)));
    let found = cluster(&snapshot, &compiler, "c");
    assert_eq!((found.policy, found.balance.by_locality), (LbPolicy::RoundRobin, true));
    let slow = found.balance.slow_start.expect("a slow start");
    assert_eq!((slow.window.as_secs(), slow.aggression, slow.min_share), (3, 1.0, 0.1));
}

#[test]
fn outlier_detection_has_envoys_defaults() {
    let (snapshot, compiler) =
        good(&with_cluster("outlier_detection: {consecutive_gateway_failure: 7}"));
    let rules = cluster(&snapshot, &compiler, "c").outlier.clone().expect("rules");
    assert_eq!((rules.consecutive_5xx, rules.enforcing_5xx), (5, 100));
    assert_eq!((rules.consecutive_gateway, rules.enforcing_gateway), (7, 0));
    assert_eq!((rules.max_percent, rules.always_one), (10, false));
    assert_eq!((rules.base_time.as_secs(), rules.max_time.as_secs()), (30, 300));
    assert_eq!((rules.answers.enforcing_success, rules.answers.enforcing_failure), (100, 0));
}

#[test]
fn a_tcp_proxy_weighs_its_clusters() {
    let (snapshot, compiler) = good(&with_tcp("cluster: c\nidle_timeout: 0s"));
    assert_eq!((tcp(&snapshot).total_weight, tcp(&snapshot).idle_timeout), (1, None));
    assert_eq!(Some(tcp(&snapshot).clusters[0].cluster), compiler.cluster_id("c"));
    let (snapshot, _) = good(&with_tcp(
        "weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 10}]}\n\
         max_connect_attempts: 3",
    ));
    let proxy = tcp(&snapshot);
    assert_eq!((proxy.total_weight, proxy.max_connect_attempts), (100, 3));
    assert_eq!(proxy.idle_timeout, Some(3600 * SECOND));
    let weights: Vec<_> = proxy.clusters.iter().map(|one| (&*one.name, one.weight)).collect();
    assert_eq!(weights, [("a", 90), ("b", 10)]);
}

#[test]
fn a_listener_knows_its_filters_and_the_ports_they_are_off_on() {
    let (snapshot, _) = good(
        &with_tcp("cluster: c")
            .replace(
                "    filter_chains:",
                r#"    use_original_dst: true
    bind_to_port: false
    traffic_direction: INBOUND
    listener_filters_timeout: 0s
    continue_on_listener_filters_timeout: true
    listener_filters:
    - name: original_dst
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst
    - name: tls_inspector
      filter_disabled: {destination_port_range: {start: 3306, end: 3307}}
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector
        initial_read_buffer_size: 512
    - name: http_inspector
      filter_disabled:
        or_match:
          rules:
          - destination_port_range: {start: 80, end: 90}
          - destination_port_range: {start: 85, end: 100}
          - and_match:
              rules:
              - not_match: {destination_port_range: {start: 1, end: 65000}}
              - not_match: {destination_port_range: {start: 65010, end: 65536}}
      typed_config: {"@type": HTTP_INSPECTOR}
    filter_chains:"#,
            )
            .replace("HTTP_INSPECTOR", HTTP_INSPECTOR),
    );
    let listener = &snapshot.listeners[0];
    assert!(listener.use_original_dst && listener.original_dst && listener.continue_on_timeout);
    assert!(listener.bound.is_none());
    assert_eq!(listener.inspect_timeout, None);
    let rule =
        |disabled: &[(u32, u32)]| Some(PortRule { disabled: disabled.to_vec(), inverted: false });
    assert_eq!(listener.tls_inspector, rule(&[(3306, 3307)]));
    assert_eq!(listener.http_inspector, rule(&[(0, 1), (80, 100), (65_000, 65_010)]));
    assert_eq!(listener.buffer_limit, 1 << 20);
}

#[test]
fn a_chain_asks_what_it_was_told_to_ask() {
    let chain = r#"filter_chains:
- name: one
  filter_chain_match:
    destination_port: 9080
    prefix_ranges: [{address_prefix: 10.1.2.3, prefix_len: 8}]
    server_names: [Reviews.example, "*.example"]
    transport_protocol: tls
    application_protocols: [istio, istio-http/1.1]
    direct_source_prefix_ranges: [{address_prefix: "::", prefix_len: 0}]
    source_type: EXTERNAL
    source_prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 32}]
    source_ports: [4]"#;
    let yaml = with_tcp("cluster: c").replace("filter_chains:\n    -", &indent(chain, 4)[4..]);
    let yaml = yaml.replace("source_ports: [4]\n filters", "source_ports: [4]\n      filters");
    let (snapshot, _) = good(&yaml);
    let net = |text: &str| text.parse().unwrap();
    let expected = ChainMatch {
        destination_port: Some(9080),
        prefixes: vec![net("10.0.0.0/8")],
        server_names: vec!["reviews.example".into(), "*.example".into()],
        transport: Some(Transport::Tls),
        alpn: vec![b"istio"[..].into(), b"istio-http/1.1"[..].into()],
        direct_source_prefixes: vec![net("::/0")],
        source_type: SourceType::External,
        source_prefixes: vec![net("10.0.0.1/32")],
        source_ports: vec![4],
    };
    assert_eq!(snapshot.listeners[0].chains[0].matches, expected);
}

#[test]
fn a_manager_has_envoys_defaults() {
    let (snapshot, _) = good(&with_route("match: {prefix: /}\nroute: {cluster: c}"));
    let manager = manager(&snapshot);
    assert_eq!(&*manager.server_name, "envoy");
    assert_eq!(manager.server_header, ServerHeader::Overwrite);
    assert_eq!((manager.max_head_kib, manager.max_fields), (60, 100));
    assert_eq!(manager.idle_timeout, Some(3600 * SECOND));
    assert_eq!(manager.stream_idle_timeout, Some(300 * SECOND));
    assert_eq!((manager.request_timeout, manager.request_headers_timeout), (None, None));
    assert!(manager.generate_request_id && manager.allow_absolute_url);
    assert!(!manager.use_remote_address && !manager.normalize_path && !manager.merge_slashes);
    assert_eq!(manager.escaped_slashes, EscapedSlashes::KeepUnchanged);
    assert_eq!(manager.client_cert.forward, ForwardClientCert::Sanitize);
    assert!(manager.upgrades.is_empty() && manager.via.is_none());
}

#[test]
fn a_manager_says_what_it_was_told() {
    let (snapshot, compiler) = good(&with_manager(&format!(
        r#"rds:
  route_config_name: "9080"
  config_source: {{ads: {{}}, resource_api_version: V3}}
codec_type: HTTP1
server_name: istio-envoy
via: x
stream_idle_timeout: 0s
request_timeout: 2s
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: REJECT_REQUEST
upgrade_configs: [{{upgrade_type: WebSocket}}, {{upgrade_type: b, enabled: false}}]
proxy_100_continue: true
forward_client_cert_details: APPEND_FORWARD
set_current_client_cert_details: {{subject: true, uri: true, dns: true}}
common_http_protocol_options: {{idle_timeout: 9s, max_headers_count: 5}}
http_protocol_options: {{accept_http_10: true, allow_absolute_url: false}}
tracing: {{random_sampling: {{value: 1}}}}
request_id_extension:
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig
    use_request_id_for_trace_sampling: true
http_filters: [{ROUTER}]"#
    )));
    assert!(snapshot.listeners.is_empty(), "its routes are not there yet");
    assert_eq!(compiler.needed_names().routes, ["9080".into()]);
    let mut compiler = compiler;
    let routes = resource::<api::envoy::route::RouteConfiguration>("name: '9080'");
    assert!(compiler.apply(routes, &mut no_sockets).is_empty());
    let snapshot = compiler.build();
    let manager = manager(&snapshot);
    assert!(matches!(&manager.routes, Routes::Named(name) if &**name == "9080"));
    assert!(snapshot.routes.contains_key("9080"));
    assert_eq!((&*manager.server_name, manager.via.as_deref()), ("istio-envoy", Some("x")));
    assert_eq!(manager.upgrades, ["websocket".into()]);
    assert_eq!((manager.stream_idle_timeout, manager.idle_timeout), (None, Some(9 * SECOND)));
    assert_eq!((manager.request_timeout, manager.max_fields), (Some(2 * SECOND), 5));
    assert!(manager.normalize_path && manager.merge_slashes && manager.proxy_100_continue);
    assert!(manager.accept_http_10 && !manager.allow_absolute_url);
    assert_eq!(manager.escaped_slashes, EscapedSlashes::Reject);
    assert_eq!(manager.client_cert.forward, ForwardClientCert::AppendForward);
    assert!(manager.client_cert.subject && manager.client_cert.uri && manager.client_cert.dns);
}

#[test]
fn hosts_are_found_by_four_searches() {
    let (snapshot, _) = good(&with_routes(
        "ignore_port_in_host_matching: true\nvirtual_hosts:\n\
         - {name: a, domains: [Reviews, '*.b.c', 'x.*', '*-long.b.c'], \
         include_request_attempt_count: true}\n- {name: any, domains: ['*']}",
    ));
    let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("not inline") };
    assert_eq!(table.exact.get(&b"reviews"[..]), Some(&0));
    let suffixes: Vec<_> = table.suffixes.iter().map(|(text, _)| &text[..]).collect();
    assert_eq!(suffixes, [&b"-long.b.c"[..], b".b.c"]);
    assert_eq!(table.prefixes, [(b"x."[..].into(), 0)]);
    assert_eq!(table.any, Some(1));
    assert!(table.ignore_port && table.hosts[0].attempt_count);
}

#[test]
fn a_route_asks_and_does_what_it_was_told() {
    let (snapshot, _) = good(&with_route(
        r#"match:
  safe_regex: {regex: "/api/[0-9]+"}
  headers:
  - {name: End-User, string_match: {exact: jason}, invert_match: true}
  - {name: x-n, range_match: {start: 1, end: 5}}
  - {name: x-p, present_match: false, treat_missing_header_as_empty: true}
  - {name: x-old, prefix_match: ab}
  - {name: ":method", string_match: {safe_regex: {regex: "GET|HEAD"}}}
  query_parameters: [{name: q, string_match: {suffix: Z, ignore_case: true}}, {name: there}]
request_headers_to_add:
- {header: {key: X-A, value: "100%%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
- {header: {key: x-b, value: ""}}
- {header: {key: x-c, value: ""}, keep_empty_value: true}
- {header: {key: x-f, value: "%REQ(x)% %PROTOCOL%"}}
request_headers_to_remove: [x-d]
response_headers_to_add: [{header: {key: x-e, value: f}, append: false}]
route:
  weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 10}]}
  timeout: 0s
  idle_timeout: 0s
  cluster_not_found_response_code: INTERNAL_SERVER_ERROR
  max_stream_duration: {max_stream_duration: 0s, grpc_timeout_header_max: 0s}
  hash_policy: [{header: {header_name: x}}]
  upgrade_configs: [{upgrade_type: WebSocket, enabled: false}]
  retry_policy:
    retry_on: connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
    num_retries: 2
    retriable_status_codes: [503]
    host_selection_retry_max_attempts: 5
    retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}]
"#,
    ));
    let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("not inline") };
    let route = &table.hosts[0].routes[0];
    let PathMatch::Regex(regex) = &route.matches.path else { panic!("not a regex") };
    assert!(regex.is_match(b"/api/12") && !regex.is_match(b"/api/12/x"));
    let headers = &route.matches.headers;
    assert_eq!((&headers[0].name[..], headers[0].invert), (&b"end-user"[..], true));
    assert!(matches!(headers[1].value, ValueMatch::Range(1, 5)));
    assert!(matches!(headers[2].value, ValueMatch::Present(false)) && headers[2].missing_as_empty);
    let old = &headers[3].value;
    assert!(matches!(old, ValueMatch::String(s) if matches!(s.kind, StringKind::Prefix(_))));
    let query = &route.matches.query;
    assert!(query[0].value.as_ref().is_some_and(|value| value.ignore_case));
    assert!(query[1].value.is_none());
    assert!(matches!(&route.headers.request[..], [
        HeaderChange::Remove(d),
        HeaderChange::Overwrite(a, HeaderValue::Text(hundred)),
        HeaderChange::Append(c, HeaderValue::Text(empty)),
        HeaderChange::Append(f, HeaderValue::Format(format)),
    ] if **d == *b"x-d" && **a == *b"x-a" && **hundred == *b"100%" && **c == *b"x-c"
        && empty.is_empty() && **f == *b"x-f" && format.parts.len() == 3));
    assert!(route.headers.has_formats && !table.headers.has_formats);
    assert!(matches!(&route.headers.response[..], [HeaderChange::Overwrite(..)]));
    let RouteAction::Forward(forward) = &route.action else { panic!("not forwarded") };
    assert_eq!((forward.total_weight, forward.timeout), (100, None));
    assert_eq!((forward.idle_timeout, forward.cluster_not_found), (Some(None), 500));
    assert_eq!(forward.upgrades, [("websocket".into(), false)]);
    let retry = forward.retry.as_ref().unwrap();
    assert_eq!((retry.retries, retry.on_connect_failure, retry.on_reset), (2, true, false));
    assert!(retry.covers_status(503) && !retry.covers_status(502));
}

#[test]
fn a_direct_response_has_its_body_and_a_host_gives_its_retries_on() {
    let (snapshot, _) = good(&with_routes(
        "virtual_hosts:\n- name: v\n  domains: ['*']\n  retry_policy: {retry_on: 5xx}\n  routes:\n\
         \x20 - {match: {path: /a}, direct_response: {status: 502, body: {inline_string: 'no'}}}\n\
         \x20 - {match: {path_separated_prefix: /b}, route: {cluster: c}}\n\
         \x20 - {match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: ''}}}",
    ));
    let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("not inline") };
    let routes = &table.hosts[0].routes;
    assert!(matches!(&routes[0].action,
        RouteAction::Direct { status: 502, body } if **body == *b"no"));
    let RouteAction::Forward(forward) = &routes[1].action else { panic!("not forwarded") };
    assert_eq!(forward.retry.as_ref().unwrap().on_status, [(500, 599)]);
    assert_eq!(forward.timeout, Some(15 * SECOND));
    let RouteAction::Forward(forward) = &routes[2].action else { panic!("not forwarded") };
    assert!(forward.retry.as_ref().is_some_and(|retry| !retry.asks()));
}

#[test]
fn policies_are_ordered_by_name_and_keep_their_rules() {
    let rbac = r#"http_filters:
- name: rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    shadow_rules_stat_prefix: x
    rules:
      action: DENY
      policies:
        b: {permissions: [{any: true}], principals: [{any: true}]}
        "ns[foo]-policy[a]-rule[0]":
          permissions:
          - and_rules:
              rules:
              - header: {name: ":method", string_match: {exact: GET}}
              - url_path: {path: {prefix: /api}}
              - destination_port: 9080
              - destination_port_range: {start: 1, end: 9}
              - not_rule: {destination_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}
              - requested_server_name: {suffix: .x}
          principals:
          - or_ids:
              ids:
              - authenticated: {principal_name: {exact: "spiffe://td/ns/a/sa/b"}}
              - authenticated: {}
              - not_id: {direct_remote_ip: {address_prefix: 10.0.0.1, prefix_len: 32}}
              - remote_ip: {address_prefix: "::1", prefix_len: 128}
"#;
    let (snapshot, _) =
        good(&with_manager(&format!("{rbac}- {ROUTER}\nroute_config: {{virtual_hosts: []}}")));
    let FilterKind::Rbac(filter) = &manager(&snapshot).filters.all()[0].kind else {
        panic!("not rbac")
    };
    let rules = filter.rules.as_ref().unwrap();
    assert_eq!((rules.action, rules.policies.len()), (Action::Deny, 2));
    assert_eq!(&*rules.policies[0].name, "b");
    let [Permission::And(all)] = &rules.policies[1].permissions[..] else { panic!("not and") };
    assert!(matches!(
        &all[..],
        [
            Permission::Header(_),
            Permission::Path(_),
            Permission::DestinationPort(9080),
            Permission::DestinationPorts(1, 9),
            Permission::Not(_),
            Permission::ServerName(_),
        ]
    ));
    let [Principal::Or(one)] = &rules.policies[1].principals[..] else { panic!("not or") };
    assert!(matches!(
        &one[..],
        [
            Principal::Authenticated(Some(_)),
            Principal::Authenticated(None),
            Principal::Not(_),
            Principal::RemoteIp(_),
        ]
    ));
}

#[test]
fn unknown_filters_that_are_optional_are_left_out() {
    let optional = "{name: x, is_optional: true, typed_config: {\"@type\": \
        type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/a.B}}";
    let (snapshot, _) = good(&with_manager(&format!(
        "http_filters: [{optional}, {ROUTER}]\nroute_config: {{virtual_hosts: []}}"
    )));
    assert!(manager(&snapshot).filters.all().is_empty());
}

#[test]
fn how_a_manager_treats_messages() {
    let yaml = with_manager(&format!(
        r#"http_filters: [{ROUTER}]
route_config: {{virtual_hosts: []}}
xff_num_trusted_hops: 2
strip_any_host_port: true
strip_trailing_host_dot: true
always_set_request_id_in_response: true
internal_address_config: {{cidr_ranges: [{{address_prefix: 10.0.0.0, prefix_len: 8}}]}}
common_http_protocol_options:
  headers_with_underscores_action: DROP_HEADER
  max_connection_duration: 60s
  max_connection_duration_jitter: {{value: 10}}
  max_stream_duration: 5s
  max_requests_per_connection: 7
http_protocol_options:
  header_key_format: {{proper_case_words: {{}}}}
  default_host_for_http_10: d
http2_protocol_options:
  allow_connect: true
  max_outbound_control_frames: 4000000
  stream_reset_burst: 9
  connection_keepalive: {{interval: 10s, timeout: 2s, connection_idle_interval: 5s}}
  custom_settings_parameters: [{{identifier: 16, value: 1}}]
upgrade_configs: [{{upgrade_type: CONNECT}}]"#
    ));
    let (snapshot, _) = good(&yaml);
    let manager = manager(&snapshot);
    let origin = manager.origin.as_ref().expect("it says something");
    assert_eq!((origin.trusted_hops, origin.internal.len()), (2, 1));
    assert_eq!(manager.host_form, HostForm { port: StripPort::Any, strip_dot: true });
    assert_eq!(manager.underscores, Underscores::Drop);
    let seconds = Duration::from_secs;
    let spans = manager.spans;
    assert_eq!((spans.connection, spans.stream), (Some(seconds(60)), Some(seconds(5))));
    assert_eq!((spans.requests, spans.ends_with_answer), (7, false));
    assert_eq!(manager.http1.names, NameForm::Proper);
    assert_eq!(manager.http1.default_host.as_deref(), Some("d"));
    let http2 = &manager.http2;
    assert!(http2.extended_connect && manager.request_id_in_response);
    assert_eq!((http2.floods.answers, http2.floods.resets), (10_000, 9), "the first is bounded");
    assert_eq!(http2.extra_settings[..2], [(16, 1), (0, 0)]);
    let keepalive = http2.keepalive.expect("it is kept alive");
    assert_eq!((keepalive.interval, keepalive.timeout), (Some(seconds(10)), seconds(2)));
    assert_eq!(keepalive.jitter, Duration::from_millis(1_500), "15 % where nothing is said");
    assert_eq!(keepalive.idle_interval, Some(seconds(5)));
    assert_eq!(*manager.upgrades[0], *"connect");
}
