//! `envoy.filters.http.grpc_web`: calls by gRPC from browsers. The bodies are `wire::grpc_web`'s.

use wire::head::{Framing, Head, Known};

use crate::{headers, reply};

/// So much of the body of an answer that is none by gRPC becomes the call's message (Envoy's).
pub const MESSAGE_MAX: usize = 16 * 1024;

/// How a browser speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its request is text.
    pub sends_text: bool,
    /// Its answer is to be text.
    pub wants_text: bool,
}

/// Makes a call by gRPC of a request from a browser. `None`: it is none.
pub fn request(head: &mut Head) -> Option<Form> {
    let kind = head.value(Known::ContentType)?;
    let sends_text = is_text(kind);
    if !sends_text && !is_binary(kind) {
        return None;
    }
    let wants_text = head.value(Known::Accept).is_some_and(is_text);
    head.remove_known(Known::ContentLength);
    head.set(b"content-type", b"application/grpc");
    head.set(b"te", b"trailers");
    head.set(b"grpc-accept-encoding", b"identity");
    Some(Form { sends_text, wants_text })
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Its head says what the browser understands; its body is to be changed if there is one.
    Changed,
    /// It is none by gRPC: its body becomes a message in its head (see [`tell`]).
    Other,
}

/// Changes the head of an answer.
pub fn response(form: Form, head: &mut Head, has_body: bool) -> Answered {
    let kind = head.value(Known::ContentType).unwrap_or_default();
    let is_call = !has_body
        || (head.status == 200 && (reply::is_grpc(head) || is_text(kind) || is_binary(kind)));
    let kind: &[u8] = match form.wants_text {
        true => b"application/grpc-web-text+proto",
        false => b"application/grpc-web+proto",
    };
    head.set(b"content-type", kind);
    if is_call { Answered::Changed } else { Answered::Other }
}

/// Tells in the head of an answer that is none by gRPC how the call has ended.
pub fn tell(head: &mut Head, body: &[u8]) {
    if !body.is_empty() {
        headers::grpc_message(head, body);
    }
    head.set_number(b"grpc-status", reply::grpc_status(head.status).into());
    head.framing = Framing::Length(0);
    head.set_number(b"content-length", 0);
}

fn is_text(kind: &[u8]) -> bool {
    matches!(kind, b"application/grpc-web-text" | b"application/grpc-web-text+proto")
}

fn is_binary(kind: &[u8]) -> bool {
    matches!(kind, b"application/grpc-web" | b"application/grpc-web+proto")
}
