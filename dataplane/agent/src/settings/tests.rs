use config::Target as Place;

use super::*;

const BOOTSTRAP: &str = r#"
node:
  id: sidecar~10.244.0.5~reviews-1.default~default.svc.cluster.local
  cluster: reviews.default
  metadata: { NAMESPACE: default, SERVICE_ACCOUNT: reviews, CLUSTER_ID: Kubernetes }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 15000 } } }
"#;

fn plane() -> ControlPlane {
    ControlPlane {
        delta: true,
        metadata: vec![("X-Team".into(), "a".into())],
        targets: vec![Place::Tcp { host: "ringwayd.test".into(), port: 15012 }],
        tls: Some(TargetTls {
            server_name: "istiod.istio-system.svc".into(),
            root_file: "/etc/root.pem".into(),
            identity_files: None,
        }),
    }
}

fn around() -> Surroundings {
    Surroundings { token_file: Some("/token".into()), ..Surroundings::default() }
}

fn settings(text: &str, plane: Option<ControlPlane>, around: &Surroundings) -> AgentConfig {
    AgentConfig::new(&Bootstrap::parse(text).unwrap(), plane, around).unwrap()
}

fn refused(text: &str, around: &Surroundings) -> String {
    let bootstrap = Bootstrap::parse(text).unwrap();
    AgentConfig::new(&bootstrap, Some(plane()), around).unwrap_err().to_string()
}

fn control(plane: ControlPlane) -> Control {
    settings(BOOTSTRAP, Some(plane), &around()).control.unwrap()
}

#[test]
fn a_sidecars_bootstrap_says_all_that_is_needed() {
    let config = settings(BOOTSTRAP, Some(plane()), &around());
    assert_eq!(config.node.cluster, "reviews.default");
    assert_eq!(config.admin, Some("127.0.0.1:15000".parse().unwrap()));
    let control = config.control.unwrap();
    assert_eq!(control.mode, Mode::Delta);
    let target = Target {
        address: Address::AnyOf(plane().targets),
        tls: plane().tls,
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
    assert!(refused(BOOTSTRAP, &around).contains("CA_ROOT_CA"));
    around.root_file = Some("/ca.pem".into());
    around.trust_domain = Some("td.example".into());
    match settings(BOOTSTRAP, Some(plane()), &around).identity.unwrap() {
        Source::Authority { target, spiffe_id, .. } => {
            assert_eq!(target.address.to_string(), "ca.test:15012");
            assert_eq!(target.tls.unwrap().server_name, "ca.test");
            assert_eq!(spiffe_id, "spiffe://td.example/ns/default/sa/reviews");
        }
        other => panic!("{other:?}"),
    }
    around.identity_dir = Some("/id".into());
    match settings(BOOTSTRAP, Some(plane()), &around).identity.unwrap() {
        Source::Files { chain, .. } => assert_eq!(chain, PathBuf::from("/id/cert-chain.pem")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_tls_no_token_goes_to_another_machine() {
    let (remote, unix) = (plane().targets[0].clone(), Place::Unix("/run/xds".into()));
    let local = Place::Tcp { host: "127.0.0.1".into(), port: 15010 };
    let cases = [
        (vec![remote.clone()], None),
        (vec![local.clone(), remote], None),
        (vec![local, unix], Some("/token".into())),
    ];
    for (targets, token_file) in cases {
        let target = control(ControlPlane { targets, tls: None, ..plane() }).target;
        assert_eq!((target.tls, target.token_file), (None, token_file), "{}", target.address);
    }
}

#[test]
fn a_cluster_id_in_the_file_stays_as_it_is() {
    let metadata = vec![("clusterid".into(), "a".into())];
    let target = control(ControlPlane { metadata: metadata.clone(), ..plane() }).target;
    assert_eq!(target.metadata, metadata);
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let error = refused(&BOOTSTRAP.replace("NAMESPACE: default", "NAMESPACE: a/b"), &around());
    assert!(error.starts_with("node.metadata: "), "{error}");
    let empty = settings("{}", None, &around());
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
