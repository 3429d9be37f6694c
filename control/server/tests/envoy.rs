//! The real Envoy as a client: it takes everything that it is sent, and says what it has taken.

mod common;

use common::Mesh;
use common::envoy::{Envoy, Form, find, in_own_network, loopback_up, skip};
use serde_json::Value;

const PODS: [(&str, &str, &str); 2] =
    [("reviews-v1", "reviews", "10.244.2.11"), ("productpage", "productpage", "10.244.1.10")];

#[test]
fn envoy_is_a_sidecar_by_delta() {
    check("envoy_is_a_sidecar_by_delta", Form::Delta);
}

#[test]
fn envoy_is_a_sidecar_by_state_of_the_world() {
    check("envoy_is_a_sidecar_by_state_of_the_world", Form::Sotw);
}

fn check(test: &str, form: Form) {
    let Some(binary) = find() else {
        return skip(test, "no Envoy: set RINGWAY_ENVOY or run `cargo xtask test`");
    };
    if !in_own_network(test) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        loopback_up().await;
        for pod in PODS {
            let mesh = Mesh::start().await;
            let envoy = Envoy::start(&binary, &mesh.server, form, pod).await;
            takes_everything(&mesh, &envoy).await;
            shows_what_it_was_sent(&envoy).await;
            if pod.1 == "productpage" {
                follows_a_change(&mesh, &envoy).await;
            }
            let mesh = comes_back(mesh, &envoy, form).await;
            drop(envoy);
            mesh.stop().await;
        }
    });
}

/// Every type has been acknowledged and nothing refused.
async fn takes_everything(mesh: &Mesh, envoy: &Envoy) {
    let page = mesh.server.until(settled).await;
    let rows = page["proxies"].as_array().unwrap();
    let types = rows.iter().flat_map(|row| row["types"].as_object().unwrap());
    types.for_each(|(kind, state)| assert!(state["nacked"].is_null(), "{kind}: {state:#}"));
    for kind in ["cluster_manager.cds", "listener_manager.lds"] {
        assert_eq!(envoy.stat(&format!("{kind}.update_rejected")).await, 0);
        assert!(envoy.stat(&format!("{kind}.update_success")).await >= 1);
    }
    assert_eq!(envoy.stat("cluster_manager.warming_clusters").await, 0);
    assert_eq!(envoy.stat("listener_manager.total_listeners_warming").await, 0);
    assert_eq!(envoy.stat("listener_manager.listener_create_failure").await, 0);
}

fn settled(page: &Value) -> bool {
    let rows = page["proxies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |kind: &str| rows.iter().any(|row| row["types"][kind].is_object());
    let answered = rows.iter().all(|row| {
        let types = row["types"].as_object();
        types.is_some_and(|types| types.values().all(|state| state["in_flight"] == false))
    });
    answered && ["CDS", "EDS", "LDS", "RDS", "SDS"].iter().all(|kind| has(kind))
}

/// `config_dump` shows the listeners, the clusters, and certificate and roots in use.
async fn shows_what_it_was_sent(envoy: &Envoy) {
    let dump = envoy.json("/config_dump?include_eds").await;
    let text = dump.to_string();
    for name in [
        "virtualInbound",
        "virtualOutbound",
        "PassthroughCluster",
        "outbound|9080|v1|reviews.default.svc.cluster.local",
        "inbound|9080||",
    ] {
        assert!(text.contains(&format!("\"name\":\"{name}\"")), "{name} in {text}");
    }
    let sections = dump["configs"].as_array().unwrap();
    let listeners = sections.iter().flat_map(|s| s["dynamic_listeners"].as_array()).flatten();
    for listener in listeners {
        assert!(listener["active_state"].is_object(), "not in use: {listener:#}");
        assert!(listener["error_state"].is_null(), "refused: {listener:#}");
    }
    let secrets = sections.iter().flat_map(|s| s["dynamic_active_secrets"].as_array()).flatten();
    let mut names: Vec<&str> = secrets.map(|secret| secret["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["ROOTCA", "default"]);
    let certificates = envoy.json("/certs").await.to_string();
    assert!(certificates.contains("spiffe://cluster.local/ns/default/sa/"), "{certificates}");
}

/// The control plane restarts: Envoy connects again and, with incremental xDS, is sent nothing of
/// the mesh that it has already.
async fn comes_back(mesh: Mesh, envoy: &Envoy, form: Form) -> Mesh {
    let mesh = mesh.restart().await;
    takes_everything(&mesh, envoy).await;
    let metrics = mesh.server.page("/metrics").await.1;
    for kind in ["CDS", "EDS", "LDS", "RDS"] {
        let line = format!("ringwayd_xds_responses_total{{type=\"{kind}\"}} ");
        let sent = metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap();
        match form {
            Form::Delta => assert_eq!(sent, "0", "{kind} was sent again"),
            Form::Sotw => assert_ne!(sent, "0", "{kind} was not sent"),
        }
    }
    mesh
}

/// New weights arrive, and a file that cannot be read changes nothing.
async fn follows_a_change(mesh: &Mesh, envoy: &Envoy) {
    assert_eq!(weights(envoy).await, [90, 10]);
    let generation = mesh.server.syncz().await["generation"].as_u64().unwrap();
    mesh.replace(
        "reviews-route.yaml",
        &[("weight: 90", "weight: 50"), ("weight: 10", "weight: 50")],
    );
    let page = mesh
        .server
        .until(|page| page["last_convergence"]["generation"].as_u64() > Some(generation))
        .await;
    assert_eq!(weights(envoy).await, [50, 50]);
    let took = page["last_convergence"]["convergence_ms"].as_f64().unwrap();
    eprintln!("the change reached Envoy in {took:.1} ms");

    mesh.replace("reviews-route.yaml", &[("weight: 50", "weight: [")]);
    let page = mesh.server.until(|page| page["config"]["errors"] != 0).await;
    assert_eq!(page["config"]["recent_errors"].as_array().map(Vec::len), Some(1));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(weights(envoy).await, [50, 50]);
    takes_everything(mesh, envoy).await;
    mesh.replace("reviews-route.yaml", &[("weight: [", "weight: 50")]);
}

async fn weights(envoy: &Envoy) -> Vec<u64> {
    let dump = envoy.json("/config_dump?resource=dynamic_route_configs").await;
    let mut found = Vec::new();
    collect(&dump, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<u64>) {
    match value {
        Value::Object(map) => {
            if let Some(clusters) = map.get("weighted_clusters") {
                let all = clusters["clusters"].as_array().into_iter().flatten();
                found.extend(all.filter_map(|cluster| cluster["weight"].as_u64()));
            }
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
