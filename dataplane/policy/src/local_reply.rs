//! `local_reply_config`: the proxy's own answers, as the configuration wants them.

use config::snapshot::{LocalReplies, LogFormat, ReplyFormat};
use wire::head::{Framing, Head, Known};

use crate::format::{self, Facts};
use crate::{headers, log, reply};

const TEXT: &[u8] = b"text/plain";
const JSON: &[u8] = b"application/json";

/// An answer of our own on its way to its final form.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'c> {
    /// How the call is answered, where that does not follow from the status; only for gRPC.
    pub grpc_status: Option<u32>,
    /// The answer is to a call by gRPC.
    pub is_grpc: bool,
    /// The answer is to HEAD.
    pub is_head: bool,
    /// What is known of the request.
    pub facts: Facts<'c>,
}

/// Finishes an answer: its head, which has a status and what routes and filters say, and its body.
/// As in Envoy the first mapper whose filter holds has its say, then the format of the body, and
/// last it becomes one by gRPC if it has to.
pub fn finish(
    replies: &LocalReplies,
    asked: &Asked<'_>,
    random: u64,
    head: &mut Head,
    body: &mut Vec<u8>,
) {
    let told = kind_of(head);
    let before = body.clone();
    let kind = rewrite(replies, asked, random, head, body).unwrap_or(TEXT);
    if asked.is_grpc {
        return by_grpc(asked, kind, head, body);
    }
    head.framing = Framing::Length(body.len() as u64);
    if body.is_empty() {
        head.remove_known(Known::ContentLength);
        head.remove_known(Known::ContentType);
        return;
    }
    head.set_number(b"content-length", body.len() as u64);
    let is_own = kind_of(head) != told;
    if head.value(Known::ContentType).is_none() || (*body != before && !is_own) {
        head.set(b"content-type", kind);
    }
}

/// All that it says of its type.
fn kind_of(head: &Head) -> Vec<u8> {
    head.values(b"content-type").collect::<Vec<_>>().join(&b',')
}

/// Gives the type of a body that was written anew.
fn rewrite<'r>(
    replies: &'r LocalReplies,
    asked: &Asked<'_>,
    random: u64,
    head: &mut Head,
    body: &mut Vec<u8>,
) -> Option<&'r [u8]> {
    let mut format = replies.format.as_ref();
    let of = |mapper: &&config::snapshot::ReplyMapper| {
        log::holds(&mapper.filter, &seen(asked, head, &[]), random)
    };
    if let Some(mapper) = replies.mappers.iter().find(of) {
        if let Some(other) = &mapper.body {
            body.clear();
            body.extend_from_slice(other);
        }
        let mut facts = asked.facts;
        facts.course.status = head.status;
        headers::change_by(head, &mapper.headers, &facts);
        head.status = mapper.status.unwrap_or(head.status);
        format = mapper.format.as_ref().or(format);
    }
    let ReplyFormat { format, content_type } = format?;
    let mut out = Vec::new();
    let facts = seen(asked, head, body);
    match format {
        LogFormat::Text { format, empty } => {
            format::write(format, &facts, empty.as_bytes(), &mut out);
        }
        LogFormat::Json(format) => {
            format::json(format, &facts, &mut out);
            out.push(b'\n');
        }
        // The configuration makes none of these for a reply.
        LogFormat::Otlp(_) => {}
    }
    *body = out;
    Some(content_type)
}

/// The facts with the answer as it stands.
fn seen<'f>(asked: &Asked<'f>, head: &'f Head, body: &'f [u8]) -> Facts<'f> {
    let mut facts = Facts { response: Some(head), ..asked.facts };
    (facts.course.status, facts.course.body) = (head.status, body);
    facts
}

/// The same for a call by gRPC: the body becomes its message.
fn by_grpc(asked: &Asked<'_>, kind: &[u8], head: &mut Head, body: &mut Vec<u8>) {
    let status = asked.grpc_status.unwrap_or_else(|| reply::grpc_status(head.status).into());
    head.status = 200;
    head.framing = Framing::Length(0);
    head.remove_known(Known::ContentLength);
    head.set(b"content-type", b"application/grpc");
    if head.values(b"grpc-status").next().is_none() {
        head.set_number(b"grpc-status", status.into());
    }
    if kind == JSON && body.last() == Some(&b'\n') {
        body.pop();
    }
    if !body.is_empty() && !asked.is_head {
        headers::grpc_message(head, body);
    }
    body.clear();
}

#[cfg(test)]
mod tests;
