//! Connections that were there before the configuration changed.

use std::io::Read;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use config::snapshot::{
    Action, ChainMatch, FilterChain, NetworkRbac, Permission, Policy, Principal, RouteAction,
    Rules, Terminal,
};

use ring::Which;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, on_both, read_message, route, upstream,
};
use crate::Counter;

fn http() -> Terminal {
    Terminal::Http(Arc::new(manager(vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))])))
}

/// Asks until there is no answer any more; `false` if there always is one.
fn is_cut_off(client: &mut TcpStream) -> bool {
    (0..1000).any(|_| {
        let asked = client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        asked.is_err() || read_message(client).is_none()
    })
}

/// Replaces the only chain.
fn change_chain(proxy: &Proxy, change: impl Fn(&FilterChain) -> FilterChain) {
    proxy.change(|snapshot| {
        let old = &snapshot.listeners[0];
        let bound = old.bound.clone().expect("bound");
        let mut new = super::fixture::listener(old.address, bound, http());
        new.chains = vec![Arc::new(change(&old.chains[0]))];
        snapshot.listeners = vec![Arc::new(new)];
    });
}

fn chain(like: &FilterChain) -> FilterChain {
    FilterChain {
        name: like.name.clone(),
        matches: ChainMatch::default(),
        tls: like.tls.clone(),
        tls_timeout: None,
        rbac: Vec::new(),
        gates: Vec::new(),
        cluster_by_sni: false,
        terminal: http(),
    }
}

fn deny_all() -> NetworkRbac {
    let policy = Policy {
        name: "nobody".into(),
        permissions: vec![Permission::Any],
        principals: vec![Principal::Any],
    };
    NetworkRbac {
        stat_prefix: "rbac".into(),
        rules: Some(Rules { action: Action::Deny, policies: vec![policy] }),
    }
}

/// A proxy, and a client that has had an answer.
fn served(which: Which) -> (Proxy, TcpStream) {
    let clusters = vec![cluster(0, &[upstream(answer("a"))])];
    let proxy = Proxy::start(which, http(), clusters);
    let mut client = proxy.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    assert!(read_message(&mut client).is_some());
    (proxy, client)
}

/// It waits for a host's only connection, and that host is replaced by another.
#[test]
fn a_request_that_waits_for_a_host_that_leaves_goes_to_another() {
    on_both(|which| {
        let last_words = |mut stream: TcpStream| {
            if read_message(&mut stream).is_some() {
                thread::sleep(Duration::from_millis(300));
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
                );
            }
        };
        let single = |host: SocketAddr| {
            let mut cluster = cluster(0, &[host]);
            cluster.limits.max_connections = 1;
            cluster
        };
        let proxy = Proxy::start(which, http(), vec![single(upstream(last_words))]);
        let (mut one, mut other) = (proxy.connect(), proxy.connect());
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        one.write_all(request).expect("sent");
        thread::sleep(Duration::from_millis(50));
        other.write_all(request).expect("sent");
        thread::sleep(Duration::from_millis(50));
        let new = upstream(answer("b"));
        proxy.change(|snapshot| snapshot.clusters = vec![Some(Arc::new(single(new)))]);
        assert_eq!(read_message(&mut one).expect("an answer").1, b"a");
        let (head, body) = read_message(&mut other).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(body.starts_with(b"b"), "{body:?}");
    });
}

#[test]
fn a_new_network_policy_judges_old_connections() {
    on_both(|which| {
        let (proxy, mut client) = served(which);
        change_chain(&proxy, |old| FilterChain { rbac: vec![Arc::new(deny_all())], ..chain(old) });
        assert!(is_cut_off(&mut client), "the refused connection is served");
        assert_eq!(proxy.counters.get(Counter::NetworkRbacDenied), 1);
        proxy.settles(0, 1);
    });
}

/// No chain takes such a connection any more (as under STRICT): it gets no further answer.
#[test]
fn a_connection_that_no_chain_takes_gets_no_further_answer() {
    on_both(|which| {
        let (proxy, mut client) = served(which);
        change_chain(&proxy, |old| {
            let only_tls = Some(config::snapshot::Transport::Tls);
            let matches = ChainMatch { transport: only_tls, ..ChainMatch::default() };
            FilterChain { matches, ..chain(old) }
        });
        let before = proxy.counters.get(Counter::Snapshots);
        while proxy.counters.get(Counter::Snapshots) < before.max(2) {
            std::thread::yield_now();
        }
        let _ = client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said);
        assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
        proxy.settles(0, 1);
    });
}
