//! Heads and chunks written as Envoy's HTTP/1 codec writes them.

use std::ops::Range;

use super::authority;
use crate::head::{Field, Framing, Head, Known, NameForm, Version};

/// What ends a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, with no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Where encoded bytes go.
pub trait Sink {
    /// Takes all of the bytes, or none of them and says false.
    fn put(&mut self, bytes: &[u8]) -> bool;
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes);
        true
    }
}

/// Writes a request's head: `host` first, then the fields in order. `content-length` and
/// `transfer-encoding` are written from `framing` alone.
///
/// With `Framing::None` a method that usually has a body gets `content-length: 0`, as Envoy does.
/// False if the sink had no room, or if method, path or authority would break the line; what the
/// sink then holds is part of a head.
pub fn encode_request(head: &Head, framing: Framing, out: &mut impl Sink) -> bool {
    // CONNECT asks for its authority.
    let target = if head.method() == b"CONNECT" { head.authority() } else { head.path() };
    let framing = match framing {
        Framing::None if head.upgrade.is_none() && usually_has_body(head.method()) => {
            Framing::Length(0)
        }
        // A request cannot end with its connection: what is left is a tunnel.
        Framing::UntilClose => Framing::None,
        framing => framing,
    };
    is_word(head.method())
        && is_word(target)
        && (head.authority().is_empty() || is_word(head.authority()))
        && out.put(head.method())
        && out.put(b" ")
        && put_target(head, target, out)
        && put_host(head, out)
        && put_fields(head, framing, false, out)
}

/// The rest of the start line, and `host`.
fn put_host(head: &Head, out: &mut impl Sink) -> bool {
    match head.name_form {
        NameForm::Lower => {
            out.put(b" HTTP/1.1\r\nhost: ") && out.put(head.authority()) && out.put(b"\r\n")
        }
        _ => out.put(b" HTTP/1.1\r\n") && put_line(head, b"host", head.authority(), out),
    }
}

/// The target, in its absolute form where that is asked for (RFC 9112, 3.2.2).
fn put_target(head: &Head, target: &[u8], out: &mut impl Sink) -> bool {
    let is_put = match head.absolute.filter(|_| target.starts_with(b"/")) {
        Some(scheme) => out.put(scheme.as_bytes()) && out.put(b"://") && out.put(head.authority()),
        None => true,
    };
    is_put && out.put(target)
}

/// Writes a response's head in the version that `head.version` says, which is to be the client's;
/// the reason is the status's usual one if there is none.
///
/// `framing` says what body is written after it. With `Framing::None` a `content-length` among
/// the fields is kept (HEAD, 304), except for 1xx and 204, and none is made up: an empty body is
/// `Framing::Length(0)`.
pub fn encode_response(
    head: &Head,
    reason: Option<&str>,
    framing: Framing,
    out: &mut impl Sink,
) -> bool {
    let version: &[u8] = match head.version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 | Version::Http2 => b"HTTP/1.1 ",
    };
    let reason = reason
        .filter(|reason| reason.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')))
        .unwrap_or_else(|| reason_phrase(head.status));
    let keeps_length = head.status >= 200 && head.status != 204;
    out.put(version)
        && out.put(itoa::Buffer::new().format(head.status).as_bytes())
        && out.put(b" ")
        && out.put(reason.as_bytes())
        && out.put(b"\r\n")
        && put_fields(head, framing, keeps_length, out)
}

/// Writes the size line of a chunk and returns its length.
pub fn chunk_head(len: usize, out: &mut [u8; 18]) -> usize {
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1) as usize;
    for (slot, place) in out.iter_mut().zip((0..digits).rev()) {
        let nibble = (len >> (4 * place) & 0xf) as u8;
        *slot = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    for (slot, byte) in out.iter_mut().skip(digits).zip(CHUNK_END) {
        *slot = *byte;
    }
    digits + CHUNK_END.len()
}

