//! The server as its clients see it, over real sockets of the loopback address.

mod common;

use std::time::Duration;

use api::ca::{CertificateClient, IstioCertificateRequest};
use common::{Server, Shelf, TIMEOUT, bearer, node};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client as ads;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client as sds;
use envoy_types::pb::google::rpc::Status as RpcStatus;
use prost::Message;
use rcgen::{CertificateParams, KeyPair};
use ringwayd::ads::Kind;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

type Outlet<T> = mpsc::Sender<T>;

async fn delta(
    channel: Channel,
    token: Option<&str>,
) -> Result<(Outlet<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>), tonic::Status> {
    let (outlet, requests) = mpsc::channel(64);
    let requests = ReceiverStream::new(requests);
    let request = match token {
        Some(token) => bearer(requests, token),
        None => tonic::Request::new(requests),
    };
    let mut client =
        ads::AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    Ok((outlet, client.delta_aggregated_resources(request).await?.into_inner()))
}

fn subscribe(account: &str, kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: node(account),
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

async fn next<T>(responses: &mut Streaming<T>) -> T {
    let message = tokio::time::timeout(TIMEOUT, responses.message()).await;
    message.expect("an answer in time").expect("no error").expect("not the end")
}

/// The error that ends a stream.
async fn refusal<T: std::fmt::Debug>(
    opened: Result<(Outlet<DeltaDiscoveryRequest>, Streaming<T>), tonic::Status>,
    first: DeltaDiscoveryRequest,
) -> tonic::Status {
    let (outlet, mut responses) = match opened {
        Ok(opened) => opened,
        Err(status) => return status,
    };
    outlet.send(first).await.unwrap();
    let ended = tokio::time::timeout(TIMEOUT, responses.message()).await.expect("in time");
    ended.expect_err("a refusal")
}

#[tokio::test]
async fn a_change_reaches_the_client_and_its_convergence_is_measured() {
    let server = Server::start(Shelf::of(&[(Kind::Cluster, "a", "1")])).await;
    let (outlet, mut responses) = delta(server.plain().await, None).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Cluster, &[])).await.unwrap();
    let first = next(&mut responses).await;
    assert_eq!(first.resources[0].name, "a");
    outlet.send(ack(&first)).await.unwrap();
    server.until(|page| page["proxies"][0]["types"]["CDS"]["in_flight"] == false).await;

    let world = Shelf::of(&[(Kind::Cluster, "a", "1"), (Kind::Cluster, "b", "2")]);
    server.hub.publish(world, std::time::Instant::now());
    let second = next(&mut responses).await;
    let names: Vec<&str> = second.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(server.syncz().await["last_convergence"], serde_json::Value::Null);
    outlet.send(ack(&second)).await.unwrap();
    let page = server.until(|page| page["last_convergence"]["generation"] == 2).await;
    let took = page["last_convergence"]["convergence_ms"].as_f64().unwrap();
    assert!(took > 0.0 && took < 5_000.0, "{took}");
    let row = &page["proxies"][0];
    assert_eq!((&row["protocol"], &row["synced_generation"]), (&"delta".into(), &2.into()));
    assert_eq!(row["types"]["CDS"]["acked"], second.system_version_info);

    // The same content again: nothing is sent, and the change has converged at once.
    let world = Shelf::of(&[(Kind::Cluster, "a", "1"), (Kind::Cluster, "b", "2")]);
    server.hub.publish(world, std::time::Instant::now());
    server.until(|page| page["last_convergence"]["generation"] == 3).await;
    let quiet = tokio::time::timeout(Duration::from_millis(50), responses.message()).await;
    assert!(quiet.is_err(), "nothing changed for this client");
    drop((outlet, responses));
    server.until(|page| page["proxies"].as_array().is_some_and(Vec::is_empty)).await;
    server.running.stop().await;
}

