//! The server, asked over plain sockets.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::*;

fn spec() -> EchoSpec {
    let any = Some((Ipv4Addr::LOCALHOST, 0).into());
    EchoSpec { http: any, tcp: any, version: "v2".into(), ..EchoSpec::default() }
}

/// Sends a request that asks to close, and reads until that happens.
async fn ask(echo: &Echo, start: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(echo.http.expect("HTTP is served")).await.expect("up");
    let len = body.len();
    let request = format!(
        "{start} HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\nx-a: 1\r\nx-a: 2\r\n\
         content-length: {len}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a whole answer").1
}

#[tokio::test]
async fn an_answer_tells_what_was_asked() {
    let echo = Echo::start(spec()).await.expect("started");
    let answer = ask(&echo, "POST /api/reviews/1?x=y", "hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nx-version: v2\r\n"), "{answer}");
    let told: Value = serde_json::from_str(body_of(&answer)).expect("JSON");
    assert_eq!(told["method"], "POST");
    assert_eq!(told["path"], "/api/reviews/1?x=y");
    assert_eq!(told["version"], "v2");
    assert_eq!(told["headers"]["host"], "reviews");
    assert_eq!(told["headers"]["x-a"], "1, 2");
    assert_eq!(told["body_bytes"], 5);
    assert_eq!(told["body_fnv1a"], "a430d84680aabd0b");
    assert!(told["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")));
}

#[tokio::test]
async fn an_answer_is_as_it_was_wished_for() {
    let echo = Echo::start(spec()).await.expect("started");
    let answer = ask(&echo, "GET /?status=503&size=30", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 30\r\n"), "{answer}");
    assert_eq!(body_of(&answer).as_bytes(), pattern(30));
    let answer = ask(&echo, "GET /?chunked&size=3", "").await;
    assert!(answer.contains("\r\ntransfer-encoding: chunked\r\n"), "{answer}");
    assert_eq!(body_of(&answer), "3\r\nabc\r\n0\r\n\r\n");
    assert!(ask(&echo, "GET /?status=7", "").await.starts_with("HTTP/1.1 400 "));
    let begun = Instant::now();
    ask(&echo, "GET /?delay_ms=50", "").await;
    assert!(begun.elapsed() >= Duration::from_millis(50));

    let fixed = EchoSpec { status: 418, body_bytes: Some(2), ..spec() };
    let echo = Echo::start(fixed).await.expect("started");
    let answer = ask(&echo, "GET /", "").await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    assert_eq!(body_of(&answer), "ab");
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_switches_protocol() {
    let echo = Echo::start(spec()).await.expect("started");
    let mut stream = TcpStream::connect(echo.http.expect("served")).await.expect("up");
    for _ in 0..3 {
        stream.write_all(b"GET /?size=1 HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
        read_until(&mut stream, b"\r\n\r\na").await;
    }
    let upgrade = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\nearly";
    stream.write_all(upgrade).await.expect("sent");
    let head = read_until(&mut stream, b"\r\n\r\nearly").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: foo\r\n"), "{head}");
    stream.write_all(b"\0raw\r\n").await.expect("sent");
    read_until(&mut stream, b"\0raw\r\n").await;
    stream.shutdown().await.expect("half closed");
    assert_eq!(stream.read(&mut [0; 9]).await.expect("its end too"), 0);
}

#[tokio::test]
async fn tcp_comes_back_to_the_last_byte() {
    let echo = Echo::start(spec()).await.expect("started");
    let stream = TcpStream::connect(echo.tcp.expect("served")).await.expect("up");
    let (mut read, mut write) = stream.into_split();
    let sent = pattern(3_000_000);
    let (went, mut came) = (sent.clone(), Vec::new());
    tokio::spawn(async move {
        write.write_all(&went).await.expect("sent");
        write.shutdown().await.expect("half closed");
    });
    read.read_to_end(&mut came).await.expect("echoed");
    assert!(came == sent, "{} of {} bytes", came.len(), sent.len());
}

#[tokio::test]
async fn stopping_cuts_no_answer_off() {
    let echo = Echo::start(spec()).await.expect("started");
    let http = echo.http.expect("served");
    let mut idle = TcpStream::connect(echo.tcp.expect("served")).await.expect("up");
    let mut stream = TcpStream::connect(http).await.expect("up");
    stream.write_all(b"GET /?delay_ms=100&size=1 HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    tokio::time::sleep(Duration::from_millis(30)).await;
    let stopping = tokio::spawn(echo.stop(Duration::from_secs(5)));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(stopping.await.expect("stopped"), "all of it finished");
    assert_eq!(idle.read(&mut [0; 9]).await.expect("closed"), 0);
    assert!(TcpStream::connect(http).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_cannot_be_served_is_told() {
    let nothing = Echo::start(EchoSpec::default()).await.expect_err("nothing to serve");
    assert_eq!(nothing.to_string(), "cannot serve this: neither HTTP nor TCP");
    let first = Echo::start(spec()).await.expect("started");
    let taken = Echo::start(EchoSpec { http: first.tcp, ..spec() }).await.expect_err("taken");
    assert!(taken.to_string().starts_with("cannot listen on 127.0.0.1:"), "{taken}");
    assert!(Echo::start(EchoSpec { status: 99, ..spec() }).await.is_err());
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        let mut buffer = [0; 1024];
        let len = stream.read(&mut buffer).await.expect("still open");
        assert!(len > 0, "closed after {}", read.escape_ascii());
        read.extend_from_slice(&buffer[..len]);
    }
    String::from_utf8_lossy(&read).into_owned()
}
