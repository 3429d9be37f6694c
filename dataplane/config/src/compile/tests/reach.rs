//! How hosts are reached and chosen beyond the usual.

use super::*;
use crate::snapshot::{
    Fallback, HostNames, Labels, PortRule, ProxyProtocol, ProxyVersion, RouteAction, Routes,
    Selector, Subsets,
};

#[test]
fn what_a_requests_host_means_for_tls() {
    let names = |sni, san, field: Option<&str>| {
        Some(HostNames { sni, san, field: field.map(|name| name.as_bytes().into()) })
    };
    let cases = [
        ("", None),
        ("{override_auto_sni_header: x-a}", None),
        ("{auto_sni: true}", names(true, false, None)),
        ("{auto_san_validation: true}", names(false, true, None)),
        (
            "{auto_sni: true, auto_san_validation: true, override_auto_sni_header: X-To}",
            names(true, true, Some("x-to")),
        ),
    ];
    let extension = "typed_extension_protocol_options: \
                     {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": \
                     type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
                     explicit_http_config: {http_protocol_options: {}}";
    for (given, expected) in cases {
        let field = match given {
            "" => String::new(),
            given => format!("upstream_http_protocol_options: {given}"),
        };
        for lines in [format!("{extension}, {field}}}}}"), field.clone()] {
            let (snapshot, compiler) = good(&with_cluster(&lines));
            assert_eq!(cluster(&snapshot, &compiler, "c").host_names, expected, "{lines}");
        }
        // The extension goes before the older field, also where it does not say anything.
        let (snapshot, compiler) = good(&with_cluster(&format!("{extension}}}}}\n{field}")));
        assert_eq!(cluster(&snapshot, &compiler, "c").host_names, None);
    }
}

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

fn labels(list: &[(&str, &str)]) -> Labels {
    list.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

#[test]
fn upstreams_may_be_told_of_clients() {
    let raw = format!(
        "{{name: raw, typed_config: {{\"@type\": {EXTENSIONS}.transport_sockets.\
                       raw_buffer.v3.RawBuffer}}}}"
    );
    let tls = format!(
        "{{name: tls, typed_config: {{\"@type\": {EXTENSIONS}.transport_sockets.\
                       tls.v3.UpstreamTlsContext, common_tls_context: {{}}}}}}"
    );
    let proxied = |config: &str, inner: &str| {
        format!(
            "transport_socket: {{name: p, typed_config: {{\"@type\": {EXTENSIONS}.\
             transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, {config} \
             transport_socket: {inner}}}}}"
        )
    };
    let cases = [
        (proxied("", &raw), ProxyVersion::V1, false),
        (proxied("config: {version: V1},", &tls), ProxyVersion::V1, true),
        (proxied("config: {version: V2},", &raw), ProxyVersion::V2, false),
    ];
    for (lines, version, is_tls) in cases {
        let (snapshot, compiler) = good(&with_cluster(&lines));
        let transport = &cluster(&snapshot, &compiler, "c").transport;
        assert_eq!((transport.proxy(), transport.tls().is_some()), (Some(version), is_tls));
    }
}

#[test]
fn a_listener_may_be_told_of_clients() {
    let listener = |fields: &str, behind: &str| {
        with_tcp("cluster: c").replace(
            "    filter_chains:",
            &format!(
                "    listener_filters:\n    - name: p\n      {behind}\n      typed_config: \
                 {{\"@type\": {EXTENSIONS}.filters.listener.proxy_protocol.v3.ProxyProtocol, \
                 {fields}}}\n    filter_chains:"
            ),
        )
    };
    let rule = |disabled: &[(u32, u32)]| PortRule { disabled: disabled.to_vec(), inverted: false };
    let usual = ProxyProtocol { rule: rule(&[]), is_optional: false, v1: true, v2: true };
    let cases = [
        ("", "", usual.clone()),
        (
            "allow_requests_without_proxy_protocol: true, disallowed_versions: [V1], \
             stat_prefix: x",
            "",
            ProxyProtocol { is_optional: true, v1: false, ..usual.clone() },
        ),
        (
            "disallowed_versions: [V2]",
            "filter_disabled: {destination_port_range: {start: 1, end: 2}}",
            ProxyProtocol { rule: rule(&[(1, 2)]), v2: false, ..usual },
        ),
    ];
    for (fields, behind, expected) in cases {
        let (snapshot, _) = good(&listener(fields, behind));
        assert_eq!(snapshot.listeners[0].proxy_protocol.as_ref(), Some(&expected), "{fields}");
    }
}

#[test]
fn hosts_may_be_told_apart_by_metadata() {
    let (snapshot, compiler) = good(&with_cluster(
        r#"type: STATIC
lb_subset_config:
  fallback_policy: DEFAULT_SUBSET
  default_subset: {v: "1"}
  subset_selectors:
  - {keys: [v, stage]}
  - {keys: ['n'], fallback_policy: ANY_ENDPOINT}
load_assignment:
  endpoints:
  - lb_endpoints:
    - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}
      metadata: {filter_metadata: {envoy.lb: {v: "1", 'n': 5, other: x}}}
    - endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 1}}}
"#,
    ));
    let cluster = cluster(&snapshot, &compiler, "c");
    let selector = |keys: &[&str], fallback| Selector {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        fallback,
    };
    let expected = Subsets {
        selectors: vec![selector(&["stage", "v"], None), selector(&["n"], Some(Fallback::Any))],
        fallback: Fallback::Default,
        default: labels(&[("v", "\"1\"")]),
        by_locality: false,
    };
    assert_eq!(cluster.subsets.as_deref(), Some(&expected));
    let of = |at: usize| cluster.endpoints.hosts[at].labels.as_deref().cloned();
    assert_eq!(of(0), Some(labels(&[("n", "5.0"), ("v", "\"1\"")])), "no more than is asked for");
    assert_eq!(of(1), Some(labels(&[])));
}

#[test]
fn routes_ask_for_metadata_and_their_parts_besides() {
    let match_of = |fields: &str| {
        format!("metadata_match: {{filter_metadata: {{envoy.lb: {fields}, x: {{y: z}}}}}}")
    };
    let action = format!(
        "match: {{prefix: /}}\nroute: {{weighted_clusters: {{clusters: [{{name: c, weight: 1, \
         {}}}, {{name: c, weight: 2}}]}}, {}}}",
        match_of("{v: 2}"),
        match_of("{v: '1', stage: prod}"),
    );
    let (snapshot, _) = good(&with_route(&action));
    let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("inline") };
    let RouteAction::Forward(forward) = &table.hosts[0].routes[0].action else { panic!("a route") };
    let subsets: Vec<_> = forward.clusters.iter().map(|one| one.subset.clone()).collect();
    let stage = ("stage", "\"prod\"");
    assert_eq!(subsets, [labels(&[stage, ("v", "2.0")]), labels(&[stage, ("v", "\"1\"")])]);
    let tcp_match = match_of("{v: '1'}");
    let (snapshot, _) = good(&with_tcp(&format!("cluster: c\n{tcp_match}")));
    assert_eq!(tcp(&snapshot).clusters[0].subset, labels(&[("v", "\"1\"")]));
}
