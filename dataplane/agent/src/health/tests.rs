//! Checks of real servers, and what the thresholds make of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use config::health::{CheckKind, GrpcCheck, HealthCheck, HttpCheck, Intervals, TcpCheck};
use config::snapshot::{Health, UpstreamTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SHORT: Duration = Duration::from_millis(10);

fn check(kind: CheckKind) -> HealthCheck {
    let intervals = Intervals {
        usual: SHORT,
        unhealthy: 2 * SHORT,
        healthy_edge: 3 * SHORT,
        unhealthy_edge: 4 * SHORT,
        initial_jitter: Duration::ZERO,
        jitter: Duration::ZERO,
        jitter_percent: 0,
    };
    HealthCheck {
        kind,
        timeout: Duration::from_millis(500),
        intervals,
        unhealthy_threshold: 2,
        healthy_threshold: 3,
        reuse_connection: true,
        alpn: Vec::new(),
        criteria: None,
    }
}

fn http() -> HttpCheck {
    HttpCheck {
        host: String::new(),
        path: "/ready?full".to_owned(),
        method: "GET".to_owned(),
        remove: vec!["user-agent".to_owned()],
        add: vec![("x-a".to_owned(), "1".to_owned(), false)],
        expected: std::iter::once(200..201).collect(),
        retriable: std::iter::once(500..501).collect(),
        http2: false,
    }
}

fn probe(port: u16, check: HealthCheck) -> Probe {
    let host = SocketAddr::from(([127, 0, 0, 1], port));
    Probe {
        cluster: "c".into(),
        host,
        target: host,
        authority: "app.test".into(),
        transport: UpstreamTransport::Raw,
        bind: None,
        check: Arc::new(check),
    }
}

/// Answers each request with the next of these, the last one for ever.
async fn server(answers: Vec<&'static str>) -> (u16, Arc<AtomicUsize>, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let (heard, hears) = mpsc::channel(1024);
    tokio::spawn(async move {
        let mut next = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let mut bytes = vec![0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                let _ = heard.try_send(String::from_utf8_lossy(&bytes[..length]).into_owned());
                let answer = answers[next.min(answers.len() - 1)];
                next += 1;
                if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, connections, hears)
}

#[test]
fn thresholds_are_envoys() {
    let check = check(CheckKind::Http(http()));
    let passed = Outcome::Passed { degraded: false };
    let degraded = Outcome::Passed { degraded: true };
    let (failed, refused) = (Outcome::Failed(String::new()), Outcome::Refused(String::new()));
    let (up, down) = (Some(Health::Healthy), Some(Health::Unhealthy));
    let (usual, unhealthy, edge, failing) = (SHORT, 2 * SHORT, 3 * SHORT, 4 * SHORT);
    let steps = [
        (&passed, up, usual), // the first decides at once
        (&failed, up, failing),
        (&passed, up, usual), // and forgets the failure
        (&failed, up, failing),
        (&failed, down, unhealthy),
        (&passed, down, edge),
        (&failed, down, unhealthy), // begins to count anew
        (&passed, down, edge),
        (&passed, down, edge),
        (&passed, up, usual),
        (&degraded, Some(Health::Degraded), usual),
        (&refused, down, unhealthy), // at once
    ];
    let mut track = Track::default();
    for (at, (outcome, health, wait)) in steps.into_iter().enumerate() {
        assert_eq!(track.take(outcome, &check, [0.5; 2]), wait, "step {at}");
        assert_eq!(track.health, health, "step {at}");
    }
    let mut first = Track::default();
    first.take(&failed, &check, [0.5; 2]);
    assert_eq!(first.health, down, "the first failure too");
    let intervals = Intervals { jitter: 4 * SHORT, jitter_percent: 50, ..check.intervals.clone() };
    let spread = HealthCheck { intervals, ..check };
    let wait = Track::default().take(&passed, &spread, [1.0, 0.5]);
    assert_eq!(wait, SHORT + SHORT / 2 + 2 * SHORT);
}

#[tokio::test]
async fn an_http_check_says_what_it_was_told_and_keeps_its_connection() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (port, connections, mut heard) = server(vec![
        ok,
        "HTTP/1.1 200 OK\r\nx-envoy-degraded: true\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
        ok,
    ])
    .await;
    let probe = probe(port, check(CheckKind::Http(http())));
    let mut kept = None;
    let passed = |degraded| Outcome::Passed { degraded };
    assert_eq!(ask::ask(&probe, &mut kept).await, passed(false));
    assert_eq!(
        heard.recv().await.unwrap(),
        "GET /ready?full HTTP/1.1\r\nhost: app.test\r\nx-a: 1\r\n\r\n"
    );
    assert_eq!(ask::ask(&probe, &mut kept).await, passed(true));
    assert_eq!(ask::ask(&probe, &mut kept).await, Outcome::Failed("status 500".to_owned()));
    assert_eq!(ask::ask(&probe, &mut kept).await, Outcome::Refused("status 503".to_owned()));
    assert_eq!(ask::ask(&probe, &mut kept).await, passed(false));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_tcp_check_finds_the_parts_in_their_order() {
    let (port, ..) = server(vec!["+ab-cd+"]).await;
    let cases: [(&[&str], bool); 5] = [
        (&[], true),
        (&["ab", "cd"], true),
        (&["+", "+"], true),
        (&["cd", "ab"], false),
        (&["abcd"], false),
    ];
    for (parts, passes) in cases {
        let receive = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        let kind = CheckKind::Tcp(TcpCheck { send: b"PING".to_vec(), receive });
        let probe = probe(port, check(kind));
        let mut kept = None;
        let asked = tokio::time::timeout(Duration::from_millis(200), ask::ask(&probe, &mut kept));
        let passed =
            asked.await.is_ok_and(|outcome| outcome == Outcome::Passed { degraded: false });
        assert_eq!(passed, passes, "{parts:?}");
    }
    let dead = probe(1, check(CheckKind::Tcp(TcpCheck { send: vec![], receive: vec![] })));
    assert!(matches!(ask::ask(&dead, &mut None).await, Outcome::Failed(_)));
}

/// A server of `grpc.health.v1` that knows one service.
async fn grpc_server() -> u16 {
    use http_body_util::{BodyExt, Full, StreamBody};
    use hyper::body::{Bytes, Frame, Incoming};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |request: hyper::Request<Incoming>| async move {
        assert_eq!(request.uri().to_string(), "http://app.test/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["te"], "trailers");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (status, code) = match body.get(7..) {
            Some(b"good") => (1, "0"),
            Some(b"bad") => (2, "0"),
            _ => (0, "5"),
        };
        let data = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
        let trailers = [("grpc-status".parse().unwrap(), code.parse().unwrap())];
        let frames = [Frame::data(data), Frame::trailers(trailers.into_iter().collect())];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        let _: Full<Bytes> = Full::default();
        Ok::<_, std::convert::Infallible>(hyper::Response::new(StreamBody::new(
            tokio_stream::iter(frames),
        )))
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let io = hyper_util::rt::TokioIo::new(stream);
            let service = hyper::service::service_fn(answer);
            let executor = hyper_util::rt::TokioExecutor::new();
            let served = hyper::server::conn::http2::Builder::new(executor);
            tokio::spawn(served.serve_connection(io, service));
        }
    });
    port
}

#[tokio::test]
async fn a_grpc_check_asks_for_its_service() {
    let port = grpc_server().await;
    let of = |service: &str| {
        let (service, authority) = (service.to_owned(), String::new());
        probe(port, check(CheckKind::Grpc(GrpcCheck { service, authority, metadata: vec![] })))
    };
    let mut kept = None;
    assert_eq!(ask::ask(&of("good"), &mut kept).await, Outcome::Passed { degraded: false });
    let refused = |why: &str| Outcome::Refused(why.to_owned());
    assert_eq!(ask::ask(&of("bad"), &mut kept).await, refused("serving status 2"));
    assert_eq!(ask::ask(&of("none"), &mut kept).await, refused("grpc-status Some(\"5\")"));
}

#[tokio::test]
async fn what_changes_is_told_and_what_is_not_checked_any_more_ends() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (port, ..) = server(vec![ok, ok, "", "", ok]).await;
    let (mut checks, mut verdicts) = Checks::new();
    let probe = probe(port, check(CheckKind::Http(http())));
    checks.follow(vec![probe.clone()]);
    for health in [Health::Healthy, Health::Unhealthy, Health::Healthy] {
        let verdict = Verdict { cluster: "c".into(), host: probe.host, health };
        let told = tokio::time::timeout(Duration::from_secs(10), verdicts.recv()).await;
        assert_eq!(told.unwrap(), Some(verdict));
    }
    let same = probe.clone();
    checks.follow(vec![same]);
    tokio::time::sleep(5 * SHORT).await;
    assert!(verdicts.try_recv().is_err(), "it did not begin anew");
    checks.follow(Vec::new());
    assert!(checks.tasks.is_empty());
}
