//! Hosts that routes ask for by their metadata.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::balance::{bodies, bootstrap, counts, endpoints_with};
use crate::harness::Pair;

/// What each backend has.
const LABELS: [&str; 6] = [
    "{ v: '1', stage: prod, 'n': 5 }",
    "{ v: '1', stage: dev }",
    "{ v: '2', stage: prod, b: true }",
    "{ v: '2', stage: dev, b: false }",
    "{ other: x }",
    "{ v: ['1', '2'], stage: prod, s: { a: 1, b: 2 } }",
];

const SELECTORS: &str = "[{ keys: [v] }, { keys: [stage, v] }, { keys: ['n'] }, { keys: [b] }, \
                         { keys: [s] }]";

/// What clusters say of subsets, and of balancing besides.
const CLUSTERS: &[(&str, &str, &str)] = &[
    ("nobody", "subset_selectors: @ALL@", ""),
    ("any", "subset_selectors: @ALL@, fallback_policy: ANY_ENDPOINT", ""),
    (
        "default",
        "subset_selectors: @ALL@, fallback_policy: DEFAULT_SUBSET, default_subset: { v: '2' }",
        "",
    ),
    (
        "default-all",
        "subset_selectors: @ALL@, fallback_policy: DEFAULT_SUBSET, default_subset: {}",
        "",
    ),
    (
        "default-none",
        "subset_selectors: @ALL@, fallback_policy: DEFAULT_SUBSET, default_subset: { v: '9' }",
        "",
    ),
    (
        "own",
        "subset_selectors: [{ keys: [v], fallback_policy: NO_FALLBACK }, \
         { keys: ['n'], fallback_policy: ANY_ENDPOINT }, \
         { keys: [b], fallback_policy: DEFAULT_SUBSET }, { keys: [stage, v] }], \
         fallback_policy: DEFAULT_SUBSET, default_subset: { v: '1', stage: dev }",
        "",
    ),
    ("none", "fallback_policy: NO_FALLBACK", ""),
    ("hashed", "subset_selectors: @ALL@", "    lb_policy: RING_HASH\n"),
    ("random", "subset_selectors: @ALL@", "    lb_policy: RANDOM\n"),
];

/// What routes ask for.
const ASKED: &[(&str, &str)] = &[
    ("nothing", ""),
    ("empty", "{}"),
    ("one", "{ v: '1' }"),
    ("two", "{ v: '1', stage: prod }"),
    ("absent", "{ v: '9' }"),
    ("half-absent", "{ v: '9', stage: prod }"),
    ("keys", "{ stage: prod }"),
    ("more", "{ v: '1', stage: prod, 'n': 5 }"),
    ("number", "{ 'n': 5 }"),
    ("number-absent", "{ 'n': 6 }"),
    ("text", "{ 'n': '5' }"),
    ("truth", "{ b: true }"),
    ("truth-text", "{ b: 'true' }"),
    ("list", "{ v: ['1', '2'] }"),
    ("list-turned", "{ v: ['2', '1'] }"),
    ("structure", "{ s: { b: 2, a: 1 } }"),
];

pub(crate) fn configuration(backends: &[SocketAddr]) -> String {
    let clusters = CLUSTERS.iter().map(|(name, subsets, more)| {
        let subsets = subsets.replace("@ALL@", SELECTORS);
        let labels = |at: usize| {
            format!(", metadata: {{ filter_metadata: {{ envoy.lb: {} }} }}", LABELS[at])
        };
        let hosts = endpoints_with(backends, &labels);
        (*name, format!("    lb_subset_config: {{ {subsets} }}\n{more}{hosts}"))
    });
    let clusters: Vec<_> = clusters.collect();
    let metadata = |asked: &str| match asked {
        "" => String::new(),
        asked => format!(", metadata_match: {{ filter_metadata: {{ envoy.lb: {asked} }} }}"),
    };
    let line = |path: &str, action: &str| {
        format!("              - {{ match: {{ path: {path} }}, route: {{ {action} }} }}\n")
    };
    let mut routes = String::new();
    for (cluster, ..) in CLUSTERS {
        for (name, asked) in ASKED {
            let action = format!("cluster: {cluster}{}", metadata(asked));
            routes += &line(&format!("/{cluster}/{name}"), &action);
        }
    }
    // What a part asks for goes before what the route does.
    let part =
        |asked: &str, weight| format!("{{ name: nobody, weight: {weight}{} }}", metadata(asked));
    let parts =
        |parts: [String; 2]| format!("weighted_clusters: {{ clusters: [{}] }}", parts.join(", "));
    let both = parts([part("{ v: '1' }", 50), part("{ v: '2' }", 50)]);
    routes += &line("/parts", &both);
    routes += &line("/parts-of-stage", &format!("{both}{}", metadata("{ stage: dev }")));
    routes += &line("/parts-over-route", &format!("{both}{}", metadata("{ v: '9' }")));
    bootstrap(&routes, &clusters)
}

/// The paths where the two proxies serve from other hosts.
pub(crate) fn differences(pair: &Pair) -> (usize, Vec<String>) {
    let each = CLUSTERS.iter().flat_map(|(cluster, ..)| {
        ASKED.iter().map(move |(name, _)| (format!("/{cluster}/{name}"), 16))
    });
    let parts = ["/parts", "/parts-of-stage", "/parts-over-route"];
    let all: Vec<_> = each.chain(parts.map(|path| (path.to_owned(), 60))).collect();
    let mut different = Vec::new();
    for (path, count) in &all {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(*count);
        // With chance at work not every host has its turn in so few requests.
        let (envoy, ours) = if path.starts_with("/random") {
            pair.ask(&request.repeat(6))
        } else {
            pair.ask(&request)
        };
        let hosts = |outcome| counts(&bodies(outcome)).into_keys().collect::<BTreeSet<_>>();
        let (envoy, ours) = (hosts(&envoy), hosts(&ours));
        if envoy != ours {
            different.push(format!("{path}: envoy {envoy:?}, ours {ours:?}"));
        }
    }
    (all.len(), different)
}
