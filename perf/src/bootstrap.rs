//! The bootstrap file that Envoy and Ringway share: what a sidecar's listeners look like.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::certificates::Certificates;

const NETWORK: &str = "envoy.extensions.filters.network";
const HTTP: &str = "envoy.extensions.filters.http";
const TLS: &str = "envoy.extensions.transport_sockets.tls.v3";

/// What Istio has retried on every route.
const RETRY_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// A whole file. Its admin interface takes a port that is free.
pub(crate) fn file(listeners: &[Value], clusters: &[Value]) -> Value {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    json!({
        "node": { "id": "perf", "cluster": "perf" },
        "admin": { "address": address(loopback) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

/// A listener for HTTP as sidecars have it: paths normalised, request ids made, every route with
/// Istio's default retries. `filters` come before the router.
pub(crate) fn http_listener(at: SocketAddr, hosts: Value, filters: &[Value]) -> Value {
    let router = json!({ "name": "envoy.filters.http.router",
        "typed_config": { "@type": url(&format!("{HTTP}.router.v3.Router")) } });
    let filters: Vec<Value> = filters.iter().cloned().chain([router]).collect();
    let manager = json!({
        "@type": url(&format!("{NETWORK}.http_connection_manager.v3.HttpConnectionManager")),
        "stat_prefix": "perf",
        "codec_type": "AUTO",
        "normalize_path": true,
        "stream_idle_timeout": "0s",
        "http_filters": filters,
        "route_config": { "name": "perf", "virtual_hosts": hosts },
    });
    listener(at, "envoy.filters.network.http_connection_manager", manager)
}

/// A listener that passes bytes to a cluster.
pub(crate) fn tcp_listener(at: SocketAddr, cluster: &str) -> Value {
    let proxy = json!({
        "@type": url(&format!("{NETWORK}.tcp_proxy.v3.TcpProxy")),
        "stat_prefix": "perf",
        "cluster": cluster,
    });
    listener(at, "envoy.filters.network.tcp_proxy", proxy)
}

fn listener(at: SocketAddr, name: &str, config: Value) -> Value {
    json!({
        "name": "perf",
        "address": address(at),
        "filter_chains": [{ "filters": [{ "name": name, "typed_config": config }] }],
    })
}

/// One virtual host for all, one route to the cluster.
pub(crate) fn any_host(cluster: &str) -> Value {
    json!([host("any", &["*"], vec![route(json!({ "prefix": "/" }), cluster)])])
}

/// A virtual host.
pub(crate) fn host(name: &str, domains: &[&str], routes: Vec<Value>) -> Value {
    json!({ "name": name, "domains": domains, "routes": routes })
}

/// A route with the retries that Istio gives to all.
pub(crate) fn route(matches: Value, cluster: &str) -> Value {
    json!({ "match": matches, "route": {
        "cluster": cluster,
        "timeout": "0s",
        "retry_policy": {
            "retry_on": RETRY_ON,
            "num_retries": 2,
            "retriable_status_codes": [503],
        },
    }})
}

/// A cluster of one host, with Istio's limits: none.
pub(crate) fn cluster(name: &str, to: SocketAddr) -> Value {
    const NO_LIMIT: u32 = u32::MAX;
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": { "thresholds": [{
            "max_connections": NO_LIMIT, "max_pending_requests": NO_LIMIT,
            "max_requests": NO_LIMIT, "max_retries": NO_LIMIT,
        }]},
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{
            "endpoint": { "address": address(to) },
        }]}]},
    })
}

/// The same by HTTP/2. Listeners find out by themselves what a client speaks (`codec_type: AUTO`).
pub(crate) fn http2_cluster(name: &str, to: SocketAddr) -> Value {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let mut cluster = cluster(name, to);
    cluster["typed_extension_protocol_options"] = json!({ OPTIONS: {
        "@type": url(OPTIONS),
        "explicit_http_config": { "http2_protocol_options": {} },
    }});
    cluster
}

/// A cluster of HTTP/1.1 over mutual TLS, to a server of that SPIFFE id.
pub(crate) fn tls_cluster(name: &str, to: SocketAddr, ours: &Certificates) -> Value {
    let mut cluster = cluster(name, to);
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": url(&format!("{TLS}.UpstreamTlsContext")),
            "sni": "outbound_.80_._.perf",
            "common_tls_context": common(ours, "spiffe://cluster.local/ns/perf/sa/server"),
        },
    });
    cluster
}

/// A cluster that goes where a redirected connection wanted to go, from an address of one's own.
pub(crate) fn original_cluster(name: &str, from: Option<&str>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "10s",
    });
    if let Some(from) = from {
        let address = json!({ "address": from, "port_value": 0 });
        cluster["upstream_bind_config"] = json!({ "source_address": address });
    }
    cluster
}

/// What looks at a redirected connection before a filter chain is chosen.
pub(crate) fn inspectors() -> Value {
    const FILTER: &str = "envoy.extensions.filters.listener";
    json!([
        { "name": "envoy.filters.listener.original_dst",
          "typed_config": { "@type": url(&format!("{FILTER}.original_dst.v3.OriginalDst")) } },
        { "name": "envoy.filters.listener.tls_inspector",
          "typed_config": { "@type": url(&format!("{FILTER}.tls_inspector.v3.TlsInspector")) } },
    ])
}

/// Asks clients for a certificate of the mesh.
pub(crate) fn with_tls(mut listener: Value, ours: &Certificates) -> Value {
    listener["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": url(&format!("{TLS}.DownstreamTlsContext")),
            "require_client_certificate": true,
            "common_tls_context": common(ours, "spiffe://cluster.local/ns/perf/sa/client"),
        },
    });
    listener
}

fn common(ours: &Certificates, peer: &str) -> Value {
    json!({
        "alpn_protocols": ["http/1.1"],
        "tls_certificates": [{
            "certificate_chain": { "inline_string": ours.chain },
            "private_key": { "inline_string": ours.key },
        }],
        "validation_context": {
            "trusted_ca": { "inline_string": ours.root },
            "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": peer } }],
        },
    })
}

/// Istio's inbound policy of one rule: this caller may.
pub(crate) fn allow_client() -> Value {
    json!({ "name": "envoy.filters.http.rbac", "typed_config": {
        "@type": url(&format!("{HTTP}.rbac.v3.RBAC")),
        "rules": { "action": "ALLOW", "policies": { "client": {
            "permissions": [{ "and_rules": { "rules": [
                { "header": { "name": ":method", "string_match": { "exact": "GET" } } },
                { "url_path": { "path": { "prefix": "/" } } },
            ]}}],
            "principals": [{ "authenticated": { "principal_name": {
                "exact": "spiffe://cluster.local/ns/perf/sa/client",
            }}}],
        }}},
    }})
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}

fn url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}
