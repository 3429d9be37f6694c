//! Each test is one conversation: what comes in, what goes out.

use api::envoy::cluster::Cluster;
use api::envoy::discovery::Resource as Wrapped;

use super::*;

fn node() -> Node {
    Node { id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local".into(), ..Default::default() }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn world(request: Option<Request>) -> DiscoveryRequest {
    match request {
        Some(Request::World(request)) => *request,
        other => panic!("wanted a state-of-the-world request, got {other:?}"),
    }
}

fn delta(request: Option<Request>) -> DeltaDiscoveryRequest {
    match request {
        Some(Request::Delta(request)) => *request,
        other => panic!("wanted a delta request, got {other:?}"),
    }
}

fn clusters_world(nonce: &str, version: &str, names: &[&str]) -> Response {
    let cluster = |name: &&str| api::pack(&Cluster { name: (*name).into(), ..Default::default() });
    Response::World(DiscoveryResponse {
        type_url: Kind::Cluster.type_url().into(),
        nonce: nonce.into(),
        version_info: version.into(),
        resources: names.iter().map(cluster).collect(),
        ..Default::default()
    })
}

fn clusters_delta(nonce: &str, set: &[(&str, &str)], removed: &[&str]) -> Response {
    let resource = |(name, version): &(&str, &str)| Wrapped {
        name: (*name).into(),
        version: (*version).into(),
        resource: Some(api::pack(&Cluster { name: (*name).into(), ..Default::default() })),
        ..Default::default()
    };
    Response::Delta(DeltaDiscoveryResponse {
        type_url: Kind::Cluster.type_url().into(),
        nonce: nonce.into(),
        resources: set.iter().map(resource).collect(),
        removed_resources: removed.iter().map(|name| (*name).into()).collect(),
        ..Default::default()
    })
}

fn refused(name: &str) -> Vec<Rejection> {
    vec![Rejection { name: name.into(), field: "lb_policy".into(), reason: "not known".into() }]
}

fn opened(mode: Mode) -> Protocol {
    let mut protocol = Protocol::new(mode, node());
    assert!(protocol.subscribe(Kind::Cluster).is_some());
    assert_eq!(protocol.open().len(), 1);
    protocol
}

#[test]
fn the_node_goes_with_the_first_message_of_each_stream_only() {
    let mut protocol = Protocol::new(Mode::StateOfTheWorld, node());
    let first = world(protocol.subscribe(Kind::Cluster));
    assert_eq!(first.node, Some(node()));
    assert_eq!(world(protocol.subscribe(Kind::Listener)).node, None);
    let again = protocol.open();
    assert_eq!(again.len(), 2);
    assert_eq!(world(again.into_iter().next()).node, Some(node()));
}

#[test]
fn a_good_response_is_acknowledged_with_its_version_and_nonce() {
    let mut protocol = opened(Mode::StateOfTheWorld);
    let push = protocol.receive(clusters_world("n1", "v1", &["a", "b"])).unwrap();
    assert!(push.complete && push.set.len() == 2 && push.set[1].name == "b");
    let ack = world(Some(protocol.settle(&push, &[])));
    assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), ("v1", "n1"));
    assert_eq!(ack.error_detail, None);
}

#[test]
fn a_bad_response_is_refused_with_the_last_good_version() {
    let mut protocol = opened(Mode::StateOfTheWorld);
    let push = protocol.receive(clusters_world("n1", "v1", &["a"])).unwrap();
    protocol.settle(&push, &[]);
    let push = protocol.receive(clusters_world("n2", "v2", &["a", "b"])).unwrap();
    let nack = world(Some(protocol.settle(&push, &refused("b"))));
    assert_eq!((nack.version_info.as_str(), nack.response_nonce.as_str()), ("v1", "n2"));
    let detail = nack.error_detail.unwrap();
    assert_eq!((detail.code, detail.message.as_str()), (3, "cluster \"b\": lb_policy: not known"));
    // The next stream begins with the version that was accepted.
    assert_eq!(world(protocol.open().pop()).version_info, "v1");
}

#[test]
fn duplicates_and_old_nonces_are_answered_each_by_its_own() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut protocol = opened(mode);
        for nonce in ["n2", "n2", "n1"] {
            let response = match mode {
                Mode::StateOfTheWorld => clusters_world(nonce, "v", &["a"]),
                Mode::Delta => clusters_delta(nonce, &[("a", "1")], &[]),
            };
            let push = protocol.receive(response).unwrap();
            let answered = match protocol.settle(&push, &[]) {
                Request::World(request) => request.response_nonce,
                Request::Delta(request) => request.response_nonce,
            };
            assert_eq!(answered, nonce);
        }
    }
}

#[test]
fn names_change_by_the_whole_list_in_a_state_of_the_world() {
    let mut protocol = opened(Mode::StateOfTheWorld);
    assert_eq!(protocol.want(Kind::Endpoints, &names(&[])), None);
    let first = world(protocol.want(Kind::Endpoints, &names(&["a", "b"])));
    assert_eq!(
        (first.resource_names, first.response_nonce.as_str()),
        (vec!["a".into(), "b".into()], "")
    );
    assert_eq!(protocol.want(Kind::Endpoints, &names(&["a", "b"])), None);
    let second = world(protocol.want(Kind::Endpoints, &names(&["b", "c"])));
    assert_eq!(second.resource_names, ["b", "c"]);
    let last = world(protocol.want(Kind::Endpoints, &names(&[])));
    assert!(last.resource_names.is_empty());
    // An empty list in a first request would ask for everything, so nothing is asked.
    assert_eq!(protocol.open().len(), 1);
}

