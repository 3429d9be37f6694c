//! Hashes that find a field in the encoder's tables. They decide nothing but what is looked at.

/// The hash of a name, or of a value.
pub(super) const fn hash(mut bytes: &[u8]) -> u64 {
    let mut sum = bytes.len() as u64;
    // The last word of a long one may overlap the one before.
    let last = bytes.last_chunk::<8>();
    while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
        sum = mix(sum, u64::from_le_bytes(*word));
        bytes = rest;
    }
    if let Some(last) = last {
        return mix(sum, u64::from_le_bytes(*last));
    }
    let mut tail = 0;
    while let Some((byte, rest)) = bytes.split_first() {
        tail = tail << 8 | *byte as u64;
        bytes = rest;
    }
    mix(sum, tail)
}

/// Adds a word to a hash. The upper bits are the good ones.
pub(super) const fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The upper 8 bits.
pub(super) const fn slot(hash: u64) -> usize {
    (hash >> 56) as usize
}
