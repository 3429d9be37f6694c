//! What we answer ourselves: one reason for each refusal, shared by log, metric and reply.

use wire::h1::{Refusal, reason_phrase};
use wire::head::{Head, Known};

/// Why a request or a connection does not get what it came for. [`Reason::reply`] has the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The target is no path and the method asks for one.
    AbsolutePathRejected,
    /// No filter chain wants the connection.
    ChainNotFound,
    /// The route's cluster is not in the configuration.
    ClusterNotFound,
    /// The connection to the upstream could not be made.
    ConnectionFailure,
    /// This worker has no room for another connection.
    ConnectionOverflow,
    /// The upstream closed the connection before it had answered.
    ConnectionTermination,
    /// The connection to the upstream was not made in time.
    ConnectionTimeout,
    /// The route answers by itself.
    DirectResponse,
    /// The client went away first. There is nobody to answer.
    DownstreamGone,
    /// The client's bytes are no HTTP; see [`refused`].
    DownstreamProtocolError,
    /// The connection to the upstream could not even be tried.
    LocalConnectionFailure,
    /// A fault filter puts an end to it.
    FaultAbort,
    /// A filter that looks at bodies, or at nothing but itself, answers.
    Filtered(Filtered),
    /// A local rate limit is reached.
    LocalRateLimited,
    /// The request, which had come whole, and its answer have taken too long.
    MaxDuration,
    /// A request of HTTP/1.1 has no host.
    MissingHost,
    /// The cluster has no host that may be chosen.
    NoHealthyUpstream,
    /// The path holds what no path may.
    PathInvalid,
    /// The client is to come again with the path in its proper form.
    PathRedirect,
    /// One attempt took too long, and there is no other.
    PerTryTimeout,
    /// A policy says no; the details name it.
    RbacDenied,
    /// The request's head did not arrive in time.
    RequestHeadersTimeout,
    /// Nothing moved for too long while the request was still arriving.
    RequestIdleTimeout,
    /// The exchange has taken too long while the request was still arriving.
    RequestMaxDuration,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The upstream did not answer in time.
    ResponseTimeout,
    /// What the route makes of the path or the authority is none.
    RewriteInvalid,
    /// No virtual host or no route matches.
    RouteNotFound,
    /// Nothing moved for too long after the request had arrived.
    StreamIdleTimeout,
    /// The virtual host is there for HTTPS: the client is to come again by it.
    TlsRequired,
    /// The request asks for a protocol that may not pass.
    UpgradeRefused,
    /// A circuit breaker's limit is reached.
    UpstreamOverflow,
    /// The upstream's bytes are no HTTP.
    UpstreamProtocolError,
    /// The upstream reset the connection.
    UpstreamReset,
    /// The upstream's TLS handshake failed.
    UpstreamTlsFailure,
}

/// What some filters answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filtered {
    /// A request for calls from browsers is not what it says it is.
    GrpcWebInvalid,
    /// A health check, which is answered well without a look at anything.
    Well,
    /// The same after a look at clusters.
    ClustersWell,
    /// A health check while this process ends.
    Ending,
    /// A health check, and a cluster that is not there.
    NoCluster,
    /// The same for one without hosts.
    ClusterEmpty,
    /// The same for one with too few hosts that are well.
    ClusterUnwell,
    /// The request's body is longer than a filter keeps.
    PayloadTooLarge,
}

impl Filtered {
    /// All that belongs to it.
    const fn reply(self) -> Reply {
        let (code, status, body, details, flag) = match self {
            Self::GrpcWebInvalid => (
                "grpc_web_invalid",
                400,
                "Bad gRPC-web request, invalid base64 data.",
                "grpc_base_64_decode_failed",
                "",
            ),
            Self::Well => ("health_check_ok", 200, "", "health_check_ok", ""),
            Self::ClustersWell => (CLUSTERS_WELL, 200, "", "health_check_ok_cluster_healthy", ""),
            Self::Ending => ("health_check_failed", 503, "", "health_check_failed", "LH"),
            Self::NoCluster => {
                ("health_check_no_cluster", 503, "", "health_check_failed_no_cluster_found", "LH")
            }
            Self::ClusterEmpty => {
                ("health_check_cluster_empty", 503, "", "health_check_failed_cluster_empty", "LH")
            }
            Self::ClusterUnwell => {
                (CLUSTER_UNWELL, 503, "", "health_check_failed_cluster_unhealthy", "LH")
            }
            Self::PayloadTooLarge => {
                ("payload_too_large", 413, "Payload Too Large", "request_payload_too_large", "")
            }
        };
        Reply { code, status, body, details, flag }
    }
}

