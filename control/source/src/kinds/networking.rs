//! `networking.istio.io`: `VirtualService` and `DestinationRule`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::value::{Duration, Unread, proto_enum};

/// `VirtualService.spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct VirtualService {
    pub hosts: Vec<String>,
    pub gateways: Vec<String>,
    pub http: Vec<HttpRoute>,
    pub tls: Option<Unread>,
    pub tcp: Option<Unread>,
    pub export_to: Vec<String>,
}

/// `VirtualService.spec.http`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HttpRoute {
    pub name: String,
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    pub route: Vec<HttpRouteDestination>,
    pub redirect: Option<Unread>,
    pub direct_response: Option<DirectResponse>,
    pub delegate: Option<Unread>,
    pub rewrite: Option<Unread>,
    pub timeout: Option<Duration>,
    pub retries: Option<Retries>,
    pub fault: Option<Unread>,
    pub mirror: Option<Unread>,
    pub mirrors: Option<Unread>,
    pub mirror_percent: Option<Unread>,
    pub mirror_percentage: Option<Unread>,
    pub cors_policy: Option<Unread>,
    pub headers: Option<Headers>,
}

/// `HTTPMatchRequest`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HttpMatch {
    pub name: String,
    pub uri: Option<StringMatch>,
    pub scheme: Option<StringMatch>,
    pub method: Option<StringMatch>,
    pub authority: Option<StringMatch>,
    pub headers: BTreeMap<String, StringMatch>,
    pub without_headers: BTreeMap<String, StringMatch>,
    pub query_params: BTreeMap<String, StringMatch>,
    pub ignore_uri_case: bool,
    pub port: Option<u16>,
    pub source_labels: BTreeMap<String, String>,
    pub source_namespace: String,
    pub gateways: Vec<String>,
    pub stat_prefix: Option<Unread>,
}

/// `StringMatch`: one of the three, or none for "is there".
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct StringMatch {
    pub exact: Option<String>,
    pub prefix: Option<String>,
    pub regex: Option<String>,
}

/// `HTTPRouteDestination`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HttpRouteDestination {
    pub destination: Destination,
    pub weight: u32,
    pub headers: Option<Unread>,
}

/// `Destination`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Destination {
    pub host: String,
    pub subset: String,
    pub port: Option<PortSelector>,
}

/// `PortSelector`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PortSelector {
    pub number: u16,
}

/// `HTTPDirectResponse`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DirectResponse {
    pub status: u32,
    pub body: Option<ResponseBody>,
}

/// `HTTPBody`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ResponseBody {
    pub string: Option<String>,
    pub bytes: Option<Unread>,
}

/// `HTTPRetry`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Retries {
    pub attempts: u32,
    pub per_try_timeout: Option<Duration>,
    pub retry_on: String,
    pub retry_remote_localities: Option<Unread>,
    pub retry_ignore_previous_hosts: Option<Unread>,
    pub backoff: Option<Unread>,
}

/// `Headers`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Headers {
    pub request: HeaderOperations,
    pub response: HeaderOperations,
}

/// `HeaderOperations`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HeaderOperations {
    pub set: BTreeMap<String, String>,
    pub add: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

/// `DestinationRule.spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DestinationRule {
    pub host: String,
    pub traffic_policy: Option<TrafficPolicy>,
    pub subsets: Vec<Subset>,
    pub export_to: Vec<String>,
    pub workload_selector: Option<Unread>,
}

/// `Subset`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Subset {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub traffic_policy: Option<TrafficPolicy>,
}

/// `TrafficPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TrafficPolicy {
    pub load_balancer: Option<LoadBalancer>,
    pub connection_pool: Option<ConnectionPool>,
    pub tls: Option<ClientTls>,
    pub outlier_detection: Option<Box<OutlierDetection>>,
    pub port_level_settings: Option<Unread>,
    pub tunnel: Option<Unread>,
    pub proxy_protocol: Option<Unread>,
    pub retry_budget: Option<RetryBudget>,
}