fn put_fields(head: &Head, framing: Framing, keeps_length: bool, out: &mut impl Sink) -> bool {
    let mut is_framed = framing == Framing::None;
    // Lines that came one behind the other and are unchanged go out as one piece.
    let mut run = Range::default();
    for field in head.fields() {
        let put = match fate(head, field, framing, keeps_length, &mut is_framed) {
            Fate::Dropped => true,
            Fate::Kept => match head.line(field).filter(|_| head.name_form == NameForm::Lower) {
                Some(line) if line.start == run.end => {
                    run.end = line.end;
                    true
                }
                Some(line) => put_run(head, &std::mem::replace(&mut run, line), out),
                None => {
                    put_run(head, &std::mem::take(&mut run), out) && put_field(head, field, out)
                }
            },
            Fate::Replaced => {
                put_run(head, &std::mem::take(&mut run), out) && put_framing(head, framing, out)
            }
        };
        if !put {
            return false;
        }
    }
    put_run(head, &run, out) && (is_framed || put_framing(head, framing, out)) && out.put(b"\r\n")
}

/// What becomes of a field's line.
enum Fate {
    Dropped,
    Kept,
    /// The framing stands in its place.
    Replaced,
}

fn fate(
    head: &Head,
    field: &Field,
    framing: Framing,
    keeps_length: bool,
    is_framed: &mut bool,
) -> Fate {
    match (field.known, framing) {
        (Known::TransferEncoding | Known::Host, _) => Fate::Dropped,
        (Known::ContentLength, Framing::Length(length)) if !*is_framed => {
            *is_framed = true;
            // What came may have zeros in front, which not everybody reads alike.
            let is_same = head.get(field.value) == itoa::Buffer::new().format(length).as_bytes();
            if is_same { Fate::Kept } else { Fate::Replaced }
        }
        (Known::ContentLength, Framing::None) if keeps_length => Fate::Kept,
        (Known::ContentLength, _) => Fate::Dropped,
        _ => Fate::Kept,
    }
}

fn put_run(head: &Head, run: &Range<usize>, out: &mut impl Sink) -> bool {
    run.is_empty() || out.put(head.base().get(run.clone()).unwrap_or_default())
}

fn put_field(head: &Head, field: &Field, out: &mut impl Sink) -> bool {
    put_line(head, head.get(field.name), head.get(field.value), out)
}

fn put_framing(head: &Head, framing: Framing, out: &mut impl Sink) -> bool {
    match framing {
        Framing::None | Framing::UntilClose => true,
        Framing::Chunked => put_line(head, b"transfer-encoding", b"chunked", out),
        Framing::Length(length) => {
            let mut digits = itoa::Buffer::new();
            put_line(head, b"content-length", digits.format(length).as_bytes(), out)
        }
    }
}

fn put_line(head: &Head, name: &[u8], value: &[u8], out: &mut impl Sink) -> bool {
    put_name(head, name, out) && out.put(b": ") && out.put(value) && out.put(b"\r\n")
}

/// A name in the form that the head asks for.
fn put_name(head: &Head, name: &[u8], out: &mut impl Sink) -> bool {
    match head.name_form {
        NameForm::Lower => out.put(name),
        NameForm::Proper => put_proper(name, out),
        NameForm::Kept => out.put(head.kept_name(name).unwrap_or(name)),
        NameForm::KeptOrProper => match head.kept_name(name) {
            Some(kept) => out.put(kept),
            None => put_proper(name, out),
        },
    }
}

fn put_proper(name: &[u8], out: &mut impl Sink) -> bool {
    let mut begins = true;
    name.iter().all(|byte| {
        let letter = if begins { byte.to_ascii_uppercase() } else { *byte };
        begins = !byte.is_ascii_alphanumeric();
        out.put(&[letter])
    })
}

fn usually_has_body(method: &[u8]) -> bool {
    !matches!(method, b"GET" | b"HEAD" | b"DELETE" | b"TRACE" | b"CONNECT")
}

/// Visible characters only, so that a start line has as many words as it should.
fn is_word(bytes: &[u8]) -> bool {
    !bytes.is_empty() && authority::is_visible(bytes)
}

/// The usual reason phrase of a status, as Envoy writes it.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300..=399 => redirection(status),
        400..=499 => client_error(status),
        500..=599 => server_error(status),
        _ => "Unknown",
    }
}

fn redirection(status: u16) -> &'static str {
    match status {
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        _ => "Unknown",
    }
}

fn client_error(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        _ => "Unknown",
    }
}

fn server_error(status: u16) -> &'static str {
    match status {
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "Unknown",
    }
}
