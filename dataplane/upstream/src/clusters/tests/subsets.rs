//! Hosts that requests ask for by their metadata. That it is as in Envoy is shown by the
//! differential test.

use config::snapshot::{Fallback, Labels, Selector, Subsets};

use super::*;

fn labels(list: &[(&str, &str)]) -> Labels {
    list.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn selector(keys: &[&str], fallback: Option<Fallback>) -> Selector {
    Selector { keys: keys.iter().map(|key| (*key).into()).collect(), fallback }
}

fn host(port: u16, list: &[(&str, &str)]) -> Endpoint {
    Endpoint { labels: Some(Arc::new(labels(list))), ..endpoint(port, 1) }
}

fn rules(fallback: Fallback) -> Subsets {
    Subsets {
        selectors: vec![selector(&["v"], None), selector(&["stage", "v"], None)],
        fallback,
        default: labels(&[("v", "2")]),
        by_locality: false,
    }
}

fn hosts() -> Vec<Endpoint> {
    vec![
        host(1, &[("stage", "prod"), ("v", "1")]),
        host(2, &[("stage", "dev"), ("v", "1")]),
        host(3, &[("stage", "prod"), ("v", "2")]),
        endpoint(4, 1),
    ]
}

fn with(rules: Subsets, hosts: Vec<Endpoint>) -> Cluster {
    Cluster { subsets: Some(Arc::new(rules)), ..cluster(LbPolicy::RoundRobin, hosts) }
}

/// The ports of the hosts that serve such requests.
fn ports(clusters: &mut Clusters<u32>, asked: &[(&str, &str)]) -> Vec<u16> {
    let asked = labels(asked);
    let picks = (0..16).map(|random| clusters.pick_among(ONLY, None, random, || Some(&asked)));
    let picked = picks.filter_map(Result::ok).map(|pick| pick.address.port());
    picked.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

#[test]
fn those_that_have_what_is_asked_for_serve() {
    let mut clusters = serving(with(rules(Fallback::Nobody), hosts()));
    assert_eq!(ports(&mut clusters, &[("v", "1")]), [1, 2]);
    assert_eq!(ports(&mut clusters, &[("v", "2")]), [3]);
    assert_eq!(ports(&mut clusters, &[("stage", "prod"), ("v", "1")]), [1]);
    assert_eq!(ports(&mut clusters, &[("stage", "dev"), ("v", "2")]), [0; 0]);
    assert_eq!(ports(&mut clusters, &[("stage", "prod")]), [0; 0], "no selector has these keys");
    assert_eq!(ports(&mut clusters, &[]), [0; 0]);
    assert_eq!(clusters.pick(ONLY, None, 0), Err(NoHost::NoHealthyHost));
}

#[test]
fn others_serve_what_no_subset_does() {
    let mut clusters = serving(with(rules(Fallback::Any), hosts()));
    assert_eq!(ports(&mut clusters, &[("v", "9")]), [1, 2, 3, 4]);
    assert_eq!(ports(&mut clusters, &[]), [1, 2, 3, 4]);
    let mut clusters = serving(with(rules(Fallback::Default), hosts()));
    assert_eq!(ports(&mut clusters, &[("v", "9")]), [3]);
    assert_eq!(ports(&mut clusters, &[("x", "y")]), [3]);
    let own = Subsets {
        selectors: vec![
            selector(&["v"], Some(Fallback::Any)),
            selector(&["stage", "v"], Some(Fallback::Nobody)),
        ],
        ..rules(Fallback::Default)
    };
    let mut clusters = serving(with(own, hosts()));
    assert_eq!(ports(&mut clusters, &[("v", "9")]), [1, 2, 3, 4]);
    assert_eq!(ports(&mut clusters, &[("stage", "x"), ("v", "1")]), [0; 0]);
    assert_eq!(ports(&mut clusters, &[("x", "y")]), [3]);
}

#[test]
fn a_subset_follows_its_hosts() {
    let mut clusters = serving(with(rules(Fallback::Nobody), hosts()));
    let mut changed = hosts();
    changed[0].health = Health::Unhealthy;
    changed[2] = host(3, &[("v", "1")]);
    let update = |clusters: &mut Clusters<u32>, hosts| {
        let cluster = with(rules(Fallback::Nobody), hosts);
        clusters.update(&snapshot(Some(cluster)), &mut Vec::new());
    };
    update(&mut clusters, changed);
    assert_eq!(ports(&mut clusters, &[("v", "1")]), [2, 3]);
    // Panic is the subset's own: one of one is not healthy.
    assert_eq!(ports(&mut clusters, &[("stage", "prod"), ("v", "1")]), [1]);
    assert_eq!(ports(&mut clusters, &[("v", "2")]), [0; 0]);
    update(&mut clusters, hosts());
    assert_eq!(ports(&mut clusters, &[("v", "2")]), [3]);
    // Without subsets nobody looks at what is asked for.
    let plain = cluster(LbPolicy::RoundRobin, hosts());
    clusters.update(&snapshot(Some(plain)), &mut Vec::new());
    assert_eq!(ports(&mut clusters, &[("v", "2")]), [1, 2, 3, 4]);
}

#[test]
fn a_request_for_a_subset_allocates_nothing() {
    let mut clusters = serving(with(rules(Fallback::Default), hosts()));
    let asked = [labels(&[("v", "1")]), labels(&[("v", "9")]), labels(&[])];
    let count = allocation_counter::measure(|| {
        for asked in &asked {
            clusters.pick_among(ONLY, None, 1, || Some(asked)).unwrap();
        }
    });
    assert_eq!(count.count_total, 0);
}
