//! Where a head's lines end, checked before its tokens are read.

use super::Limits;
use super::refusal::{self, Refusal};

/// A whole head among the bytes that came.
pub(super) struct Lines<'a> {
    /// From the start line to the empty line.
    pub(super) head: &'a [u8],
    /// How many bytes it took, empty lines before it included.
    pub(super) consumed: usize,
    /// How many field lines it has.
    pub(super) fields: usize,
}

/// The whole head at the front of `bytes`, or `None` if more must come.
///
/// Lines end in CRLF. RFC 9112, 2.2 lets a recipient take a bare LF too; as not every recipient
/// does, a head that has one is refused.
pub(super) fn whole<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<Lines<'a>>, Refusal> {
    let Some(end) = super::find_end(bytes, 0) else {
        let fits = bytes.len() <= limits.head_bytes_max;
        return if fits { Ok(None) } else { Err(refusal::TOO_LARGE) };
    };
    if end > limits.head_bytes_max {
        return Err(refusal::TOO_LARGE);
    }
    let head = bytes.get(lead(bytes)..end).unwrap_or_default();
    // The start line and the empty one are no fields.
    let fields = count(head)?.saturating_sub(2);
    if fields > limits.fields_max.min(super::FIELDS_MAX) {
        return Err(refusal::TOO_MANY);
    }
    Ok(Some(Lines { head, consumed: end, fields }))
}

/// The length of the empty lines before a head (RFC 9112, 2.2).
pub(super) fn lead(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let [b'\r', b'\n', tail @ ..] = rest {
        rest = tail;
    }
    bytes.len() - rest.len()
}

/// Counts the lines; each CR must be followed by LF and each LF preceded by CR.
fn count(head: &[u8]) -> Result<usize, Refusal> {
    let mut lines = 0;
    let mut cr = None;
    for at in memchr::memchr2_iter(b'\r', b'\n', head) {
        match (head.get(at), cr.take()) {
            (Some(b'\r'), None) => cr = Some(at),
            (Some(b'\n'), Some(before)) if before + 1 == at => lines += 1,
            _ => return Err(refusal::LINE_END),
        }
    }
    if cr.is_some() { Err(refusal::LINE_END) } else { Ok(lines) }
}
