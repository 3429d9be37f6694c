//! Cookies, as Envoy reads them.

use wire::head::Head;

/// The value of the first cookie of that name, without its quotes.
pub(crate) fn value<'h>(head: &'h Head, name: &[u8]) -> Option<&'h [u8]> {
    let pairs = head.values(b"cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let mut found = pairs.filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        let key = key.iter().position(|byte| *byte != b' ').and_then(|start| key.get(start..));
        (key == Some(name)).then_some(value)
    });
    let value = found.next()?;
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(bare.unwrap_or(value))
}
