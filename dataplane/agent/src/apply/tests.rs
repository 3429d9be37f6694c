//! Resources as they come over a stream, and what is in force after each.

use std::net::TcpListener;

use api::envoy::Any;
use prost::{Message, Name};

use super::*;
use crate::xds::Resource;

fn applier() -> Applier {
    let bind: Bind = Box::new(|address, _: &ListenerOptions| {
        Ok(Arc::new(Bound { sockets: vec![TcpListener::bind(address)?] }))
    });
    Applier::new(bind, Box::new(|| {}), true)
}

fn resource<M: Message + Name + Default>(name: &str, yaml: &str) -> Resource {
    let message: M = api::text::parse(yaml).unwrap();
    named(name, api::pack(&message))
}

fn named(name: &str, body: Any) -> Resource {
    Resource { name: name.to_owned(), resource: Some(body), ..Default::default() }
}

fn push(kind: Kind, set: Vec<Resource>, complete: bool) -> Push {
    Push {
        kind,
        set,
        removed: Vec::new(),
        complete,
        version: "v".to_owned(),
        nonce: "n".to_owned(),
        broken: Vec::new(),
    }
}

fn cluster(name: &str, fields: &str) -> Resource {
    let yaml = format!("{{ name: {name}, connect_timeout: 1s, {fields} }}");
    resource::<api::envoy::cluster::Cluster>(name, &yaml)
}

fn eds(name: &str) -> Resource {
    cluster(name, "type: EDS, eds_cluster_config: { eds_config: { ads: {} } }")
}

fn assignment(name: &str, port: u16) -> Resource {
    let address = format!("socket_address: {{ address: 10.0.0.1, port_value: {port} }}");
    let yaml = format!(
        "{{ cluster_name: {name}, endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ \
         {address} }} }} }} ] }} ] }}"
    );
    resource::<api::envoy::endpoint::ClusterLoadAssignment>(name, &yaml)
}

fn tcp_listener(name: &str, to: &str) -> Resource {
    let yaml = format!(
        r#"
name: {name}
address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
filter_chains:
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: tcp
      cluster: {to}
"#
    );
    resource::<api::envoy::listener::Listener>(name, &yaml)
}

fn in_force(applier: &Applier) -> (Vec<String>, Vec<String>) {
    let snapshot = applier.reader().load();
    let clusters = snapshot.clusters.iter().flatten().map(|cluster| cluster.name.to_string());
    let listeners = snapshot.listeners.iter().map(|listener| listener.name.to_string());
    (clusters.collect(), listeners.collect())
}

#[test]
fn clusters_come_into_force_with_their_endpoints() {
    let mut applier = applier();
    let applied = applier.apply(&push(Kind::Cluster, vec![eds("a")], true));
    assert_eq!(applied.rejected, []);
    assert_eq!(applied.wants.endpoints.iter().collect::<Vec<_>>(), ["a"]);
    assert!(in_force(&applier).0.is_empty());
    applier.apply(&push(Kind::Endpoints, vec![assignment("a", 80)], false));
    assert_eq!(in_force(&applier).0, ["a"]);
    assert!((applier.clusters_report())().contains("a::10.0.0.1:80::health_flags::healthy"));
}

#[test]
fn the_good_ones_are_applied_and_the_bad_ones_named() {
    let mut applier = applier();
    let bad = cluster("bad", "type: EDS");
    let junk = named("junk", Any { type_url: api::any::CLUSTER.into(), value: vec![0xff] });
    let good = cluster("good", "type: STATIC");
    let applied = applier.apply(&push(Kind::Cluster, vec![bad, junk, good], true));
    let names: Vec<_> = applied.rejected.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(in_force(&applier).0, ["good"]);
    assert!(names.contains(&"bad") && names.contains(&"junk"), "{names:?}");
    assert!(
        applied.rejected.iter().any(|r| r.field == "eds_cluster_config"),
        "{:?}",
        applied.rejected
    );
}

#[test]
fn a_refused_version_leaves_the_one_before_and_a_whole_list_removes() {
    let mut applier = applier();
    applier.apply(&push(Kind::Cluster, vec![cluster("a", "type: STATIC")], true));
    let worse = cluster("a", "type: EDS");
    assert_eq!(applier.apply(&push(Kind::Cluster, vec![worse], true)).rejected.len(), 1);
    assert_eq!(in_force(&applier).0, ["a"]);
    applier.apply(&push(Kind::Cluster, vec![cluster("b", "type: STATIC")], true));
    assert_eq!(in_force(&applier).0, ["b"]);
    // In a delta nothing is gone that is not named.
    applier.apply(&push(Kind::Cluster, vec![cluster("c", "type: STATIC")], false));
    assert_eq!(in_force(&applier).0, ["b", "c"]);
    let mut removal = push(Kind::Cluster, Vec::new(), false);
    removal.removed = vec!["b".to_owned()];
    applier.apply(&removal);
    assert_eq!(in_force(&applier).0, ["c"]);
}

#[test]
fn it_is_live_once_clusters_and_listeners_are_in_force() {
    let mut applier = applier();
    let live = applier.live();
    applier.apply(&push(Kind::Cluster, vec![cluster("a", "type: STATIC")], true));
    assert!(!live.get(), "no listeners yet");
    let bad = named("x", Any { type_url: api::any::LISTENER.into(), value: vec![0xff] });
    applier.apply(&push(Kind::Listener, vec![bad], false));
    assert!(!live.get(), "no listener could be used");
    let applied = applier.apply(&push(Kind::Listener, vec![tcp_listener("l", "a")], true));
    assert_eq!(applied.rejected, []);
    assert_eq!(in_force(&applier).1, ["l"]);
    assert!(live.get());
}

#[test]
fn without_a_control_plane_the_file_is_enough() {
    let bind: Bind = Box::new(|_, _| Err(io::Error::other("no sockets here")));
    let mut applier = Applier::new(bind, Box::new(|| {}), false);
    assert!(applier.load_file(Update::default()).is_empty());
    assert!(applier.live().get());
}

#[test]
fn a_listener_that_cannot_be_bound_is_refused_with_the_reason() {
    let bind: Bind = Box::new(|_, _| Err(io::Error::other("address in use")));
    let mut applier = Applier::new(bind, Box::new(|| {}), true);
    applier.apply(&push(Kind::Cluster, vec![cluster("a", "type: STATIC")], true));
    let applied = applier.apply(&push(Kind::Listener, vec![tcp_listener("l", "a")], true));
    let [rejection] = applied.rejected.as_slice() else { panic!("{:?}", applied.rejected) };
    assert_eq!((rejection.name.as_str(), rejection.field.as_str()), ("l", "address"));
    assert!(rejection.reason.contains("address in use"), "{}", rejection.reason);
}
