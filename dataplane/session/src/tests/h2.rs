//! Clients by HTTP/2, upstreams by HTTP/1.1.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{Codec, HttpManager, Route, RouteAction, Terminal};
use ring::start::Which;
use wire::h2::{ErrorCode, PREFACE};

use super::fixture::{
    Proxy, answer, cluster, forward, manager, nobody, on_both, read_message, route, skip, upstream,
};
use super::peer::Peer;
use crate::Counter;

fn routes() -> Vec<Route> {
    vec![
        route("/direct", RouteAction::Direct { status: 200, body: b"direct"[..].into() }),
        route("/", RouteAction::Forward(forward(&[(0, 1)]))),
    ]
}

fn with(change: impl FnOnce(&mut HttpManager)) -> Terminal {
    let mut manager = manager(routes());
    change(&mut manager);
    Terminal::Http(Arc::new(manager))
}

fn start(which: Which, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Proxy {
    Proxy::start(which, with(|_| {}), vec![cluster(0, &[upstream(serve)])])
}

/// Nothing is left of streams, connections of clients and buffers.
fn leaves_nothing(proxy: Proxy, clients: Vec<Peer>) {
    drop(clients);
    for _ in 0..500 {
        let open = proxy.counters.get(Counter::DownstreamTotal)
            - proxy.counters.get(Counter::DownstreamClosed);
        if open == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(50));
    let left = proxy.finish();
    assert_eq!((left.downs, left.streams), (0, 0), "{left:?}");
}

#[test]
fn requests_by_http_2_reach_an_upstream_of_http_1() {
    on_both(|which| {
        let proxy = start(which, answer("a"));
        let mut client = Peer::client(proxy.connect());
        for number in 0..20 {
            let id = client.ask("GET", &format!("/{number}"), &[], None);
            let message = client.wait(id);
            assert_eq!(message.status, 200);
            assert_eq!(message.text(), format!("a|GET /{number} HTTP/1.1|"));
            assert_eq!(message.field("x-name"), Some("a"));
            assert_eq!(message.field("server"), Some("envoy"));
            assert_eq!(message.field("connection"), None);
        }
        let id = client.ask("POST", "/p", &[], Some(b"hello"));
        assert_eq!(client.wait(id).text(), "a|POST /p HTTP/1.1|hello");
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 1, "one connection serves all");
        assert_eq!(proxy.counters.get(Counter::DownstreamHttp2), 1);
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn many_streams_over_a_slow_upstream() {
    on_both(|which| {
        let slow = |mut stream: TcpStream| {
            while let Some((head, _)) = read_message(&mut stream) {
                thread::sleep(Duration::from_millis(20));
                let line = head.lines().next().unwrap_or_default().to_owned();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", line.len());
                let _ = stream.write_all(format!("{head}{line}").as_bytes());
            }
        };
        let proxy = start(which, slow);
        let mut client = Peer::client(proxy.connect());
        let ids: Vec<u32> =
            (0..90).map(|n| client.ask("GET", &format!("/{n}"), &[], None)).collect();
        for (number, id) in ids.into_iter().enumerate() {
            assert_eq!(client.wait(id).text(), format!("GET /{number} HTTP/1.1"));
        }
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn bodies_pass_unchanged_both_ways_beyond_every_window() {
    on_both(|which| {
        let proxy = start(which, answer("a"));
        let mut client = Peer::client(proxy.connect());
        let long: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let id = client.ask("POST", "/b", &[], Some(&long));
        let other = client.ask("POST", "/c", &[], Some(b"small"));
        assert_eq!(client.wait(other).text(), "a|POST /c HTTP/1.1|small");
        let message = client.wait(id);
        assert!(message.body.ends_with(&long), "{} bytes", message.body.len());
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn a_connection_in_single_bytes_is_understood() {
    on_both(|which| {
        let proxy = start(which, answer("a"));
        let mut client = Peer::client(proxy.connect());
        client.socket.set_nodelay(true).expect("no delay");
        let head = super::peer::request("GET", "/s", &[]);
        let id = client.connection.send_request(&head, true, 0).expect("a stream");
        let bytes = client.connection.output().to_vec();
        client.connection.clear_output();
        for byte in bytes {
            client.socket.write_all(&[byte]).expect("sent");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.wait(id).text(), "a|GET /s HTTP/1.1|");
    });
}

#[test]
fn answers_of_our_own() {
    on_both(|which| {
        let proxy = Proxy::start(which, with(|_| {}), vec![cluster(0, &[nobody()])]);
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/direct", &[], None);
        assert_eq!(client.wait(id).text(), "direct");
        let id = client.ask("HEAD", "/direct", &[], None);
        let message = client.wait(id);
        assert_eq!((message.status, message.text().len()), (200, 0));
        assert_eq!(message.field("content-length"), Some("6"));
        let id = client.ask("GET", "/x", &[], None);
        let message = client.wait(id);
        assert_eq!(message.status, 503);
        assert!(message.text().contains("reset reason: remote connection failure"));
        // An answer before the request is whole: the rest is not wanted.
        let id = client.begin("POST", "/direct", &[], false);
        client.until(|client| client.messages[&id].reset.is_some());
        let message = &client.messages[&id];
        assert_eq!((message.text().as_str(), message.reset), ("direct", Some(ErrorCode::NoError)));
        let long = "x".repeat(70_000);
        let id = client.ask("GET", "/", &[("x-long", &long)], None);
        assert_eq!(client.wait(id).status, 431);
        let id = client.ask("GET", "/direct", &[], None);
        assert_eq!(client.wait(id).text(), "direct", "the connection goes on");
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn a_reset_lets_go_of_the_upstream() {
    on_both(|which| {
        let silent = |mut stream: TcpStream| {
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let proxy = start(which, silent);
        let mut client = Peer::client(proxy.connect());
        let ids: Vec<u32> = (0..30).map(|_| client.ask("GET", "/", &[], None)).collect();
        proxy.settles(1, 30);
        ids.into_iter().for_each(|id| client.reset(id, ErrorCode::Cancel));
        proxy.settles(1, 0);
        let id = client.ask("GET", "/direct", &[], None);
        assert_eq!(client.wait(id).text(), "direct");
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn a_client_gone_in_the_middle_lets_go_of_everything() {
    on_both(|which| {
        let endless = |mut stream: TcpStream| {
            let _ = read_message(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 10_000]).is_ok() {}
        };
        let proxy = start(which, endless);
        let mut client = Peer::client(proxy.connect());
        let ids: Vec<u32> = (0..10).map(|_| client.ask("GET", "/", &[], None)).collect();
        client.until(|client| ids.iter().all(|id| client.messages[id].body.len() > 50_000));
        drop(client);
        proxy.settles(0, 0);
        leaves_nothing(proxy, Vec::new());
    });
}

/// A stream that is not consumed fills its window and no more; others go on.
#[test]
fn a_stream_that_is_not_read_starves_nobody_and_is_bounded() {
    on_both(|which| {
        let endless = |mut stream: TcpStream| {
            let _ = read_message(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 10_000]).is_ok() {}
        };
        let proxy = start(which, endless);
        let mut client = Peer::client(proxy.connect());
        client.consumes = false;
        let id = client.ask("GET", "/", &[], None);
        client.until(|client| client.messages[&id].body.len() >= 128 * 1024);
        for _ in 0..20 {
            let other = client.ask("GET", "/direct", &[], None);
            assert_eq!(client.wait(other).text(), "direct");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(client.messages[&id].body.len(), 128 * 1024, "a window's worth");
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn an_upstream_that_breaks_off_is_seen_as_that() {
    on_both(|which| {
        let half = |mut stream: TcpStream| {
            let _ = read_message(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        };
        let proxy = start(which, half);
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/", &[], None);
        let message = client.wait(id);
        assert_eq!(message.status, 200);
        assert_eq!(message.reset, Some(ErrorCode::InternalError));
        let id = client.ask("GET", "/direct", &[], None);
        assert_eq!(client.wait(id).text(), "direct", "other streams go on");
        leaves_nothing(proxy, vec![client]);
    });
}

#[test]
fn a_drain_is_announced_and_loses_nothing() {
    on_both(|which| {
        let slow = |mut stream: TcpStream| {
            while read_message(&mut stream).is_some() {
                thread::sleep(Duration::from_millis(1_500));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        };
        let proxy = start(which, slow);
        let (mut client, mut idle) = (Peer::client(proxy.connect()), Peer::client(proxy.connect()));
        let id = client.ask("GET", "/direct", &[], None);
        client.wait(id);
        let id = idle.ask("GET", "/direct", &[], None);
        idle.wait(id);
        let id = client.ask("GET", "/", &[], None);
        thread::sleep(Duration::from_millis(100));
        proxy.drain();
        assert!(client.until(|client| client.gone_away.is_some()));
        assert_eq!(client.gone_away, Some(((1 << 31) - 1, ErrorCode::NoError)));
        assert_eq!(client.wait(id).text(), "ok", "what was under way is answered");
        assert_eq!(client.gone_away, Some((id, ErrorCode::NoError)));
        assert!(!client.until(|_| false), "it is closed then");
        assert!(!idle.until(|_| false));
        assert!(idle.gone_away.is_some());
        let begun = Instant::now();
        while !proxy.has_finished() {
            assert!(begun.elapsed() < Duration::from_secs(5), "the worker does not finish");
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn idle_connections_end_with_a_farewell() {
    on_both(|which| {
        let terminal = with(|manager| manager.idle_timeout = Some(Duration::from_millis(200)));
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[nobody()])]);
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/direct", &[], None);
        client.wait(id);
        assert!(!client.until(|_| false));
        assert_eq!(client.gone_away, Some((id, ErrorCode::NoError)));
        proxy.settles(0, 0);
    });
}

#[test]
fn the_codec_is_what_the_manager_says() {
    on_both(|which| {
        let only = |codec| {
            let terminal = with(|manager| manager.codec = codec);
            Proxy::start(which, terminal, vec![cluster(0, &[nobody()])])
        };
        let proxy = only(Codec::Http1);
        let mut client = proxy.connect();
        client.write_all(PREFACE).expect("sent");
        let (head, _) = read_message(&mut client).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 400") || head.starts_with("HTTP/1.1 426"), "{head}");
        let proxy = only(Codec::Http2);
        let mut client = proxy.connect();
        client.write_all(b"GET /direct HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
        let mut bytes = Vec::new();
        let _ = client.read_to_end(&mut bytes);
        assert!(!bytes.starts_with(b"HTTP/1.1"), "{bytes:?}");
        // PUT, PATCH and POST begin like the preface.
        let proxy = only(Codec::Auto);
        let mut client = proxy.connect();
        client.set_nodelay(true).expect("no delay");
        for byte in b"PUT /direct HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" {
            client.write_all(&[*byte]).expect("sent");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(read_message(&mut client).expect("an answer").1, b"direct");
    });
}

/// A flood ends its connection and leaves nothing; others do not notice.
#[test]
fn floods_are_told_to_calm_down() {
    on_both(|which| {
        let silent = |mut stream: TcpStream| {
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let proxy = start(which, silent);
        // Rapid reset.
        let mut client = Peer::client(proxy.connect());
        for _ in 0..2_000 {
            let head = super::peer::request("GET", "/", &[]);
            let Ok(id) = client.connection.send_request(&head, true, 0) else { break };
            client.connection.reset(id, ErrorCode::Cancel);
            client.flush();
        }
        client.until(|client| client.gone_away.is_some_and(|(_, e)| e != ErrorCode::NoError));
        let error = client.gone_away.map(|(_, error)| error);
        assert!(error == Some(ErrorCode::EnhanceYourCalm) || client.is_closed, "{error:?}");
        // Pings whose answers nobody reads.
        let mut pinging = Peer::client(proxy.connect());
        for _ in 0..200_000 {
            pinging.connection.ping(*b"12345678");
            pinging.flush();
            if pinging.is_closed {
                break;
            }
        }
        let mut other = Peer::client(proxy.connect());
        let id = other.ask("GET", "/direct", &[], None);
        assert_eq!(other.wait(id).text(), "direct");
        proxy.settles_down(1 + u64::from(!pinging.is_closed));
        leaves_nothing(proxy, vec![client, pinging, other]);
    });
}

fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            skip(tool, &error.to_string());
            None
        }
    }
}

#[test]
fn curl_and_nghttp_are_served() {
    let proxy = start(Which::Epoll, answer("a"));
    let url = format!("http://{}/c", proxy.address);
    if let Some(text) = run("curl", &["-s", "--http2-prior-knowledge", "-d", "body", &url]) {
        assert_eq!(text, "a|POST /c HTTP/1.1|body");
    }
    if let Some(text) = run("nghttp", &["-m", "20", &url]) {
        assert_eq!(text.matches("a|GET /c HTTP/1.1|").count(), 20, "{text}");
    }
    if let Some(text) = run("h2load", &["-n", "2000", "-c", "4", "-m", "20", &url]) {
        assert!(text.contains("2000 succeeded, 0 failed"), "{text}");
    }
}
