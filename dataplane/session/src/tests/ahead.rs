//! A port where the first bytes tell the protocol, and clients that wait for their server.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use config::snapshot::{
    AccessLog, Action, Ask, ChainMatch, Fact, FilterChain, Format, Listener, LogFormat, LogTarget,
    NetworkRbac, Operator, Part, Permission, Policy, PortRule, Principal, RouteAction, Rules,
    StringKind, StringMatch, Terminal,
};
use ring::Which;

use super::fixture::{
    Proxy, answer, cluster, echo, forward, manager, nobody, on_both, read_message, route,
    tcp_proxy, upstream,
};
use crate::Counter;

/// Nobody waits for so long: what a test sees does not come of the time-out.
const NEVER: Duration = Duration::from_secs(24 * 3600);

fn http(cluster: u32) -> Terminal {
    let action = RouteAction::Forward(forward(&[(cluster, 1)]));
    Terminal::Http(Arc::new(manager(vec![route("/", action)])))
}

fn chain(name: &str, alpn: &[&str], terminal: Terminal) -> FilterChain {
    let alpn = alpn.iter().map(|name| name.as_bytes().into()).collect();
    FilterChain {
        name: name.into(),
        matches: ChainMatch { alpn, ..ChainMatch::default() },
        tls: None,
        tls_timeout: None,
        rbac: Vec::new(),
        gates: Vec::new(),
        cluster_by_sni: false,
        terminal,
    }
}

/// Tells who has spoken first.
fn log() -> AccessLog {
    let ask = |fact| Part::Operator(Operator { ask: Ask::Fact(fact), bytes_max: None });
    let text = |text: &str| Part::Text(text.as_bytes().into());
    let parts = vec![
        ask(Fact::FirstSpeaker),
        text(" "),
        ask(Fact::FilterChainName),
        text(" "),
        ask(Fact::UpstreamCluster),
        text("\n"),
    ];
    let format = LogFormat::Text { format: Format { parts }, empty: "-" };
    AccessLog { filter: None, format, target: LogTarget::Stdout }
}

/// HTTP goes to the first upstream, all else to the second.
fn start(which: Which, [web, other]: [SocketAddr; 2], change: impl FnOnce(&mut Listener)) -> Proxy {
    let proxy = Proxy::start(which, http(0), vec![cluster(0, &[web]), cluster(1, &[other])]);
    let has_taken = |count| {
        while proxy.counters.get(Counter::Snapshots) < count {
            thread::sleep(Duration::from_millis(1));
        }
    };
    has_taken(1);
    proxy.change(|snapshot| {
        let old = &snapshot.listeners[0];
        let bound = old.bound.clone().expect("bound");
        let mut new = super::fixture::listener(old.address, bound, http(0));
        new.http_inspector = Some(PortRule::default());
        (new.inspect_timeout, new.continue_on_timeout) = (Some(NEVER), true);
        new.access_log = vec![log()];
        let plain = chain("plain", &[], tcp_proxy(1));
        new.chains = vec![Arc::new(chain("web", &["http/1.1"], http(0))), Arc::new(plain)];
        change(&mut new);
        snapshot.listeners = vec![Arc::new(new)];
    });
    has_taken(2);
    proxy
}

fn greeter(mut stream: TcpStream) {
    stream.write_all(b"welcome").expect("greeted");
    echo(stream);
}

/// An upstream, and how many connections it has had.
fn counting(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = upstream(move |stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        serve(stream);
    });
    (address, count)
}

