//! A request on its way in and on its way up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::snapshot::{
    HostForm, HttpManager, Origin, RouteTable, SchemeChange, StringMatch, StripPort, Underscores,
};
use tls::session::Peer;
use wire::h1::strip_hop_by_hop;
use wire::head::{Field, Head, Known, Names};

use super::changes::{self, Side};
use super::{client_cert, origin, text};
use crate::format::Facts;
use crate::route::Found;
use crate::{matcher, scratch, steer};

/// What [`request`] needs to know of the connection.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'c> {
    /// The manager that took the request in.
    pub manager: &'c HttpManager,
    /// The direct peer.
    pub source: SocketAddr,
    /// Where the client wanted to go: the address is told to upstreams in place of a loopback
    /// peer's.
    pub local: SocketAddr,
    /// The other side of the TLS connection; `None` on a plaintext one.
    pub peer: Option<&'c Peer>,
    /// The URI SAN of our own certificate for `By=`; empty: left out.
    pub local_uri: &'c str,
    /// Random bits, which its id is made of where it has none that may stay.
    pub request_id: u128,
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

/// Why a request is not served whose client could not be told (`reject_with_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// What it is answered with.
    pub status: u16,
}

/// Prepares a request as it arrives. Returns the client's address as far as it may be believed.
///
/// A request is internal only where `internal_address_config` says so.
pub fn request(head: &mut Head, context: &RequestContext<'_>) -> Result<IpAddr, Rejected> {
    let manager = context.manager;
    strip_hop_by_hop(head);
    let source = context.source.ip().to_canonical();
    let origin = manager.origin.as_deref();
    let found = origin::find(head, origin, manager.use_remote_address, source)?;
    let is_edge = manager.use_remote_address && !found.is_internal;
    sanitize(head, found.is_internal, is_edge);
    if found.appends {
        let told = if source.is_loopback() { context.local.ip().to_canonical() } else { source };
        text::join(head, b"x-forwarded-for", b",", |out| text::write(out, told));
    }
    tell_scheme(head, context, origin);
    if found.is_internal {
        head.set(b"x-envoy-internal", b"true");
    }
    if let Some(via) = &manager.via {
        text::join(head, b"via", b", ", |out| out.extend_from_slice(via.as_bytes()));
    }
    if is_edge {
        text::set(head, b"x-envoy-external-address", found.remote);
    }
    request_id(head, context, is_edge);
    client_cert::apply(head, &manager.client_cert, context.peer, context.local_uri);
    Ok(found.remote)
}

/// Removes what only we may say, or only an internal client.
fn sanitize(head: &mut Head, is_internal: bool, is_edge: bool) {
    if !head.may_have(OF_ENVOY) {
        return;
    }
    head.remove_where(|head, field| {
        let name = head.get(field.name);
        let goes = name == b"x-envoy-internal" || (!is_internal && is_of_the_inside(name));
        goes || (is_edge && is_of_the_edge(name))
    });
}

/// `x-forwarded-proto` and `x-forwarded-port`: what the client is known to have used, or what a
/// trusted proxy says of that.
fn tell_scheme(head: &mut Head, context: &RequestContext<'_>, origin: Option<&Origin>) {
    let scheme: &[u8] = if context.peer.is_some() { b"https" } else { b"http" };
    let believes =
        !context.manager.use_remote_address || origin.is_some_and(|origin| origin.trusted_hops > 0);
    if !(believes && head.value(Known::XForwardedProto).is_some()) {
        head.set(b"x-forwarded-proto", scheme);
    }
    let Some(origin) = origin else { return };
    let has_port = || head.values(b"x-forwarded-port").next().is_some();
    if origin.forwarded_port && !(believes && has_port()) {
        head.set_number(b"x-forwarded-port", context.local.port().into());
    }
    if let Some(SchemeChange::To(scheme)) = origin.scheme {
        head.set(b"x-forwarded-proto", scheme.as_bytes());
        head.scheme = head.add_bytes(scheme.as_bytes());
    }
}

/// Brings the host into the form that routes are found by: without a dot at its end, and without a
/// port. `port` is the one that was connected to.
pub fn host_form(head: &mut Head, form: HostForm, port: u16) {
    if form == HostForm::default() {
        return;
    }
    let host = scratch::with(|out| {
        let (name, given) = split_port(head.authority());
        let goes = given.is_some_and(|given| match form.port {
            StripPort::Never => false,
            StripPort::Any => true,
            StripPort::Matching => given.1 == port,
        });
        let dotless = name.strip_suffix(b".").filter(|_| form.strip_dot).unwrap_or(name);
        out.extend_from_slice(dotless);
        if let Some((text, _)) = given.filter(|_| !goes) {
            out.push(b':');
            out.extend_from_slice(text);
        }
        (out.len() != head.authority().len()).then(|| head.add_bytes(out))
    });
    if let Some(host) = host {
        head.authority = host;
    }
}

/// Host and port, the latter as it is written and as a number.
fn split_port(authority: &[u8]) -> (&[u8], Option<(&[u8], u16)>) {
    let number = |text| std::str::from_utf8(text).ok()?.parse().ok();
    let found = matcher::split_port(authority);
    found
        .and_then(|(host, text)| Some((host, Some((text, number(text)?)))))
        .unwrap_or((authority, None))
}

/// Names with an underscore: refused (false), or taken out.
pub fn underscores(head: &mut Head, action: Underscores) -> bool {
    let has = |head: &Head, field: &Field| memchr::memchr(b'_', head.get(field.name)).is_some();
    match action {
        Underscores::Allow => true,
        Underscores::Reject => !head.fields().iter().any(|field| has(head, field)),
        Underscores::Drop => {
            head.remove_where(has);
            true
        }
    }
}

/// Takes out an upgrade that is not looked at (`ignore_http_11_upgrade`).
pub fn ignore_upgrade(head: &mut Head, ignored: &[StringMatch]) {
    let Some(asked) = head.upgrade else { return };
    if ignored.iter().any(|one| matcher::string(one, head.get(asked))) {
        head.upgrade = None;
        head.remove_known(Known::Upgrade);
    }
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
fn request_id(head: &mut Head, context: &RequestContext<'_>, is_edge: bool) {
    let manager = context.manager;
    let believed = !is_edge || manager.preserve_external_request_id;
    let there = head.value(Known::XRequestId).is_some();
    if manager.generate_request_id && !(there && believed) {
        head.set(b"x-request-id", &uuid(context.request_id));
    }
}

/// These bits as a UUID of version 4 (RFC 9562, 5.4).
fn uuid(random: u128) -> [u8; 36] {
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let bits = (random & !(0xf << 76 | 0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let mut text = [b'-'; 36];
    for (place, byte) in PLACES.into_iter().zip(bits.to_be_bytes()) {
        if let Some(pair) = text.get_mut(place..place + 2) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    text
}

/// What steers the router, and what only an internal client may say.
fn is_of_the_inside(name: &[u8]) -> bool {
    let is_told = |rest: &[u8]| {
        matches!(rest, b"expected-rq-timeout-ms" | b"force-trace" | b"ip-tags" | b"original-url")
    };
    steer::steers(name) || name.strip_prefix(b"x-envoy-").is_some_and(is_told)
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
