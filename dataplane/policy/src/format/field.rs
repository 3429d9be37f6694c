//! Fields of heads.

use wire::head::{Head, Known};

use crate::{headers::text, matcher};

/// Writes the value of a field, or of the other one where it is not there. Of several lines the
/// first counts; those of a name that Envoy folds are one.
pub(super) fn of(
    head: Option<&Head>,
    name: &[u8],
    other: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(head) = head else { return false };
    one(head, name, out) || other.is_some_and(|other| one(head, other, out))
}

fn one(head: &Head, name: &[u8], out: &mut Vec<u8>) -> bool {
    let pseudo = match name {
        b":method" => head.method(),
        b":path" => head.path(),
        b":authority" | b"host" if head.status == 0 => head.authority(),
        b":scheme" if !has_scheme(head) => b"",
        b":scheme" => matcher::scheme(head),
        b":status" if head.status > 0 => {
            text::write(out, head.status);
            return true;
        }
        _ => return lines(head, name, out),
    };
    out.extend_from_slice(pseudo);
    !pseudo.is_empty()
}

/// The scheme is there: the client has said it (HTTP/2), or it was found out, together with
/// `x-forwarded-proto`, which is not done for what is refused before.
fn has_scheme(head: &Head) -> bool {
    let is_told = !head.get(head.scheme).is_empty();
    !head.authority().is_empty() && (is_told || head.value(Known::XForwardedProto).is_some())
}

fn lines(head: &Head, name: &[u8], out: &mut Vec<u8>) -> bool {
    let mut values = head.values(name);
    let Some(first) = values.next() else { return false };
    out.extend_from_slice(first);
    if head.status == 0 && matcher::is_folded(name) {
        for value in values {
            out.push(b',');
            out.extend_from_slice(value);
        }
    }
    true
}

/// Bytes of names and values, pseudo-headers too.
pub(super) fn size(head: Option<&Head>) -> u64 {
    let Some(head) = head else { return 0 };
    let pair = |name: &str, value: &[u8]| match value.is_empty() {
        true => 0,
        false => name.len() + value.len(),
    };
    let fields: usize = head.iter().map(|(name, value)| name.len() + value.len()).sum();
    let pseudo = match head.status {
        0 => {
            let scheme = if has_scheme(head) { matcher::scheme(head) } else { b"" };
            pair(":method", head.method())
                + pair(":path", head.path())
                + pair(":authority", head.authority())
                + pair(":scheme", scheme)
        }
        _ => ":status".len() + 3,
    };
    (fields + pseudo) as u64
}

/// The query as it stands.
pub(super) fn query(head: Option<&Head>, out: &mut Vec<u8>) -> bool {
    let query = head.and_then(|head| query_of(head.path()));
    out.extend_from_slice(query.unwrap_or_default());
    query.is_some()
}

/// The first parameter of a name, decoded.
pub(super) fn query_parameter(head: Option<&Head>, name: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(query) = head.and_then(|head| query_of(head.path())) else { return false };
    let parameters = query.split(|byte| *byte == b'&').map(|parameter| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    });
    let mut found = parameters.filter(|(found, _)| *found == name);
    let Some((_, value)) = found.next() else { return false };
    decode(value, out);
    true
}

fn query_of(path: &[u8]) -> Option<&[u8]> {
    let start = memchr::memchr(b'?', path)?;
    let query = path.get(start + 1..)?;
    let end = memchr::memchr(b'#', query).unwrap_or(query.len());
    query.get(..end)
}

/// `%2F` becomes `/`; what is no such escape stays. Line ends stay escaped: a value must not
/// become two lines.
fn decode(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some((byte, rest)) = text.split_first() {
        let digit = |at: usize| rest.get(at).and_then(|digit| (*digit as char).to_digit(16));
        let decoded = match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        match decoded.filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)) {
            Some(byte) => {
                out.push(byte);
                text = rest.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                text = rest;
            }
        }
    }
}
