//! HTTP's versions by the request line or the preface.

use super::Detected;
use crate::h2::PREFACE;

/// The version that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.0, or any other version that is written as one: Envoy calls them all 1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 with prior knowledge: the connection preface (RFC 9113, 3.4).
    Http2,
}

/// How many bytes are waited for until the request line ends (Envoy: 64 KiB).
pub const HTTP_BYTES_MAX: usize = 64 * 1024;

/// Whether these are the first bytes of an HTTP connection.
///
/// As in Envoy any method will do, and an empty line before the first request is not HTTP.
pub fn http(bytes: &[u8]) -> Detected<Http> {
    if let Some(rest) = PREFACE.get(bytes.len()..).filter(|rest| !rest.is_empty())
        && PREFACE.strip_suffix(rest) == Some(bytes)
    {
        return Detected::More;
    }
    if bytes.starts_with(PREFACE) {
        return Detected::Yes(Http::Http2);
    }
    let end = memchr::memchr(b'\n', bytes);
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    if !line.iter().all(|byte| matches!(byte, b'\t' | b'\r' | b' '..=b'~')) {
        return Detected::No;
    }
    match end {
        Some(_) => whole_line(line),
        None if bytes.len() >= HTTP_BYTES_MAX || !may_begin(line) => Detected::No,
        None => Detected::More,
    }
}

/// A request begins with a letter or another character of a method.
fn may_begin(line: &[u8]) -> bool {
    line.first().is_none_or(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

fn whole_line(line: &[u8]) -> Detected<Http> {
    if !may_begin(line) || line.is_empty() {
        return Detected::No;
    }
    let mut words =
        line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
    let (method, target, version) = (words.next(), words.next(), words.next());
    if words.next().is_some() || !target.is_some_and(|target| is_target(method, target)) {
        return Detected::No;
    }
    match version {
        Some(b"HTTP/1.1") => Detected::Yes(Http::Http11),
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Detected::Yes(Http::Http10)
        }
        // HTTP/0.9 wrote none.
        None => Detected::Yes(Http::Http10),
        Some(_) => Detected::No,
    }
}

fn is_target(method: Option<&[u8]>, target: &[u8]) -> bool {
    let scheme = target.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    method == Some(b"CONNECT")
        || matches!(target, [b'/' | b'*', ..])
        || (scheme > 0 && target.get(scheme..).is_some_and(|rest| rest.starts_with(b"://")))
}
