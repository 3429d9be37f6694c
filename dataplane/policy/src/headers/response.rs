//! A response on its way down, the upstream's or our own.

use std::time::Duration;

use config::snapshot::{HttpManager, RouteTable, ServerHeader};
use wire::h1::strip_hop_by_hop;
use wire::head::{Framing, Head, Known};

use super::changes::{self, Side};
use super::request::Attempt;
use super::text;
use crate::format::Facts;
use crate::reply;
use crate::route::Found;

/// Takes in a response's head from the upstream. `taken` is the time since the request was sent;
/// as in Envoy nothing is told of it where the request has not come whole.
pub fn returned(head: &mut Head, attempt: &Attempt<'_>, taken: Option<Duration>) {
    strip_hop_by_hop(head);
    if let Some(taken) = taken.filter(|_| !attempt.manager.suppress_envoy_headers) {
        head.set_number(b"x-envoy-upstream-service-time", text::millis(taken));
    }
    local_changes(head, attempt.table, attempt.found, attempt.facts);
}

/// Applies the changes to responses that the levels of a route ask for. Envoy does so to its own
/// answers too, once a route was found.
pub fn local_changes(
    head: &mut Head,
    table: &RouteTable,
    found: &Found<'_>,
    facts: Option<&Facts<'_>>,
) {
    changes::apply(head, table, found, Side::Response, facts);
}

/// Makes the head of one of our own answers, for [`local_changes`] and [`response`] to finish. The
/// framing is that of a body of so many bytes, though none may follow on HEAD.
pub fn local(head: &mut Head, status: u16, body: &[u8]) {
    head.clear();
    head.status = status;
    head.framing = Framing::Length(body.len() as u64);
    head.keep_alive = true;
    if !body.is_empty() {
        head.set_number(b"content-length", body.len() as u64);
        head.append(b"content-type", b"text/plain");
    }
}

/// The same for a call by gRPC: the status is 200, and fields say how the call went, as Envoy's do.
/// There is no body.
pub fn local_grpc(head: &mut Head, status: u16, message: &[u8]) {
    local_grpc_status(head, reply::grpc_status(status).into(), message);
}

/// The same with a status of gRPC itself.
pub fn local_grpc_status(head: &mut Head, status: u32, message: &[u8]) {
    head.clear();
    head.status = 200;
    head.framing = Framing::Length(0);
    head.keep_alive = true;
    head.append(b"content-type", b"application/grpc");
    head.set_number(b"grpc-status", status.into());
    if !message.is_empty() {
        grpc_message(head, message);
    }
}

/// Says in words how a call by gRPC has ended, as gRPC over HTTP/2 has it.
pub fn grpc_message(head: &mut Head, message: &[u8]) {
    head.remove(b"grpc-message");
    text::join(head, b"grpc-message", b"", |out| percent_encode(message, out));
}

/// As gRPC over HTTP/2 has it: what is not printable, and `%`, is escaped.
fn percent_encode(message: &[u8], out: &mut Vec<u8>) {
    for byte in message {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(*byte),
            _ => text::write(out, format_args!("%{byte:02X}")),
        }
    }
}

/// Finishes any response on its way down. `date` is the time as an IMF-fixdate (RFC 9110, 5.6.7),
/// for a response that has none.
pub fn response(head: &mut Head, manager: &HttpManager, date: &[u8]) {
    if head.value(Known::Date).is_none() {
        head.append(b"date", date);
    }
    let sets = match manager.server_header {
        ServerHeader::Overwrite => true,
        ServerHeader::AppendIfAbsent => head.value(Known::Server).is_none(),
        ServerHeader::PassThrough => false,
    };
    if sets {
        head.set(b"server", manager.server_name.as_bytes());
    }
    if let Some(via) = &manager.via {
        text::join(head, b"via", b", ", |out| out.extend_from_slice(via.as_bytes()));
    }
}