#[tokio::test]
async fn a_refusal_is_shown_and_later_changes_go_out() {
    let server = Server::start(Shelf::of(&[(Kind::Listener, "l", "bad")])).await;
    let (outlet, mut responses) = delta(server.plain().await, None).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Listener, &[])).await.unwrap();
    let bad = next(&mut responses).await;
    let error_detail =
        RpcStatus { code: 13, message: "no\nsuch filter".into(), ..Default::default() };
    let nack = DeltaDiscoveryRequest { error_detail: Some(error_detail), ..ack(&bad) };
    outlet.send(nack).await.unwrap();
    let refused =
        |page: &serde_json::Value| page["proxies"][0]["types"]["LDS"]["nacked"].is_object();
    let page = server.until(refused).await;
    let nacked = &page["proxies"][0]["types"]["LDS"]["nacked"];
    assert_eq!((&nacked["code"], &nacked["error"]), (&13.into(), &"no\nsuch filter".into()));
    server.hub.publish(Shelf::of(&[(Kind::Listener, "l", "good")]), std::time::Instant::now());
    let good = next(&mut responses).await;
    outlet.send(ack(&good)).await.unwrap();
    server.until(|page| !refused(page)).await;
    let metrics = server.page("/metrics").await.1;
    assert!(metrics.contains("ringwayd_xds_rejects_total{type=\"LDS\"} 1\n"), "{metrics}");
    assert!(metrics.contains("ringwayd_xds_responses_total{type=\"LDS\"} 2\n"), "{metrics}");
    server.running.stop().await;
}

#[tokio::test]
async fn a_slow_client_is_sent_the_newest_state_and_not_each_one() {
    let body = "x".repeat(1 << 20);
    let world = |n: usize| Shelf::of(&[(Kind::Route, "80", &format!("{n} {body}"))]);
    let server = Server::start(world(0)).await;
    let (outlet, mut responses) = delta(server.plain().await, None).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Route, &["80"])).await.unwrap();
    next(&mut responses).await;
    let last = 60;
    for n in 1..=last {
        server.hub.publish(world(n), std::time::Instant::now());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut received = 0;
    loop {
        let response = next(&mut responses).await;
        received += 1;
        let body = response.resources[0].resource.as_ref().unwrap().value.clone();
        if String::from_utf8(body).unwrap().starts_with(&format!("{last} ")) {
            break;
        }
    }
    assert!(received <= 10, "{received} pushes of {last} changes");
    server.running.stop().await;
}

