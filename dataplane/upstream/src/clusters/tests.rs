use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    Balance, CircuitBreakers, Cluster, ClusterId, Discovery, Endpoint, Endpoints, Health, Http1,
    Http2, LbPolicy, Snapshot, UpstreamProtocol, UpstreamTransport,
};
use proptest::prelude::*;

use super::Clusters;
use crate::{HostId, Lease, NoHost, Release, Wants, share};

mod hashing;
mod health;
mod levels;
mod logical;
mod outlier;
mod shared;
mod subsets;
mod twins;
mod waiting;

const ONLY: ClusterId = ClusterId(0);
const SECOND_NS: u64 = 1_000_000_000;

fn endpoint(port: u16, weight: u32) -> Endpoint {
    let address = SocketAddr::from(([10, 0, 0, 1], port));
    Endpoint { weight, ..Endpoint::new(address) }
}

fn cluster(policy: LbPolicy, hosts: Vec<Endpoint>) -> Cluster {
    Cluster {
        id: ONLY,
        name: "c".into(),
        discovery: Discovery::Eds,
        policy,
        balance: Balance::default(),
        subsets: None,
        outlier: None,
        panic_percent: 50,
        endpoints: Arc::new(Endpoints { version: 1, hosts, ..Endpoints::default() }),
        connect_timeout: Duration::from_secs(5),
        transport_matches: Vec::new(),
        transport: UpstreamTransport::Raw,
        bind: None,
        limits: CircuitBreakers::UNLIMITED,
        max_requests_per_connection: 0,
        idle_timeout: Some(Duration::from_secs(60)),
        port_override: None,
        protocol: UpstreamProtocol::Http1,
        http1: Http1::default(),
        http2: Http2::default(),
        max_head_kib: 60,
        max_fields: 100,
        max_connection_duration: None,
        tcp_probes: None,
        host_names: None,
    }
}

fn snapshot(cluster: Option<Cluster>) -> Arc<Snapshot> {
    Arc::new(Snapshot { clusters: vec![cluster.map(Arc::new)], ..Snapshot::default() })
}

fn serving(cluster: Cluster) -> Clusters<u32> {
    let mut clusters = Clusters::new(0, 1, Arc::default());
    clusters.update(&snapshot(Some(cluster)), &mut Vec::new());
    clusters
}

/// How often each port is picked; with `busy` every pick is a request that never ends.
fn picks(clusters: &mut Clusters<u32>, count: u64, busy: bool) -> BTreeMap<u16, u64> {
    let mut ports = BTreeMap::new();
    let mut random = 0x1234_5678_9abc_def1_u64;
    for _ in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pick = clusters.pick(ONLY, None, random).unwrap();
        if busy {
            let _ = clusters.begin(pick.host).unwrap();
        }
        *ports.entry(pick.address.port()).or_insert(0) += 1;
    }
    ports
}

#[test]
fn round_robin_is_even_and_weighted_exactly() {
    let mut even =
        serving(cluster(LbPolicy::RoundRobin, (1..=4).map(|p| endpoint(p, 7)).collect()));
    assert_eq!(picks(&mut even, 400, false), (1..=4).map(|port| (port, 100)).collect());
    let hosts = vec![endpoint(1, 1), endpoint(2, 2), endpoint(3, 7)];
    let mut weighted = serving(cluster(LbPolicy::RoundRobin, hosts));
    let found = picks(&mut weighted, 1000, false);
    for (port, expected) in [(1, 100), (2, 200), (3, 700)] {
        assert!(found[&port].abs_diff(expected) <= 2, "{found:?}");
    }
}

