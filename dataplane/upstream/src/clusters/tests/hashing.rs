//! Hashing balancers: what they promise. That their tables are Envoy's is shown beside Envoy.

use config::snapshot::HashFunction;

use super::*;

const RING: LbPolicy = LbPolicy::RingHash { min: 1024, max: 8 << 20, function: HashFunction::Xx };
const MAGLEV: LbPolicy = LbPolicy::Maglev { table_size: 65_537 };

fn hosts(ports: impl IntoIterator<Item = u16>) -> Vec<Endpoint> {
    ports.into_iter().map(|port| endpoint(port, 1)).collect()
}

/// The ports that so many hashes lead to.
fn chosen(clusters: &mut Clusters<u32>, count: u64) -> Vec<u16> {
    let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let pick = |number| clusters.pick(ONLY, None, hash(number)).unwrap().address.port();
    (0..count).map(pick).collect()
}

#[test]
fn a_hash_has_one_host_and_all_hosts_have_hashes() {
    for policy in [RING, MAGLEV] {
        let mut clusters = serving(cluster(policy, hosts(1..=8)));
        let first = chosen(&mut clusters, 2000);
        assert_eq!(first, chosen(&mut clusters, 2000), "{policy:?}");
        // Whatever the order of the configuration is.
        let mut turned = serving(cluster(policy, hosts((1..=8).rev())));
        assert_eq!(first, chosen(&mut turned, 2000), "{policy:?}");
        for port in 1..=8 {
            let count = first.iter().filter(|chosen| **chosen == port).count();
            assert!((100..500).contains(&count), "{policy:?}: {port} has {count} of 2000");
        }
    }
}

#[test]
fn weights_are_kept() {
    for policy in [RING, MAGLEV] {
        let mut clusters = serving(cluster(policy, vec![endpoint(1, 1), endpoint(2, 4)]));
        let light = chosen(&mut clusters, 4000).iter().filter(|port| **port == 1).count();
        assert!(light.abs_diff(800) < 120, "{policy:?}: {light} of 800");
    }
}

#[test]
fn a_host_that_goes_takes_few_hashes_but_its_own() {
    // Envoy's ring has 147 places for each of 7 hosts and 128 for each of 8.
    for (policy, most) in [(RING, 400), (MAGLEV, 120)] {
        let mut all = serving(cluster(policy, hosts(1..=8)));
        let mut fewer = serving(cluster(policy, hosts(1..=7)));
        let pairs = chosen(&mut all, 2000).into_iter().zip(chosen(&mut fewer, 2000));
        let moved = pairs.filter(|(before, after)| *before != 8 && before != after).count();
        assert!(moved < most, "{policy:?}: {moved} of 2000 have moved without need");
    }
}

#[test]
fn hosts_are_hashed_by_their_keys() {
    let named = |ports: [u16; 3]| {
        let hosts = ports
            .into_iter()
            .zip(["a", "b", "c"])
            .map(|(port, key)| Endpoint { hash_key: Some(key.into()), ..endpoint(port, 1) });
        serving(cluster(RING, hosts.collect()))
    };
    let (one, other) = (chosen(&mut named([1, 2, 3]), 500), chosen(&mut named([11, 12, 13]), 500));
    assert!(one.iter().zip(&other).all(|(one, other)| one + 10 == *other));
}

#[test]
fn a_host_takes_no_more_than_its_bound() {
    let mut bounded = cluster(MAGLEV, hosts(1..=4));
    bounded.balance.hash_percent = Some(120);
    let mut clusters = serving(bounded);
    let mut counts = BTreeMap::new();
    for _ in 0..100 {
        // Always the same hash: without the bound one host would take it all.
        let pick = clusters.pick(ONLY, None, 7).unwrap();
        let _ = clusters.begin(pick.host).unwrap();
        *counts.entry(pick.address.port()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count <= 31), "{counts:?}");
    assert_eq!(counts.len(), 4, "{counts:?}");
}

#[test]
fn no_host_no_place() {
    for policy in [RING, MAGLEV] {
        let mut clusters = serving(cluster(policy, Vec::new()));
        assert_eq!(clusters.pick(ONLY, None, 1), Err(NoHost::NoHealthyHost));
    }
}

#[test]
fn a_hash_costs_no_allocation_after_the_first() {
    for policy in [RING, MAGLEV] {
        let mut bounded = cluster(policy, hosts(1..=8));
        bounded.balance.hash_percent = Some(100);
        let mut clusters = serving(bounded);
        for _ in 0..8 {
            let pick = clusters.pick(ONLY, None, 3).unwrap();
            let _ = clusters.begin(pick.host).unwrap();
        }
        let cost = allocation_counter::measure(|| {
            assert!((0..1000).all(|hash| clusters.pick(ONLY, None, hash).is_ok()));
        });
        assert_eq!(cost.count_total, 0, "{policy:?}: {cost:?}");
    }
}
