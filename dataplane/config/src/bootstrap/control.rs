//! The cluster that leads to the control plane. The agent connects to it by its own means (gRPC on
//! its thread), so it may be what the traffic's clusters may not: a name, a Unix socket, HTTP/2.

use std::fmt;
use std::path::PathBuf;

use api::envoy::cluster::Cluster;
use api::envoy::cluster::cluster::{ClusterDiscoveryType, DiscoveryType};
use api::envoy::core::{
    ApiConfigSource, DataSource, SocketAddress, TransportSocket, address, data_source::Specifier,
    socket_address,
};
use api::envoy::endpoint::{LbEndpoint, lb_endpoint};
use api::envoy::raw_buffer::RawBuffer;
use api::envoy::tls::common_tls_context::ValidationContextType;
use api::envoy::tls::{CommonTlsContext, UpstreamTlsContext};
use prost::Name;
use tls::{ClientContext, ClientSpec, SanKind, SanMatch, SanPattern};

use crate::compile::{
    At, Compiler, Fault, decide, source, tls as tls_context, type_name, typed, typed_config, value,
};

/// How the control plane is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlane {
    /// The delta protocol instead of the state of the world.
    pub delta: bool,
    /// What goes with each call (`initial_metadata`).
    pub metadata: Vec<(String, String)>,
    /// Where it may be, to be tried in turn. At least one.
    pub targets: Vec<Target>,
    /// `None`: plain bytes.
    pub tls: Option<TargetTls>,
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

/// How a server that the agent connects to is verified, and what is shown to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTls {
    /// It is asked for, and its certificate must be for it.
    pub server_name: String,
    /// The roots: a PEM file, read anew for each connection.
    pub root_file: PathBuf,
    /// What is shown to it: chain and key as PEM files. `None`: nothing, the token says who we are.
    pub identity_files: Option<(PathBuf, PathBuf)>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `ads_config`: the cluster that it names, and what is said to it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) cluster: String,
    delta: bool,
    metadata: Vec<(String, String)>,
}

impl Source {
    pub(super) fn read(at: &At<'_>, config: &ApiConfigSource) -> Result<Self, Fault> {
        let source::Grpc { service, delta } = source::grpc(at, config)?;
        let source::Service { cluster, authority, timeout: _, metadata } = service;
        let at = at.field("grpc_services");
        at.item(0).field("envoy_grpc").refuse("authority", &authority)?;
        Ok(Self { cluster, delta, metadata })
    }
}

/// What the bootstrap file says of it.
#[derive(Debug)]
pub(super) struct Ads {
    pub(super) source: Source,
    pub(super) cluster: Cluster,
}

impl Ads {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> Result<ControlPlane, Fault> {
        let root = At::root();
        let at = &root;
        refuse_others(at, &self.cluster)?;
        let targets = targets(at, &self.cluster)?;
        let socket = self.cluster.transport_socket.as_ref();
        let tls = tls(&at.field("transport_socket"), socket, &targets, compiler)?;
        let Source { cluster: _, delta, metadata } = &self.source;
        Ok(ControlPlane { delta: *delta, metadata: metadata.clone(), targets, tls })
    }
}

