//! Connections that were there before the configuration changed.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use config::snapshot::{
    Action, ChainMatch, FilterChain, NetworkRbac, Permission, Policy, Principal, RouteAction,
    Rules, Terminal,
};

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

#[test]
fn a_new_network_policy_judges_old_connections() {
    on_both(|which| {
        let clusters = vec![cluster(0, &[upstream(answer("a"))])];
        let proxy = Proxy::start(which, http(), clusters);
        let mut client = proxy.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert!(read_message(&mut client).is_some());
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
        let clusters = vec![cluster(0, &[upstream(answer("a"))])];
        let proxy = Proxy::start(which, http(), clusters);
        let mut client = proxy.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert!(read_message(&mut client).is_some());
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
