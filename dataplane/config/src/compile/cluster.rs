//! `Cluster`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::envoy::cluster::circuit_breakers::Thresholds;
use api::envoy::cluster::cluster::common_lb_config::LocalityConfigSpecifier;
use api::envoy::cluster::cluster::{
    ClusterDiscoveryType, CommonLbConfig, CustomClusterType, DiscoveryType, EdsClusterConfig,
    LbConfig, LbPolicy as Policy, LeastRequestLbConfig, OriginalDstLbConfig, RoundRobinLbConfig,
    TransportSocketMatch, common_lb_config::ZoneAwareLbConfig,
};
use api::envoy::cluster::{CircuitBreakers, Cluster, UpstreamConnectionOptions};
use api::envoy::core::{BindConfig, RoutingPriority, TransportSocket};
use api::envoy::dns_cluster::DnsCluster;
use api::envoy::endpoint::ClusterLoadAssignment;
use api::envoy::protobuf::value::Kind;
use api::envoy::raw_buffer::RawBuffer;
use api::envoy::tls::UpstreamTlsContext;
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::chain::typed_config;
use super::endpoint::{self, Assignment};
use super::http_filter::type_name;
use super::scope::{Needs, Scope};
use super::{dns, source, tls as tls_context, upstream_http, value};
use crate::dns::Lookup;
use crate::limits::{MAX_NAMES, MAX_TRANSPORT_MATCHES};
use crate::snapshot::{self, Discovery, Endpoints, LbPolicy, TransportMatch, UpstreamTransport};

/// Envoy's defaults.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BREAKER: u32 = 1024;
const PANIC_PERCENT: f64 = 50.0;
/// What Linux waits before its first keep-alive probe.
const KEEPALIVE_S: u32 = 7200;

/// A cluster but for the endpoints that EDS brings.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) cluster: snapshot::Cluster,
    /// The endpoints that stand in the cluster itself.
    pub(crate) assignment: Option<Assignment>,
    /// The name to ask EDS for.
    pub(crate) eds: Option<Arc<str>>,
    /// How the names of the assignment are looked up, if the cluster has any.
    pub(crate) lookup: Option<Arc<Lookup>>,
    /// Is not used before what has to be found out about its hosts is known for the first time.
    pub(crate) waits: bool,
    pub(crate) needs: Needs,
}

