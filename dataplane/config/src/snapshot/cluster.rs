//! Clusters and their endpoints.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tls::ClientContext;

use super::http::Http2;

/// Where a cluster stands in [`super::Snapshot::clusters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// `envoy.config.cluster.v3.Cluster` with its endpoints, compiled.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: Arc<str>,
    /// How endpoints are found.
    pub discovery: Discovery,
    /// How one is chosen.
    pub policy: LbPolicy,
    /// With a smaller share of usable endpoints, in percent, health is not looked at
    /// (`healthy_panic_threshold`, Envoy: 50; 0: it always is).
    pub panic_percent: u8,
    /// The endpoints as of this snapshot (empty for `OriginalDst`).
    pub endpoints: Arc<Endpoints>,
    /// The deadline for a connection to be made (Envoy: 5 s).
    pub connect_timeout: Duration,
    /// The transports in order of preference: the first whose criteria an endpoint's metadata has
    /// (`transport_socket_matches`), then `transport`.
    pub transport_matches: Vec<TransportMatch>,
    /// Used where nothing above matches.
    pub transport: UpstreamTransport,
    /// Local address to connect from (127.0.0.6 for inbound pass-through).
    pub bind: Option<IpAddr>,
    /// Limits per worker share, see `upstream`.
    pub limits: CircuitBreakers,
    /// Requests after which a connection is not used again (0: no limit).
    pub max_requests_per_connection: u32,
    /// Closes an idle upstream connection (Envoy: 1 h; `None`: never).
    pub idle_timeout: Option<Duration>,
    /// Replaces the port of an original destination.
    pub port_override: Option<u16>,
    /// What is spoken to it.
    pub protocol: UpstreamProtocol,
    /// How HTTP/2 is spoken to it.
    pub http2: Http2,
    /// TCP keep-alive after so many idle seconds.
    pub keepalive_s: Option<u32>,
}

/// `DiscoveryType`, the kinds that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// In the configuration.
    Static,
    /// By EDS.
    Eds,
    /// Where the connection was going before it was redirected.
    OriginalDst,
    /// By names, of which each address is a host.
    StrictDns,
    /// By a name, whose first address is where new connections go.
    LogicalDns,
}

/// `LbPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbPolicy {
    /// Weighted round robin.
    RoundRobin,
    /// The best of `choices` random ones (weights as Envoy does).
    LeastRequest {
        /// How many are looked at (Envoy: 2).
        choices: u32,
    },
    /// Weighted random.
    Random,
    /// `CLUSTER_PROVIDED`
    Provided,
}

/// `ClusterLoadAssignment`, compiled: the hosts of the highest priority that has any.
#[derive(Debug, Default)]
pub struct Endpoints {
    /// Grows with each change, so that a balancer knows to rebuild.
    pub version: u64,
    /// The hosts.
    pub hosts: Vec<Endpoint>,
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Its name (`Endpoint.hostname`, else the name that it was found by).
    pub hostname: Option<Arc<str>>,
    /// Its share (at least 1).
    pub weight: u32,
    /// Whether it may be chosen.
    pub health: Health,
    /// Index into the cluster's `transport_matches`; `None`: `transport`.
    pub transport: Option<usize>,
}

/// `HealthStatus`, as far as it makes a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// `HEALTHY` or not known.
    #[default]
    Healthy,
    /// `DEGRADED`: takes what too few healthy ones leave over.
    Degraded,
    /// `UNHEALTHY`, `DRAINING`, `TIMEOUT`.
    Unhealthy,
}

/// `TransportSocketMatch`.
#[derive(Clone, Debug)]
pub struct TransportMatch {
    /// Its name.
    pub name: Arc<str>,
    /// Keys and values that an endpoint's `envoy.transport_socket_match` metadata must have.
    pub criteria: Vec<(Box<str>, Box<str>)>,
    /// What is used then.
    pub transport: UpstreamTransport,
}

/// `raw_buffer` or `tls`.
#[derive(Clone, Debug)]
pub enum UpstreamTransport {
    /// Plain bytes.
    Raw,
    /// TLS.
    Tls(Arc<ClientContext>),
}

/// What HTTP is spoken upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2
    Http2,
    /// What the client speaks (`use_downstream_protocol_config`).
    Downstream,
    /// HTTP/2 where TLS agrees on it, else HTTP/1.1 (`auto_config`).
    Negotiated,
}

/// `CircuitBreakers.Thresholds` of default priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreakers {
    /// Connections (Envoy: 1024).
    pub max_connections: u32,
    /// Requests waiting for one (1024).
    pub max_pending: u32,
    /// Requests under way (1024).
    pub max_requests: u32,
}
