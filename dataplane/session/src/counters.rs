//! What a worker counts. Each worker writes its own; whoever reads adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $name,)* }

        impl Counter {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name under which it is shown.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

counters! {
    /// Connections accepted from clients.
    DownstreamTotal => "downstream_cx_total",
    /// Of these, closed again.
    DownstreamClosed => "downstream_cx_destroy",
    /// Refused because a table or a buffer was full.
    DownstreamOverflow => "downstream_cx_overflow",
    /// Connections from clients that speak HTTP/2.
    DownstreamHttp2 => "downstream_cx_http2_total",
    /// No filter chain matched.
    NoFilterChain => "no_filter_chain_match",
    /// Connections of silent clients whose upstream spoke first, before the inspectors gave up.
    ServerFirst => "inspect_server_first",
    /// Of those whose upstream was connected early for that, the ones of which the client spoke.
    ClientFirst => "inspect_client_first",
    /// Connections that did not begin with the header of the PROXY protocol that they must have.
    ProxyProtocolError => "downstream_cx_proxy_proto_error",
    /// TLS handshakes with clients that succeeded.
    DownstreamTlsHandshakes => "downstream_tls_handshake",
    /// TLS connections of clients that were refused or broken.
    DownstreamTlsErrors => "downstream_tls_error",
    /// Connections refused by a network policy.
    NetworkRbacDenied => "network_rbac_denied",
    /// Requests from clients.
    RequestTotal => "downstream_rq_total",
    /// Requests that could not be read.
    RequestMalformed => "downstream_rq_malformed",
    /// Requests refused by a policy.
    RbacDenied => "rbac_denied",
    /// Requests let through by a policy.
    RbacAllowed => "rbac_allowed",
    /// Requests that a fault filter let wait.
    FaultDelays => "fault_delays_injected",
    /// Requests that a fault filter put an end to.
    FaultAborts => "fault_aborts_injected",
    /// Requests whose answers a fault filter slowed down.
    FaultRateLimits => "fault_response_rl_injected",
    /// Requests that a fault filter spared because enough suffered (`max_active_faults`).
    FaultOverflow => "faults_overflow",
    /// Requests from another origin that may ask.
    CorsOriginValid => "cors_origin_valid",
    /// Requests from another origin that may not.
    CorsOriginInvalid => "cors_origin_invalid",
    /// Requests that a local rate limit found too many.
    RateLimited => "http_local_rate_limit_rate_limited",
    /// Of these, refused.
    RateLimitEnforced => "http_local_rate_limit_enforced",
    /// Connections closed because as many are open as may be (`connection_limit`).
    ConnectionsLimited => "connection_limit_limited_connections",
    /// Connections closed because too many come (`local_ratelimit`).
    ConnectionsRateLimited => "local_rate_limit_rate_limited",
    /// Answers that Ringway made itself.
    LocalReply => "local_reply",
    /// Answers with a status of 200 to 299.
    Response2xx => "downstream_rq_2xx",
    /// Answers with a status of 300 to 399.
    Response3xx => "downstream_rq_3xx",
    /// Answers with a status of 400 to 499.
    Response4xx => "downstream_rq_4xx",
    /// Answers with a status of 500 to 599.
    Response5xx => "downstream_rq_5xx",
    /// Connections made to upstreams.
    UpstreamTotal => "upstream_cx_total",
    /// Connections to upstreams that speak HTTP/2.
    UpstreamHttp2 => "upstream_cx_http2_total",
    /// Of these, closed again.
    UpstreamClosed => "upstream_cx_destroy",
    /// Connections to upstreams that could not be made.
    UpstreamConnectFail => "upstream_cx_connect_fail",
    /// TLS connections to upstreams that were refused or broken.
    UpstreamTlsErrors => "upstream_tls_error",
    /// Connections by HTTP/2 whose peer gave no sign of life.
    KeepaliveTimeout => "http2_keepalive_timeout",
    /// Connections to upstreams by HTTP/2 that were given up: what came found no way on.
    UpstreamStalled => "upstream_cx_http2_stalled",
    /// Requests sent again.
    UpstreamRetry => "upstream_rq_retry",
    /// Requests that were not sent again because too many were.
    RetryOverflow => "upstream_rq_retry_overflow",
    /// Hosts that were ejected for what they answered.
    OutlierEjections => "outlier_detection_ejections",
    /// Lines of access logs that nobody took in time.
    AccessLogDropped => "access_log_dropped",
    /// Copies of requests that were sent (`request_mirror_policies`).
    UpstreamMirrored => "upstream_rq_mirrored",
    /// Of these, given up because they could not keep up with the request.
    UpstreamMirrorDropped => "upstream_rq_mirror_dropped",
    /// Bytes moved by the kernel alone.
    RelayedBytes => "relayed_bytes",
    /// Snapshots taken over.
    Snapshots => "snapshots",
}

/// One worker's counters. Only that worker adds to them.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters([AtomicU64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// What stands there now.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, counter: Counter, by: u64) {
        // One writer: a plain load and store, not a locked addition.
        if let Some(cell) = self.0.get(counter as usize) {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        }
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }
}
