//! Which crate may know which: the house's picture as a table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::Finding;
use super::source::Tree;
use crate::run;

/// Crates of ours and those of ours that they may know. Left out of the table: knows none.
const EDGES: &[(&str, &[&str])] = &[
    ("config", &["api", "tls"]),
    ("policy", &["config", "wire", "tls"]),
    ("upstream", &["config"]),
    // Compressors are large and few need them: their libraries stay behind one door.
    ("session", &["ring", "wire", "tls", "config", "policy", "upstream", "squeeze"]),
    ("agent", &["api", "config", "tls"]),
    ("proxy", &["ring", "bypass", "session", "agent", "config"]),
    ("source", &["api"]),
    ("model", &["api", "source"]),
    ("translate", &["api", "model"]),
    ("server", &["api", "source", "model", "translate"]),
    // The load generator reads answers with the codec that is strict, and shares a machine with
    // what it measures: it must cost no more than the ring does.
    ("kit", &["api", "ring", "tls", "wire"]),
    ("ringway", &["kit", "api"]),
    // One rung stands on our own ring.
    ("ladder", &["ring"]),
];

/// What tests of a crate may know besides.
const TEST_EDGES: &[(&str, &[&str])] = &[
    ("translate", &["source"]),
    ("upstream", &["tls"]),
    ("proxy", &["kit"]),
    ("bypass", &["kit"]),
];

/// Crates that may know any of ours.
const FREE: [&str; 3] = ["benches", "perf", "fuzz"];

/// Ours are named `ringway-…`, but for these.
const OTHER_NAMES: [(&str, &str); 3] =
    [("xtask", "xtask"), ("ringwayd", "server"), ("ringway", "ringway")];

/// What stands for Kubernetes in a dependency's name.
const KUBERNETES: [&str; 3] = ["kube", "k8s-openapi", "gateway-api"];

const WHY: &str = "each flow runs one way; an edge back makes two rooms one";

/// Every edge that is not in the table, and Kubernetes below the data plane.
pub(crate) fn check(_: &Tree) -> Result<Vec<Finding>, String> {
    let metadata = run::metadata()?;
    let packages = metadata.get("packages").and_then(Value::as_array).ok_or("no packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(name).collect();
    let mut findings = Vec::new();
    for package in packages {
        let Some(full) = name(package) else { continue };
        for (dependency, is_test) in dependencies(package) {
            let (from, to) = (room(full), room(dependency));
            if ours.contains(dependency) && from != to && !is_allowed(from, to, is_test) {
                findings.push(Finding {
                    place: manifest(package),
                    what: format!("{from} may not know {to}"),
                    why: WHY,
                    remedy: "move what is shared below both, or change EDGES in \
                             tools/xtask/src/tidy/edges.rs and ARCHITECTURE.md with the reason",
                });
            }
        }
    }
    findings.extend(kubernetes()?);
    Ok(findings)
}

pub(super) fn is_allowed(from: &str, to: &str, is_test: bool) -> bool {
    let listed = |table: &[(&str, &[&str])]| {
        table.iter().any(|(room, known)| *room == from && known.contains(&to))
    };
    FREE.contains(&from) || listed(EDGES) || (is_test && listed(TEST_EDGES))
}

/// A crate's name in the house.
fn room(package: &str) -> &str {
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == package).map(|(_, room)| *room);
    other.or_else(|| package.strip_prefix("ringway-")).unwrap_or(package)
}

fn name(package: &Value) -> Option<&str> {
    package.get("name")?.as_str()
}

fn manifest(package: &Value) -> String {
    let path = package.get("manifest_path").and_then(Value::as_str).unwrap_or_default();
    let root = run::root();
    path.strip_prefix(&*root.to_string_lossy()).unwrap_or(path).trim_start_matches('/').to_owned()
}

/// Direct dependencies, and whether only tests need them.
fn dependencies(package: &Value) -> impl Iterator<Item = (&str, bool)> {
    let list = package.get("dependencies").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|dependency| {
        let is_test = dependency.get("kind").and_then(Value::as_str) == Some("dev");
        Some((dependency.get("name")?.as_str()?, is_test))
    })
}

/// The way from the data plane's binary to Kubernetes through the lock file, if there is one.
fn kubernetes() -> Result<Vec<Finding>, String> {
    let path = run::root().join("Cargo.lock");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("Cargo.lock: {error}"))?;
    let graph = lock(&text);
    let mut seen = BTreeSet::from(["ringway-proxy"]);
    let mut next = VecDeque::from(["ringway-proxy"]);
    while let Some(package) = next.pop_front() {
        for dependency in graph.get(package).into_iter().flatten() {
            if seen.insert(dependency) {
                next.push_back(dependency);
            }
        }
    }
    let is_kubernetes = |name: &&&str| {
        KUBERNETES
            .iter()
            .any(|k| name.strip_prefix(k).is_some_and(|r| r.is_empty() || r.starts_with('-')))
    };
    let found = seen.iter().filter(is_kubernetes).map(|name| Finding {
        place: "Cargo.lock:1".to_owned(),
        what: format!("ringway-proxy is built with {name}"),
        why: "nothing of Kubernetes is in the data plane: it is told what it needs by xDS",
        remedy: "cargo tree -i names the crate that brought it; keep it in control/source",
    });
    Ok(found.collect())
}

/// The lock file's packages and the names of what they depend on. Versions do not matter here.
fn lock(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut package = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            package = name.trim_matches('"');
            graph.entry(package).or_default();
        } else if let Some(dependency) = line.strip_prefix(" \"") {
            let name = dependency.split(['"', ' ']).next().unwrap_or_default();
            graph.entry(package).or_default().push(name);
        }
    }
    graph
}
