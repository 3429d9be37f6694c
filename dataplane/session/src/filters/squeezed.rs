//! A compressor's place in an answer's way.

use std::cell::Cell;
use std::rc::Rc;

use config::snapshot::{BrotliMode, Compression};
use squeeze::{Coding, Content, Encoder};

use super::bodies::Unchanged;
use crate::limits::SQUEEZING_BYTES_MAX;

/// A body that is compressed.
pub(super) struct Squeezed {
    /// `None`: it has come to its end.
    encoder: Option<Encoder>,
    /// Given back with it.
    _memory: Memory,
}

/// What an encoder takes of the worker's memory for encoders.
struct Memory {
    all: Rc<Cell<usize>>,
    own: usize,
}

impl Squeezed {
    /// `None`: too many bodies are compressed now. This one is sent as it is.
    pub(super) fn new(compression: &Compression, all: &Rc<Cell<usize>>) -> Option<Self> {
        let coding = coding(compression);
        let own = coding.memory_bytes();
        let used = all.get().saturating_add(own);
        // One body is compressed whatever its encoder takes.
        if used > SQUEEZING_BYTES_MAX && all.get() > 0 {
            return None;
        }
        let encoder = Some(Encoder::new(&coding).ok()?);
        all.set(used);
        Some(Self { encoder, _memory: Memory { all: Rc::clone(all), own } })
    }

    pub(super) fn change(
        &mut self,
        bytes: &[u8],
        ends: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unchanged> {
        if let Some(encoder) = &mut self.encoder {
            encoder.push(bytes, out).map_err(|_| Unchanged)?;
        }
        match self.encoder.take_if(|_| ends) {
            Some(encoder) => encoder.finish(out).map_err(|_| Unchanged),
            None => Ok(()),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(self.own));
    }
}

fn coding(compression: &Compression) -> Coding {
    match *compression {
        Compression::Gzip { level, window_bits } => Coding::Gzip { level, window_bits },
        Compression::Brotli { quality, window_bits, block_bits, mode } => {
            let content = match mode {
                BrotliMode::Generic => Content::Any,
                BrotliMode::Text => Content::Text,
                BrotliMode::Font => Content::Font,
            };
            Coding::Brotli { quality, window_bits, block_bits, content }
        }
        Compression::Zstd { level, has_checksum } => Coding::Zstd { level, has_checksum },
    }
}
