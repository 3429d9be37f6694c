//! HTTP/1.1 end to end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    Action, FilterKind, HttpFilter, HttpRbac, Permission, Policy, Principal, Retry, Route,
    RouteAction, Rules, Terminal,
};

use super::fixture::{
    Proxy, answer, cluster, echo, forward, manager, nobody, on_both, read_message, route, table,
    upstream,
};
use crate::Counter;

fn to(cluster: u32) -> Route {
    route("/", RouteAction::Forward(forward(&[(cluster, 1)])))
}

fn http(routes: Vec<Route>) -> Terminal {
    Terminal::Http(Arc::new(manager(routes)))
}

fn ask(client: &mut TcpStream, request: &str) -> (String, String) {
    client.write_all(request.as_bytes()).expect("sent");
    let (head, body) = read_message(client).expect("an answer");
    (head, String::from_utf8(body).expect("text"))
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn requests_are_answered_over_kept_connections() {
    on_both(|which| {
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = proxy.connect();
        for number in 0..50 {
            let (head, body) =
                ask(&mut client, &format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(status(&head), "200");
            assert_eq!(body, format!("a|GET /{number} HTTP/1.1|"));
        }
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 1, "one connection serves all");
        drop(client);
        proxy.settles(0, 1);
    });
}

#[test]
fn bodies_pass_unchanged_in_both_framings() {
    on_both(|which| {
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = proxy.connect();
        let (_, body) =
            ask(&mut client, "POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(body, "a|POST /l HTTP/1.1|hello");
        let (_, body) =
            ask(&mut client, "POST /n HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(body, "a|POST /n HTTP/1.1|");
        let chunked = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nfoo\r\n4;ext=1\r\nbarr\r\n0\r\n\r\n";
        let (_, body) = ask(&mut client, chunked);
        assert_eq!(body, "a|POST /c HTTP/1.1|foobarr");
        let long = "y".repeat(300_000);
        let request =
            format!("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n{long}");
        let (_, body) = ask(&mut client, &request);
        assert_eq!(body.len(), "a|POST /b HTTP/1.1|".len() + 300_000);
        assert!(body.ends_with(&long));
    });
}

#[test]
fn a_request_in_single_bytes_is_understood() {
    on_both(|which| {
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = proxy.connect();
        client.set_nodelay(true).expect("no delay");
        for byte in b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok" {
            client.write_all(&[*byte]).expect("sent");
            std::thread::sleep(Duration::from_millis(1));
        }
        let (_, body) = read_message(&mut client).expect("an answer");
        assert_eq!(body, b"a|POST /s HTTP/1.1|ok");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    on_both(|which| {
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = proxy.connect();
        let all: String =
            (0..200).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
        client.write_all(all.as_bytes()).expect("sent");
        for number in 0..200 {
            let (_, body) = read_message(&mut client).expect("an answer");
            assert_eq!(body, format!("a|GET /{number} HTTP/1.1|").as_bytes());
        }
        client.set_nonblocking(true).expect("nonblocking");
        assert!(client.read(&mut [0; 1]).is_err(), "nothing follows the last answer");
    });
}

#[test]
fn malformed_requests_are_refused_and_closed() {
    on_both(|which| {
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(answer("a"))])]);
        let cases = [
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
            "NONSENSE\r\n\r\n",
        ];
        for case in cases {
            let mut client = proxy.connect();
            let (head, _) = ask(&mut client, case);
            assert_eq!(status(&head), "400", "{case:?}");
            assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
            assert_eq!(client.read(&mut [0; 1]).expect("an end"), 0, "{case:?}");
        }
        proxy.settles(0, 0);
        assert_eq!(proxy.counters.get(Counter::RequestMalformed), cases.len() as u64);
    });
}

