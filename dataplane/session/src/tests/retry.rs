//! Which answers are followed by another attempt, and when; and what an overload is answered with.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use config::snapshot::{BackOff, HeaderChange, Retry, Route, RouteAction, Terminal};
use ring::start::Which;

use super::fixture::{Proxy, cluster, forward, manager, on_both, read_message, route, upstream};

/// When requests came.
type Times = Arc<Mutex<Vec<Instant>>>;

/// Answers everything with this head and no body, and notes when it was asked.
pub(super) fn always(head: &'static str) -> (SocketAddr, Times) {
    let times = Times::default();
    let noted = Arc::clone(&times);
    let serve = move |mut stream: TcpStream| {
        while read_message(&mut stream).is_some() {
            noted.lock().expect("times").push(Instant::now());
            let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    };
    (upstream(serve), times)
}

fn retrying(retry: Retry) -> Vec<Route> {
    let mut patient = forward(&[(0, 1)]);
    patient.retry = Some(retry);
    vec![route("/", RouteAction::Forward(patient))]
}

fn get(proxy: &Proxy) -> String {
    let mut client = proxy.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    read_message(&mut client).expect("an answer").0
}

/// What the upstream answers, whether the route retries 500 to 599, whether it retries what is
/// rate limited, and how often the upstream is asked. As Envoy 1.40 answers.
const CASES: [(&str, bool, bool, usize); 10] = [
    ("429 Too Many\r\nx-envoy-ratelimited: true", false, true, 2),
    ("200 OK\r\nX-Envoy-RateLimited: true", false, true, 2),
    ("503 No\r\nx-envoy-ratelimited: true", false, true, 2),
    ("429 Too Many", false, true, 1),
    ("503 No", false, true, 1),
    ("503 No\r\nx-envoy-ratelimited: true", true, false, 1),
    ("503 No\r\nx-envoy-overloaded: true", true, false, 2),
    ("503 No", true, false, 2),
    ("503 No\r\nx-envoy-ratelimited: true", true, true, 2),
    ("503 No", true, true, 2),
];

#[test]
fn what_is_rate_limited_is_retried_only_where_the_route_says_so() {
    on_both(|which| {
        for (head, on_5xx, on_rate_limited, asked) in CASES {
            let (host, times) = always(head);
            let on_status = if on_5xx { vec![(500, 599)] } else { Vec::new() };
            let retry = Retry { retries: 1, on_status, on_rate_limited, ..Retry::default() };
            let proxy = start(which, retrying(retry), host);
            let answer = get(&proxy);
            assert_eq!(answer.get(9..12), head.get(..3), "{head:?}");
            let times = times.lock().expect("times").len();
            assert_eq!(times, asked, "{head:?}, 5xx: {on_5xx}, limited: {on_rate_limited}");
        }
    });
}

fn start(which: Which, routes: Vec<Route>, host: SocketAddr) -> Proxy {
    let terminal = Terminal::Http(Arc::new(manager(routes)));
    Proxy::start(which, terminal, vec![cluster(0, &[host])])
}

/// The pauses before twelve retries with these intervals, in milliseconds.
fn pauses(which: Which, back_off: BackOff) -> Vec<u128> {
    let (host, times) = always("503 No");
    let on_status = vec![(503, 503)];
    let retry = Retry { retries: 12, on_status, back_off, ..Retry::default() };
    let proxy = start(which, retrying(retry), host);
    assert!(get(&proxy).starts_with("HTTP/1.1 503"));
    let times = times.lock().expect("times");
    assert_eq!(times.len(), 13);
    times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect()
}

#[test]
fn retries_wait_as_the_route_says() {
    on_both(|which| {
        // Envoy's own interval would make it a second.
        once_holds(
            || pauses(which, BackOff { base_ms: 1, max_ms: 1 }),
            |pauses| pauses.iter().sum::<u128>() < 400,
        );
        // A dozen random pauses below 400 ms, and a dozen that begin below 20 ms and grow.
        once_holds(
            || pauses(which, BackOff { base_ms: 400, max_ms: 400 }),
            |pauses| pauses.iter().max().is_some_and(|longest| (255..450).contains(longest)),
        );
        once_holds(
            || pauses(which, BackOff { base_ms: 20, max_ms: 80 }),
            |pauses| pauses[0] < 60 && pauses.iter().max().is_some_and(|it| (21..130).contains(it)),
        );
    });
}

/// On a busy machine pauses are longer than they were meant to be: one try of several in which none
/// is shows that they were meant so.
fn once_holds(measure: impl Fn() -> Vec<u128>, holds: impl Fn(&[u128]) -> bool) {
    let mut measured = Vec::new();
    while measured.last().is_none_or(|last: &Vec<u128>| !holds(last)) {
        assert!(measured.len() < 10, "{measured:?}");
        measured.push(measure());
    }
}

/// A cluster that takes no request: Envoy says so in a header, whatever the route does to headers.
#[test]
fn an_overload_is_answered_as_such() {
    let name: Box<[u8]> = (*b"x-envoy-overloaded").into();
    let changes = [
        (false, None, vec!["true"]),
        (false, Some(HeaderChange::Remove(name.clone())), vec!["true"]),
        (false, Some(HeaderChange::Append(name, "r".into())), vec!["r", "true"]),
        (true, None, vec![]),
    ];
    on_both(|which| {
        for (suppress, change, expected) in &changes {
            let mut to = route("/", RouteAction::Forward(forward(&[(0, 1)])));
            to.headers.response.extend(change.clone());
            let mut manager = manager(vec![to]);
            manager.suppress_envoy_headers = *suppress;
            let mut full = cluster(0, &[always("200 OK").0]);
            full.limits.max_requests = 0;
            let proxy = Proxy::start(which, Terminal::Http(Arc::new(manager)), vec![full]);
            let head = get(&proxy);
            assert!(head.starts_with("HTTP/1.1 503"), "{head}");
            let values = head.lines().filter_map(|line| line.strip_prefix("x-envoy-overloaded: "));
            assert_eq!(values.collect::<Vec<_>>(), *expected, "{change:?}");
        }
        // Others of the kind are no overload.
        let routes = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
        let terminal = Terminal::Http(Arc::new(manager(routes)));
        let head = get(&Proxy::start(which, terminal, vec![cluster(0, &[])]));
        assert!(head.starts_with("HTTP/1.1 503") && !head.contains("overloaded"), "{head}");
    });
}
