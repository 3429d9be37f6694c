//! `Cluster`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::envoy::cluster::circuit_breakers::{Thresholds, thresholds::RetryBudget};
use api::envoy::cluster::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig, LbSubsetConfig,
    TransportSocketMatch,
};
use api::envoy::cluster::{CircuitBreakers, Cluster, OutlierDetection, UpstreamConnectionOptions};
use api::envoy::core::{
    self, BindConfig, ProxyProtocolConfig, RoutingPriority, TcpKeepalive, TransportSocket,
    proxy_protocol_config,
};
use api::envoy::dns_cluster::DnsCluster;
use api::envoy::endpoint::ClusterLoadAssignment;
use api::envoy::protobuf::{self, value::Kind};
use api::envoy::proxied::ProxyProtocolUpstreamTransport;
use api::envoy::raw_buffer::RawBuffer;
use api::envoy::tls::UpstreamTlsContext;
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::balance::{self, Chosen};
use super::chain::typed_config;
use super::endpoint::{self, Assignment};
use super::http_filter::type_name;
use super::scope::{Needs, Scope};
use super::{
    dns, health, labels, lb_policy, outlier, source, tls as tls_context, upstream_http, value,
};
use crate::dns::Lookup;
use crate::health::HealthCheck;
use crate::limits::{MAX_NAMES, MAX_TRANSPORT_MATCHES};
use crate::snapshot::{
    self, Discovery, Endpoints, ProxyVersion, TcpProbes, TransportMatch, UpstreamTransport,
};

/// Envoy's defaults.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BREAKER: u32 = 1024;
const RETRIES: u32 = 3;
const BUDGET_PERCENT: f64 = 20.0;

/// A cluster but for the endpoints that EDS brings.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) cluster: snapshot::Cluster,
    /// The endpoints that stand in the cluster itself.
    pub(crate) assignment: Option<Arc<Assignment>>,
    /// The name to ask EDS for.
    pub(crate) eds: Option<Arc<str>>,
    /// How the names of the assignment are looked up, if the cluster has any.
    pub(crate) lookup: Option<Arc<Lookup>>,
    /// How its hosts are checked, if they are.
    pub(crate) check: Option<Arc<HealthCheck>>,
    /// Is not used before what has to be found out about its hosts is known for the first time.
    pub(crate) waits: bool,
    /// Hosts are hashed by their names, not by their addresses.
    pub(crate) use_hostname: bool,
    pub(crate) needs: Needs,
}

