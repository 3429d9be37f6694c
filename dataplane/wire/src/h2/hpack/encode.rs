//! Header blocks written field by field.

use super::hash::{hash, mix, slot};
use super::name::Name;
use super::table::{ENTRY_BYTES, STATIC, Table, fixed};
use super::{STATIC_COUNT, TABLE_BYTES_DEFAULT, huffman, integer};
use crate::head::Known;

/// The writing side of a connection's HPACK state.
///
/// What repeats is indexed: a field goes into the table when it is seen for the second time, or
/// when its name has no index yet. Values that are new with each message, such as request ids,
/// so push nothing out. What is secret never goes in (RFC 7541, 7.1.3).
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// The smallest size that was set since the last block, to be told before the current one.
    lowered_to: Option<usize>,
    /// The table's size is to be told.
    is_resized: bool,
    /// The numbers of entries by the hash of name and value.
    by_field: [Pair; FIELD_PAIRS],
    /// The same by the hash of the name, for names that the static table lacks.
    by_name: [Pair; NAME_PAIRS],
    /// Parts of the hashes of fields that were written as literals, the later one first.
    seen: [[u32; 2]; SEEN_PAIRS],
}

/// Two places for each hash. An entry that finds both taken is not made: were it to take one,
/// fields could push each other out with every message. What is found is compared, so that a number
/// whose entry is gone does no harm.
type Pair = [u16; 2];

const FIELD_PAIRS: usize = 128;
const NAME_PAIRS: usize = 64;
const SEEN_PAIRS: usize = 64;

/// How many places the static table's names have.
const SLOTS: usize = 256;

/// A table of ours is never larger, whatever the peer allows.
const TABLE_BYTES_MAX: usize = TABLE_BYTES_DEFAULT;

/// A field that would take more than this share of the table stays outside.
const ENTRY_SHARE: usize = 4;

/// The static table by the hash of the name: the index of the first entry of that name, 0 where
/// there is none; one that finds its place taken stands in the next.
const NAMES: [u8; SLOTS] = {
    let mut names = [0; SLOTS];
    let mut at = STATIC.len();
    // From the end, so that the first of equal names is the last to be put.
    while at > 0 {
        at -= 1;
        let is_first = at == 0 || !same(STATIC[at].name, STATIC[at - 1].name);
        if is_first {
            let mut place = slot(hash(STATIC[at].name));
            while names[place] != 0 {
                place = (place + 1) % SLOTS;
            }
            names[place] = at as u8 + 1;
        }
    }
    names
};

const fn same(mut left: &[u8], mut right: &[u8]) -> bool {
    while let (Some((a, more)), Some((b, rest))) = (left.split_first(), right.split_first()) {
        if *a != *b {
            return false;
        }
        (left, right) = (more, rest);
    }
    left.is_empty() && right.is_empty()
}

