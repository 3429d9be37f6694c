//! Compresses a body that comes in pieces: gzip (RFC 1952), Brotli (RFC 7932), Zstandard (RFC
//! 8878).
//!
//! Bytes in, bytes out. What has come can be read as soon as it has been pushed: whoever waits for
//! an event in a stream of them is not kept waiting by the compressor.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use brotli::enc::backward_references::BrotliEncoderMode;
use flate2::Compression;
use flate2::write::ZlibEncoder;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// gzip
    Gzip {
        /// From 1, fast, to 9, small.
        level: u8,
        /// What is looked back at: 2 to the power of this, from 9 to 15.
        window_bits: u8,
    },
    /// Brotli
    Brotli {
        /// From 0, fast, to 11, small.
        quality: u8,
        /// As with gzip, from 10 to 24.
        window_bits: u8,
        /// The largest block, 2 to the power of this; 0: as the encoder likes it.
        block_bits: u8,
        /// What the bytes are.
        content: Content,
    },
    /// Zstandard
    Zstd {
        /// From fast and negative to 22, small.
        level: i32,
        /// The body ends with a checksum.
        has_checksum: bool,
    },
}

/// What Brotli is to expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Nothing in particular.
    #[default]
    Any,
    /// Text in UTF-8.
    Text,
    /// A font (WOFF 2).
    Font,
}

/// Zstandard looks back at 256 KiB at most, whatever its level: it takes several times as much
/// memory for each body, and what a client must keep follows from it too.
const ZSTD_WINDOW_BITS: u32 = 18;
const MIB: usize = 1024 * 1024;
/// What a flush of Brotli is gathered in.
const BROTLI_BUFFER: usize = 4 * 1024;

impl Coding {
    /// About what an encoder takes while a body goes through it, in bytes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            // zlib: the window twice, hash chains and the pending output.
            Self::Gzip { window_bits, .. } => (1 << (window_bits + 2)) + 256 * 1024,
            // The window and what is copied of it, the tables of the quality's matcher, and more.
            Self::Brotli { quality, window_bits, block_bits, .. } => {
                let matcher = match quality {
                    0..=6 => 2 * MIB,
                    7 => 8 * MIB,
                    8 => 16 * MIB,
                    9 => 32 * MIB,
                    _ => (8 << window_bits) + 6 * MIB,
                };
                (3 << window_bits.max(block_bits)) + matcher + MIB
            }
            // The window, its tables, and what is gathered for a block.
            Self::Zstd { level: ..=5, .. } => (4 << ZSTD_WINDOW_BITS) + MIB,
            Self::Zstd { .. } => (4 << ZSTD_WINDOW_BITS) + 5 * MIB,
        }
    }
}

/// A body under way.
pub struct Encoder(Kind);

enum Kind {
    Gzip(ZlibEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// For one body.
    ///
    /// # Errors
    /// The library has no memory, or knows no such level.
    pub fn new(coding: &Coding) -> io::Result<Self> {
        Ok(Self(match *coding {
            Coding::Gzip { level, window_bits } => {
                let level = Compression::new(level.into());
                let bits = window_bits.clamp(9, 15);
                let compress = flate2::Compress::new_gzip(level, bits);
                Kind::Gzip(ZlibEncoder::new_with_compress(Vec::new(), compress))
            }
            Coding::Brotli { quality, window_bits, block_bits, content } => {
                let params = BrotliEncoderParams {
                    mode: match content {
                        Content::Any => BrotliEncoderMode::BROTLI_MODE_GENERIC,
                        Content::Text => BrotliEncoderMode::BROTLI_MODE_TEXT,
                        Content::Font => BrotliEncoderMode::BROTLI_MODE_FONT,
                    },
                    quality: quality.into(),
                    lgwin: window_bits.into(),
                    lgblock: block_bits.into(),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
                Kind::Brotli(Box::new(writer))
            }
            Coding::Zstd { level, has_checksum } => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
                encoder.include_checksum(has_checksum)?;
                encoder.window_log(ZSTD_WINDOW_BITS)?;
                Kind::Zstd(encoder)
            }
        }))
    }

    /// Appends all that can be read of what has come so far.
    ///
    /// # Errors
    /// The library fails, which it does for want of memory alone.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.0 {
            Kind::Gzip(encoder) => push(encoder, bytes)?,
            Kind::Brotli(encoder) => push(&mut **encoder, bytes)?,
            Kind::Zstd(encoder) => push(encoder, bytes)?,
        }
        out.append(match &mut self.0 {
            Kind::Gzip(encoder) => encoder.get_mut(),
            Kind::Brotli(encoder) => encoder.get_mut(),
            Kind::Zstd(encoder) => encoder.get_mut(),
        });
        Ok(())
    }

    /// Appends the end.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        out.append(&mut match self.0 {
            Kind::Gzip(encoder) => encoder.finish()?,
            Kind::Brotli(encoder) => encoder.into_inner(),
            Kind::Zstd(encoder) => encoder.finish()?,
        });
        Ok(())
    }
}

fn push(encoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    encoder.write_all(bytes)?;
    encoder.flush()
}

#[cfg(test)]
mod tests;
