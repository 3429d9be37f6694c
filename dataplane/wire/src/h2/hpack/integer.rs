//! Integers with a prefix (RFC 7541, 5.1).

use crate::h2::refusal::{self, Refusal};

/// The largest that is read. Whatever is counted here is bounded far below it.
const MAX: u32 = 1 << 28;

/// Reads an integer whose first byte, with `prefix` bits of it, was taken off already.
pub(super) fn read(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<usize, Refusal> {
    let full = (1_u32 << prefix) - 1;
    let mut value = u32::from(first) & full;
    if value < full {
        return Ok(value as usize);
    }
    // Four more bytes hold every value up to the largest; leading zeros beyond them are an attack.
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first().ok_or(refusal::HPACK_TRUNCATED)?;
        *rest = after;
        value += u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if value <= MAX { Ok(value as usize) } else { Err(refusal::HPACK_INTEGER) };
        }
    }
    Err(refusal::HPACK_INTEGER)
}

/// Writes an integer behind the bits of `first` that are not the prefix's.
pub(super) fn write(first: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let full = (1_usize << prefix) - 1;
    if value < full {
        out.push(first | value as u8);
        return;
    }
    out.push(first | full as u8);
    let mut left = value - full;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
