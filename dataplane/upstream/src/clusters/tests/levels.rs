//! Priorities, localities and slow start.

use config::snapshot::{Locality, SlowStart};

use super::*;

fn at(port: u16, priority: u32, health: Health) -> Endpoint {
    Endpoint { priority, health, ..endpoint(port, 1) }
}

fn percent(clusters: &mut Clusters<u32>, port: u16) -> u64 {
    picks(clusters, 10_000, false).get(&port).copied().unwrap_or_default() / 100
}

#[test]
fn what_a_priority_cannot_take_goes_to_the_next() {
    use Health::{Healthy, Unhealthy};
    let hosts = |health: [Health; 3]| {
        vec![at(1, 0, health[0]), at(2, 0, health[1]), at(3, 1, health[2]), at(4, 2, Healthy)]
    };
    let serve = |health| serving(cluster(LbPolicy::RoundRobin, hosts(health)));
    let all = picks(&mut serve([Healthy, Healthy, Healthy]), 200, false);
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1, 2], "the first takes everything");
    // Half of the hosts are trusted with 70 %.
    let mut half = serve([Healthy, Unhealthy, Healthy]);
    assert!(percent(&mut half, 1).abs_diff(70) <= 2, "{}", percent(&mut half, 1));
    assert!(percent(&mut half, 3).abs_diff(30) <= 2);
    let gone = picks(&mut serve([Unhealthy, Unhealthy, Unhealthy]), 200, false);
    assert_eq!(gone.keys().copied().collect::<Vec<_>>(), [4]);
}

fn in_localities(weights: [u32; 3], hosts: &[(u16, u32, Health)]) -> Cluster {
    let hosts = hosts
        .iter()
        .map(|(port, locality, health)| Endpoint { locality: *locality, ..at(*port, 0, *health) });
    let mut cluster = cluster(LbPolicy::RoundRobin, hosts.collect());
    cluster.balance.by_locality = true;
    let endpoints = Arc::get_mut(&mut cluster.endpoints).unwrap();
    endpoints.localities = weights.map(|weight| Locality { weight }).to_vec();
    cluster
}

#[test]
fn localities_have_their_shares() {
    use Health::{Healthy, Unhealthy};
    let hosts = [(1, 0, Healthy), (2, 0, Healthy), (3, 1, Healthy), (4, 2, Healthy)];
    let mut clusters = serving(in_localities([1, 3, 0], &hosts));
    let found = picks(&mut clusters, 800, false);
    assert_eq!(found.get(&4), None, "no weight, no requests");
    assert!(found[&3].abs_diff(600) <= 2 && found[&1].abs_diff(100) <= 2, "{found:?}");
    // Half of the first one's hosts are trusted with 70 % of its share: 0.7 to 3.
    let hosts = [(1, 0, Healthy), (2, 0, Unhealthy), (3, 1, Healthy)];
    let mut clusters = serving(in_localities([1, 3, 0], &hosts));
    let found = picks(&mut clusters, 3700, false);
    assert!(found[&1].abs_diff(700) <= 2, "{found:?}");
    // Without any weight localities mean nothing.
    let mut clusters = serving(in_localities([0, 0, 0], &hosts));
    assert_eq!(picks(&mut clusters, 100, false).len(), 2);
}

#[test]
fn no_traffic_in_panic_where_that_is_asked_for() {
    let hosts = vec![at(1, 0, Health::Healthy), at(2, 0, Health::Unhealthy)];
    let mut failing = cluster(LbPolicy::RoundRobin, hosts);
    (failing.balance.fail_on_panic, failing.panic_percent) = (true, 60);
    assert_eq!(serving(failing).pick(ONLY, None, 1), Err(NoHost::NoHealthyHost));
}

#[test]
fn new_hosts_get_their_share_little_by_little() {
    for policy in [LbPolicy::RoundRobin, LbPolicy::LeastRequest { choices: 2, bias: 1.0 }] {
        let version = |ports: &[u16]| {
            let hosts = ports.iter().map(|port| endpoint(*port, 1)).collect();
            let mut cluster = cluster(policy, hosts);
            cluster.balance.slow_start = Some(SlowStart {
                window: Duration::from_secs(100),
                aggression: 1.0,
                min_share: 0.1,
            });
            snapshot(Some(cluster))
        };
        let mut clusters = Clusters::new(0, 1, Arc::default());
        clusters.update(&version(&[1]), &mut Vec::new());
        let at = |clusters: &mut Clusters<u32>, seconds: u64| {
            clusters.expire((1000 + seconds) * SECOND_NS, &mut Vec::new());
        };
        at(&mut clusters, 0);
        clusters.update(&version(&[1, 2]), &mut Vec::new());
        // 0.1 and then a half beside 1.
        for (seconds, expected) in [(1, 9), (50, 33), (100, 50), (200, 50)] {
            at(&mut clusters, seconds);
            let found = percent(&mut clusters, 2);
            assert!(found.abs_diff(expected) <= 2, "{policy:?} after {seconds} s: {found} %");
        }
    }
}

#[test]
fn requests_under_way_weigh_as_much_as_the_bias_says() {
    let of = |bias| {
        let hosts = vec![endpoint(1, 1), endpoint(2, 3)];
        serving(cluster(LbPolicy::LeastRequest { choices: 2, bias }, hosts))
    };
    for bias in [0.0, 1.0] {
        let mut clusters = of(bias);
        let busy = (0..64).map(|random| clusters.pick(ONLY, None, random).unwrap());
        let busy = busy.into_iter().find(|pick| pick.address.port() == 2).unwrap().host;
        for _ in 0..8 {
            let _ = clusters.begin(busy).unwrap();
        }
        // By weight alone 75 %; with 9 to 1 requests a third to one.
        let (found, expected) = (percent(&mut clusters, 2), if bias == 0.0 { 75 } else { 25 });
        assert!(found.abs_diff(expected) <= 2, "{bias}: {found} %");
    }
}
