//! Peers that break the rules, leave half way, or stall: nobody else may notice.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use config::snapshot::{Retry, Route, RouteAction, Terminal};

use super::fixture::{
    Proxy, answer, cluster, echo, forward, manager, on_both, read_message, route, upstream,
};

fn http(routes: Vec<Route>) -> Terminal {
    Terminal::Http(Arc::new(manager(routes)))
}

fn to(cluster: u32) -> Route {
    route("/", RouteAction::Forward(forward(&[(cluster, 1)])))
}

/// A proxy before one upstream.
fn before(which: ring::start::Which, host: SocketAddr) -> Proxy {
    Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[host])])
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn ask(client: &mut TcpStream, request: &str) -> (String, String) {
    client.write_all(request.as_bytes()).expect("sent");
    let (head, body) = read_message(client).expect("an answer");
    (head, String::from_utf8(body).expect("text"))
}

fn rest_of(client: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // An end or a reset: what came before it counts.
    let _ = client.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

/// One connection serves all. What an upstream says behind an answer must not become the answer of
/// the request that waits for that connection.
#[test]
fn bytes_behind_an_answer_answer_nobody() {
    for first in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
    {
        on_both(|which| {
            let poisoned = move |mut stream: TcpStream| {
                while let Some((head, _)) = read_message(&mut stream) {
                    if head.starts_with("GET /first") {
                        thread::sleep(Duration::from_millis(150));
                        let _ = stream.write_all(format!("{first}{EVIL}").as_bytes());
                    } else {
                        let fine = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
                        let _ = stream.write_all(fine);
                    }
                }
            };
            let mut single = cluster(0, &[upstream(poisoned)]);
            single.limits.max_connections = 1;
            let proxy = Proxy::start(which, http(vec![to(0)]), vec![single]);
            let (mut one, mut other) = (proxy.connect(), proxy.connect());
            one.write_all(get("/first").as_bytes()).expect("sent");
            thread::sleep(Duration::from_millis(50));
            assert_eq!(ask(&mut other, &get("/second")).1, "fine", "{first:?}");
        });
    }
}

#[test]
fn an_answer_goes_out_in_the_clients_version() {
    on_both(|which| {
        let old = |mut stream: TcpStream| {
            if read_message(&mut stream).is_some() {
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nold");
            }
        };
        let proxy = before(which, upstream(old));
        let mut client = proxy.connect();
        let (head, body) = ask(&mut client, &get("/"));
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, "old");
    });
}

#[test]
fn a_tunnel_outlives_the_time_of_its_route() {
    on_both(|which| {
        let switching = |mut stream: TcpStream| {
            let _ = read_message(&mut stream);
            let _ = stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                  upgrade: websocket\r\n\r\n",
            );
            echo(stream);
        };
        let mut short = forward(&[(0, 1)]);
        short.timeout = Some(Duration::from_millis(200));
        short.retry = Some(Retry {
            retries: 1,
            on_reset: true,
            per_try_timeout: Some(Duration::from_millis(200)),
            ..Retry::default()
        });
        let routes = vec![route("/", RouteAction::Forward(short))];
        let proxy = Proxy::start(which, http(routes), vec![cluster(0, &[upstream(switching)])]);
        let mut client = proxy.connect();
        let asked =
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        // What the client says early is for the other protocol, and arrives.
        let (head, _) = ask(&mut client, &format!("{asked}early"));
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        thread::sleep(Duration::from_millis(500));
        client.write_all(b" and late").expect("sent");
        let mut back = [0; 14];
        client.read_exact(&mut back).expect("echoed");
        assert_eq!(&back, b"early and late");
    });
}

#[test]
fn early_bytes_of_a_refused_upgrade_are_no_request() {
    on_both(|which| {
        let (seen, sees) = mpsc::channel();
        let refusing = move |mut stream: TcpStream| {
            while let Some((head, _)) = read_message(&mut stream) {
                let _ = seen.send(head.lines().next().unwrap_or_default().to_owned());
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
            }
        };
        let proxy = before(which, upstream(refusing));
        let mut client = proxy.connect();
        let asked =
            "GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        client.write_all(format!("{asked}{}", get("/evil")).as_bytes()).expect("sent");
        let all = rest_of(&mut client);
        assert_eq!(all.matches("HTTP/1.1 403").count(), 1, "{all}");
        assert!(all.contains("connection: close"), "{all}");
        proxy.settles(0, 1);
        assert_eq!(sees.try_iter().collect::<Vec<_>>(), ["GET /a HTTP/1.1"]);
    });
}

#[test]
fn a_switch_before_the_body_is_whole_is_refused() {
    on_both(|which| {
        let hasty = |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                  upgrade: websocket\r\n\r\n",
            );
            echo(stream);
        };
        let proxy = before(which, upstream(hasty));
        let mut client = proxy.connect();
        let asked = "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Content-Length: 10\r\n\r\nhalf";
        assert!(ask(&mut client, asked).0.starts_with("HTTP/1.1 502"));
        drop(client);
        proxy.settles(0, 0);
    });
}

