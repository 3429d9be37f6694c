//! The cluster that leads to the control plane. The agent connects to it by its own means (gRPC on
//! its thread), so it may be what the traffic's clusters may not: a name, a Unix socket, HTTP/2.

use std::path::PathBuf;
use std::time::Duration;

use api::envoy::cluster::Cluster;
use api::envoy::cluster::cluster::{ClusterDiscoveryType, DiscoveryType};
use api::envoy::core::{TransportSocket, address, socket_address};
use api::envoy::endpoint::{LbEndpoint, lb_endpoint};
use api::envoy::raw_buffer::RawBuffer;
use api::envoy::tls::UpstreamTlsContext;
use prost::Name;
use tls::ClientSpec;

use crate::compile::{
    At, Compiler, Fault, decide, source, tls as tls_context, type_name, typed, typed_config, value,
};

/// Envoy's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How the control plane is reached.
#[derive(Debug)]
pub struct ControlPlane {
    /// The cluster's name, for logs.
    pub cluster: String,
    /// `:authority` of the stream; empty: the cluster's name.
    pub authority: String,
    /// The delta protocol instead of the state of the world.
    pub delta: bool,
    /// Where it may be, to be tried in turn. At least one.
    pub targets: Vec<Target>,
    /// `None`: plain bytes. Its trust and identity are slots, possibly still empty.
    pub tls: Option<ClientSpec>,
    /// The time to connect.
    pub connect_timeout: Duration,
}

/// One place of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name or an IP address, and a port.
    Tcp {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// What the bootstrap file says of it.
#[derive(Debug)]
pub(super) struct Ads {
    pub(super) grpc: source::Grpc,
    pub(super) cluster: Cluster,
}

impl Ads {
    pub(super) fn cluster_name(&self) -> &str {
        &self.grpc.cluster
    }

    pub(super) fn compile(&self, compiler: &mut Compiler) -> Result<ControlPlane, Fault> {
        let root = At::root();
        let at = &root;
        refuse_others(at, &self.cluster)?;
        let Cluster { connect_timeout, transport_socket, .. } = &self.cluster;
        let connect = value::duration(&at.field("connect_timeout"), connect_timeout)?;
        let source::Grpc { cluster, authority, delta } = &self.grpc;
        Ok(ControlPlane {
            cluster: cluster.clone(),
            authority: authority.clone(),
            delta: *delta,
            targets: targets(at, &self.cluster)?,
            tls: tls(&at.field("transport_socket"), transport_socket.as_ref(), compiler)?,
            connect_timeout: connect.unwrap_or(CONNECT_TIMEOUT),
        })
    }
}

/// What would change where or how the agent connects is refused; what tunes Envoy's pools is not.
fn refuse_others(at: &At<'_>, cluster: &Cluster) -> Result<(), Fault> {
    decide!(at, cluster => Cluster {
        used: cluster_discovery_type;
        used_elsewhere: name, load_assignment, connect_timeout, transport_socket;
        refused: transport_socket_matches, transport_socket_matcher, health_checks, filters,
            upstream_bind_config, lb_subset_config, upstream_config, eds_cluster_config;
        without_effect: alt_stat_name, stats_matcher, per_connection_buffer_limit_bytes,
            per_connection_buffer_high_watermark_timeout, lb_policy, max_requests_per_connection,
            circuit_breakers, upstream_http_protocol_options, common_http_protocol_options,
            http_protocol_options, http2_protocol_options, typed_extension_protocol_options,
            dns_refresh_rate, dns_jitter, dns_failure_refresh_rate, respect_dns_ttl,
            dns_lookup_family, dns_resolvers, use_tcp_for_dns_lookups, dns_resolution_config,
            typed_dns_resolver_config, wait_for_warm_on_init, outlier_detection, cleanup_interval,
            common_lb_config, metadata, protocol_selection, upstream_connection_options,
            close_connections_on_host_health_failure, ignore_health_on_host_removal,
            load_balancing_policy, lrs_server, lrs_report_endpoint_metrics,
            track_timeout_budgets, track_cluster_stats, preconnect_policy,
            connection_pool_per_downstream_connection, queuing_policies, lb_config;
    });
    let number = match cluster_discovery_type {
        None => 0,
        Some(ClusterDiscoveryType::Type(number)) => *number,
        Some(ClusterDiscoveryType::ClusterType(_)) => {
            return Err(at.field("cluster_type").unsupported("this field is not supported"));
        }
    };
    let place = at.field("type");
    match value::enumeration(&place, number)? {
        DiscoveryType::Static | DiscoveryType::StrictDns | DiscoveryType::LogicalDns => Ok(()),
        DiscoveryType::Eds | DiscoveryType::OriginalDst => {
            Err(place.invalid("the control plane cannot be found by asking the control plane"))
        }
    }
}

fn targets(at: &At<'_>, cluster: &Cluster) -> Result<Vec<Target>, Fault> {
    let at = at.field("load_assignment");
    let localities = cluster.load_assignment.iter().flat_map(|all| &all.endpoints);
    let endpoints = localities.flat_map(|locality| &locality.lb_endpoints);
    let targets = endpoints.map(|endpoint| target(&at, endpoint)).collect::<Result<Vec<_>, _>>()?;
    match targets.is_empty() {
        true => Err(at.missing("at least one endpoint has to be given")),
        false => Ok(targets),
    }
}

fn target(at: &At<'_>, endpoint: &LbEndpoint) -> Result<Target, Fault> {
    let Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
        return Err(at.missing("an endpoint without an address"));
    };
    let at = at.field("address");
    match endpoint.address.as_ref().and_then(|address| address.address.as_ref()) {
        Some(address::Address::SocketAddress(address)) => {
            let Some(socket_address::PortSpecifier::PortValue(port)) = address.port_specifier
            else {
                return Err(at.missing("`port_value` has to be given"));
            };
            let port = value::port(&at.field("port_value"), port)?;
            Ok(Target::Tcp { host: address.address.clone(), port })
        }
        Some(address::Address::Pipe(pipe)) => Ok(Target::Unix(PathBuf::from(&pipe.path))),
        _ => Err(at.unsupported("a socket address or a pipe has to be given")),
    }
}

fn tls(
    at: &At<'_>,
    socket: Option<&TransportSocket>,
    compiler: &mut Compiler,
) -> Result<Option<ClientSpec>, Fault> {
    let Some(socket) = socket else { return Ok(None) };
    let any = typed_config(at, socket)?;
    let at = at.field("typed_config");
    let kind = type_name(any);
    if kind == RawBuffer::full_name() {
        return Ok(None);
    }
    if kind != UpstreamTlsContext::full_name() {
        return Err(at.unsupported(format!("the transport socket `{kind}` is not supported")));
    }
    let context: UpstreamTlsContext = typed(&at, any)?;
    let spec = compiler.scoped(|scope| tls_context::client_spec(&at, &context, scope))?;
    Ok(Some(spec))
}
