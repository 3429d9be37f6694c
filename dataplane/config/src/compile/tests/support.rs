//! docs/config-support.md says what the sources say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- written by the test config_support_is_documented -->\n";

/// The lists of one `decide!`.
#[derive(Default)]
struct Lists(BTreeMap<String, Vec<String>>);

impl Lists {
    fn cell(&self, keys: &[&str]) -> String {
        let names = keys.iter().filter_map(|key| self.0.get(*key)).flatten();
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "–".to_owned() } else { names.join(", ") }
    }
}

/// With `RINGWAY_WRITE_DOCS=1` the table is written instead of compared.
#[test]
fn config_support_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = table(&root.join("src"));
    assert!(table.matches('\n').count() > 45, "the sources were not understood\n{table}");
    let path = root.join("../../docs/config-support.md");
    let text = std::fs::read_to_string(&path).expect("docs/config-support.md");
    let (head, old) = text.split_once(BEGIN).expect("the mark before the table");
    if std::env::var_os("RINGWAY_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}")).expect("written");
        return;
    }
    assert!(old == table, "docs/config-support.md is stale: run this with RINGWAY_WRITE_DOCS=1");
}

fn table(sources: &Path) -> String {
    let mut files = Vec::new();
    collect(sources, &mut files);
    let mut rows = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        for block in text.split("decide!(").skip(1) {
            let (name, lists) = read(block);
            let module = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let name = display(&name, module);
            assert!(rows.insert(name.clone(), lists).is_none(), "{name} is decided twice");
        }
    }
    let mut table =
        "\n| message | used | accepted without effect | refused |\n|---|---|---|---|\n".to_owned();
    for (name, lists) in rows {
        let used = lists.cell(&["used", "used_elsewhere"]);
        let refused = lists.cell(&["refused", "refused_if_true"]);
        let _ = writeln!(
            table,
            "| {name} | {used} | {} | {refused} |",
            lists.cell(&["without_effect"])
        );
    }
    table
}

/// Names that two messages share get what tells them apart: module, type in the source, name shown.
const SHARED: &[(&str, &str, &str)] = &[
    ("action", "ClusterWeight", "ClusterWeight (route)"),
    ("action", "UpgradeConfig", "UpgradeConfig (route)"),
    ("control", "Cluster", "Cluster (the control plane's)"),
    ("check", "health_check::HealthCheck", "HealthCheck (HTTP filter)"),
    ("endpoint", "Policy", "ClusterLoadAssignment.Policy"),
    ("hash", "Cookie", "HashPolicy.Cookie"),
    ("hash", "Header", "HashPolicy.Header"),
    ("http1", "Http1ProtocolOptions", "Http1ProtocolOptions (downstream)"),
    ("hcm", "HttpProtocolOptions", "core.HttpProtocolOptions (downstream)"),
    ("hcm", "UpgradeConfig", "UpgradeConfig (manager)"),
    ("http_filter", "grpc_stats::FilterConfig", "FilterConfig (gRPC statistics)"),
    ("lb_policy", "ConsistentHashingLbConfig", "ConsistentHashingLbConfig (extension)"),
    ("lb_policy", "ZoneAwareLbConfig", "ZoneAwareLbConfig (extension)"),
    ("network", "LocalRateLimit", "LocalRateLimit (network filter)"),
    ("rbac", "Policy", "RBAC.Policy"),
    ("rbac", "Rbac", "RBAC"),
    ("rbac", "http_rbac::Rbac", "RBAC (HTTP filter)"),
    ("rbac", "network_rbac::Rbac", "RBAC (network filter)"),
    ("rbac", "rbac::AuditLoggingOptions", "RBAC.AuditLoggingOptions"),
    ("tcp", "tcp_proxy::weighted_cluster::ClusterWeight", "ClusterWeight (TCP proxy)"),
    ("upstream_http", "Http1ProtocolOptions", "Http1ProtocolOptions (upstream)"),
    ("upstream_http", "HttpProtocolOptions", "HttpProtocolOptions (cluster extension)"),
    ("upstream_http", "core::HttpProtocolOptions", "core.HttpProtocolOptions (upstream)"),
];

fn display(name: &str, module: &str) -> String {
    let shared = SHARED.iter().find(|(file, kind, _)| *file == module && *kind == name);
    let own = name.rsplit("::").next().unwrap_or_default();
    shared.map_or(own, |(_, _, display)| display).to_owned()
}

/// `message => Type { used: a, b; … });`
fn read(block: &str) -> (String, Lists) {
    let (head, rest) = block.split_once('{').expect("a brace");
    let name = head.split("=>").nth(1).expect("a type").trim().to_owned();
    let (body, _) = rest.split_once('}').expect("a closing brace");
    let lines = body.lines().filter(|line| !line.trim_start().starts_with("//"));
    let body: String = lines.collect::<Vec<_>>().join(" ");
    let mut lists = Lists::default();
    for list in body.split(';').filter(|list| !list.trim().is_empty()) {
        let (key, names) = list.split_once(':').expect("a list has a name");
        let names = names.split(',').map(|name| name.trim().trim_start_matches("r#").to_owned());
        lists.0.insert(key.trim().to_owned(), names.collect());
    }
    (name, lists)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() && !path.ends_with("tests") {
            collect(&path, files);
        } else if is_source && !path.ends_with("compile/at.rs") {
            files.push(path);
        }
    }
}
