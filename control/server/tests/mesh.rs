//! From a folder of YAML to what a proxy is sent: the demo's own files, changed while it runs.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Mesh, TIMEOUT, node};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client as ads;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use prost::Message;
use ringwayd::ads::{Catalogue, Kind, Names, ProxyNode};
use ringwayd::feed::Verdict;
use ringwayd::push::World;
use ringwayd::world::MeshWorld;
use source::Folder;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

fn demo() -> MeshWorld {
    let batch = Folder::new(common::demo_dir()).read().unwrap();
    let mut store = model::Store::new(model::Mesh::default());
    assert_eq!(store.apply(&batch), []);
    MeshWorld::new(store.model())
}

fn names(catalogue: &dyn Catalogue, kind: Kind) -> Vec<String> {
    let all = catalogue.resources(kind, &Names::all());
    all.iter().map(|resource| resource.name.to_string()).collect()
}

#[test]
fn the_demo_folder_is_valid() {
    let batch = Folder::new(common::demo_dir()).read().unwrap();
    let verdict = Verdict::of(&batch, model::Mesh::default());
    assert_eq!((verdict.errors, verdict.warnings), (vec![], vec![]));
    assert!(verdict.objects > 10, "{}", verdict.objects);
}

#[test]
fn a_proxy_is_told_what_its_pod_needs() {
    let world = demo();
    let node = Arc::new(ProxyNode::read(node("reviews").as_ref()).unwrap());
    let catalogue = world.catalogue(&node);
    let clusters = names(&*catalogue, Kind::Cluster);
    for wanted in [
        "outbound|9080||reviews.default.svc.cluster.local",
        "outbound|9080|v1|reviews.default.svc.cluster.local",
        "inbound|9080||",
        "PassthroughCluster",
        "BlackHoleCluster",
    ] {
        assert!(clusters.iter().any(|name| name == wanted), "{wanted} in {clusters:?}");
    }
    let listeners = names(&*catalogue, Kind::Listener);
    assert!(
        ["virtualOutbound", "virtualInbound"].iter().all(|n| listeners.contains(&n.to_string()))
    );
    let one = catalogue.resources(Kind::Cluster, &Names::listed(["PassthroughCluster", "x"]));
    assert_eq!(one.len(), 1);
}

#[test]
fn the_same_folder_gives_the_same_versions() {
    let node = Arc::new(ProxyNode::read(node("reviews").as_ref()).unwrap());
    let routes = Names::listed(["9080", "9000", "x"]);
    let endpoints = Names::listed(["outbound|9080||reviews.default.svc.cluster.local"]);
    let everything = || {
        let catalogue = demo().catalogue(&node);
        let of = |kind, names: &Names| catalogue.resources(kind, names);
        let listed = [of(Kind::Route, &routes), of(Kind::Endpoint, &endpoints)].concat();
        let all = [Kind::Cluster, Kind::Listener].map(|kind| of(kind, &Names::all())).concat();
        [all, listed].concat()
    };
    let first = everything();
    assert!(first.len() > 10);
    for _ in 0..20 {
        assert_eq!(everything(), first);
    }
}

#[test]
fn what_is_shared_between_proxies_is_what_each_would_get_alone() {
    let shared = demo();
    let cluster = "outbound|9080|v1|reviews.default.svc.cluster.local";
    let names = Names::listed([cluster, "outbound|1||nothing"]);
    let mut seen = Vec::new();
    for account in ["reviews", "productpage", "ratings"] {
        let node = Arc::new(ProxyNode::read(node(account).as_ref()).unwrap());
        let together = shared.catalogue(&node).resources(Kind::Endpoint, &names);
        let alone = demo().catalogue(&node).resources(Kind::Endpoint, &names);
        assert_eq!(together, alone);
        assert_eq!(together.len(), 2, "an unknown cluster has no endpoints, but an answer");
        let one = Names::listed([cluster]);
        seen.extend(shared.catalogue(&node).resources(Kind::Endpoint, &one));
    }
    assert!(Arc::ptr_eq(&seen[0], &seen[1]) && Arc::ptr_eq(&seen[1], &seen[2]));
}

