//! What load to make.

use std::{net::SocketAddr, time::Duration};

use super::Error;

/// The most connections of one run.
pub const CONNECTIONS_MAX: usize = 10_000;

/// The highest rate of one run, in requests a second.
pub const RATE_MAX: f64 = 1_000_000.0;

/// The biggest request body or TCP payload, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Bytes that an echo server sends back: each round trip counts as a request.
    Tcp,
}

/// What load to make. [`LoadSpec::http`] and [`LoadSpec::tcp`] give one to begin with.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// Where to connect to.
    pub target: SocketAddr,
    /// What to speak.
    pub protocol: Protocol,
    /// The method of each request.
    pub method: String,
    /// The value of `host`.
    pub host: String,
    /// Path and query of each request.
    pub path: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// The body of each request; for TCP the bytes of each round trip.
    pub body: Vec<u8>,
    /// The body that each answer must have, if it matters.
    pub expected_body: Option<Vec<u8>>,
    /// Requests a second over all connections; `None` sends the next as soon as there is the
    /// answer to the last.
    pub rate: Option<f64>,
    /// How many connections share the work.
    pub connections: usize,
    /// Whether a connection serves more than one request, as far as the server lets it.
    pub keep_alive: bool,
    /// How long requests become due.
    pub duration: Option<Duration>,
    /// How many requests to make.
    pub requests: Option<u64>,
    /// How long to wait for a connection, and for each answer.
    pub timeout: Duration,
    /// Header fields of the answers whose values are to be counted, such as `x-version`.
    pub tally: Vec<String>,
}

impl LoadSpec {
    /// GET over one connection, as fast as answers come; says no end yet.
    pub fn http(target: SocketAddr, host: &str, path: &str) -> Self {
        Self {
            target,
            protocol: Protocol::Http,
            method: "GET".into(),
            host: host.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            expected_body: None,
            rate: None,
            connections: 1,
            keep_alive: true,
            duration: None,
            requests: None,
            timeout: Duration::from_secs(10),
            tally: Vec::new(),
        }
    }

    /// Round trips of 64 bytes over one connection; says no end yet.
    pub fn tcp(target: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, body: vec![0x5a; 64], ..Self::http(target, "", "") }
    }

    /// How many requests will become due, if that is known beforehand.
    pub fn total(&self) -> Option<u64> {
        let by_time = match (self.rate, self.duration) {
            (Some(rate), Some(duration)) => Some((rate * duration.as_secs_f64()).ceil() as u64),
            _ => None,
        };
        [self.requests, by_time].into_iter().flatten().min()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |what: &str, reason: String| Err(Error::spec(what, reason));
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return refuse("connections", format!("must be 1 to {CONNECTIONS_MAX}"));
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= RATE_MAX)) {
            return refuse("rate", format!("must be above 0 and at most {RATE_MAX}"));
        }
        if self.body.len() > BODY_BYTES_MAX {
            return refuse("body", format!("must be at most {BODY_BYTES_MAX} bytes"));
        }
        if self.protocol == Protocol::Tcp && self.body.is_empty() {
            return refuse("body", "must have a byte at least for TCP".into());
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "must be above 0".into());
        }
        Ok(())
    }
}