pub(crate) fn compile(
    at: &At<'_>,
    cluster: &Cluster,
    scope: &mut Scope<'_>,
) -> Result<Compiled, Fault> {
    decide!(at, cluster => Cluster {
        used: transport_socket_matches, name, eds_cluster_config, connect_timeout,
            load_assignment, max_requests_per_connection, circuit_breakers, upstream_bind_config,
            transport_socket, upstream_connection_options, outlier_detection,
            wait_for_warm_on_init, lb_config, health_checks, lb_subset_config;
        used_elsewhere: cluster_discovery_type, dns_refresh_rate, dns_jitter, respect_dns_ttl,
            dns_failure_refresh_rate, dns_lookup_family, dns_resolvers, use_tcp_for_dns_lookups,
            dns_resolution_config, typed_dns_resolver_config, lb_policy, common_lb_config,
            load_balancing_policy, common_http_protocol_options, http_protocol_options,
            http2_protocol_options, typed_extension_protocol_options, protocol_selection,
            upstream_http_protocol_options;
        refused: transport_socket_matcher, per_connection_buffer_high_watermark_timeout, filters,
            lrs_server, lrs_report_endpoint_metrics, upstream_config, preconnect_policy,
            connection_pool_per_downstream_connection, queuing_policies;
        without_effect: alt_stat_name, stats_matcher, metadata, track_timeout_budgets,
            track_cluster_stats, per_connection_buffer_limit_bytes, cleanup_interval,
            close_connections_on_host_health_failure, ignore_health_on_host_removal;
    });
    let (name, id) = scope.names.id(&at.field("name"), name)?;
    let (discovery, lookup) = discovery(at, cluster, scope)?;
    let chosen = chosen(at, discovery, cluster)?;
    let http = http(at, cluster)?;
    Ok(Compiled {
        assignment: assignment(at, discovery, load_assignment.as_ref())?.map(Arc::new),
        lookup: lookup.map(Arc::new),
        check: check(&at.field("health_checks"), discovery, health_checks)?,
        waits: value::bool_or(wait_for_warm_on_init, true),
        eds: eds(at, discovery, eds_cluster_config.as_ref(), &name)?,
        use_hostname: chosen.use_hostname,
        cluster: snapshot::Cluster {
            id,
            discovery,
            policy: chosen.policy,
            panic_percent: chosen.panic_percent,
            balance: chosen.balance,
            subsets: subsets(at, discovery, cluster, lb_subset_config.as_ref())?,
            outlier: outlier(at, discovery, outlier_detection.as_ref())?,
            endpoints: Arc::new(Endpoints::default()),
            connect_timeout: positive(&at.field("connect_timeout"), connect_timeout)?,
            transport_matches: transport_matches(at, transport_socket_matches, scope)?,
            transport: transport(&at.field("transport_socket"), transport_socket.as_ref(), scope)?,
            bind: bind(&at.field("upstream_bind_config"), upstream_bind_config.as_ref())?,
            limits: limits(&at.field("circuit_breakers"), circuit_breakers.as_ref())?,
            max_requests_per_connection: http
                .max_requests_per_connection
                .unwrap_or_else(|| value::u32_or(max_requests_per_connection, 0)),
            idle_timeout: http.idle_timeout,
            port_override: balance::port_override(at, lb_config.as_ref())?,
            protocol: http.protocol.unwrap_or_default(),
            http1: http.http1,
            http2: http.http2,
            max_head_kib: http.max_head_kib,
            max_fields: http.max_fields,
            max_connection_duration: http.max_connection_duration,
            tcp_probes: keepalive(at, upstream_connection_options.as_ref())?,
            host_names: http.host_names,
            name,
        },
        needs: std::mem::take(&mut scope.needs),
    })
}

/// What is spoken: as the extension says, else as the older fields do.
#[allow(deprecated)] // they are what is meant
fn http(at: &At<'_>, cluster: &Cluster) -> Result<upstream_http::Options, Fault> {
    let selection =
        value::enumeration(&at.field("protocol_selection"), cluster.protocol_selection)?;
    let place = at.field("typed_extension_protocol_options");
    let mut http = upstream_http::options(&place, &cluster.typed_extension_protocol_options)?;
    http.common(at, cluster.common_http_protocol_options.as_ref())?;
    let http1 = cluster.http_protocol_options.as_ref();
    let http2 = cluster.http2_protocol_options.as_ref();
    let names = cluster.upstream_http_protocol_options.as_ref();
    http.old_protocol(at, selection, (http1, http2), names)?;
    Ok(http)
}

fn positive(at: &At<'_>, timeout: &Option<protobuf::Duration>) -> Result<Duration, Fault> {
    match value::duration(at, timeout)?.unwrap_or(CONNECT_TIMEOUT) {
        Duration::ZERO => Err(at.invalid("longer than 0s")),
        timeout => Ok(timeout),
    }
}

fn discovery(
    at: &At<'_>,
    cluster: &Cluster,
    scope: &Scope<'_>,
) -> Result<(Discovery, Option<Lookup>), Fault> {
    let number = match &cluster.cluster_discovery_type {
        None => 0,
        Some(ClusterDiscoveryType::Type(number)) => *number,
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            return extension(&at.field("cluster_type"), custom, scope);
        }
    };
    let lookup = |logical| dns::of_cluster(at, cluster, logical, scope.resolver).map(Some);
    match value::enumeration(&at.field("type"), number)? {
        DiscoveryType::Static => Ok((Discovery::Static, None)),
        DiscoveryType::Eds => Ok((Discovery::Eds, None)),
        DiscoveryType::OriginalDst => Ok((Discovery::OriginalDst, None)),
        DiscoveryType::StrictDns => Ok((Discovery::StrictDns, lookup(false)?)),
        DiscoveryType::LogicalDns => Ok((Discovery::LogicalDns, lookup(true)?)),
    }
}

