//! A server to test with: answers HTTP/1.1, and HTTP/2 by prior knowledge, with what it was asked,
//! and TCP with what it got.
//!
//! An answer is JSON of method, path, header fields, the server's version label and the peer's
//! address, with the label in `x-version` too. A request's query may ask for another answer:
//! `?status=503`, `?delay_ms=10`, `?size=1000` (a body of that many bytes, see [`pattern`]),
//! `?chunked`. A request with `upgrade` gets 101 and then its own bytes back.

mod answer;
mod http;
mod server;
mod tcp;

#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, time::Duration};

pub use answer::{BODY_BYTES_MAX, DELAY_MAX, pattern};
pub use server::{CONNECTIONS_MAX, Echo};

/// What to serve.
#[derive(Clone, Debug)]
pub struct EchoSpec {
    /// Where to serve HTTP/1.1 and HTTP/2, if at all; port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Where to serve TCP, if at all; port 0 takes a free one.
    pub tcp: Option<SocketAddr>,
    /// The label in answers, such as `v1`.
    pub version: String,
    /// The status of answers.
    pub status: u16,
    /// How long to wait before each answer.
    pub delay: Duration,
    /// A body of this size instead of JSON, see [`pattern`].
    pub body_bytes: Option<usize>,
}

impl Default for EchoSpec {
    fn default() -> Self {
        Self {
            http: None,
            tcp: None,
            version: "v1".into(),
            status: 200,
            delay: Duration::ZERO,
            body_bytes: None,
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is the port taken, or below 1024?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to serve, or it is beyond the limits.
    #[error("cannot serve this: {0}")]
    Spec(String),
}
