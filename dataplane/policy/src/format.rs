//! Substitution format strings: text made of what is known of a request or a connection.
//!
//! In: a compiled [`Format`] and [`Facts`]. Out: bytes at the end of the caller's buffer. Nothing
//! is allocated besides what the buffer grows by. What is written is not escaped: a value may hold
//! whatever a header's value may.

mod facts;
mod field;
mod grpc;
mod json;
mod otlp;
mod time;

use std::net::SocketAddr;

use config::snapshot::{
    AccessLogType, Ask, Fact, FieldName, Flag, Flags, Format, Operator, Part, PathOf, Point,
    ServerNameOf, Shown, Unit,
};
use tls::session::Peer;
use wire::head::{Head, Version};

pub use facts::{Client, Course, Facts, Upstream};
pub(crate) use grpc::any as grpc_status;
pub use json::json;
pub use otlp::otlp;

use crate::headers::text;

/// Writes what the format gives. What is not there is written as `empty` (Envoy: `-`, and nothing
/// in headers).
pub fn write(format: &Format, facts: &Facts<'_>, empty: &[u8], out: &mut Vec<u8>) {
    for part in &format.parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Operator(operator) => {
                if !value(operator, facts, out) {
                    out.extend_from_slice(empty);
                }
            }
        }
    }
}

/// Writes what one operator gives. False: nothing is there, and nothing was written.
fn value(operator: &Operator, facts: &Facts<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let is_there = ask(&operator.ask, facts, out);
    if let Some(most) = operator.bytes_max {
        out.truncate(start.saturating_add(most));
    }
    is_there
}

fn ask(ask: &Ask, facts: &Facts<'_>, out: &mut Vec<u8>) -> bool {
    match ask {
        Ask::Request(FieldName { name, other }) => {
            field::of(facts.request, name, other.as_deref(), out)
        }
        Ask::Response(FieldName { name, other }) => {
            field::of(facts.response, name, other.as_deref(), out)
        }
        Ask::Trailer(FieldName { name, other }) => {
            field::of(facts.trailers, name, other.as_deref(), out)
        }
        Ask::Path { has_query, of } => path(facts, *has_query, *of, out),
        Ask::QueryParameter(name) => field::query_parameter(facts.request, name, out),
        Ask::Query => field::query(facts.request, out),
        Ask::Time(moment, parts) => {
            time::write(parts, facts.course.at(*moment), out);
            true
        }
        Ask::Between(from, to, unit) => between(facts, *from, *to, *unit, out),
        Ask::Address(side, shown) => address(facts.address(*side), *shown, out),
        Ask::GrpcStatus(form) => grpc::status(facts, *form, out),
        Ask::Details { spaces } => details(facts.course.details, *spaces, out),
        Ask::ServerName(of) => server_name(facts, *of, out),
        Ask::Fact(fact) => self::fact(*fact, facts, out),
        Ask::Nothing => false,
    }
}

fn fact(fact: Fact, facts: &Facts<'_>, out: &mut Vec<u8>) -> bool {
    let Facts { request, response, trailers, client, upstream, course, .. } = facts;
    match fact {
        Fact::AccessLogType => bytes(kind(course.kind).as_bytes(), out),
        Fact::BytesReceived => number(course.bytes_received, out),
        Fact::BytesSent => number(course.bytes_sent, out),
        Fact::ConnectionId => number(client.id, out),
        Fact::ConnectionTerminationDetails => bytes(course.termination.as_bytes(), out),
        Fact::DownstreamLocalUriSan => bytes(client.local_uri.as_bytes(), out),
        Fact::DownstreamPeerDnsSan => list(client.peer, |peer| &peer.dns, out),
        Fact::DownstreamPeerFingerprint256 => fingerprint(client.peer, out),
        Fact::DownstreamPeerSubject => of_peer(client.peer, |peer| &peer.subject, out),
        Fact::DownstreamPeerUriSan => list(client.peer, |peer| &peer.uris, out),
        Fact::DownstreamTlsVersion => of_peer(client.peer, |peer| peer.version, out),
        Fact::DownstreamTransportFailureReason => bytes(client.failure.as_bytes(), out),
        Fact::FirstSpeaker => bytes(course.first.as_bytes(), out),
        Fact::FilterChainName => bytes(client.chain.as_bytes(), out),
        Fact::LocalReplyBody => {
            out.extend_from_slice(course.body);
            true
        }
        Fact::Protocol => protocol(course.protocol, out),
        Fact::RequestHeadersBytes => number(field::size(*request), out),
        Fact::ResponseCode => number(course.status.into(), out),
        Fact::ResponseFlags => flags(course.flags, Flag::short, out),
        Fact::ResponseFlagsLong => flags(course.flags, Flag::long, out),
        Fact::ResponseHeadersBytes => number(field::size(*response), out),
        Fact::ResponseTrailersBytes => number(field::size(*trailers), out),
        Fact::RouteName => bytes(course.route.as_bytes(), out),
        Fact::StreamId => match request {
            Some(_) => field::of(*request, b"x-request-id", None, out),
            None => bytes(course.id, out),
        },
        Fact::UpstreamCluster => bytes(upstream.cluster.as_bytes(), out),
        Fact::UpstreamHostName => match upstream.host_name {
            "" => address(upstream.host, Shown::Both, out),
            name => bytes(name.as_bytes(), out),
        },
        Fact::UpstreamPeerDnsSan => list(upstream.peer, |peer| &peer.dns, out),
        Fact::UpstreamPeerSubject => of_peer(upstream.peer, |peer| &peer.subject, out),
        Fact::UpstreamPeerUriSan => list(upstream.peer, |peer| &peer.uris, out),
        Fact::UpstreamProtocol => protocol(upstream.protocol, out),
        Fact::UpstreamRequestAttemptCount => number(upstream.attempts.into(), out),
        Fact::UpstreamTlsVersion => of_peer(upstream.peer, |peer| peer.version, out),
        Fact::UpstreamTransportFailureReason => details(upstream.failure, false, out),
    }
}