const CLUSTERS_WELL: &str = "health_check_clusters_ok";
const CLUSTER_UNWELL: &str = "health_check_cluster_unhealthy";

/// A reason with all that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Our own stable name of the reason, for logs and metrics.
    pub code: &'static str,
    /// The status that is answered (the route has another one for a cluster that is not there, and
    /// a direct response has its own); 0 where nobody is answered.
    pub status: u16,
    /// The body, `text/plain`; empty: none.
    pub body: &'static str,
    /// Envoy's response code details. For a policy's refusal `rbac::Details` has them in full.
    pub details: &'static str,
    /// Envoy's response flag, empty if it has none.
    pub flag: &'static str,
}

impl Reply {
    /// What a call by gRPC is answered with, where that does not follow from the status.
    pub fn grpc_status(&self) -> Option<u8> {
        const DEADLINE_EXCEEDED: u8 = 4;
        (self.details == row(Reason::MaxDuration).details).then_some(DEADLINE_EXCEEDED)
    }
}

impl Reason {
    /// All that belongs to this reason.
    pub const fn reply(self) -> Reply {
        row(self)
    }

    /// As [`Self::reply`], after more than one attempt: Envoy says so in the body.
    pub fn reply_after(self, attempts: u32) -> Reply {
        let reply = self.reply();
        let retried = BODIES.iter().find(|(first, _)| attempts > 1 && *first == reply.body);
        Reply { body: retried.map_or(reply.body, |(_, retried)| retried), ..reply }
    }

    /// The stable name in our logs and metrics.
    pub const fn code(self) -> &'static str {
        row(self).code
    }
}

/// Whether the request is a call by gRPC: its answers are too, also our own.
pub fn is_grpc(head: &Head) -> bool {
    let rest =
        head.value(Known::ContentType).and_then(|kind| kind.strip_prefix(b"application/grpc"));
    matches!(rest, Some([] | [b'+', ..]))
}

