//! Hosts that are ejected for what they answer, by one worker and by several.

use config::snapshot::{Comparison, OutlierDetection};

use super::*;
use crate::{Outcome, Process};

/// Only failures in a row count.
pub(super) fn rules() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
        enforcing_5xx: 100,
        consecutive_gateway: 5,
        enforcing_gateway: 0,
        consecutive_local: 2,
        enforcing_local: 100,
        split: false,
        interval: Duration::from_secs(10),
        base_time: Duration::from_secs(30),
        max_time: Duration::from_secs(300),
        jitter: Duration::ZERO,
        max_percent: 50,
        always_one: false,
        answers: Comparison::default(),
        local: Comparison::default(),
        success_volume: 100,
        success_hosts: 5,
        success_deviation: 1900,
        failure_percent: 85,
        failure_volume: 50,
        failure_hosts: 5,
    }
}

fn watched(rules: OutlierDetection, ports: u16) -> Cluster {
    let hosts = (1..=ports).map(|port| endpoint(port, 1)).collect();
    Cluster { outlier: Some(Arc::new(rules)), ..cluster(LbPolicy::RoundRobin, hosts) }
}

/// So many workers of one process, with that cluster.
fn workers(count: usize, cluster: Cluster) -> Vec<Clusters<u32>> {
    let (process, snapshot) = (Arc::<Process>::default(), snapshot(Some(cluster)));
    let start = |worker| {
        let mut clusters = Clusters::new(worker, count, Arc::clone(&process));
        clusters.update(&snapshot, &mut Vec::new());
        clusters
    };
    (0..count).map(start).collect()
}

fn host(clusters: &mut Clusters<u32>, port: u16) -> HostId {
    let all = (0..64).map(|random| clusters.pick(ONLY, None, random).unwrap());
    all.into_iter().find(|pick| pick.address.port() == port).expect("it is chosen").host
}

fn has(clusters: &mut Clusters<u32>, port: u16) -> bool {
    picks(clusters, 40, false).contains_key(&port)
}

#[test]
fn failures_in_a_row_count_over_all_workers() {
    let mut all = workers(2, watched(rules(), 4));
    let [one, other] = &mut all[..] else { panic!("two") };
    let (here, there) = (host(one, 1), host(other, 1));
    assert!(!one.observe(here, Outcome::Status(500), 1, 0));
    assert!(!other.observe(there, Outcome::Status(503), 1, 0));
    // A success anywhere begins the row anew.
    assert!(!other.observe(there, Outcome::Status(404), 1, 0));
    assert!(!one.observe(here, Outcome::Failed, 1, 0));
    assert!(!other.observe(there, Outcome::TimedOut, 1, 0));
    assert!(has(one, 1) && has(other, 1));
    assert!(one.observe(here, Outcome::Status(500), 1, 0), "the third in a row");
    assert!(!has(one, 1) && !has(other, 1), "both know at once");
    assert!(!one.observe(here, Outcome::Status(500), 1, 0), "it is ejected once");
}

#[test]
fn workers_together_keep_to_the_limit_on_ejected_hosts() {
    let mut all = workers(4, watched(rules(), 4));
    let mut ejected = 0;
    for port in 1..=4 {
        for clusters in &mut all {
            let Some(id) = (0..64)
                .filter_map(|random| clusters.pick(ONLY, None, random).ok())
                .find(|pick| pick.address.port() == port)
            else {
                continue;
            };
            ejected += u32::from(clusters.observe(id.host, Outcome::Status(500), 1, 0));
        }
    }
    assert_eq!(ejected, 2, "half of four");
    let limit = OutlierDetection { max_percent: 10, ..rules() };
    let mut none = workers(1, watched(limit.clone(), 4));
    let mut one = workers(1, watched(OutlierDetection { always_one: true, ..limit }, 4));
    let eject = |clusters: &mut Clusters<u32>| {
        let id = host(clusters, 1);
        (0..9).any(|_| clusters.observe(id, Outcome::Status(500), 1, 0))
    };
    assert!(!eject(&mut none[0]) && eject(&mut one[0]));
}

#[test]
fn a_host_comes_back_and_stays_away_longer_the_next_time() {
    let mut all = workers(1, watched(rules(), 2));
    let clusters = &mut all[0];
    let id = host(clusters, 1);
    let mut now = 100 * SECOND_NS;
    assert_eq!(clusters.judge(now, 0), 0, "the first interval begins");
    let fail = |clusters: &mut Clusters<u32>, now| {
        (0..3).any(|_| clusters.observe(id, Outcome::Status(500), now, 0))
    };
    for (times, seconds) in [(1, 30), (2, 60), (3, 90)] {
        assert!(fail(clusters, now), "{times}");
        let since = now;
        while !has(clusters, 1) {
            now += 10 * SECOND_NS;
            clusters.judge(now, 0);
        }
        assert_eq!((now - since) / SECOND_NS, seconds, "{times}");
    }
    // Having behaved for two intervals it is away for a shorter time.
    for _ in 0..2 {
        now += 10 * SECOND_NS;
        clusters.judge(now, 0);
    }
    assert!(fail(clusters, now));
    let since = now;
    while !has(clusters, 1) {
        now += 10 * SECOND_NS;
        clusters.judge(now, 0);
    }
    assert_eq!((now - since) / SECOND_NS, 60);
}

