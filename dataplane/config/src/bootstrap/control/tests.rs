use std::net::SocketAddr;
use std::path::Path;

use super::*;
use crate::bootstrap::Bootstrap;

/// A sidecar's file as Istio's agent and ours write it; `DIR` has the roots.
const FILE: &str = r#"
node: {id: sidecar~10.0.0.1~a.b~b.svc.cluster.local, cluster: a.b, metadata: {NAMESPACE: b}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
dynamic_resources:
  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  ads_config:
    api_type: DELTA_GRPC
    set_node_on_first_message_only: true
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {cluster_name: xds-grpc}
      initial_metadata: [{key: authorization, value: Bearer abc}]
layered_runtime: {layers: [{name: a, static_layer: {b: 1}}, {name: admin, admin_layer: {}}]}
bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener
    buffer_size_kb: 64
stats_config: {use_all_default_tags: false}
static_resources:
  clusters:
  - name: sds-grpc
    type: STATIC
    http2_protocol_options: {}
  - name: xds-grpc
    type: STRICT_DNS
    connect_timeout: 1s
    http2_protocol_options: {}
    load_assignment:
      endpoints:
      - lb_endpoints:
        - {endpoint: {address: {socket_address: {address: istiod.svc, port_value: 15012}}}}
        - {endpoint: {address: {pipe: {path: etc/XDS}}}}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: istiod.svc
        common_tls_context:
          alpn_protocols: [h2]
          validation_context: {trusted_ca: {filename: DIR/root.pem}}
"#;

/// A folder with a root, and the file that names it.
fn scene() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["istiod.svc".to_owned()]).unwrap();
    std::fs::write(dir.path().join("root.pem"), own.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let text = FILE.replace("DIR", dir.path().to_str().unwrap());
    (dir, text)
}

fn read(text: &str) -> Result<Option<ControlPlane>, String> {
    let bootstrap = Bootstrap::parse(text).map_err(|refused| refused.to_string())?;
    bootstrap.control_plane(&mut Compiler::new()).map_err(|refused| refused.to_string())
}

#[test]
fn the_way_to_the_control_plane_is_read_from_the_file() {
    let (dir, text) = scene();
    let bootstrap = Bootstrap::parse(&text).unwrap();
    assert_eq!(bootstrap.node.cluster, "a.b");
    assert_eq!(bootstrap.admin, Some(SocketAddr::from(([127, 0, 0, 1], 15000))));
    assert!(bootstrap.asks_for_clusters && bootstrap.asks_for_listeners);
    let tls = |identity_files| TargetTls {
        server_name: "istiod.svc".into(),
        root_file: dir.path().join("root.pem"),
        identity_files,
    };
    let expected = ControlPlane {
        delta: true,
        metadata: vec![("authorization".into(), "Bearer abc".into())],
        targets: vec![
            Target::Tcp { host: "istiod.svc".into(), port: 15012 },
            Target::Unix("etc/XDS".into()),
        ],
        tls: Some(tls(None)),
    };
    assert_eq!(read(&text).unwrap().as_ref(), Some(&expected));
    assert_eq!(crate::validate::text(&text).unwrap(), crate::validate::Summary::default());

    let own =
        "[{certificate_chain: {filename: DIR/root.pem}, private_key: {filename: DIR/key.pem}}]";
    let own = own.replace("DIR", dir.path().to_str().unwrap());
    let own = text.replace("alpn_protocols: [h2]", &format!("tls_certificates: {own}"));
    let files = (dir.path().join("root.pem"), dir.path().join("key.pem"));
    assert_eq!(read(&own).unwrap().unwrap().tls, Some(tls(Some(files))));
    let plain = &text[..text.find("    transport_socket:").unwrap()];
    assert_eq!(read(plain).unwrap().unwrap(), ControlPlane { tls: None, ..expected });
    assert_eq!(read("node: {id: a}"), Ok(None));
}

