//! Clusters that requests name, copies of requests, and limits of time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use config::snapshot::*;
use ring::start::Which;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, nobody, on_both, read_message, route, upstream,
};
use super::peer::{Peer, server};
use crate::counters::Counter;

fn http(forward: Forward) -> Terminal {
    Terminal::Http(Arc::new(manager(vec![route("/", RouteAction::Forward(forward))])))
}

fn ask(client: &mut TcpStream, request: &str) -> (String, String) {
    client.write_all(request.as_bytes()).expect("sent");
    let (head, body) = read_message(client).expect("an answer");
    (head, String::from_utf8(body).expect("text"))
}

fn get(proxy: &Proxy, fields: &str) -> (String, String) {
    ask(&mut proxy.connect(), &format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
}

#[test]
fn a_request_names_its_cluster() {
    on_both(|which| {
        let own = OfCluster { named_by: Some(b"x-to".as_slice().into()), ..OfCluster::default() };
        let named = Weighted::plain("".into(), ClusterId::NOBODY, 1);
        let mut by_name = forward(&[]);
        by_name.clusters = vec![Weighted { own: Some(Arc::new(own)), ..named }];
        (by_name.total_weight, by_name.cluster_not_found) = (1, 404);
        let hosts = ["a", "b"].map(|name| upstream(answer(name)));
        let clusters = vec![cluster(0, &hosts[..1]), cluster(1, &hosts[1..])];
        let proxy = Proxy::start(which, http(by_name), clusters);
        assert!(get(&proxy, "x-to: cluster-0\r\n").1.starts_with("a|"));
        assert!(get(&proxy, "x-to: cluster-1\r\nx-to: cluster-0\r\n").1.starts_with("b|"));
        for fields in ["x-to: cluster-2\r\n", ""] {
            assert!(get(&proxy, fields).0.starts_with("HTTP/1.1 404 "), "{fields}");
        }
        proxy.settles(0, 2);
    });
}

/// What one upstream was sent, message by message.
type Seen = Receiver<(String, Vec<u8>)>;

/// Tells what it is sent, and answers each with a length of 2 and no body: nobody waits for more.
fn witness() -> (std::net::SocketAddr, Seen) {
    let (told, seen) = channel();
    let told = Arc::new(Mutex::new(told));
    let serve = move |mut stream: TcpStream| {
        while let Some(message) = read_message(&mut stream) {
            let told: Sender<_> = told.lock().expect("told").clone();
            let _ = told.send(message);
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    };
    (upstream(serve), seen)
}

fn mirror(to: u32) -> Mirror {
    Mirror {
        cluster: ClusterId(to),
        named_by: None,
        share: Share::ALL,
        keeps_host: false,
        host: None,
        changes: Vec::new(),
    }
}

fn mirrored(mirrors: Vec<Mirror>) -> Terminal {
    http(Forward { mirrors: mirrors.into(), ..forward(&[(0, 1)]) })
}

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_request_is_copied_whole() {
    on_both(|which| {
        let (address, seen) = witness();
        let clusters = vec![cluster(0, &[upstream(answer("a"))]), cluster(1, &[address])];
        let none = Mirror { share: Share::NONE, ..mirror(1) };
        let proxy = Proxy::start(which, mirrored(vec![mirror(1), none]), clusters);
        let mut client = proxy.connect();
        let body = "x".repeat(50_000);
        for framing in ["get", "length", "chunked"] {
            let request = match framing {
                "get" => "GET /p HTTP/1.1\r\nHost: x:80\r\n\r\n".to_owned(),
                "length" => {
                    format!("POST /p HTTP/1.1\r\nHost: x:80\r\ncontent-length: 50000\r\n\r\n{body}")
                }
                _ => format!(
                    "POST /p HTTP/1.1\r\nHost: x:80\r\ntransfer-encoding: chunked\r\n\r\n\
                     c350\r\n{body}\r\n0\r\n\r\n"
                ),
            };
            let (head, _) = ask(&mut client, &request);
            assert!(head.starts_with("HTTP/1.1 200 "), "{framing}: {head}");
            let (head, copied) = seen.recv_timeout(PATIENCE).expect("a copy");
            assert!(head.to_ascii_lowercase().contains("host: x-shadow:80\r\n"), "{head}");
            let expected = if framing == "get" { 0 } else { 50_000 };
            assert_eq!(copied.len(), expected, "{framing}");
        }
        assert!(seen.try_recv().is_err(), "one copy each");
        assert_eq!(proxy.counters.get(Counter::UpstreamMirrored), 3);
        assert_eq!(proxy.counters.get(Counter::UpstreamMirrorDropped), 0);
    });
}

#[test]
fn copies_by_http_2_find_room_whatever_is_answered() {
    on_both(|which| {
        let (told, seen) = channel();
        let told = Arc::new(Mutex::new(told));
        let wordy = server(move |peer, id, message| {
            let told: Sender<_> = told.lock().expect("told").clone();
            let _ = told.send((message.line.clone(), message.body.len()));
            peer.answer(id, 200, &[], &vec![b'y'; 300_000], &[]);
        });
        let terse = server(|peer, id, _| peer.answer(id, 200, &[], b"ok", &[]));
        let by_2 = |cluster| Cluster { protocol: UpstreamProtocol::Http2, ..cluster };
        let clusters =
            vec![by_2(cluster(0, &[upstream(terse)])), by_2(cluster(1, &[upstream(wordy)]))];
        let proxy = Proxy::start(which, mirrored(vec![mirror(1)]), clusters);
        let mut client = Peer::client(proxy.connect());
        let body = vec![b'x'; 70_000];
        // Their answers are more than the windows of their connection.
        for _ in 0..20 {
            let id = client.ask("POST", "/p", &[], Some(&body));
            assert_eq!(client.wait(id).text(), "ok");
            let (line, bytes) = seen.recv_timeout(PATIENCE).expect("a copy");
            assert!(line.contains("x-shadow"), "{line}");
            assert_eq!(bytes, body.len());
        }
        assert_eq!(proxy.counters.get(Counter::UpstreamMirrorDropped), 0);
    });
}

#[test]
fn who_is_sent_copies_delays_nobody() {
    on_both(|which| {
        // One never answers, one reads nothing, one is not there.
        let mute = upstream(|mut stream: TcpStream| {
            let mut bytes = [0; 4096];
            while let Ok(1..) = stream.read(&mut bytes) {}
        });
        let deaf = upstream(|stream: TcpStream| {
            thread::sleep(PATIENCE);
            drop(stream);
        });
        let clusters = vec![
            cluster(0, &[upstream(answer("a"))]),
            cluster(1, &[mute]),
            cluster(2, &[deaf]),
            cluster(3, &[nobody()]),
        ];
        let mirrors = vec![mirror(1), mirror(2), mirror(3), mirror(4)];
        let mut terminal = mirrored(mirrors);
        if let Terminal::Http(manager) = &mut terminal {
            // A copy has as long as its request has.
            let manager = Arc::get_mut(manager).expect("ours alone");
            let Routes::Inline(table) = &mut manager.routes else { panic!("not inline") };
            let table = Arc::get_mut(table).expect("ours alone");
            let mut short = forward(&[(0, 1)]);
            short.mirrors = (1..=4).map(mirror).collect();
            short.timeout = Some(Duration::from_secs(9));
            let routes = vec![Arc::new(route("/", RouteAction::Forward(short)))];
            let host = VirtualHost { routes: routes.into(), ..VirtualHost::default() };
            table.hosts = vec![Arc::new(host)];
        }
        let proxy = Proxy::start(which, terminal, clusters);
        let mut client = proxy.connect();
        // More than the kernel takes for somebody who does not read.
        let length = 24_000_000;
        let body = "x".repeat(length);
        let request =
            format!("POST /p HTTP/1.1\r\nHost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        let (head, answered) = ask(&mut client, &request);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(answered.len(), length + "a|POST /p HTTP/1.1|".len());
        assert_eq!(proxy.counters.get(Counter::UpstreamMirrored), 3, "there is no fourth");
        assert!(proxy.counters.get(Counter::UpstreamMirrorDropped) >= 1, "the deaf one's");
        drop(client);
        // The mute one's ends with the time of its request.
        for _ in 0..6_000 {
            if proxy.open_ups() == 1 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("copies are left over: {:?}", proxy.counters);
    });
}

fn limited(which: Which, change: impl FnOnce(&mut Forward), of_manager: Option<Duration>) -> Proxy {
    let slow = |mut stream: TcpStream| {
        while read_message(&mut stream).is_some() {
            thread::sleep(Duration::from_millis(700));
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    };
    let mut forward = forward(&[(0, 1)]);
    change(&mut forward);
    let spans = Spans { stream: of_manager, ..Spans::default() };
    let routes = vec![route("/", RouteAction::Forward(forward))];
    // Whoever comes from this machine may say how it is served.
    let inside =
        Origin { internal: vec!["127.0.0.0/8".parse().expect("a range")], ..Origin::default() };
    let manager = HttpManager {
        spans,
        use_remote_address: true,
        origin: Some(Box::new(inside)),
        ..manager(routes)
    };
    let terminal = Terminal::Http(Arc::new(manager));
    Proxy::start(which, terminal, vec![cluster(0, &[upstream(slow)])])
}

const SOON: Duration = Duration::from_millis(100);

#[test]
fn the_route_says_how_long_an_exchange_lasts() {
    on_both(|which| {
        let duration = |max| Some(Box::new(StreamDuration { max, ..StreamDuration::default() }));
        for (of_route, of_manager, expected) in [
            (duration(Some(Some(SOON))), None, "504"),
            (duration(Some(None)), Some(SOON), "200"),
            (duration(None), Some(SOON), "504"),
            (None, Some(SOON), "504"),
            (None, None, "200"),
        ] {
            let told = format!("{of_route:?} {of_manager:?}");
            let proxy = limited(which, |forward| forward.duration = of_route, of_manager);
            let (head, _) = get(&proxy, "");
            assert_eq!(head.split(' ').nth(1), Some(expected), "{told}");
        }
    });
}

#[test]
fn insiders_say_how_they_are_served() {
    on_both(|which| {
        let proxy = limited(which, |_| {}, None);
        for (fields, expected) in [
            ("", "200"),
            ("x-envoy-upstream-rq-timeout-ms: 100\r\n", "504"),
            ("x-envoy-upstream-rq-per-try-timeout-ms: 100\r\n", "504"),
            (
                "x-envoy-upstream-rq-timeout-ms: 100\r\n\
                 x-envoy-upstream-rq-timeout-alt-response: 1\r\n",
                "204",
            ),
        ] {
            let (head, _) = get(&proxy, fields);
            assert_eq!(head.split(' ').nth(1), Some(expected), "{fields}");
        }
        assert_eq!(proxy.counters.get(Counter::UpstreamRetry), 0);
        let again = "x-envoy-upstream-rq-per-try-timeout-ms: 100\r\nx-envoy-retry-on: 5xx\r\n\
                     x-envoy-max-retries: 2\r\n";
        assert!(get(&proxy, again).0.starts_with("HTTP/1.1 504 "));
        assert_eq!(proxy.counters.get(Counter::UpstreamRetry), 2);
    });
}
