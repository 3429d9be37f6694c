//! Upstreams by HTTP/2, for clients of either codec.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use config::snapshot::{Cluster, Forward, Retry, RouteAction, Terminal, UpstreamProtocol};
use ring::start::Which;
use wire::h2::{Config, ErrorCode, Role};

use super::fixture::{
    Proxy, answer, cluster, forward, manager, nobody, on_both, read_message, route, upstream,
};
use super::mutual_tls::{Authority, SERVER};
use super::peer::{Message, Peer, server};
use crate::Counter;

fn terminal(change: impl FnOnce(&mut Forward)) -> Terminal {
    let mut forward = forward(&[(0, 1)]);
    change(&mut forward);
    Terminal::Http(Arc::new(manager(vec![route("/", RouteAction::Forward(forward))])))
}

fn h2(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Cluster {
    Cluster { protocol: UpstreamProtocol::Http2, ..cluster(0, &[upstream(serve)]) }
}

fn start(which: Which, to: Cluster) -> Proxy {
    Proxy::start(which, terminal(|_| {}), vec![to])
}

/// Answers with what was asked.
fn echo(peer: &mut Peer, id: u32, message: &Message) {
    let body = [message.line.as_bytes(), b"|", &message.body].concat();
    peer.answer(id, 200, &[("x-name", "b")], &body, &[]);
}

fn leaves_nothing(proxy: Proxy, clients: Vec<Peer>) {
    drop(clients);
    proxy.settles_down(0);
    thread::sleep(Duration::from_millis(50));
    let left = proxy.finish();
    assert_eq!((left.downs, left.streams), (0, 0), "{left:?}");
}

#[test]
fn clients_of_either_codec_reach_an_upstream_of_http_2() {
    on_both(|which| {
        let proxy = start(which, h2(server(echo)));
        let mut client = Peer::client(proxy.connect());
        for number in 0..20 {
            let id = client.ask("GET", &format!("/{number}"), &[], None);
            let message = client.wait(id);
            assert_eq!(message.text(), format!("GET http://x/{number}|"));
            assert_eq!(message.field("x-name"), Some("b"));
        }
        let mut old = proxy.connect();
        for number in 0..20 {
            let length = format!("{number}").len();
            let head = format!("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            old.write_all(format!("{head}{number}").as_bytes()).expect("sent");
            let (head, body) = read_message(&mut old).expect("an answer");
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert_eq!(body, format!("POST http://x/p|{number}").as_bytes());
        }
        assert_eq!(proxy.counters.get(Counter::UpstreamHttp2), 1, "one connection serves all");
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 1);
        drop(old);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn bodies_beyond_every_window_pass_unchanged() {
    on_both(|which| {
        let proxy = start(which, h2(server(echo)));
        let long: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("POST", "/b", &[], Some(&long));
        assert!(client.wait(id).body.ends_with(&long));
        let mut old = proxy.connect();
        let head = format!("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", long.len());
        let mut writer = old.try_clone().expect("a clone");
        let body = long.clone();
        let writing = thread::spawn(move || {
            writer.write_all(head.as_bytes()).expect("sent");
            writer.write_all(&body).expect("sent");
        });
        let (_, body) = read_message(&mut old).expect("an answer");
        assert!(body.ends_with(&long));
        writing.join().expect("sent");
        drop(old);
        leaves_nothing(proxy, vec![client]);
    });
}

/// A burst while the connection is being made waits for it; what is beyond the upstream's limit of
/// streams has another.
#[test]
fn many_requests_share_few_connections() {
    on_both(|which| {
        let config = Config { streams_max: 10, ..Config::default() };
        let serve = move |socket: TcpStream| {
            let (mut peer, mut seen) = (Peer::new(Role::Server, socket, &config), Vec::new());
            while peer.turn() {
                thread::sleep(Duration::from_millis(2));
                for (id, message) in peer.whole(&mut seen) {
                    echo(&mut peer, id, &message);
                }
            }
        };
        let proxy = start(which, h2(serve));
        let mut client = Peer::client(proxy.connect());
        for _ in 0..5 {
            let ids: Vec<u32> = (0..90).map(|_| client.ask("GET", "/", &[], None)).collect();
            for id in ids {
                assert_eq!(client.wait(id).status, 200);
            }
        }
        let made = proxy.counters.get(Counter::UpstreamTotal);
        assert!((1..=20).contains(&made), "{made} connections");
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn a_limit_of_connections_is_kept_and_nobody_is_forgotten() {
    on_both(|which| {
        let config = Config { streams_max: 4, ..Config::default() };
        let serve = move |socket: TcpStream| {
            let (mut peer, mut seen) = (Peer::new(Role::Server, socket, &config), Vec::new());
            while peer.turn() {
                for (id, message) in peer.whole(&mut seen) {
                    thread::sleep(Duration::from_millis(1));
                    echo(&mut peer, id, &message);
                }
            }
        };
        let mut to = h2(serve);
        to.limits.max_connections = 2;
        let proxy = start(which, to);
        let mut client = Peer::client(proxy.connect());
        let ids: Vec<u32> = (0..90).map(|_| client.ask("GET", "/", &[], None)).collect();
        for id in ids {
            assert_eq!(client.wait(id).status, 200);
        }
        assert!(proxy.counters.get(Counter::UpstreamTotal) <= 2);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn the_clients_codec_is_spoken_on_where_the_cluster_says_so() {
    on_both(|which| {
        // A server of both codecs, told apart by the first byte.
        let both = |stream: TcpStream| {
            let mut first = [0; 3];
            let _ = stream.peek(&mut first);
            match &first {
                b"PRI" => server(echo)(stream),
                _ => answer("old")(stream),
            }
        };
        let mut to = h2(both);
        to.protocol = UpstreamProtocol::Downstream;
        let proxy = start(which, to);
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/new", &[], None);
        assert_eq!(client.wait(id).text(), "GET http://x/new|");
        let mut old = proxy.connect();
        old.write_all(b"GET /o HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert_eq!(read_message(&mut old).expect("an answer").1, b"old|GET /o HTTP/1.1|");
        drop(old);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn an_upstream_that_cannot_be_reached_fails_all_who_wait() {
    on_both(|which| {
        let to = Cluster { protocol: UpstreamProtocol::Http2, ..cluster(0, &[nobody()]) };
        let proxy = start(which, to);
        let mut client = Peer::client(proxy.connect());
        let ids: Vec<u32> = (0..50).map(|_| client.ask("GET", "/", &[], None)).collect();
        for id in ids {
            let message = client.wait(id);
            assert_eq!(message.status, 503);
            assert!(message.text().contains("remote connection failure"), "{}", message.text());
        }
        leaves_nothing(proxy, vec![client]);
    });
}

/// GOAWAY in the middle: what the upstream has not looked at goes to another connection, what it
/// has is answered.
#[test]
fn a_farewell_of_the_upstream_loses_nothing() {
    on_both(|which| {
        let serve = |socket: TcpStream| {
            let (mut peer, mut seen, mut served) = (Peer::server(socket), Vec::new(), 0);
            while peer.turn() {
                for (id, message) in peer.whole(&mut seen) {
                    echo(&mut peer, id, &message);
                    served += 1;
                    if served == 7 {
                        peer.connection.drain();
                        peer.flush();
                    }
                }
                if peer.connection.is_drained() {
                    return;
                }
            }
        };
        let proxy = start(which, h2(serve));
        let mut client = Peer::client(proxy.connect());
        for _ in 0..10 {
            let ids: Vec<u32> = (0..20).map(|_| client.ask("GET", "/", &[], None)).collect();
            for id in ids {
                let message = client.wait(id);
                assert_eq!(message.status, 200, "{}", message.text());
            }
        }
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn resets_of_the_upstream() {
    on_both(|which| {
        let counts = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&counts);
        let serve = server(move |peer: &mut Peer, id: u32, message: &Message| {
            let count = counting.fetch_add(1, Ordering::SeqCst);
            match message.line.as_str() {
                "GET http://x/refused" if count.is_multiple_of(2) => {
                    peer.reset(id, ErrorCode::RefusedStream)
                }
                "GET http://x/reset" => peer.reset(id, ErrorCode::InternalError),
                "GET http://x/half" => {
                    peer.begin_answer(id, 200);
                    peer.send(id, b"half", false);
                    peer.reset(id, ErrorCode::InternalError);
                }
                _ => echo(peer, id, message),
            }
        });
        let proxy = start(which, h2(serve));
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/refused", &[], None);
        assert_eq!(client.wait(id).status, 200, "nobody had looked at it");
        assert_eq!(counts.load(Ordering::SeqCst), 2);
        let id = client.ask("GET", "/reset", &[], None);
        let message = client.wait(id);
        assert_eq!(message.status, 503);
        assert!(message.text().contains("remote reset"), "{}", message.text());
        let id = client.ask("GET", "/half", &[], None);
        let message = client.wait(id);
        assert_eq!((message.status, message.reset), (200, Some(ErrorCode::InternalError)));
        let id = client.ask("GET", "/", &[], None);
        assert_eq!(client.wait(id).status, 200);
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 1);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn a_reset_is_retried_where_the_route_says_so() {
    on_both(|which| {
        let counts = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&counts);
        let serve = server(move |peer: &mut Peer, id: u32, message: &Message| {
            match counting.fetch_add(1, Ordering::SeqCst) {
                0 => peer.reset(id, ErrorCode::InternalError),
                1 => peer.answer(id, 503, &[], b"", &[]),
                _ => echo(peer, id, message),
            }
        });
        let retry =
            Retry { retries: 3, on_reset: true, on_status: vec![(503, 503)], ..Retry::default() };
        let terminal = terminal(|forward| forward.retry = Some(retry));
        let proxy = Proxy::start(which, terminal, vec![h2(serve)]);
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/", &[], None);
        assert_eq!(client.wait(id).status, 200);
        assert_eq!(counts.load(Ordering::SeqCst), 3);
        leaves_nothing(proxy, vec![client]);
    });
}

/// As Envoy: where the response's head says how the call has ended.
#[test]
fn a_call_by_grpc_is_retried_by_its_status() {
    on_both(|which| {
        let counts = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&counts);
        let serve = server(move |peer: &mut Peer, id: u32, _: &Message| {
            let status = ["14", "1", "2"][counting.fetch_add(1, Ordering::SeqCst).min(2)];
            peer.answer(id, 200, &[("grpc-status", status)], b"", &[]);
        });
        let retry = Retry { retries: 5, on_grpc: 1 << 14 | 1 << 1, ..Retry::default() };
        let terminal = terminal(|forward| forward.retry = Some(retry));
        let proxy = Proxy::start(which, terminal, vec![h2(serve)]);
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/", &[("content-type", "application/grpc")], None);
        assert_eq!(client.wait(id).field("grpc-status"), Some("2"));
        assert_eq!(counts.load(Ordering::SeqCst), 3);
        leaves_nothing(proxy, vec![client]);
    });
}

/// A client that gives up takes its own stream with it, and no other.
#[test]
fn a_client_gone_gives_up_its_own_request_alone() {
    on_both(|which| {
        let resets = Arc::new(Mutex::new(Vec::new()));
        let noting = Arc::clone(&resets);
        let serve = move |socket: TcpStream| {
            let mut peer = Peer::server(socket);
            while peer.turn() {
                let reset = |(_, message): &(&u32, &Message)| message.reset.is_some();
                let ids: Vec<u32> = peer.messages.iter().filter(reset).map(|(id, _)| *id).collect();
                let open: Vec<u32> = peer.messages.keys().copied().collect();
                noting.lock().expect("resets").clone_from(&ids);
                if !ids.is_empty() {
                    open.iter().for_each(|id| peer.answer(*id, 200, &[], b"rest", &[]));
                }
            }
        };
        let proxy = start(which, h2(serve));
        let (mut gone, mut client) = (Peer::client(proxy.connect()), Peer::client(proxy.connect()));
        gone.ask("GET", "/gone", &[], None);
        let id = client.ask("GET", "/", &[], None);
        thread::sleep(Duration::from_millis(100));
        drop(gone);
        assert_eq!(client.wait(id).text(), "rest");
        assert_eq!(resets.lock().expect("resets").len(), 1);
        assert_eq!(proxy.open_ups(), 1);
        leaves_nothing(proxy, vec![client]);
    });
}

/// Clients that do not read hold their own windows, not that of the connection they share.
#[test]
fn clients_that_do_not_read_starve_nobody_on_a_shared_connection() {
    on_both(|which| {
        let large = vec![b'x'; 4 << 20];
        let serve = move |socket: TcpStream| {
            let (mut peer, mut seen) = (Peer::server(socket), Vec::new());
            while peer.turn() {
                for (id, message) in peer.whole(&mut seen) {
                    if message.line.ends_with("/large") {
                        peer.begin_answer(id, 200);
                        peer.send(id, &large, true);
                    } else {
                        echo(&mut peer, id, &message);
                    }
                }
            }
        };
        let proxy = start(which, h2(serve));
        let mut stalled = Vec::new();
        for _ in 0..12 {
            let mut client = Peer::client(proxy.connect());
            client.consumes = false;
            let id = client.ask("GET", "/large", &[], None);
            client.until(|client| client.messages[&id].body.len() >= 128 * 1024);
            stalled.push(client);
        }
        let mut client = Peer::client(proxy.connect());
        for _ in 0..5 {
            let id = client.ask("POST", "/", &[], Some(&vec![b'y'; 100_000]));
            assert_eq!(client.wait(id).status, 200);
        }
        assert_eq!(proxy.open_ups(), 1, "they share a connection");
        stalled.push(client);
        leaves_nothing(proxy, stalled);
    });
}

/// It accepts connections and says nothing on them.
#[test]
fn an_upstream_that_does_not_greet_is_given_up() {
    on_both(|which| {
        let mut to = h2(|stream: TcpStream| {
            thread::sleep(Duration::from_secs(5));
            drop(stream);
        });
        to.connect_timeout = Duration::from_millis(300);
        let proxy = start(which, to);
        let mut client = Peer::client(proxy.connect());
        let ids: Vec<u32> = (0..20).map(|_| client.ask("GET", "/", &[], None)).collect();
        for id in ids {
            assert_eq!(client.wait(id).status, 503);
        }
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 1);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    on_both(|which| {
        let mut to = h2(server(echo));
        to.idle_timeout = Some(Duration::from_millis(200));
        let proxy = start(which, to);
        let mut client = Peer::client(proxy.connect());
        for _ in 0..3 {
            let id = client.ask("GET", "/", &[], None);
            client.wait(id);
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(proxy.open_ups(), 1);
        proxy.settles(1, 0);
    });
}

#[test]
fn a_changed_cluster_lets_requests_end_on_the_old_connection() {
    on_both(|which| {
        let slow = server(|peer: &mut Peer, id: u32, message: &Message| {
            thread::sleep(Duration::from_millis(300));
            echo(peer, id, message);
        });
        let proxy = start(which, h2(slow));
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/", &[], None);
        thread::sleep(Duration::from_millis(100));
        let other = h2(server(echo));
        proxy.change(|snapshot| snapshot.clusters = vec![Some(Arc::new(other))]);
        assert_eq!(client.wait(id).status, 200);
        proxy.settles(1, 0);
        let id = client.ask("GET", "/", &[], None);
        assert_eq!(client.wait(id).status, 200);
        leaves_nothing(proxy, vec![client]);
    });
}

/// Both sidecars speak HTTP/2 to each other by what TLS agrees on.
#[test]
fn two_sidecars_speak_http_2_over_mutual_tls() {
    on_both(|which| {
        for protocol in [UpstreamProtocol::Http2, UpstreamProtocol::Negotiated] {
            let authority = Authority::new();
            let context = Some(authority.server_of(&[b"h2", b"http/1.1"]));
            let behind = start_with(which, cluster(0, &[upstream(answer("app"))]), context);
            let mut towards = Cluster { protocol, ..cluster(0, &[behind.address]) };
            towards.transport = authority.client_of(SERVER, &[]);
            let front = start(which, towards);
            let mut client = Peer::client(front.connect());
            for length in [0, 10, 5_000, 200_000] {
                let body = vec![b'z'; length];
                let id = client.ask("POST", "/api", &[], Some(&body));
                let message = client.wait(id);
                assert_eq!(message.body.len(), "app|POST /api HTTP/1.1|".len() + length);
            }
            assert_eq!(front.counters.get(Counter::UpstreamHttp2), 1, "{protocol:?}");
            assert_eq!(behind.counters.get(Counter::DownstreamHttp2), 1);
            leaves_nothing(front, vec![client]);
            leaves_nothing(behind, Vec::new());
        }
    });
}

fn start_with(which: Which, to: Cluster, tls: Option<Arc<tls::ServerContext>>) -> Proxy {
    Proxy::start_with(which, terminal(|_| {}), vec![to], tls)
}

#[test]
fn an_upstream_that_does_not_agree_on_http_2_is_spoken_to_as_before() {
    on_both(|which| {
        let authority = Authority::new();
        let context = Some(authority.server_of(&[b"http/1.1"]));
        let behind = start_with(which, cluster(0, &[upstream(answer("app"))]), context);
        let mut towards =
            Cluster { protocol: UpstreamProtocol::Negotiated, ..cluster(0, &[behind.address]) };
        towards.transport = authority.client_of(SERVER, &[]);
        let front = start(which, towards);
        let mut client = Peer::client(front.connect());
        for _ in 0..3 {
            let id = client.ask("GET", "/", &[], None);
            assert_eq!(client.wait(id).text(), "app|GET / HTTP/1.1|");
        }
        assert_eq!(front.counters.get(Counter::UpstreamHttp2), 0);
        assert_eq!(front.counters.get(Counter::UpstreamTotal), 1);
    });
}

/// A call by gRPC: a message each way, and how it went behind the answer.
#[test]
fn trailers_pass_both_ways() {
    on_both(|which| {
        let serve = server(|peer: &mut Peer, id: u32, message: &Message| {
            let asked = message.field("x-asked").unwrap_or("-").to_owned();
            let te = message.field("te").unwrap_or("-").to_owned();
            let told = [("grpc-status", "0"), ("x-asked", &asked), ("x-te", &te)];
            let kind = [("content-type", "application/grpc")];
            match message.line.ends_with("/alone") {
                true => peer.answer(id, 200, &[kind[0], told[0]], b"", &[]),
                false => peer.answer(id, 200, &kind, b"\0\0\0\0\x02ok", &told),
            }
        });
        let proxy = start(which, h2(serve));
        let mut client = Peer::client(proxy.connect());
        let kind = [("content-type", "application/grpc"), ("te", "trailers")];
        for _ in 0..3 {
            let id = client.ask("POST", "/a.B/c", &kind, Some(b"\0\0\0\0\x01x"));
            let message = client.wait(id);
            assert_eq!(message.body, b"\0\0\0\0\x02ok");
            assert_eq!(message.trailers[0], ("grpc-status".to_owned(), "0".to_owned()));
            assert_eq!(message.field("x-te"), Some("trailers"));
        }
        let id = client.ask("POST", "/alone", &kind, Some(b"x"));
        let message = client.wait(id);
        assert!(message.trailers.is_empty() && message.field("grpc-status") == Some("0"));
        let id = client.begin("POST", "/a.B/c", &kind, false);
        client.send(id, b"x", false);
        client.end_with(id, &[("x-asked", "behind")]);
        assert_eq!(client.wait(id).field("x-asked"), Some("behind"));
        // HTTP/1.1 does without them.
        let mut old = proxy.connect();
        old.write_all(b"GET /a.B/c HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert_eq!(read_message(&mut old).expect("an answer").1, b"\0\0\0\0\x02ok");
        drop(old);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn answers_of_our_own_to_grpc_are_such_calls_ends() {
    on_both(|which| {
        let to = Cluster { protocol: UpstreamProtocol::Http2, ..cluster(0, &[nobody()]) };
        let proxy = start(which, to);
        let mut client = Peer::client(proxy.connect());
        for kind in ["application/grpc", "application/grpc+proto"] {
            let id = client.ask("POST", "/a.B/c", &[("content-type", kind)], Some(b"x"));
            let message = client.wait(id);
            assert_eq!((message.status, message.text().as_str()), (200, ""));
            assert_eq!(message.field("content-type"), Some("application/grpc"));
            assert_eq!(message.field("grpc-status"), Some("14"));
            let text = message.field("grpc-message").expect("a message");
            assert!(text.ends_with("reset reason: remote connection failure"), "{text}");
        }
        let id = client.ask("POST", "/", &[("content-type", "application/grpc-web")], Some(b"x"));
        assert_eq!(client.wait(id).status, 503);
        leaves_nothing(proxy, vec![client]);
    });
}
