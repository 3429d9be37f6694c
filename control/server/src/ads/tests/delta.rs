//! Incremental.

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as RpcStatus;

use super::*;

const A: &str = "outbound|80||a";
const B: &str = "outbound|80||b";

fn subscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn unsubscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names_unsubscribe: names.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn holding(request: DeltaDiscoveryRequest, held: &[(&str, &str)]) -> DeltaDiscoveryRequest {
    let held = held.iter().map(|(name, version)| (name.to_string(), version.to_string()));
    DeltaDiscoveryRequest { initial_resource_versions: held.collect(), ..request }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

fn nack(response: &DeltaDiscoveryResponse, message: &str) -> DeltaDiscoveryRequest {
    let error_detail = Some(RpcStatus { code: 13, message: message.into(), ..Default::default() });
    DeltaDiscoveryRequest { error_detail, ..ack(response) }
}

fn step(
    delta: &mut Delta,
    request: DeltaDiscoveryRequest,
    shelf: &Shelf,
) -> Step<DeltaDiscoveryResponse> {
    delta.on_request(request, shelf).expect("within the limits")
}

fn only(
    delta: &mut Delta,
    request: DeltaDiscoveryRequest,
    shelf: &Shelf,
) -> DeltaDiscoveryResponse {
    let mut responses = step(delta, request, shelf).responses;
    assert_eq!(responses.len(), 1);
    responses.remove(0)
}

/// `+name` for what is sent and `-name` for what is removed, by type.
fn told(responses: &[DeltaDiscoveryResponse]) -> Vec<String> {
    let one = |response: &DeltaDiscoveryResponse| {
        let kind = Kind::from_type_url(&response.type_url).map_or("?", Kind::label);
        let sent = response.resources.iter().map(|resource| format!(" +{}", resource.name));
        let removed = response.removed_resources.iter().map(|name| format!(" -{name}"));
        format!("{kind}{}", sent.chain(removed).collect::<String>())
    };
    responses.iter().map(one).collect()
}

fn version(shelf: &Shelf, kind: Kind, name: &str) -> String {
    shelf.resources(kind, &Names::listed([name]))[0].version.to_string()
}

#[test]
fn only_what_differs_is_sent() {
    let mut shelf = Shelf::with(&[(Kind::Cluster, A, "1"), (Kind::Cluster, B, "1")]);
    let mut delta = Delta::new(scope());
    let first = only(&mut delta, subscribe(Kind::Cluster, &[]), &shelf);
    assert_eq!(told(std::slice::from_ref(&first)), [format!("CDS +{A} +{B}")]);
    assert_eq!(first.resources[0].version, version(&shelf, Kind::Cluster, A));
    assert!(step(&mut delta, ack(&first), &shelf).responses.is_empty());
    assert!(delta.push(&shelf).is_empty());
    shelf.put(Kind::Cluster, B, "2");
    shelf.put(Kind::Cluster, "c", "1");
    assert_eq!(told(&delta.push(&shelf)), [format!("CDS +c +{B}")]);
    shelf.remove(Kind::Cluster, A);
    assert_eq!(told(&delta.push(&shelf)), [format!("CDS -{A}")]);
    assert!(delta.push(&shelf).is_empty());
}

#[test]
fn a_reconnecting_client_is_sent_nothing_that_it_holds() {
    let shelf = Shelf::with(&[(Kind::Cluster, A, "1"), (Kind::Cluster, B, "2")]);
    let held = [A, B].map(|name| version(&shelf, Kind::Cluster, name));
    let (a, b) = (held[0].as_str(), held[1].as_str());
    let cases = [
        (&[(A, a), (B, b)][..], vec![]),
        (&[(A, a), (B, "old")][..], vec![format!("CDS +{B}")]),
        (&[(A, a), (B, b), ("gone", "1")][..], vec!["CDS -gone".into()]),
        (&[][..], vec![format!("CDS +{A} +{B}")]),
    ];
    for (held, expected) in cases {
        let mut delta = Delta::new(scope());
        let request = holding(subscribe(Kind::Cluster, &[]), held);
        assert_eq!(told(&step(&mut delta, request, &shelf).responses), expected);
        assert!(delta.push(&shelf).is_empty());
    }
    let named = Shelf::with(&[(Kind::Endpoint, A, "1")]);
    let held = version(&named, Kind::Endpoint, A);
    let mut delta = Delta::new(scope());
    let request = holding(subscribe(Kind::Endpoint, &[A, B]), &[(A, &held)]);
    assert_eq!(told(&step(&mut delta, request, &named).responses), [format!("EDS -{B}")]);
}

#[test]
fn subscriptions_grow_and_shrink() {
    let mut shelf = Shelf::with(&[(Kind::Route, "80", "1"), (Kind::Route, "81", "1")]);
    let mut delta = Delta::new(scope());
    only(&mut delta, subscribe(Kind::Route, &["80"]), &shelf);
    let added = only(&mut delta, subscribe(Kind::Route, &["81"]), &shelf);
    assert_eq!(told(&[added]), ["RDS +81"]);
    let again = only(&mut delta, subscribe(Kind::Route, &["80"]), &shelf);
    assert_eq!(told(&[again]), ["RDS +80"], "a repeated subscription is answered");
    assert!(step(&mut delta, unsubscribe(Kind::Route, &["80"]), &shelf).responses.is_empty());
    shelf.put(Kind::Route, "80", "2");
    shelf.put(Kind::Route, "81", "2");
    assert_eq!(told(&delta.push(&shelf)), ["RDS +81"]);
}

#[test]
fn a_name_that_does_not_exist_is_told_once_and_sent_when_it_does() {
    let mut shelf = Shelf::default();
    let mut delta = Delta::new(scope());
    let missing = only(&mut delta, subscribe(Kind::Route, &["80"]), &shelf);
    assert_eq!(told(&[missing]), ["RDS -80"]);
    assert!(delta.push(&shelf).is_empty());
    shelf.put(Kind::Route, "80", "1");
    assert_eq!(told(&delta.push(&shelf)), ["RDS +80"]);
    shelf.remove(Kind::Route, "80");
    assert_eq!(told(&delta.push(&shelf)), ["RDS -80"]);
    assert!(delta.push(&shelf).is_empty());
}

#[test]
fn an_empty_mesh_still_answers_a_first_wildcard() {
    let mut delta = Delta::new(scope());
    let empty = only(&mut delta, subscribe(Kind::Listener, &[]), &Shelf::default());
    assert_eq!(told(&[empty]), ["LDS"]);
}

#[test]
fn an_explicit_wildcard_can_be_given_back() {
    let mut shelf = Shelf::with(&[(Kind::Cluster, A, "1"), (Kind::Cluster, B, "1")]);
    let mut delta = Delta::new(scope());
    let first = only(&mut delta, subscribe(Kind::Cluster, &["*", A]), &shelf);
    assert_eq!(told(&[first]), [format!("CDS +{A} +{B}")]);
    step(&mut delta, unsubscribe(Kind::Cluster, &["*"]), &shelf);
    shelf.put(Kind::Cluster, A, "2");
    shelf.put(Kind::Cluster, B, "2");
    assert_eq!(told(&delta.push(&shelf)), [format!("CDS +{A}")]);
}

#[test]
fn one_push_goes_in_order_and_removes_clusters_last() {
    let mut shelf = Shelf::with(&[(Kind::Cluster, "old", "1")]);
    let mut delta = Delta::new(scope());
    for kind in Kind::ALL.into_iter().rev() {
        let names: &[&str] = if kind.is_wildcard() { &[] } else { &["n"] };
        step(&mut delta, subscribe(kind, names), &shelf);
    }
    for kind in Kind::ALL {
        shelf.put(kind, "n", "new");
    }
    shelf.remove(Kind::Cluster, "old");
    let order = ["CDS +n", "EDS +n", "LDS +n", "RDS +n", "SDS +n", "CDS -old"];
    assert_eq!(told(&delta.push(&shelf)), order);
}

#[test]
fn endpoints_of_changed_clusters_are_sent_again() {
    let entries = [A, B].map(|name| [(Kind::Cluster, name, "1"), (Kind::Endpoint, name, "1")]);
    let mut shelf = Shelf::with(entries.as_flattened());
    let mut delta = Delta::new(scope());
    step(&mut delta, subscribe(Kind::Cluster, &[]), &shelf);
    step(&mut delta, subscribe(Kind::Endpoint, &[A, B]), &shelf);
    shelf.put(Kind::Cluster, A, "2");
    assert_eq!(told(&delta.push(&shelf)), [format!("CDS +{A}"), format!("EDS +{A}")]);
    // Not twice when the endpoints have changed too.
    shelf.put(Kind::Cluster, A, "3");
    shelf.put(Kind::Endpoint, A, "3");
    assert_eq!(told(&delta.push(&shelf)), [format!("CDS +{A}"), format!("EDS +{A}")]);
}

#[test]
fn answers_are_kept_by_nonce() {
    let mut shelf = Shelf::with(&[(Kind::Listener, "l", "1")]);
    let mut delta = Delta::new(scope());
    let first = only(&mut delta, subscribe(Kind::Listener, &[]), &shelf);
    shelf.put(Kind::Listener, "l", "2");
    let second = delta.push(&shelf).remove(0);
    // Unlike in the state of the world, both answers count, and a late one is no error.
    assert_eq!(step(&mut delta, ack(&first), &shelf).notice, None);
    assert!(progress(&delta, Kind::Listener).in_flight);
    let refused = step(&mut delta, nack(&second, "bad filter"), &shelf);
    let Some(Notice::Nack(Kind::Listener, rejection)) = &refused.notice else {
        panic!("a notice about the refusal")
    };
    assert_eq!(rejection.message, "bad filter");
    let state = progress(&delta, Kind::Listener);
    assert_eq!(&*state.acked, first.system_version_info.as_str());
    assert!(!state.in_flight && state.nacked.is_some());
    let repeated = step(&mut delta, nack(&second, "bad filter"), &shelf);
    assert_eq!(repeated.notice, Some(Notice::StaleNonce(Kind::Listener)));
    assert!(delta.push(&shelf).is_empty(), "a refused version is not sent again");
    shelf.put(Kind::Listener, "l", "3");
    let third = delta.push(&shelf).remove(0);
    step(&mut delta, ack(&third), &shelf);
    assert_eq!(progress(&delta, Kind::Listener).nacked, None);
}

#[test]
fn unanswered_responses_are_remembered_within_a_limit() {
    let mut shelf = Shelf::with(&[(Kind::Route, "80", "first")]);
    let mut delta = Delta::new(scope());
    let first = only(&mut delta, subscribe(Kind::Route, &["80"]), &shelf);
    for body in 0..IN_FLIGHT_MAX {
        shelf.put(Kind::Route, "80", &body.to_string());
        assert_eq!(delta.push(&shelf).len(), 1);
    }
    let late = step(&mut delta, ack(&first), &shelf);
    assert_eq!(late.notice, Some(Notice::StaleNonce(Kind::Route)));
}

#[test]
fn many_changes_before_the_client_takes_them_are_one_push() {
    let mut shelf = Shelf::with(&[(Kind::Route, "80", "0")]);
    let mut delta = Delta::new(scope());
    only(&mut delta, subscribe(Kind::Route, &["80"]), &shelf);
    for body in ["1", "2", "3"] {
        shelf.put(Kind::Route, "80", body);
    }
    let pushed = delta.push(&shelf);
    let body = pushed[0].resources[0].resource.as_ref().map(|any| any.value.clone());
    assert_eq!((pushed.len(), body), (1, Some(b"3".to_vec())));
}

#[test]
fn what_is_not_served_is_told_and_not_answered() {
    let shelf = Shelf::with(&[(Kind::Secret, "default", "key")]);
    let mut delta = Delta::new(StreamScope::new(&[Kind::Cluster], 1));
    let refused = step(&mut delta, subscribe(Kind::Secret, &["default"]), &shelf);
    assert_eq!(refused.notice, Some(Notice::Forbidden(Kind::Secret)));
    assert!(refused.responses.is_empty() && delta.push(&shelf).is_empty());
}

#[test]
fn names_over_the_limit_end_the_stream() {
    let shelf = Shelf::default();
    let mut delta = Delta::new(scope());
    let names = |from: usize| (from..from + NAMES_MAX).map(|n| n.to_string()).collect::<Vec<_>>();
    let request = |names: Vec<String>| DeltaDiscoveryRequest {
        resource_names_subscribe: names,
        ..subscribe(Kind::Route, &[])
    };
    assert!(delta.on_request(request(names(0)), &shelf).is_ok());
    assert!(delta.on_request(request(vec!["one more".into()]), &shelf).is_err());
}
