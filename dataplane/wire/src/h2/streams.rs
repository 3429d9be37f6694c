//! The open streams of a connection.
//!
//! Only one side opens streams, as pushed ones are refused, and their identifiers grow: the table
//! is sorted by itself, and nothing a peer chooses makes a look-up slow.

use super::flow::{ReceiveWindow, SendWindow};

/// How far one direction of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The head is still to come.
    Head,
    /// The body, or trailers, are.
    Body,
    /// It has ended.
    Done,
}

/// An open stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// The caller's own mark.
    pub(super) user: u64,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    /// What must still come of the body, where `content-length` says so.
    pub(super) left: Option<u64>,
    /// What the peer sends.
    pub(super) theirs: Side,
    /// What we send.
    pub(super) ours: Side,
    pub(super) request: Request,
    /// Less could be sent than was wanted.
    pub(super) is_blocked: bool,
}

/// What matters of a request for its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// By `:protocol`.
    pub(super) is_upgrade: bool,
}

impl Stream {
    pub(super) fn is_done(&self) -> bool {
        self.theirs == Side::Done && self.ours == Side::Done
    }
}

/// The open streams by their identifiers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Identifiers in order, and where their streams stand.
    index: Vec<(u32, u32)>,
    slots: Vec<Stream>,
    free: Vec<u32>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The open stream with the highest identifier.
    pub(super) fn last(&self) -> Option<u32> {
        self.index.last().map(|(id, _)| *id)
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.index.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn slot(&self, id: u32) -> Option<usize> {
        self.index.get(self.place(id)?).map(|(_, slot)| *slot as usize)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.slots.get(self.slot(id)?)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let slot = self.slot(id)?;
        self.slots.get_mut(slot)
    }

    /// Adds a stream with an identifier above all others.
    pub(super) fn push(&mut self, stream: Stream) {
        debug_assert!(self.last().is_none_or(|last| last < stream.id));
        let free = self.free.pop();
        let slot = match free.and_then(|slot| self.slots.get_mut(slot as usize)) {
            Some(place) => {
                *place = stream;
                free.unwrap_or_default()
            }
            None => {
                self.slots.push(stream);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.push((stream.id, slot));
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let (_, slot) = self.index.remove(self.place(id)?);
        self.free.push(slot);
        self.slots.get(slot as usize).copied()
    }

    /// All streams by their identifiers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.index.iter().filter_map(|(_, slot)| self.slots.get(*slot as usize))
    }

    /// All streams, in no order.
    pub(super) fn each(&mut self, mut change: impl FnMut(&mut Stream)) {
        for (_, slot) in &self.index {
            if let Some(stream) = self.slots.get_mut(*slot as usize) {
                change(stream);
            }
        }
    }

    /// The first stream behind this identifier, in a circle, for which `is_it` says so.
    pub(super) fn next(&self, after: u32, is_it: impl Fn(&Stream) -> bool) -> Option<u32> {
        let start = self.index.partition_point(|(id, _)| *id <= after);
        let (before, behind) = self.index.split_at_checked(start)?;
        let mut circle = behind.iter().chain(before);
        circle
            .find(|(_, slot)| self.slots.get(*slot as usize).is_some_and(&is_it))
            .map(|(id, _)| *id)
    }
}

/// The last `N` streams that have ended in some way.
#[derive(Debug, Default)]
pub(super) struct Remembered<const N: usize> {
    ids: Vec<u32>,
    next: usize,
}

impl<const N: usize> Remembered<N> {
    pub(super) fn push(&mut self, id: u32) {
        if self.ids.len() < N {
            self.ids.push(id);
        } else if let Some(place) = self.ids.get_mut(self.next) {
            *place = id;
            self.next = (self.next + 1) % N;
        }
    }

    /// Others may have been forgotten.
    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= N
    }

    pub(super) fn has(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}
