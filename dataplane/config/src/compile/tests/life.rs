//! Versions over time: warming, sharing, removal, sockets, secrets.

use api::envoy::cluster::Cluster as ClusterMessage;
use api::envoy::endpoint::ClusterLoadAssignment;
use api::envoy::listener::Listener;
use api::envoy::route::RouteConfiguration;
use api::envoy::tls::Secret;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};

use super::*;
use crate::compile::Filler;
use crate::refused::{Code, Kind};

const EDS: &str = "name: c\ntype: EDS\neds_cluster_config: {eds_config: {ads: {}}}";

fn endpoints(port: u16) -> Update {
    resource::<ClusterLoadAssignment>(&format!(
        "cluster_name: c\nendpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
         {{address: 10.0.0.1, port_value: {port}}}}}}}}}]}}]"
    ))
}

fn listener(name: &str, port: u16, stat: &str) -> Update {
    resource::<Listener>(&format!(
        "name: {name}\naddress: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}\n\
         filter_chains:\n- name: chain\n  filters:\n  - name: t\n    typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: \
         s, cluster: c}}\nstat_prefix: {stat}"
    ))
}

fn accepted(compiler: &mut Compiler, update: Update) {
    let refused = compiler.apply(update, &mut no_sockets);
    assert!(refused.is_empty(), "{}", refused[0]);
}

#[test]
fn a_cluster_is_used_when_its_endpoints_came_and_follows_them() {
    let mut compiler = Compiler::new();
    accepted(&mut compiler, resource::<ClusterMessage>(EDS));
    assert_eq!(compiler.needed_names().endpoints, ["c".into()]);
    assert!(compiler.build().clusters[0].is_none());
    assert_eq!(compiler.cold(), [(Kind::Cluster, "c".into())]);
    accepted(&mut compiler, endpoints(80));
    let first = compiler.build();
    let old = cluster(&first, &compiler, "c").endpoints.clone();
    assert_eq!(old.hosts[0].address.port(), 80);
    assert!(compiler.cold().is_empty());
    accepted(&mut compiler, endpoints(81));
    let second = compiler.build();
    let new = &cluster(&second, &compiler, "c").endpoints;
    assert_eq!(new.hosts[0].address.port(), 81);
    assert!(new.version > old.version);
    // A new version of the cluster keeps the hosts that have not changed as they are.
    accepted(&mut compiler, resource::<ClusterMessage>(&format!("{EDS}\nconnect_timeout: 1s")));
    let third = compiler.build();
    assert!(Arc::ptr_eq(&cluster(&third, &compiler, "c").endpoints, new));
    assert_eq!(third.generation, 4);
}

#[test]
fn an_id_never_means_another_cluster() {
    let mut compiler = Compiler::new();
    accepted(&mut compiler, resource::<ClusterMessage>("name: a"));
    let a = compiler.cluster_id("a").unwrap();
    let (update, _) = Update::delta(api::any::CLUSTER, &[], &["a".into()]);
    accepted(&mut compiler, update);
    accepted(&mut compiler, resource::<ClusterMessage>("name: b"));
    let snapshot = compiler.build();
    assert!(snapshot.cluster(a).is_none());
    assert_ne!(compiler.cluster_id("b"), Some(a));
    accepted(&mut compiler, resource::<ClusterMessage>("name: a"));
    assert_eq!(compiler.cluster_id("a"), Some(a));
}

#[test]
fn the_state_of_the_world_removes_what_it_does_not_have() {
    let mut compiler = Compiler::new();
    let any = |name: &str| api::pack(&ClusterMessage { name: name.into(), ..Default::default() });
    let (update, _) = Update::state_of_the_world(api::any::CLUSTER, &[any("a"), any("b")]);
    accepted(&mut compiler, update);
    let names = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.clusters.iter().flatten().map(|cluster| cluster.name.to_string()).collect()
    };
    assert_eq!(names(&compiler.build()), ["a", "b"]);
    let broken = Any { type_url: api::any::CLUSTER.into(), value: vec![0xff] };
    let (update, refused) =
        Update::state_of_the_world(api::any::CLUSTER, &[any("b"), broken.clone()]);
    assert_eq!((refused[0].code, &*refused[0].name), (Code::Malformed, "resources[1]"));
    accepted(&mut compiler, update);
    assert_eq!(names(&compiler.build()), ["a", "b"], "what is broken may have been `a`");
    let (update, _) = Update::state_of_the_world(api::any::CLUSTER, &[any("b")]);
    accepted(&mut compiler, update);
    assert_eq!(names(&compiler.build()), ["b"]);
}

#[test]
fn a_bad_version_leaves_the_good_one_and_the_others() {
    let mut compiler = Compiler::new();
    accepted(&mut compiler, resource::<ClusterMessage>("name: a\nconnect_timeout: 1s"));
    let mut update = resource::<ClusterMessage>("name: a\nconnect_timeout: 0s");
    update.clusters.push(ClusterMessage { name: "b".into(), ..Default::default() });
    let refused = compiler.apply(update, &mut no_sockets);
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].kind, &*refused[0].name), (Kind::Cluster, "a"));
    let snapshot = compiler.build();
    assert_eq!(cluster(&snapshot, &compiler, "a").connect_timeout.as_secs(), 1);
    cluster(&snapshot, &compiler, "b");
}