fn waits_for(proxy: &Proxy, counter: Counter, count: u64) {
    for _ in 0..1000 {
        if proxy.counters.get(counter) >= count {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{counter:?} does not become {count}: {:?}", proxy.counters);
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    on_both(|which| {
        let proxy = start(which, [nobody(), upstream(greeter)], |_| {});
        let mut client = proxy.connect();
        let mut text = [0; 7];
        client.read_exact(&mut text).expect("greeted");
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let mut back = [0; 18];
        client.read_exact(&mut back).expect("echoed, whatever it is");
        assert_eq!((&text, &back), (b"welcome", b"GET / HTTP/1.1\r\n\r\n"));
        assert_eq!(proxy.counters.get(Counter::ServerFirst), 1);
        assert_eq!(proxy.counters.get(Counter::ClientFirst), 0);
        drop(client);
        proxy.settles(0, 0);
        assert_eq!(proxy.logged(), ["server plain cluster-1"]);
    });
}

#[test]
fn a_client_that_speaks_http_after_a_while_is_served_by_its_chain() {
    on_both(|which| {
        let (silent, count) = counting(echo);
        let proxy = start(which, [upstream(answer("web")), silent], |_| {});
        let mut client = proxy.connect();
        waits_for(&proxy, Counter::UpstreamTotal, 1);
        client.write_all(b"GET /a HTT").expect("sent");
        client.write_all(b"P/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let (head, _) = read_message(&mut client).expect("an answer");
        assert!(head.contains("x-name: web"), "{head}");
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(proxy.counters.get(Counter::ClientFirst), 1);
        assert_eq!(proxy.counters.get(Counter::ServerFirst), 0);
        drop(client);
        proxy.settles(0, 1);
        assert_eq!(proxy.logged(), ["client web -"]);
    });
}

#[test]
fn a_client_that_speaks_something_else_has_its_upstream_already() {
    on_both(|which| {
        let (other, count) = counting(echo);
        let proxy = start(which, [nobody(), other], |_| {});
        let mut client = proxy.connect();
        waits_for(&proxy, Counter::UpstreamTotal, 1);
        client.write_all(b"\0\x01\x02").expect("sent");
        let mut back = [0; 3];
        client.read_exact(&mut back).expect("echoed");
        assert_eq!((&back, count.load(Ordering::Relaxed)), (b"\0\x01\x02", 1));
        assert_eq!(proxy.counters.get(Counter::ClientFirst), 1);
        drop(client);
        proxy.settles(0, 0);
        assert_eq!(proxy.logged(), ["client plain cluster-1"]);
    });
}

#[test]
fn a_client_that_speaks_first_costs_no_connection() {
    on_both(|which| {
        let (other, count) = counting(echo);
        let proxy = start(which, [upstream(answer("web")), other], |_| {});
        let mut client = proxy.connect();
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        for _ in 0..3 {
            assert!(read_message(&mut client).is_some());
            client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        }
        // On a machine that is very busy it may have looked silent.
        let was_silent = proxy.counters.get(Counter::ClientFirst) as usize;
        assert_eq!(count.load(Ordering::Relaxed), was_silent);
    });
}

#[test]
fn where_no_upstream_is_to_be_had_the_client_is_still_listened_to() {
    on_both(|which| {
        let proxy = start(which, [upstream(answer("web")), nobody()], |_| {});
        let mut client = proxy.connect();
        waits_for(&proxy, Counter::UpstreamConnectFail, 1);
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert!(read_message(&mut client).is_some());
        drop(client);
        proxy.settles(0, 1);
    });
}

#[test]
fn an_upstream_that_closes_at_once_is_heard_too() {
    on_both(|which| {
        let proxy = start(which, [nobody(), upstream(drop)], |_| {});
        let mut client = proxy.connect();
        assert_eq!(client.read_to_end(&mut Vec::new()).expect("its end"), 0);
        assert_eq!(proxy.counters.get(Counter::ServerFirst), 1);
        drop(client);
        proxy.settles(0, 0);
    });
}

#[test]
fn a_client_that_closes_without_a_word_is_gone() {
    on_both(|which| {
        let proxy = start(which, [nobody(), upstream(echo)], |_| {});
        let client = proxy.connect();
        waits_for(&proxy, Counter::UpstreamTotal, 1);
        client.shutdown(Shutdown::Write).expect("finished");
        proxy.settles(0, 0);
        assert_eq!(proxy.logged(), ["- - -"]);
    });
}

#[test]
fn at_the_end_of_the_time_out_it_is_a_silent_clients_chain() {
    on_both(|which| {
        let proxy = start(which, [nobody(), upstream(echo)], |listener| {
            listener.inspect_timeout = Some(Duration::from_millis(100));
        });
        let mut client = proxy.connect();
        waits_for(&proxy, Counter::UpstreamTotal, 1);
        // It is raw from then on, whatever it says.
        thread::sleep(Duration::from_millis(300));
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let mut back = [0; 27];
        client.read_exact(&mut back).expect("echoed");
        drop(client);
        proxy.settles(0, 0);
    });
}

fn nobody_may(permission: Permission) -> NetworkRbac {
    let (permissions, principals) = (vec![permission], vec![Principal::Any]);
    let policy = Policy { name: "nobody".into(), permissions, principals };
    let rules = Rules { action: Action::Deny, policies: vec![policy] };
    NetworkRbac { stat_prefix: "rbac".into(), rules: Some(rules) }
}

/// Only for who would get there in the end.
#[test]
fn nothing_is_connected_ahead_where_a_silent_client_gets_nothing() {
    let closing = |listener: &mut Listener| listener.continue_on_timeout = false;
    let refusing = |listener: &mut Listener| {
        let mut plain = chain("plain", &[], tcp_proxy(1));
        plain.rbac = vec![Arc::new(nobody_may(Permission::Any))];
        listener.chains[1] = Arc::new(plain);
    };
    let asking = |listener: &mut Listener| {
        listener.chains[1] = Arc::new(chain("plain", &[], http(1)));
    };
    let naming = |listener: &mut Listener| {
        let plain = chain("plain", &[], tcp_proxy(1));
        listener.chains[1] = Arc::new(FilterChain { cluster_by_sni: true, ..plain });
    };
    let unmatched = |listener: &mut Listener| drop(listener.chains.pop());
    let all: [&dyn Fn(&mut Listener); 5] = [&closing, &refusing, &asking, &naming, &unmatched];
    on_both(|which| {
        for change in all {
            let (other, count) = counting(echo);
            let proxy = start(which, [upstream(answer("web")), other], change);
            let mut client = proxy.connect();
            thread::sleep(Duration::from_millis(100));
            client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            assert!(read_message(&mut client).is_some());
            assert_eq!(count.load(Ordering::Relaxed), 0);
        }
    });
}

/// A ClientHello that asks for this server (RFC 8446, 4.1.2; RFC 6066, 3).
fn hello(name: &str) -> Vec<u8> {
    let sized = |body: Vec<u8>| [&(body.len() as u16).to_be_bytes(), &body[..]].concat();
    let names = sized([vec![0], sized(name.as_bytes().to_vec())].concat());
    let extensions = sized([vec![0, 0], sized(names)].concat());
    let body = [vec![3, 3], vec![0; 32], vec![0, 0, 2, 0x13, 1, 1, 0], extensions].concat();
    let handshake = [vec![1, 0], sized(body)].concat();
    [vec![22, 3, 1], sized(handshake)].concat()
}

#[test]
fn what_a_client_says_after_a_while_is_judged_too() {
    let bad = StringMatch { kind: StringKind::Exact(b"bad".as_slice().into()), ignore_case: false };
    on_both(|which| {
        for (name, is_let_in) in [("good", true), ("bad", false)] {
            let proxy = start(which, [nobody(), upstream(echo)], |listener| {
                listener.tls_inspector = Some(PortRule::default());
                let mut plain = chain("plain", &[], tcp_proxy(1));
                plain.rbac = vec![Arc::new(nobody_may(Permission::ServerName(bad.clone())))];
                listener.chains[1] = Arc::new(plain);
            });
            let mut client = proxy.connect();
            waits_for(&proxy, Counter::UpstreamTotal, 1);
            let hello = hello(name);
            client.write_all(&hello).expect("sent");
            let mut back = vec![0; hello.len()];
            assert_eq!(client.read_exact(&mut back).is_ok(), is_let_in, "{name}");
            let denied = u64::from(!is_let_in);
            assert_eq!(proxy.counters.get(Counter::NetworkRbacDenied), denied, "{name}");
            drop(client);
            proxy.settles(0, 0);
        }
    });
}
