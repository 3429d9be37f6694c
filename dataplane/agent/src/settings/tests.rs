use super::*;

const BOOTSTRAP: &str = r#"
node:
  id: sidecar~10.244.0.5~reviews-1.default~default.svc.cluster.local
  cluster: reviews.default
  metadata: { NAMESPACE: default, SERVICE_ACCOUNT: reviews, CLUSTER_ID: Kubernetes }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 15000 } } }
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: { cluster_name: xds-grpc }
      initial_metadata: [ { key: X-Team, value: a } ]
static_resources:
  clusters:
  - name: xds-grpc
    type: STRICT_DNS
    load_assignment:
      cluster_name: xds-grpc
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: ringwayd.test, port_value: 15012 } }
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: istiod.istio-system.svc
        common_tls_context:
          validation_context: { trusted_ca: { filename: /etc/root.pem } }
"#;

fn around() -> Surroundings {
    Surroundings { token_file: Some("/token".into()), ..Surroundings::default() }
}

fn read(change: impl Fn(String) -> String, around: &Surroundings) -> Result<AgentConfig, String> {
    let bootstrap = api::text::parse(&change(BOOTSTRAP.to_owned())).unwrap();
    AgentConfig::new(&bootstrap, around).map_err(|error| error.to_string())
}

#[test]
fn a_sidecars_bootstrap_says_all_that_is_needed() {
    let config = read(|text| text, &around()).unwrap();
    assert_eq!(config.admin, Some("127.0.0.1:15000".parse().unwrap()));
    let control = config.control.unwrap();
    assert_eq!(control.mode, Mode::Delta);
    let target = Target {
        address: Address::Tcp("ringwayd.test".into(), 15012),
        tls: Some(TargetTls {
            server_name: "istiod.istio-system.svc".into(),
            root_file: "/etc/root.pem".into(),
            identity_files: None,
        }),
        token_file: Some("/token".into()),
        metadata: vec![("X-Team".into(), "a".into()), ("ClusterID".into(), "Kubernetes".into())],
    };
    assert_eq!(control.target, target);
    match config.identity.unwrap() {
        Source::Authority { target: authority, spiffe_id, lifetime, .. } => {
            assert_eq!(spiffe_id, "spiffe://cluster.local/ns/default/sa/reviews");
            assert_eq!((authority, lifetime.as_secs()), (target, 86_400));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_environment_moves_the_authority_or_replaces_it() {
    let mut around = around();
    around.ca_address = Some("ca.test:15012".into());
    assert!(read(|text| text, &around).unwrap_err().contains("CA_ROOT_CA"));
    around.root_file = Some("/ca.pem".into());
    around.trust_domain = Some("td.example".into());
    match read(|text| text, &around).unwrap().identity.unwrap() {
        Source::Authority { target, spiffe_id, .. } => {
            assert_eq!(target.address.to_string(), "ca.test:15012");
            assert_eq!(target.tls.unwrap().server_name, "ca.test");
            assert_eq!(spiffe_id, "spiffe://td.example/ns/default/sa/reviews");
        }
        other => panic!("{other:?}"),
    }
    around.identity_dir = Some("/id".into());
    match read(|text| text, &around).unwrap().identity.unwrap() {
        Source::Files { chain, .. } => assert_eq!(chain, PathBuf::from("/id/cert-chain.pem")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_tls_no_token_goes_along() {
    let plain = |text: String| text[..text.find("    transport_socket:").unwrap()].to_owned();
    let control = read(plain, &around()).unwrap().control.unwrap();
    assert_eq!((control.target.tls, control.target.token_file), (None, None));
    let local = |text: String| plain(text).replace("ringwayd.test", "127.0.0.1");
    let control = read(local, &around()).unwrap().control.unwrap();
    assert_eq!(control.target.token_file, Some("/token".into()));
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let cases = [
        ("DELTA_GRPC", "REST", "api_type has to be"),
        ("cluster_name: xds-grpc }", "cluster_name: other }", "no static cluster \"other\""),
        ("address: 127.0.0.1,", "address: localhost,", "admin.address: \"localhost\""),
        ("filename: /etc/root.pem", "inline_string: x", "trusted_ca.filename"),
        ("port_value: 15012", "port_value: 70000", "70000 is not a port"),
        ("NAMESPACE: default", "NAMESPACE: a/b", "node.metadata"),
    ];
    for (from, to, reason) in cases {
        let error = read(|text| text.replace(from, to), &around()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let empty = AgentConfig::new(&Bootstrap::default(), &around()).unwrap();
    assert!(empty.control.is_none() && empty.identity.is_none() && empty.admin.is_none());
}

#[test]
fn surroundings_are_istios() {
    let variable = |name: &str| match name {
        "SECRET_TTL" => Some("1h30m".to_owned()),
        "CA_ADDR" => Some(String::new()),
        _ => None,
    };
    let around =
        Surroundings::read(variable, |path| path == TOKEN_FILE || path == IDENTITY_DIR).unwrap();
    assert_eq!(around.identity_dir, None, "an empty folder is no identity");
    assert_eq!(around.token_file, Some(TOKEN_FILE.into()));
    assert_eq!((around.ca_address, around.root_file), (None, None));
    assert_eq!(around.lifetime, Some(Duration::from_secs(5400)));
    for bad in ["", "24", "h", "24x", "0s", "99999999999999999999h"] {
        assert_eq!(duration(bad), None, "{bad}");
    }
}
