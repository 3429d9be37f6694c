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
    /// The numbers of entries by the hash of name and value. One that is overwritten is not found,
    /// and one that is found is compared.
    by_field: [u16; SLOTS],
    /// The same by the hash of the name, for names that the static table lacks. One that finds its
    /// place taken is written out each time: were it to take the place, two names could push each
    /// other out with every message.
    by_name: [u16; NAME_SLOTS],
    /// The hashes of fields that were written as literals.
    seen: [u16; SLOTS],
}

const SLOTS: usize = 256;
const NAME_SLOTS: usize = 128;

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
            by_field: [0; SLOTS],
            by_name: [0; NAME_SLOTS],
            seen: [0; SLOTS],
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
        let number = *self.by_field.get(slot(field_hash))?;
        let index = self.table.index_of(number)?;
        let (entry, bytes) = self.table.get(index)?;
        let is_it = entry.name_len() == name.len()
            && bytes.split_at_checked(name.len()) == Some((name, value));
        is_it.then_some(STATIC_COUNT + 1 + index)
    }

    /// The index of an entry with this name, or 0, and then whether its place is free.
    fn find_name(&self, name: &[u8], name_hash: u64) -> (usize, bool) {
        let found = || {
            let number = *self.by_name.get(slot(name_hash) % NAME_SLOTS)?;
            let index = self.table.index_of(number)?;
            let (entry, bytes) = self.table.get(index)?;
            let is_it = entry.name_len() == name.len() && bytes.starts_with(name);
            Some(if is_it { STATIC_COUNT + 1 + index } else { 0 })
        };
        found().map_or((0, true), |index| (index, false))
    }

    /// Whether a field goes into the table: the first time for the name's sake, else the second.
    fn is_worth_it(&mut self, name: &[u8], value: &[u8], is_new: bool, field_hash: u64) -> bool {
        let size = name.len() + value.len() + ENTRY_BYTES;
        if size > self.table.size_max() / ENTRY_SHARE {
            return false;
        }
        let Some(seen) = self.seen.get_mut(slot(field_hash)) else { return false };
        // The upper bits are the good ones; the uppermost are the place.
        let mark = (field_hash >> 40) as u16;
        std::mem::replace(seen, mark) == mark || is_new
    }

    /// Inserts a field that can be found again, by a new name as well.
    fn insert(&mut self, name: &[u8], value: &[u8], new_name: Option<u64>, field_hash: u64) {
        if !self.table.insert(name, value, Name::Field(Known::Other), true) {
            return;
        }
        let number = self.table.newest();
        if let Some(place) = self.by_field.get_mut(slot(field_hash)) {
            *place = number;
        }
        let place = new_name.map(|hash| slot(hash) % NAME_SLOTS);
        if let Some(place) = place.and_then(|place| self.by_name.get_mut(place)) {
            *place = number;
        }
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
