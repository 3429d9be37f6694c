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
    /// Begins a request over a connection, which is opened first where there is none.
    pub(super) fn begin(&mut self, index: usize, due: Nanos, now: Nanos) {
        let phase = self.phase();
        let Some(link) = self.links.get_mut(index) else { return };
        let begun = if self.schedule.is_open() { due } else { now };
        link.flight = Some(Flight { begun, phase });
        link.since = now;
        self.busy += 1;
        match link.state {
            State::Ready => self.send(index),
            _ => self.open(index),
        }
    }

    pub(super) fn open(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let now = now();
        let deadline = now.after(self.plan.spec.timeout);
        let connect =
            Connect { to: self.plan.spec.target, from: None, deadline, keepalive_s: None };
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
        self.opening -= 1;
        link.state = State::Ready;
        if link.flight.is_some() {
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
        let read = match link.state {
            State::Busy => self.codec.read(index, &bytes),
            _ => Err(Failure::Unasked),
        };
        self.heard(index, read);
    }

    fn receive_secure(&mut self, index: usize, mut bytes: Buf) {
        let Some(link) = self.links.get_mut(index) else { return };
        let Some(secure) = &mut link.secure else { return };
        let (codec, is_busy) = (&mut self.codec, link.state == State::Busy);
        let mut read = Read::Partial;
        let opened = secure.open(&mut self.scratch, &mut bytes, |plain| {
            read = match read {
                Read::Partial if is_busy => codec.read(index, plain)?,
                Read::Partial => return Err(Failure::Unasked),
                Read::Whole { .. } => return Err(Failure::BytesBehind),
            };
            Ok(())
        });
        let is_secured = link.state == State::Securing && !secure.is_handshaking();
        // The last word, be it an alert that says why.
        self.flush(index);
        match opened {
            Err(failure) => self.lose(index, &failure),
            Ok(_) if is_secured => self.ready(index),
            Ok(closed) => {
                self.heard(index, Ok(read));
                if closed {
                    self.ended(index);
                }
            }
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
            // Nobody waits for anything: the next request opens it again.
            State::Closed | State::Connecting | State::Ready => self.hang_up(index),
        }
    }

    fn heard(&mut self, index: usize, read: Result<Read, Failure>) {
        match read {
            Ok(Read::Partial) => {}
            Ok(Read::Whole { keep }) => self.succeed(index, keep),
            Err(failure) => self.lose(index, &failure),
        }
    }

    /// The answer is whole, and right.
    fn succeed(&mut self, index: usize, keep: bool) {
        let Some(link) = self.links.get_mut(index) else { return };
        let Some(flight) = link.flight.take() else { return };
        // What the server did not wait for cannot be taken back.
        let keep = keep && self.plan.spec.keep_alive && link.sent >= self.source.len;
        let latency_ns = now().0.saturating_sub(flight.begun.0);
        self.busy -= 1;
        self.totals.done += 1;
        if let Some(counts) = counts_of(&mut self.phases, flight.phase) {
            counts.right(latency_ns);
            self.codec.count(index, counts);
        }
        if keep {
            link.state = State::Ready;
        } else {
            self.hang_up(index);
        }
        self.idle.push_back(index);
    }

    /// The connection is of no use any more, and the request that it has, if any, has failed.
    pub(super) fn lose(&mut self, index: usize, failure: &Failure) {
        let Some(link) = self.links.get_mut(index) else { return };
        let (state, flight) = (link.state, link.flight.take());
        if matches!(state, State::Connecting | State::Securing) {
            self.opening -= 1;
        }
        link.state = State::Closed;
        let secure = link.secure.take();
        if let Some(socket) = link.socket.take() {
            // A handshake that was refused ends by an alert, which a reset might overtake.
            match secure.is_some() && state == State::Securing {
                true => self.driver.close(socket),
                false => self.driver.reset(socket),
            }
        }
        if let Some(flight) = flight {
            self.busy -= 1;
            self.count_failed(flight.phase, failure);
            let cannot_connect = matches!(state, State::Connecting | State::Securing);
            if cannot_connect && !self.schedule.is_open() {
                self.resting.push_back((now().after(REST), index));
            } else {
                self.idle.push_back(index);
            }
        } else if *failure == Failure::Unasked {
            self.count_failed(self.phase(), failure);
        }
    }

    /// Closes a connection in order, as far as that is wanted.
    pub(super) fn hang_up(&mut self, index: usize) {
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
