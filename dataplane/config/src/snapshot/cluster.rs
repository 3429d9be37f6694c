//! Clusters and their endpoints.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tls::ClientContext;

use super::http::Http2;
use super::http1::Http1;
use super::outlier::OutlierDetection;

/// Where a cluster stands in [`super::Snapshot::clusters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

impl ClusterId {
    /// No cluster has it.
    pub const NOBODY: Self = Self(u32::MAX);
}

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
    /// What every policy is told besides.
    pub balance: Balance,
    /// Requests may ask for hosts with certain metadata (`lb_subset_config`).
    pub subsets: Option<Arc<Subsets>>,
    /// How hosts are judged by what they answer (`None`: they are not).
    pub outlier: Option<Arc<OutlierDetection>>,
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
    /// How HTTP/1.1 is spoken to it.
    pub http1: Http1,
    /// How HTTP/2 is spoken to it.
    pub http2: Http2,
    /// The largest head of an answer in KiB (`max_response_headers_kb`, Envoy: 60).
    pub max_head_kib: u32,
    /// The most fields of an answer (`max_headers_count`, Envoy: 100).
    pub max_fields: u32,
    /// A connection that is older takes no more requests (`max_connection_duration`; `None`: it
    /// does).
    pub max_connection_duration: Option<Duration>,
    /// How TCP probes hosts that are silent (`None`: not at all).
    pub tcp_probes: Option<TcpProbes>,
    /// What of TLS follows from a request's host.
    pub host_names: Option<HostNames>,
}

impl Cluster {
    /// The transport that an endpoint has chosen among the matches, or the usual one.
    pub fn transport_of(&self, chosen: Option<usize>) -> &UpstreamTransport {
        let matched = chosen.and_then(|at| self.transport_matches.get(at));
        matched.map_or(&self.transport, |matched| &matched.transport)
    }
}

/// `TcpKeepalive`; what is not said is the kernel's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpProbes {
    /// Seconds of silence before the first probe.
    pub idle_s: Option<u32>,
    /// Seconds from one probe to the next.
    pub interval_s: Option<u32>,
    /// So many without an answer end the connection.
    pub probes: Option<u32>,
}

/// `UpstreamHttpProtocolOptions`: what the host that a request names means for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    /// It is the server name to ask for (`auto_sni`).
    pub sni: bool,
    /// The certificate must have it (`auto_san_validation`).
    pub san: bool,
    /// The field, in lower case, that names it in place of the authority where a request has it.
    pub field: Option<Box<[u8]>>,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LbPolicy {
    /// Weighted round robin.
    RoundRobin,
    /// The best of `choices` random ones (weights as Envoy does).
    LeastRequest {
        /// How many are looked at (Envoy: 2).
        choices: u32,
        /// What requests under way count against a weight (`active_request_bias`, Envoy: 1).
        bias: f64,
    },
    /// Random, whatever the weights are.
    Random,
    /// `CLUSTER_PROVIDED`
    Provided,
    /// The host whose place on a ring is the next one to the request's hash.
    RingHash {
        /// Places on the ring, at least (Envoy: 1024).
        min: u64,
        /// At the most (8 Mi).
        max: u64,
        /// What the hosts' places are hashed with.
        function: HashFunction,
    },
    /// The host that a table of this prime size has for the request's hash.
    Maglev {
        /// Places in the table (Envoy: 65537).
        table_size: u32,
    },
}

impl LbPolicy {
    /// The host follows from the request's hash.
    pub fn is_hashing(&self) -> bool {
        matches!(self, Self::RingHash { .. } | Self::Maglev { .. })
    }
}

/// `RingHashLbConfig.HashFunction`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    /// `XX_HASH`
    #[default]
    Xx,
    /// `MURMUR_HASH_2`
    Murmur2,
}

/// Metadata under `envoy.lb`: keys in order, and values in a form of which equal ones are equal.
pub type Labels = Box<[(Box<str>, Box<str>)]>;

/// `LbSubsetConfig`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subsets {
    /// The keys that hosts are told apart by (at least one list of them).
    pub selectors: Vec<Selector>,
    /// Who serves a request for which there is no subset.
    pub fallback: Fallback,
    /// What hosts of the default subset have.
    pub default: Labels,
    /// Localities have their shares in a subset too (`locality_weight_aware`).
    pub by_locality: bool,
}

/// `LbSubsetSelector`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// In order.
    pub keys: Box<[Box<str>]>,
    /// In place of the cluster's, for requests that ask for these keys.
    pub fallback: Option<Fallback>,
}

/// `LbSubsetFallbackPolicy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Nobody.
    #[default]
    Nobody,
    /// Any host.
    Any,
    /// One of the default subset.
    Default,
}

/// `CommonLbConfig`, and what of the policies' own settings they share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// Localities have shares (`locality_weighted_lb_config`).
    pub by_locality: bool,
    /// Where too few hosts are usable there is none, instead of all
    /// (`zone_aware_lb_config.fail_traffic_on_panic`).
    pub fail_on_panic: bool,
    /// A host takes at most so many percent of its share of the requests under way
    /// (`hash_balance_factor`; `None`: no limit).
    pub hash_percent: Option<u32>,
    /// New hosts get their share little by little.
    pub slow_start: Option<SlowStart>,
}

