//! Connections to one host that are set apart by the server's name.

use std::rc::Rc;

use config::snapshot::{HostNames, ProxyVersion};
use tls::{ClientContext, ClientSpec, Parameters};

use super::outlier::rules;
use super::*;
use crate::{Ends, Outcome, Pick, TWINS_MAX};

fn tls() -> UpstreamTransport {
    let spec = ClientSpec {
        identity: None,
        trust: None,
        san: Vec::new(),
        sni: None,
        alpn: Vec::new(),
        parameters: Parameters::default(),
    };
    UpstreamTransport::Tls(Arc::new(ClientContext::new(spec).unwrap()))
}

fn by_name(sni: bool, san: bool) -> Option<HostNames> {
    Some(HostNames { sni, san, field: None })
}

fn named(ports: u16) -> Cluster {
    let hosts = (1..=ports).map(|port| endpoint(port, 1)).collect();
    let transport = tls();
    let host_names = by_name(true, false);
    Cluster { transport, host_names, ..cluster(LbPolicy::RoundRobin, hosts) }
}

fn ends(port: u16) -> Ends {
    (([10, 9, 9, 9], port).into(), ([10, 8, 8, 8], 80).into())
}

fn pick(clusters: &mut Clusters<u32>, name: &str) -> Result<Pick, NoHost> {
    let pick = clusters.pick(ONLY, None, 0).unwrap();
    clusters.set_apart(pick, Some(&Rc::from(name)), ends(1))
}

#[test]
fn a_connection_is_never_used_for_another_name() {
    let mut clusters = serving(named(1));
    let one = pick(&mut clusters, "one.example").unwrap();
    let lease = clusters.open(one.host).unwrap();
    assert_eq!(clusters.release(lease, 1, 0, true), Release::Kept);
    let other = pick(&mut clusters, "other.example").unwrap();
    assert_eq!((other.address, other.bind), (one.address, one.bind));
    assert_eq!(clusters.idle(other.host, 0), None);
    let bare = clusters.pick(ONLY, None, 0).unwrap();
    assert_eq!(clusters.idle(bare.host, 0), None);
    let again = pick(&mut clusters, "one.example").unwrap();
    assert_eq!(again, one);
    assert_eq!(clusters.idle(again.host, 0), Some((1, Lease { requests: 2, ..lease })));
    // Those that are shared, or being made, as well.
    clusters.make(one.host, 7);
    assert!(clusters.share(one.host, 8, true));
    assert!(!clusters.is_making(other.host));
    assert_eq!((clusters.shared(other.host), clusters.shared(one.host)), (None, Some(8)));
}

#[test]
fn a_name_matters_where_it_is_asked_for_or_checked() {
    let cases = [
        (by_name(true, false), "a.example", true),
        (by_name(true, false), "10.0.0.1", false),
        (by_name(true, false), "::1", false),
        (by_name(false, true), "10.0.0.1", true),
        (by_name(false, true), "a.example", true),
        (None, "a.example", false),
    ];
    for (host_names, name, is_apart) in cases {
        let mut clusters = serving(Cluster { host_names: host_names.clone(), ..named(1) });
        let bare = clusters.pick(ONLY, None, 0).unwrap();
        let found = pick(&mut clusters, name).unwrap();
        assert_eq!(found.host != bare.host, is_apart, "{host_names:?} {name}");
    }
    let mut plain = serving(Cluster { transport: UpstreamTransport::Raw, ..named(1) });
    let bare = plain.pick(ONLY, None, 0).unwrap();
    assert_eq!(pick(&mut plain, "a.example").unwrap(), bare, "without TLS there is nothing to ask");
}

#[test]
fn a_host_is_one_however_much_is_set_apart_of_it() {
    let host_names = by_name(true, false);
    let mut clusters = serving(Cluster { host_names, ..named(2) });
    for name in ["a.example", "b.example", "c.example"] {
        pick(&mut clusters, name).unwrap();
    }
    assert_eq!(clusters.members(ONLY), Some((2, 2)));
}