fn extension(
    at: &At<'_>,
    custom: &CustomClusterType,
    scope: &Scope<'_>,
) -> Result<(Discovery, Option<Lookup>), Fault> {
    let CustomClusterType { name, typed_config } = custom;
    let kind = typed_config.as_ref().map(type_name).unwrap_or_default();
    let Some(any) = typed_config.as_ref().filter(|_| kind == DnsCluster::full_name()) else {
        return Err(at.unsupported(format!("the cluster type `{name}` is not supported")));
    };
    let at = at.field("typed_config");
    let lookup = dns::of_extension(&at, &typed(&at, any)?, scope.resolver)?;
    let discovery = match lookup.logical {
        true => Discovery::LogicalDns,
        false => Discovery::StrictDns,
    };
    Ok((discovery, Some(lookup)))
}

fn assignment(
    at: &At<'_>,
    discovery: Discovery,
    given: Option<&ClusterLoadAssignment>,
) -> Result<Option<Assignment>, Fault> {
    let at = at.field("load_assignment");
    let by_name = matches!(discovery, Discovery::StrictDns | Discovery::LogicalDns);
    if by_name || discovery == Discovery::Static {
        let unset = ClusterLoadAssignment::default();
        let assignment = endpoint::compile(&at, given.unwrap_or(&unset), by_name)?;
        at.at_most(MAX_NAMES, assignment.names().count())?;
        if discovery == Discovery::LogicalDns && assignment.hosts.len() != 1 {
            return Err(at.invalid("a LOGICAL_DNS cluster has exactly one endpoint"));
        }
        return Ok(Some(assignment));
    }
    match given {
        Some(_) => Err(at.invalid("only STATIC and DNS clusters have their endpoints in them")),
        None => Ok(None),
    }
}

fn check(
    at: &At<'_>,
    discovery: Discovery,
    given: &[core::HealthCheck],
) -> Result<Option<Arc<HealthCheck>>, Fault> {
    match given {
        [] => Ok(None),
        _ if discovery == Discovery::OriginalDst => {
            Err(at.unsupported("hosts of an ORIGINAL_DST cluster are not checked"))
        }
        [one] => health::compile(&at.item(0), one).map(|check| Some(Arc::new(check))),
        _ => Err(at.unsupported("only one health check is supported, as in Envoy")),
    }
}

fn eds(
    at: &At<'_>,
    discovery: Discovery,
    config: Option<&EdsClusterConfig>,
    name: &Arc<str>,
) -> Result<Option<Arc<str>>, Fault> {
    let at = at.field("eds_cluster_config");
    match (discovery, config) {
        (Discovery::Eds, Some(EdsClusterConfig { eds_config, service_name })) => {
            source::ads(&at.field("eds_config"), eds_config)?;
            Ok(Some(match service_name.is_empty() {
                true => Arc::clone(name),
                false => service_name.as_str().into(),
            }))
        }
        (Discovery::Eds, None) => Err(at.missing("an EDS cluster has to say where from")),
        (_, Some(_)) => Err(at.invalid("only for clusters of type EDS")),
        (_, None) => Ok(None),
    }
}

/// How hosts are chosen: as `load_balancing_policy` says, else as the older fields do.
fn chosen(at: &At<'_>, discovery: Discovery, cluster: &Cluster) -> Result<Chosen, Fault> {
    let place = at.field("common_lb_config");
    let common = balance::common(&place, cluster.common_lb_config.as_ref())?;
    match &cluster.load_balancing_policy {
        None => {
            let config = cluster.lb_config.as_ref();
            balance::policy(at, discovery, cluster.lb_policy, config, common)
        }
        Some(_) if discovery == Discovery::OriginalDst => {
            let at = at.field("load_balancing_policy");
            Err(at.invalid("an ORIGINAL_DST cluster has its own"))
        }
        Some(list) => lb_policy::compile(&at.field("load_balancing_policy"), list, common),
    }
}

