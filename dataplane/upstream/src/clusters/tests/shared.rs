//! Connections that many requests share.

use super::*;

/// One host, and so many connections.
fn limited(max_connections: u32) -> (Clusters<u32>, HostId) {
    let limits = CircuitBreakers { max_connections, ..CircuitBreakers::UNLIMITED };
    let one = Cluster { limits, ..cluster(LbPolicy::RoundRobin, vec![endpoint(1, 1)]) };
    let mut clusters = serving(one);
    let host = clusters.pick(ONLY, None, 0).expect("a host").host;
    (clusters, host)
}

#[test]
fn the_last_with_room_is_found_first() {
    let (mut clusters, host) = limited(10);
    assert_eq!(clusters.shared(host), None);
    assert!(clusters.share(host, 1, false));
    assert!(clusters.share(host, 2, false));
    assert_eq!(clusters.shared(host), Some(2));
    assert!(clusters.share(host, 1, true), "said twice it stands there once");
    clusters.unshare(host, 2);
    assert_eq!(clusters.shared(host), Some(1));
    clusters.unshare(host, 1);
    assert_eq!(clusters.shared(host), None);
    clusters.unshare(host, 1);
}

#[test]
fn one_that_is_made_is_waited_for_until_it_is_there_or_gone() {
    let (mut clusters, host) = limited(10);
    let leases = [clusters.open(host).unwrap(), clusters.open(host).unwrap()];
    clusters.make(host, 1);
    assert!(clusters.is_making(host));
    clusters.unshare(host, 2);
    assert!(clusters.is_making(host), "another one says nothing of it");
    assert!(clusters.share(host, 1, false));
    assert!(!clusters.is_making(host));
    clusters.make(host, 2);
    assert_eq!(clusters.closed(leases[1], 2), None);
    assert!(!clusters.is_making(host), "it has failed");
    assert_eq!(clusters.closed(leases[0], 1), None);
    assert_eq!(clusters.shared(host), None);
    assert_eq!(clusters.connections(), 0);
}

#[test]
fn who_waits_is_served_by_a_connection_of_its_kind() {
    let (mut clusters, host) = limited(2);
    let leases = [clusters.open(host).unwrap(), clusters.open(host).unwrap()];
    for (waiter, wants) in [(10, Wants::Own), (20, Wants::Shared), (30, Wants::Any)] {
        assert_eq!(clusters.wait(host, waiter, wants), Ok(()));
    }
    assert_eq!(clusters.next_waiter(host), Some(20), "not the one that wants its own");
    assert_eq!(clusters.next_waiter(host), Some(30));
    assert_eq!(clusters.next_waiter(host), None);
    assert_eq!(clusters.wait(host, 21, Wants::Shared), Ok(()));
    let again = Lease { requests: 2, ..leases[0] };
    assert_eq!(clusters.release(leases[0], 1, 0, true), Release::Handed(10, again));
    assert_eq!(clusters.release(again, 1, 0, true), Release::Close, "its place is waited for");
    assert_eq!(clusters.closed(again, 1), Some((21, Lease { host, requests: 1 })));
}

#[test]
fn a_place_is_for_whoever_is_first() {
    let (mut clusters, host) = limited(2);
    let lease = clusters.open(host).unwrap();
    assert_eq!(clusters.open_for_waiter(host), None, "nobody waits");
    assert_eq!(clusters.wait(host, 10, Wants::Own), Ok(()));
    assert_eq!(clusters.wait(host, 20, Wants::Shared), Ok(()));
    let next = Lease { host, requests: 1 };
    assert_eq!(clusters.open_for_waiter(host), Some((10, next)));
    assert_eq!(clusters.open_for_waiter(host), None, "the limit is reached");
    assert_eq!(clusters.closed(lease, 1), Some((20, next)));
}

#[test]
fn a_host_that_has_left_is_not_shared() {
    let (mut clusters, host) = limited(2);
    let lease = clusters.open(host).unwrap();
    assert!(clusters.share(host, 1, false));
    let mut evicted = Vec::new();
    clusters.update(&snapshot(None), &mut evicted);
    assert!(!clusters.share(host, 1, true));
    assert_eq!(clusters.shared(host), None);
    assert_eq!(clusters.closed(lease, 1), None);
    assert!(!clusters.share(host, 1, true), "nothing of it is left");
    assert_eq!(clusters.next_waiter(host), None);
}
