//! What text becomes, what it is refused for, and that it survives the way back.

use prost::Message;
use serde_json::json;

use super::*;
use crate::envoy::core::{Address, Metadata, address::Address as Kind, socket_address};
use crate::envoy::{bootstrap::Bootstrap, cluster::Cluster, hcm, listener::Listener, tls};
use crate::typed_struct::UdpaTypedStruct;

const BOOTSTRAP: &str = r#"
node: {id: sidecar~10.0.0.1~a.b~b.svc.cluster.local, cluster: a.b}
admin: {address: {socketAddress: {address: 127.0.0.1, port_value: 15000}}}
static_resources:
  listeners:
  - name: one
    address: {socket_address: {address: 0.0.0.0, portValue: 8080}}
    listener_filters_timeout: 0.5s
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: s
          cluster: c
          idle_timeout: 3600s
  clusters:
  - name: c
    type: STATIC
    lb_policy: 1
    connect_timeout: 0.25s
    per_connection_buffer_limit_bytes: 32768
"#;

#[test]
fn a_bootstrap_becomes_its_message() {
    let bootstrap: Bootstrap = parse(BOOTSTRAP).unwrap();
    let resources = bootstrap.static_resources.unwrap();
    let (listener, cluster) = (&resources.listeners[0], &resources.clusters[0]);
    assert_eq!(port(listener.address.as_ref().unwrap()), 8080);
    assert_eq!(listener.listener_filters_timeout.as_ref().unwrap().nanos, 500_000_000);
    assert_eq!(cluster.connect_timeout.as_ref().unwrap().nanos, 250_000_000);
    assert_eq!(cluster.lb_policy, 1);
    assert_eq!(cluster.per_connection_buffer_limit_bytes.unwrap().value, 32_768);
    let filter = &listener.filter_chains[0].filters[0];
    let Some(crate::envoy::listener::filter::ConfigType::TypedConfig(any)) = &filter.config_type
    else {
        panic!("no typed config")
    };
    let tcp: crate::envoy::tcp_proxy::TcpProxy = crate::unpack(any).unwrap();
    assert_eq!(tcp.idle_timeout.unwrap().seconds, 3600);
}

