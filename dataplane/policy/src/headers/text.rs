//! Values written into reused room.

use std::fmt::{self, Write};
use std::time::Duration;

use wire::head::Head;

use crate::scratch;

/// A buffer that text is formatted into.
struct Text<'b>(&'b mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Formats to the end of a buffer.
pub(crate) fn write(out: &mut Vec<u8>, value: impl fmt::Display) {
    // `Text` cannot fail.
    let _ = write!(Text(out), "{value}");
}

/// Whole milliseconds; the highest number there is for what is longer than that.
pub(crate) fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000).saturating_add(u64::from(time.subsec_millis()))
}

/// Sets a field to a formatted value.
pub(crate) fn set(head: &mut Head, name: &[u8], value: impl fmt::Display) {
    scratch::with(|out| {
        write(out, value);
        head.set(name, out);
    });
}

/// Puts all lines of a name into one, with what `add` writes as its last element. As in Envoy the
/// client's own lines are joined by a comma alone.
pub(crate) fn join(head: &mut Head, name: &[u8], separator: &[u8], add: impl FnOnce(&mut Vec<u8>)) {
    join_with(head, name, separator, |_, out| add(out));
}

/// [`join`], where the last element is made from the head itself.
pub(crate) fn join_with(
    head: &mut Head,
    name: &[u8],
    separator: &[u8],
    add: impl FnOnce(&Head, &mut Vec<u8>),
) {
    scratch::with(|out| {
        for value in head.values(name) {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(value);
        }
        if !out.is_empty() {
            out.extend_from_slice(separator);
        }
        add(head, out);
        head.set(name, out);
    });
}
