//! Clients that keep their connections and look at every answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Endpoint};

use crate::ads::status;

/// Which path a request takes: every third is answered without an upstream.
fn path(number: usize) -> &'static str {
    if number.is_multiple_of(3) { "/direct" } else { "/a" }
}

/// The generation of an answer, which is the same by all that it can be told by.
fn generation(path: &str, code: u32, header: &str, body: &str) -> u32 {
    assert_eq!(header, body, "{path}: head and body are of two generations");
    let generation = body.parse().unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"));
    let expected = if path == "/direct" { status(generation) } else { 200 };
    assert_eq!(code, expected, "{path} of generation {generation}");
    generation
}

/// Requests one after the other on one connection, so many at least, and until it is done. The
/// generations that were seen; none is older than the one before.
pub(crate) fn by_http_1(proxy: SocketAddr, requests: usize, done: &AtomicBool) -> Vec<u32> {
    let mut stream = TcpStream::connect(proxy).expect("the proxy accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let (mut seen, mut bytes): (Vec<u32>, Vec<u8>) = (Vec::new(), Vec::new());
    while seen.len() < requests || !done.load(Ordering::Relaxed) {
        let path = path(seen.len());
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the connection is kept");
        let (head, body) = answer(&mut stream, &mut bytes);
        let code = head.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
        let now = generation(path, code, field(&head, "x-generation"), &body);
        assert!(seen.last().is_none_or(|last| *last <= now), "{now} after {:?}", seen.last());
        seen.push(now);
    }
    seen
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = lines.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let value = values.next().unwrap_or_default();
    assert_eq!(values.next(), None, "{name} of two generations");
    value
}

fn answer(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> (String, String) {
    let mut chunk = [0; 4_096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let len: usize = field(&head, "content-length").parse().expect("a length");
            if let Some(body) = bytes.get(end + 4..end + 4 + len) {
                let body = String::from_utf8_lossy(body).into_owned();
                bytes.drain(..end + 4 + len);
                return (head, body);
            }
        }
        let length = stream.read(&mut chunk).expect("an answer");
        assert!(length > 0, "the connection is closed");
        bytes.extend_from_slice(&chunk[..length]);
    }
}

/// The same by HTTP/2, ten requests at a time on one connection.
pub(crate) fn by_http_2(proxy: SocketAddr, requests: usize, done: &AtomicBool) -> Vec<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{proxy}")).expect("an address");
        let channel = endpoint.connect().await.expect("the proxy accepts");
        let mut seen: Vec<u32> = Vec::new();
        while seen.len() < requests || !done.load(Ordering::Relaxed) {
            let oldest = seen.last().copied().unwrap_or_default();
            let mut calls = tokio::task::JoinSet::new();
            for number in seen.len()..seen.len() + 10 {
                calls.spawn(call(channel.clone(), proxy, path(number)));
            }
            let mut now = calls.join_all().await;
            now.sort_unstable();
            assert!(now[0] >= oldest, "{now:?} after {oldest}");
            seen.extend(now);
        }
        seen
    })
}

async fn call(mut channel: Channel, proxy: SocketAddr, path: &'static str) -> u32 {
    let request = http::Request::get(format!("http://{proxy}{path}"));
    let request = request.body(Body::empty()).expect("a request");
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("the connection stands");
    let answered = tokio::time::timeout(Duration::from_secs(20), channel.call(request)).await;
    let (head, body) = answered
        .unwrap_or_else(|_| panic!("{path} is not answered in time"))
        .expect("an answer")
        .into_parts();
    assert_eq!(head.version, http::Version::HTTP_2);
    let told: Vec<_> = head.headers.get_all("x-generation").iter().collect();
    assert_eq!(told.len(), 1, "{:?}", head.headers);
    let body = body.collect().await.expect("a body").to_bytes();
    let (told, body) = (told[0].to_str().expect("text"), String::from_utf8_lossy(&body));
    generation(path, u32::from(head.status.as_u16()), told, &body)
}