/// What would change where or how the agent connects is refused; what tunes Envoy's pools is not.
fn refuse_others(at: &At<'_>, cluster: &Cluster) -> Result<(), Fault> {
    decide!(at, cluster => Cluster {
        used: cluster_discovery_type;
        used_elsewhere: name, load_assignment, transport_socket;
        refused: transport_socket_matches, transport_socket_matcher, health_checks, filters,
            upstream_bind_config, lb_subset_config, upstream_config, eds_cluster_config;
        without_effect: connect_timeout, alt_stat_name, stats_matcher,
            per_connection_buffer_limit_bytes,
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
        Some(address::Address::SocketAddress(address)) => tcp(&at, address),
        Some(address::Address::Pipe(pipe)) => Ok(Target::Unix(PathBuf::from(&pipe.path))),
        _ => Err(at.unsupported("a socket address or a pipe has to be given")),
    }
}

fn tcp(at: &At<'_>, address: &SocketAddress) -> Result<Target, Fault> {
    at.refuse("protocol", &address.protocol)?;
    at.refuse("resolver_name", &address.resolver_name)?;
    at.refuse("ipv4_compat", &address.ipv4_compat)?;
    at.refuse("network_namespace_filepath", &address.network_namespace_filepath)?;
    let Some(socket_address::PortSpecifier::PortValue(port)) = address.port_specifier else {
        return Err(at.missing("`port_value` has to be given"));
    };
    let port = value::port(&at.field("port_value"), port)?;
    Ok(Target::Tcp { host: address.address.clone(), port })
}

fn tls(
    at: &At<'_>,
    socket: Option<&TransportSocket>,
    targets: &[Target],
    compiler: &mut Compiler,
) -> Result<Option<TargetTls>, Fault> {
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
    let common = context.common_tls_context.clone().unwrap_or_default();
    let (root_file, identity_files) = files(&at.field("common_tls_context"), &common)?;
    let spec = compiler.scoped(|scope| tls_context::client_spec(&at, &context, scope))?;
    if !spec.alpn.is_empty() && !spec.alpn.iter().any(|protocol| protocol == b"h2") {
        let at = at.field("common_tls_context");
        return Err(at.field("alpn_protocols").invalid("gRPC needs `h2`"));
    }
    let server_name = server_name(&at, &spec, targets)?;
    let named = ClientSpec { sni: Some(server_name.clone()), ..spec };
    ClientContext::new(named).map_err(|error| at.invalid(error.detail))?;
    Ok(Some(TargetTls { server_name, root_file, identity_files }))
}

/// The files of roots, and of a chain and its key.
type Files = (PathBuf, Option<(PathBuf, PathBuf)>);

/// What the agent reads anew for each connection. What else the context may hold is the traffic's.
fn files(at: &At<'_>, common: &CommonTlsContext) -> Result<Files, Fault> {
    at.refuse("tls_params", &common.tls_params)?;
    let configs = &common.tls_certificate_sds_secret_configs;
    at.refuse("tls_certificate_sds_secret_configs", configs)?;
    let Some(ValidationContextType::ValidationContext(validation)) =
        &common.validation_context_type
    else {
        return Err(at.field("validation_context").missing("it has to be given"));
    };
    let root = file(&at.field("validation_context").field("trusted_ca"), &validation.trusted_ca)?;
    let Some(own) = common.tls_certificates.first() else { return Ok((root, None)) };
    let at = at.field("tls_certificates");
    let at = at.item(0);
    let chain = file(&at.field("certificate_chain"), &own.certificate_chain)?;
    Ok((root, Some((chain, file(&at.field("private_key"), &own.private_key)?))))
}

fn file(at: &At<'_>, source: &Option<DataSource>) -> Result<PathBuf, Fault> {
    match source.as_ref().and_then(|source| source.specifier.as_ref()) {
        Some(Specifier::Filename(name)) => Ok(name.into()),
        _ => Err(at.missing("`filename` has to be given; the agent reads files only")),
    }
}

/// The one name that is asked for and verified: what the context says, else the host.
fn server_name(at: &At<'_>, spec: &ClientSpec, targets: &[Target]) -> Result<String, Fault> {
    let same = |name: &str| spec.sni.as_ref().is_none_or(|sni| sni.eq_ignore_ascii_case(name));
    match (spec.san.as_slice(), &spec.sni, targets) {
        ([], Some(sni), _) => Ok(sni.clone()),
        ([], None, [Target::Tcp { host, .. }]) => Ok(host.clone()),
        ([], None, _) => Err(at.field("sni").missing("it has to be given")),
        ([SanMatch { kind, pattern: SanPattern::Exact(name), .. }], ..)
            if *kind != SanKind::Uri && same(name) =>
        {
            Ok(name.clone())
        }
        _ => Err(at.unsupported("it may ask for one exact DNS name, the same as `sni`, no other")),
    }
}

#[cfg(test)]
mod tests;