async fn connect(
    mesh: &Mesh,
) -> (mpsc::Sender<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>) {
    let (outlet, requests) = mpsc::channel(64);
    let mut client = ads::AggregatedDiscoveryServiceClient::new(mesh.server.plain().await);
    let streamed = client.delta_aggregated_resources(ReceiverStream::new(requests)).await;
    (outlet, streamed.unwrap().into_inner())
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

/// The weights in the routes of a response.
fn weights(response: &DeltaDiscoveryResponse) -> Vec<u32> {
    use envoy_types::pb::envoy::config::route::v3::route::Action;
    use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
    let any = response.resources[0].resource.as_ref().unwrap();
    let routes = RouteConfiguration::decode(any.value.as_slice()).unwrap();
    let routes = routes.virtual_hosts.into_iter().flat_map(|host| host.routes);
    let weighted = routes.filter_map(|route| match route.action? {
        Action::Route(action) => match action.cluster_specifier? {
            ClusterSpecifier::WeightedClusters(weighted) => Some(weighted.clusters),
            _ => None,
        },
        _ => None,
    });
    weighted.flatten().map(|cluster| cluster.weight.unwrap_or_default().value).collect()
}

#[tokio::test]
async fn a_change_of_weights_is_pushed_and_a_bad_file_changes_nothing() {
    let mesh = Mesh::start().await;
    let (outlet, mut responses) = connect(&mesh).await;
    let subscribe = DeltaDiscoveryRequest {
        node: node("productpage"),
        type_url: Kind::Route.type_url().into(),
        resource_names_subscribe: vec!["9080".into()],
        ..Default::default()
    };
    outlet.send(subscribe).await.unwrap();
    let first = responses.message().await.unwrap().unwrap();
    assert_eq!(weights(&first), [90, 10]);
    outlet.send(ack(&first)).await.unwrap();

    mesh.replace(
        "reviews-route.yaml",
        &[("weight: 90", "weight: 50"), ("weight: 10", "weight: 50")],
    );
    let second = tokio::time::timeout(TIMEOUT, responses.message()).await.unwrap();
    let second = second.unwrap().unwrap();
    assert_eq!(weights(&second), [50, 50]);
    outlet.send(ack(&second)).await.unwrap();
    let page = mesh.server.until(|page| page["last_convergence"]["generation"] == 2).await;
    assert_eq!(page["config"]["errors"], 0);

    mesh.replace("reviews-route.yaml", &[("weight: 50", "weight: fifty")]);
    let page = mesh.server.until(|page| page["config"]["errors"] != 0).await;
    let told: Vec<&str> = page["config"]["recent_errors"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|e| e.as_str())
        .collect();
    assert_eq!(told.len(), 1, "one message: {told:?}");
    for part in ["reviews-route.yaml:", "VirtualService default/reviews-route", "weight"] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    let quiet = tokio::time::timeout(Duration::from_millis(500), responses.message()).await;
    assert!(quiet.is_err(), "the last good version stays");

    // The other objects go on while that file is bad.
    mesh.replace("services.yaml", &[("name: tcp-echo\n  labels", "name: tcp-echo2\n  labels")]);
    mesh.server.until(|page| page["generation"].as_u64() >= Some(3)).await;
    mesh.replace("reviews-route.yaml", &[("weight: fifty", "weight: 70")]);
    let third = tokio::time::timeout(TIMEOUT, async {
        loop {
            let response = responses.message().await.unwrap().unwrap();
            if weights(&response).contains(&70) {
                return response;
            }
        }
    });
    assert!(weights(&third.await.unwrap()).contains(&70));
    mesh.stop().await;
}

#[test]
fn a_folder_that_is_not_there_is_told_with_its_name() {
    let error = Folder::new(Path::new("/nowhere/at/all")).read().unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"));
}