#[test]
fn weights_share_the_requests() {
    on_both(|which| {
        let action = RouteAction::Forward(forward(&[(0, 90), (1, 10)]));
        let clusters =
            vec![cluster(0, &[upstream(answer("v1"))]), cluster(1, &[upstream(answer("v2"))])];
        let proxy = Proxy::start(which, http(vec![route("/", action)]), clusters);
        let mut client = proxy.connect();
        let second = (0..2000)
            .filter(|_| {
                let (_, body) = ask(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                body.starts_with("v2")
            })
            .count();
        // Five standard deviations of a fair draw around 200.
        assert!((133..=267).contains(&second), "{second} of 2000 went to the tenth");
    });
}

#[test]
fn a_changed_route_holds_for_the_next_request() {
    on_both(|which| {
        let clusters =
            vec![cluster(0, &[upstream(answer("old"))]), cluster(1, &[upstream(answer("new"))])];
        let mut named = manager(vec![]);
        named.routes = config::snapshot::Routes::Named("r".into());
        let proxy = Proxy::start(which, Terminal::Http(Arc::new(named)), clusters);
        proxy.change(|snapshot| {
            snapshot.routes.insert("r".into(), table(vec![to(0)]));
        });
        let mut client = proxy.connect();
        let asked = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        while status(&ask(&mut client, asked).0) == "404" {}
        assert!(ask(&mut client, asked).1.starts_with("old"));
        proxy.change(|snapshot| {
            snapshot.routes.insert("r".into(), table(vec![to(1)]));
        });
        let changed = (0..1000).any(|_| ask(&mut client, asked).1.starts_with("new"));
        assert!(changed, "the same connection never saw the new route");
    });
}

#[test]
fn a_new_policy_judges_the_next_request_of_an_old_connection() {
    on_both(|which| {
        let clusters = vec![cluster(0, &[upstream(answer("a"))])];
        let proxy = Proxy::start(which, http(vec![to(0)]), clusters);
        let mut client = proxy.connect();
        let asked = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(status(&ask(&mut client, asked).0), "200");
        let mut refusing = manager(vec![to(0)]);
        let deny = FilterKind::Rbac(Arc::new(deny_all()));
        refusing.filters = vec![HttpFilter::new("rbac", deny)].into();
        proxy.change(|snapshot| {
            let old = &snapshot.listeners[0];
            let bound = old.bound.clone().expect("bound");
            let terminal = Terminal::Http(Arc::new(refusing));
            let new = super::fixture::listener(old.address, bound, terminal);
            snapshot.listeners = vec![Arc::new(new)];
        });
        let refused = (0..1000).find_map(|_| {
            let (head, body) = ask(&mut client, asked);
            (status(&head) == "403").then_some(body)
        });
        assert_eq!(refused.as_deref(), Some("RBAC: access denied"));
    });
}

fn deny_all() -> HttpRbac {
    let policy = Policy {
        name: "nobody".into(),
        permissions: vec![Permission::Any],
        principals: vec![Principal::Any],
    };
    let rules = Rules { action: Action::Deny, policies: vec![policy] };
    HttpRbac { name: "rbac".into(), rules: Some(rules) }
}

#[test]
fn answers_of_our_own_have_their_reasons() {
    on_both(|which| {
        let refused = nobody();
        let routes = vec![
            route("/refused", RouteAction::Forward(forward(&[(0, 1)]))),
            route("/empty", RouteAction::Forward(forward(&[(1, 1)]))),
            route("/missing", RouteAction::Forward(forward(&[(9, 1)]))),
            route("/direct", RouteAction::Direct { status: 418, body: (*b"short").into() }),
        ];
        let clusters = vec![cluster(0, &[refused]), cluster(1, &[])];
        let proxy = Proxy::start(which, http(routes), clusters);
        let mut client = proxy.connect();
        for (path, expected) in [
            ("/refused", "503"),
            ("/empty", "503"),
            ("/missing", "503"),
            ("/none", "404"),
            ("/direct", "418"),
        ] {
            let (head, _) = ask(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(status(&head), expected, "{path}");
        }
        let (head, body) = ask(&mut client, "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(head.to_ascii_lowercase().contains("server: envoy"), "{head}");
        assert_eq!(body, "no healthy upstream");
        drop(client);
        proxy.settles(0, 0);
    });
}

#[test]
fn a_slow_upstream_is_answered_for() {
    on_both(|which| {
        let silent = |mut stream: TcpStream| {
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let mut slow = forward(&[(0, 1)]);
        slow.timeout = Some(Duration::from_millis(100));
        let routes = vec![route("/", RouteAction::Forward(slow))];
        let proxy = Proxy::start(which, http(routes), vec![cluster(0, &[upstream(silent)])]);
        let mut client = proxy.connect();
        let (head, body) = ask(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((status(&head), body.as_str()), ("504", "upstream request timeout"));
        proxy.settles(1, 0);
    });
}

#[test]
fn a_stale_pooled_connection_costs_no_request() {
    on_both(|which| {
        // Serves one request a connection and then closes without a word.
        let once = |mut stream: TcpStream| {
            if read_message(&mut stream).is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        };
        let proxy = Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(once)])]);
        let mut client = proxy.connect();
        for number in 0..100 {
            let (head, body) = ask(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!((status(&head), body.as_str()), ("200", "ok"), "request {number}");
        }
    });
}

#[test]
fn a_failed_host_is_retried_where_the_route_says_so() {
    on_both(|which| {
        let refused = nobody();
        let mut patient = forward(&[(0, 1)]);
        let retry = Retry { retries: 2, on_connect_failure: true, ..Retry::default() };
        patient.retry = Some(retry);
        let routes = vec![route("/", RouteAction::Forward(patient))];
        let hosts = [refused, upstream(answer("a"))];
        let proxy = Proxy::start(which, http(routes), vec![cluster(0, &hosts)]);
        let mut client = proxy.connect();
        for _ in 0..20 {
            let (head, _) = ask(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(status(&head), "200");
        }
        assert!(proxy.counters.get(Counter::UpstreamRetry) >= 5);
    });
}

#[test]
fn a_response_without_length_is_chunked_for_the_client() {
    on_both(|which| {
        let until_close = |mut stream: TcpStream| {
            if read_message(&mut stream).is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
            }
        };
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(until_close)])]);
        let mut client = proxy.connect();
        for _ in 0..3 {
            let (head, body) = ask(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
            assert_eq!(body, "until the end");
        }
    });
}

