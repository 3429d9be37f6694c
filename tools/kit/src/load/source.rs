//! What one request sends, in buffers that all connections of a thread share.

use std::io;

use ring::{Buf, Pool};

/// Bytes of one piece: the pool's largest buffer.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// What a request consists of: `len` bytes, being `cycle` repeated as often as it takes.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) cycle: Vec<u8>,
    pub(super) len: u64,
}

impl Text {
    /// These bytes, once.
    pub(super) fn once(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len() as u64, cycle: bytes }
    }

    /// These bytes again and again. Short ones are multiplied first, so that pieces are not small.
    pub(super) fn repeated(bytes: &[u8], len: u64) -> Self {
        let times = (PIECE_BYTES / bytes.len().max(1)).max(1);
        let whole = usize::try_from(len).unwrap_or(usize::MAX);
        let mut cycle = bytes.repeat(times);
        cycle.truncate(whole);
        Self { cycle, len }
    }

    /// The bytes from this offset on, as far as they stand together.
    pub(super) fn at(&self, offset: u64) -> &[u8] {
        let place = offset.checked_rem(self.cycle.len() as u64).unwrap_or_default();
        let rest = self.cycle.get(place as usize..).unwrap_or_default();
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        rest.get(..left).unwrap_or(rest)
    }
}

/// A text in the buffers of one driver. Sending it copies nothing.
pub(super) struct Source {
    pieces: Vec<Buf>,
    cycle: u64,
    pub(super) len: u64,
}

impl Source {
    /// Fails if the pool is too small, which is a mistake of whoever made it.
    pub(super) fn new(text: &Text, pool: &Pool) -> io::Result<Self> {
        let copy = |bytes: &[u8]| {
            let mut piece = pool.take(bytes.len())?;
            piece.extend(bytes);
            Some(piece.freeze())
        };
        let pieces: Option<Vec<Buf>> = text.cycle.chunks(PIECE_BYTES).map(copy).collect();
        let pieces = pieces.ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { pieces, cycle: text.cycle.len() as u64, len: text.len })
    }

    /// The bytes from this offset on, as far as they stand in one buffer. Empty at the end.
    pub(super) fn at(&self, offset: u64) -> Buf {
        let place = offset.checked_rem(self.cycle).unwrap_or_default() as usize;
        let Some(piece) = self.pieces.get(place / PIECE_BYTES) else { return Buf::empty() };
        let mut piece = piece.clone();
        piece.advance(place % PIECE_BYTES);
        piece.truncate(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        piece
    }
}

#[cfg(test)]
mod tests {
    use ring::Limits;

    use super::*;

    #[test]
    fn text_and_source_are_the_same_bytes() {
        let odd: Vec<u8> = (0..100_003_u32).map(|n| (n % 251) as u8).collect();
        let limits = Limits { scratch_bytes: 8 << 20, ..Limits::default() };
        let pool = Pool::new(&limits).unwrap();
        for text in [
            Text::once(b"GET".to_vec()),
            Text::once(odd.clone()),
            Text::repeated(b"x", 1),
            Text::repeated(b"abc", 200_000),
            Text::repeated(&odd, 1_000_000),
            Text::repeated(&odd, 5),
        ] {
            let source = Source::new(&text, &pool).unwrap();
            let mut offset = 0;
            while offset < text.len {
                let piece = source.at(offset);
                assert!(!piece.is_empty());
                for (place, byte) in (offset..).zip(piece.iter()) {
                    assert_eq!(text.at(place).first(), Some(byte));
                }
                offset += piece.len() as u64;
            }
            assert_eq!(offset, text.len, "no byte more");
            assert!(source.at(offset).is_empty() && text.at(offset).is_empty());
        }
    }
}
