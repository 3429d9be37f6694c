//! State of the world.

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;

use super::*;

const A: &str = "outbound|80||a";
const B: &str = "outbound|80||b";

fn subscribe(kind: Kind, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names: names.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn ack(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: response.type_url.clone(),
        version_info: response.version_info.clone(),
        response_nonce: response.nonce.clone(),
        resource_names: names.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn nack(response: &DiscoveryResponse, names: &[&str], message: &str) -> DiscoveryRequest {
    let error_detail = Some(RpcStatus { code: 13, message: message.into(), ..Default::default() });
    DiscoveryRequest { error_detail, version_info: String::new(), ..ack(response, names) }
}

fn step(sotw: &mut Sotw, request: DiscoveryRequest, shelf: &Shelf) -> Step<DiscoveryResponse> {
    sotw.on_request(request, shelf).expect("within the limits")
}

fn only(sotw: &mut Sotw, request: DiscoveryRequest, shelf: &Shelf) -> DiscoveryResponse {
    let mut responses = step(sotw, request, shelf).responses;
    assert_eq!(responses.len(), 1);
    responses.remove(0)
}

fn bodies(response: &DiscoveryResponse) -> Vec<String> {
    response.resources.iter().map(|any| String::from_utf8_lossy(&any.value).into()).collect()
}

fn kinds(responses: &[DiscoveryResponse]) -> Vec<&'static str> {
    let kind = |r: &DiscoveryResponse| Kind::from_type_url(&r.type_url).map_or("?", Kind::label);
    responses.iter().map(kind).collect()
}

#[test]
fn a_wildcard_gets_everything_and_an_ack_nothing() {
    let shelf = Shelf::with(&[(Kind::Cluster, A, "1"), (Kind::Cluster, B, "2")]);
    let mut sotw = Sotw::new(scope());
    let first = only(&mut sotw, subscribe(Kind::Cluster, &[]), &shelf);
    assert_eq!(bodies(&first), ["1", "2"]);
    assert!(progress(&sotw, Kind::Cluster).in_flight);
    let answer = step(&mut sotw, ack(&first, &[]), &shelf);
    assert!(answer.responses.is_empty() && answer.notice.is_none());
    let progress = progress(&sotw, Kind::Cluster);
    assert_eq!((&*progress.acked, progress.in_flight), (first.version_info.as_str(), false));
}

#[test]
fn only_changed_types_are_pushed_and_equal_content_never() {
    let mut shelf = Shelf::with(&[(Kind::Listener, "l", "1"), (Kind::Route, "80", "1")]);
    let mut sotw = Sotw::new(scope());
    let lds = only(&mut sotw, subscribe(Kind::Listener, &[]), &shelf);
    let rds = only(&mut sotw, subscribe(Kind::Route, &["80"]), &shelf);
    step(&mut sotw, ack(&lds, &[]), &shelf);
    step(&mut sotw, ack(&rds, &["80"]), &shelf);
    assert!(sotw.push(&shelf).is_empty());
    shelf.put(Kind::Route, "80", "2");
    let pushed = sotw.push(&shelf);
    assert_eq!(kinds(&pushed), ["RDS"]);
    assert_eq!(bodies(&pushed[0]), ["2"]);
    assert_ne!(pushed[0].nonce, rds.nonce);
    assert!(sotw.push(&shelf).is_empty(), "what was sent is not sent again before its answer");
    // Back to the old content: the version is the old one again.
    shelf.put(Kind::Route, "80", "1");
    assert_eq!(sotw.push(&shelf)[0].version_info, rds.version_info);
    // Something that this client did not ask for changes nothing.
    shelf.put(Kind::Route, "9080", "x");
    assert!(sotw.push(&shelf).is_empty());
}

#[test]
fn one_push_goes_in_order() {
    let mut shelf = Shelf::default();
    let mut sotw = Sotw::new(scope());
    let names = |kind: Kind| if kind.is_wildcard() { vec![] } else { vec!["n"] };
    for kind in Kind::ALL.into_iter().rev() {
        step(&mut sotw, subscribe(kind, &names(kind)), &shelf);
    }
    for kind in Kind::ALL {
        shelf.put(kind, "n", "new");
    }
    assert_eq!(kinds(&sotw.push(&shelf)), ["CDS", "EDS", "LDS", "RDS", "SDS"]);
}

#[test]
fn a_nack_is_told_once_kept_and_does_not_stop_later_changes() {
    let mut shelf = Shelf::with(&[(Kind::Listener, "l", "bad")]);
    let mut sotw = Sotw::new(scope());
    let first = only(&mut sotw, subscribe(Kind::Listener, &[]), &shelf);
    let refused = step(&mut sotw, nack(&first, &[], "unknown filter"), &shelf);
    let Some(Notice::Nack(Kind::Listener, rejection)) = refused.notice else {
        panic!("a notice about the refusal")
    };
    assert_eq!((rejection.message.as_str(), rejection.code), ("unknown filter", 13));
    assert_eq!(&*rejection.version, first.version_info.as_str());
    assert!(refused.responses.is_empty() && sotw.push(&shelf).is_empty());
    assert!(step(&mut sotw, nack(&first, &[], "unknown filter"), &shelf).notice.is_none());
    assert_eq!(progress(&sotw, Kind::Listener).nacked, Some(rejection));
    shelf.put(Kind::Listener, "l", "good");
    let second = sotw.push(&shelf).remove(0);
    assert_eq!(bodies(&second), ["good"]);
    assert!(progress(&sotw, Kind::Listener).nacked.is_some(), "visible until a later ACK");
    step(&mut sotw, ack(&second, &[]), &shelf);
    assert_eq!(progress(&sotw, Kind::Listener).nacked, None);
}

#[test]
fn a_stale_nonce_is_ignored_with_all_that_it_says() {
    let mut shelf = Shelf::with(&[(Kind::Route, "80", "1"), (Kind::Route, "81", "1")]);
    let mut sotw = Sotw::new(scope());
    let first = only(&mut sotw, subscribe(Kind::Route, &["80"]), &shelf);
    shelf.put(Kind::Route, "80", "2");
    let second = sotw.push(&shelf).remove(0);
    let stale = step(&mut sotw, ack(&first, &["80", "81"]), &shelf);
    assert_eq!(stale.notice, Some(Notice::StaleNonce(Kind::Route)));
    assert!(stale.responses.is_empty());
    assert_eq!(&*progress(&sotw, Kind::Route).acked, "");
    let answer = step(&mut sotw, ack(&second, &["80", "81"]), &shelf);
    assert_eq!(bodies(&answer.responses[0]), ["2", "1"], "the added name is answered");
    assert_eq!(&*progress(&sotw, Kind::Route).acked, second.version_info.as_str());
}

#[test]
fn names_that_go_away_are_forgotten_without_an_answer() {
    let mut shelf = Shelf::with(&[(Kind::Route, "80", "1"), (Kind::Route, "81", "1")]);
    let mut sotw = Sotw::new(scope());
    let first = only(&mut sotw, subscribe(Kind::Route, &["80", "81"]), &shelf);
    assert!(step(&mut sotw, ack(&first, &["80"]), &shelf).responses.is_empty());
    assert!(sotw.push(&shelf).is_empty());
    shelf.put(Kind::Route, "81", "2");
    assert!(sotw.push(&shelf).is_empty());
    assert_eq!(progress(&sotw, Kind::Route).resources, 1);
    assert!(step(&mut sotw, ack(&first, &[]), &shelf).responses.is_empty());
    shelf.put(Kind::Route, "80", "2");
    assert!(sotw.push(&shelf).is_empty(), "an empty list of names means none");
}

#[test]
fn endpoints_follow_clusters_even_if_unchanged() {
    let mut shelf = Shelf::with(&[(Kind::Cluster, A, "1"), (Kind::Endpoint, A, "1")]);
    let mut sotw = Sotw::new(scope());
    let cds = only(&mut sotw, subscribe(Kind::Cluster, &[]), &shelf);
    let eds = only(&mut sotw, subscribe(Kind::Endpoint, &[A]), &shelf);
    step(&mut sotw, ack(&cds, &[]), &shelf);
    step(&mut sotw, ack(&eds, &[A]), &shelf);
    shelf.put(Kind::Cluster, A, "2");
    let pushed = sotw.push(&shelf);
    assert_eq!(kinds(&pushed), ["CDS", "EDS"]);
    assert_eq!(pushed[1].version_info, eds.version_info);
    assert_ne!(pushed[1].nonce, eds.nonce);
    // The same when the client asks for its clusters anew.
    let again = step(&mut sotw, subscribe(Kind::Cluster, &[]), &shelf);
    assert_eq!(kinds(&again.responses), ["CDS", "EDS"]);
}

#[test]
fn many_changes_before_the_client_takes_them_are_one_push() {
    let mut shelf = Shelf::with(&[(Kind::Route, "80", "0")]);
    let mut sotw = Sotw::new(scope());
    only(&mut sotw, subscribe(Kind::Route, &["80"]), &shelf);
    for body in ["1", "2", "3"] {
        shelf.put(Kind::Route, "80", body);
    }
    let pushed = sotw.push(&shelf);
    assert_eq!((pushed.len(), bodies(&pushed[0])), (1, vec!["3".to_owned()]));
}

#[test]
fn what_is_not_served_is_told_and_not_answered() {
    let shelf = Shelf::with(&[(Kind::Secret, "default", "key")]);
    let mut sotw = Sotw::new(StreamScope::new(&[Kind::Cluster], 1));
    let refused = step(&mut sotw, subscribe(Kind::Secret, &["default"]), &shelf);
    assert_eq!(refused.notice, Some(Notice::Forbidden(Kind::Secret)));
    assert!(refused.responses.is_empty() && sotw.push(&shelf).is_empty());
    let unknown =
        DiscoveryRequest { type_url: "type.googleapis.com/x".into(), ..Default::default() };
    let refused = step(&mut sotw, unknown, &shelf);
    assert_eq!(refused.notice, Some(Notice::UnknownType("type.googleapis.com/x".into())));
}

#[test]
fn names_over_the_limit_end_the_stream() {
    let shelf = Shelf::default();
    let mut sotw = Sotw::new(scope());
    let long = "x".repeat(NAME_LENGTH_MAX + 1);
    assert!(sotw.on_request(subscribe(Kind::Route, &[&long]), &shelf).is_err());
    let many = vec!["n"; NAMES_MAX + 1];
    assert!(sotw.on_request(subscribe(Kind::Route, &many), &shelf).is_err());
}

#[test]
fn nonces_of_two_streams_differ() {
    let shelf = Shelf::default();
    let nonce = |id| {
        let mut sotw = Sotw::new(StreamScope::new(&Kind::ALL, id));
        only(&mut sotw, subscribe(Kind::Cluster, &[]), &shelf).nonce
    };
    assert_ne!(nonce(1), nonce(2));
}
