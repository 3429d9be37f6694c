//! What load to make.

use std::{fmt, net::SocketAddr, time::Duration};

use ring::Which;

use super::Error;

/// The most connections of one run.
pub const CONNECTIONS_MAX: usize = 10_000;

/// The highest rate of one run, in requests a second.
pub const RATE_MAX: f64 = 1_000_000.0;

/// The most threads of one run.
pub const THREADS_MAX: usize = 64;

/// The most streams of one connection.
pub const STREAMS_MAX: usize = 1_000;

/// The most streams of one run.
const SLOTS_MAX: usize = 100_000;

/// The biggest request body or TCP payload that is kept in memory, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The most bytes of one TCP round trip.
const TRIP_BYTES_MAX: u64 = 1 << 40;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Bytes that an echo server sends back: each round trip counts as a request.
    Tcp,
    /// HTTP/2: by prior knowledge, or under TLS by ALPN.
    Http2,
    /// Unary calls of gRPC over HTTP/2, each with `body` as its message.
    Grpc,
}

/// What load to make. [`LoadSpec::http`] and [`LoadSpec::tcp`] give one to begin with.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// Where to connect to.
    pub target: SocketAddr,
    /// What to speak.
    pub protocol: Protocol,
    /// What protects it, if anything.
    pub tls: Option<TlsSpec>,
    /// The method of each request.
    pub method: String,
    /// The value of `host`.
    pub host: String,
    /// Path and query of each request.
    pub path: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// The body of each request; for TCP the bytes of each round trip, for gRPC the message.
    pub body: Vec<u8>,
    /// The bytes of each TCP round trip, `body` repeated as often as it takes; `None` for `body`
    /// as it is. However many they are, they are never all in memory.
    pub trip_bytes: Option<u64>,
    /// The body that each answer must have, for gRPC the message, if it matters.
    pub expected_body: Option<Vec<u8>>,
    /// Requests a second over all connections; `None` sends the next as soon as there is the
    /// answer to the last.
    pub rate: Option<f64>,
    /// How many connections share the work.
    pub connections: usize,
    /// How many requests a connection may have on their way at once: HTTP/2's streams. With more
    /// than the server allows some wait for their turn, which counts.
    pub streams: usize,
    /// Whether a connection serves more than one request, as far as the server lets it.
    pub keep_alive: bool,
    /// Whether connections are closed by a reset. Then none of their ports has to wait for a
    /// minute, so that any number of connections a second can be opened for any time.
    pub reset: bool,
    /// How long requests become due.
    pub duration: Option<Duration>,
    /// How many requests to make.
    pub requests: Option<u64>,
    /// How long the connections are held open, idle, after the last answer. With as many requests
    /// as connections each of them makes one and is then held.
    pub hold: Option<Duration>,
    /// How long to wait for a connection, and for each answer.
    pub timeout: Duration,
    /// Header fields of the answers whose values are to be counted, such as `x-version`.
    pub tally: Vec<String>,
    /// How many threads make the load, each with its share of connections and requests.
    pub threads: usize,
    /// The CPUs that the threads are pinned to, one after the other; empty: none is pinned.
    pub cpus: Vec<usize>,
    /// How the kernel is asked: io_uring, epoll, or the first of them that works.
    pub driver: Which,
}

/// TLS from the generator's side.
#[derive(Clone, Default)]
pub struct TlsSpec {
    /// The roots, in PEM, that the server's certificate must lead to. `None`: it is not verified.
    pub roots: Option<Vec<u8>>,
    /// The generator's own certificate chain and its key, in PEM, for servers that ask.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the server is asked for and that its certificate must have: a DNS name, or a
    /// SPIFFE id, for which no server name is sent.
    pub server_name: Option<String>,
    /// Whether later connections may resume the session of earlier ones.
    pub resume: bool,
}

/// Shows no key.
impl fmt::Debug for TlsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSpec")
            .field("verified", &self.roots.is_some())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .field("resume", &self.resume)
            .finish()
    }
}

impl LoadSpec {
    /// GET over one connection, as fast as answers come; says no end yet.
    pub fn http(target: SocketAddr, host: &str, path: &str) -> Self {
        Self {
            target,
            protocol: Protocol::Http,
            tls: None,
            method: "GET".into(),
            host: host.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            trip_bytes: None,
            expected_body: None,
            rate: None,
            connections: 1,
            streams: 1,
            keep_alive: true,
            reset: false,
            duration: None,
            requests: None,
            hold: None,
            timeout: Duration::from_secs(10),
            tally: Vec::new(),
            threads: 1,
            cpus: Vec::new(),
            driver: Which::Auto,
        }
    }

    /// Round trips of 64 bytes over one connection; says no end yet.
    pub fn tcp(target: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, body: vec![0x5a; 64], ..Self::http(target, "", "") }
    }

    /// Unary calls of gRPC with an empty message over one connection; says no end yet.
    pub fn grpc(target: SocketAddr, host: &str, path: &str) -> Self {
        let post = Self::http(target, host, path);
        Self { protocol: Protocol::Grpc, method: "POST".into(), ..post }
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
        if self.threads == 0 || self.threads > THREADS_MAX.min(self.connections) {
            let reason = format!("must be 1 to {THREADS_MAX}, and no more than connections");
            return refuse("threads", reason);
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= RATE_MAX)) {
            return refuse("rate", format!("must be above 0 and at most {RATE_MAX}"));
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "must be above 0".into());
        }
        self.check_streams()?;
        self.check_bytes()
    }

    fn check_streams(&self) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::spec("streams", reason));
        if self.streams == 0 || self.streams > STREAMS_MAX {
            return refuse(format!("must be 1 to {STREAMS_MAX}"));
        }
        if self.streams > 1 && matches!(self.protocol, Protocol::Http | Protocol::Tcp) {
            return refuse("are HTTP/2's; speak HTTP/2 or gRPC, or use more connections".into());
        }
        if self.streams > 1 && !self.keep_alive {
            return refuse("must be 1 where each request has a connection of its own".into());
        }
        if self.streams * self.connections > SLOTS_MAX {
            return refuse(format!("must be at most {SLOTS_MAX} over all connections"));
        }
        if self.protocol == Protocol::Grpc && self.method != "POST" {
            return Err(Error::spec("method", "must be POST for gRPC".into()));
        }
        Ok(())
    }

    fn check_bytes(&self) -> Result<(), Error> {
        let refuse = |what: &str, reason: String| Err(Error::spec(what, reason));
        if self.body.len() > BODY_BYTES_MAX {
            return refuse("body", format!("must be at most {BODY_BYTES_MAX} bytes"));
        }
        if self.protocol == Protocol::Tcp && self.body.is_empty() {
            return refuse("body", "must have a byte at least for TCP".into());
        }
        if let Some(bytes) = self.trip_bytes {
            if self.protocol != Protocol::Tcp {
                return refuse("trip_bytes", "are for TCP; a request has a body".into());
            }
            if bytes == 0 || bytes > TRIP_BYTES_MAX {
                return refuse("trip_bytes", format!("must be 1 to {TRIP_BYTES_MAX}"));
            }
        }
        Ok(())
    }
}
