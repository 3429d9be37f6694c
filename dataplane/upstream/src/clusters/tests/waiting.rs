//! Waiters of one cluster: whoever may be served is served, whatever host it waits for.

use super::*;

/// A cluster with these hosts and so many connections.
fn limited(ports: &[u16], max_connections: u32) -> Cluster {
    let limits = CircuitBreakers {
        max_connections,
        max_pending: 100,
        max_requests: 100,
        ..CircuitBreakers::UNLIMITED
    };
    let hosts = ports.iter().map(|port| endpoint(*port, 1)).collect();
    Cluster { limits, ..cluster(LbPolicy::RoundRobin, hosts) }
}

fn host(clusters: &mut Clusters<u32>, port: u16) -> HostId {
    let mut picks = (0..10).map(|_| clusters.pick(ONLY, None, 0).unwrap());
    picks.find(|pick| pick.address.port() == port).expect("a host with that port").host
}

fn first(host: HostId) -> Lease {
    Lease { host, requests: 1 }
}

#[test]
fn a_place_that_comes_free_goes_round_the_hosts() {
    let mut clusters = serving(limited(&[1, 2, 3], 2));
    let [one, two, three] = [1, 2, 3].map(|port| host(&mut clusters, port));
    assert_eq!(
        clusters.wait(two, 20, Wants::Any),
        Err(NoHost::Overflow),
        "nothing is there to come free"
    );
    let leases = [clusters.open(one).unwrap(), clusters.open(one).unwrap()];
    for (host, waiter) in [(two, 20), (two, 21), (three, 30), (one, 10)] {
        assert_eq!(clusters.open(host), Err(NoHost::Overflow));
        assert_eq!(clusters.wait(host, waiter, Wants::Any), Ok(()));
    }
    assert_eq!(clusters.closed(leases[0], 1), Some((20, first(two))));
    assert_eq!(clusters.closed(leases[1], 2), Some((30, first(three))));
    assert_eq!(clusters.closed(first(two), 3), Some((10, first(one))));
    assert!(clusters.forget(two, 21));
    assert_eq!(clusters.closed(first(one), 4), None, "nobody waits any more");
    assert_eq!(clusters.connections(), 1);
}

#[test]
fn a_connection_is_not_kept_while_others_wait_for_its_place() {
    let mut clusters = serving(limited(&[1, 2], 1));
    let [one, two] = [1, 2].map(|port| host(&mut clusters, port));
    let lease = clusters.open(one).unwrap();
    assert_eq!(clusters.wait(two, 20, Wants::Any), Ok(()));
    assert_eq!(clusters.wait(one, 10, Wants::Any), Ok(()));
    let again = Lease { requests: 2, ..lease };
    assert_eq!(clusters.release(lease, 1, 0, true), Release::Handed(10, again), "its own first");
    assert_eq!(clusters.release(again, 1, 0, true), Release::Close);
    assert_eq!(clusters.closed(again, 1), Some((20, first(two))));
}

#[test]
fn idle_connections_make_room_for_waiters() {
    let mut clusters = serving(limited(&[1, 2], 3));
    let [one, two] = [1, 2].map(|port| host(&mut clusters, port));
    let leases = [1, 2, 3].map(|key| (key, clusters.open(one).unwrap()));
    for (key, lease) in leases {
        assert_eq!(clusters.release(lease, key, u64::from(key), true), Release::Kept);
    }
    assert_eq!(
        (clusters.wait(two, 20, Wants::Any), clusters.wait(two, 21, Wants::Any)),
        (Ok(()), Ok(()))
    );
    let mut evicted = Vec::new();
    clusters.expire(4, &mut evicted);
    assert_eq!(evicted, [1, 2], "one for each waiter, the oldest first");
    assert_eq!(clusters.closed(leases[0].1, 1), Some((20, first(two))));
    assert_eq!(clusters.closed(leases[1].1, 2), Some((21, first(two))));
    evicted.clear();
    clusters.expire(5, &mut evicted);
    assert!(evicted.is_empty(), "nobody waits for this one: {evicted:?}");
}

#[test]
fn who_waits_for_a_host_that_leaves_is_answered_and_does_not_connect() {
    let mut clusters = serving(limited(&[1, 2], 2));
    let [one, two] = [1, 2].map(|port| host(&mut clusters, port));
    let (left, stays) = (clusters.open(one).unwrap(), clusters.open(two).unwrap());
    for (host, waiter) in [(one, 10), (one, 11), (one, 12), (two, 20)] {
        assert_eq!(clusters.wait(host, waiter, Wants::Any), Ok(()));
    }
    clusters.update(&snapshot(Some(limited(&[2], 2))), &mut Vec::new());
    assert_eq!(clusters.wait(one, 13, Wants::Any), Err(NoHost::Gone));
    // What is connected still serves one of them; for the others nothing is connected.
    let again = Lease { requests: 2, ..left };
    assert_eq!(clusters.release(left, 1, 0, true), Release::Handed(10, again));
    assert!(clusters.transport(one).is_none());
    assert_eq!(clusters.closed(again, 1), Some((11, first(one))));
    assert_eq!(clusters.closed(first(one), 0), Some((20, first(two))));
    assert_eq!(clusters.closed(first(two), 0), Some((12, first(one))));
    assert_eq!(clusters.closed(first(one), 0), None);
    assert_eq!(clusters.begin(one).unwrap_err(), NoHost::Gone, "nothing of it is left");
    assert_eq!(clusters.release(stays, 2, 0, true), Release::Kept);
    assert_eq!(clusters.connections(), 1);
}