#[test]
fn what_stands_in_the_file_is_not_changed_from_outside() {
    let (_, mut compiler) = good(&with_cluster("connect_timeout: 3s"));
    let refused = compiler.apply(resource::<ClusterMessage>("name: c"), &mut no_sockets);
    assert_eq!(refused[0].code, Code::Invalid);
    let (update, _) = Update::state_of_the_world(api::any::CLUSTER, &[]);
    accepted(&mut compiler, update);
    let snapshot = compiler.build();
    assert_eq!(cluster(&snapshot, &compiler, "c").connect_timeout.as_secs(), 3);
}

#[test]
fn the_same_address_keeps_its_sockets_and_chains_that_stay_are_shared() {
    let mut compiler = Compiler::new();
    let mut binds = Vec::new();
    let mut bind = |address: SocketAddr, options: &ListenerOptions| {
        assert_eq!(options.backlog, 1024);
        binds.push(address.port());
        Ok(Arc::new(Bound::default()))
    };
    assert!(compiler.apply(listener("l", 1, "a"), &mut bind).is_empty());
    let first = compiler.build().listeners[0].clone();
    assert!(compiler.apply(listener("l", 1, "a"), &mut bind).is_empty());
    assert!(Arc::ptr_eq(&first, &compiler.build().listeners[0]), "nothing changed");
    assert!(compiler.apply(listener("l", 1, "b"), &mut bind).is_empty());
    let second = compiler.build().listeners[0].clone();
    assert!(!Arc::ptr_eq(&first, &second));
    let sockets = |listener: &crate::snapshot::Listener| listener.bound.clone().unwrap();
    assert!(Arc::ptr_eq(&sockets(&first), &sockets(&second)));
    assert!(Arc::ptr_eq(&first.chains[0], &second.chains[0]));
    assert!(compiler.apply(listener("l", 2, "b"), &mut bind).is_empty());
    let third = compiler.build().listeners[0].clone();
    assert!(!Arc::ptr_eq(&sockets(&second), &sockets(&third)));
    assert_eq!(binds, [1, 2]);
}

#[test]
fn a_listener_that_cannot_bind_or_takes_anothers_address_is_refused() {
    let mut compiler = Compiler::new();
    let mut in_use = |_: SocketAddr, _: &ListenerOptions| -> std::io::Result<Arc<Bound>> {
        Err(std::io::ErrorKind::AddrInUse.into())
    };
    let refused = compiler.apply(listener("l", 1, "a"), &mut in_use);
    let text = "listener `l`: address: cannot listen on 127.0.0.1:1: address in use (config.bind)";
    assert_eq!(refused[0].to_string(), text);
    assert!(compiler.build().listeners.is_empty());
    accepted(&mut compiler, listener("l", 1, "a"));
    let refused = compiler.apply(listener("m", 1, "a"), &mut no_sockets);
    let text = "listener `m`: address: the listener `l` has the address 127.0.0.1:1 \
                (config.invalid)";
    assert_eq!(refused[0].to_string(), text);
}

#[test]
fn port_zero_becomes_the_port_that_was_bound() {
    let mut compiler = Compiler::new();
    let mut bind = |address: SocketAddr, _: &ListenerOptions| {
        Ok(Arc::new(Bound { sockets: vec![std::net::TcpListener::bind(address)?] }))
    };
    assert!(compiler.apply(listener("l", 0, "a"), &mut bind).is_empty());
    let snapshot = compiler.build();
    assert_ne!(snapshot.listeners[0].address.port(), 0);
}

#[test]
fn a_listener_waits_for_its_routes_while_the_old_one_serves() {
    let rds = |stat: &str, name: &str| {
        let yaml = with_manager(&format!(
            "http_filters: [{ROUTER}]\nvia: {stat}\nrds: {{route_config_name: {name}, \
             config_source: {{ads: {{}}}}}}"
        ));
        let file: api::envoy::bootstrap::Bootstrap = api::text::parse(&yaml).unwrap();
        let mut update = Update::default();
        update.listeners.push(file.static_resources.unwrap().listeners.remove(0));
        update
    };
    let mut compiler = Compiler::new();
    accepted(&mut compiler, rds("one", "a"));
    accepted(&mut compiler, resource::<RouteConfiguration>("name: a"));
    assert_eq!(manager(&compiler.build()).via.as_deref(), Some("one"));
    accepted(&mut compiler, rds("two", "b"));
    assert_eq!(compiler.needed_names().routes, ["a".into(), "b".into()]);
    assert_eq!(manager(&compiler.build()).via.as_deref(), Some("one"));
    let bad = "name: b\nvhds: {config_source: {ads: {}}}";
    let refused = compiler.apply(resource::<RouteConfiguration>(bad), &mut no_sockets);
    assert_eq!((refused[0].kind, &*refused[0].field), (Kind::Routes, "vhds"));
    // Bad routes are no routes: requests are refused rather than sent past the listener.
    let snapshot = compiler.build();
    assert_eq!(manager(&snapshot).via.as_deref(), Some("two"));
    assert!(snapshot.routes["b"].hosts.is_empty());
    assert_eq!(compiler.needed_names().routes, ["b".into()]);
    assert!(!snapshot.routes.contains_key("a"), "nothing refers to it any more");
}

