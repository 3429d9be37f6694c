//! What a request is answered with.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
};
use serde_json::{Map, Value, json};

use super::EchoSpec;

/// The biggest body that can be asked for.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// The longest delay that can be asked for.
pub const DELAY_MAX: Duration = Duration::from_secs(60);

/// How much goes out at once.
const FRAME_BYTES: usize = 64 * 1024;

/// So many bytes that a reader can check: letters in order, over and over.
pub fn pattern(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

/// What a request asks for, in its query, or else the server's own settings.
pub(super) struct Wish {
    pub(super) status: u16,
    pub(super) delay: Duration,
    size: Option<usize>,
    chunked: bool,
}

impl Wish {
    pub(super) fn of(spec: &EchoSpec, request: &Parts) -> Self {
        let mut wish =
            Self { status: spec.status, delay: spec.delay, size: spec.body_bytes, chunked: false };
        for pair in request.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "status" => {
                    let status = value.parse().ok().filter(|status| (200..=999).contains(status));
                    wish.status = status.unwrap_or(400);
                }
                "delay_ms" => {
                    wish.delay =
                        Duration::from_millis(value.parse().unwrap_or_default()).min(DELAY_MAX);
                }
                "size" => {
                    wish.size = value.parse().ok().map(|size: usize| size.min(BODY_BYTES_MAX))
                }
                "chunked" => wish.chunked = true,
                _ => {}
            }
        }
        wish
    }

    /// The answer to a request whose body had so many bytes with that sum.
    pub(super) fn answer(
        &self,
        spec: &EchoSpec,
        request: &Parts,
        peer: SocketAddr,
        body: Received,
    ) -> Response<Text> {
        let (bytes, kind) = match self.size {
            Some(size) => (pattern(size), "text/plain"),
            None => (describe(spec, request, peer, body).into_bytes(), "application/json"),
        };
        let mut response = Response::new(Text { left: bytes.into(), chunked: self.chunked });
        *response.status_mut() = self.status.try_into().unwrap_or_default();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(version) = HeaderValue::from_str(&spec.version) {
            response.headers_mut().insert("x-version", version);
        }
        response
    }
}

/// A request's body as far as an answer tells of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Received {
    bytes: u64,
    sum: Fnv,
}

/// FNV-1a, 64 bits.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Received {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.sum.0 = (self.sum.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

fn describe(spec: &EchoSpec, request: &Parts, peer: SocketAddr, body: Received) -> String {
    let mut headers = Map::new();
    for name in request.headers.keys() {
        let values: Vec<_> = request.headers.get_all(name).iter().collect();
        let values = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        headers.insert(name.to_string(), Value::String(values.collect::<Vec<_>>().join(", ")));
    }
    let mut text = json!({
        "version": spec.version,
        "method": request.method.as_str(),
        "path": request.uri.to_string(),
        "headers": headers,
        "peer": peer.to_string(),
        "body_bytes": body.bytes,
        "body_fnv1a": format!("{:016x}", body.sum.0),
    })
    .to_string();
    text.push('\n');
    text
}

/// A body of bytes that are at hand.
pub(super) struct Text {
    left: Bytes,
    chunked: bool,
}

impl Text {
    pub(super) fn empty() -> Self {
        Self { left: Bytes::new(), chunked: false }
    }
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.left.len().min(FRAME_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.chunked
    }

    fn size_hint(&self) -> SizeHint {
        // What has no known size goes out in chunks.
        if self.chunked {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.left.len() as u64)
        }
    }
}

/// Whether a request asks to leave HTTP behind.
pub(super) fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(hyper::header::UPGRADE)
}