#[tokio::test]
async fn the_plaintext_port_serves_no_secret() {
    let server = Server::start(Shelf::of(&[(Kind::Secret, "default", "key")])).await;
    let token = server.token("reviews");
    let (outlet, mut responses) = delta(server.plain().await, Some(&token)).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Secret, &["default", "ROOTCA"])).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Cluster, &[])).await.unwrap();
    assert_eq!(next(&mut responses).await.type_url, Kind::Cluster.type_url());
    let mut client = sds::SecretDiscoveryServiceClient::new(server.plain().await);
    let nothing = tokio_stream::empty::<DiscoveryRequest>();
    let refused = client.stream_secrets(bearer(nothing, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let mut ca = CertificateClient::new(server.plain().await);
    let refused = ca.create_certificate(bearer(csr().0, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    server.running.stop().await;
}

#[tokio::test]
async fn the_secure_port_asks_for_credentials_that_fit_the_node() {
    let server = Server::start(Shelf::of(&[])).await;
    let reviews = server.token("reviews");
    let cases = [
        (None, "reviews", Code::Unauthenticated),
        (Some("junk"), "reviews", Code::Unauthenticated),
        (Some(reviews.as_str()), "ratings", Code::PermissionDenied),
    ];
    for (token, account, expected) in cases {
        let opened = delta(server.tls(None).await, token).await;
        let status = refusal(opened, subscribe(account, Kind::Cluster, &[])).await;
        assert_eq!(status.code(), expected, "{status}");
    }
    let (outlet, mut responses) = delta(server.tls(None).await, Some(&reviews)).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Cluster, &[])).await.unwrap();
    assert_eq!(next(&mut responses).await.type_url, Kind::Cluster.type_url());
    server.running.stop().await;
}

#[tokio::test]
async fn a_stream_without_a_node_or_with_a_bad_one_is_refused() {
    let server = Server::start(Shelf::of(&[])).await;
    let mut bad = subscribe("reviews", Kind::Cluster, &[]);
    bad.node.as_mut().unwrap().id = "not-a-sidecar".into();
    let none = DeltaDiscoveryRequest { node: None, ..bad.clone() };
    for first in [bad, none] {
        let opened = delta(server.plain().await, None).await;
        assert_eq!(refusal(opened, first).await.code(), Code::InvalidArgument);
    }
    server.running.stop().await;
}

fn csr() -> (IstioCertificateRequest, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    (IstioCertificateRequest { csr, validity_duration: 3600, metadata: None }, key)
}

#[tokio::test]
async fn a_signed_certificate_names_the_token_and_serves_as_credentials() {
    let server = Server::start(Shelf::of(&[])).await;
    let mut ca = CertificateClient::new(server.tls(None).await);
    let (request, key) = csr();
    assert_eq!(
        ca.create_certificate(request.clone()).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let token = server.token("reviews");
    let answer = ca.create_certificate(bearer(request, &token)).await.unwrap().into_inner();
    assert_eq!(answer.cert_chain.len(), 2);
    assert_eq!(answer.cert_chain[1], server.authority.root_pem());
    let leaf = CertificateDer::from_pem_slice(answer.cert_chain[0].as_bytes()).unwrap();
    let end = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let uris: Vec<&str> = end.valid_uri_names().collect();
    assert_eq!(uris, ["spiffe://cluster.local/ns/default/sa/reviews"]);

    // With the certificate instead of a token.
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let channel = server.tls(Some((vec![leaf], key))).await;
    let (outlet, mut responses) = delta(channel.clone(), None).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Cluster, &[])).await.unwrap();
    next(&mut responses).await;
    let other = refusal(delta(channel, None).await, subscribe("ratings", Kind::Cluster, &[])).await;
    assert_eq!(other.code(), Code::PermissionDenied);

    let mut bad = csr().0;
    bad.csr = "junk".into();
    let refused = ca.create_certificate(bearer(bad, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let long = IstioCertificateRequest { validity_duration: 91 * 24 * 3600, ..csr().0 };
    let refused = ca.create_certificate(bearer(long, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    server.running.stop().await;
}

#[tokio::test]
async fn secrets_are_served_over_both_services_and_renewed_at_half_life() {
    let server = Server::with_ttl(Shelf::of(&[]), Duration::from_secs(3)).await;
    let token = server.token("reviews");
    let (outlet, mut responses) = delta(server.tls(None).await, Some(&token)).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Secret, &["default", "ROOTCA"])).await.unwrap();
    let first = next(&mut responses).await;
    let names: Vec<&str> = first.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["ROOTCA", "default"]);
    outlet.send(ack(&first)).await.unwrap();

    let mut client = sds::SecretDiscoveryServiceClient::new(server.tls(None).await);
    let (alone, requests) = mpsc::channel::<DiscoveryRequest>(4);
    let streamed = client.stream_secrets(bearer(ReceiverStream::new(requests), &token)).await;
    let mut streamed = streamed.unwrap().into_inner();
    let type_url = Kind::Secret.type_url().to_owned();
    let ask = DiscoveryRequest {
        node: node("reviews"),
        resource_names: vec!["default".into()],
        type_url,
        ..Default::default()
    };
    alone.send(ask).await.unwrap();
    let same: DiscoveryResponse = next(&mut streamed).await;
    let held = first.resources[1].resource.as_ref().unwrap();
    assert_eq!(&same.resources[0], held, "one workload has one certificate at a time");
    assert_eq!(Secret::decode(held.value.as_slice()).unwrap().name, "default");

    let renewed = next(&mut responses).await;
    assert_eq!(renewed.resources.len(), 1, "the roots have not changed");
    assert_ne!(renewed.resources[0].version, first.resources[1].version);
    let also: DiscoveryResponse = next(&mut streamed).await;
    assert_eq!(Some(&also.resources[0]), renewed.resources[0].resource.as_ref());

    let fetched = client.fetch_secrets(bearer(DiscoveryRequest::default(), &token)).await;
    assert_eq!(fetched.unwrap_err().code(), Code::Unimplemented);
    server.running.stop().await;
}

#[tokio::test]
async fn stopping_ends_streams_so_that_clients_reconnect() {
    let server = Server::start(Shelf::of(&[])).await;
    let (outlet, mut responses) = delta(server.plain().await, None).await.unwrap();
    outlet.send(subscribe("reviews", Kind::Cluster, &[])).await.unwrap();
    next(&mut responses).await;
    let begun = std::time::Instant::now();
    let stop = tokio::spawn(server.running.stop());
    let ended = tokio::time::timeout(TIMEOUT, responses.message()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    drop((outlet, responses));
    stop.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_monitoring_pages_answer() {
    let server = Server::start(Shelf::of(&[])).await;
    assert_eq!(server.page("/ready").await, ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    assert!(server.page("/version").await.1.contains("\"ringwayd\""));
    assert!(server.page("/metrics").await.1.contains("# TYPE ringwayd_generation gauge\n"));
    server.health.error("rules.yaml:3: bad");
    assert_eq!(server.syncz().await["config"]["recent_errors"][0], "rules.yaml:3: bad");
    assert_eq!(server.page("/nothing").await.0, "HTTP/1.1 404 Not Found");
    server.running.stop().await;
}