pub(crate) fn compile(
    at: &At<'_>,
    cluster: &Cluster,
    scope: &mut Scope<'_>,
) -> Result<Compiled, Fault> {
    decide!(at, cluster => Cluster {
        used: transport_socket_matches, name, eds_cluster_config, connect_timeout, lb_policy,
            load_assignment, max_requests_per_connection, circuit_breakers,
            common_http_protocol_options, http_protocol_options, http2_protocol_options,
            typed_extension_protocol_options, upstream_bind_config, common_lb_config,
            transport_socket, protocol_selection, upstream_connection_options,
            wait_for_warm_on_init, lb_config;
        used_elsewhere: cluster_discovery_type, dns_refresh_rate, dns_jitter, respect_dns_ttl,
            dns_failure_refresh_rate, dns_lookup_family, dns_resolvers, use_tcp_for_dns_lookups,
            dns_resolution_config, typed_dns_resolver_config;
        refused: transport_socket_matcher, per_connection_buffer_high_watermark_timeout,
            health_checks, upstream_http_protocol_options, outlier_detection, lb_subset_config,
            filters, load_balancing_policy, lrs_server, lrs_report_endpoint_metrics,
            upstream_config, preconnect_policy, connection_pool_per_downstream_connection,
            queuing_policies;
        without_effect: alt_stat_name, stats_matcher, metadata, track_timeout_budgets,
            track_cluster_stats, per_connection_buffer_limit_bytes, cleanup_interval,
            close_connections_on_host_health_failure, ignore_health_on_host_removal;
    });
    let selection = value::enumeration(&at.field("protocol_selection"), *protocol_selection)?;
    let (name, id) = scope.names.id(&at.field("name"), name)?;
    let (discovery, lookup) = discovery(at, cluster, scope)?;
    let common = at.field("common_lb_config");
    let panic_percent = panic_percent(&common, common_lb_config.as_ref())?;
    let http = at.field("typed_extension_protocol_options");
    let mut http = upstream_http::options(&http, typed_extension_protocol_options)?;
    let common = at.field("common_http_protocol_options");
    http.common(&common, common_http_protocol_options.as_ref())?;
    let old = (http_protocol_options.as_ref(), http2_protocol_options.as_ref());
    http.old_protocol(at, selection, old)?;
    let place = at.field("connect_timeout");
    let connect = value::duration(&place, connect_timeout)?.unwrap_or(CONNECT_TIMEOUT);
    if connect.is_zero() {
        return Err(place.invalid("longer than 0s"));
    }
    Ok(Compiled {
        assignment: assignment(at, discovery, load_assignment.as_ref())?,
        lookup: lookup.map(Arc::new),
        waits: value::bool_or(wait_for_warm_on_init, true),
        eds: eds(at, discovery, eds_cluster_config.as_ref(), &name)?,
        cluster: snapshot::Cluster {
            id,
            discovery,
            policy: policy(at, discovery, *lb_policy, lb_config.as_ref())?,
            panic_percent,
            endpoints: Arc::new(Endpoints::default()),
            connect_timeout: connect,
            transport_matches: transport_matches(at, transport_socket_matches, scope)?,
            transport: transport(&at.field("transport_socket"), transport_socket.as_ref(), scope)?,
            bind: bind(&at.field("upstream_bind_config"), upstream_bind_config.as_ref())?,
            limits: limits(&at.field("circuit_breakers"), circuit_breakers.as_ref())?,
            max_requests_per_connection: http
                .max_requests_per_connection
                .unwrap_or_else(|| value::u32_or(max_requests_per_connection, 0)),
            idle_timeout: http.idle_timeout,
            port_override: port_override(at, lb_config.as_ref())?,
            protocol: http.protocol.unwrap_or_default(),
            http2: http.http2,
            keepalive_s: keepalive(at, upstream_connection_options.as_ref())?,
            name,
        },
        needs: std::mem::take(&mut scope.needs),
    })
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

fn policy(
    at: &At<'_>,
    discovery: Discovery,
    number: i32,
    config: Option<&LbConfig>,
) -> Result<LbPolicy, Fault> {
    let place = at.field("lb_policy");
    let policy = match value::enumeration(&place, number)? {
        Policy::RoundRobin => LbPolicy::RoundRobin,
        Policy::LeastRequest => LbPolicy::LeastRequest { choices: 2 },
        Policy::Random => LbPolicy::Random,
        Policy::ClusterProvided => LbPolicy::Provided,
        other @ (Policy::RingHash | Policy::Maglev | Policy::LoadBalancingPolicyConfig) => {
            return Err(place.unsupported(format!("{} is not supported", other.as_str_name())));
        }
    };
    if (discovery == Discovery::OriginalDst) != (policy == LbPolicy::Provided) {
        return Err(place.invalid("ORIGINAL_DST clusters, and only they, use CLUSTER_PROVIDED"));
    }
    match (config, policy) {
        (Some(LbConfig::LeastRequestLbConfig(config)), LbPolicy::LeastRequest { .. }) => {
            let choices = least_request(&at.field("least_request_lb_config"), config)?;
            Ok(LbPolicy::LeastRequest { choices })
        }
        (Some(LbConfig::RoundRobinLbConfig(config)), LbPolicy::RoundRobin) => {
            let RoundRobinLbConfig { slow_start_config } = config;
            at.field("round_robin_lb_config").refuse("slow_start_config", slow_start_config)?;
            Ok(policy)
        }
        // As in Envoy, the settings of a policy that is not used say nothing.
        _ => Ok(policy),
    }
}

fn least_request(at: &At<'_>, config: &LeastRequestLbConfig) -> Result<u32, Fault> {
    decide!(at, config => LeastRequestLbConfig {
        used: choice_count;
        refused: active_request_bias, slow_start_config;
    });
    match value::u32_or(choice_count, 2) {
        choices @ 2.. => Ok(choices),
        _ => Err(at.field("choice_count").invalid("at least 2")),
    }
}

fn port_override(at: &At<'_>, config: Option<&LbConfig>) -> Result<Option<u16>, Fault> {
    let Some(LbConfig::OriginalDstLbConfig(config)) = config else { return Ok(None) };
    let at = at.field("original_dst_lb_config");
    decide!(at, config => OriginalDstLbConfig {
        used: upstream_port_override;
        refused: use_http_header, http_header_name, metadata_key;
    });
    let at = at.field("upstream_port_override");
    upstream_port_override.as_ref().map(|port| value::port(&at, port.value)).transpose()
}

fn panic_percent(at: &At<'_>, config: Option<&CommonLbConfig>) -> Result<u8, Fault> {
    let unset = CommonLbConfig::default();
    let config = config.unwrap_or(&unset);
    decide!(at, config => CommonLbConfig {
        used: healthy_panic_threshold, locality_config_specifier;
        refused: close_connections_on_host_set_change;
        without_effect: update_merge_window, ignore_new_hosts_until_first_hc,
            consistent_hashing_lb_config, override_host_status;
    });
    match locality_config_specifier {
        None => {}
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(config)) => {
            decide!(at.field("zone_aware_lb_config"), config => ZoneAwareLbConfig {
                refused: fail_traffic_on_panic;
                // Zones are compared with those of a local cluster, and there is none.
                without_effect: routing_enabled, min_cluster_size;
            });
        }
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => {
            let at = at.field("locality_weighted_lb_config");
            return Err(at.unsupported("this field is not supported"));
        }
    }
    let given = healthy_panic_threshold.as_ref().map_or(PANIC_PERCENT, |given| given.value);
    match (0.0..=100.0).contains(&given) {
        // As in Envoy, what is behind the point does not count.
        true => Ok(given as u8),
        false => Err(at.field("healthy_panic_threshold").invalid("from 0 to 100")),
    }
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
    Err(at.unsupported(format!("the transport socket `{}` ({kind}) is not supported", socket.name)))
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
            used: priority, max_connections, max_pending_requests, max_requests;
            refused: retry_budget;
            without_effect: max_retries, track_remaining, max_connection_pools;
        });
        let priority: RoutingPriority = value::enumeration(&at.field("priority"), *priority)?;
        // As in Envoy the first entry of a priority counts; no route has the high one.
        if seen.insert(priority as i32, ()).is_none() && priority == RoutingPriority::Default {
            limits.max_connections = value::u32_or(max_connections, BREAKER);
            limits.max_pending = value::u32_or(max_pending_requests, BREAKER);
            limits.max_requests = value::u32_or(max_requests, BREAKER);
        }
    }
    Ok(limits)
}

fn keepalive(
    at: &At<'_>,
    options: Option<&UpstreamConnectionOptions>,
) -> Result<Option<u32>, Fault> {
    let Some(options) = options else { return Ok(None) };
    let at = at.field("upstream_connection_options");
    decide!(at, options => UpstreamConnectionOptions {
        used: tcp_keepalive;
        refused: set_local_interface_name_on_upstream_connections;
        without_effect: happy_eyeballs_config;
    });
    let Some(keepalive) = tcp_keepalive else { return Ok(None) };
    Ok(Some(value::u32_or(&keepalive.keepalive_time, KEEPALIVE_S)))
}