fn subsets(
    at: &At<'_>,
    discovery: Discovery,
    cluster: &Cluster,
    given: Option<&LbSubsetConfig>,
) -> Result<Option<Arc<snapshot::Subsets>>, Fault> {
    let at = at.field("lb_subset_config");
    let subsets = labels::subsets(&at, given)?;
    if subsets.is_some() && discovery == Discovery::OriginalDst {
        return Err(at.invalid("an ORIGINAL_DST cluster does not choose among hosts"));
    }
    if subsets.is_some() && cluster.load_balancing_policy.is_some() {
        return Err(at.unsupported("not together with `load_balancing_policy`"));
    }
    Ok(subsets.map(Arc::new))
}

fn outlier(
    at: &At<'_>,
    discovery: Discovery,
    given: Option<&OutlierDetection>,
) -> Result<Option<Arc<snapshot::OutlierDetection>>, Fault> {
    let Some(given) = given else { return Ok(None) };
    let compiled = outlier::compile(&at.field("outlier_detection"), given)?;
    // Where a connection was going anyway is not chosen: as in Envoy nothing is ejected there.
    Ok((discovery != Discovery::OriginalDst).then(|| Arc::new(compiled)))
}

fn transport_matches(
    at: &At<'_>,
    list: &[TransportSocketMatch],
    scope: &mut Scope<'_>,
) -> Result<Vec<TransportMatch>, Fault> {
    let at = at.field("transport_socket_matches");
    at.at_most(MAX_TRANSPORT_MATCHES, list.len())?;
    let each = list.iter().enumerate().map(|(index, one)| {
        let at = at.item(index);
        decide!(at, one => TransportSocketMatch {
            used: name, r#match, transport_socket;
        });
        let place = at.field("match");
        let fields = r#match.iter().flat_map(|criteria| &criteria.fields);
        let criteria = fields.map(|(key, value)| match &value.kind {
            Some(Kind::StringValue(text)) => Ok((key.as_str().into(), text.as_str().into())),
            _ => Err(place.key(key).unsupported("only text is supported")),
        });
        Ok(TransportMatch {
            name: name.as_str().into(),
            criteria: criteria.collect::<Result<_, _>>()?,
            transport: transport(&at.field("transport_socket"), transport_socket.as_ref(), scope)?,
        })
    });
    each.collect()
}

fn transport(
    at: &At<'_>,
    socket: Option<&TransportSocket>,
    scope: &mut Scope<'_>,
) -> Result<UpstreamTransport, Fault> {
    let Some(socket) = socket else { return Ok(UpstreamTransport::Raw) };
    let any = typed_config(at, socket)?;
    let at = at.field("typed_config");
    let kind = type_name(any);
    if kind == UpstreamTlsContext::full_name() {
        let context: UpstreamTlsContext = typed(&at, any)?;
        return tls_context::client(&at, &context, scope).map(UpstreamTransport::Tls);
    }
    if kind == RawBuffer::full_name() {
        return Ok(UpstreamTransport::Raw);
    }
    if kind == ProxyProtocolUpstreamTransport::full_name() {
        return proxied(&at, &typed(&at, any)?, scope);
    }
    Err(at.unsupported(format!("the transport socket `{}` ({kind}) is not supported", socket.name)))
}

fn proxied(
    at: &At<'_>,
    socket: &ProxyProtocolUpstreamTransport,
    scope: &mut Scope<'_>,
) -> Result<UpstreamTransport, Fault> {
    decide!(at, socket => ProxyProtocolUpstreamTransport {
        used: config, transport_socket;
        refused: allow_unspecified_address, tlv_as_pool_key;
    });
    let place = at.field("config");
    let version = match config {
        None => ProxyVersion::V1,
        Some(config) => {
            decide!(place, config => ProxyProtocolConfig {
                used: version;
                refused: pass_through_tlvs, added_tlvs;
            });
            match value::enumeration(&place.field("version"), *version)? {
                proxy_protocol_config::Version::V1 => ProxyVersion::V1,
                proxy_protocol_config::Version::V2 => ProxyVersion::V2,
            }
        }
    };
    let at = at.field("transport_socket");
    if transport_socket.is_none() {
        return Err(at.missing("it has to be given"));
    }
    match transport(&at, transport_socket.as_ref(), scope)? {
        UpstreamTransport::Raw => Ok(UpstreamTransport::Proxied(version, None)),
        UpstreamTransport::Tls(context) => Ok(UpstreamTransport::Proxied(version, Some(context))),
        UpstreamTransport::Proxied(..) => Err(at.unsupported("one header is all there is")),
    }
}

