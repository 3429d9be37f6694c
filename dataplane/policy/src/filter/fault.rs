//! `envoy.filters.http.fault`: requests that wait, and requests that are answered here.

use std::time::Duration;

use config::snapshot::{AbortAnswer, HttpFault, Share};
use wire::head::{Head, Known, Names};

use super::Answer;
use crate::matcher;
use crate::reply::Reason;

const OF_ENVOY: Names = Names::of(&[Known::XEnvoyOther]);

/// Whether the filter is for this request, on its way to this cluster if a route was found.
pub fn concerns(fault: &HttpFault, head: &Head, cluster: Option<&str>) -> bool {
    let of_cluster =
        fault.upstream_cluster.as_ref().is_none_or(|wanted| cluster == Some(&**wanted));
    let of_node = || {
        let node = told(head, b"x-envoy-downstream-service-node");
        node.is_some_and(|node| fault.downstream_nodes.iter().any(|wanted| **wanted == *node))
    };
    of_cluster
        && (fault.downstream_nodes.is_empty() || of_node())
        && fault.headers.iter().all(|header| matcher::header(header, head))
}

/// How long the request waits, if it falls on this random number.
pub fn delay(fault: &HttpFault, head: &Head, random: u64) -> Option<Duration> {
    let delay = fault.delay?;
    let asked = || Some(Duration::from_millis(number(head, b"x-envoy-fault-delay-request")?));
    let (share, length) = match delay.fixed {
        Some(length) => (delay.share, Some(length)),
        None => (lowered(delay.share, head, b"x-envoy-fault-delay-request-percentage"), asked()),
    };
    length.filter(|length| share.takes(random) && !length.is_zero())
}

/// How the request is answered, if it falls on this random number.
pub fn abort<'f>(fault: &'f HttpFault, head: &Head, random: u64) -> Option<Answer<'f>> {
    let abort = fault.abort.as_ref()?;
    let asked = || {
        let status = number(head, b"x-envoy-fault-abort-request");
        let status = status.and_then(|status| u16::try_from(status).ok());
        if let Some(status) = status.filter(|status| (200..600).contains(status)) {
            return Some((status, None));
        }
        let status = number(head, b"x-envoy-fault-abort-grpc-request")?;
        Some((200, Some(u32::try_from(status).ok()?)))
    };
    let (share, answer) = match abort.answer {
        AbortAnswer::Http(status) => (abort.share, Some((status, None))),
        AbortAnswer::Grpc(status) => (abort.share, Some((200, Some(status)))),
        AbortAnswer::Header => {
            (lowered(abort.share, head, b"x-envoy-fault-abort-request-percentage"), asked())
        }
    };
    let (status, grpc_status) = answer.filter(|_| share.takes(random))?;
    let reason = Reason::FaultAbort;
    let body = if abort.body.is_empty() { reason.reply().body } else { &abort.body };
    Some(Answer { reason, status, body, grpc_status })
}

/// How many KiB of the answer may leave in a second, if it falls on this random number.
pub fn throughput(fault: &HttpFault, head: &Head, random: u64) -> Option<u64> {
    let rate = fault.rate?;
    let name = b"x-envoy-fault-throughput-response";
    let (share, kib) = match rate.fixed_kib {
        Some(kib) => (rate.share, Some(kib)),
        None => {
            let name_of_share = b"x-envoy-fault-throughput-response-percentage";
            (lowered(rate.share, head, name_of_share), number(head, name))
        }
    };
    kib.filter(|kib| share.takes(random) && *kib > 0)
}

/// The client may ask for fewer, never for more.
fn lowered(share: Share, head: &Head, name: &[u8]) -> Share {
    let some = number(head, name).and_then(|number| u32::try_from(number).ok());
    some.map_or(share, |some| Share { some: share.some.min(some), ..share })
}

fn number(head: &Head, name: &[u8]) -> Option<u64> {
    std::str::from_utf8(told(head, name)?).ok()?.trim().parse().ok()
}

/// The first value of one of Envoy's own headers.
fn told<'h>(head: &'h Head, name: &'h [u8]) -> Option<&'h [u8]> {
    head.may_have(OF_ENVOY).then(|| head.values(name).next())?
}
