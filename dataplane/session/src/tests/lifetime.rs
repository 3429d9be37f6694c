//! How long connections and requests may last, and what keeps them alive.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{
    Cluster, Http2, HttpManager, Keepalive, RouteAction, Spans, Terminal, UpstreamProtocol,
};
use ring::start::Which;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, on_both, read_message, route, upstream,
};
use super::peer::{Message, Peer, server};
use crate::Counter;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn start(which: Which, to: Cluster, change: impl FnOnce(&mut HttpManager)) -> Proxy {
    let mut manager = manager(vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))]);
    change(&mut manager);
    Proxy::start(which, Terminal::Http(Arc::new(manager)), vec![to])
}

fn plain() -> Cluster {
    cluster(0, &[upstream(answer("a"))])
}

fn ask(client: &mut TcpStream) -> Option<String> {
    client.write_all(GET).ok()?;
    read_message(client).map(|(head, _)| head)
}

/// An end or a reset comes: not bytes, and not nothing for as long as anybody waits.
fn ends(client: &mut TcpStream) -> bool {
    match client.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_connection_serves_so_many_requests_and_no_more() {
    on_both(|which| {
        let proxy = start(which, plain(), |manager| {
            manager.spans = Spans { requests: 3, ..Spans::default() };
        });
        let mut client = proxy.connect();
        for number in 1..=3 {
            let head = ask(&mut client).expect("an answer");
            assert_eq!(head.contains("connection: close"), number == 3, "{number}: {head}");
        }
        assert!(ends(&mut client));
        let mut client = Peer::client(proxy.connect());
        for _ in 0..3 {
            let id = client.ask("GET", "/", &[], None);
            assert_eq!(client.wait(id).status, 200);
        }
        assert!(client.until(|peer| peer.gone_away.is_some()), "it is told to go");
        proxy.settles_down(0);
    });
}

#[test]
fn a_connection_ends_when_it_is_old() {
    on_both(|which| {
        let span = Some(Duration::from_millis(300));
        let proxy = start(which, plain(), |manager| {
            manager.spans = Spans { connection: span, ..Spans::default() };
        });
        let (begun, mut client) = (Instant::now(), proxy.connect());
        assert!(!ask(&mut client).expect("an answer").contains("connection: close"));
        assert!(ends(&mut client));
        assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/", &[], None);
        assert_eq!(client.wait(id).status, 200);
        assert!(client.until(|peer| peer.gone_away.is_some()));

        let safe = start(which, plain(), |manager| {
            manager.spans = Spans { connection: span, ends_with_answer: true, ..Spans::default() };
        });
        let mut client = safe.connect();
        thread::sleep(Duration::from_millis(400));
        assert!(ask(&mut client).expect("an answer").contains("connection: close"));
        assert!(ends(&mut client));
    });
}

#[test]
fn an_old_connection_to_an_upstream_is_not_used_again() {
    on_both(|which| {
        for to in [
            plain(),
            Cluster {
                protocol: UpstreamProtocol::Http2,
                ..cluster(
                    0,
                    &[upstream(server(|peer, id, _| peer.answer(id, 200, &[], b"a", &[])))],
                )
            },
        ] {
            let span = Some(Duration::from_millis(200));
            let to = Cluster { max_connection_duration: span, ..to };
            let proxy = start(which, to, |_| {});
            let mut client = proxy.connect();
            for _ in 0..3 {
                assert!(ask(&mut client).expect("an answer").starts_with("HTTP/1.1 200"));
            }
            let before = proxy.counters.get(Counter::UpstreamTotal);
            thread::sleep(Duration::from_millis(300));
            assert!(ask(&mut client).expect("an answer").starts_with("HTTP/1.1 200"));
            assert_eq!(proxy.counters.get(Counter::UpstreamTotal), before + 1);
        }
    });
}

#[test]
fn a_request_that_takes_too_long_is_ended() {
    on_both(|which| {
        let silent = cluster(
            0,
            &[upstream(|mut stream: TcpStream| {
                let _ = stream.read_to_end(&mut Vec::new());
            })],
        );
        let proxy = start(which, silent, |manager| {
            let stream = Some(Duration::from_millis(100));
            manager.spans = Spans { stream, ..Spans::default() };
        });
        let head = ask(&mut proxy.connect()).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/", &[], None);
        assert_eq!(client.wait(id).status, 504);
        drop(client);
        proxy.settles(0, 0);
    });
}

fn alive() -> Http2 {
    let millis = Duration::from_millis;
    let keepalive = Keepalive {
        interval: Some(millis(50)),
        jitter: Duration::ZERO,
        timeout: millis(100),
        idle_interval: None,
    };
    Http2 { keepalive: Some(keepalive), ..Http2::default() }
}

#[test]
fn a_client_that_gives_no_sign_of_life_is_given_up() {
    on_both(|which| {
        let proxy = start(which, plain(), |manager| manager.http2 = alive());
        let mut client = Peer::client(proxy.connect());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(400) {
            // Who answers is fine.
            assert!(client.turn());
        }
        let id = client.ask("GET", "/", &[], None);
        assert_eq!(client.wait(id).status, 200);
        assert_eq!(proxy.counters.get(Counter::KeepaliveTimeout), 0);
        // From here on it does not read.
        proxy.settles_down(0);
        assert_eq!(proxy.counters.get(Counter::KeepaliveTimeout), 1);
    });
}

#[test]
fn an_upstream_that_gives_no_sign_of_life_is_given_up() {
    on_both(|which| {
        let hangs = |socket: TcpStream| {
            let mut peer = Peer::server(socket);
            // It reads the request and then no more.
            peer.until(|peer| peer.messages.values().any(|message: &Message| message.ended));
            thread::sleep(Duration::from_secs(2));
        };
        let to = Cluster {
            protocol: UpstreamProtocol::Http2,
            http2: alive(),
            ..cluster(0, &[upstream(hangs)])
        };
        let proxy = start(which, to, |_| {});
        let head = ask(&mut proxy.connect()).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(proxy.counters.get(Counter::KeepaliveTimeout), 1);
        proxy.settles(0, 0);
    });
}

#[test]
fn clients_that_give_up_cost_others_no_answer() {
    on_both(|which| {
        let slow = server(|peer, id, message| {
            if message.line.ends_with("/slow") {
                return;
            }
            peer.answer(id, 200, &[], b"a", &[]);
        });
        let to = Cluster { protocol: UpstreamProtocol::Http2, ..cluster(0, &[upstream(slow)]) };
        let proxy = start(which, to, |_| {});
        for _ in 0..8 {
            let mut client = Peer::client(proxy.connect());
            for _ in 0..100 {
                let id = client.ask("GET", "/slow", &[], None);
                client.reset(id, wire::h2::ErrorCode::Cancel);
            }
            // Behind the others: all of them have arrived.
            let id = client.ask("GET", "/", &[], None);
            assert_eq!(client.wait(id).status, 200);
        }
        let connections = proxy.counters.get(Counter::UpstreamTotal);
        assert!((2..=9).contains(&connections), "a worn one is changed: {connections}");
    });
}