fn bind(at: &At<'_>, config: Option<&BindConfig>) -> Result<Option<IpAddr>, Fault> {
    let Some(config) = config else { return Ok(None) };
    decide!(at, config => BindConfig {
        used: source_address;
        refused: socket_options, local_address_selector, validate_network_namespaces,
            extra_source_addresses, additional_source_addresses;
        refused_if_true: freebind;
    });
    let at = at.field("source_address");
    let Some(address) = source_address else { return Ok(None) };
    let address = value::socket_address(&at, address)?;
    match address.port() {
        0 => Ok(Some(address.ip())),
        _ => Err(at.field("port_value").unsupported("only 0 (any port) is supported")),
    }
}

fn limits(
    at: &At<'_>,
    given: Option<&CircuitBreakers>,
) -> Result<snapshot::CircuitBreakers, Fault> {
    let mut limits = snapshot::CircuitBreakers {
        max_connections: BREAKER,
        max_pending: BREAKER,
        max_requests: BREAKER,
        max_retries: RETRIES,
        retry_budget: None,
    };
    let Some(CircuitBreakers { thresholds, per_host_thresholds }) = given else {
        return Ok(limits);
    };
    at.refuse("per_host_thresholds", per_host_thresholds)?;
    let at = at.field("thresholds");
    let mut seen = HashMap::new();
    for (index, one) in thresholds.iter().enumerate() {
        let at = at.item(index);
        decide!(at, one => Thresholds {
            used: priority, max_connections, max_pending_requests, max_requests, max_retries,
                retry_budget;
            without_effect: track_remaining, max_connection_pools;
        });
        let priority: RoutingPriority = value::enumeration(&at.field("priority"), *priority)?;
        let budget = budget(&at.field("retry_budget"), retry_budget.as_ref())?;
        // As in Envoy the first entry of a priority counts; no route has the high one.
        if seen.insert(priority as i32, ()).is_none() && priority == RoutingPriority::Default {
            limits.max_connections = value::u32_or(max_connections, BREAKER);
            limits.max_pending = value::u32_or(max_pending_requests, BREAKER);
            limits.max_requests = value::u32_or(max_requests, BREAKER);
            limits.max_retries = value::u32_or(max_retries, RETRIES);
            limits.retry_budget = budget;
        }
    }
    Ok(limits)
}

fn budget(
    at: &At<'_>,
    given: Option<&RetryBudget>,
) -> Result<Option<snapshot::RetryBudget>, Fault> {
    let Some(given) = given else { return Ok(None) };
    decide!(at, given => RetryBudget {
        used: budget_percent, min_retry_concurrency;
        refused: budget_interval;
    });
    let percent = budget_percent.as_ref().map_or(BUDGET_PERCENT, |percent| percent.value);
    if !(0.0..=100.0).contains(&percent) {
        return Err(at.field("budget_percent").invalid("from 0 to 100"));
    }
    let min = value::u32_or(min_retry_concurrency, RETRIES);
    Ok(Some(snapshot::RetryBudget { percent, min }))
}

fn keepalive(
    at: &At<'_>,
    options: Option<&UpstreamConnectionOptions>,
) -> Result<Option<TcpProbes>, Fault> {
    let Some(options) = options else { return Ok(None) };
    let at = at.field("upstream_connection_options");
    decide!(at, options => UpstreamConnectionOptions {
        used: tcp_keepalive;
        refused: set_local_interface_name_on_upstream_connections;
        without_effect: happy_eyeballs_config;
    });
    let Some(keepalive) = tcp_keepalive else { return Ok(None) };
    decide!(_, keepalive => TcpKeepalive {
        used: keepalive_probes, keepalive_time, keepalive_interval;
    });
    let number = |given: &Option<protobuf::UInt32Value>| given.as_ref().map(|given| given.value);
    Ok(Some(TcpProbes {
        idle_s: number(keepalive_time),
        interval_s: number(keepalive_interval),
        probes: number(keepalive_probes),
    }))
}