#[test]
fn the_name_to_be_verified_is_one() {
    let (_dir, text) = scene();
    let single = text.replace("        - {endpoint: {address: {pipe: {path: etc/XDS}}}}\n", "");
    let san = |names: &str| {
        let with = format!("validation_context: {{{names}, trusted_ca");
        text.replace("validation_context: {trusted_ca", &with)
    };
    let (typed, untyped) = (
        san("match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: istiod.svc}}]"),
        san("match_subject_alt_names: [{exact: istiod.svc}]"),
    );
    let good = [
        single.replace("        sni: istiod.svc\n", ""),
        typed.replace("        sni: istiod.svc\n", ""),
        typed.clone(),
        untyped.clone(),
    ];
    for text in good {
        assert_eq!(read(&text).unwrap().unwrap().tls.unwrap().server_name, "istiod.svc", "{text}");
    }
    let bad = [
        (text.replace("        sni: istiod.svc\n", ""), "typed_config.sni: it has to be given"),
        (text.replace("sni: istiod.svc", "sni: a b"), "\"a b\" is not a server name"),
        (typed.replace("sni: istiod.svc", "sni: other.svc"), "one exact DNS name"),
        (typed.replace("{exact: ", "{prefix: "), "one exact DNS name"),
        (typed.replace("san_type: DNS", "san_type: URI"), "one exact DNS name"),
        (untyped.replace("[{exact:", "[{exact: a.svc}, {exact:"), "one exact DNS name"),
    ];
    for (text, reason) in bad {
        let refused = read(&text).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    let (dir, text) = scene();
    let sds = "tls_certificate_sds_secret_configs: [{name: default}]";
    let cases = [
        ("connect_timeout", "conect_timeout", "clusters[1]: unknown field \"conect_timeout\""),
        ("    connect_timeout: 1s", "    health_checks: [{}]", "health_checks: this field is not"),
        ("STRICT_DNS", "EDS", "cluster `xds-grpc`: type: the control plane cannot be found"),
        ("port_value: 15012", "port_value: 70000", "port_value: 70000 is more than 65535"),
        ("port_value: 15012", "port_value: 1, protocol: UDP", "address.protocol: this field is"),
        ("name: xds-grpc}", "name: xds-grpc, authority: a}", "envoy_grpc.authority: this field"),
        ("sni: istiod.svc", "allow_renegotiation: true", "allow_renegotiation: this field is not"),
        ("alpn_protocols: [h2]", "alpn_protocols: [http/1.1]", "gRPC needs `h2`"),
        ("alpn_protocols: [h2]", "tls_params: {}", "common_tls_context.tls_params: this field is"),
        ("alpn_protocols: [h2]", sds, "tls_certificate_sds_secret_configs: this field is not"),
        ("alpn_protocols: [h2]", "tls_certificates: [{}]", "certificate_chain: `filename` has to"),
        ("filename: ", "inline_string: ", "trusted_ca: `filename` has to be given"),
        ("root.pem", "none.pem", "none.pem` cannot be read"),
        ("{trusted_ca", "{max_verify_depth: 1, trusted_ca", "max_verify_depth: this field is not"),
        ("key: authorization", "key: a b", "initial_metadata[0].key: `a b` is no name of gRPC's"),
        ("key: authorization", "key: x-bin", "initial_metadata[0].key: `x-bin` is no name"),
        ("key: authorization", "raw_value: YQ==", "initial_metadata[0].raw_value: this field is"),
        ("Bearer abc", "'%START_TIME%'", "initial_metadata[0].value: only ASCII text without"),
    ];
    for (from, to, reason) in cases {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let refused = read(&changed).unwrap_err();
        assert!(refused.contains(reason), "{reason}\n{refused}");
        assert!(!refused.contains("Bearer"), "{refused}");
    }
    let elsewhere = format!("{text}{}", secrets_with_metadata(dir.path()));
    let refused = crate::validate::text(&elsewhere).unwrap_err();
    assert!(refused[0].to_string().contains("initial_metadata: this field is not supported"));
}

/// Another cluster, whose secrets come with metadata that nobody would send.
fn secrets_with_metadata(dir: &Path) -> String {
    format!(
        r#"
  - name: other
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          validation_context: {{trusted_ca: {{filename: {}/root.pem}}}}
          tls_certificate_sds_secret_configs:
          - name: default
            sds_config: {{api_config_source: {{api_type: GRPC, grpc_services: [{{
              envoy_grpc: {{cluster_name: sds-grpc}}, initial_metadata: [{{key: a}}]}}]}}}}
"#,
        dir.display()
    )
}
