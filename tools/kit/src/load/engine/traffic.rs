//! Connections and what goes over them.

use ring::{Buf, Connect, Driver, Nanos, Size, Tag};

use super::{
    super::{clock::now, codec::Read, error::Failure, secure::Secure},
    Engine, REST, counts_of,
    link::{Flight, State},
};

/// Answers from so many bytes on are received into large buffers.
const LARGE_FROM_BYTES: u64 = 16 * 1024;
/// Bytes that may come before it is looked again at which buffers fit.
const SMALL_BUDGET: usize = 256 * 1024;
const LARGE_BUDGET: usize = 16 << 20;
/// Bytes of one connection that are handed over to the driver and not yet to the kernel.
const WINDOW_BYTES: usize = 256 * 1024;
/// Pieces of one connection that are sent before others have their turn.
const PIECES_PER_TURN: usize = 4;
/// The first piece of a numbered text is a copy of this size at the most.
const NUMBERED_BYTES: usize = 4 * 1024;

impl<D: Driver> Engine<D> {
    /// Begins a slot's request; its connection is opened first where there is none.
    pub(super) fn begin(&mut self, slot: usize, due: Nanos, now: Nanos) {
        let phase = self.phase();
        let begun = if self.schedule.is_open() { due } else { now };
        let Some(flight) = self.flights.get_mut(slot) else { return };
        *flight = Some(Flight { since: now, begun, phase });
        self.busy += 1;
        let index = slot % self.links.len().max(1);
        if let Some(codec) = self.codec.streams() {
            codec.ask(index, slot);
            return self.mark(index);
        }
        let Some(link) = self.links.get_mut(index) else { return };
        link.since = now;
        match link.state {
            State::Ready => self.send(index),
            _ => self.open(index),
        }
    }

    pub(super) fn open(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let now = now();
        let deadline = now.after(self.plan.spec.timeout);
        let connect = Connect { to: self.plan.spec.target, from: None, deadline, keepalive: None };
        (link.state, link.since) = (State::Connecting, now);
        self.opening += 1;
        match self.driver.connect(&connect, Tag(index as u64)) {
            Ok(socket) => {
                link.socket = Some(socket);
                self.totals.connects += 1;
            }
            Err(error) => self.lose(index, &Failure::Connect(error.kind())),
        }
    }

    pub(super) fn connected(&mut self, index: usize) {
        if let Some(codec) = self.codec.streams() {
            // The server may be the first to speak.
            codec.open(index);
        }
        self.arm(index);
        let Some(link) = self.links.get_mut(index) else { return };
        let Some(context) = &self.plan.tls else { return self.ready(index) };
        link.state = State::Securing;
        match Secure::new(context) {
            Ok(secure) => {
                link.secure = Some(Box::new(secure));
                self.flush(index);
            }
            Err(failure) => self.lose(index, &failure),
        }
    }

    /// Has bytes received, into buffers that fit the answers seen so far.
    pub(super) fn arm(&mut self, index: usize) {
        let Some(socket) = self.links.get(index).and_then(|link| link.socket) else { return };
        let is_large = self.codec.answer_bytes() >= LARGE_FROM_BYTES;
        let (budget, size) =
            if is_large { (LARGE_BUDGET, Size::Large) } else { (SMALL_BUDGET, Size::Small) };
        self.driver.recv(socket, budget, size);
    }

    /// The connection can be used.
    fn ready(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let is_other = link.secure.as_ref().is_some_and(|secure| !secure.speaks_http2());
        let has_streams = self.codec.streams().is_some();
        if has_streams && is_other {
            return self.lose(index, &Failure::NoHttp2);
        }
        self.opening -= 1;
        link.state = State::Ready;
        if has_streams {
            // At once: whoever closes at once has closed on requests.
            self.look_after(index);
        } else if self.flights.get(index).is_some_and(Option::is_some) {
            self.send(index);
        }
    }

    fn send(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        (link.state, link.sent) = (State::Busy, 0);
        self.codec.begin(index);
        self.push(index);
    }

