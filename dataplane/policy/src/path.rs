//! The path as it is judged and forwarded: one form, made before anything looks at it.
//!
//! What Envoy does with `normalize_path` (dot segments, `\` as `/`, unreserved characters
//! unescaped, some others escaped), `merge_slashes` and `path_with_escaped_slashes_action`, in its
//! order: escaped slashes, then segments, then merging. The query is never touched.

use config::snapshot::{EscapedSlashes, HttpManager};
use wire::head::{Head, Span, Version};

use crate::reply::Reason;
use crate::scratch;

/// Why a request does not go on after its path was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The path cannot be brought into its form: it holds a NUL, a fragment, or an escaped slash
    /// where those are refused.
    Invalid,
    /// It is not a path (`OPTIONS *`): Envoy knows no route for it.
    NoPath,
    /// The client is told to come again (307) with the path that the head now has as `location`.
    Redirect,
}

impl Refused {
    /// The reason to answer with.
    pub fn reason(self) -> Reason {
        match self {
            Self::Invalid => Reason::PathInvalid,
            Self::NoPath => Reason::AbsolutePathRejected,
            Self::Redirect => Reason::PathRedirect,
        }
    }
}

/// Brings the path into the form that the manager asks for. A request without a path (CONNECT)
/// passes.
pub fn normalize(head: &mut Head, manager: &HttpManager) -> Result<(), Refused> {
    let path = head.path();
    if path.is_empty() {
        return Ok(());
    }
    if memchr::memchr(b'#', path).is_some() {
        return Err(Refused::Invalid);
    }
    // By HTTP/1 nothing but an absolute target tells a scheme.
    let is_absolute = head.version != Version::Http2 && !head.get(head.scheme).is_empty();
    if !path.starts_with(b"/") || (is_absolute && !manager.allow_absolute_url) {
        return Err(Refused::NoPath);
    }
    let (path, _) = split(path);
    let escapes = manager.escaped_slashes != EscapedSlashes::KeepUnchanged && has_escaped(path);
    if escapes && manager.escaped_slashes == EscapedSlashes::Reject {
        return Err(Refused::Invalid);
    }
    let rough = manager.normalize_path && is_rough(path);
    let double = manager.merge_slashes && has_double(path);
    if !escapes && !rough && !double {
        return Ok(());
    }
    head.path = written(head, manager)?;
    match manager.escaped_slashes {
        EscapedSlashes::UnescapeAndRedirect if escapes => Err(Refused::Redirect),
        _ => Ok(()),
    }
}

/// Writes the path in its form, and the query behind it, into the head's added part.
fn written(head: &mut Head, manager: &HttpManager) -> Result<Span, Refused> {
    scratch::with(|out| {
        let (path, query) = split(head.path());
        rewrite(path, manager, out)?;
        out.extend_from_slice(query);
        Ok(head.add_bytes(out))
    })
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'?', path).unwrap_or(path.len());
    path.split_at_checked(end).unwrap_or((path, b""))
}

/// There is something that [`segments`] might change. A dot alone is no reason.
fn is_rough(path: &[u8]) -> bool {
    /// What is no reason to write a path anew, wherever it stands.
    const SMOOTH: [bool; 256] = {
        let mut smooth = [false; 256];
        let mut byte = 0;
        while byte < smooth.len() {
            smooth[byte] = byte as u8 != b'%' && byte as u8 != b'\\' && !is_escaped_raw(byte as u8);
            byte += 1;
        }
        smooth
    };
    let is_smooth = |byte: &u8| SMOOTH.get(usize::from(*byte)).copied().unwrap_or_default();
    !path.iter().all(is_smooth) || begins_segment(path, b'.')
}

fn has_double(path: &[u8]) -> bool {
    begins_segment(path, b'/') || memchr::memchr(b'\\', path).is_some()
}

/// The byte stands behind a slash somewhere.
fn begins_segment(path: &[u8], byte: u8) -> bool {
    let is_behind = |at: usize| at.checked_sub(1).and_then(|at| path.get(at)) == Some(&b'/');
    memchr::memchr_iter(byte, path).any(is_behind)
}