struct Authority {
    roots: String,
    chain: String,
    key: String,
}

fn authority() -> Authority {
    let root_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(Vec::<String>::new()).unwrap();
    leaf.subject_alt_names = vec![SanType::URI("spiffe://td/ns/a/sa/b".try_into().unwrap())];
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    Authority { roots: root.pem(), chain: leaf.pem(), key: key.serialize_pem() }
}

const TLS: &str = r#"name: c
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    common_tls_context:
      tls_certificate_sds_secret_configs: [{name: CERT, sds_config: SOURCE}]
      combined_validation_context:
        default_validation_context:
          match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://a"}}]
        validation_context_sds_secret_config: {name: ROOTS, sds_config: SOURCE}
"#;

fn secret(name: &str, kind: &str, fields: &[(&str, &str)]) -> Update {
    let fields = fields.iter().map(|(field, pem)| format!("{field}: {{inline_string: {pem:?}}}"));
    let fields = fields.collect::<Vec<_>>().join(", ");
    resource::<Secret>(&format!("name: {name}\n{kind}: {{{fields}}}"))
}

#[test]
fn secrets_over_ads_fill_the_slots_that_contexts_hold() {
    let mut compiler = Compiler::new();
    let yaml = TLS.replace("SOURCE", "{ads: {}}");
    let yaml = yaml.replace("CERT", "kubernetes://a").replace("ROOTS", "kubernetes://a-cacert");
    accepted(&mut compiler, resource::<ClusterMessage>(&yaml));
    let needed = ["kubernetes://a".into(), "kubernetes://a-cacert".into()];
    assert_eq!(compiler.needed_names().secrets, needed);
    assert!(compiler.build().clusters[0].is_none(), "no secret yet");
    let made = authority();
    let pair = [("certificate_chain", &*made.chain), ("private_key", &*made.key)];
    accepted(&mut compiler, secret("kubernetes://a", "tls_certificate", &pair));
    assert!(compiler.build().clusters[0].is_none(), "no roots yet");
    let roots = [("trusted_ca", &*made.roots)];
    accepted(&mut compiler, secret("kubernetes://a-cacert", "validation_context", &roots));
    assert!(compiler.build().clusters[0].is_some());
    let slot = compiler.slots().identity(Filler::Ads, "kubernetes://a");
    assert_eq!(slot.get().unwrap().spiffe_id(), Some("spiffe://td/ns/a/sa/b"));
    let before = slot.generation();
    accepted(&mut compiler, secret("kubernetes://a", "tls_certificate", &pair));
    assert_eq!(slot.generation(), before, "the same secret is no rotation");
    let bad = [("certificate_chain", "x"), ("private_key", "y")];
    let refused =
        compiler.apply(secret("kubernetes://a", "tls_certificate", &bad), &mut no_sockets);
    assert_eq!((refused[0].code, &*refused[0].field), (Code::Secret, "tls_certificate"));
    assert!(slot.is_filled(), "the last good one stays");
}

#[test]
fn the_agents_slots_are_the_ones_that_sds_grpc_means() {
    let grpc = "{api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: \
                sds-grpc}}]}}";
    let yaml = TLS.replace("SOURCE", grpc);
    let mut compiler = Compiler::new();
    let good = yaml.replace("CERT", "default").replace("ROOTS", "ROOTCA");
    accepted(&mut compiler, resource::<ClusterMessage>(&good));
    assert!(compiler.needed_names().secrets.is_empty());
    assert!(compiler.build().clusters[0].is_none());
    let made = authority();
    let identity = tls::Identity::from_pem(made.chain.as_bytes(), made.key.as_bytes()).unwrap();
    let trust = tls::Trust::from_pem(made.roots.as_bytes()).unwrap();
    compiler.slots().identity(Filler::Agent, "default").set(Arc::new(identity));
    compiler.slots().trust(Filler::Agent, "ROOTCA").set(Arc::new(trust));
    assert!(compiler.build().clusters[0].is_some(), "warm without another update");
    let other = yaml.replace("CERT", "file-cert:a~b").replace("ROOTS", "ROOTCA");
    let refused = compiler.apply(resource::<ClusterMessage>(&other), &mut no_sockets);
    assert_eq!(refused[0].code, Code::Unknown);
    assert!(refused[0].field.ends_with("tls_certificate_sds_secret_configs[0].name"));
}
