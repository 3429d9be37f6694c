//! Requests that wait for a filter's sake: what ends the pause, and that nothing is left of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{
    AbortAnswer, CorsPolicy, FaultAbort, FaultDelay, FilterKind, HttpFault, HttpFilter,
    HttpManager, Override, OverrideKind, Route, RouteAction, Share, StringKind, StringMatch,
    Terminal,
};
use ring::start::Which;
use wire::h2::ErrorCode;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, on_both, read_message, route, upstream,
};
use super::peer::Peer;
use crate::Counter;

fn delay(length: Duration) -> HttpFault {
    let delay = FaultDelay { fixed: Some(length), share: Share::ALL };
    HttpFault { delay: Some(delay), ..HttpFault::default() }
}

fn to_upstream() -> Vec<Route> {
    vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))]
}

fn with(fault: HttpFault, change: impl FnOnce(&mut HttpManager)) -> (Terminal, Arc<HttpFault>) {
    let fault = Arc::new(fault);
    let mut manager = manager(to_upstream());
    manager.filters = vec![HttpFilter::new("fault", FilterKind::Fault(Arc::clone(&fault)))].into();
    change(&mut manager);
    (Terminal::Http(Arc::new(manager)), fault)
}

fn start(which: Which, fault: HttpFault) -> (Proxy, Arc<HttpFault>) {
    let (terminal, fault) = with(fault, |_| {});
    (Proxy::start(which, terminal, vec![cluster(0, &[upstream(answer("a"))])]), fault)
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// Waits until so many requests suffer.
fn suffer(fault: &HttpFault, count: u32) {
    let begun = Instant::now();
    while fault.active.count() != count {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} suffer", fault.active.count());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_waits_with_its_body_and_goes_on_whole() {
    on_both(|which| {
        let (proxy, fault) = start(which, delay(Duration::from_millis(100)));
        let mut client = proxy.connect();
        let long = "y".repeat(300_000);
        for _ in 0..2 {
            let begun = Instant::now();
            let head = "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n";
            client.write_all(head.as_bytes()).expect("sent");
            client.write_all(long.as_bytes()).expect("sent");
            let (head, body) = read_message(&mut client).expect("an answer");
            assert_eq!(status(&head), "200");
            assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
            assert!(body.ends_with(long.as_bytes()), "{} bytes", body.len());
        }
        assert_eq!(proxy.counters.get(Counter::FaultDelays), 2);
        suffer(&fault, 0);
        drop(client);
        proxy.settles(0, 1);
    });
}

#[test]
fn others_go_on_while_one_waits() {
    on_both(|which| {
        let (terminal, _) = with(delay(Duration::from_millis(300)), |manager| {
            let mut quick = route("/quick", RouteAction::Forward(forward(&[(0, 1)])));
            quick.overrides = [("fault".into(), Override::Off)].into_iter().collect();
            let mut routes = vec![quick];
            routes.extend(to_upstream());
            let table = super::fixture::table(routes);
            let table = Arc::try_unwrap(table).expect("one holder");
            let table = config::snapshot::RouteTable { has_overrides: true, ..table };
            manager.routes = config::snapshot::Routes::Inline(Arc::new(table));
        });
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = Peer::client(proxy.connect());
        let begun = Instant::now();
        let slow = client.ask("GET", "/slow?with=query", &[("x-a", "1")], None);
        let quick = client.ask("GET", "/quick", &[], None);
        assert_eq!(client.wait(quick).text(), "a|GET /quick HTTP/1.1|");
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
        assert_eq!(client.wait(slow).text(), "a|GET /slow?with=query HTTP/1.1|");
        assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    on_both(|which| {
        let (proxy, fault) = start(which, delay(Duration::from_secs(3600)));
        let mut one = proxy.connect();
        one.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let mut many = Peer::client(proxy.connect());
        let given_up = many.ask("GET", "/1", &[], None);
        many.ask("GET", "/2", &[], None);
        suffer(&fault, 3);
        many.reset(given_up, ErrorCode::Cancel);
        suffer(&fault, 2);
        drop(many);
        suffer(&fault, 1);
        drop(one);
        suffer(&fault, 0);
        proxy.settles_down(0);
        let left = proxy.finish();
        assert_eq!((left.downs, left.ups, left.streams), (0, 0, 0), "{left:?}");
    });
}

#[test]
fn a_drain_waits_for_whoever_waits() {
    on_both(|which| {
        let (proxy, _) = start(which, delay(Duration::from_millis(300)));
        let mut client = proxy.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        thread::sleep(Duration::from_millis(50));
        proxy.drain();
        let (head, _) = read_message(&mut client).expect("an answer");
        assert_eq!(status(&head), "200");
        assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
        assert_eq!(client.read(&mut [0; 1]).expect("an end"), 0);
    });
}

#[test]
fn the_idle_limit_of_a_stream_holds_while_it_waits() {
    on_both(|which| {
        let (terminal, fault) = with(delay(Duration::from_secs(3600)), |manager| {
            manager.stream_idle_timeout = Some(Duration::from_millis(150));
        });
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = proxy.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let (head, body) = read_message(&mut client).expect("an answer");
        assert_eq!((status(&head), &body[..]), ("504", &b"stream timeout"[..]));
        suffer(&fault, 0);
    });
}

/// The time that a route gives its upstream begins when the request is on its way to it.
#[test]
fn the_routes_time_begins_behind_the_pause() {
    on_both(|which| {
        let (terminal, _) = with(delay(Duration::from_millis(300)), |manager| {
            let forward = config::snapshot::Forward {
                timeout: Some(Duration::from_millis(150)),
                ..forward(&[(0, 1)])
            };
            let table = super::fixture::table(vec![route("/", RouteAction::Forward(forward))]);
            manager.routes = config::snapshot::Routes::Inline(table);
        });
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client = proxy.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert_eq!(status(&read_message(&mut client).expect("an answer").0), "200");
    });
}

#[test]
fn no_more_suffer_than_may() {
    on_both(|which| {
        let abort =
            FaultAbort { answer: AbortAnswer::Http(418), share: Share::ALL, body: "".into() };
        let fault = HttpFault {
            abort: Some(abort),
            max_active: Some(1),
            ..delay(Duration::from_millis(300))
        };
        let (proxy, fault) = start(which, fault);
        let (mut first, mut second) = (proxy.connect(), proxy.connect());
        first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        suffer(&fault, 1);
        second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert_eq!(status(&read_message(&mut second).expect("an answer").0), "200");
        assert_eq!(status(&read_message(&mut first).expect("an answer").0), "418");
        suffer(&fault, 0);
    });
}

/// Whoever asks from another origin is remembered until the answer, and no longer.
#[test]
fn an_origin_is_told_to_its_own_answer_alone() {
    on_both(|which| {
        let exact = StringKind::Exact((*b"http://a").into());
        let policy = CorsPolicy {
            origins: vec![StringMatch { kind: exact, ignore_case: false }],
            ..CorsPolicy::default()
        };
        let said = Override::With(OverrideKind::Cors(Arc::new(policy)));
        let mut route = route("/", RouteAction::Forward(forward(&[(0, 1)])));
        route.overrides = [("cors".into(), said)].into_iter().collect();
        let table = Arc::try_unwrap(super::fixture::table(vec![route])).expect("one holder");
        let table = config::snapshot::RouteTable { has_overrides: true, ..table };
        let mut manager = manager(Vec::new());
        manager.routes = config::snapshot::Routes::Inline(Arc::new(table));
        manager.filters = vec![HttpFilter::new("cors", FilterKind::Cors)].into();
        let terminal = Terminal::Http(Arc::new(manager));
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(answer("a"))])]);
        let mut client: TcpStream = proxy.connect();
        for number in 0..6 {
            let origin = if number % 2 == 0 { "Origin: http://a\r\n" } else { "" };
            let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{origin}\r\n");
            client.write_all(text.as_bytes()).expect("sent");
            let (head, _) = read_message(&mut client).expect("an answer");
            let told = head.contains("access-control-allow-origin: http://a\r\n");
            assert_eq!(told, number % 2 == 0, "{head}");
        }
    });
}
