//! A `LOGICAL_DNS` cluster is one host, wherever its name leads to.

use super::*;
use crate::host::Life;

fn logical(port: u16) -> Cluster {
    let hosts = vec![endpoint(port, 1)];
    Cluster { discovery: Discovery::LogicalDns, ..cluster(LbPolicy::RoundRobin, hosts) }
}

#[test]
fn new_connections_go_to_the_new_address_and_old_ones_stay() {
    let mut clusters = serving(logical(80));
    let first = clusters.pick(ONLY, None, 0).unwrap();
    let (kept, busy) = (clusters.open(first.host).unwrap(), clusters.open(first.host).unwrap());
    assert_eq!(clusters.release(kept, 1, 0, true), Release::Kept);
    let mut evicted = Vec::new();
    clusters.update(&snapshot(Some(logical(81))), &mut evicted);
    assert!(evicted.is_empty(), "the pool stays");
    let second = clusters.pick(ONLY, None, 0).unwrap();
    assert_eq!((second.host, second.address.port()), (first.host, 81));
    assert_eq!(clusters.idle(second.host, 0), Some((1, Lease { requests: 2, ..kept })));
    assert_eq!(clusters.release(busy, 2, 0, true), Release::Kept);
    assert_eq!(clusters.connections(), 2);
    // Another kind of cluster under that name has hosts of its own.
    let strict = Cluster { discovery: Discovery::StrictDns, ..logical(82) };
    clusters.update(&snapshot(Some(strict)), &mut evicted);
    assert_eq!(evicted, [2]);
    assert_ne!(clusters.pick(ONLY, None, 0).unwrap().host, first.host);
}

#[test]
fn of_many_hosts_that_were_there_one_becomes_the_logical_one() {
    let hosts = (80..90).map(|port| endpoint(port, 1)).collect();
    let mut clusters = serving(cluster(LbPolicy::RoundRobin, hosts));
    clusters.update(&snapshot(Some(logical(99))), &mut Vec::new());
    let ports = picks(&mut clusters, 10, false);
    assert_eq!(ports, BTreeMap::from([(99, 10)]));
    assert_eq!(clusters.states[0].hosts.iter().filter(|host| host.life == Life::Alive).count(), 1);
}
