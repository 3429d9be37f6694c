//! Which hosts are chosen from, by their health and the cluster's panic threshold.

use super::*;

/// A host each: `h`ealthy, `d`egraded, `u`nhealthy.
fn serving_with(health: &str, panic_percent: u8) -> Clusters<u32> {
    let hosts = health.chars().zip(1..).map(|(health, port)| {
        let health = match health {
            'h' => Health::Healthy,
            'd' => Health::Degraded,
            _ => Health::Unhealthy,
        };
        Endpoint { health, ..endpoint(port, 1) }
    });
    let cluster = cluster(LbPolicy::RoundRobin, hosts.collect());
    serving(Cluster { panic_percent, ..cluster })
}

#[test]
fn health_counts_until_too_few_are_usable() {
    let cases: &[(&str, u8, &[u16])] = &[
        ("hhhh", 50, &[1, 2, 3, 4]),
        ("hhuu", 50, &[1, 2]),
        ("huuu", 50, &[1, 2, 3, 4]),
        ("uuuu", 50, &[1, 2, 3, 4]),
        // Never in panic.
        ("huuu", 0, &[1]),
        ("uuuu", 0, &[]),
        // What degraded hosts take is no reason for panic.
        ("hduu", 50, &[1, 2]),
        ("duuu", 50, &[1, 2, 3, 4]),
        ("duuu", 0, &[1]),
        // Enough for all requests: no panic, whatever the threshold says.
        ("hhhu", 100, &[1, 2, 3]),
        ("hhuu", 100, &[1, 2, 3, 4]),
        ("hhuu", 51, &[1, 2, 3, 4]),
        // Degraded hosts get nothing while healthy ones can take it all.
        ("hhhd", 50, &[1, 2, 3]),
        ("hhdd", 50, &[1, 2, 3, 4]),
        ("dddd", 50, &[1, 2, 3, 4]),
        ("", 50, &[]),
        ("", 0, &[]),
    ];
    for (health, panic_percent, expected) in cases {
        let mut clusters = serving_with(health, *panic_percent);
        if expected.is_empty() {
            assert_eq!(clusters.pick(ONLY, None, 0), Err(NoHost::NoHealthyHost), "{health}");
        } else {
            let found: Vec<_> = picks(&mut clusters, 200, false).into_keys().collect();
            assert_eq!(found, *expected, "{health} at {panic_percent} %");
        }
    }
}

#[test]
fn degraded_hosts_take_what_healthy_ones_leave_over() {
    // Half of the hosts are trusted with 70 % of the requests, a fifth with 28 %.
    for (health, degraded) in [("hd", 300), ("hdddd", 720), ("hduuuuuuuu", 500)] {
        let mut clusters = serving_with(health, 10);
        let found = picks(&mut clusters, 1000, false);
        let to_degraded = 1000 - found[&1];
        assert!(to_degraded.abs_diff(degraded) < 60, "{health}: {found:?}");
    }
}

#[test]
fn a_host_that_recovers_ends_the_panic_and_keeps_its_connections() {
    let mut clusters = serving_with("uu", 50);
    let host = clusters.pick(ONLY, None, 0).unwrap().host;
    let lease = clusters.open(host).unwrap();
    assert_eq!(clusters.release(lease, 1, 0, true), Release::Kept);
    let mut hosts = vec![endpoint(1, 1), endpoint(2, 1)];
    hosts[1].health = Health::Unhealthy;
    let next = snapshot(Some(cluster(LbPolicy::RoundRobin, hosts)));
    clusters.update(&next, &mut Vec::new());
    assert_eq!(picks(&mut clusters, 20, false).into_keys().collect::<Vec<_>>(), [1]);
    assert_eq!(clusters.idle(host, 0).map(|idle| idle.0), Some(1));
}
