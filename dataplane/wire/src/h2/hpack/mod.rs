//! Header compression (RFC 7541).

mod decode;
mod encode;
mod hash;
mod huffman;
mod integer;
mod name;
mod table;

pub(super) use decode::{Block, Decoder, Found};
pub(super) use encode::Encoder;
pub(super) use name::Name;
#[cfg(test)]
use name::is_value;

/// A dynamic table's size where no setting says otherwise (RFC 9113, 6.5.2).
pub(super) const TABLE_BYTES_DEFAULT: usize = 4096;

/// How many entries the static table has.
const STATIC_COUNT: usize = table::STATIC.len();

#[cfg(test)]
mod tests;