    /// Hands on what is left of the request, as much as is good at a time.
    pub(super) fn push(&mut self, index: usize) {
        for _ in 0..PIECES_PER_TURN {
            let Some(link) = self.links.get(index) else { return };
            let Some(socket) = link.socket.filter(|_| link.state == State::Busy) else { return };
            if link.sent >= self.source.len || self.driver.unsent(socket) >= WINDOW_BYTES {
                return;
            }
            let pushed = self.piece(index, link.sent).and_then(|piece| self.pass(index, piece));
            if let Err(failure) = pushed {
                return self.lose(index, &failure);
            }
        }
    }

    /// The request's bytes from this offset on.
    fn piece(&self, index: usize, offset: u64) -> Result<Buf, Failure> {
        let whole = self.source.at(offset);
        let Some(number) = self.codec.number(index).filter(|_| offset == 0) else {
            return Ok(whole);
        };
        let len = whole.len().min(NUMBERED_BYTES);
        let mut piece = self.driver.pool().take(len).ok_or(Failure::Buffers)?;
        piece.extend(whole.get(..len).unwrap_or_default());
        piece.iter_mut().zip(number).for_each(|(byte, digit)| *byte = digit);
        Ok(piece.freeze())
    }

    fn pass(&mut self, index: usize, piece: Buf) -> Result<(), Failure> {
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        let Some(socket) = link.socket else { return Ok(()) };
        link.sent += piece.len() as u64;
        match &mut link.secure {
            None => self.driver.send(socket, piece),
            Some(secure) => secure.seal(&mut self.driver, socket, &piece)?,
        }
        Ok(())
    }

    /// Sends what TLS has to say.
    fn flush(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let (Some(secure), Some(socket)) = (&mut link.secure, link.socket) else { return };
        if let Err(failure) = secure.flush(&mut self.scratch, &mut self.driver, socket) {
            self.lose(index, &failure);
        }
    }

    pub(super) fn receive(&mut self, index: usize, bytes: Buf) {
        let Some(link) = self.links.get_mut(index) else { return };
        if link.secure.is_some() {
            return self.receive_secure(index, bytes);
        }
        let listens = link.state == State::Busy || self.codec.streams().is_some();
        let read = match listens {
            true => self.codec.read(index, &bytes),
            false => Err(Failure::Unasked),
        };
        self.heard(index, read);
    }

    fn receive_secure(&mut self, index: usize, mut bytes: Buf) {
        let Some(link) = self.links.get_mut(index) else { return };
        let Some(secure) = &mut link.secure else { return };
        let codec = &mut self.codec;
        let listens = link.state == State::Busy || codec.streams().is_some();
        let mut read = Read::Partial;
        let opened = secure.open(&mut self.scratch, &mut bytes, |plain| {
            read = match read {
                Read::Partial if listens => codec.read(index, plain)?,
                Read::Partial => return Err(Failure::Unasked),
                Read::Whole { .. } => return Err(Failure::BytesBehind),
            };
            Ok(())
        });
        let is_secured = link.state == State::Securing && !secure.is_handshaking();
        // The last word, be it an alert that says why.
        self.flush(index);
        if is_secured && opened.is_ok() {
            self.ready(index);
        }
        let closed = matches!(opened, Ok(true));
        self.heard(index, opened.map(|_| read));
        if closed {
            self.ended(index);
        }
    }

    /// The server has closed its side.
    pub(super) fn ended(&mut self, index: usize) {
        let Some(link) = self.links.get(index) else { return };
        match link.state {
            State::Busy => {
                let read = self.codec.end(index);
                self.heard(index, read);
            }
            State::Securing => self.lose(index, &Failure::Closed),
            State::Ready if self.codec.streams().is_some() => self.ended_with_streams(index),
            // Nobody waits for anything: the next request opens it again.
            State::Closed | State::Connecting | State::Ready => self.hang_up(index),
        }
    }

