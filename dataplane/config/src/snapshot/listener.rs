//! Listeners and filter chains.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tls::ServerContext;

use super::{AccessLog, Gate, HttpManager, NetworkRbac, TcpProxy};

/// `envoy.config.listener.v3.Listener`, compiled.
#[derive(Debug)]
pub struct Listener {
    /// Its name, for logs and statistics.
    pub name: Arc<str>,
    /// Where it listens, or what it answers for if `bound` is `None`.
    pub address: SocketAddr,
    /// The listening sockets, one a worker. `None`: `bind_to_port: false`, reached by hand-off.
    pub bound: Option<Arc<Bound>>,
    /// Hands connections to the listener that owns their original destination.
    pub use_original_dst: bool,
    /// The original destination is recovered before a chain is chosen
    /// (`envoy.filters.listener.original_dst`).
    pub original_dst: bool,
    /// A proxy in front tells of the client (`envoy.filters.listener.proxy_protocol`), before
    /// anything else is looked at.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Looks for a ClientHello (`envoy.filters.listener.tls_inspector`).
    pub tls_inspector: Option<PortRule>,
    /// Looks for HTTP (`envoy.filters.listener.http_inspector`).
    pub http_inspector: Option<PortRule>,
    /// How long the inspectors may wait; `None`: for ever (Envoy: 0), default 15 s.
    pub inspect_timeout: Option<Duration>,
    /// On that timeout goes on with what is known instead of closing.
    pub continue_on_timeout: bool,
    /// The chains in the order of the configuration.
    pub chains: Vec<Arc<FilterChain>>,
    /// Used when no chain matches.
    pub default_chain: Option<Arc<FilterChain>>,
    /// Soft limit on buffered bytes a connection (Envoy: 1 MiB).
    pub buffer_limit: u32,
    /// Who writes a line of each connection.
    pub access_log: Vec<AccessLog>,
}

/// `ProxyProtocol`: what is read before a client's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Where it is read.
    pub rule: PortRule,
    /// A connection may begin without it (`allow_requests_without_proxy_protocol`).
    pub is_optional: bool,
    /// Version 1 is read.
    pub v1: bool,
    /// Version 2 is read.
    pub v2: bool,
}

/// When an inspector is *not* run (`filter_disabled`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRule {
    /// Destination ports, as half-open ranges, on which it is off.
    pub disabled: Vec<(u32, u32)>,
    /// `not_match`: it is off everywhere but there.
    pub inverted: bool,
}

/// Sockets that already listen.
#[derive(Debug, Default)]
pub struct Bound {
    /// One a worker, all on the same port.
    pub sockets: Vec<TcpListener>,
}

/// `FilterChain`, compiled.
#[derive(Debug)]
pub struct FilterChain {
    /// Its name.
    pub name: Arc<str>,
    /// What it asks of a connection.
    pub matches: ChainMatch,
    /// Terminates TLS with this; `None` is raw bytes.
    pub tls: Option<Arc<ServerContext>>,
    /// How long the handshake may take (`transport_socket_connect_timeout`).
    pub tls_timeout: Option<Duration>,
    /// Judges before the terminal filter.
    pub rbac: Vec<Arc<NetworkRbac>>,
    /// What counts connections, in order.
    pub gates: Vec<Gate>,
    /// A TCP proxy at the end goes to the cluster that is named as the server that the client asks
    /// for (`envoy.filters.network.sni_cluster`).
    pub cluster_by_sni: bool,
    /// The terminal filter.
    pub terminal: Terminal,
}

/// `FilterChainMatch`. An empty list or `None` asks nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChainMatch {
    /// The destination port.
    pub destination_port: Option<u16>,
    /// The destination address.
    pub prefixes: Vec<IpNet>,
    /// Server names, lower case: exact, or `*.suffix`.
    pub server_names: Vec<Box<str>>,
    /// The transport.
    pub transport: Option<Transport>,
    /// One of the application protocols that the client offers.
    pub alpn: Vec<Box<[u8]>>,
    /// The address of the direct peer.
    pub direct_source_prefixes: Vec<IpNet>,
    /// Local or external source.
    pub source_type: SourceType,
    /// The source address.
    pub source_prefixes: Vec<IpNet>,
    /// The source port.
    pub source_ports: Vec<u16>,
}

/// `transport_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `raw_buffer`
    Raw,
    /// `tls`
    Tls,
}

/// `ConnectionSourceType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceType {
    /// Whoever.
    #[default]
    Any,
    /// The same host or loopback.
    Local,
    /// Any other host.
    External,
}

/// The last filter of a chain.
#[derive(Debug)]
pub enum Terminal {
    /// `envoy.filters.network.tcp_proxy`
    Tcp(Arc<TcpProxy>),
    /// `envoy.filters.network.http_connection_manager`
    Http(Arc<HttpManager>),
}