/// `SlowStartConfig`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// For so long after a host has come.
    pub window: Duration,
    /// How soon its weight grows (1: evenly).
    pub aggression: f64,
    /// Its weight at first, as a part of 1 (Envoy: 0.1).
    pub min_share: f64,
}

/// `ClusterLoadAssignment`, compiled.
#[derive(Debug)]
pub struct Endpoints {
    /// Grows with each change, so that a balancer knows to rebuild.
    pub version: u64,
    /// The hosts, in the order of the configuration.
    pub hosts: Vec<Endpoint>,
    /// Where they stand, in the order of their names.
    pub localities: Vec<Locality>,
    /// What a hundredth of the hosts is trusted with, in hundredths of the requests
    /// (`overprovisioning_factor`, Envoy: 140).
    pub overprovisioning_percent: u32,
    /// A priority's health goes by the weights of its hosts, not by their number
    /// (`weighted_priority_health`).
    pub weighted_health: bool,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            version: 0,
            hosts: Vec::new(),
            localities: Vec::new(),
            overprovisioning_percent: 140,
            weighted_health: false,
        }
    }
}

impl Endpoints {
    /// It says the same, whatever its version is.
    pub fn is_same(&self, other: &Self) -> bool {
        self.hosts == other.hosts
            && self.localities == other.localities
            && self.overprovisioning_percent == other.overprovisioning_percent
            && self.weighted_health == other.weighted_health
    }
}

/// `LocalityLbEndpoints`: hosts of one priority that stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locality {
    /// Its share among those of its priority, where localities have shares.
    pub weight: u32,
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Others of the same host, tried in this order where the first does not answer soon
    /// (`additional_addresses`; of a `LOGICAL_DNS` name all but the first).
    pub others: Option<Arc<[SocketAddr]>>,
    /// Its name (`Endpoint.hostname`, else the name that it was found by), for routes that put it
    /// into requests (`auto_host_rewrite`).
    pub hostname: Option<Arc<str>>,
    /// Its share (at least 1).
    pub weight: u32,
    /// Whether it may be chosen, all things considered.
    pub health: Health,
    /// As it is configured.
    pub configured: Health,
    /// What its checks say (`None`: it is not checked).
    pub checked: Option<Health>,
    /// 0 is the first choice.
    pub priority: u32,
    /// Index into the localities.
    pub locality: u32,
    /// What it is hashed by (`None`: its address).
    pub hash_key: Option<Arc<str>>,
    /// Index into the cluster's `transport_matches`; `None`: `transport`.
    pub transport: Option<usize>,
    /// What of its metadata the cluster's subsets go by.
    pub labels: Option<Arc<Labels>>,
}

impl Endpoint {
    /// A healthy host of the first priority.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            others: None,
            hostname: None,
            weight: 1,
            health: Health::Healthy,
            configured: Health::Healthy,
            checked: None,
            priority: 0,
            locality: 0,
            hash_key: None,
            transport: None,
            labels: None,
        }
    }
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

/// `raw_buffer` or `tls`, or `upstream_proxy_protocol` around one of them.
#[derive(Clone, Debug)]
pub enum UpstreamTransport {
    /// Plain bytes.
    Raw,
    /// TLS.
    Tls(Arc<ClientContext>),
    /// Either, behind a header that tells of the client.
    Proxied(ProxyVersion, Option<Arc<ClientContext>>),
}

impl UpstreamTransport {
    /// What protects it.
    pub fn tls(&self) -> Option<&Arc<ClientContext>> {
        match self {
            Self::Raw => None,
            Self::Tls(context) => Some(context),
            Self::Proxied(_, context) => context.as_ref(),
        }
    }

    /// What stands before it.
    pub fn proxy(&self) -> Option<ProxyVersion> {
        match self {
            Self::Raw | Self::Tls(_) => None,
            Self::Proxied(version, _) => Some(*version),
        }
    }

    /// The same, with other TLS.
    pub fn with_tls(&self, context: Arc<ClientContext>) -> Self {
        match self {
            Self::Raw | Self::Tls(_) => Self::Tls(context),
            Self::Proxied(version, _) => Self::Proxied(*version, Some(context)),
        }
    }

    /// It is the very same.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_tls = match (self.tls(), other.tls()) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same_tls && self.proxy() == other.proxy()
    }
}

/// `ProxyProtocolConfig.Version`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitBreakers {
    /// Connections (Envoy: 1024).
    pub max_connections: u32,
    /// Requests waiting for one (1024).
    pub max_pending: u32,
    /// Requests under way (1024).
    pub max_requests: u32,
    /// Retries under way (3).
    pub max_retries: u32,
    /// Takes the place of `max_retries`.
    pub retry_budget: Option<RetryBudget>,
}

impl CircuitBreakers {
    /// Nothing is limited.
    pub const UNLIMITED: Self = Self {
        max_connections: u32::MAX,
        max_pending: u32::MAX,
        max_requests: u32::MAX,
        max_retries: u32::MAX,
        retry_budget: None,
    };
}

/// `RetryBudget`: retries under way as a part of all requests under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// In percent (Envoy: 20).
    pub percent: f64,
    /// So many may always be (3).
    pub min: u32,
}
