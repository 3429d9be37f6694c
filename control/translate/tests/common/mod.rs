//! What the tests of this crate share: models from YAML, resources as JSON, skips by name.
#![allow(dead_code)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::envoy::cluster::Cluster;
use api::envoy::endpoint::ClusterLoadAssignment;
use api::envoy::listener::Listener;
use api::envoy::route::RouteConfiguration;
use api::text::{Case, to_json};
use model::{Mesh, Model, Store};
use ringway_translate::{Key, clusters, endpoints, listeners, routes};
use serde_json::Value;
use source::{Batch, Change, Folder};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The model of a folder, which must be without fault.
pub(crate) fn folder(path: &Path) -> Model {
    let batch = Folder::new(path).read().unwrap();
    assert_eq!(batch.messages, [], "{}", path.display());
    let mut store = Store::new(Mesh::default());
    assert_eq!(store.apply(&batch), []);
    store.model()
}

/// The model of a text, which must be without fault.
pub(crate) fn text(mesh: Mesh, text: &str) -> Model {
    let contents = source::read::read("test.yaml", text);
    assert_eq!(contents.messages, []);
    let changes = contents.objects.into_iter().map(Change::Put).collect();
    let mut store = Store::new(mesh);
    assert_eq!(store.apply(&Batch { changes, messages: vec![] }), []);
    store.model()
}

pub(crate) fn demo() -> Model {
    folder(&root().join("deploy/demo"))
}

/// The key of a pod's sidecar.
pub(crate) fn key(model: &Model, pod: &str) -> Key {
    let pod = &model.workloads[&("default".to_owned(), pod.to_owned())];
    Key::of(pod)
}

/// Everything that one proxy is told.
pub(crate) struct Told {
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) endpoints: Vec<ClusterLoadAssignment>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<RouteConfiguration>,
}

impl Told {
    pub(crate) fn of(model: &Model, key: &Key) -> Self {
        let clusters = clusters(model, key);
        let eds = clusters.iter().filter(|cluster| cluster.eds_cluster_config.is_some());
        let endpoints = eds.map(|cluster| endpoints(model, key, &cluster.name)).collect();
        let listeners = listeners(model, key);
        let names = route_names(&listeners);
        let routes = names.iter().map(|name| routes(model, key, name)).collect();
        Self { clusters, endpoints, listeners, routes }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::json!({
            "clusters": self.clusters.iter().map(json).collect::<Vec<_>>(),
            "endpoints": self.endpoints.iter().map(json).collect::<Vec<_>>(),
            "listeners": self.listeners.iter().map(json).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(json).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        use prost::Message;
        let mut all = Vec::new();
        self.clusters.iter().for_each(|m| all.extend(m.encode_to_vec()));
        self.endpoints.iter().for_each(|m| all.extend(m.encode_to_vec()));
        self.listeners.iter().for_each(|m| all.extend(m.encode_to_vec()));
        self.routes.iter().for_each(|m| all.extend(m.encode_to_vec()));
        all
    }
}

pub(crate) fn json<M: prost::Message + prost::Name>(message: &M) -> Value {
    to_json(message, Case::Camel)
}

/// The route tables that listeners ask for.
pub(crate) fn route_names(listeners: &[Listener]) -> Vec<String> {
    let mut names = Vec::new();
    for listener in listeners {
        collect(&json(listener), &mut names);
    }
    names.dedup();
    names
}

fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(name)) = map.get("routeConfigName") {
                names.push(name.clone());
            }
            map.values().for_each(|value| collect(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}

/// Compares with a file under `tests/golden`; with `RINGWAY_BLESS=1` writes it.
pub(crate) fn golden(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("RINGWAY_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = held.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        held == text,
        "{} differs from line {}; RINGWAY_BLESS=1 writes it anew",
        path.display(),
        differs.map_or_else(|| held.lines().count().min(text.lines().count()), |l| l + 1)
    );
}

/// Says by name that a test did not run.
pub(crate) fn skip(name: &str, reason: &str) {
    eprintln!("skipped {name}: {reason}");
    if let Some(file) = std::env::var_os("RINGWAY_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(file);
        writeln!(file.unwrap(), "{name}: {reason}").unwrap();
    }
}

/// The real Envoy: `RINGWAY_ENVOY`, or where the test set-up puts it.
pub(crate) fn envoy() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("RINGWAY_ENVOY") {
        return Some(path.into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    let places = ["venv/bin/envoy", "envoy/bin/envoy"];
    places.into_iter().map(|place| target.join(place)).find(|path| path.exists())
}

/// Istio's own test data: `RINGWAY_ISTIO_DATA`, or where the test set-up puts it.
pub(crate) fn istio_data() -> Option<PathBuf> {
    let named = std::env::var_os("RINGWAY_ISTIO_DATA").map(PathBuf::from);
    let path = named.unwrap_or_else(|| root().join("target/istio"));
    path.join("authz/http").is_dir().then_some(path)
}

pub(crate) fn put(objects: Vec<Arc<source::Object>>) -> Batch {
    Batch { changes: objects.into_iter().map(Change::Put).collect(), messages: vec![] }
}
