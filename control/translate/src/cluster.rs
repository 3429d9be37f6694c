//! CDS.

use std::net::IpAddr;

use api::envoy::cluster::circuit_breakers::{Thresholds, thresholds::RetryBudget};
use api::envoy::cluster::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy, TransportSocketMatch,
};
use api::envoy::cluster::{CircuitBreakers, Cluster};
use api::envoy::core::{self, BindConfig, Http2ProtocolOptions, HttpProtocolOptions};
use api::envoy::protobuf::{Any, Struct};
use api::envoy::raw_buffer::RawBuffer;
use api::envoy::upstream_http::HttpProtocolOptions as UpstreamHttp;
use api::envoy::upstream_http::http_protocol_options::explicit_http_config::ProtocolConfig;
use api::envoy::upstream_http::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
};
use api::names::{self, ClusterName, SpiffeId};
use model::kinds::networking::{Subset, TlsMode, TrafficPolicy};
use model::{Model, Protocol, Service, ServicePort};

use crate::parts::{ads, any, number, percent, seconds, socket, span, transport};
use crate::{Key, balance, endpoint, tls};

/// The mesh's `connectTimeout`.
const CONNECT_TIMEOUT_S: i64 = 10;
/// What goes to unknown places is kept open so long when idle.
const PASSTHROUGH_IDLE_S: i64 = 300;
/// Addresses of the own application are never forgotten. Istio sends Go's longest duration, which
/// Envoy 1.40 refuses; this is 285 years.
const CLEANUP_S: i64 = 9_000_000_000;
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// All clusters of a proxy, in a fixed order.
pub fn clusters(model: &Model, key: &Key) -> Vec<Cluster> {
    let mut all = Vec::new();
    for service in model.visible_services(&key.namespace) {
        let destinations = model.destinations(service, &key.namespace);
        let ids = spiffe_ids(model, service);
        for port in &service.ports {
            let whole = Outbound { service, port, policy: destinations.policy, ids: &ids };
            all.push(whole.cluster("", None));
            for subset in &destinations.subsets {
                all.push(whole.cluster(&subset.name, Some(subset)));
            }
        }
    }
    all.push(passthrough(names::PASSTHROUGH_CLUSTER));
    all.push(black_hole());
    inbound(model, key, &mut all);
    let mut unknown = passthrough(names::INBOUND_PASSTHROUGH_CLUSTER);
    unknown.upstream_bind_config = bind(key);
    all.push(unknown);
    all
}

fn spiffe_ids(model: &Model, service: &Service) -> Vec<String> {
    let ids = service.identities();
    let ids = ids.into_iter().filter_map(|id| {
        SpiffeId::new(&model.mesh.trust_domain, &id.namespace, &id.service_account).ok()
    });
    ids.map(|id| id.to_string()).collect()
}

/// A port of a service, seen by clients.
struct Outbound<'m> {
    service: &'m Service,
    port: &'m ServicePort,
    policy: Option<&'m TrafficPolicy>,
    ids: &'m [String],
}

