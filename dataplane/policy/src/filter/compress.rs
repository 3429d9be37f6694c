//! `envoy.filters.http.compressor`: which answers are compressed, and how (RFC 9110, 12.5.3).

use config::snapshot::{Compressor, CompressorOverride, Etags};
use wire::head::{Framing, Head, Known};

use crate::headers::text;
use crate::{matcher, scratch};

/// What the client accepts is not said, or cannot be read.
const IDENTITY: &[u8] = b"identity";
const ANY: &[u8] = b"*";

/// The filter is on for a route that says this.
pub fn is_on(compressor: &Compressor, own: Option<&CompressorOverride>) -> bool {
    own.and_then(|own| own.is_on).unwrap_or(compressor.is_on)
}

/// What the client accepts. It is hidden from the upstream if that is wanted.
pub fn accepted(
    compressor: &Compressor,
    own: Option<&CompressorOverride>,
    head: &mut Head,
    kept: &mut Vec<u8>,
) -> bool {
    if head.values(b"accept-encoding").next().is_none() {
        return false;
    }
    kept.clear();
    for line in head.values(b"accept-encoding") {
        if !kept.is_empty() {
            kept.push(b',');
        }
        kept.extend_from_slice(line);
    }
    let hides = own.and_then(|own| own.hides_wishes).unwrap_or(compressor.hides_wishes);
    if hides && is_on(compressor, own) {
        head.remove(b"accept-encoding");
    }
    true
}

/// The answer could be compressed by this filter, whatever its client understands.
pub fn is_fit(compressor: &Compressor, head: &Head) -> bool {
    is_long_enough(compressor, head)
        && head.status != 101
        && !compressor.spares.contains(&head.status)
        && is_of_type(compressor, head)
        && !has_token(head, b"cache-control", b"no-transform")
        && (compressor.etags != Etags::Kept || head.values(b"etag").next().is_none())
        && head.values(b"content-encoding").next().is_none()
}

/// As in Envoy one whose length is not told is, even where nothing follows.
fn is_long_enough(compressor: &Compressor, head: &Head) -> bool {
    let told = head.value(Known::ContentLength).and_then(|told| std::str::from_utf8(told).ok());
    match (told, head.framing) {
        (Some(told), _) => told.parse().is_ok_and(|length: u64| length >= compressor.min_bytes),
        (None, Framing::Length(length @ 1..)) => length >= compressor.min_bytes,
        (None, _) => true,
    }
}

/// The type is one of those that are compressed, or there is none.
pub fn is_of_type(compressor: &Compressor, head: &Head) -> bool {
    let Some(kind) = head.value(Known::ContentType) else { return true };
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    compressor.types.is_empty() || compressor.types.iter().any(|asked| matcher::string(asked, kind))
}

fn has_token(head: &Head, name: &[u8], token: &[u8]) -> bool {
    let mut tokens = head.values(name).flat_map(|value| value.split(|byte| *byte == b','));
    tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token))
}

/// Which of these codings, in the order of their filters, the client is answered in. `None`: in
/// none.
pub fn choose<'c>(
    accepted: &[u8],
    offered: impl Iterator<Item = &'c [u8]> + Clone,
) -> Option<&'c [u8]> {
    let mut best: Option<(&[u8], f32)> = None;
    for (name, weight) in wishes(accepted) {
        let is_there = name == IDENTITY
            || name == ANY
            || (offered.clone().any(|offer| offer == name) && !is_forbidden(accepted, name));
        if is_there && weight > best.map_or(0.0, |(_, best)| best) {
            best = Some((name, weight));
        }
    }
    let (name, _) = best?;
    let mut offered = offered.filter(|offer| !is_forbidden(accepted, offer));
    match name {
        IDENTITY => None,
        ANY => offered.next(),
        name => offered.find(|offer| *offer == name),
    }
}

/// The client has said that it does not understand it.
fn is_forbidden(accepted: &[u8], name: &[u8]) -> bool {
    wishes(accepted).any(|(found, weight)| found == name && weight == 0.0)
}

/// Names and weights. One whose weight is none is left out, as in Envoy.
fn wishes(accepted: &[u8]) -> impl Iterator<Item = (&[u8], f32)> {
    accepted.split(|byte| *byte == b',').filter_map(|wish| {
        let mut parts = wish.splitn(2, |byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let mut weight = 1.0;
        if let Some(parameter) = parts.next()
            && let Some(at) = parameter.iter().position(|byte| *byte == b'=')
            && let Some((key, [_, value @ ..])) = parameter.split_at_checked(at)
            && key.trim_ascii().eq_ignore_ascii_case(b"q")
        {
            weight = std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()?;
        }
        (!name.is_empty()).then_some((name, weight))
    })
}

/// Says in the head of an answer that its body is compressed.
pub fn tell(compressor: &Compressor, head: &mut Head) {
    let is_strong = head.values(b"etag").next().is_some_and(is_strong);
    match compressor.etags {
        Etags::Removed if is_strong => head.remove(b"etag"),
        Etags::Weakened if is_strong => weaken(head),
        Etags::Kept | Etags::Removed | Etags::Weakened => {}
    }
    head.remove_known(Known::ContentLength);
    head.framing = Framing::Chunked;
    head.set(b"content-encoding", compressor.compression.name());
}

fn weaken(head: &mut Head) {
    scratch::with(|out| {
        out.extend_from_slice(b"W/");
        out.extend_from_slice(head.values(b"etag").next().unwrap_or_default());
        head.set(b"etag", out);
    });
}

fn is_strong(etag: &[u8]) -> bool {
    etag.len() > 2 && !matches!(etag, [b'w' | b'W', b'/', ..])
}

/// Says that another client may be answered otherwise.
pub fn vary(head: &mut Head) {
    const NAME: &[u8] = b"Accept-Encoding";
    let is_told = head.values(b"vary").next().is_some();
    let mut told = head.values(b"vary").flat_map(|line| line.split(|byte| *byte == b','));
    let is_complete = told.any(|token| token.trim_ascii() == NAME);
    drop(told);
    if is_complete {
        return;
    }
    text::join(head, b"vary", b"", |out| {
        out.extend_from_slice(if is_told { b", " } else { b"" });
        out.extend_from_slice(NAME);
    });
}

#[cfg(test)]
mod tests;
