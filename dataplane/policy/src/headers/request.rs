//! A request on its way in and on its way up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::snapshot::{HttpManager, RouteTable};
use tls::session::Peer;
use wire::h1::strip_hop_by_hop;
use wire::head::{Head, Known, Names};

use super::changes::{self, Side};
use super::{client_cert, text};
use crate::format::Facts;
use crate::route::Found;

/// What [`request`] needs to know of the connection.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'c> {
    /// The manager that took the request in.
    pub manager: &'c HttpManager,
    /// The direct peer.
    pub source: SocketAddr,
    /// An address of this host, told to upstreams in place of a loopback peer's.
    pub local: IpAddr,
    /// The other side of the TLS connection; `None` on a plaintext one.
    pub peer: Option<&'c Peer>,
    /// The URI SAN of our own certificate for `By=`; empty: left out.
    pub local_uri: &'c str,
    /// A fresh UUID, used where the request has no id that may stay.
    pub request_id: &'c [u8],
}

/// What [`forward`] needs to know of the attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'c> {
    /// The manager that took the request in.
    pub manager: &'c HttpManager,
    /// The route table that the route was found in.
    pub table: &'c RouteTable,
    /// What was found.
    pub found: &'c Found<'c>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The time that the upstream is given (`None`: no limit).
    pub timeout: Option<Duration>,
    /// What is known besides the head, where [`super::need_facts`] says so.
    pub facts: Option<&'c Facts<'c>>,
}

/// The names of what steers Envoy's router, or is told at the edge, are among these.
const OF_ENVOY: Names = Names::of(&[
    Known::XEnvoyExpectedRqTimeoutMs,
    Known::XEnvoyUpstreamRqTimeoutMs,
    Known::XEnvoyOther,
]);

/// Prepares a request as it arrives. Returns the client's address as far as it may be believed.
///
/// No request counts as internal: Envoy 1.40 takes one for internal only where
/// `internal_address_config` says so, which is not understood here.
pub fn request(head: &mut Head, context: &RequestContext<'_>) -> IpAddr {
    let manager = context.manager;
    strip_hop_by_hop(head);
    let has_any = head.may_have(OF_ENVOY);
    if has_any {
        head.remove_where(|head, field| is_internal(head.get(field.name)));
    }
    let source = context.source.ip().to_canonical();
    let scheme: &[u8] = if context.peer.is_some() { b"https" } else { b"http" };
    let remote = if manager.use_remote_address {
        if has_any {
            head.remove_where(|head, field| is_of_the_edge(head.get(field.name)));
        }
        let told = if source.is_loopback() { context.local.to_canonical() } else { source };
        text::join(head, b"x-forwarded-for", b",", |out| text::write(out, told));
        head.set(b"x-forwarded-proto", scheme);
        text::set(head, b"x-envoy-external-address", source);
        source
    } else {
        last_forwarded_for(head).unwrap_or(source)
    };
    if head.value(Known::XForwardedProto).is_none() {
        head.append(b"x-forwarded-proto", scheme);
    }
    if let Some(via) = &manager.via {
        text::join(head, b"via", b", ", |out| out.extend_from_slice(via.as_bytes()));
    }
    request_id(head, context);
    client_cert::apply(head, &manager.client_cert, context.peer, context.local_uri);
    remote
}

/// Prepares a request for the upstream, once; [`retry`] does for later attempts.
pub fn forward(head: &mut Head, attempt: &Attempt<'_>) {
    if let Some(timeout) = attempt.timeout.filter(|_| !attempt.manager.suppress_envoy_headers) {
        head.set_number(b"x-envoy-expected-rq-timeout-ms", text::millis(timeout));
    }
    retry(head, attempt);
    changes::apply(head, attempt.table, attempt.found, Side::Request, attempt.facts);
}

/// Brings `x-envoy-attempt-count` up to date before a request is sent again.
pub fn retry(head: &mut Head, attempt: &Attempt<'_>) {
    if attempt.found.host.attempt_count {
        head.set_number(b"x-envoy-attempt-count", attempt.attempt.into());
    }
}

/// Keeps the client's id, or gives one. Where the client is the outside world its id only stays
/// if `preserve_external_request_id` says so.
fn request_id(head: &mut Head, context: &RequestContext<'_>) {
    let manager = context.manager;
    let believed = !manager.use_remote_address || manager.preserve_external_request_id;
    let there = head.value(Known::XRequestId).is_some();
    if manager.generate_request_id && !(there && believed) {
        head.set(b"x-request-id", context.request_id);
    }
}

/// The address at the end of `x-forwarded-for`: the nearest proxy's word on its client.
fn last_forwarded_for(head: &Head) -> Option<IpAddr> {
    head.value(Known::XForwardedFor)?;
    let last = head.values(b"x-forwarded-for").last()?;
    let last = last.rsplit(|byte| *byte == b',').next()?;
    let address: IpAddr = std::str::from_utf8(last.trim_ascii()).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// What steers Envoy's router, and what only we may say. From a request that is not internal it is
/// removed.
fn is_internal(name: &[u8]) -> bool {
    name.strip_prefix(b"x-envoy-").is_some_and(|rest| {
        matches!(
            rest,
            b"expected-rq-timeout-ms"
                | b"force-trace"
                | b"hedge-on-per-try-timeout"
                | b"internal"
                | b"ip-tags"
                | b"max-retries"
                | b"original-url"
                | b"retriable-header-names"
                | b"retriable-status-codes"
                | b"retry-grpc-on"
                | b"retry-on"
                | b"upstream-alt-stat-name"
                | b"upstream-rq-per-try-timeout-ms"
                | b"upstream-rq-timeout-alt-response"
                | b"upstream-rq-timeout-ms"
                | b"upstream-stream-duration-ms"
        )
    })
}

/// What is removed besides where the client is the outside world (`use_remote_address`).
fn is_of_the_edge(name: &[u8]) -> bool {
    name.strip_prefix(b"x-envoy-").is_some_and(|rest| {
        matches!(
            rest,
            b"decorator-operation"
                | b"downstream-service-cluster"
                | b"downstream-service-node"
                | b"original-host"
                | b"original-path"
        )
    })
}