/// Indices of the static table.
const AUTHORITY: usize = 1;
const METHOD_GET: usize = 2;
const METHOD_POST: usize = 3;
const PATH: usize = 4;
const SCHEME_HTTP: usize = 6;
const SCHEME_HTTPS: usize = 7;
const STATUS: usize = 8;
const ACCEPT_ENCODING: usize = 16;
const AUTHORIZATION: usize = 23;
const COOKIE: usize = 32;
const PROXY_AUTHORIZATION: usize = 49;
const SET_COOKIE: usize = 55;

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(TABLE_BYTES_DEFAULT),
            lowered_to: None,
            is_resized: false,
            by_field: [[0; 2]; FIELD_PAIRS],
            by_name: [[0; 2]; NAME_PAIRS],
            seen: [[0; 2]; SEEN_PAIRS],
        }
    }

    /// The peer's settings allow a table of this size.
    pub(crate) fn set_size_limit(&mut self, limit: usize) {
        let size = limit.min(TABLE_BYTES_MAX);
        if size != self.table.size_max() {
            self.lowered_to = Some(self.lowered_to.map_or(size, |lowest| lowest.min(size)));
            self.is_resized = true;
            self.table.resize(size);
        }
    }

    /// Begins a block: tells of a new size, the smallest there was in between first.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_resized) {
            let size = self.table.size_max();
            if let Some(lowest) = self.lowered_to.take().filter(|lowest| *lowest < size) {
                integer::write(0x20, 5, lowest, out);
            }
            integer::write(0x20, 5, size, out);
        }
    }

    /// `:method`.
    pub(crate) fn method(&mut self, method: &[u8], out: &mut Vec<u8>) {
        match method {
            b"GET" => indexed(METHOD_GET, out),
            b"POST" => indexed(METHOD_POST, out),
            _ => self.put_pseudo(b":method", METHOD_GET, method, out),
        }
    }

    /// `:scheme`.
    pub(crate) fn scheme(&mut self, scheme: &[u8], out: &mut Vec<u8>) {
        match scheme {
            b"http" => indexed(SCHEME_HTTP, out),
            b"https" => indexed(SCHEME_HTTPS, out),
            _ => self.put_pseudo(b":scheme", SCHEME_HTTP, scheme, out),
        }
    }

    /// `:path`.
    pub(crate) fn path(&mut self, path: &[u8], out: &mut Vec<u8>) {
        match path {
            b"/" => indexed(PATH, out),
            _ => self.put_pseudo(b":path", PATH, path, out),
        }
    }

    /// `:authority`.
    pub(crate) fn authority(&mut self, authority: &[u8], out: &mut Vec<u8>) {
        self.put_pseudo(b":authority", AUTHORITY, authority, out);
    }

    /// `:protocol` (RFC 8441).
    pub(crate) fn protocol(&mut self, protocol: &[u8], out: &mut Vec<u8>) {
        self.put_pseudo(b":protocol", 0, protocol, out);
    }

    /// `:status`.
    pub(crate) fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match [200, 204, 206, 304, 400, 404, 500].iter().position(|known| *known == status) {
            Some(at) => indexed(STATUS + at, out),
            None => {
                let mut digits = itoa::Buffer::new();
                self.put_pseudo(b":status", STATUS, digits.format(status).as_bytes(), out);
            }
        }
    }

    /// A field that is not a pseudo one. The name must be lower case.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], is_secret: bool, out: &mut Vec<u8>) {
        let name_hash = hash(name);
        let index = static_index(name, name_hash);
        if index == ACCEPT_ENCODING && value == b"gzip, deflate" {
            return indexed(ACCEPT_ENCODING, out);
        }
        let is_secret =
            is_secret || matches!(index, AUTHORIZATION | COOKIE | PROXY_AUTHORIZATION | SET_COOKIE);
        self.put(name, name_hash, index, value, is_secret, out);
    }

    fn put_pseudo(&mut self, name: &[u8], index: usize, value: &[u8], out: &mut Vec<u8>) {
        self.put(name, hash(name), index, value, false, out);
    }

    /// Writes a field whose name has this index in the static table, 0 for none.
    fn put(
        &mut self,
        name: &[u8],
        name_hash: u64,
        static_index: usize,
        value: &[u8],
        is_secret: bool,
        out: &mut Vec<u8>,
    ) {
        let (index, is_new) = match static_index {
            0 => self.find_name(name, name_hash),
            index => (index, false),
        };
        if is_secret {
            return literal(0x10, 4, index, name, value, out);
        }
        let field_hash = mix(name_hash, hash(value));
        if let Some(index) = self.find(name, value, field_hash) {
            return indexed(index, out);
        }
        if self.is_worth_it(name, value, is_new, field_hash) {
            literal(0x40, 6, index, name, value, out);
            self.insert(name, value, is_new.then_some(name_hash), field_hash);
        } else {
            literal(0x00, 4, index, name, value, out);
        }
    }

    /// The index of an entry with this name and value.
    fn find(&self, name: &[u8], value: &[u8], field_hash: u64) -> Option<usize> {
        let pair = self.by_field.get(slot(field_hash) % FIELD_PAIRS)?;
        self.find_in(pair, name, |found| found == value)
    }

    /// The index of an entry with this name, or 0, and then whether one may be made.
    fn find_name(&self, name: &[u8], name_hash: u64) -> (usize, bool) {
        let Some(pair) = self.by_name.get(slot(name_hash) % NAME_PAIRS) else { return (0, false) };
        match self.find_in(pair, name, |_| true) {
            Some(index) => (index, false),
            None => (0, self.has_room(pair)),
        }
    }

    fn find_in(&self, pair: &Pair, name: &[u8], is_it: impl Fn(&[u8]) -> bool) -> Option<usize> {
        pair.iter().find_map(|number| {
            let index = self.table.index_of(*number)?;
            let (entry, bytes) = self.table.get(index)?;
            let (found, value) = bytes.split_at_checked(entry.name_len())?;
            (found == name && is_it(value)).then_some(STATIC_COUNT + 1 + index)
        })
    }

    /// One of these entries is gone.
    fn has_room(&self, pair: &Pair) -> bool {
        pair.iter().any(|number| self.table.index_of(*number).is_none())
    }

    /// Whether a field goes into the table: the first time for the name's sake, else the second.
    fn is_worth_it(&mut self, name: &[u8], value: &[u8], is_new: bool, field_hash: u64) -> bool {
        let size = name.len() + value.len() + ENTRY_BYTES;
        let pair = self.by_field.get(slot(field_hash) % FIELD_PAIRS);
        let fits = size <= self.table.size_max() / ENTRY_SHARE
            && pair.is_some_and(|pair| self.has_room(pair));
        let seen = self.seen.get_mut(slot(field_hash) % SEEN_PAIRS);
        let Some(seen) = seen.filter(|_| fits) else { return false };
        let mark = (field_hash >> 24) as u32;
        if seen.contains(&mark) {
            return true;
        }
        *seen = [mark, seen[0]];
        is_new
    }

    /// Inserts a field that can be found again, by a new name as well.
    fn insert(&mut self, name: &[u8], value: &[u8], new_name: Option<u64>, field_hash: u64) {
        if !self.table.insert(name, value, Name::Field(Known::Other), true) {
            return;
        }
        let number = self.table.newest();
        note(&self.table, self.by_field.get_mut(slot(field_hash) % FIELD_PAIRS), number);
        if let Some(hash) = new_name {
            note(&self.table, self.by_name.get_mut(slot(hash) % NAME_PAIRS), number);
        }
    }
}

