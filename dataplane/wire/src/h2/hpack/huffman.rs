//! HPACK's Huffman code (RFC 7541, appendix B).
//!
//! The code is canonical: the lengths say it all, and every table here is made of them by the
//! compiler.

/// The length in bits of each byte's code. The end of string has 30, all ones.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LENGTH_MAX: usize = 30;

/// Codes of so many bits or fewer are found by one look: all but the rarest printable characters.
const FAST_BITS: usize = 10;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Group {
    /// The first of them.
    first: u32,
    /// How many there are.
    count: u32,
    /// Where the first one's byte stands among `ORDERED`.
    at: u32,
}

/// The codes by their lengths.
const GROUPS: [Group; LENGTH_MAX + 1] = {
    let mut groups = [Group { first: 0, count: 0, at: 0 }; LENGTH_MAX + 1];
    let mut byte = 0;
    while byte < 256 {
        groups[LENGTHS[byte] as usize].count += 1;
        byte += 1;
    }
    let (mut len, mut code, mut at) = (1, 0, 0);
    while len <= LENGTH_MAX {
        code <<= 1;
        groups[len].first = code;
        groups[len].at = at;
        code += groups[len].count;
        at += groups[len].count;
        len += 1;
    }
    // What is left over is the end of string.
    assert!(code == (1 << LENGTH_MAX) - 1);
    groups
};

/// The bytes in the order of their codes.
const ORDERED: [u8; 256] = {
    let mut ordered = [0; 256];
    let (mut len, mut at) = (1, 0);
    while len <= LENGTH_MAX {
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == len {
                ordered[at] = byte as u8;
                at += 1;
            }
            byte += 1;
        }
        len += 1;
    }
    ordered
};

/// Each byte's code and its length.
const CODES: [(u32, u8); 256] = {
    let mut codes = [(0, 0); 256];
    let mut at = 0;
    while at < 256 {
        let byte = ORDERED[at] as usize;
        let group = GROUPS[LENGTHS[byte] as usize];
        codes[byte] = (group.first + at as u32 - group.at, LENGTHS[byte]);
        at += 1;
    }
    codes
};

/// By the next [`FAST_BITS`] bits: the byte, and its code's length above it. 0: it is longer.
const FAST: [u16; 1 << FAST_BITS] = {
    let mut fast = [0; 1 << FAST_BITS];
    let mut byte = 0;
    while byte < 256 {
        let (code, len) = CODES[byte];
        if len as usize <= FAST_BITS {
            let spare = FAST_BITS - len as usize;
            let mut at = (code as usize) << spare;
            while at < (code as usize + 1) << spare {
                fast[at] = (len as u16) << 8 | byte as u16;
                at += 1;
            }
        }
        byte += 1;
    }
    fast
};

/// How many bytes these take when encoded.
pub(super) fn encoded_len(bytes: &[u8]) -> usize {
    let bits: usize = bytes.iter().map(|byte| usize::from(code(*byte).1)).sum();
    bits.div_ceil(8)
}

/// Appends the code of these bytes.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let (mut pending, mut bits) = (0_u64, 0_u32);
    for byte in bytes {
        let (code, len) = code(*byte);
        pending = pending << len | u64::from(code);
        bits += u32::from(len);
        if bits >= 32 {
            bits -= 32;
            out.extend_from_slice(&((pending >> bits) as u32).to_be_bytes());
        }
    }
    // The rest is filled up with the beginning of the end of string.
    let pad = bits.wrapping_neg() & 7;
    pending = pending << pad | ((1 << pad) - 1);
    let left = (bits + pad) / 8;
    let bytes = (pending as u32).to_be_bytes();
    out.extend_from_slice(bytes.get(4 - left as usize..).unwrap_or_default());
}

/// Appends what these bytes stand for. False, with anything appended, if they are no such code:
/// an end of string within, or padding that is not the beginning of one or is longer than 7 bits
/// (RFC 7541, 5.2).
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // No code has fewer than 5 bits.
    out.resize(start + input.len() * 8 / 5, 0);
    match fill(input, out.get_mut(start..).unwrap_or_default()) {
        Some(written) => {
            out.truncate(start + written);
            true
        }
        None => false,
    }
}

fn fill(mut input: &[u8], room: &mut [u8]) -> Option<usize> {
    // The next bits stand at the top.
    let (mut next, mut bits) = (0_u64, 0_u32);
    let len = room.len();
    let mut slots = room.iter_mut();
    loop {
        if bits < 32 {
            refill(&mut input, &mut next, &mut bits);
            if bits == 0 {
                break;
            }
        }
        // Ones behind the end make padding look like the end of string.
        let ahead = next | u64::MAX >> bits;
        let Some((byte, used)) = first(ahead) else {
            // The end of string: fine as padding of less than a byte.
            return if bits < 8 { Some(len - slots.len()) } else { None };
        };
        if used > bits {
            return None;
        }
        *slots.next()? = byte;
        next <<= used;
        bits -= used;
    }
    Some(len - slots.len())
}

fn refill(input: &mut &[u8], next: &mut u64, bits: &mut u32) {
    if let Some((word, rest)) = input.split_first_chunk::<4>() {
        *next |= u64::from(u32::from_be_bytes(*word)) << (32 - *bits);
        *bits += 32;
        *input = rest;
        return;
    }
    while let Some((byte, rest)) = input.split_first() {
        *next |= u64::from(*byte) << (56 - *bits);
        *bits += 8;
        *input = rest;
    }
}

/// The byte whose code stands at the top, and the code's length. `None`: the end of string.
fn first(ahead: u64) -> Option<(u8, u32)> {
    static TABLE: [u16; 1 << FAST_BITS] = FAST;
    let fast = TABLE.get((ahead >> (64 - FAST_BITS)) as usize).copied().unwrap_or_default();
    if fast != 0 {
        return Some((fast as u8, u32::from(fast >> 8)));
    }
    (FAST_BITS + 1..=LENGTH_MAX).find_map(|len| {
        let group = GROUPS.get(len)?;
        let nth = ((ahead >> (64 - len)) as u32).checked_sub(group.first)?;
        if nth >= group.count {
            return None;
        }
        Some((*ORDERED.get((group.at + nth) as usize)?, len as u32))
    })
}

fn code(byte: u8) -> (u32, u8) {
    static TABLE: [(u32, u8); 256] = CODES;
    TABLE.get(usize::from(byte)).copied().unwrap_or_default()
}
