//! Hosts that are checked: by HTTP/1, by bytes, by HTTP/2 and gRPC.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

use crate::wire;

/// The host that is down at first and good after the turn.
pub(super) const RISEN: u8 = 7;
/// The one that is good at first and fails, in a way that needs two failures, after the turn.
pub(super) const SUNK: u8 = 8;

/// What one proxy's hosts have seen.
pub(super) struct Origin {
    pub(super) port: u16,
    pub(super) port_by_http2: u16,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct State {
    has_turned: bool,
    turned: Turned,
    /// The checks of each host, each once.
    seen: BTreeMap<String, BTreeSet<String>>,
}

/// What came when after the turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Turned {
    /// Checks that the risen host passed before its first request.
    pub(super) good_before_first: u32,
    has_first: bool,
}

impl State {
    fn saw(&mut self, host: u8, check: String) {
        self.seen.entry(format!("host {host}")).or_default().insert(check);
    }

    /// A request that is no check has come.
    fn serves(&mut self, host: u8) {
        self.turned.has_first |= host == RISEN;
    }

    /// What a check by HTTP is answered with: the status and fields. `None`: nothing.
    fn answer(&mut self, host: u8, path: &str) -> Option<&'static str> {
        if path == "/degraded" {
            return Some(if host == 1 { "200 OK\r\nx-envoy-degraded: true" } else { "503 No" });
        }
        Some(match host {
            3 if path.contains("full") => "204 No Content",
            3 => "204 No Content\r\nx-envoy-degraded: true",
            2 => "503 No",
            4 => "500 No",
            5 => "200 OK\r\nx-envoy-degraded: true",
            6 => return None,
            RISEN if !self.has_turned => "503 No",
            RISEN => {
                self.turned.good_before_first += u32::from(!self.turned.has_first);
                "200 OK"
            }
            SUNK if self.has_turned => "500 No",
            _ => "200 OK",
        })
    }
}

impl Origin {
    pub(super) fn start() -> Self {
        // One port of all the addresses.
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().expect("a runtime");
        let bound = runtime.block_on(tokio::net::TcpListener::bind("0.0.0.0:0"));
        let listener = bound.expect("a port");
        let port_by_http2 = listener.local_addr().expect("an address").port();
        runtime.spawn(serve_http2(listener, Arc::clone(&state)));
        Self { port, port_by_http2, state, _runtime: runtime }
    }

    /// From now on one host rises and one sinks.
    pub(super) fn turn(&self) {
        self.state.lock().expect("state").has_turned = true;
    }

    pub(super) fn turned(&self) -> Turned {
        self.state.lock().expect("state").turned.clone()
    }

    /// The checks of each host, each once.
    pub(super) fn seen(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.state.lock().expect("state").seen.clone()
    }
}

/// Which host is meant.
fn number(address: SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[3],
        SocketAddr::V6(_) => 0,
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let host = number(stream.local_addr().expect("an address"));
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..length]);
        if bytes == b"PING" {
            bytes.clear();
            state.lock().expect("state").saw(host, "PING".to_owned());
            let answer: &[u8] = match host {
                1 => b"+PO+NG",
                2 => b"NGPO",
                3 => b"",
                _ => return,
            };
            let _ = stream.write_all(answer);
        }
        while let Some(message) = wire::take(&mut bytes, false, false) {
            let mut words = message.start.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let mut state = state.lock().expect("state");
            let answer = if path.ends_with("/x") {
                state.serves(host);
                let body = format!("host {host}");
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            } else {
                let answer = state.answer(host, path);
                let is_empty = method == "HEAD" || answer.is_some_and(|it| it.starts_with("204"));
                let length = if is_empty { "" } else { "content-length: 0\r\n" };
                state.saw(host, format!("{message:?}"));
                answer.map(|it| format!("HTTP/1.1 {it}\r\n{length}\r\n")).unwrap_or_default()
            };
            drop(state);
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

type Body = StreamBody<tokio_stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn serve_http2(listener: tokio::net::TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let host = number(stream.local_addr().expect("an address"));
        let state = Arc::clone(&state);
        let service = hyper::service::service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(answer(host, request, &state).await) }
        });
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(served);
    }
}

async fn answer(host: u8, request: Request<Incoming>, state: &Mutex<State>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    if path.ends_with("/x") {
        return with(200, vec![Frame::data(format!("host {host}").into())]);
    }
    let mut fields: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    // docs/differences-from-envoy.md: our calls say how long they are.
    fields.retain(|(name, _)| *name != "content-length");
    fields.sort();
    let mut state = state.lock().expect("state");
    state.saw(host, format!("{} {} {fields:?} {body:?}", head.method, head.uri));
    if path == "/check" {
        let answer = state.answer(host, &path).unwrap_or("503");
        return with(answer[..3].parse().expect("a status"), Vec::new());
    }
    // Serving, not serving, not known, unavailable.
    let (serving, status) = match host {
        1 => (Some(1), "0"),
        2 => (Some(2), "0"),
        3 => (None, "5"),
        _ => (None, "14"),
    };
    let message = serving.map(|serving| Frame::data(vec![0, 0, 0, 0, 2, 8, serving].into()));
    let trailers: HeaderMap =
        [("grpc-status".parse().expect("a name"), status.parse().expect("a value"))]
            .into_iter()
            .collect();
    let frames = message.into_iter().chain([Frame::trailers(trailers)]).collect();
    let mut response = with(200, frames);
    let kind = "application/grpc".parse().expect("a value");
    response.headers_mut().insert("content-type", kind);
    response
}

fn with(status: u16, frames: Vec<Frame<Bytes>>) -> Response<Body> {
    let frames: Vec<_> = frames.into_iter().map(Ok).collect();
    let response = Response::builder().status(status);
    response.body(StreamBody::new(tokio_stream::iter(frames))).expect("an answer")
}
