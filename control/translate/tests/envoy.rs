//! Goal: the real Envoy accepts what is sent. Method: all resources of a proxy as one static
//! bootstrap, read by `envoy --mode validate`. Route tables and endpoints, which Envoy would fetch,
//! are put in place.

mod common;

use std::path::Path;
use std::process::Command;

use api::envoy::bootstrap::{Bootstrap, bootstrap::DynamicResources, bootstrap::StaticResources};
use api::envoy::cluster::Cluster;
use api::envoy::cluster::cluster::{ClusterDiscoveryType, DiscoveryType};
use api::envoy::core::{ApiConfigSource, GrpcService, grpc_service};
use api::envoy::hcm::http_connection_manager::RouteSpecifier;
use api::envoy::hcm::{HttpConnectionManager, HttpFilter, http_filter};
use api::envoy::listener::{Filter, FilterChain, Listener, filter};
use api::envoy::route::RouteConfiguration;
use common::{Told, demo, key, text};
use model::{Mesh, Model};
use prost::Message;

#[test]
fn envoy_accepts_the_demo() {
    check("envoy_accepts_the_demo", &demo(), &["productpage", "reviews-v1", "tcp-echo", "legacy"]);
}

#[test]
fn envoy_accepts_every_shape() {
    let shapes = include_str!("shapes.yaml");
    for mode in ["STRICT", "PERMISSIVE", "DISABLE"] {
        let shapes = shapes.replace("MODE", mode);
        let model = text(Mesh::default(), &shapes);
        check("envoy_accepts_every_shape", &model, &["web", "db"]);
        let closed = Mesh { allow_any: false, ..Mesh::default() };
        check("envoy_accepts_every_shape", &text(closed, &shapes), &["web"]);
    }
}

fn check(name: &str, model: &Model, pods: &[&str]) {
    let Some(envoy) = common::envoy() else {
        return common::skip(name, "no Envoy; set RINGWAY_ENVOY");
    };
    for pod in pods {
        let bootstrap = bootstrap(Told::of(model, &key(model, pod)));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bootstrap.pb");
        std::fs::write(&file, bootstrap.encode_to_vec()).unwrap();
        validate(&envoy, &file, pod);
    }
}

fn validate(envoy: &Path, file: &Path, pod: &str) {
    let ran = Command::new(envoy)
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{pod}: {said}");
}

fn bootstrap(told: Told) -> Bootstrap {
    let mut clusters = told.clusters;
    for assignment in told.endpoints {
        let like = clusters.iter().find(|cluster| cluster.name == assignment.cluster_name);
        let mut fixed: Cluster = like.unwrap().clone();
        fixed.name = format!("fixed {}", assignment.cluster_name);
        fixed.eds_cluster_config = None;
        fixed.cluster_discovery_type =
            Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32));
        fixed.load_assignment = Some(assignment);
        clusters.push(fixed);
    }
    for name in ["xds-grpc", "sds-grpc"] {
        clusters.push(Cluster {
            name: name.to_owned(),
            typed_extension_protocol_options: http2(&clusters),
            ..Cluster::default()
        });
    }
    let mut listeners = told.listeners;
    listeners.extend(told.routes.into_iter().map(held));
    Bootstrap {
        node: Some(api::envoy::core::Node {
            id: "sidecar~10.0.0.1~test.default~default.svc.cluster.local".to_owned(),
            cluster: "test".to_owned(),
            ..Default::default()
        }),
        static_resources: Some(StaticResources { listeners, clusters, ..Default::default() }),
        dynamic_resources: Some(DynamicResources {
            ads_config: Some(ApiConfigSource {
                api_type: api::envoy::core::api_config_source::ApiType::Grpc as i32,
                transport_api_version: api::envoy::core::ApiVersion::V3 as i32,
                grpc_services: vec![GrpcService {
                    target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(
                        grpc_service::EnvoyGrpc {
                            cluster_name: "xds-grpc".to_owned(),
                            ..Default::default()
                        },
                    )),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// gRPC asks for HTTP/2.
fn http2(_: &[Cluster]) -> std::collections::HashMap<String, api::envoy::Any> {
    let text = "explicit_http_config: {http2_protocol_options: {}}";
    let options: api::envoy::upstream_http::HttpProtocolOptions = api::text::parse(text).unwrap();
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    [(name.to_owned(), api::pack(&options))].into()
}

/// A listener that holds a route table itself.
fn held(routes: RouteConfiguration) -> Listener {
    let router = api::pack(&api::envoy::router::Router::default());
    let name = format!("holds {}", routes.name);
    let manager = HttpConnectionManager {
        stat_prefix: "held".to_owned(),
        route_specifier: Some(RouteSpecifier::RouteConfig(routes)),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(router)),
            ..Default::default()
        }],
        ..Default::default()
    };
    let filter = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(api::pack(&manager))),
    };
    let address: api::envoy::core::Address =
        api::text::parse("socket_address: {address: 127.0.0.1, port_value: 0}").unwrap();
    Listener {
        name,
        address: Some(address),
        filter_chains: vec![FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    }
}
