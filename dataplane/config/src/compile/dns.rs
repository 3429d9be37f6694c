//! How the names of a cluster are looked up: the `dns_…` fields of `Cluster`, `DnsCluster`, and the
//! resolver of c-ares.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::envoy::cares_dns::CaresDnsResolverConfig;
use api::envoy::cluster::Cluster;
use api::envoy::cluster::cluster::{DnsLookupFamily, RefreshRate};
use api::envoy::core::{
    Address, DnsResolutionConfig, DnsResolverOptions, SocketAddress, TypedExtensionConfig, address,
    socket_address::PortSpecifier,
};
use api::envoy::dns_cluster::{DnsCluster, dns_cluster};
use api::envoy::dns_common::DnsLookupFamily as CommonFamily;
use api::envoy::protobuf;
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::http_filter::type_name;
use super::value;
use crate::dns::{Family, Lookup, Resolver};
use crate::limits::MAX_NAME_SERVERS;

/// Envoy's default.
const REFRESH: Duration = Duration::from_secs(5);
/// Waits have to be longer.
const REFRESH_ABOVE: Duration = Duration::from_millis(1);
/// The longest wait after failures, in first ones, where nothing else is said.
const FAILURE_MOST: u32 = 10;
/// Where name servers listen.
const PORT: u16 = 53;

/// What the fields of a `Cluster` of type `STRICT_DNS` or `LOGICAL_DNS` say.
#[allow(deprecated)]
pub(crate) fn of_cluster(
    at: &At<'_>,
    cluster: &Cluster,
    logical: bool,
    usual: &Arc<Resolver>,
) -> Result<Lookup, Fault> {
    let place = at.field("dns_lookup_family");
    let family = match value::enumeration(&place, cluster.dns_lookup_family)? {
        DnsLookupFamily::Auto => Family::Auto,
        DnsLookupFamily::V4Only => Family::V4Only,
        DnsLookupFamily::V6Only => Family::V6Only,
        DnsLookupFamily::V4Preferred => Family::V4Preferred,
        DnsLookupFamily::All => Family::All,
    };
    let failure = cluster.dns_failure_refresh_rate.as_ref().map(|rate| {
        let RefreshRate { base_interval, max_interval } = rate;
        (base_interval, max_interval)
    });
    Ok(Lookup {
        logical,
        family,
        refresh: refresh(at, &cluster.dns_refresh_rate)?,
        failure_refresh: failure_refresh(at, failure)?,
        respect_ttl: cluster.respect_dns_ttl,
        ttl_least: Duration::ZERO,
        jitter: value::duration(&at.field("dns_jitter"), &cluster.dns_jitter)?.unwrap_or_default(),
        resolver: resolver_of(at, cluster, usual)?,
    })
}

/// What a `cluster_type` of `DnsCluster` says; the `dns_…` fields beside it say nothing then.
pub(crate) fn of_extension(
    at: &At<'_>,
    config: &DnsCluster,
    usual: &Arc<Resolver>,
) -> Result<Lookup, Fault> {
    decide!(at, config => DnsCluster {
        used: dns_refresh_rate, dns_failure_refresh_rate, respect_dns_ttl, dns_jitter,
            typed_dns_resolver_config, dns_lookup_family, all_addresses_in_single_endpoint,
            dns_min_refresh_rate;
    });
    let place = at.field("dns_lookup_family");
    let family = match value::enumeration(&place, *dns_lookup_family)? {
        CommonFamily::Unspecified | CommonFamily::Auto => Family::Auto,
        CommonFamily::V4Only => Family::V4Only,
        CommonFamily::V6Only => Family::V6Only,
        CommonFamily::V4Preferred => Family::V4Preferred,
        CommonFamily::All => Family::All,
    };
    let failure = dns_failure_refresh_rate.as_ref().map(|rate| {
        let dns_cluster::RefreshRate { base_interval, max_interval } = rate;
        (base_interval, max_interval)
    });
    let place = at.field("dns_min_refresh_rate");
    let least = match value::duration(&place, dns_min_refresh_rate)? {
        Some(short) if short < Duration::from_secs(1) => return Err(place.invalid("at least 1s")),
        given => given.unwrap_or_default(),
    };
    let resolver = match typed_dns_resolver_config {
        Some(config) => Arc::new(typed_resolver(&at.field("typed_dns_resolver_config"), config)?),
        None => Arc::clone(usual),
    };
    Ok(Lookup {
        logical: *all_addresses_in_single_endpoint,
        family,
        refresh: refresh(at, dns_refresh_rate)?,
        failure_refresh: failure_refresh(at, failure)?,
        respect_ttl: *respect_dns_ttl,
        ttl_least: least,
        jitter: value::duration(&at.field("dns_jitter"), dns_jitter)?.unwrap_or_default(),
        resolver,
    })
}

fn refresh(at: &At<'_>, given: &Option<protobuf::Duration>) -> Result<Duration, Fault> {
    let at = at.field("dns_refresh_rate");
    Ok(interval(&at, given)?.unwrap_or(REFRESH))
}

type Interval = Option<protobuf::Duration>;

fn failure_refresh(
    at: &At<'_>,
    given: Option<(&Interval, &Interval)>,
) -> Result<Option<(Duration, Duration)>, Fault> {
    let Some((base, most)) = given else { return Ok(None) };
    let at = at.field("dns_failure_refresh_rate");
    let place = at.field("base_interval");
    let base = interval(&place, base)?.ok_or_else(|| place.missing("it has to be given"))?;
    let place = at.field("max_interval");
    let most = interval(&place, most)?.unwrap_or_else(|| base.saturating_mul(FAILURE_MOST));
    match most < base {
        true => Err(place.invalid("not below `base_interval`")),
        false => Ok(Some((base, most))),
    }
}

