//! The request of a run, made once.

use std::sync::Arc;

use wire::{
    h2::{Config, Connection, Event, Role},
    head::{Framing, Head},
};

use super::{
    super::super::{Error, LoadSpec, Protocol, source::Text},
    grpc,
};

/// The request of a run, and what its answers must be like.
pub(in super::super::super) struct Question {
    /// The body.
    pub(in super::super::super) text: Text,
    pub(super) head: Head,
    pub(super) is_grpc: bool,
    /// The body of each answer, or its one message.
    pub(super) expected_body: Option<Arc<[u8]>>,
    /// Fields to be counted, lower case.
    pub(super) tally: Vec<String>,
}

impl Question {
    pub(in super::super::super) fn new(spec: &LoadSpec) -> Result<Self, Error> {
        let is_grpc = spec.protocol == Protocol::Grpc;
        let body = if is_grpc { grpc::frame(&spec.body) } else { spec.body.clone() };
        let mut head = request_head(spec)?;
        match body.len() {
            // gRPC tells no length: its messages have their own.
            _ if is_grpc => head.framing = Framing::Chunked,
            0 => {}
            len => head.framing = Framing::Length(len as u64),
        }
        if let Some(code) = refusal(&head, body.is_empty()) {
            return Err(Error::spec("request", format!("is not HTTP/2: {code}")));
        }
        Ok(Self {
            text: Text::once(body),
            head,
            is_grpc,
            expected_body: spec.expected_body.as_deref().map(Arc::from),
            tally: spec.tally.iter().map(|name| name.to_ascii_lowercase()).collect(),
        })
    }

    /// The most bytes that an answer is known to have.
    pub(super) fn answer_bytes(&self) -> u64 {
        self.expected_body.as_ref().map_or(0, |body| body.len() as u64)
    }
}

fn request_head(spec: &LoadSpec) -> Result<Head, Error> {
    let mut head = Head::default();
    head.method = head.add_bytes(spec.method.as_bytes());
    head.path = head.add_bytes(spec.path.as_bytes());
    head.authority = head.add_bytes(spec.host.as_bytes());
    head.scheme = head.add_bytes(if spec.tls.is_some() { b"https" } else { b"http" });
    let is_grpc = spec.protocol == Protocol::Grpc;
    let has_type = spec.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if is_grpc && !has_type {
        head.append(b"content-type", b"application/grpc");
    }
    if is_grpc {
        head.append(b"te", b"trailers");
    }
    for (name, value) in &spec.headers {
        let name = name.to_ascii_lowercase();
        let is_ours = match name.as_str() {
            "host" | "content-length" => true,
            // Of others the codec sends none.
            "te" => is_grpc || value != "trailers",
            // HTTP/2 has other means, and a codec that leaves them out would hide it.
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
                true
            }
            _ => false,
        };
        if is_ours || !head.append(name.as_bytes(), value.as_bytes()) {
            let reason = format!("cannot have {name:?} with the value {value:?} by HTTP/2");
            return Err(Error::spec("headers", reason));
        }
    }
    Ok(head)
}

/// Why a server as strict as the proxy would refuse it: that is no load but a test of its own.
fn refusal(head: &Head, end: bool) -> Option<&'static str> {
    let config = Config::default();
    let mut client = Connection::new(Role::Client, &config);
    if client.send_request(head, end, 0).is_err() {
        return Some("http2.unsent");
    }
    let mut server = Connection::new(Role::Server, &config);
    let (mut rest, mut read) = (client.output(), Head::default());
    loop {
        let step = match server.receive(rest, &mut read) {
            Ok(step) => step,
            Err(refusal) => return Some(refusal.code),
        };
        rest = rest.get(step.skip + step.data..).unwrap_or_default();
        match step.event {
            Some(Event::Refused { refusal, .. } | Event::HeadTooLarge { refusal, .. }) => {
                return Some(refusal.code);
            }
            Some(Event::Head { .. }) | None => return None,
            Some(_) => {}
        }
    }
}
