//! The real Envoy as the server: HTTP/2 by prior knowledge, and what it says to gRPC.

use std::{fs, net::Ipv4Addr, path::Path, process::Stdio};

use serde_json::json;

use super::*;

on_both!(envoy_is_loaded_by_http2);

/// A bootstrap of one listener that answers by itself.
fn bootstrap(port: u16) -> String {
    const HTTP: &str = "type.googleapis.com/envoy.extensions.filters";
    let answer = |status: u16, body: &str| {
        json!({ "status": status,
        "body": { "inline_string": body } })
    };
    let manager = json!({
        "@type": format!("{HTTP}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "test",
        "codec_type": "HTTP2",
        "http2_protocol_options": { "max_concurrent_streams": 10 },
        "http_filters": [{ "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{HTTP}.http.router.v3.Router") } }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/busy" }, "direct_response": answer(503, "busy") },
            { "match": { "prefix": "/" }, "direct_response": answer(200, "hello") },
        ]}]},
    });
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let filter = json!({ "name": "http", "typed_config": manager });
    json!({ "static_resources": { "listeners": [{ "address": address,
        "filter_chains": [{ "filters": [filter] }] }] } })
    .to_string()
}

/// A running Envoy, which ends with the test.
async fn envoy(folder: &Path) -> Option<(tokio::process::Child, SocketAddr)> {
    // Tests stand in target/debug/deps.
    let test = std::env::current_exe().expect("the test's own path");
    let program = crate::around::envoy(test.ancestors().nth(3).expect("a target directory"))?;
    let free = std::net::TcpListener::bind(ANY).expect("a port");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free.local_addr().expect("bound").port()));
    drop(free);
    let file = folder.join("envoy.json");
    fs::write(&file, bootstrap(address.port())).expect("written");
    let child = tokio::process::Command::new(program)
        .args(["--disable-hot-restart", "--concurrency", "1", "-l", "error", "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    for _ in 0..1_000 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Some((child, address));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("Envoy does not listen on {address}");
}

async fn envoy_is_loaded_by_http2(driver: Which) {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((_envoy, address)) = envoy(folder.path()).await else {
        return crate::around::skip("envoy_is_loaded_by_http2", "there is no Envoy");
    };
    let mut spec = http(driver, address, "/");
    (spec.protocol, spec.expected_body) = (Protocol::Http2, Some(b"hello".to_vec()));
    (spec.requests, spec.connections, spec.streams) = (Some(600), 2, 10);
    assert_eq!(all_right(&spec).await.connects, 2);
    // It allows ten streams a connection: the others take turns.
    spec.streams = 32;
    let total = measure(&spec).await.total();
    assert_eq!(total.requests(), 600);
    assert!(total.histogram.len() > 500, "{:?}", total.errors);
    // Envoy says to gRPC what a status of HTTP means there.
    let mut calls = LoadSpec { driver, ..LoadSpec::grpc(address, "reviews", "/busy") };
    calls.requests = Some(20);
    let total = all_right(&calls).await.total();
    assert_eq!(total.grpc_statuses.get("UNAVAILABLE"), Some(&20), "{total:?}");
}