fn interval(at: &At<'_>, given: &Interval) -> Result<Option<Duration>, Fault> {
    match value::duration(at, given)? {
        Some(short) if short <= REFRESH_ABOVE => Err(at.invalid("longer than 1ms")),
        given => Ok(given),
    }
}

/// The resolver of a cluster: the first of four fields that is there, else that of the bootstrap.
#[allow(deprecated)]
fn resolver_of(
    at: &At<'_>,
    cluster: &Cluster,
    usual: &Arc<Resolver>,
) -> Result<Arc<Resolver>, Fault> {
    if let Some(config) = &cluster.typed_dns_resolver_config {
        let at = at.field("typed_dns_resolver_config");
        return typed_resolver(&at, config).map(Arc::new);
    }
    if let Some(config) = &cluster.dns_resolution_config {
        return resolution(&at.field("dns_resolution_config"), config).map(Arc::new);
    }
    if cluster.dns_resolvers.is_empty() && !cluster.use_tcp_for_dns_lookups {
        return Ok(Arc::clone(usual));
    }
    Ok(Arc::new(Resolver {
        servers: servers(&at.field("dns_resolvers"), &cluster.dns_resolvers)?,
        tcp: cluster.use_tcp_for_dns_lookups,
        ..Resolver::default()
    }))
}

/// The older form of a resolver's configuration.
pub(crate) fn resolution(at: &At<'_>, config: &DnsResolutionConfig) -> Result<Resolver, Fault> {
    let DnsResolutionConfig { resolvers, dns_resolver_options } = config;
    let servers = servers(&at.field("resolvers"), resolvers)?;
    let (tcp, no_search) = options(dns_resolver_options.as_ref());
    Ok(Resolver { servers, tcp, no_search, ..Resolver::default() })
}

/// `typed_dns_resolver_config`: c-ares and no other.
pub(crate) fn typed_resolver(
    at: &At<'_>,
    extension: &TypedExtensionConfig,
) -> Result<Resolver, Fault> {
    let TypedExtensionConfig { name, typed_config } = extension;
    let Some(any) = typed_config else {
        return Err(at.field("typed_config").missing("it has to be given"));
    };
    let kind = type_name(any);
    if kind != CaresDnsResolverConfig::full_name() {
        return Err(at.unsupported(format!("the resolver `{name}` ({kind}) is not supported")));
    }
    let at = at.field("typed_config");
    cares(&at, &typed(&at, any)?)
}

fn cares(at: &At<'_>, config: &CaresDnsResolverConfig) -> Result<Resolver, Fault> {
    decide!(at, config => CaresDnsResolverConfig {
        used: resolvers, use_resolvers_as_fallback, dns_resolver_options, query_timeout_seconds,
            query_tries, rotate_nameservers, edns0_max_payload_size;
        refused: filter_unroutable_families;
        // Each question has a socket of its own, and nothing is cached.
        without_effect: udp_max_queries, max_udp_channel_duration, reinit_channel_on_timeout,
            qcache_max_ttl;
    });
    let (tcp, no_search) = options(dns_resolver_options.as_ref());
    let unset = Resolver::default();
    let timeout = query_timeout_seconds.as_ref().map(|seconds| Duration::from_secs(seconds.value));
    let timeout = timeout.unwrap_or(unset.timeout);
    if timeout.is_zero() || timeout > Duration::from_secs(3600) {
        return Err(at.field("query_timeout_seconds").invalid("from 1 to 3600"));
    }
    let tries = value::u32_or(query_tries, unset.tries);
    if !(1..=100).contains(&tries) {
        return Err(at.field("query_tries").invalid("from 1 to 100"));
    }
    let payload = value::u32_or(edns0_max_payload_size, u32::from(unset.udp_payload));
    let payload = u16::try_from(payload).ok().filter(|size| (512..=4096).contains(size));
    let place = at.field("edns0_max_payload_size");
    Ok(Resolver {
        servers: servers(&at.field("resolvers"), resolvers)?,
        as_fallback: *use_resolvers_as_fallback,
        tcp,
        no_search,
        rotate: *rotate_nameservers,
        timeout,
        tries,
        udp_payload: payload.ok_or_else(|| place.invalid("from 512 to 4096"))?,
    })
}

/// TCP alone, and no search list.
fn options(given: Option<&DnsResolverOptions>) -> (bool, bool) {
    given.map_or((false, false), |options| {
        let DnsResolverOptions { use_tcp_for_dns_lookups, no_default_search_domain } = options;
        (*use_tcp_for_dns_lookups, *no_default_search_domain)
    })
}

fn servers(at: &At<'_>, list: &[Address]) -> Result<Vec<SocketAddr>, Fault> {
    at.at_most(MAX_NAME_SERVERS, list.len())?;
    list.iter().enumerate().map(|(index, one)| server(&at.item(index), one)).collect()
}

/// Name servers are mostly asked by UDP, and a port that is not given is theirs.
fn server(at: &At<'_>, given: &Address) -> Result<SocketAddr, Fault> {
    let Some(address::Address::SocketAddress(address)) = &given.address else {
        return Err(at.missing("a socket address has to be given"));
    };
    let mut address = SocketAddress { protocol: 0, ..address.clone() };
    address.port_specifier.get_or_insert(PortSpecifier::PortValue(0));
    let mut server = value::socket_address(&at.field("socket_address"), &address)?;
    if server.port() == 0 {
        server.set_port(PORT);
    }
    Ok(server)
}
