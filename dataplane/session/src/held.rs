//! Bytes that have come and cannot be used yet, in order.
//!
//! A received buffer is held whole by a single byte of it. A peer that sends single bytes to a
//! connection that must wait would hold all of a worker's buffers; from a few pieces on short ones
//! are therefore copied together, and longer ones out of buffers that are much too large for them.

use ring::{Buf, BufMut, Pieces, Pool};

use crate::limits::{HELD_PIECES, PIECE_SHORT};
use crate::share;
use crate::transport::Fault;

/// The bytes of one connection, or of one request's body.
#[derive(Default)]
pub(crate) struct Held {
    pieces: Pieces,
    /// What was copied together and comes behind the pieces.
    tail: Option<Box<BufMut>>,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_none()
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        let tail = self.tail.as_ref().map_or(0, |tail| tail.len());
        self.pieces.iter().map(|piece| piece.len()).sum::<usize>() + tail
    }

    /// Adds these bytes at the end.
    pub(crate) fn push(&mut self, pool: &Pool, bytes: Buf) -> Result<(), Fault> {
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.remaining() >= bytes.len()) {
            tail.extend(&bytes);
            return Ok(());
        }
        self.pieces.extend(self.tail.take().map(|tail| tail.freeze()));
        if self.pieces.len() < HELD_PIECES {
            self.pieces.push_back(bytes);
        } else if bytes.len() <= PIECE_SHORT {
            let mut tail = pool.take(2 * PIECE_SHORT).ok_or(Fault::Memory)?;
            tail.extend(&bytes);
            self.tail = Some(Box::new(tail));
        } else {
            self.pieces.push_back(share::fitted(pool, bytes));
        }
        Ok(())
    }

    /// The first piece.
    pub(crate) fn front_mut(&mut self) -> Option<&mut Buf> {
        if self.pieces.is_empty() {
            self.pieces.extend(self.tail.take().map(|tail| tail.freeze()));
        }
        self.pieces.front_mut()
    }

    /// Takes the first piece out.
    pub(crate) fn pop(&mut self) -> Option<Buf> {
        self.pieces.pop_front().or_else(|| self.tail.take().map(|tail| tail.freeze()))
    }

    /// Puts back what is left of a piece that was taken out.
    pub(crate) fn put_back(&mut self, bytes: Buf) {
        if !bytes.is_empty() {
            self.pieces.push_front(bytes);
        }
    }

    /// The same bytes once more.
    pub(crate) fn again(&self, pool: &Pool) -> Result<Self, Fault> {
        let mut again = Self::default();
        again.pieces.extend(self.pieces.iter().cloned());
        if let Some(tail) = &self.tail {
            let mut copy = pool.take(2 * PIECE_SHORT).ok_or(Fault::Memory)?;
            copy.extend(tail);
            again.tail = Some(Box::new(copy));
        }
        Ok(again)
    }

    /// Drops so many bytes from the front.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while count > 0
            && let Some(mut bytes) = self.pop()
        {
            let taken = count.min(bytes.len());
            bytes.advance(taken);
            count -= taken;
            self.put_back(bytes);
        }
    }

    /// Appends a copy of all of it.
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>) {
        self.pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        self.tail.iter().for_each(|tail| out.extend_from_slice(tail));
    }
}