#[test]
fn an_upgraded_connection_passes_bytes_both_ways() {
    on_both(|which| {
        let switching = |mut stream: TcpStream| {
            let (head, _) = read_message(&mut stream).expect("a request");
            assert!(head.to_ascii_lowercase().contains("upgrade: websocket"), "{head}");
            let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                          upgrade: websocket\r\n\r\n";
            stream.write_all(answer.as_bytes()).expect("answered");
            echo(stream);
        };
        let proxy =
            Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(switching)])]);
        let mut client = proxy.connect();
        let request =
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let (head, _) = ask(&mut client, request);
        assert_eq!(status(&head), "101");
        for text in ["ping", "a longer message", "bye"] {
            client.write_all(text.as_bytes()).expect("sent");
            let mut back = vec![0; text.len()];
            client.read_exact(&mut back).expect("echoed");
            assert_eq!(back, text.as_bytes());
        }
        drop(client);
        proxy.settles(0, 0);
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    on_both(|which| {
        let silent = |mut stream: TcpStream| {
            let _ = stream.read_to_end(&mut Vec::new());
        };
        let proxy = Proxy::start(which, http(vec![to(0)]), vec![cluster(0, &[upstream(silent)])]);
        let beginnings = [
            "",
            "GET / HT",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        ];
        for beginning in beginnings.iter().cycle().take(40) {
            let mut client = proxy.connect();
            client.write_all(beginning.as_bytes()).expect("sent");
            drop(client);
        }
        for _ in 0..10 {
            let mut client = proxy.connect();
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            std::thread::sleep(Duration::from_millis(5));
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a reset");
        }
        proxy.settles(0, 0);
    });
}
