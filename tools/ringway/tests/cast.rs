//! The demo's cast and its YAML tell the same story.

use std::path::Path;

/// Pods, addresses and ports that the demo starts, as it was written; the YAML must say the same.
const WORKLOADS: [(&str, &str, &str); 6] = [
    ("productpage", "productpage", "10.244.1.10"),
    ("reviews-v1", "reviews", "10.244.2.11"),
    ("reviews-v2", "reviews", "10.244.2.12"),
    ("tcp-echo", "tcp-echo", "10.244.3.13"),
    ("ratings", "ratings", "10.244.4.14"),
    ("legacy", "legacy", "10.244.5.15"),
];

#[test]
fn the_yaml_names_the_pods_that_the_demo_starts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let cast = include_str!("../src/demo/cast.rs");
    let workloads = read("workloads.yaml");
    let pods: Vec<&str> =
        workloads.split("\n---\n").filter(|doc| doc.contains("kind: Pod")).collect();
    assert_eq!(pods.len(), WORKLOADS.len());
    for (name, account, ip) in WORKLOADS {
        let pod = pods.iter().find(|doc| doc.contains(&format!("  name: {name}\n")));
        let pod = pod.unwrap_or_else(|| panic!("no pod {name}"));
        for line in [format!("serviceAccountName: {account}\n"), format!("podIP: {ip}\n")] {
            assert!(pod.contains(&line), "{name}: {line}");
        }
        let octets = ip.replace('.', ", ");
        let role = format!("role(\"{name}\", \"{account}\"");
        let line = cast.lines().find(|line| line.contains(&role));
        assert!(line.is_some_and(|line| line.contains(&octets)), "{name} in cast.rs");
    }
    let services = read("services.yaml");
    for address in ["10.96.0.20", "10.96.0.30"] {
        assert!(services.contains(&format!("clusterIP: {address}\n")) && cast.contains(address));
    }
    let route = read("reviews-route.yaml");
    assert!(route.contains("weight: 90\n") && route.contains("weight: 10\n"));
}