#[test]
fn round_robin_starts_anywhere() {
    let start = |random| {
        let hosts = (1..=4).map(|port| endpoint(port, 1)).collect();
        let mut clusters = serving(cluster(LbPolicy::RoundRobin, hosts));
        clusters.pick(ONLY, None, random).unwrap().address.port()
    };
    assert_eq!((0..4).map(start).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn least_request_prefers_who_has_less_to_do() {
    let policy = LbPolicy::LeastRequest { choices: 2, bias: 1.0 };
    let mut even = serving(cluster(policy, (1..=4).map(|p| endpoint(p, 1)).collect()));
    let found = picks(&mut even, 4000, true);
    let (least, most) = (found.values().min().unwrap(), found.values().max().unwrap());
    assert!(most - least <= 10, "two choices keep hosts even: {found:?}");

    let busy = even.pick(ONLY, None, 1).unwrap();
    for _ in 0..1000 {
        let _ = even.begin(busy.host).unwrap();
    }
    let found = picks(&mut even, 1000, false);
    let share = found.get(&busy.address.port()).copied().unwrap_or(0);
    // It is drawn twice in a row once in sixteen times.
    assert!(share < 120, "the busy one is avoided: {found:?}");

    let hosts = vec![endpoint(1, 1), endpoint(2, 3)];
    let mut weighted = serving(cluster(policy, hosts));
    let found = picks(&mut weighted, 400, false);
    assert!(found[&2].abs_diff(300) <= 2, "{found:?}");
}

#[test]
fn random_is_even() {
    let mut clusters =
        serving(cluster(LbPolicy::Random, (1..=4).map(|p| endpoint(p, 1)).collect()));
    let found = picks(&mut clusters, 4000, false);
    assert!(found.values().all(|count| count.abs_diff(1000) < 150), "{found:?}");
}

#[test]
fn there_may_be_no_host() {
    let mut clusters = serving(cluster(LbPolicy::RoundRobin, Vec::new()));
    assert_eq!(clusters.pick(ONLY, None, 0), Err(NoHost::NoHealthyHost));
    assert_eq!(clusters.pick(ClusterId(9), None, 0), Err(NoHost::UnknownCluster));
    clusters.update(&snapshot(None), &mut Vec::new());
    assert_eq!(clusters.pick(ONLY, None, 0), Err(NoHost::UnknownCluster));
}

fn one_host(change: impl FnOnce(&mut Cluster)) -> (Clusters<u32>, HostId) {
    let mut cluster = cluster(LbPolicy::RoundRobin, vec![endpoint(1, 1)]);
    change(&mut cluster);
    let mut clusters = serving(cluster);
    let host = clusters.pick(ONLY, None, 0).unwrap().host;
    (clusters, host)
}

#[test]
fn the_connection_used_last_is_used_next() {
    let (mut clusters, host) = one_host(|_| {});
    assert_eq!(clusters.idle(host, 0), None);
    let leases = [1, 2, 3].map(|key| (key, clusters.open(host).unwrap()));
    for (key, lease) in leases {
        assert_eq!(clusters.release(lease, key, u64::from(key), true), Release::Kept);
    }
    assert_eq!((clusters.idle_len(), clusters.connections()), (3, 3));
    let (key, lease) = clusters.idle(host, 4).unwrap();
    assert_eq!((key, lease.requests), (3, 2));
    assert_eq!(clusters.release(lease, key, 5, false), Release::Close);
    assert_eq!(clusters.closed(lease, key), None);
    assert_eq!(clusters.closed(lease, 2), None, "the peer closed one that lay idle");
    assert_eq!((clusters.idle_len(), clusters.connections()), (1, 1));
    assert_eq!(clusters.idle(host, 6).unwrap().0, 1);
}

#[test]
fn idle_connections_expire_the_oldest_first() {
    let (mut clusters, host) = one_host(|_| {});
    for key in 0..3 {
        let lease = clusters.open(host).unwrap();
        let released = clusters.release(lease, key, u64::from(key) * SECOND_NS, true);
        assert_eq!(released, Release::Kept);
    }
    let mut evicted = Vec::new();
    clusters.expire(59 * SECOND_NS, &mut evicted);
    assert!(evicted.is_empty(), "{evicted:?}");
    clusters.expire(61 * SECOND_NS, &mut evicted);
    assert_eq!(evicted, [0, 1]);
    assert_eq!(clusters.idle(host, 62 * SECOND_NS), None, "too old, though not yet expired");
    clusters.expire(62 * SECOND_NS, &mut evicted);
    assert_eq!(evicted, [0, 1, 2]);
    assert_eq!(clusters.connections(), 3, "they count until they are closed");

    let (mut endless, host) = one_host(|cluster| cluster.idle_timeout = None);
    let lease = endless.open(host).unwrap();
    assert_eq!(endless.release(lease, 7, 0, true), Release::Kept);
    endless.expire(u64::MAX, &mut evicted);
    assert_eq!((evicted.len(), endless.idle(host, u64::MAX).map(|idle| idle.0)), (3, Some(7)));
}

#[test]
fn a_connection_is_given_up_after_so_many_requests() {
    let (mut clusters, host) = one_host(|cluster| cluster.max_requests_per_connection = 2);
    let lease = clusters.open(host).unwrap();
    assert_eq!(clusters.release(lease, 1, 0, true), Release::Kept);
    let (key, lease) = clusters.idle(host, 0).unwrap();
    assert_eq!(clusters.release(lease, key, 0, true), Release::Close);
}

#[test]
fn shares_sum_up_to_the_limit() {
    for total in [0, 1, 2, 3, 7, 1024, u32::MAX] {
        for workers in 1..9 {
            let shares = (0..workers).map(|worker| u64::from(share(total, worker, workers)));
            assert_eq!(shares.sum::<u64>(), u64::from(total), "{total} for {workers}");
        }
    }
    assert_eq!((share(1, 0, 2), share(1, 1, 2), share(5, 2, 2), share(5, 0, 0)), (1, 0, 0, 5));
}

#[test]
fn circuit_breakers_refuse_what_is_beyond() {
    let limits = CircuitBreakers {
        max_connections: 2,
        max_pending: 1,
        max_requests: 2,
        ..CircuitBreakers::UNLIMITED
    };
    let (mut clusters, host) = one_host(|cluster| cluster.limits = limits);
    let first = clusters.begin(host).unwrap();
    let second = clusters.begin(host).unwrap();
    assert_eq!(clusters.begin(host).unwrap_err(), NoHost::Overflow);
    clusters.end(first);
    clusters.end(second);
    let third = clusters.begin(host).unwrap();
    clusters.end(third);

    assert_eq!(
        clusters.wait(host, 9, Wants::Any),
        Err(NoHost::Overflow),
        "no connection could come free"
    );
    let lease = clusters.open(host).unwrap();
    let other = clusters.open(host).unwrap();
    assert_eq!(clusters.open(host), Err(NoHost::Overflow));
    assert_eq!(clusters.wait(host, 9, Wants::Any), Ok(()));
    assert_eq!(clusters.wait(host, 8, Wants::Any), Err(NoHost::Overflow));
    let next = Lease { host, requests: 2 };
    assert_eq!(clusters.release(lease, 1, 0, true), Release::Handed(9, next));
    assert_eq!(clusters.wait(host, 8, Wants::Any), Ok(()), "the waiting place is free again");
    assert_eq!(clusters.closed(other, 2), Some((8, Lease { host, requests: 1 })));
    assert_eq!(clusters.open(host), Err(NoHost::Overflow), "the waiter has the place");
    assert_eq!(clusters.wait(host, 7, Wants::Any), Ok(()));
    assert!(clusters.forget(host, 7) && !clusters.forget(host, 7));
    assert_eq!(clusters.closed(next, 1), None);
    assert_eq!(clusters.connections(), 1);
}

#[test]
fn hosts_that_stay_keep_their_connections() {
    let version = |hosts| cluster(LbPolicy::RoundRobin, hosts);
    let mut clusters = serving(version(vec![endpoint(1, 1), endpoint(2, 1)]));
    let mut hosts = BTreeMap::new();
    for random in 0..2 {
        let pick = clusters.pick(ONLY, None, random).unwrap();
        let (idle, busy) = (clusters.open(pick.host).unwrap(), clusters.open(pick.host).unwrap());
        let key = u32::from(pick.address.port());
        assert_eq!(clusters.release(idle, key, 0, true), Release::Kept);
        hosts.insert(pick.address.port(), (pick.host, idle, busy));
    }
    let (first, second) = (hosts[&1], hosts[&2]);
    let mut evicted = Vec::new();
    clusters.update(&snapshot(Some(version(vec![endpoint(3, 1), endpoint(2, 5)]))), &mut evicted);
    assert_eq!(evicted, [1], "only the idle one of the host that left");
    assert_eq!(clusters.idle(second.0, 0).map(|idle| idle.0), Some(2));
    assert_eq!(clusters.open(first.0).unwrap_err(), NoHost::Gone);
    assert_eq!(clusters.idle(first.0, 0), None);
    assert!(clusters.transport(first.0).is_none(), "no new connection goes there");
    let request = clusters.begin(first.0).expect("it still drains");
    clusters.end(request);
    assert_eq!(clusters.release(first.2, 11, 0, true), Release::Close);
    assert_eq!(clusters.closed(first.2, 11), None);
    assert_eq!(clusters.closed(first.1, 1), None);
    let gone = clusters.begin(first.0).unwrap_err();
    assert_eq!(gone, NoHost::Gone, "it is gone with its last connection");
    assert!(!picks(&mut clusters, 20, false).contains_key(&1));
}

#[test]
fn a_removed_cluster_drains() {
    let (mut clusters, host) = one_host(|_| {});
    let (idle, busy) = (clusters.open(host).unwrap(), clusters.open(host).unwrap());
    assert_eq!(clusters.release(idle, 1, 0, true), Release::Kept);
    let mut evicted = Vec::new();
    clusters.update(&snapshot(None), &mut evicted);
    assert_eq!(evicted, [1]);
    assert_eq!(clusters.release(busy, 2, 0, true), Release::Close);
    assert_eq!(clusters.closed(idle, 1), None);
    assert_eq!(clusters.closed(busy, 2), None);
    assert_eq!(clusters.connections(), 0);
    // It may come back under the same id.
    let back = cluster(LbPolicy::RoundRobin, vec![endpoint(1, 1)]);
    clusters.update(&snapshot(Some(back)), &mut evicted);
    let again = clusters.pick(ONLY, None, 0).unwrap().host;
    assert_ne!(again, host);
    assert_eq!(clusters.open(host).unwrap_err(), NoHost::Gone);
}

fn passthrough(bind: Option<IpAddr>, port: Option<u16>) -> Cluster {
    Cluster {
        discovery: Discovery::OriginalDst,
        bind,
        port_override: port,
        ..cluster(LbPolicy::Provided, Vec::new())
    }
}

#[test]
fn original_destinations_are_gone_to_and_forgotten() {
    let bind = IpAddr::from([127, 0, 0, 6]);
    let mut clusters = serving(passthrough(Some(bind), None));
    let wanted: SocketAddr = "10.1.2.3:80".parse().unwrap();
    let pick = clusters.pick(ONLY, Some(wanted), 0).unwrap();
    assert_eq!((pick.address, pick.bind), (wanted, Some(bind)));
    assert_eq!(clusters.pick(ONLY, Some(wanted), 1).unwrap(), pick, "the same host again");
    let v6 = clusters.pick(ONLY, Some("[fd00::1]:80".parse().unwrap()), 0).unwrap();
    assert_eq!(v6.bind, None, "no IPv4 address binds for IPv6");
    assert_eq!(clusters.pick(ONLY, None, 0), Err(NoHost::NoOriginalDestination));

    let lease = clusters.open(pick.host).unwrap();
    let mut evicted = Vec::new();
    clusters.expire(0, &mut evicted);
    clusters.expire(0, &mut evicted);
    assert!(clusters.transport(v6.host).is_none(), "unused for a whole round");
    assert!(clusters.transport(pick.host).is_some(), "in use");
    assert_eq!(clusters.closed(lease, 1), None);
    clusters.expire(0, &mut evicted);
    assert!(clusters.transport(pick.host).is_none());

    let mut elsewhere = serving(passthrough(None, Some(8080)));
    let pick = elsewhere.pick(ONLY, Some(wanted), 0).unwrap();
    assert_eq!(pick.address, "10.1.2.3:8080".parse().unwrap());
}

#[test]
fn original_destinations_are_limited() {
    let mut clusters = serving(passthrough(None, None));
    let wanted = |at: usize| SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 80));
    let mut pinned = Vec::new();
    for at in 0..crate::ORIGINAL_HOSTS_MAX {
        let pick = clusters.pick(ONLY, Some(wanted(at)), 0).unwrap();
        pinned.push(clusters.open(pick.host).unwrap());
    }
    let beyond = wanted(crate::ORIGINAL_HOSTS_MAX);
    assert_eq!(clusters.pick(ONLY, Some(beyond), 0), Err(NoHost::Overflow));
    assert_eq!(clusters.closed(pinned[0], 0), None);
    assert_eq!(clusters.pick(ONLY, Some(beyond), 0), Err(NoHost::Overflow), "used lately");
    clusters.expire(0, &mut Vec::new());
    assert!(clusters.pick(ONLY, Some(beyond), 0).is_ok());
}

