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

/// The head that was just read as these fields, if its lines are as [`whole`] wants them: then they
/// need not be looked for once more. Each field line begins behind a CRLF, and so does the empty
/// one; only what came before the start line is left to [`whole`].
pub(super) fn read<'a>(
    bytes: &'a [u8],
    consumed: usize,
    fields: &[httparse::Header<'_>],
    limits: &Limits,
) -> Option<Lines<'a>> {
    let head = bytes.get(..consumed)?;
    let is_even = consumed <= limits.head_bytes_max
        && fields.len() <= limits.fields_max
        && !matches!(head.first(), Some(b'\r' | b'\n'))
        && head.ends_with(b"\r\n\r\n")
        && fields.iter().all(|field| {
            let start = (field.name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
            head.get(start.wrapping_sub(2)..start) == Some(b"\r\n")
        });
    is_even.then_some(Lines { head, consumed, fields: fields.len() })
}

/// The whole head at the front of `bytes`, or `None` if more must come.
///
/// Lines end in CRLF. RFC 9112, 2.2 lets a recipient take a bare LF too; as not every recipient
/// does, a head that has one is refused. A bare CR is left to whoever reads the tokens: none may
/// have one, and [`check_ends`] then says what was wrong.
pub(super) fn whole<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<Lines<'a>>, Refusal> {
    let Some(lines) = even(bytes) else {
        return match super::find_end(bytes, 0) {
            None if bytes.len() <= limits.head_bytes_max => Ok(None),
            Some(end) if end <= limits.head_bytes_max => Err(refusal::LINE_END),
            _ => Err(refusal::TOO_LARGE),
        };
    };
    if lines.consumed > limits.head_bytes_max {
        return Err(refusal::TOO_LARGE);
    }
    if lines.fields > limits.fields_max.min(super::FIELDS_MAX) {
        return Err(refusal::TOO_MANY);
    }
    Ok(Some(lines))
}

/// The lines up to the first empty one, if there is one and all of them end in CRLF.
fn even(bytes: &[u8]) -> Option<Lines<'_>> {
    let start = lead(bytes);
    let (mut line, mut count) = (start, 0_usize);
    for at in memchr::memchr_iter(b'\n', bytes.get(start..)?) {
        let end = start + at;
        if bytes.get(end.checked_sub(1)?) != Some(&b'\r') {
            return None;
        }
        count += 1;
        if end == line + 1 {
            let head = bytes.get(start..=end)?;
            // The start line and the empty one are no fields.
            return Some(Lines { head, consumed: end + 1, fields: count.saturating_sub(2) });
        }
        line = end + 1;
    }
    None
}

/// The length of the empty lines before a head (RFC 9112, 2.2).
pub(super) fn lead(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let [b'\r', b'\n', tail @ ..] = rest {
        rest = tail;
    }
    bytes.len() - rest.len()
}

/// Each CR must be followed by LF and each LF preceded by CR.
pub(super) fn check_ends(head: &[u8]) -> Result<(), Refusal> {
    let mut cr = None;
    for at in memchr::memchr2_iter(b'\r', b'\n', head) {
        match (head.get(at), cr.take()) {
            (Some(b'\r'), None) => cr = Some(at),
            (Some(b'\n'), Some(before)) if before + 1 == at => {}
            _ => return Err(refusal::LINE_END),
        }
    }
    if cr.is_some() { Err(refusal::LINE_END) } else { Ok(()) }
}
