//! What a socket has yet to send, in few pieces.
//!
//! Each piece in the ring's queue holds a whole buffer, however short it is, and the ring gives a
//! socket up whose queue has too many. A peer that reads slowly while another sends single bytes
//! must come to neither: short pieces behind many others are copied together, and longer ones out
//! of buffers that are much too large for them.

use ring::driver::{Driver, Socket};
use ring::{Buf, BufMut};

use crate::limits::{HELD_PIECES, PIECE_SHORT};
use crate::share;
use crate::transport::Fault;

/// The pieces of one socket.
#[derive(Default)]
pub(crate) struct Queue {
    /// How many the ring was given since it last had nothing to send.
    pieces: u32,
    /// Short ones that came after too many. The ring has something to send while this is here, so
    /// that [`Queue::flush`] is called when that has left.
    tail: Option<Box<BufMut>>,
    /// The last byte has been queued.
    is_finished: bool,
}

impl Queue {
    /// Queues these bytes. What comes after the end (an alert, a key update) goes nowhere.
    pub(crate) fn push<D: Driver>(
        &mut self,
        driver: &mut D,
        socket: Socket,
        bytes: Buf,
    ) -> Result<(), Fault> {
        if self.is_finished {
            return Ok(());
        }
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.remaining() >= bytes.len()) {
            tail.extend(&bytes);
            return Ok(());
        }
        self.flush(driver, socket);
        if driver.unsent(socket) == 0 {
            self.pieces = 0;
        }
        let pool = driver.pool();
        if bytes.len() <= PIECE_SHORT && self.pieces as usize >= share::queue_pieces(pool) {
            let mut tail = pool.take(2 * PIECE_SHORT).ok_or(Fault::Memory)?;
            tail.extend(&bytes);
            self.tail = Some(Box::new(tail));
            return Ok(());
        }
        let bytes =
            if self.pieces as usize >= HELD_PIECES { share::fitted(pool, bytes) } else { bytes };
        self.pieces = self.pieces.saturating_add(1);
        driver.send(socket, bytes);
        Ok(())
    }

    /// Bytes that are kept back here.
    pub(crate) fn kept(&self) -> usize {
        self.tail.as_ref().map_or(0, |tail| tail.len())
    }

    /// Gives the ring what is kept back.
    pub(crate) fn flush<D: Driver>(&mut self, driver: &mut D, socket: Socket) {
        if let Some(tail) = self.tail.take() {
            self.pieces = self.pieces.saturating_add(1);
            driver.send(socket, tail.freeze());
        }
    }

    /// Closes the sending side behind all that is queued.
    pub(crate) fn finish<D: Driver>(&mut self, driver: &mut D, socket: Socket) {
        self.flush(driver, socket);
        self.is_finished = true;
        driver.finish(socket);
    }
}
