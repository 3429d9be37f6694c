//! The names and numbers that sidecars and control planes of Istio's kind agree on.

mod cluster;
pub mod ports;
mod spiffe;

pub use cluster::{ClusterName, ClusterNameError, Direction};
pub use spiffe::{SpiffeError, SpiffeId};

/// The listener on 15001 that all outgoing connections are redirected to.
pub const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// The listener on 15006 that all incoming connections are redirected to.
pub const VIRTUAL_INBOUND: &str = "virtualInbound";
/// Sends a connection on to where it was going.
pub const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// Has no endpoints: what goes here ends.
pub const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";
/// Sends an incoming connection to the application, with a source that is not redirected again.
pub const INBOUND_PASSTHROUGH_CLUSTER: &str = "InboundPassthroughCluster";
/// The source address of what a sidecar sends to its own application (IPv4).
pub const INBOUND_SOURCE_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 6);
/// The source address of what a sidecar sends to its own application (IPv6).
pub const INBOUND_SOURCE_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);

/// The SDS name of the workload's own certificate and key.
pub const SDS_IDENTITY: &str = "default";
/// The SDS name of the roots that peers are verified with.
pub const SDS_ROOTS: &str = "ROOTCA";
/// The cluster that names the in-process secret source.
pub const SDS_CLUSTER: &str = "sds-grpc";
/// The cluster that names the control plane.
pub const XDS_CLUSTER: &str = "xds-grpc";

/// ALPN values that mark traffic between sidecars.
pub const ALPN_MESH: [&str; 5] =
    ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// The user id that a sidecar runs as and that redirect rules leave alone.
pub const PROXY_UID: u32 = 1337;

#[cfg(test)]
mod tests;