    fn heard(&mut self, index: usize, read: Result<Read, Failure>) {
        if self.codec.streams().is_some() {
            self.settle_streams(index);
        }
        match read {
            Ok(Read::Partial) => {}
            Ok(Read::Whole { keep }) => self.succeed(index, keep),
            Err(failure) => self.lose(index, &failure),
        }
    }

    /// The answer is whole, and right.
    fn succeed(&mut self, index: usize, keep: bool) {
        let Some(link) = self.links.get_mut(index) else { return };
        // What the server did not wait for cannot be taken back.
        let keep = keep && self.plan.spec.keep_alive && link.sent >= self.source.len;
        if !self.answered(index, now()) {
            return;
        }
        match self.links.get_mut(index).filter(|_| keep) {
            Some(link) => link.state = State::Ready,
            None => self.hang_up(index),
        }
        self.free(index);
    }

    /// A slot can take its next request, or can once there is a new connection: what it is asked
    /// over one that takes no more would have to wait for the other streams' ends.
    pub(super) fn free(&mut self, slot: usize) {
        let index = slot % self.links.len().max(1);
        match self.codec.streams() {
            Some(codec) if codec.is_leaving(index) => codec.park(index, slot),
            _ => self.idle.push_back(slot),
        }
    }

    /// Counts a slot's right answer, which had come by then. False: nobody had asked.
    pub(super) fn answered(&mut self, slot: usize, now: Nanos) -> bool {
        let Some(flight) = self.flights.get_mut(slot).and_then(Option::take) else { return false };
        self.busy -= 1;
        self.totals.done += 1;
        if let Some(counts) = counts_of(&mut self.phases, flight.phase) {
            counts.right(now.0.saturating_sub(flight.begun.0));
            self.codec.count(slot, counts);
        }
        true
    }

    /// The connection is of no use any more, and the requests that it has, if any, have failed.
    pub(super) fn lose(&mut self, index: usize, failure: &Failure) {
        let Some(link) = self.links.get_mut(index) else { return };
        let state = std::mem::take(&mut link.state);
        let cannot_connect = matches!(state, State::Connecting | State::Securing);
        if cannot_connect {
            self.opening -= 1;
        }
        let secure = link.secure.take();
        if let Some(socket) = link.socket.take() {
            // A handshake that was refused ends by an alert, which a reset might overtake.
            match secure.is_some() && state == State::Securing {
                true => self.driver.close(socket),
                false => self.driver.reset(socket),
            }
        }
        let failure = self.close_streams(index).map_or_else(|| failure.clone(), Failure::GoneAway);
        let until = (cannot_connect && !self.schedule.is_open()).then(|| now().after(REST));
        let mut had_one = false;
        for slot in (index..self.flights.len()).step_by(self.links.len().max(1)) {
            had_one |= self.fail(slot, &failure, until);
        }
        if !had_one && failure == Failure::Unasked {
            self.count_failed(self.phase(), &failure);
        }
    }

    /// A slot's request, if it has one, has failed; the slot is left alone until then.
    pub(super) fn fail(&mut self, slot: usize, failure: &Failure, until: Option<Nanos>) -> bool {
        let Some(flight) = self.flights.get_mut(slot).and_then(Option::take) else { return false };
        self.busy -= 1;
        self.count_failed(flight.phase, failure);
        match until {
            Some(until) => self.resting.push_back((until, slot)),
            None => self.free(slot),
        }
        true
    }

    /// Closes a connection in order, as far as that is wanted.
    pub(super) fn hang_up(&mut self, index: usize) {
        self.unpark_streams(index);
        let Some(link) = self.links.get_mut(index) else { return };
        link.state = State::Closed;
        let secure = link.secure.take();
        let Some(socket) = link.socket.take() else { return };
        if self.plan.spec.reset {
            return self.driver.reset(socket);
        }
        if let Some(mut secure) = secure {
            secure.close();
            // Whoever does not hear a good-bye sees the end of the connection.
            let _ = secure.flush(&mut self.scratch, &mut self.driver, socket);
        }
        self.driver.close(socket);
    }
}