impl Outbound<'_> {
    fn cluster(&self, subset: &str, own: Option<&Subset>) -> Cluster {
        let name = ClusterName::outbound(self.port.number, subset, &self.service.hostname);
        let settings = Settings::merge(self.policy, own.and_then(|s| s.traffic_policy.as_ref()));
        let mut cluster = Cluster {
            name: name.to_string(),
            alt_stat_name: format!("{name};"),
            connect_timeout: Some(settings.connect_timeout()),
            circuit_breakers: Some(settings.limits()),
            typed_extension_protocol_options: settings.http(self.port.protocol),
            ..Cluster::default()
        };
        balance::apply(&settings, &mut cluster);
        self.discovery(&mut cluster);
        self.transport(&mut cluster, &name, &settings);
        cluster
    }

    fn discovery(&self, cluster: &mut Cluster) {
        if self.service.is_headless() {
            // Clients have already chosen: they connect to the address of a pod.
            cluster.cluster_discovery_type = discovery(DiscoveryType::OriginalDst);
            cluster.lb_policy = LbPolicy::ClusterProvided as i32;
            // What is gone to anyway is neither chosen nor left out.
            (cluster.lb_config, cluster.outlier_detection) = (None, None);
            return;
        }
        cluster.cluster_discovery_type = discovery(DiscoveryType::Eds);
        cluster.eds_cluster_config =
            Some(EdsClusterConfig { eds_config: Some(ads()), service_name: cluster.name.clone() });
    }

    /// Mutual TLS to whoever can, plain bytes to the rest, unless a rule says it for all.
    fn transport(&self, cluster: &mut Cluster, name: &ClusterName, settings: &Settings<'_>) {
        let mutual = || tls::client(name.sni(), self.ids, self.port.protocol);
        match settings.tls() {
            Some(TlsMode::IstioMutual) => cluster.transport_socket = Some(mutual()),
            Some(_) => {}
            None if self.service.is_headless() => {
                // Addresses of original destinations carry no metadata: all or nothing.
                let ends = &self.port.endpoints;
                if !ends.is_empty() && ends.iter().all(|end| end.mutual_tls) {
                    cluster.transport_socket = Some(mutual());
                }
            }
            None if self.ids.is_empty() => {}
            None => {
                cluster.transport_socket_matches = vec![
                    matching("tlsMode-istio", endpoint::tls_mode(), mutual()),
                    matching("tlsMode-disabled", Struct::default(), raw_buffer()),
                ]
            }
        }
    }
}

fn matching(name: &str, criteria: Struct, socket: core::TransportSocket) -> TransportSocketMatch {
    TransportSocketMatch {
        name: name.to_owned(),
        r#match: Some(criteria),
        transport_socket: Some(socket),
    }
}

fn raw_buffer() -> core::TransportSocket {
    transport("envoy.transport_sockets.raw_buffer", any(&RawBuffer {}))
}

fn discovery(kind: DiscoveryType) -> Option<ClusterDiscoveryType> {
    Some(ClusterDiscoveryType::Type(kind as i32))
}

/// The rules of a subset count before those of its host, setting by setting.
pub(crate) struct Settings<'m> {
    levels: [Option<&'m TrafficPolicy>; 2],
}

impl<'m> Settings<'m> {
    pub(crate) fn merge(
        host: Option<&'m TrafficPolicy>,
        subset: Option<&'m TrafficPolicy>,
    ) -> Self {
        Self { levels: [subset, host] }
    }

    pub(crate) fn first<T>(&self, get: impl Fn(&'m TrafficPolicy) -> Option<T>) -> Option<T> {
        self.levels.into_iter().flatten().find_map(get)
    }

    fn tls(&self) -> Option<TlsMode> {
        self.first(|policy| policy.tls.as_ref().map(|tls| tls.mode))
    }

    fn connect_timeout(&self) -> api::envoy::Duration {
        let set = self.first(|p| p.connection_pool.as_ref().and_then(|c| c.tcp.connect_timeout));
        set.map_or_else(|| seconds(CONNECT_TIMEOUT_S), span)
    }

    /// Off unless a rule sets them.
    fn limits(&self) -> CircuitBreakers {
        let pool = self.first(|policy| policy.connection_pool.as_ref());
        let limit = |get: fn(&model::kinds::networking::ConnectionPool) -> u32| {
            number(pool.map(get).filter(|limit| *limit > 0).unwrap_or(u32::MAX))
        };
        let thresholds = Thresholds {
            max_connections: limit(|pool| pool.tcp.max_connections),
            max_pending_requests: limit(|pool| pool.http.http1_max_pending_requests),
            max_requests: limit(|pool| pool.http.http2_max_requests),
            max_retries: limit(|pool| pool.http.max_retries),
            retry_budget: self.first(|policy| policy.retry_budget.as_ref()).map(budget),
            ..Thresholds::default()
        };
        CircuitBreakers { thresholds: vec![thresholds], ..CircuitBreakers::default() }
    }

    fn http(&self, protocol: Protocol) -> std::collections::HashMap<String, Any> {
        let pool = self.first(|policy| policy.connection_pool.as_ref());
        let common = pool.map(|pool| HttpProtocolOptions {
            idle_timeout: pool.http.idle_timeout.map(span),
            max_requests_per_connection: number(pool.http.max_requests_per_connection)
                .filter(|limit| limit.value > 0),
            ..HttpProtocolOptions::default()
        });
        let common = common.filter(|common| *common != HttpProtocolOptions::default());
        let spoken = match protocol {
            Protocol::Auto => Some(as_downstream()),
            protocol if protocol.is_http2() => Some(http2()),
            _ => common.is_some().then(http1),
        };
        spoken.map(|spoken| options(spoken, common)).unwrap_or_default()
    }
}

/// Istio's defaults are Envoy's.
fn budget(given: &model::kinds::networking::RetryBudget) -> RetryBudget {
    RetryBudget {
        budget_percent: given.percent.map(percent),
        min_retry_concurrency: given.min_retry_concurrency.and_then(number),
        ..RetryBudget::default()
    }
}

fn options(
    spoken: UpstreamProtocolOptions,
    common: Option<HttpProtocolOptions>,
) -> std::collections::HashMap<String, Any> {
    let options = UpstreamHttp {
        upstream_protocol_options: Some(spoken),
        common_http_protocol_options: common,
        ..UpstreamHttp::default()
    };
    [(HTTP_OPTIONS.to_owned(), any(&options))].into()
}

fn http1() -> UpstreamProtocolOptions {
    let config = ProtocolConfig::HttpProtocolOptions(core::Http1ProtocolOptions::default());
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(config),
    })
}

