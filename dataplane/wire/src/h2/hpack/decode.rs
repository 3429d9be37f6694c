//! Header blocks read field by field.

use super::name::{Name, is_value};
use super::table::{Table, fixed};
use super::{huffman, integer};
use crate::h2::refusal::{self, Refusal};

/// The reading side of a connection's HPACK state.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// The size that the peer may use: what our acknowledged settings say.
    size_limit: usize,
    /// The peer must begin its next block by lowering the table's size (RFC 7541, 4.2).
    must_lower: bool,
}

/// A header block that is being read.
pub(crate) struct Block<'b> {
    rest: &'b [u8],
    /// How many size updates it began with.
    updates: u32,
    /// A field has been read: size updates may no longer come.
    begun: bool,
}

/// A field, whose name and value were appended to the bytes one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: Name,
    pub(crate) name_len: usize,
    pub(crate) value_len: usize,
    /// The value holds what a value may.
    pub(crate) is_sound: bool,
    /// It must never be put into a table, here or further on (RFC 7541, 6.2.3).
    pub(crate) is_secret: bool,
}

/// A block may lower the size and raise it again (RFC 7541, 4.2).
const UPDATES_MAX: u32 = 2;

impl<'b> Block<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, updates: 0, begun: false }
    }
}

impl Decoder {
    pub(crate) fn new() -> Self {
        let size = super::TABLE_BYTES_DEFAULT;
        Self { table: Table::new(size), size_limit: size, must_lower: false }
    }

    /// The peer has acknowledged this size of the table.
    pub(crate) fn set_size_limit(&mut self, limit: usize) {
        self.size_limit = limit;
        self.must_lower = self.table.size_max() > limit;
    }

    /// Reads the next field, appending its name and value to `out`. `None`: the block has ended.
    ///
    /// An error is the connection's: the tables of the two sides are no longer the same.
    pub(crate) fn next(
        &mut self,
        block: &mut Block<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>, Refusal> {
        loop {
            let Some((first, rest)) = block.rest.split_first() else { return Ok(None) };
            block.rest = rest;
            if first & 0xe0 == 0x20 {
                let size = integer::read(*first, 5, &mut block.rest)?;
                self.update(block, size)?;
                continue;
            }
            if self.must_lower {
                return Err(refusal::HPACK_UPDATE_MISSING);
            }
            block.begun = true;
            return match first {
                0x80.. => self.indexed(*first, block, out),
                0x40.. => self.literal(*first, 6, block, out),
                _ => self.literal(*first, 4, block, out),
            }
            .map(Some);
        }
    }

    fn update(&mut self, block: &mut Block<'_>, size: usize) -> Result<(), Refusal> {
        block.updates += 1;
        if block.begun || block.updates > UPDATES_MAX {
            return Err(refusal::HPACK_UPDATE_PLACE);
        }
        if size > self.size_limit {
            return Err(refusal::HPACK_UPDATE_SIZE);
        }
        self.table.resize(size);
        self.must_lower = false;
        Ok(())
    }

    fn indexed(
        &self,
        first: u8,
        block: &mut Block<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        let index = integer::read(first, 7, &mut block.rest)?;
        if let Some(field) = fixed(index) {
            out.extend_from_slice(field.name);
            out.extend_from_slice(field.value);
            return Ok(Found {
                name: field.class,
                name_len: field.name.len(),
                value_len: field.value.len(),
                is_sound: true,
                is_secret: false,
            });
        }
        let (entry, bytes) = self.dynamic(index)?;
        out.extend_from_slice(bytes);
        Ok(Found {
            name: entry.class,
            name_len: entry.name_len(),
            value_len: bytes.len() - entry.name_len(),
            is_sound: entry.is_sound,
            is_secret: false,
        })
    }

    fn dynamic(&self, index: usize) -> Result<(&super::table::Entry, &[u8]), Refusal> {
        let at = index.checked_sub(super::STATIC_COUNT + 1).ok_or(refusal::HPACK_INDEX)?;
        self.table.get(at).ok_or(refusal::HPACK_INDEX)
    }

    fn literal(
        &mut self,
        first: u8,
        prefix: u32,
        block: &mut Block<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Found, Refusal> {
        let start = out.len();
        let name = match integer::read(first, prefix, &mut block.rest)? {
            0 => {
                string(&mut block.rest, out)?;
                Name::of(out.get(start..).unwrap_or_default())
            }
            index => self.name(index, out)?,
        };
        let middle = out.len();
        string(&mut block.rest, out)?;
        let value = out.get(middle..).unwrap_or_default();
        let is_sound = is_value(value);
        let found = Found {
            name,
            name_len: middle - start,
            value_len: value.len(),
            is_sound,
            is_secret: first & 0xf0 == 0x10,
        };
        if prefix == 6 {
            let name_bytes = out.get(start..middle).unwrap_or_default();
            self.table.insert(name_bytes, value, name, is_sound);
        }
        Ok(found)
    }

    /// Appends an indexed name.
    fn name(&self, index: usize, out: &mut Vec<u8>) -> Result<Name, Refusal> {
        if let Some(field) = fixed(index) {
            out.extend_from_slice(field.name);
            return Ok(field.class);
        }
        let (entry, bytes) = self.dynamic(index)?;
        out.extend_from_slice(bytes.get(..entry.name_len()).unwrap_or_default());
        Ok(entry.class)
    }
}

/// Appends a string literal (RFC 7541, 5.2).
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (first, after) = rest.split_first().ok_or(refusal::HPACK_TRUNCATED)?;
    *rest = after;
    let len = integer::read(*first, 7, rest)?;
    let (bytes, after) = rest.split_at_checked(len).ok_or(refusal::HPACK_TRUNCATED)?;
    *rest = after;
    if first & 0x80 == 0 {
        out.extend_from_slice(bytes);
    } else if !huffman::decode(bytes, out) {
        return Err(refusal::HPACK_HUFFMAN);
    }
    Ok(())
}