#[test]
fn a_limit_that_is_lowered_to_nothing_strands_nobody() {
    let mut clusters = serving(limited(&[1], 1));
    let host = host(&mut clusters, 1);
    let lease = clusters.open(host).unwrap();
    assert_eq!(
        (clusters.wait(host, 10, Wants::Any), clusters.wait(host, 11, Wants::Any)),
        (Ok(()), Ok(()))
    );
    clusters.update(&snapshot(Some(limited(&[1], 0))), &mut Vec::new());
    assert_eq!(clusters.closed(lease, 1), Some((10, first(host))));
    assert_eq!(clusters.closed(first(host), 2), Some((11, first(host))));
    assert_eq!(clusters.closed(first(host), 3), None);
    assert_eq!(clusters.open(host), Err(NoHost::Overflow));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u64),
    Release(usize, bool),
    Close(usize),
    GiveUp(usize),
    Configure(Vec<u16>, u32),
    Second,
}

fn any_step() -> impl Strategy<Value = Step> {
    let ports = prop::sample::subsequence(vec![1_u16, 2, 3], 1..=3);
    prop_oneof![
        5 => any::<u64>().prop_map(Step::Ask),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(at, keep)| Step::Release(at, keep)),
        1 => any::<usize>().prop_map(Step::Close),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => (ports, 0_u32..4).prop_map(|(ports, limit)| Step::Configure(ports, limit)),
        1 => Just(Step::Second),
    ]
}

/// The session's part: connections by key, and who waits for what.
#[derive(Default)]
struct Book {
    busy: Vec<(u32, Lease)>,
    idle: Vec<(u32, Lease)>,
    waiting: Vec<(u32, HostId)>,
    next: u32,
}

impl Book {
    fn key(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn ask(&mut self, clusters: &mut Clusters<u32>, random: u64) {
        let Ok(pick) = clusters.pick(ONLY, None, random) else { return };
        if let Some((key, lease)) = clusters.idle(pick.host, 0) {
            self.idle.retain(|(found, _)| *found != key);
            return self.busy.push((key, lease));
        }
        let key = self.key();
        match clusters.open(pick.host) {
            Ok(lease) => self.busy.push((key, lease)),
            Err(_) if clusters.wait(pick.host, key, Wants::Any).is_ok() => {
                self.waiting.push((key, pick.host));
            }
            Err(_) => {}
        }
    }

    /// Closes a connection; whoever is let in goes on with one of its own, unless its host left.
    fn close(&mut self, clusters: &mut Clusters<u32>, key: u32, lease: Lease) {
        let mut granted = clusters.closed(lease, key);
        while let Some((waiter, lease)) = granted.take() {
            self.served(waiter, lease.host);
            if clusters.transport(lease.host).is_some() {
                let key = self.key();
                self.busy.push((key, lease));
            } else {
                granted = clusters.closed(lease, 0);
            }
        }
    }

    fn served(&mut self, waiter: u32, host: HostId) {
        let at = self.waiting.iter().position(|waits| *waits == (waiter, host));
        self.waiting.remove(at.expect("it waits for that host, once"));
    }
}

proptest! {
    /// Whatever happens in whatever order: nobody waits while nothing is connected that could
    /// come free, and nobody waits beyond the next second for a connection that lies idle.
    #[test]
    fn nobody_waits_for_ever(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut clusters = serving(limited(&[1, 2, 3], 3));
        let (mut book, mut evicted) = (Book::default(), Vec::new());
        for step in steps {
            let is_second = matches!(step, Step::Second);
            match step {
                Step::Ask(random) => book.ask(&mut clusters, random),
                Step::Release(at, keep) if !book.busy.is_empty() => {
                    let (key, lease) = book.busy.remove(at % book.busy.len());
                    match clusters.release(lease, key, 0, keep) {
                        Release::Kept => book.idle.push((key, lease)),
                        Release::Close => book.close(&mut clusters, key, lease),
                        Release::Handed(waiter, lease) => {
                            book.served(waiter, lease.host);
                            book.busy.push((key, lease));
                        }
                    }
                }
                Step::Close(at) if !book.busy.is_empty() => {
                    let (key, lease) = book.busy.remove(at % book.busy.len());
                    book.close(&mut clusters, key, lease);
                }
                Step::GiveUp(at) if !book.waiting.is_empty() => {
                    let (key, host) = book.waiting.remove(at % book.waiting.len());
                    prop_assert!(clusters.forget(host, key));
                }
                Step::Configure(ports, limit) => {
                    let next = snapshot(Some(limited(&ports, limit)));
                    clusters.update(&next, &mut evicted);
                }
                Step::Second => clusters.expire(0, &mut evicted),
                _ => {}
            }
            for key in std::mem::take(&mut evicted) {
                let at = book.idle.iter().position(|(found, _)| *found == key);
                let (key, lease) = book.idle.remove(at.expect("it was idle"));
                book.close(&mut clusters, key, lease);
            }
            prop_assert_eq!(clusters.connections(), (book.idle.len() + book.busy.len()) as u64);
            prop_assert!(book.waiting.is_empty() || clusters.connections() > 0);
            prop_assert!(!is_second || book.waiting.is_empty() || book.idle.is_empty());
        }
        while let Some((key, lease)) = book.busy.pop() {
            book.close(&mut clusters, key, lease);
        }
        prop_assert!(book.waiting.is_empty() || !book.idle.is_empty(), "{:?}", book.waiting);
    }
}
