//! The static table and a dynamic one (RFC 7541, 2.3 and appendix A).

use std::collections::VecDeque;

use super::name::Name;
use crate::head::Known;

/// A field of the static table.
pub(super) struct Static {
    pub(super) name: &'static [u8],
    pub(super) value: &'static [u8],
    pub(super) class: Name,
}

const fn plain(name: &'static [u8], known: Known) -> Static {
    Static { name, value: b"", class: Name::Field(known) }
}

const fn other(name: &'static [u8]) -> Static {
    plain(name, Known::Other)
}

const fn pseudo(name: &'static [u8], value: &'static [u8], class: Name) -> Static {
    Static { name, value, class }
}

/// The static table; its first index is 1.
#[rustfmt::skip]
pub(super) const STATIC: [Static; 61] = [
    pseudo(b":authority", b"", Name::Authority),
    pseudo(b":method", b"GET", Name::Method),
    pseudo(b":method", b"POST", Name::Method),
    pseudo(b":path", b"/", Name::Path),
    pseudo(b":path", b"/index.html", Name::Path),
    pseudo(b":scheme", b"http", Name::Scheme),
    pseudo(b":scheme", b"https", Name::Scheme),
    pseudo(b":status", b"200", Name::Status),
    pseudo(b":status", b"204", Name::Status),
    pseudo(b":status", b"206", Name::Status),
    pseudo(b":status", b"304", Name::Status),
    pseudo(b":status", b"400", Name::Status),
    pseudo(b":status", b"404", Name::Status),
    pseudo(b":status", b"500", Name::Status),
    other(b"accept-charset"),
    Static {
        name: b"accept-encoding",
        value: b"gzip, deflate",
        class: Name::Field(Known::Other),
    },
    other(b"accept-language"),
    other(b"accept-ranges"),
    plain(b"accept", Known::Accept),
    other(b"access-control-allow-origin"),
    other(b"age"),
    other(b"allow"),
    plain(b"authorization", Known::Authorization),
    other(b"cache-control"),
    other(b"content-disposition"),
    other(b"content-encoding"),
    other(b"content-language"),
    plain(b"content-length", Known::ContentLength),
    other(b"content-location"),
    other(b"content-range"),
    plain(b"content-type", Known::ContentType),
    plain(b"cookie", Known::Cookie),
    plain(b"date", Known::Date),
    other(b"etag"),
    plain(b"expect", Known::Expect),
    other(b"expires"),
    other(b"from"),
    plain(b"host", Known::Host),
    other(b"if-match"),
    other(b"if-modified-since"),
    other(b"if-none-match"),
    other(b"if-range"),
    other(b"if-unmodified-since"),
    other(b"last-modified"),
    other(b"link"),
    other(b"location"),
    other(b"max-forwards"),
    other(b"proxy-authenticate"),
    other(b"proxy-authorization"),
    other(b"range"),
    other(b"referer"),
    other(b"refresh"),
    other(b"retry-after"),
    plain(b"server", Known::Server),
    other(b"set-cookie"),
    other(b"strict-transport-security"),
    plain(b"transfer-encoding", Known::TransferEncoding),
    plain(b"user-agent", Known::UserAgent),
    other(b"vary"),
    plain(b"via", Known::Via),
    other(b"www-authenticate"),
];

/// The field of an index of the static table.
pub(super) fn fixed(index: usize) -> Option<&'static Static> {
    static TABLE: [Static; 61] = STATIC;
    TABLE.get(index.wrapping_sub(1))
}

/// What an entry counts besides its bytes (RFC 7541, 4.1).
pub(super) const ENTRY_BYTES: usize = 32;

/// A dynamic table: the newest entry first.
///
/// The bytes of the entries stand one behind the other; what was evicted in front of them is cut
/// off when twice the table's size is reached, so that each byte is moved once on average.
#[derive(Debug, Default)]
pub(super) struct Table {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    /// How many bytes have been cut off in front, wrapping.
    cut: u32,
    size: usize,
    size_max: usize,
    /// How many entries there have been, wrapping.
    inserted: u16,
}

/// An entry of a dynamic table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Counted over all bytes there have been, wrapping.
    start: u32,
    name_len: u32,
    value_len: u32,
    pub(super) class: Name,
    /// The value holds what a value may.
    pub(super) is_sound: bool,
}

impl Entry {
    fn len(&self) -> usize {
        self.name_len as usize + self.value_len as usize
    }

    pub(super) fn name_len(&self) -> usize {
        self.name_len as usize
    }
}

impl Table {
    pub(super) fn new(size_max: usize) -> Self {
        Self { size_max, ..Self::default() }
    }

    pub(super) fn size_max(&self) -> usize {
        self.size_max
    }

    /// Sets the size, evicting what no longer fits.
    pub(super) fn resize(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.evict(size_max);
    }

    /// The entry of an index, 0 the newest: itself, and its name followed by its value.
    pub(super) fn get(&self, index: usize) -> Option<(&Entry, &[u8])> {
        let at = self.entries.len().checked_sub(index.checked_add(1)?)?;
        let entry = self.entries.get(at)?;
        let start = entry.start.wrapping_sub(self.cut) as usize;
        Some((entry, self.bytes.get(start..start.checked_add(entry.len())?)?))
    }

    /// The number of the newest entry; the first one's is 1. It wraps.
    pub(super) fn newest(&self) -> u16 {
        self.inserted
    }

    /// The index of the entry with this number, if it is still there; after many others it may be
    /// another's.
    pub(super) fn index_of(&self, number: u16) -> Option<usize> {
        let index = usize::from(self.inserted.wrapping_sub(number));
        (index < self.entries.len()).then_some(index)
    }

    /// Inserts an entry, evicting others; one that is larger than the table empties it (RFC 7541,
    /// 4.4). Says whether it is there.
    pub(super) fn insert(
        &mut self,
        name: &[u8],
        value: &[u8],
        class: Name,
        is_sound: bool,
    ) -> bool {
        let len = name.len() + value.len();
        let Some(left) = self.size_max.checked_sub(len + ENTRY_BYTES) else {
            self.evict(0);
            return false;
        };
        self.evict(left);
        self.cut_off(len);
        self.entries.push_back(Entry {
            start: self.cut.wrapping_add(self.bytes.len() as u32),
            name_len: name.len() as u32,
            value_len: value.len() as u32,
            class,
            is_sound,
        });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += len + ENTRY_BYTES;
        self.inserted = self.inserted.wrapping_add(1);
        true
    }

    fn evict(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.entries.pop_front()
        {
            self.size -= oldest.len() + ENTRY_BYTES;
        }
    }

    /// Makes room for so many bytes more.
    fn cut_off(&mut self, len: usize) {
        if self.bytes.len() + len <= 2 * self.size_max {
            return;
        }
        let all = self.bytes.len();
        let dead = self
            .entries
            .front()
            .map_or(all, |oldest| (oldest.start.wrapping_sub(self.cut) as usize).min(all));
        self.bytes.drain(..dead);
        self.cut = self.cut.wrapping_add(dead as u32);
    }
}
