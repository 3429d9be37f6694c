//! A head that comes in pieces, of a request or of a response.

use ring::Buf;
use wire::h1::{self, Parsed, Refusal};

use crate::limits::PARTIAL_KEPT;

/// What has come of a head that is not whole. Most heads come in one piece: nothing is made for
/// them.
#[derive(Default)]
pub(crate) struct Partial(Option<Box<Gathered>>);

/// When gathered bytes are read anew.
#[derive(Clone, Copy)]
pub(crate) struct Tries {
    /// Up to so many bytes with each piece: what cannot become a head is refused at once. Behind
    /// that only when the head's end has come.
    pub(crate) early_bytes: usize,
    /// Beyond so many in any case, to be refused.
    pub(crate) bytes_max: usize,
}

impl Partial {
    /// No part of a head has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|gathered| gathered.bytes.is_empty())
    }

    /// Reads a head whose next bytes are these, and takes of them what belongs to it.
    pub(crate) fn read(
        &mut self,
        bytes: &mut Buf,
        tries: Tries,
        parse: impl FnOnce(&[u8]) -> Result<Parsed, Refusal>,
    ) -> Result<Parsed, Refusal> {
        if let Some(gathered) = self.0.as_mut().filter(|gathered| !gathered.bytes.is_empty()) {
            return gathered.read_on(bytes, tries, parse);
        }
        let parsed = parse(bytes)?;
        match parsed {
            Parsed::Complete { consumed } => bytes.advance(consumed),
            Parsed::Partial => self.0.get_or_insert_default().add(bytes),
        }
        Ok(parsed)
    }
}

/// The bytes, kept for the next head when this one is read.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// How far the head's end was looked for.
    searched: usize,
}

impl Gathered {
    fn read_on(
        &mut self,
        more: &mut Buf,
        tries: Tries,
        parse: impl FnOnce(&[u8]) -> Result<Parsed, Refusal>,
    ) -> Result<Parsed, Refusal> {
        let (before, searched) = (self.bytes.len(), self.searched);
        self.bytes.extend_from_slice(more);
        let is_early = before < tries.early_bytes;
        let parsed = match h1::find_end(&self.bytes, searched) {
            None if !is_early && self.bytes.len() <= tries.bytes_max => Parsed::Partial,
            _ => parse(&self.bytes)?,
        };
        match parsed {
            Parsed::Complete { consumed } => {
                more.advance(consumed.saturating_sub(before));
                self.bytes.clear();
                self.bytes.shrink_to(PARTIAL_KEPT);
                self.searched = 0;
            }
            Parsed::Partial => {
                self.searched = self.bytes.len();
                *more = Buf::empty();
            }
        }
        Ok(parsed)
    }

    fn add(&mut self, bytes: &mut Buf) {
        self.bytes.extend_from_slice(bytes);
        self.searched = self.bytes.len();
        *bytes = Buf::empty();
    }
}
