//! Connections that carry many requests at once.
//!
//! Requests that become due, windows that open and frames that are to be answered only mark their
//! connection; before the thread waits, each marked one is looked after once. So whatever a turn
//! has for a connection leaves in one piece.

use ring::{Driver, Nanos, Socket};
use wire::h2::ErrorCode;

use super::{
    super::{clock::now, codec::http2::Piece, error::Failure, source::PIECE_BYTES},
    Engine,
    link::State,
};

/// Bytes of one connection that are handed over to the driver and not yet to the kernel.
const WINDOW_BYTES: usize = 256 * 1024;
/// Pieces of a body that are smaller are copied behind their frames' heads: cheaper than a piece
/// of their own for each.
const COPIED_BYTES: usize = 4 * 1024;

impl<D: Driver> Engine<D> {
    /// Has a connection looked after before the thread waits.
    pub(super) fn mark(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        if !std::mem::replace(&mut link.is_marked, true) {
            self.marked.push(index);
        }
    }

    pub(super) fn look_after_marked(&mut self) {
        while let Some(index) = self.marked.pop() {
            if let Some(link) = self.links.get_mut(index) {
                link.is_marked = false;
            }
            self.look_after(index);
        }
    }

    /// Opens a connection that is wanted, sends what is to be sent, closes what is done with.
    pub(super) fn look_after(&mut self, index: usize) {
        let Some(link) = self.links.get(index) else { return };
        match (link.state, link.socket) {
            (State::Closed, _) => self.open_if_wanted(index),
            (State::Ready, Some(socket)) => {
                if let Err(failure) = self.send_streams(index, socket) {
                    return self.lose(index, &failure);
                }
                if self.codec.streams().is_some_and(|codec| codec.is_drained(index)) {
                    self.hang_up(index);
                    self.open_if_wanted(index);
                }
            }
            _ => {}
        }
    }

    fn open_if_wanted(&mut self, index: usize) {
        if self.codec.streams().is_some_and(|codec| codec.has_waiting(index)) {
            self.open(index);
        }
    }

    /// Begins requests that wait, and hands on as much of bodies as is good at a time.
    fn send_streams(&mut self, index: usize, socket: Socket) -> Result<(), Failure> {
        let Some(codec) = self.codec.streams() else { return Ok(()) };
        codec.start(index);
        while self.driver.unsent(socket) < WINDOW_BYTES {
            let Some(codec) = self.codec.streams() else { break };
            let Some(piece) = codec.piece(index) else { break };
            self.send_piece(index, socket, piece)?;
        }
        self.send_gathered(index, socket)
    }

    /// A body's bytes, behind what was gathered.
    fn send_piece(&mut self, index: usize, socket: Socket, piece: Piece) -> Result<(), Failure> {
        let (mut offset, mut left) = (piece.offset, piece.len);
        while left > 0 {
            let mut bytes = self.source.at(offset);
            bytes.truncate(left);
            if bytes.is_empty() {
                return Err(Failure::Buffers);
            }
            (offset, left) = (offset + bytes.len() as u64, left - bytes.len());
            if bytes.len() < COPIED_BYTES {
                if let Some(codec) = self.codec.streams() {
                    codec.out().extend_from_slice(&bytes);
                }
                continue;
            }
            self.send_gathered(index, socket)?;
            let Some(link) = self.links.get_mut(index) else { return Ok(()) };
            match &mut link.secure {
                None => self.driver.send(socket, bytes),
                Some(secure) => secure.seal(&mut self.driver, socket, &bytes)?,
            }
        }
        Ok(())
    }

    fn send_gathered(&mut self, index: usize, socket: Socket) -> Result<(), Failure> {
        let Some(codec) = self.codec.streams() else { return Ok(()) };
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        let out = codec.out();
        for piece in out.chunks(PIECE_BYTES) {
            match &mut link.secure {
                None => {
                    let mut copy = self.driver.pool().take(piece.len()).ok_or(Failure::Buffers)?;
                    copy.extend(piece);
                    self.driver.send(socket, copy.freeze());
                }
                Some(secure) => secure.seal(&mut self.driver, socket, piece)?,
            }
        }
        out.clear();
        Ok(())
    }

    /// Takes in what has become of requests by what was read.
    pub(super) fn settle_streams(&mut self, index: usize) {
        let now = now();
        if let Some(link) = self.links.get_mut(index) {
            link.since = now;
        }
        self.mark(index);
        while let Some(outcome) = self.codec.streams().and_then(|codec| codec.outcome()) {
            let slot = outcome.slot;
            match outcome.result {
                Ok(()) => self.answered_stream(index, slot, now),
                Err(failure) => drop(self.fail(slot, &failure, None)),
            }
        }
    }

    fn answered_stream(&mut self, index: usize, slot: usize, now: Nanos) {
        if !self.answered(slot, now) {
            return;
        }
        if !self.plan.spec.keep_alive {
            self.hang_up(index);
        }
        self.free(slot);
    }

    /// The server has closed its side. What had not been begun is begun anew.
    pub(super) fn ended_with_streams(&mut self, index: usize) {
        match self.codec.streams().is_some_and(|codec| codec.is_busy(index)) {
            true => self.lose(index, &Failure::Closed),
            false => {
                self.hang_up(index);
                self.mark(index);
            }
        }
    }

    /// The connection is lost, and nobody waits for it. Why its server went away, if it said so.
    pub(super) fn close_streams(&mut self, index: usize) -> Option<ErrorCode> {
        self.codec.streams()?.forget(index);
        self.unpark_streams(index)
    }

    /// The connection is gone: slots that have waited for that are idle.
    pub(super) fn unpark_streams(&mut self, index: usize) -> Option<ErrorCode> {
        let codec = self.codec.streams()?;
        while let Some(slot) = codec.unpark(index) {
            self.idle.push_back(slot);
        }
        codec.close(index)
    }

    /// Gives up requests that take too long; with them a connection over which nothing has come
    /// since, because nothing will.
    pub(super) fn look_at_streams(&mut self, now: Nanos) {
        for slot in 0..self.flights.len() {
            let Some(flight) = self.flights.get(slot).copied().flatten() else { continue };
            if now < flight.since.after(self.plan.spec.timeout) {
                continue;
            }
            let index = slot % self.links.len().max(1);
            match self.links.get(index) {
                Some(link) if link.state == State::Ready && link.since < flight.since => {
                    self.lose(index, &Failure::Timeout);
                }
                _ => {
                    if let Some(codec) = self.codec.streams() {
                        codec.give_up(index, slot);
                    }
                    self.fail(slot, &Failure::Timeout, None);
                    self.mark(index);
                }
            }
        }
    }
}