#[test]
fn a_host_that_is_told_of_clients_has_connections_for_each() {
    let UpstreamTransport::Tls(context) = tls() else { panic!("TLS") };
    for context in [None, Some(context)] {
        let transport = UpstreamTransport::Proxied(ProxyVersion::V2, context.clone());
        let mut clusters = serving(Cluster { transport, ..named(1) });
        let bare = clusters.pick(ONLY, None, 0).unwrap();
        let name = Rc::from("a.example");
        let mut of = |name, port| clusters.set_apart(bare, name, ends(port)).unwrap();
        let (one, same, other) = (of(None, 1), of(None, 1), of(None, 2));
        assert_eq!(one, same);
        assert!(one.host != bare.host && one.host != other.host);
        let by_name = of(Some(&name), 1);
        assert_eq!(by_name != one, context.is_some(), "a name matters to TLS alone");
        assert_eq!(clusters.told(one.host), Some(ends(1)));
        assert_eq!(clusters.told(other.host), Some(ends(2)));
        assert_eq!(clusters.told(bare.host), None);
        let is_proxied = |host| clusters.transport(host).unwrap().proxy().is_some();
        assert!(is_proxied(one.host) && is_proxied(by_name.host));
        assert_eq!(clusters.transport(one.host).unwrap().tls().is_some(), context.is_some());
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let mut clusters = serving(named(1));
    for name in ["a b", "a..b", &"x".repeat(300)] {
        assert_eq!(pick(&mut clusters, name), Err(NoHost::BadName), "{name}");
    }
    assert_eq!(clusters.states[0].hosts.len(), 1, "nothing is kept of them");
}

/// A pick of the host with that port, by that name.
fn pick_of(clusters: &mut Clusters<u32>, port: u16, name: &str) -> Pick {
    let mut all = (0..64).map(|_| pick(clusters, name).unwrap());
    all.find(|pick| pick.address.port() == port).expect("it is chosen")
}

#[test]
fn requests_count_for_the_host() {
    let policy = LbPolicy::LeastRequest { choices: 8, bias: 1.0 };
    let mut clusters = serving(Cluster { policy, ..named(2) });
    let one = pick_of(&mut clusters, 1, "one.example");
    let all: Vec<_> = (0..8).map(|_| clusters.begin(one.host).unwrap()).collect();
    let found = picks(&mut clusters, 1000, false);
    // It is drawn eight times in a row once in 256 times.
    assert!(found.get(&1).copied().unwrap_or_default() < 50, "the busy one is avoided: {found:?}");
    all.into_iter().for_each(|request| clusters.end(request));
    assert!(clusters.states[0].hosts.iter().all(|host| host.requests == 0));
}

#[test]
fn failures_count_for_the_host() {
    let mut clusters = serving(Cluster { outlier: Some(Arc::new(rules())), ..named(2) });
    let names = ["one.example", "two.example", "three.example"];
    let ejected = names.map(|name| {
        let twin = pick_of(&mut clusters, 1, name);
        clusters.observe(twin.host, Outcome::Status(500), 1, 0)
    });
    assert_eq!(ejected, [false, false, true], "three in a row");
    assert_eq!(picks(&mut clusters, 10, false), BTreeMap::from([(2, 10)]));
}

#[test]
fn they_go_with_their_host_and_with_its_names() {
    let mut clusters = serving(named(2));
    let one = pick(&mut clusters, "one.example").unwrap();
    let (kept, busy) = (clusters.open(one.host).unwrap(), clusters.open(one.host).unwrap());
    assert_eq!(clusters.release(kept, 1, 0, true), Release::Kept);
    let left = named(0);
    let mut evicted = Vec::new();
    clusters.update(&snapshot(Some(left)), &mut evicted);
    assert_eq!(evicted, [1]);
    assert!(clusters.transport(one.host).is_none());
    assert_eq!(clusters.release(busy, 2, 0, true), Release::Close);
    assert_eq!((clusters.closed(kept, 1), clusters.closed(busy, 2)), (None, None));
    assert!(clusters.states[0].twins.is_empty());
    assert!(clusters.states[0].hosts.iter().all(|host| host.unused()), "all places are free");

    // The same host, of which another name is checked.
    let transport = tls();
    let by = |host_names| Cluster { transport: transport.clone(), host_names, ..named(1) };
    let mut clusters = serving(by(by_name(true, false)));
    let one = pick(&mut clusters, "one.example").unwrap();
    let lease = clusters.open(one.host).unwrap();
    assert_eq!(clusters.release(lease, 1, 0, true), Release::Kept);
    clusters.update(&snapshot(Some(by(by_name(true, true)))), &mut evicted);
    assert_eq!(evicted, [1, 1]);
    assert_ne!(pick(&mut clusters, "one.example").unwrap().host, one.host);
}

#[test]
fn what_nobody_uses_is_forgotten_and_there_is_a_limit() {
    let mut clusters = serving(named(1));
    for number in 0..TWINS_MAX {
        pick(&mut clusters, &format!("{number}.example")).unwrap();
    }
    let lease = {
        let last = pick(&mut clusters, "0.example").unwrap();
        clusters.open(last.host).unwrap()
    };
    assert_eq!(pick(&mut clusters, "more.example"), Err(NoHost::Overflow));
    clusters.expire(SECOND_NS, &mut Vec::new());
    clusters.expire(2 * SECOND_NS, &mut Vec::new());
    assert_eq!(clusters.states[0].twins.len(), 1, "the one with a connection");
    pick(&mut clusters, "more.example").unwrap();
    assert_eq!(clusters.closed(lease, 1), None);
}

#[test]
fn a_host_that_was_retired_leaves_nothing_to_the_next() {
    let mut rules = rules();
    rules.answers.enforcing_success = 100;
    let cluster = |port| Cluster {
        outlier: Some(Arc::new(rules.clone())),
        ..super::cluster(LbPolicy::RoundRobin, vec![endpoint(port, 1)])
    };
    let mut clusters = serving(cluster(1));
    let first = clusters.pick(ONLY, None, 0).unwrap();
    clusters.observe(first.host, Outcome::Status(500), 1, 0);
    assert_ne!(clusters.states[0].hosts[0].counted, Default::default(), "it is counted");
    clusters.update(&snapshot(Some(cluster(2))), &mut Vec::new());
    let second = clusters.pick(ONLY, None, 0).unwrap();
    let host = &clusters.states[0].hosts[second.host.slot as usize];
    assert_eq!((host.address.port(), host.counted), (2, Default::default()));
}