/// What Envoy calls a status in gRPC.
pub const fn grpc_status(status: u16) -> u8 {
    const UNKNOWN: u8 = 2;
    const PERMISSION_DENIED: u8 = 7;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// How a call by gRPC has ended, where the head of its answer says so.
pub fn call_status(head: &Head) -> Option<u32> {
    let digits = head.values(b"grpc-status").next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What Envoy calls a status of gRPC in HTTP.
pub const fn http_status(grpc_status: u32) -> u16 {
    match grpc_status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// The answer to bytes that the codec refused: the status in words as the body, as Envoy has it.
pub fn refused(refusal: &Refusal) -> Reply {
    // These Envoy's connection manager answers, not its codec.
    let body = match refusal.details {
        "missing_host_header" | "path_normalization_failed" => "",
        _ => reason_phrase(refusal.status),
    };
    Reply {
        code: refusal.code,
        status: refusal.status,
        body,
        details: refusal.details,
        flag: if body.is_empty() { "" } else { "DPE" },
    }
}

/// Envoy's sentence on a request that was reset, for the first attempt and for later ones.
macro_rules! reset {
    ($reason:literal) => {
        (
            concat!(
                "upstream connect error or disconnect/reset before headers. reset reason: ",
                $reason
            ),
            concat!(
                "upstream connect error or disconnect/reset before headers. ",
                "retried and the latest reset reason: ",
                $reason
            ),
        )
    };
}

type Bodies = (&'static str, &'static str);
const REMOTE: Bodies = reset!("remote connection failure");
const LOCAL: Bodies = reset!("local connection failure");
const TIMEOUT: Bodies = reset!("connection timeout");
const TERMINATION: Bodies = reset!("connection termination");
const RESET: Bodies = reset!("remote reset");
const PROTOCOL: Bodies = reset!("protocol error");
const OVERFLOW: Bodies = reset!("overflow");
const BODIES: [Bodies; 7] = [REMOTE, LOCAL, TIMEOUT, TERMINATION, RESET, PROTOCOL, OVERFLOW];

/// Envoy's name for a stream on which nothing moves.
const IDLE: &str = "stream_idle_timeout";

/// What Envoy's local rate limit has for everything.
const LIMITED: &str = "local_rate_limited";

/// Details of a request that was reset.
macro_rules! before {
    ($reason:literal) => {
        concat!("upstream_reset_before_response_started{", $reason, "}")
    };
}

/// Envoy's sentence on an exchange that took too long.
const DURATION: &str = "downstream duration timeout";

/// The table: our code, status, body, Envoy's details, Envoy's flag.
#[rustfmt::skip] // one line a reason where it fits
const fn row(reason: Reason) -> Reply {
    use Reason as R;
    let (code, status, body, details, flag) = match reason {
        R::AbsolutePathRejected =>
            ("absolute_path_rejected", 404, "", "absolute_path_rejected", ""),
        R::ChainNotFound => ("chain_not_found", 0, "", "filter_chain_not_found", "NR"),
        R::ClusterNotFound => ("cluster_not_found", 503, "", "cluster_not_found", "NC"),
        R::ConnectionFailure => (
            "upstream_connect_failed", 503, REMOTE.0, before!("remote_connection_failure"), "UF",
        ),
        R::ConnectionOverflow =>
            ("connection_overflow", 503, OVERFLOW.0, before!("overflow"), "UO"),
        R::ConnectionTermination => (
            "upstream_closed", 503, TERMINATION.0, before!("connection_termination"), "UC",
        ),
        R::ConnectionTimeout => (
            "upstream_connect_timeout", 503, TIMEOUT.0, before!("connection_timeout"), "UF",
        ),
        R::DirectResponse => ("direct_response", 200, "", "direct_response", ""),
        R::DownstreamGone => ("downstream_gone", 0, "", "downstream_remote_disconnect", "DC"),
        R::DownstreamProtocolError => (
            "downstream_protocol_error", 400, "Bad Request", "http1.codec_error", "DPE",
        ),
        R::LocalConnectionFailure => (
            "upstream_connect_impossible", 503, LOCAL.0, before!("local_connection_failure"), "UF",
        ),
        R::FaultAbort => ("fault_abort", 503, "fault filter abort", "fault_filter_abort", "FI"),
        R::Filtered(filtered) => return filtered.reply(),
        R::LocalRateLimited => (LIMITED, 429, LIMITED, LIMITED, "RL"),
        R::MaxDuration => ("max_duration", 504, DURATION, "max_duration_timeout", ""),
        R::MissingHost => ("missing_host", 400, "", "missing_host_header", ""),
        R::NoHealthyUpstream => (
            "no_healthy_upstream", 503, "no healthy upstream", "no_healthy_upstream", "UH",
        ),
        R::PathInvalid => ("path_invalid", 400, "", "path_normalization_failed", ""),
        R::PathRedirect => ("path_redirect", 307, "", "path_normalization_failed", ""),
        R::PerTryTimeout => (
            "per_try_timeout", 504, "upstream request timeout", "upstream_per_try_timeout", "UT",
        ),
        R::RbacDenied => ("rbac_denied", 403, "RBAC: access denied", "rbac_access_denied", ""),
        R::RequestHeadersTimeout => (
            "request_headers_timeout", 408, "request header timeout", "request_header_timeout", "",
        ),
        R::RequestIdleTimeout => (
            "request_idle_timeout", 408, "stream timeout", "stream_idle_timeout", "SI",
        ),
        R::RequestMaxDuration =>
            ("request_max_duration", 408, DURATION, "max_duration_timeout", ""),
        R::RequestTimeout => (
            "request_timeout", 408, "request timeout", "request_overall_timeout", "",
        ),
        R::ResponseTimeout => (
            "response_timeout", 504, "upstream request timeout", "response_timeout", "UT",
        ),
        R::RewriteInvalid => ("rewrite_invalid", 400, "", "rewrite_invalid", ""),
        R::RouteNotFound => ("route_not_found", 404, "", "route_not_found", "NR"),
        R::StreamIdleTimeout => (IDLE, 504, "stream timeout", IDLE, "SI"),
        R::TlsRequired => ("tls_required", 301, "", "direct_response", ""),
        R::UpgradeRefused => ("upgrade_refused", 403, "", "upgrade_failed", ""),
        R::UpstreamOverflow => ("upstream_overflow", 503, OVERFLOW.0, before!("overflow"), "UO"),
        R::UpstreamProtocolError => (
            "upstream_protocol_error", 502, PROTOCOL.0, before!("protocol_error"), "UPE",
        ),
        R::UpstreamReset => ("upstream_reset", 503, RESET.0, before!("remote_reset"), "UR"),
        R::UpstreamTlsFailure => (
            "upstream_tls_failed", 503, REMOTE.0, before!("remote_connection_failure"), "UF",
        ),
    };
    Reply { code, status, body, details, flag }
}

#[cfg(test)]
mod tests;
