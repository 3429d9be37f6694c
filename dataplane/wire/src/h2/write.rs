//! Heads as header blocks.

use super::frame::{END_HEADERS, END_STREAM, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameHead, Kind};
use super::hpack::Encoder;
use crate::head::{Framing, Head, Known};

/// Appends a request's header block.
pub(super) fn request(encoder: &mut Encoder, head: &Head, out: &mut Vec<u8>) {
    encoder.begin(out);
    match head.upgrade {
        // RFC 8441, 5.
        Some(protocol) => {
            encoder.method(b"CONNECT", out);
            encoder.protocol(head.get(protocol), out);
        }
        None => encoder.method(head.method(), out),
    }
    if head.upgrade.is_some() || head.method() != b"CONNECT" {
        encoder.scheme(scheme(head), out);
        encoder.path(head.path(), out);
    }
    encoder.authority(head.authority(), out);
    fields(encoder, head, false, out);
}

/// Appends a response's header block. To whom asked by an extended CONNECT, 101 is 200.
pub(super) fn response(encoder: &mut Encoder, head: &Head, out: &mut Vec<u8>) {
    encoder.begin(out);
    encoder.status(if head.status == 101 { 200 } else { head.status }, out);
    fields(encoder, head, head.status >= 200 && head.status != 204, out);
}

/// Appends a trailer section's header block.
pub(super) fn trailers(encoder: &mut Encoder, head: &Head, out: &mut Vec<u8>) {
    encoder.begin(out);
    for field in head.fields() {
        if !is_left_out(head, field.known) && field.known != Known::ContentLength {
            encoder.field(head.get(field.name), head.get(field.value), field.is_secret, out);
        }
    }
}

/// What the request came by, or what was said of that.
fn scheme(head: &Head) -> &[u8] {
    let told = head.get(head.scheme);
    if !told.is_empty() {
        return told;
    }
    match head.value(Known::XForwardedProto) {
        Some(b"https") => b"https",
        _ => b"http",
    }
}

/// `content-length` is written from the framing; without one, `keeps_length` says whether a field
/// is kept that tells what there would be (HEAD, 304).
fn fields(encoder: &mut Encoder, head: &Head, keeps_length: bool, out: &mut Vec<u8>) {
    let length = match head.framing {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    if let Some(length) = length {
        let mut digits = itoa::Buffer::new();
        encoder.field(b"content-length", digits.format(length).as_bytes(), false, out);
    }
    let keeps_length = keeps_length && head.framing == Framing::None;
    for field in head.fields() {
        let goes = match field.known {
            Known::ContentLength => !keeps_length,
            known => is_left_out(head, known),
        };
        if !goes {
            encoder.field(head.get(field.name), head.get(field.value), field.is_secret, out);
        }
    }
}

/// Fields that HTTP/2 does not have (RFC 9113, 8.2.2).
fn is_left_out(head: &Head, known: Known) -> bool {
    match known {
        Known::Connection
        | Known::Http2Settings
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::TransferEncoding
        | Known::Upgrade => true,
        // It is `:authority`; an answer may have such a field like any other.
        Known::Host => head.status == 0,
        Known::Te => head.value(Known::Te) != Some(b"trailers"),
        _ => false,
    }
}

/// Makes frames of a header block that was appended behind room for a frame's head at `start`.
pub(super) fn frame_block(start: usize, stream: u32, end: bool, out: &mut Vec<u8>) {
    let len = out.len().saturating_sub(start + FRAME_HEAD_BYTES);
    let end_stream = if end { END_STREAM } else { 0 };
    if len <= FRAME_BYTES_MAX {
        let flags = END_HEADERS | end_stream;
        set_head(start, FrameHead { len, kind: Kind::Headers, flags, stream }, out);
        return;
    }
    let block = out.split_off(start + FRAME_HEAD_BYTES);
    out.truncate(start);
    let pieces = block.len().div_ceil(FRAME_BYTES_MAX);
    for (at, piece) in block.chunks(FRAME_BYTES_MAX).enumerate() {
        let last = if at + 1 == pieces { END_HEADERS } else { 0 };
        let (kind, flags) = match at {
            0 => (Kind::Headers, last | end_stream),
            _ => (Kind::Continuation, last),
        };
        super::frame::put(kind, flags, stream, piece, out);
    }
}

fn set_head(start: usize, head: FrameHead, out: &mut [u8]) {
    if let Some(place) = out.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
        *place = head.bytes();
    }
}
