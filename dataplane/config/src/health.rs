//! Active health checks: what is asked of a host, how often, and what its answers mean.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::snapshot::{Health, UpstreamTransport};

/// `HealthCheck`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// How long an answer may take, with the connection to be made.
    pub timeout: Duration,
    /// How long until the next check.
    pub intervals: Intervals,
    /// So many failures in a row make a host unhealthy. An answer that says so does at once.
    pub unhealthy_threshold: u32,
    /// So many successes in a row make a host healthy again. The first check of all does at once.
    pub healthy_threshold: u32,
    /// The next check uses the same connection (HTTP and gRPC).
    pub reuse_connection: bool,
    /// The application protocols to offer instead of the cluster's (`tls_options`).
    pub alpn: Vec<Vec<u8>>,
    /// Chooses the transport in place of the endpoint's metadata
    /// (`transport_socket_match_criteria`).
    pub criteria: Option<Vec<(Box<str>, Box<str>)>>,
}

/// The times from the end of one check to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// Of a host that stays healthy (`interval`).
    pub usual: Duration,
    /// Of a host that stays unhealthy (`unhealthy_interval`).
    pub unhealthy: Duration,
    /// After a success that does not make it healthy yet (`healthy_edge_interval`).
    pub healthy_edge: Duration,
    /// After a failure that does not make it unhealthy yet (`unhealthy_edge_interval`).
    pub unhealthy_edge: Duration,
    /// Before the first check, a random time below it (`initial_jitter`).
    pub initial_jitter: Duration,
    /// A random time below it is added (`interval_jitter`).
    pub jitter: Duration,
    /// A random part of the time up to that many hundredths is added (`interval_jitter_percent`).
    pub jitter_percent: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A request.
    Http(HttpCheck),
    /// A connection, and perhaps bytes.
    Tcp(TcpCheck),
    /// `grpc.health.v1.Health/Check`
    Grpc(GrpcCheck),
}

/// `HttpHealthCheck`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// `host`, where the endpoint has no name of its own for this.
    pub host: String,
    /// The path, with its query.
    pub path: String,
    /// The method.
    pub method: String,
    /// Removed before the others are added.
    pub remove: Vec<String>,
    /// Fields to add, and whether each takes the place of one that is there.
    pub add: Vec<(String, String, bool)>,
    /// The statuses of a healthy host.
    pub expected: Vec<Range<u16>>,
    /// Those that count as one failure of several, and not as a verdict.
    pub retriable: Vec<Range<u16>>,
    /// By HTTP/2.
    pub http2: bool,
}

/// `TcpHealthCheck`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// Sent once connected.
    pub send: Vec<u8>,
    /// What has to be found in the answer, in this order. Empty: to be connected is enough.
    pub receive: Vec<Vec<u8>>,
}

/// `GrpcHealthCheck`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCheck {
    /// The service that is asked about; empty: the server as a whole.
    pub service: String,
    /// `authority`, where the endpoint has no name of its own for this.
    pub authority: String,
    /// Goes along.
    pub metadata: Vec<(String, String)>,
}

/// A host that has to be checked.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its cluster's name.
    pub cluster: Arc<str>,
    /// Its address, which names it in the cluster.
    pub host: SocketAddr,
    /// Where the check goes.
    pub target: SocketAddr,
    /// The name that it is asked under.
    pub authority: Arc<str>,
    /// How it is reached.
    pub transport: UpstreamTransport,
    /// Local address to connect from.
    pub bind: Option<IpAddr>,
    /// What is asked.
    pub check: Arc<HealthCheck>,
}

impl Probe {
    /// Nothing about it has changed.
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |probe: &Self| (probe.host, probe.target, probe.bind);
        self.transport.is_same(&other.transport)
            && of(self) == of(other)
            && (&self.cluster, &self.authority) == (&other.cluster, &other.authority)
            && self.check == other.check
    }
}

/// What a check has found out about a host, with all checks before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its cluster's name.
    pub cluster: Arc<str>,
    /// Its address.
    pub host: SocketAddr,
    /// What it is.
    pub health: Health,
}
