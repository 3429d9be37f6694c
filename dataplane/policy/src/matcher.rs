//! The small matchers that routes and policies share.

use config::snapshot::{HeaderMatch, QueryMatch, StringKind, StringMatch, ValueMatch};
use memchr::memmem;
use wire::head::{Head, Known, Span};

use crate::scratch;

/// `StringMatcher` on bytes.
pub(crate) fn string(asked: &StringMatch, value: &[u8]) -> bool {
    let fold = asked.ignore_case;
    match &asked.kind {
        StringKind::Exact(text) => equal(value, text, fold),
        StringKind::Prefix(text) => starts_with(value, text, fold),
        StringKind::Suffix(text) => ends_with(value, text, fold),
        StringKind::Contains(text) if fold => contains_folded(value, text),
        StringKind::Contains(text) => memmem::find(value, text).is_some(),
        // Anchored at both ends when it was compiled.
        StringKind::Regex(regex) => regex.is_match(value),
    }
}

pub(crate) fn equal(value: &[u8], text: &[u8], fold: bool) -> bool {
    if fold { value.eq_ignore_ascii_case(text) } else { value == text }
}

pub(crate) fn starts_with(value: &[u8], text: &[u8], fold: bool) -> bool {
    value.get(..text.len()).is_some_and(|start| equal(start, text, fold))
}

fn ends_with(value: &[u8], text: &[u8], fold: bool) -> bool {
    let start = value.len().checked_sub(text.len());
    start.and_then(|start| value.get(start..)).is_some_and(|end| equal(end, text, fold))
}

fn contains_folded(value: &[u8], text: &[u8]) -> bool {
    text.is_empty() || value.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

/// `HeaderMatcher` on a request. Of several lines of one name it is enough that one matches (and
/// for an inverted matcher that none does), as Envoy 1.40 has it; the names that Envoy
/// itself folds into one line are judged as that line.
pub(crate) fn header(asked: &HeaderMatch, head: &Head) -> bool {
    let mut there = false;
    let mut matches = false;
    each_value(head, &asked.name, |value| {
        there = true;
        matches |= value_matches(&asked.value, value);
    });
    if let ValueMatch::Present(wanted) = asked.value {
        return ((there || asked.missing_as_empty) == wanted) != asked.invert;
    }
    if !there {
        // A header that is not there matches no value, not even an inverted one.
        return asked.missing_as_empty && value_matches(&asked.value, b"") != asked.invert;
    }
    matches != asked.invert
}

fn value_matches(asked: &ValueMatch, value: &[u8]) -> bool {
    match asked {
        ValueMatch::Present(wanted) => *wanted,
        ValueMatch::String(text) => string(text, value),
        ValueMatch::Range(start, end) => {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
            number.is_some_and(|number| *start <= number && number < *end)
        }
    }
}

/// Shows `look` the values of a header or pseudo-header.
pub(crate) fn each_value(head: &Head, name: &[u8], mut look: impl FnMut(&[u8])) {
    match name {
        b":method" => look(head.method()),
        b":path" => look(head.path()),
        b":authority" | b"host" => look(head.authority()),
        b":scheme" => look(scheme(head)),
        _ if is_folded(name) => folded(head, name, look),
        _ => head.values(name).for_each(look),
    }
}

fn folded(head: &Head, name: &[u8], look: impl FnOnce(&[u8])) {
    let mut values = head.values(name);
    let Some(first) = values.next() else { return };
    let Some(second) = values.next() else { return look(first) };
    scratch::with(|line| {
        line.extend_from_slice(first);
        for value in std::iter::once(second).chain(values) {
            line.push(b',');
            line.extend_from_slice(value);
        }
        look(line);
    });
}

/// Request headers whose lines Envoy folds into one as it reads them, observed on Envoy 1.40.
pub(crate) fn is_folded(name: &[u8]) -> bool {
    matches!(
        name,
        b"accept"
            | b"accept-encoding"
            | b"access-control-request-headers"
            | b"access-control-request-method"
            | b"access-control-request-private-network"
            | b"authorization"
            | b"cache-control"
            | b"content-encoding"
            | b"content-type"
            | b"expect"
            | b"grpc-accept-encoding"
            | b"grpc-timeout"
            | b"if-match"
            | b"if-modified-since"
            | b"if-none-match"
            | b"origin"
            | b"pragma"
            | b"referer"
            | b"user-agent"
            | b"via"
            | b"x-client-trace-id"
            | b"x-envoy-attempt-count"
            | b"x-envoy-decorator-operation"
            | b"x-envoy-downstream-service-cluster"
            | b"x-envoy-downstream-service-node"
            | b"x-envoy-external-address"
            | b"x-envoy-is-timeout-retry"
            | b"x-envoy-original-host"
            | b"x-envoy-original-path"
            | b"x-forwarded-client-cert"
            | b"x-forwarded-for"
            | b"x-forwarded-host"
            | b"x-forwarded-port"
            | b"x-forwarded-proto"
            | b"x-request-id"
    )
}

/// Envoy's `:scheme`: what the client has said, else `x-forwarded-proto` where that is a scheme.
/// [`crate::headers::request`] has set it by the connection where the client had not.
pub(crate) fn scheme(head: &Head) -> &'static [u8] {
    let told = match head.get(head.scheme) {
        b"" => head.value(Known::XForwardedProto).unwrap_or_default(),
        told => told,
    };
    if told.eq_ignore_ascii_case(b"https") { b"https" } else { b"http" }
}

/// Where the first value of a header or pseudo-header stands.
pub(crate) fn first_span(head: &Head, name: &[u8]) -> Option<Span> {
    match name {
        b":method" => Some(head.method),
        b":path" => Some(head.path),
        b":authority" | b"host" => Some(head.authority),
        _ => {
            let mut fields = head.fields().iter();
            fields.find(|field| head.get(field.name) == name).map(|field| field.value)
        }
    }
}

/// Host and port of an authority that has a port; what stands in brackets has colons of its own.
pub(crate) fn split_port(authority: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memrchr(b':', authority)?;
    let bracket = memchr::memrchr(b']', authority);
    if bracket.is_some_and(|bracket| bracket > colon) {
        return None;
    }
    Some((authority.get(..colon)?, authority.get(colon + 1..)?))
}

/// `QueryParameterMatcher`: the first parameter of that name, undecoded as in Envoy.
pub(crate) fn query(asked: &QueryMatch, path: &[u8]) -> bool {
    let found = parameter(&asked.name, path);
    found.is_some_and(|value| asked.value.as_ref().is_none_or(|text| string(text, value)))
}

/// The first value of a query parameter, as it stands there.
pub(crate) fn parameter<'p>(name: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let start = memchr::memchr(b'?', path)?;
    let query = path.get(start + 1..).unwrap_or_default();
    let mut parameters = query.split(|byte| *byte == b'&').map(|parameter| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    });
    parameters.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The first value of a header or pseudo-header.
pub(crate) fn first_value<'h>(head: &'h Head, name: &'h [u8]) -> Option<&'h [u8]> {
    match name {
        b":method" => Some(head.method()),
        b":path" => Some(head.path()),
        b":authority" | b"host" => Some(head.authority()),
        b":scheme" => Some(scheme(head)),
        _ => head.values(name).next(),
    }
}

/// The path without its query and fragment.
pub(crate) fn bare(path: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