fn http2() -> UpstreamProtocolOptions {
    let config = ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default());
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(config),
    })
}

fn as_downstream() -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(core::Http1ProtocolOptions::default()),
        http2_protocol_options: Some(Http2ProtocolOptions::default()),
        ..UseDownstreamHttpConfig::default()
    })
}

/// Goes where the connection was going.
fn passthrough(name: &str) -> Cluster {
    let common = HttpProtocolOptions {
        idle_timeout: Some(seconds(PASSTHROUGH_IDLE_S)),
        ..HttpProtocolOptions::default()
    };
    Cluster {
        typed_extension_protocol_options: options(as_downstream(), Some(common)),
        ..original_destination(name)
    }
}

fn original_destination(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        alt_stat_name: format!("{name};"),
        cluster_discovery_type: discovery(DiscoveryType::OriginalDst),
        lb_policy: LbPolicy::ClusterProvided as i32,
        connect_timeout: Some(seconds(CONNECT_TIMEOUT_S)),
        circuit_breakers: Some(Settings::merge(None, None).limits()),
        ..Cluster::default()
    }
}

fn black_hole() -> Cluster {
    Cluster {
        name: names::BLACK_HOLE_CLUSTER.to_owned(),
        alt_stat_name: format!("{};", names::BLACK_HOLE_CLUSTER),
        cluster_discovery_type: discovery(DiscoveryType::Static),
        connect_timeout: Some(seconds(CONNECT_TIMEOUT_S)),
        ..Cluster::default()
    }
}

/// One for each port of the own application that a service leads to.
fn inbound(model: &Model, key: &Key, all: &mut Vec<Cluster>) {
    let mut done: Vec<u16> = Vec::new();
    for (_, port, target) in model.served_at(&key.addresses) {
        if done.contains(&target) {
            continue;
        }
        done.push(target);
        all.push(Cluster {
            upstream_bind_config: bind(key),
            cleanup_interval: Some(seconds(CLEANUP_S)),
            typed_extension_protocol_options: Settings::merge(None, None).http(port.protocol),
            ..original_destination(&ClusterName::inbound(target).to_string())
        });
    }
}

/// The source address that redirect rules leave alone.
fn bind(key: &Key) -> Option<BindConfig> {
    let v6 = key.addresses.first().is_some_and(IpAddr::is_ipv6);
    let source = if v6 { names::INBOUND_SOURCE_V6.into() } else { names::INBOUND_SOURCE_V4.into() };
    Some(BindConfig { source_address: Some(socket(source, 0)), ..BindConfig::default() })
}