#[test]
fn no_allocation_per_request_after_warm_up() {
    let hosts = || (1..=8).map(|port| endpoint(port, u32::from(port))).collect::<Vec<_>>();
    for policy in
        [LbPolicy::RoundRobin, LbPolicy::LeastRequest { choices: 2, bias: 1.0 }, LbPolicy::Random]
    {
        let mut clusters = serving(cluster(policy, hosts()));
        let mut now = 0;
        let mut serve = |random: u64| {
            now += 1;
            let pick = clusters.pick(ONLY, None, random).unwrap();
            let request = clusters.begin(pick.host).unwrap();
            let (key, lease) = match clusters.idle(pick.host, now) {
                Some(found) => found,
                None => (random as u32, clusters.open(pick.host).unwrap()),
            };
            clusters.end(request);
            assert_eq!(clusters.release(lease, key, now, true), Release::Kept);
        };
        (0..100).for_each(&mut serve);
        let cost = allocation_counter::measure(|| (100..10_100).for_each(&mut serve));
        assert_eq!(cost.count_total, 0, "{policy:?}: {cost:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(u16),
    Take(u16),
    Release(usize, bool),
    Close(usize),
    Configure(Vec<u16>),
    Expire,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u16..5).prop_map(Step::Open),
        (1_u16..5).prop_map(Step::Take),
        (any::<usize>(), any::<bool>()).prop_map(|(at, keep)| Step::Release(at, keep)),
        any::<usize>().prop_map(Step::Close),
        prop::sample::subsequence(vec![1_u16, 2, 3, 4], 0..=4).prop_map(Step::Configure),
        Just(Step::Expire),
    ]
}

