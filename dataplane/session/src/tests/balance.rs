//! Which host a request goes to: by its hash, by what hosts have answered; and how many retries.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use config::snapshot::*;
use ring::start::Which;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, nobody, on_both, read_message, route, tcp_proxy,
    upstream,
};
use super::retry::always;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn hashing(hosts: &[SocketAddr]) -> Cluster {
    Cluster { policy: LbPolicy::Maglev { table_size: 101 }, ..cluster(0, hosts) }
}

fn by(method: HashMethod) -> Vec<Route> {
    let hash = vec![HashPolicy { method, terminal: false }];
    vec![route("/", RouteAction::Forward(Forward { hash, ..forward(&[(0, 1)]) }))]
}

fn start(which: Which, routes: Vec<Route>, cluster: Cluster) -> Proxy {
    Proxy::start(which, Terminal::Http(Arc::new(manager(routes))), vec![cluster])
}

/// The answer's head and the name in its body.
fn get(proxy: &Proxy, fields: &str) -> (String, String) {
    let mut client = proxy.connect();
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    client.write_all(request.as_bytes()).expect("sent");
    let (head, body) = read_message(&mut client).expect("an answer");
    let body = String::from_utf8(body).expect("text");
    (head, body.split('|').next().unwrap_or_default().to_owned())
}

#[test]
fn what_hashes_alike_goes_to_one_host() {
    on_both(|which| {
        let hosts = NAMES.map(|name| upstream(answer(name)));
        let name = b"x-k".as_slice().into();
        let proxy = start(which, by(HashMethod::Header { name, rewrite: None }), hashing(&hosts));
        let mut all = BTreeSet::new();
        for value in 0..30 {
            let field = format!("x-k: {value}\r\n");
            let names: BTreeSet<_> = (0..3).map(|_| get(&proxy, &field).1).collect();
            assert_eq!(names.len(), 1, "{value}: {names:?}");
            all.extend(names);
        }
        assert!(all.len() >= 3, "{all:?}");
    });
}

#[test]
fn a_made_cookie_leads_back_to_the_host_that_it_came_from() {
    on_both(|which| {
        let hosts = NAMES.map(|name| upstream(answer(name)));
        let generate = Some(b"; Max-Age=5; HttpOnly".as_slice().into());
        let method = HashMethod::Cookie { name: b"c".as_slice().into(), generate };
        let proxy = start(which, by(method), hashing(&hosts));
        for _ in 0..10 {
            let (head, first) = get(&proxy, "");
            let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
            let (cookie, behind) = line.and_then(|line| line.split_once("; ")).expect("a cookie");
            assert_eq!(behind, "Max-Age=5; HttpOnly");
            let (head, again) = get(&proxy, &format!("cookie: {cookie}\r\n"));
            assert_eq!(again, first);
            assert!(!head.contains("set-cookie"), "{head}");
        }
    });
}

#[test]
fn a_raw_connection_goes_by_its_clients_address() {
    on_both(|which| {
        let told = |name: &'static str| {
            upstream(move |mut stream: TcpStream| drop(stream.write_all(name.as_bytes())))
        };
        let hosts = NAMES.map(told);
        let Terminal::Tcp(mut tcp) = tcp_proxy(0) else { panic!("raw") };
        Arc::get_mut(&mut tcp).expect("ours").hash_source = true;
        let proxy = Proxy::start(which, Terminal::Tcp(tcp), vec![hashing(&hosts)]);
        let names: BTreeSet<_> = (0..8)
            .map(|_| {
                let mut text = String::new();
                proxy.connect().read_to_string(&mut text).expect("a name");
                text
            })
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
    });
}

/// Envoy's defaults without comparisons, and three failures in a row.
fn rules() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
        enforcing_5xx: 100,
        consecutive_gateway: 5,
        enforcing_gateway: 0,
        consecutive_local: 5,
        enforcing_local: 100,
        split: false,
        interval: std::time::Duration::from_secs(10),
        base_time: std::time::Duration::from_secs(30),
        max_time: std::time::Duration::from_secs(300),
        jitter: std::time::Duration::ZERO,
        max_percent: 50,
        always_one: false,
        answers: Comparison::default(),
        local: Comparison::default(),
        success_volume: 100,
        success_hosts: 5,
        success_deviation: 1900,
        failure_percent: 85,
        failure_volume: 50,
        failure_hosts: 5,
    }
}

fn broken(mut stream: TcpStream) {
    let _ = read_message(&mut stream);
}

#[test]
fn a_host_that_fails_is_left_alone() {
    on_both(|which| {
        let bad = [always("500 No").0, upstream(broken), nobody()];
        for bad in bad {
            let hosts = [upstream(answer("good")), bad];
            let outlier = Some(Arc::new(rules()));
            let cluster = Cluster { outlier, panic_percent: 0, ..cluster(0, &hosts) };
            let to = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
            let proxy = start(which, to, cluster);
            let heads: Vec<_> = (0..16).map(|_| get(&proxy, "").0).collect();
            let failures = heads.iter().filter(|head| head.starts_with("HTTP/1.1 50")).count();
            assert_eq!(failures, 3, "{heads:?}");
        }
    });
}

#[test]
fn there_are_no_more_retries_than_the_cluster_allows() {
    on_both(|which| {
        for (max_retries, expected) in [(0, 1), (1, 3)] {
            let (host, asked) = always("503 No");
            let limits = CircuitBreakers { max_retries, ..CircuitBreakers::UNLIMITED };
            let cluster = Cluster { limits, ..cluster(0, &[host]) };
            let on_status = vec![(500, 599)];
            let retry = Some(Retry { retries: 2, on_status, ..Retry::default() });
            let patient = Forward { retry, ..forward(&[(0, 1)]) };
            let proxy = start(which, vec![route("/", RouteAction::Forward(patient))], cluster);
            // One after the other: each retry is over before the next begins.
            assert!(get(&proxy, "").0.starts_with("HTTP/1.1 503"));
            assert_eq!(asked.lock().expect("times").len(), expected, "{max_retries}");
        }
    });
}
