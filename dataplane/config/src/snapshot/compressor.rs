//! `envoy.filters.http.compressor`, compiled.

use super::StringMatch;

/// `Compressor`, as far as it is about responses.
#[derive(Debug)]
pub struct Compressor {
    /// How bodies are compressed.
    pub compression: Compression,
    /// It is on where no route says otherwise.
    pub is_on: bool,
    /// Bodies of which it is known that they are shorter are left as they are (Envoy: 30).
    pub min_bytes: u64,
    /// Types that are compressed; empty: all.
    pub types: Vec<StringMatch>,
    /// What becomes of a strong `etag`.
    pub etags: Etags,
    /// The upstream does not learn what the client understands (`remove_accept_encoding_header`).
    pub hides_wishes: bool,
    /// Answers with these statuses are left as they are.
    pub spares: Vec<u16>,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `envoy.compression.gzip.compressor`
    Gzip {
        /// 1 to 9.
        level: u8,
        /// 9 to 15.
        window_bits: u8,
    },
    /// `envoy.compression.brotli.compressor`
    Brotli {
        /// 0 to 11.
        quality: u8,
        /// 10 to 24.
        window_bits: u8,
        /// 16 to 24; 0: as the encoder likes it.
        block_bits: u8,
        /// What is expected.
        mode: BrotliMode,
    },
    /// `envoy.compression.zstd.compressor`
    Zstd {
        /// Up to 22.
        level: i32,
        /// Bodies end with a checksum.
        has_checksum: bool,
    },
}

impl Compression {
    /// Its name in `content-encoding`.
    pub const fn name(&self) -> &'static [u8] {
        match self {
            Self::Gzip { .. } => b"gzip",
            Self::Brotli { .. } => b"br",
            Self::Zstd { .. } => b"zstd",
        }
    }
}

/// `EncoderMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BrotliMode {
    #[default]
    Generic,
    Text,
    Font,
}

/// What becomes of a strong `etag` of a body that is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Etags {
    /// It is removed.
    #[default]
    Removed,
    /// It becomes a weak one (`weaken_etag_on_compress`).
    Weakened,
    /// A body with an `etag`, weak or strong, is left as it is (`disable_on_etag_header`).
    Kept,
}

/// `CompressorPerRoute`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressorOverride {
    /// It is on, or off.
    pub is_on: Option<bool>,
    /// See [`Compressor::hides_wishes`].
    pub hides_wishes: Option<bool>,
}