fn has_escaped(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).any(|at| path.get(at..).and_then(escaped_slash).is_some())
}

/// The slash that the first three bytes stand for.
fn escaped_slash(bytes: &[u8]) -> Option<u8> {
    escape(bytes).filter(|byte| matches!(byte, b'/' | b'\\'))
}

/// The byte that `%XX` in front stands for.
fn escape(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Writes the path anew into `out`.
fn rewrite(path: &[u8], manager: &HttpManager, out: &mut Vec<u8>) -> Result<(), Refused> {
    let unescapes = manager.escaped_slashes != EscapedSlashes::KeepUnchanged;
    if !manager.normalize_path {
        copy(path, unescapes, out);
    } else {
        segments(path, unescapes, out)?;
    }
    if manager.merge_slashes {
        let mut last = 0;
        out.retain(|byte| std::mem::replace(&mut last, *byte) != b'/' || *byte != b'/');
    }
    Ok(())
}

fn copy(path: &[u8], unescapes: bool, out: &mut Vec<u8>) {
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        match escaped_slash(rest).filter(|_| unescapes) {
            Some(slash) => {
                out.push(slash);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

/// RFC 3986, 5.2.4 and 6.2.2 as browsers and Envoy do it. `out` always ends in a `/` where a
/// segment begins.
fn segments(path: &[u8], unescapes: bool, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.push(b'/');
    let mut rest = path.get(1..).unwrap_or_default();
    loop {
        let start = out.len();
        let (after, ends) = segment(rest, unescapes, out)?;
        match out.get(start..).map(without_parameters) {
            Some(b".") => out.truncate(start),
            Some(b"..") => {
                out.truncate(start);
                parent(out);
            }
            _ if !ends => out.push(b'/'),
            _ => {}
        }
        if ends {
            return Ok(());
        }
        rest = after;
    }
}

/// A segment's name. What is behind `;` is for its server: there are those for whom `..;a` is `..`.
fn without_parameters(segment: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
    segment.get(..end).unwrap_or_default()
}

/// Writes one segment. Returns what follows its slash, and whether it was the last one.
fn segment<'p>(
    path: &'p [u8],
    unescapes: bool,
    out: &mut Vec<u8>,
) -> Result<(&'p [u8], bool), Refused> {
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = escape(rest);
        let behind = if escaped.is_some() { rest.get(3..).unwrap_or_default() } else { after };
        match (escaped, *byte) {
            (Some(0), _) => return Err(Refused::Invalid),
            (Some(b'/' | b'\\'), _) if unescapes => return Ok((behind, false)),
            (Some(plain), _) if is_unreserved(plain) => push_plain(plain, behind, out),
            (Some(_), _) => out.extend_from_slice(rest.get(..3).unwrap_or_default()),
            (None, b'/' | b'\\') => return Ok((behind, false)),
            (None, raw) if is_escaped_raw(raw) => push_escaped(raw, out),
            (None, raw) => out.push(raw),
        }
        rest = behind;
    }
    Ok((rest, true))
}

/// Writes what was escaped. With a `%` that stood for itself it may come to look like an escape:
/// `%%32f` must not become `%2f`, which the next reader would take for a slash. That `%` is
/// escaped then, as Envoy does.
fn push_plain(plain: u8, behind: &[u8], out: &mut Vec<u8>) {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    // Escapes are written whole: a `%` this near the end stands for itself.
    match *out.as_slice() {
        [.., b'%'] if is_hex(Some(&plain)) && is_hex(behind.first()) => {
            out.extend_from_slice(&[b'2', b'5', plain]);
        }
        [.., b'%', digit] if is_hex(Some(&digit)) && is_hex(Some(&plain)) => {
            out.pop();
            out.extend_from_slice(&[b'2', b'5', digit, plain]);
        }
        _ => out.push(plain),
    }
}

/// Takes the last segment off. The root stays.
fn parent(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.pop();
        let slash = memchr::memrchr(b'/', out).unwrap_or(0);
        out.truncate(slash + 1);
    }
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Written as an escape where it comes raw. (The codec lets no control, space or byte above 0x7e
/// through; they are escaped all the same.)
const fn is_escaped_raw(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f..)
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 };
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests;
