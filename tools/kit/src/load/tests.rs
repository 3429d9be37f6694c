//! Loads on servers that are right, wrong, slow and gone.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use super::*;
use crate::echo::{Echo, EchoSpec, pattern};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

async fn echo() -> Echo {
    let any = Some(ANY.into());
    Echo::start(EchoSpec { http: any, tcp: any, ..EchoSpec::default() }).await.expect("started")
}

async fn measure(spec: &LoadSpec) -> LoadReport {
    run(spec, &Control::new(), |_| {}).await.expect("a fine load")
}

/// A server that sends these bytes for each read, and closes after so many answers.
async fn canned(answer: &'static [u8], answers: usize) -> SocketAddr {
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            tokio::spawn(async move {
                for _ in 0..answers {
                    match stream.read(&mut [0; 4096]).await {
                        Ok(1..) => drop(stream.write_all(answer).await),
                        _ => return,
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn as_many_requests_as_asked_for() {
    let echo = echo().await;
    let mut spec = LoadSpec::http(echo.http.expect("served"), "reviews", "/?size=500");
    spec.requests = Some(300);
    spec.connections = 4;
    spec.expected_body = Some(pattern(500));
    spec.tally = vec!["x-version".into(), "x-none".into()];
    let mut last = None;
    let report = run(&spec, &Control::new(), |progress| last = Some(*progress)).await;
    let report = report.expect("a fine load");
    let total = report.total();
    assert_eq!((total.requests(), total.failed()), (300, 0), "{:?}", total.errors);
    assert_eq!(total.statuses.get(&200), Some(&300));
    assert_eq!(total.header("x-version", "v1"), 300);
    assert_eq!(total.header("x-none", "(none)"), 300);
    assert_eq!(total.unexpected(200..=299), 0);
    assert!(report.throughput() > 0.0 && total.histogram.min() > 1_000);
    let last = last.expect("progress was told");
    assert_eq!((last.done, last.failed, last.total), (300, 0, Some(300)));
}

#[tokio::test]
async fn bodies_go_whole_both_ways() {
    let echo = echo().await;
    let mut spec = LoadSpec::http(echo.http.expect("served"), "a", "/?size=300000&chunked");
    spec.method = "POST".into();
    spec.body = pattern(2_000_000);
    spec.expected_body = Some(pattern(300_000));
    spec.requests = Some(5);
    let total = measure(&spec).await.total();
    assert_eq!((total.histogram.len(), total.failed()), (5, 0), "{:?}", total.errors);
    spec.keep_alive = false;
    let total = measure(&spec).await.total();
    assert_eq!((total.histogram.len(), total.failed()), (5, 0), "{:?}", total.errors);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let echo = echo().await;
    let mut spec = LoadSpec::http(echo.http.expect("served"), "a", "/?size=1");
    spec.rate = Some(500.0);
    spec.duration = Some(Duration::from_millis(600));
    spec.connections = 8;
    let report = measure(&spec).await;
    assert_eq!(report.total().requests(), 300);
    assert_eq!(report.total().failed(), 0);
    let elapsed = report.elapsed.as_secs_f64();
    assert!((0.55..5.0).contains(&elapsed), "{elapsed} s for 0.6 s of load");
}

#[tokio::test]
async fn waiting_for_a_free_connection_counts() {
    let echo = echo().await;
    // Ten requests due at once, 20 ms each, one connection: the last one took 200 ms.
    let mut spec = LoadSpec::http(echo.http.expect("served"), "a", "/?size=1&delay_ms=20");
    spec.rate = Some(10_000.0);
    spec.requests = Some(10);
    let open = measure(&spec).await.total().histogram;
    spec.rate = None;
    let closed = measure(&spec).await.total().histogram;
    assert!(open.max() >= 190_000_000, "the tenth waited for nine: {} ns", open.max());
    assert!(open.value_at_percentile(50.0) >= 80_000_000);
    let (slow, fast) = (open.value_at_percentile(50.0), closed.value_at_percentile(50.0));
    assert!(fast * 2 < slow, "nobody waits in a closed loop: {fast} ns against {slow} ns");
}

#[tokio::test]
async fn what_was_never_sent_is_a_failure() {
    let address = canned(b"", 99).await;
    let mut spec = LoadSpec::http(address, "a", "/");
    spec.rate = Some(100.0);
    spec.duration = Some(Duration::from_millis(200));
    spec.timeout = Duration::from_millis(150);
    let total = measure(&spec).await.total();
    assert_eq!((total.requests(), total.failed()), (20, 20));
    let unsent: u64 = total
        .errors
        .iter()
        .filter(|(error, _)| error.starts_with("not sent"))
        .map(|(_, n)| n)
        .sum();
    assert!(unsent >= 10, "{:?}", total.errors);
}

#[tokio::test]
async fn wrong_answers_are_failures() {
    const CASES: [(&[u8], &str); 8] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""),
        (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nok", ""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", "connection closed before"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", "body differs"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\no", "body differs"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!", "bytes behind the answer"),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", "answer is not HTTP/1.1: http1.bare_cr"),
    ];
    for (answer, error) in CASES {
        let mut spec = LoadSpec::http(canned(answer, 1).await, "a", "/");
        spec.requests = Some(3);
        spec.expected_body = Some(b"ok".to_vec());
        spec.keep_alive = false;
        let total = measure(&spec).await.total();
        let text = answer.escape_ascii().to_string();
        if error.is_empty() {
            assert_eq!((total.histogram.len(), total.failed()), (3, 0), "{text}: {total:?}");
        } else {
            assert_eq!((total.histogram.len(), total.failed()), (0, 3), "{text}");
            assert!(total.errors.keys().all(|met| met.starts_with(error)), "{:?}", total.errors);
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_a_failure_too() {
    let address = canned(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 2).await;
    let mut spec = LoadSpec::http(address, "a", "/");
    spec.requests = Some(9);
    let total = measure(&spec).await.total();
    // Two answers, then an end that nobody announced, and again.
    assert_eq!((total.histogram.len(), total.failed()), (6, 3), "{:?}", total.errors);
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let mut spec = LoadSpec::http(address, "a", "/");
    spec.requests = Some(2);
    let total = measure(&spec).await.total();
    assert_eq!(total.errors.get("cannot connect: connection refused"), Some(&2));
}

#[tokio::test]
async fn tcp_round_trips() {
    let echo = echo().await;
    let mut spec = LoadSpec::tcp(echo.tcp.expect("served"));
    spec.requests = Some(200);
    spec.connections = 2;
    let total = measure(&spec).await.total();
    assert_eq!((total.histogram.len(), total.failed()), (200, 0), "{:?}", total.errors);
    spec.body = pattern(1_000_000);
    spec.requests = Some(4);
    let total = measure(&spec).await.total();
    assert_eq!((total.histogram.len(), total.failed()), (4, 0), "{:?}", total.errors);

    let mut spec = LoadSpec::tcp(canned(&[7; 64], 9).await);
    spec.requests = Some(2);
    let total = measure(&spec).await.total();
    assert_eq!(total.errors.get("body differs from what was expected"), Some(&2));
}

#[tokio::test]
async fn phases_are_counted_apart_and_a_run_can_be_stopped() {
    let echo = echo().await;
    let mut spec = LoadSpec::http(echo.http.expect("served"), "a", "/?size=1&delay_ms=1");
    spec.connections = 2;
    spec.rate = Some(400.0);
    let (control, begun) = (Control::new(), Instant::now());
    let reins = control.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!((reins.phase(), reins.next_phase(), reins.phase()), (0, 1, 1));
        tokio::time::sleep(Duration::from_millis(200)).await;
        reins.stop();
    });
    let report = run(&spec, &control, |_| {}).await.expect("a fine load");
    assert!(begun.elapsed() < Duration::from_secs(5), "it has no end of its own");
    let counts: Vec<u64> = report.phases.iter().map(Counts::requests).collect();
    assert_eq!(counts.len(), 2);
    assert!(counts.iter().all(|count| (20..=120).contains(count)), "{counts:?}");
    assert_eq!(report.total().failed(), 0);
    assert_eq!(report.total().requests(), counts.iter().sum::<u64>());

    let text = serde_json::to_string(&report).expect("JSON");
    let read: LoadReport = serde_json::from_str(&text).expect("comes back");
    assert_eq!(read.phases[1].histogram, report.phases[1].histogram);
    assert_eq!(read.phases[0].statuses, report.phases[0].statuses);
}

#[tokio::test]
async fn loads_that_cannot_be_made() {
    let fine = LoadSpec::http(SocketAddr::from(ANY), "a", "/");
    let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (spec, told) in [
        (LoadSpec { connections: 0, ..fine.clone() }, "connections must be 1 to 10000"),
        (LoadSpec { rate: Some(0.0), ..fine.clone() }, "rate must be above 0"),
        (LoadSpec { rate: Some(f64::NAN), ..fine.clone() }, "rate must be above 0"),
        (LoadSpec { timeout: Duration::ZERO, ..fine.clone() }, "timeout must be above 0"),
        (LoadSpec { path: "/a b".into(), ..fine.clone() }, "request needs a method, a path"),
        (LoadSpec { path: "a".into(), ..fine.clone() }, "request is not HTTP/1.1: http1.invalid"),
        (LoadSpec { headers: field("x", "a\r\nb: c"), ..fine.clone() }, "headers cannot have"),
        (LoadSpec { headers: field("Host", "b"), ..fine.clone() }, "headers cannot have"),
        (LoadSpec { body: Vec::new(), ..LoadSpec::tcp(ANY.into()) }, "body must have a byte"),
    ] {
        let error = run(&spec, &Control::new(), |_| {}).await.expect_err(told);
        assert!(error.to_string().starts_with(told), "{error}");
    }
}