/// `OutlierDetection`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct OutlierDetection {
    pub consecutive_errors: Option<Unread>,
    pub split_external_local_origin_errors: bool,
    pub consecutive_local_origin_failures: Option<u32>,
    pub consecutive_gateway_errors: Option<u32>,
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    pub interval: Option<Duration>,
    pub base_ejection_time: Option<Duration>,
    pub max_ejection_percent: u32,
    pub min_health_percent: u32,
}

/// `TrafficPolicy.RetryBudget`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RetryBudget {
    pub percent: Option<f64>,
    pub min_retry_concurrency: Option<u32>,
}

/// `LoadBalancerSettings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LoadBalancer {
    pub simple: SimpleLb,
    pub consistent_hash: Option<Box<ConsistentHash>>,
    pub locality_lb_setting: Option<Unread>,
    pub zone_aware_lb_setting: Option<Unread>,
    pub warmup: Option<Box<Warmup>>,
    pub warmup_duration_secs: Option<Unread>,
}

/// `ConsistentHashLB`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ConsistentHash {
    pub http_header_name: Option<String>,
    pub http_cookie: Option<HashCookie>,
    pub use_source_ip: Option<bool>,
    pub http_query_parameter_name: Option<String>,
    pub ring_hash: Option<RingHash>,
    pub maglev: Option<Maglev>,
    pub minimum_ring_size: u64,
}

/// `HTTPCookie`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HashCookie {
    pub name: String,
    pub path: String,
    pub ttl: Option<Duration>,
    pub attributes: Option<Unread>,
}

/// `RingHash`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RingHash {
    pub minimum_ring_size: u64,
}

/// `MagLev`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Maglev {
    pub table_size: u64,
}

/// `WarmupConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Warmup {
    pub duration: Option<Duration>,
    pub minimum_percent: Option<f64>,
    pub aggression: Option<f64>,
}

proto_enum! {
    /// `SimpleLB`.
    SimpleLb {
        Unspecified = 0 "UNSPECIFIED",
        LeastConn = 1 "LEAST_CONN",
        Random = 2 "RANDOM",
        Passthrough = 3 "PASSTHROUGH",
        RoundRobin = 4 "ROUND_ROBIN",
        LeastRequest = 5 "LEAST_REQUEST",
    }
}

/// `ConnectionPoolSettings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ConnectionPool {
    pub tcp: TcpPool,
    pub http: HttpPool,
}

/// `ConnectionPoolSettings.TCPSettings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TcpPool {
    pub max_connections: u32,
    pub connect_timeout: Option<Duration>,
    pub tcp_keepalive: Option<Unread>,
    pub max_connection_duration: Option<Unread>,
    pub idle_timeout: Option<Unread>,
}

/// `ConnectionPoolSettings.HTTPSettings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct HttpPool {
    #[serde(rename = "http1MaxPendingRequests")]
    pub http1_max_pending_requests: u32,
    #[serde(rename = "http2MaxRequests")]
    pub http2_max_requests: u32,
    pub max_requests_per_connection: u32,
    pub max_retries: u32,
    pub idle_timeout: Option<Duration>,
    #[serde(rename = "h2UpgradePolicy")]
    pub h2_upgrade_policy: Option<Unread>,
    pub use_client_protocol: Option<Unread>,
    pub max_concurrent_streams: Option<Unread>,
    #[serde(rename = "http2KeepAlive", alias = "http2Keepalive")]
    pub http2_keepalive: Option<Unread>,
}

/// `ClientTLSSettings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ClientTls {
    pub mode: TlsMode,
    pub client_certificate: Option<Unread>,
    pub private_key: Option<Unread>,
    pub ca_certificates: Option<Unread>,
    pub credential_name: Option<Unread>,
    pub subject_alt_names: Option<Unread>,
    pub sni: Option<Unread>,
    pub insecure_skip_verify: Option<Unread>,
    pub ca_crl: Option<Unread>,
}

proto_enum! {
    /// `ClientTLSSettings.TLSmode`.
    TlsMode {
        Disable = 0 "DISABLE",
        Simple = 1 "SIMPLE",
        Mutual = 2 "MUTUAL",
        IstioMutual = 3 "ISTIO_MUTUAL",
    }
}
