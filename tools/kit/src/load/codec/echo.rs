//! Round trips to a server that sends back what it gets.

use std::sync::Arc;

use super::{
    super::{error::Failure, source::Text},
    Read,
};

/// The checker of echoes. Each trip is numbered in its first bytes, so that an echo of an earlier
/// one is not taken for it.
pub(in super::super) struct Codec {
    text: Arc<Text>,
    trips: Vec<Trip>,
}

/// One connection's trip.
#[derive(Clone, Copy, Default)]
struct Trip {
    number: u64,
    /// Bytes that are back.
    back: u64,
}

impl Codec {
    pub(super) fn new(text: &Arc<Text>, connections: usize) -> Self {
        Self { text: Arc::clone(text), trips: vec![Trip::default(); connections] }
    }

    pub(super) fn begin(&mut self, link: usize) {
        if let Some(trip) = self.trips.get_mut(link) {
            *trip = Trip { number: trip.number + 1, back: 0 };
        }
    }

    pub(super) fn number(&self, link: usize) -> [u8; 8] {
        self.trips.get(link).map_or(0, |trip| trip.number).to_le_bytes()
    }

    pub(super) fn read(&mut self, link: usize, mut bytes: &[u8]) -> Result<Read, Failure> {
        let Some(trip) = self.trips.get_mut(link) else { return Err(Failure::Unasked) };
        let number = trip.number.to_le_bytes();
        while !bytes.is_empty() {
            let rest = self.text.at(trip.back);
            let rest = match number.get(trip.back as usize..) {
                Some(digits) if trip.back < 8 => {
                    digits.get(..rest.len().min(digits.len())).unwrap_or_default()
                }
                _ => rest,
            };
            if rest.is_empty() {
                return Err(Failure::BytesBehind);
            }
            let (come, later) = bytes.split_at(rest.len().min(bytes.len()));
            if rest.get(..come.len()) != Some(come) {
                return Err(Failure::BodyDiffers);
            }
            trip.back += come.len() as u64;
            bytes = later;
        }
        Ok(if trip.back == self.text.len { Read::Whole { keep: true } } else { Read::Partial })
    }

    pub(super) fn answer_bytes(&self) -> u64 {
        self.text.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_checked_however_they_are_cut() {
        for len in [1, 5, 8, 9, 64, 700] {
            let text = Arc::new(Text::repeated(b"0123456789abcdef", len));
            let mut codec = Codec::new(&text, 2);
            for cut in [1, 3, 8, 1_000] {
                codec.begin(1);
                let mut echo: Vec<u8> = (0..len).map(|at| text.at(at)[0]).collect();
                let digits = codec.number(1);
                echo.iter_mut().zip(digits).for_each(|(byte, digit)| *byte = digit);
                let mut last = Ok(Read::Partial);
                for piece in echo.chunks(cut) {
                    assert_eq!(last, Ok(Read::Partial), "{len} by {cut}");
                    last = codec.read(1, piece);
                }
                assert_eq!(last, Ok(Read::Whole { keep: true }), "{len} by {cut}");
                assert_eq!(codec.read(1, b"x"), Err(Failure::BytesBehind));
            }
            codec.begin(1);
            assert_eq!(codec.read(1, &[0xff]), Err(Failure::BodyDiffers));
        }
    }
}