#[test]
fn failures_of_our_own_are_told_apart_where_they_are_split() {
    let mut all = workers(1, watched(OutlierDetection { split: true, ..rules() }, 2));
    let clusters = &mut all[0];
    let id = host(clusters, 1);
    for outcome in [Outcome::Status(500), Outcome::Status(500), Outcome::Failed] {
        assert!(!clusters.observe(id, outcome, 1, 0));
    }
    assert!(!clusters.observe(id, Outcome::Connected, 1, 0), "the connection is good again");
    assert!(!clusters.observe(id, Outcome::Failed, 1, 0));
    assert!(clusters.observe(id, Outcome::TimedOut, 1, 0), "the second in a row");
}

#[test]
fn hosts_that_do_worse_than_the_others_are_ejected() {
    let on = Comparison { enforcing_success: 100, enforcing_failure: 0 };
    let off = OutlierDetection { consecutive_5xx: 0, ..rules() };
    let mut all = workers(2, watched(OutlierDetection { answers: on, ..off.clone() }, 5));
    let serve = |all: &mut [Clusters<u32>], good: [u32; 5]| {
        for (port, good) in (1..).zip(good) {
            for clusters in &mut *all {
                let id = host(clusters, port);
                for number in 0..60 {
                    let status = if number < good { 200 } else { 500 };
                    clusters.observe(id, Outcome::Status(status), 1, 0);
                }
            }
        }
    };
    assert_eq!(all[0].judge(SECOND_NS, 0), 0);
    serve(&mut all, [30, 60, 60, 60, 60]);
    // The second worker tells what it has counted; the first compares.
    assert_eq!(all[1].judge(2 * SECOND_NS, 0), 0, "the interval is not over");
    assert_eq!(all[0].judge(12 * SECOND_NS, 0), 1);
    assert!(!has(&mut all[1], 1) && has(&mut all[1], 2));

    let on = Comparison { enforcing_success: 0, enforcing_failure: 100 };
    let mut all = workers(2, watched(OutlierDetection { answers: on, ..off }, 5));
    assert_eq!(all[0].judge(SECOND_NS, 0), 0);
    serve(&mut all, [9, 10, 60, 9, 60]);
    all[1].judge(2 * SECOND_NS, 0);
    assert_eq!(all[0].judge(12 * SECOND_NS, 0), 2, "85 % and more of their answers were bad");
    assert!(!has(&mut all[1], 1) && has(&mut all[1], 2) && !has(&mut all[1], 4));
}

#[test]
fn a_host_that_leaves_frees_its_place_among_the_ejected() {
    let process = Arc::<Process>::default();
    let mut clusters = Clusters::new(0, 1, process);
    let limit = OutlierDetection { max_percent: 34, ..rules() };
    clusters.update(&snapshot(Some(watched(limit.clone(), 3))), &mut Vec::new());
    let fail = |clusters: &mut Clusters<u32>, port| {
        let id = host(clusters, port);
        (0..3).any(|_| clusters.observe(id, Outcome::Status(500), 1, 0))
    };
    assert!(fail(&mut clusters, 3));
    assert!(!fail(&mut clusters, 2), "one of three");
    let mut smaller = watched(limit, 5);
    Arc::get_mut(&mut smaller.endpoints).unwrap().hosts.retain(|host| host.address.port() != 3);
    clusters.update(&snapshot(Some(smaller)), &mut Vec::new());
    assert!(fail(&mut clusters, 2), "the ejected one is gone");
}

#[test]
fn a_success_writes_nothing_and_allocates_nothing() {
    let mut all = workers(1, watched(rules(), 4));
    let id = host(&mut all[0], 1);
    let cost = allocation_counter::measure(|| {
        assert!(!(0..1000).any(|_| all[0].observe(id, Outcome::Status(200), 1, 0)));
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}

#[test]
fn retries_are_limited_for_all_workers_together() {
    let limited = |retry_budget| {
        let limits = CircuitBreakers { max_retries: 3, retry_budget, ..CircuitBreakers::UNLIMITED };
        Cluster { limits, ..cluster(LbPolicy::RoundRobin, vec![endpoint(1, 1)]) }
    };
    let mut all = workers(2, limited(None));
    let [one, other] = &mut all[..] else { panic!("two") };
    assert!(one.begin_retry(ONLY) && other.begin_retry(ONLY) && one.begin_retry(ONLY));
    assert!(!one.begin_retry(ONLY) && !other.begin_retry(ONLY));
    other.end_retry(ONLY);
    assert!(one.begin_retry(ONLY) && !other.begin_retry(ONLY));

    let budget = config::snapshot::RetryBudget { percent: 25.0, min: 1 };
    let mut all = workers(2, limited(Some(budget)));
    let [one, other] = &mut all[..] else { panic!("two") };
    assert!(one.begin_retry(ONLY) && !one.begin_retry(ONLY), "the minimum");
    let mut requests = Vec::new();
    for clusters in [&mut *one, &mut *other] {
        let id = host(clusters, 1);
        requests.extend((0..6).map(|_| clusters.begin(id).unwrap()));
    }
    assert!(
        other.begin_retry(ONLY) && one.begin_retry(ONLY) && !other.begin_retry(ONLY),
        "3 of 12"
    );
    drop(requests);
}