/// Bytes, if there are any.
fn bytes(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    !value.is_empty()
}

fn number(value: u64, out: &mut Vec<u8>) -> bool {
    text::write(out, value);
    true
}

fn address(address: Option<SocketAddr>, shown: Shown, out: &mut Vec<u8>) -> bool {
    let Some(address) = address else { return false };
    match shown {
        Shown::Both => text::write(out, address),
        Shown::WithoutPort => text::write(out, address.ip()),
        Shown::Port => text::write(out, address.port()),
    }
    true
}

fn between(facts: &Facts<'_>, from: Point, to: Point, unit: Unit, out: &mut Vec<u8>) -> bool {
    match (facts.course.point(from), facts.course.point(to)) {
        (Some(from), Some(to)) => number(to.saturating_sub(from) / unit.nanos(), out),
        _ => false,
    }
}

/// Details with each space as `_`, so that a line's words can be counted.
fn details(value: &str, spaces: bool, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    if !spaces {
        let written = out.iter_mut().skip(start);
        written.filter(|byte| byte.is_ascii_whitespace()).for_each(|byte| *byte = b'_');
    }
    !value.is_empty()
}

fn server_name(facts: &Facts<'_>, of: ServerNameOf, out: &mut Vec<u8>) -> bool {
    let sni = facts.client.sni.as_bytes();
    let host = facts.request.map_or(&b""[..], Head::authority);
    let pair = match of {
        ServerNameOf::Sni => [sni, b""],
        ServerNameOf::SniFirst => [sni, host],
        ServerNameOf::HostFirst => [host, sni],
    };
    pair.into_iter().any(|name| bytes(name, out))
}

fn path(facts: &Facts<'_>, has_query: bool, of: PathOf, out: &mut Vec<u8>) -> bool {
    let Some(head) = facts.request else { return false };
    let original = head.values(b"x-envoy-original-path").next();
    let path = match of {
        PathOf::Now => Some(head.path()),
        PathOf::Original => original,
        PathOf::OriginalOrNow => Some(original.unwrap_or_else(|| head.path())),
    };
    let Some(path) = path.filter(|path| !path.is_empty()) else { return false };
    let end = memchr::memchr(b'?', path).filter(|_| !has_query).unwrap_or(path.len());
    bytes(path.get(..end).unwrap_or_default(), out)
}

/// Several names are joined by commas.
fn list(peer: Option<&Peer>, names: impl Fn(&Peer) -> &[String], out: &mut Vec<u8>) -> bool {
    let names = peer.map(names).unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    !names.is_empty()
}

fn of_peer(peer: Option<&Peer>, name: impl Fn(&Peer) -> &str, out: &mut Vec<u8>) -> bool {
    bytes(peer.map(name).unwrap_or_default().as_bytes(), out)
}

fn fingerprint(peer: Option<&Peer>, out: &mut Vec<u8>) -> bool {
    let Some(peer) = peer.filter(|peer| peer.fingerprint != [0; 32]) else { return false };
    peer.fingerprint.iter().for_each(|byte| text::write(out, format_args!("{byte:02x}")));
    true
}

fn protocol(version: Option<Version>, out: &mut Vec<u8>) -> bool {
    bytes(
        match version {
            Some(Version::Http10) => b"HTTP/1.0",
            Some(Version::Http11) => b"HTTP/1.1",
            Some(Version::Http2) => b"HTTP/2",
            None => return false,
        },
        out,
    )
}

/// The flags with commas between them. None are a value too, which is `-`.
fn flags(flags: Flags, name: fn(Flag) -> &'static str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for flag in flags.iter() {
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(name(flag).as_bytes());
    }
    if flags.is_empty() {
        out.push(b'-');
    }
    true
}

/// Envoy's name of a kind of line.
const fn kind(kind: AccessLogType) -> &'static str {
    match kind {
        AccessLogType::NotSet => "NotSet",
        AccessLogType::TcpConnectionEnd => "TcpConnectionEnd",
        AccessLogType::DownstreamEnd => "DownstreamEnd",
    }
}

#[cfg(test)]
mod tests;
