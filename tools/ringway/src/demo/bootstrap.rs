//! The file that a proxy is started with: an Envoy v3 bootstrap, as Istio's agent writes it.

use std::{net::Ipv4Addr, path::Path};

use serde_json::{Value, json};

use super::cast::{CONTROL_IP, NAMESPACE, Role};

/// The admin port of every proxy, on loopback only.
pub(crate) const ADMIN_PORT: u16 = 15000;
/// The control plane's plaintext xDS port.
pub(crate) const XDS_PORT: u16 = 15010;
/// Its port for xDS, secrets and certificates over TLS.
pub(crate) const SECURE_PORT: u16 = 15012;
/// The name in the control plane's certificate that Istio's sidecars ask for.
const CONTROL_NAME: &str = "istiod.istio-system.svc";
/// The cluster that Istio's resources name as the source of secrets.
const SECRETS_CLUSTER: &str = "sds-grpc";
const HEADER_MUTATION: &str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
const UPSTREAM_CODEC: &str = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const TLS_CONTEXT: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const DOMAIN: &str = "cluster.local";
/// Kinds that come over the one aggregated stream.
const AGGREGATED: [&str; 2] = ["lds_config", "cds_config"];

/// The whole file for the proxy of one pod; `root` verifies the control plane.
pub(crate) fn bootstrap(role: &Role, root: &Path) -> Value {
    let mut dynamic = json!({ "ads_config": {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": true,
        "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }],
    }});
    for kind in AGGREGATED {
        dynamic[kind] = json!({ "ads": {}, "resource_api_version": "V3" });
    }
    json!({
        "node": node(role),
        "admin": { "address": socket_address(Ipv4Addr::LOCALHOST, ADMIN_PORT) },
        "dynamic_resources": dynamic,
        "static_resources": { "clusters": [control_plane("xds-grpc", root)] },
    })
}

/// Changes the file for a proxy that has no agent inside, such as the real Envoy: secrets come
/// from the control plane as well, and its two clusters put the token into every request. (The
/// stream for secrets is named by the control plane, so it has no other place for a token.)
pub(crate) fn without_agent(bootstrap: &mut Value, token: &str) {
    let header = json!({ "key": "authorization", "value": format!("Bearer {token}") });
    let append = json!({ "header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" });
    let filters = json!([
        { "name": "envoy.filters.http.header_mutation", "typed_config": {
            "@type": type_url(HEADER_MUTATION),
            "mutations": { "request_mutations": [{ "append": append }] },
        }},
        { "name": "envoy.filters.http.upstream_codec", "typed_config": {
            "@type": type_url(UPSTREAM_CODEC),
        }},
    ]);
    let clusters = &mut bootstrap["static_resources"]["clusters"];
    clusters[0]["typed_extension_protocol_options"][HTTP_OPTIONS]["http_filters"] = filters;
    let mut secrets = clusters[0].clone();
    secrets["name"] = json!(SECRETS_CLUSTER);
    secrets["load_assignment"]["cluster_name"] = json!(SECRETS_CLUSTER);
    if let Some(clusters) = clusters.as_array_mut() {
        clusters.push(secrets);
    }
}

fn node(role: &Role) -> Value {
    json!({
        "id": format!(
            "sidecar~{}~{}.{NAMESPACE}~{NAMESPACE}.svc.{DOMAIN}", role.ip, role.name
        ),
        "cluster": format!("{}.{NAMESPACE}", role.account),
        "metadata": {
            "NAMESPACE": NAMESPACE,
            "SERVICE_ACCOUNT": role.account,
            "INSTANCE_IPS": role.ip.to_string(),
            "LABELS": { "app": role.account, "version": role.version },
            "MESH_ID": DOMAIN,
            "CLUSTER_ID": "Kubernetes",
            "INTERCEPTION_MODE": "REDIRECT",
        },
    })
}

/// The control plane over TLS; it signs certificates on the same port.
fn control_plane(name: &str, root: &Path) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": { HTTP_OPTIONS: {
            "@type": type_url(HTTP_OPTIONS),
            "explicit_http_config": { "http2_protocol_options": {} },
        }},
        "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": type_url(TLS_CONTEXT),
            "sni": CONTROL_NAME,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "validation_context": {
                    "trusted_ca": { "filename": root },
                    "match_typed_subject_alt_names": [
                        { "san_type": "DNS", "matcher": { "exact": CONTROL_NAME } },
                    ],
                },
            },
        }},
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{
            "endpoint": { "address": socket_address(CONTROL_IP, SECURE_PORT) },
        }]}]},
    })
}

fn type_url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

fn socket_address(ip: Ipv4Addr, port: u16) -> Value {
    json!({ "socket_address": { "address": ip.to_string(), "port_value": port } })
}