proptest! {
    /// Whatever happens in whatever order, each connection is counted from its opening to its
    /// close, none is handed out twice, and none is handed out for a host that is gone.
    #[test]
    fn connections_are_accounted_for(steps in prop::collection::vec(any_step(), 0..120)) {
        let limits = CircuitBreakers {
            max_connections: 6,
            max_pending: 0,
            max_requests: 9,
            ..CircuitBreakers::UNLIMITED
        };
        let version = |ports: &[u16]| Cluster {
            limits,
            ..cluster(LbPolicy::RoundRobin, ports.iter().map(|port| endpoint(*port, 1)).collect())
        };
        let mut clusters = serving(version(&[1, 2, 3, 4]));
        let mut busy: Vec<(u32, Lease)> = Vec::new();
        let mut idle: Vec<(u32, Lease)> = Vec::new();
        let (mut next, mut now) = (0_u32, 0_u64);
        let mut evicted = Vec::new();
        for step in steps {
            now += 20 * SECOND_NS;
            match step {
                Step::Open(random) | Step::Take(random) => {
                    let Ok(pick) = clusters.pick(ONLY, None, u64::from(random)) else { continue };
                    if let Step::Take(_) = step {
                        if let Some((key, lease)) = clusters.idle(pick.host, now) {
                            let at = idle.iter().position(|(found, _)| *found == key);
                            prop_assert!(at.is_some(), "{key} was not idle");
                            let _ = idle.remove(at.unwrap());
                            busy.push((key, lease));
                        }
                    } else if let Ok(lease) = clusters.open(pick.host) {
                        next += 1;
                        busy.push((next, lease));
                    }
                }
                Step::Release(at, keep) if !busy.is_empty() => {
                    let (key, lease) = busy.remove(at % busy.len());
                    match clusters.release(lease, key, now, keep) {
                        Release::Kept => idle.push((key, lease)),
                        _ => prop_assert!(clusters.closed(lease, key).is_none()),
                    }
                }
                Step::Close(at) if !busy.is_empty() => {
                    let (key, lease) = busy.remove(at % busy.len());
                    prop_assert!(clusters.closed(lease, key).is_none());
                }
                Step::Configure(ports) => {
                    clusters.update(&snapshot(Some(version(&ports))), &mut evicted);
                }
                Step::Expire => clusters.expire(now, &mut evicted),
                _ => {}
            }
            for key in evicted.drain(..) {
                let at = idle.iter().position(|(found, _)| *found == key);
                prop_assert!(at.is_some(), "{key} was not idle");
                let (key, lease) = idle.remove(at.unwrap());
                prop_assert!(clusters.closed(lease, key).is_none());
            }
            prop_assert_eq!(clusters.idle_len(), idle.len());
            prop_assert_eq!(clusters.connections(), (idle.len() + busy.len()) as u64);
            prop_assert!(clusters.connections() <= 6);
        }
    }
}