fn port(address: &Address) -> u32 {
    match &address.address {
        Some(Kind::SocketAddress(socket)) => match socket.port_specifier {
            Some(socket_address::PortSpecifier::PortValue(port)) => port,
            _ => 0,
        },
        _ => 0,
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        ("foo: 1", "unknown field \"foo\" in Bootstrap"),
        (
            "static_resources: {listeners: [{}, {filter_chains: [{foo: 1}]}]}",
            "static_resources.listeners[1].filter_chains[0]: unknown field \"foo\" in FilterChain",
        ),
        (
            "static_resources: {listeners: [{filterchains: []}]}",
            "static_resources.listeners[0]: unknown field \"filterchains\" in Listener; \
             `filter_chains` is meant?",
        ),
        (
            "static_resources: {clusters: [{connect_timeout: 5}]}",
            "static_resources.clusters[0].connect_timeout: wanted a duration such as \"1.5s\", \
             found a number",
        ),
        (
            "static_resources: {clusters: [{connect_timeout: 5ms}]}",
            "static_resources.clusters[0].connect_timeout: wanted a duration such as \"1.5s\", \
             found \"5ms\"",
        ),
        (
            "static_resources: {clusters: [{name: a, type: STATIC, cluster_type: {}}]}",
            "static_resources.clusters[0]: `type` and `cluster_type` are both set; only one may be",
        ),
        (
            "static_resources: {clusters: [{lb_policy: FASTEST}]}",
            "static_resources.clusters[0].lb_policy: `FASTEST` is none of ROUND_ROBIN, \
             LEAST_REQUEST, RING_HASH, RANDOM, MAGLEV, CLUSTER_PROVIDED, \
             LOAD_BALANCING_POLICY_CONFIG",
        ),
        ("node: {id: 7}", "node.id: wanted text, found a number (put it in quotes)"),
        ("node: {id: a, ID: b}", "node: unknown field \"ID\" in Node; `id` is meant?"),
        (
            "admin: {accessLogPath: a, access_log_path: b}",
            "admin: `access_log_path` is there twice",
        ),
        ("node: [a]", "node: wanted an object (envoy.config.core.v3.Node), found a list"),
        (
            "static_resources: {clusters: {}}",
            "static_resources.clusters: wanted a list, found an object",
        ),
        (
            "static_resources: {clusters: [null]}",
            "static_resources.clusters[0]: an item of a list may not be null",
        ),
        (
            "static_resources: {clusters: [{load_assignment: {endpoints: [{priority: -1}]}}]}",
            "static_resources.clusters[0].load_assignment.endpoints[0].priority: -1 is not \
             between 0 and 4294967295",
        ),
        (
            "bootstrap_extensions: [{name: a, typed_config: {\"@type\": x/a.b.C}}]",
            "bootstrap_extensions[0].typed_config: the type `a.b.C` is not supported",
        ),
        (
            "bootstrap_extensions: [{name: a, typed_config: {b: 1}}]",
            "bootstrap_extensions[0].typed_config: \"@type\" is missing: what message is it?",
        ),
    ];
    for (text, message) in cases {
        let error = parse::<Bootstrap>(text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn keys_that_stand_twice_are_refused_in_both_forms() {
    for text in ["node: {id: a}\nnode: {id: b}", r#"{"node": {}, "node": {}}"#] {
        let error = parse::<Bootstrap>(text).unwrap_err().to_string();
        assert!(error.contains("node"), "{error}");
    }
}

#[test]
fn structs_maps_wrappers_and_nested_any_read_and_print_back() {
    let value = json!({
        "filter_metadata": {
            "a": {"text": "x", "n": 1.5, "whole": 3, "no": null, "yes": true, "l": [1, {"b": []}]},
            "empty": {},
        },
        "typed_filter_metadata": {
            "t": {
                "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                "type_url": "type.googleapis.com/x.Y",
                "value": {"k": "v"},
            },
            "w": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.500s"},
            "b": {
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "name": "c",
                "type": "EDS",
                "track_cluster_stats": {"timeout_budgets": true},
                "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
                "max_requests_per_connection": 7,
            },
        },
    });
    let metadata: Metadata = from_tree(&Tree::parse(&value.to_string()).unwrap()).unwrap();
    let typed: UdpaTypedStruct = crate::unpack(&metadata.typed_filter_metadata["t"]).unwrap();
    assert_eq!(typed.type_url, "type.googleapis.com/x.Y");
    assert_eq!(typed.value.unwrap().fields.len(), 1);
    let mut printed = to_json(&metadata, Case::Snake);
    assert_eq!(printed["typed_filter_metadata"]["w"]["value"], "1.5s");
    printed["typed_filter_metadata"]["w"]["value"] = "1.500s".into();
    assert_eq!(printed, value);
}

#[test]
fn every_scalar_prints_as_protobuf_does() {
    let yaml = "
        name: c
        cluster_type: {name: x}
        common_lb_config: {healthy_panic_threshold: {value: 12.5}}
        ring_hash_lb_config: {minimum_ring_size: 18446744073709551615}
        lrs_report_endpoint_metrics: [a, b]
        outlier_detection: {interval: 10s}
        preconnect_policy: {per_upstream_preconnect_ratio: '1.25'}
        dns_lookup_family: 3
    ";
    let cluster: Cluster = parse(yaml).unwrap();
    let printed = to_json(&cluster, Case::Camel);
    assert_eq!(printed["commonLbConfig"]["healthyPanicThreshold"]["value"], 12.5);
    assert_eq!(printed["ringHashLbConfig"]["minimumRingSize"], "18446744073709551615");
    assert_eq!(printed["preconnectPolicy"]["perUpstreamPreconnectRatio"], 1.25);
    assert_eq!(printed["dnsLookupFamily"], "V4_PREFERRED");
    let again: Cluster = from_tree(&Tree::parse(&printed.to_string()).unwrap()).unwrap();
    assert_eq!(again, cluster);
}

#[test]
fn inline_bytes_are_base64_with_or_without_padding() {
    for text in ["aGVsbG8=", "aGVsbG8"] {
        let yaml = format!("name: s\ntls_certificate: {{private_key: {{inline_bytes: {text}}}}}");
        let secret: tls::Secret = parse(&yaml).unwrap();
        assert!(secret.encode_to_vec().windows(5).any(|window| window == b"hello"));
    }
}

#[test]
fn an_any_of_an_unknown_type_prints_its_bytes() {
    let any = Any { type_url: "type.googleapis.com/a.B".into(), value: vec![1, 2, 3] };
    let printed = any_to_json(&any, Case::Snake);
    assert_eq!(printed, json!({"@type": "type.googleapis.com/a.B", "value": "AQID"}));
}

#[test]
fn nesting_has_a_limit() {
    let deep = format!("metadata: {{filter_metadata: {{a: {}}}}}", "{b: ".repeat(200));
    assert!(parse::<Listener>(&format!("{deep}{}", "}".repeat(202))).is_err());
    let deep = format!(
        "{{\"metadata\": {{\"filter_metadata\": {{\"a\": {}1{} }}}}}}",
        "{\"b\": ".repeat(110),
        "}".repeat(110)
    );
    let error = parse::<Listener>(&deep).unwrap_err();
    assert!(error.reason.ends_with("recursion limit reached"), "{error}");
}

#[test]
fn times_go_both_ways() {
    let cases = [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2024-02-29T23:59:59.25Z", 1_709_251_199, 250_000_000),
        ("2026-11-22T17:40:01Z", 1_795_369_201, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
    ];
    for (text, seconds, nanos) in cases {
        assert_eq!(time::parse_timestamp(text), Some((seconds, nanos)), "{text}");
        assert_eq!(time::print_timestamp(seconds, nanos), text);
    }
    for (text, parts) in [("0s", (0, 0)), ("-1.5s", (-1, -500_000_000)), ("10s", (10, 0))] {
        assert_eq!(time::parse_duration(text), Some(parts));
        assert_eq!(time::print_duration(parts.0, parts.1), text);
    }
    for text in ["1", "s", "1.s", "+1s", "1.1234567890s", "1e3s", "1h", "", "999999999999s"] {
        assert_eq!(time::parse_duration(text), None, "{text}");
    }
}

#[test]
fn all_that_the_data_plane_reads_is_in_the_table() {
    let names = [
        Bootstrap::full_name(),
        hcm::HttpConnectionManager::full_name(),
        crate::envoy::upstream_http::HttpProtocolOptions::full_name(),
        crate::envoy::tls::DownstreamTlsContext::full_name(),
        crate::envoy::tls::UpstreamTlsContext::full_name(),
        crate::envoy::router::Router::full_name(),
        crate::envoy::http_rbac::Rbac::full_name(),
        crate::envoy::http_rbac::RbacPerRoute::full_name(),
        crate::envoy::network_rbac::Rbac::full_name(),
        crate::envoy::raw_buffer::RawBuffer::full_name(),
        crate::envoy::original_dst::OriginalDst::full_name(),
        crate::envoy::tls_inspector::TlsInspector::full_name(),
        crate::envoy::http_inspector::HttpInspector::full_name(),
        crate::envoy::file_access_log::FileAccessLog::full_name(),
        crate::envoy::stream_access_log::StdoutAccessLog::full_name(),
        crate::envoy::discovery::DeltaDiscoveryResponse::full_name(),
        crate::envoy::admin::ConfigDump::full_name(),
        "xds.type.v3.TypedStruct".to_owned(),
    ];
    for name in names {
        assert!(knows(&name), "{name}");
    }
}