/// Puts the number of an entry in place of one that is gone.
fn note(table: &Table, pair: Option<&mut Pair>, number: u16) {
    let mut places = pair.into_iter().flatten();
    if let Some(place) = places.find(|place| table.index_of(**place).is_none()) {
        *place = number;
    }
}

/// The index of the first entry of the static table with this name, or 0.
fn static_index(name: &[u8], name_hash: u64) -> usize {
    static TABLE: [u8; SLOTS] = NAMES;
    let mut place = slot(name_hash);
    while let Some(index) = TABLE.get(place).copied().filter(|index| *index != 0) {
        let index = usize::from(index);
        if fixed(index).is_some_and(|field| field.name == name) {
            return index;
        }
        place = (place + 1) % SLOTS;
    }
    0
}

fn indexed(index: usize, out: &mut Vec<u8>) {
    integer::write(0x80, 7, index, out);
}

fn literal(first: u8, prefix: u32, index: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    integer::write(first, prefix, index, out);
    if index == 0 {
        string(name, out);
    }
    string(value, out);
}

/// Writes a string in the shorter way.
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    let len = huffman::encoded_len(bytes);
    if len < bytes.len() {
        integer::write(0x80, 7, len, out);
        huffman::encode(bytes, out);
    } else {
        integer::write(0x00, 7, bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}