/// An answer that has begun cannot be begun again, whatever the retry policy says.
#[test]
fn an_answer_that_has_begun_is_not_retried() {
    on_both(|which| {
        let stalling = |mut stream: TcpStream| {
            let _ = read_message(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun");
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let mut eager = forward(&[(0, 1)]);
        eager.retry = Some(Retry {
            retries: 3,
            on_reset: true,
            per_try_timeout: Some(Duration::from_millis(100)),
            ..Retry::default()
        });
        let routes = vec![route("/", RouteAction::Forward(eager))];
        let proxy = Proxy::start(which, http(routes), vec![cluster(0, &[upstream(stalling)])]);
        let mut client = proxy.connect();
        client.write_all(get("/").as_bytes()).expect("sent");
        let all = rest_of(&mut client);
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{all}");
        assert!(all.ends_with("begun"), "{all}");
        proxy.settles(0, 0);
    });
}

/// Reads a request, counts it, and leaves without an answer when it is the connection's second.
fn forgetful(asked: Arc<AtomicUsize>) -> SocketAddr {
    upstream(move |mut stream: TcpStream| {
        for at in 0..2 {
            if read_message(&mut stream).is_none() {
                return;
            }
            asked.fetch_add(1, Ordering::SeqCst);
            if at == 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    })
}

/// RFC 9110, 9.2.2: what may have been done is not asked for a second time by a proxy.
#[test]
fn only_safe_requests_are_repeated_on_a_stale_connection() {
    on_both(|which| {
        for (method, expected, times) in [("POST", "503", 2), ("GET", "200", 3)] {
            let asked = Arc::new(AtomicUsize::new(0));
            let proxy = before(which, forgetful(Arc::clone(&asked)));
            let mut client = proxy.connect();
            assert!(ask(&mut client, &get("/")).0.starts_with("HTTP/1.1 200"));
            let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            let (head, _) = ask(&mut client, &request);
            assert!(head.starts_with(&format!("HTTP/1.1 {expected}")), "{method}: {head}");
            assert_eq!(asked.load(Ordering::SeqCst), times, "{method}");
        }
    });
}

#[test]
fn half_a_request_is_not_waited_for_without_end() {
    on_both(|which| {
        let mut hasty = manager(vec![to(0)]);
        hasty.stream_idle_timeout = Some(Duration::from_millis(200));
        let terminal = Terminal::Http(Arc::new(hasty));
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(answer("a"))])]);
        for half in [
            "G",
            "GET / HTTP/1.1\r\nHo",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx",
        ] {
            let mut client = proxy.connect();
            let (head, _) = ask(&mut client, half);
            assert!(head.starts_with("HTTP/1.1 408"), "{half:?}: {head}");
            assert_eq!(rest_of(&mut client), "", "{half:?}");
        }
        proxy.settles(0, 0);
    });
}

#[test]
fn nonsense_in_pieces_is_refused_at_once() {
    on_both(|which| {
        let proxy = before(which, upstream(answer("a")));
        let mut client = proxy.connect();
        client.set_nodelay(true).expect("no delay");
        for piece in [b"\x16", b"\x03"] {
            let _ = client.write_all(piece);
            thread::sleep(Duration::from_millis(20));
        }
        assert!(rest_of(&mut client).starts_with("HTTP/1.1 400"));
        let mut client = proxy.connect();
        client.write_all(b"GE").expect("sent");
        thread::sleep(Duration::from_millis(20));
        client.write_all(b"\x01\x02").expect("sent");
        assert!(rest_of(&mut client).starts_with("HTTP/1.1 400"));
    });
}

/// An answer that comes before the request is whole reaches the client, and the connection, on
/// which nobody knows any more where the next request begins, ends.
#[test]
fn an_early_answer_ends_the_connection() {
    on_both(|which| {
        let early = |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nno!");
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let proxy = before(which, upstream(early));
        let mut client = proxy.connect();
        let half = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf";
        let (head, body) = ask(&mut client, half);
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert_eq!(body, "no!");
        assert_eq!(rest_of(&mut client), "");
        proxy.settles(0, 0);
    });
}

#[test]
fn interim_answers_are_dropped_and_the_final_one_comes() {
    on_both(|which| {
        let chatty = |mut stream: TcpStream| {
            while read_message(&mut stream).is_some() {
                for _ in 0..50 {
                    let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        };
        let proxy = before(which, upstream(chatty));
        let mut client = proxy.connect();
        for _ in 0..10 {
            let (head, body) = ask(&mut client, &get("/"));
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert_eq!(body, "ok");
        }
    });
}

/// An answer without a body, whatever its head says of one, is followed by the next answer.
#[test]
fn answers_without_a_body_end_with_their_head() {
    on_both(|which| {
        let bare = |mut stream: TcpStream| {
            while let Some((head, _)) = read_message(&mut stream) {
                let answer: &[u8] = match head.split(' ').nth(1) {
                    Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n",
                    Some("/304") => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
                    _ => b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
                };
                let _ = stream.write_all(answer);
            }
        };
        let proxy = before(which, upstream(bare));
        let mut client = proxy.connect();
        let all = "GET /204 HTTP/1.1\r\nHost: x\r\n\r\nGET /304 HTTP/1.1\r\nHost: x\r\n\r\n\
                   HEAD /h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        client.write_all(all.as_bytes()).expect("sent");
        let text = rest_of(&mut client);
        let statuses: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).collect();
        assert_eq!(statuses, ["204 No Content", "304 Not Modified", "200 OK"], "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    });
}

/// As in Envoy: half a connection is none.
#[test]
fn a_client_that_ends_its_side_ends_its_request() {
    on_both(|which| {
        let silent = |mut stream: TcpStream| {
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let proxy = before(which, upstream(silent));
        let mut client = proxy.connect();
        client.write_all(get("/").as_bytes()).expect("sent");
        thread::sleep(Duration::from_millis(50));
        client.shutdown(Shutdown::Write).expect("finished");
        assert_eq!(rest_of(&mut client), "");
        proxy.settles(0, 0);
    });
}