#[test]
fn delta_subscriptions_are_changes_and_carry_no_nonce() {
    let mut protocol = opened(Mode::Delta);
    let first = delta(protocol.want(Kind::Routes, &names(&["80", "90"])));
    assert_eq!(first.resource_names_subscribe, ["80", "90"]);
    let second = delta(protocol.want(Kind::Routes, &names(&["90", "100"])));
    assert_eq!(second.resource_names_subscribe, ["100"]);
    assert_eq!(second.resource_names_unsubscribe, ["80"]);
    assert_eq!((second.response_nonce.as_str(), second.error_detail), ("", None));
}

#[test]
fn a_delta_answer_changes_no_subscription() {
    let mut protocol = opened(Mode::Delta);
    let push = protocol.receive(clusters_delta("n1", &[("a", "1"), ("b", "1")], &["c"])).unwrap();
    assert_eq!((push.complete, push.removed.as_slice()), (false, &["c".to_owned()][..]));
    let ack = delta(Some(protocol.settle(&push, &[])));
    assert_eq!(ack.response_nonce, "n1");
    assert!(ack.resource_names_subscribe.is_empty() && ack.resource_names_unsubscribe.is_empty());
    let push = protocol.receive(clusters_delta("n2", &[("a", "2")], &[])).unwrap();
    let nack = delta(Some(protocol.settle(&push, &refused("a"))));
    assert!(nack.response_nonce == "n2" && nack.error_detail.unwrap().message.contains("\"a\""));
}

#[test]
fn a_new_delta_stream_begins_with_the_versions_in_force() {
    let mut protocol = opened(Mode::Delta);
    let push = protocol.receive(clusters_delta("1", &[("a", "1"), ("b", "1")], &[])).unwrap();
    protocol.settle(&push, &[]);
    let push = protocol.receive(clusters_delta("2", &[("a", "2"), ("c", "1")], &["b"])).unwrap();
    protocol.settle(&push, &refused("a"));
    let again = delta(protocol.open().pop());
    let versions: BTreeMap<_, _> = again.initial_resource_versions.into_iter().collect();
    let expected = [("a".to_owned(), "1".to_owned()), ("c".to_owned(), "1".to_owned())];
    assert_eq!(versions, BTreeMap::from(expected));
}

#[test]
fn what_is_not_wanted_any_more_is_not_claimed_on_a_new_stream() {
    let mut protocol = opened(Mode::Delta);
    protocol.want(Kind::Endpoints, &names(&["a", "b"]));
    let resource = |name: &str| Wrapped {
        name: name.into(),
        version: "1".into(),
        resource: Some(Default::default()),
        ..Default::default()
    };
    let response = DeltaDiscoveryResponse {
        type_url: Kind::Endpoints.type_url().into(),
        resources: vec![resource("a"), resource("b")],
        ..Default::default()
    };
    let push = protocol.receive(Response::Delta(response)).unwrap();
    protocol.settle(&push, &[]);
    protocol.want(Kind::Endpoints, &names(&["b"]));
    let again = delta(protocol.open().pop());
    assert_eq!(again.resource_names_subscribe, ["b"]);
    assert_eq!(again.initial_resource_versions.into_keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn kinds_are_asked_for_in_order() {
    let mut protocol = opened(Mode::Delta);
    protocol.want(Kind::Secret, &names(&["s"]));
    protocol.want(Kind::Routes, &names(&["r"]));
    protocol.subscribe(Kind::Listener);
    protocol.want(Kind::Endpoints, &names(&["e"]));
    let asked: Vec<_> =
        protocol.open().into_iter().map(|r| Kind::of(&delta(Some(r)).type_url).unwrap()).collect();
    assert_eq!(asked, Kind::ALL);
}

#[test]
fn an_unknown_type_is_refused_and_the_stream_goes_on() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut protocol = opened(mode);
        let (type_url, nonce) = ("type.googleapis.com/a.B".to_owned(), "n".to_owned());
        let response = match mode {
            Mode::StateOfTheWorld => {
                Response::World(DiscoveryResponse { type_url, nonce, ..Default::default() })
            }
            Mode::Delta => {
                Response::Delta(DeltaDiscoveryResponse { type_url, nonce, ..Default::default() })
            }
        };
        let (type_url, nonce, error) = match protocol.receive(response).unwrap_err() {
            Request::World(r) => (r.type_url, r.response_nonce, r.error_detail),
            Request::Delta(r) => (r.type_url, r.response_nonce, r.error_detail),
        };
        assert_eq!((type_url.as_str(), nonce.as_str()), ("type.googleapis.com/a.B", "n"));
        assert!(error.unwrap().message.contains("not understood"));
    }
}

#[test]
fn resources_that_cannot_be_named_are_refused_and_remove_nothing() {
    let mut protocol = opened(Mode::StateOfTheWorld);
    let Response::World(mut response) = clusters_world("n", "v", &["a"]) else { unreachable!() };
    response.resources.push(api::envoy::Any {
        type_url: Kind::Cluster.type_url().into(),
        value: vec![0x0a, 0xff],
    });
    response.resources.push(api::pack(&Cluster::default()));
    let push = protocol.receive(Response::World(response)).unwrap();
    assert_eq!((push.set.len(), push.broken.len(), push.complete), (1, 2, false));
    assert_eq!(push.broken[0].name, "resources[1]");
    assert!(push.broken[1].reason.contains("no name"));
}

#[test]
fn a_long_list_of_refusals_is_cut_and_counted() {
    let many: Vec<_> = (0..1000).flat_map(|index| refused(&format!("{index:0100}"))).collect();
    let message = status(Kind::Cluster, &many).message;
    assert!(message.len() < DETAIL_MAX + 100);
    assert!(message.ends_with(" more"), "{}", &message[message.len() - 40..]);
}
