//! What was compressed is what it was, however it came.

use std::io::Read;

use proptest::prelude::*;

use super::*;

const CODINGS: [Coding; 7] = [
    Coding::Gzip { level: 6, window_bits: 12 },
    Coding::Gzip { level: 9, window_bits: 15 },
    Coding::Gzip { level: 1, window_bits: 9 },
    Coding::Brotli { quality: 3, window_bits: 18, block_bits: 0, content: Content::Any },
    Coding::Brotli { quality: 11, window_bits: 24, block_bits: 16, content: Content::Text },
    Coding::Zstd { level: 3, has_checksum: false },
    Coding::Zstd { level: 19, has_checksum: true },
];

fn squeezed(coding: &Coding, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(coding).unwrap(), Vec::new());
    pieces.iter().for_each(|piece| encoder.push(piece, &mut out).unwrap());
    encoder.finish(&mut out).unwrap();
    out
}

/// As far as it can be read: an end that is missing is no error here.
fn read(coding: &Coding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader: Box<dyn Read> = match coding {
        Coding::Gzip { .. } => Box::new(flate2::read::GzDecoder::new(bytes)),
        Coding::Brotli { .. } => Box::new(brotli::Decompressor::new(bytes, 4096)),
        Coding::Zstd { .. } => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = reader.read(&mut chunk) {
        out.extend_from_slice(&chunk[..length]);
    }
    out
}

#[test]
fn every_piece_can_be_read_at_once() {
    for coding in &CODINGS {
        let (mut encoder, mut out) = (Encoder::new(coding).unwrap(), Vec::new());
        for number in 0..5 {
            encoder.push(format!("data: {number}\n\n").as_bytes(), &mut out).unwrap();
            let told = String::from_utf8(read(coding, &out)).unwrap();
            assert!(told.ends_with(&format!("data: {number}\n\n")), "{coding:?}: {told:?}");
        }
    }
}

#[test]
fn what_repeats_becomes_short() {
    let long = b"the same again and again ".repeat(4_000);
    for coding in &CODINGS {
        let short = squeezed(coding, &[&long]);
        assert!(short.len() < long.len() / 8, "{coding:?}: {} bytes", short.len());
        assert_eq!(read(coding, &short), long, "{coding:?}");
    }
}

#[test]
fn nothing_is_something_that_ends() {
    for coding in &CODINGS {
        let short = squeezed(coding, &[]);
        assert_eq!(read(coding, &short), b"", "{coding:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_comes_out_is_what_went_in(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..6),
        coding in 0..CODINGS.len(),
    ) {
        let coding = &CODINGS[coding];
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
        prop_assert_eq!(read(coding, &squeezed(coding, &pieces)), pieces.concat());
    }
}
