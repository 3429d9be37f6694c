//! What goes back on a client's connection.

use config::snapshot::Point;
use ring::driver::Driver;
use ring::{Buf, Key};
use wire::h2::{Connection, ErrorCode};
use wire::head::{Framing, Known};

use super::{Http2Side, Returning, key_of};
use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::encode::{Piece, SMALL_CHUNK};
use crate::limits::{REST_OF_REQUEST, SPARE_RETURNING_MAX, TURN_FRAMES};
use crate::serving::Asker;
use crate::transport::{Fault, Transport};
use crate::worker::Worker;

/// How far a stream's turn has brought it.
enum Turn {
    /// It can go on in its next turn.
    More,
    /// It waits for bytes, or for its window.
    Waits,
    /// The answer has been sent whole, or nobody wants it.
    Over,
}

impl<D: Driver> Worker<D> {
    /// Sends the response head in `io.head`.
    pub(crate) fn send_head_h2(&mut self, to: Asker) {
        let Some(stream) = to.stream.and_then(|key| self.streams.get_mut(key)) else { return };
        let Some(down) = self.downs.get_mut(to.down) else { return };
        let (Some(returning), DownState::Http2(two)) = (&mut stream.returning, &mut down.state)
        else {
            return;
        };
        let head = &mut self.io.head;
        if head.framing == Framing::Length(0) && head.value(Known::ContentLength).is_none() {
            // HTTP/1.1 has to be told that there is no body.
            head.framing = Framing::None;
        }
        let end = matches!(head.framing, Framing::None | Framing::Length(0));
        // A stream that is not open any more ends in its next turn.
        let _ = two.connection.send_response(returning.id, head, end);
        (returning.is_answered, returning.is_head_last) = (true, end);
        returning.whole_by = None;
        stream.keep_response(head, self.io.driver.now());
    }

    /// Bytes of an answer's body: they wait for their turn.
    pub(crate) fn send_down_h2(&mut self, to: Asker, piece: Piece) {
        let Some(key) = to.stream else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Piece::Data(bytes) = &piece {
            stream.note_sent(bytes.len());
        }
        let Some(returning) = &mut stream.returning else { return };
        let kept = match piece {
            Piece::End => {
                returning.is_ended = true;
                Ok(())
            }
            // To HEAD there is no body, and behind the end nothing.
            Piece::Data(_) if returning.is_head_last || returning.is_ended => Ok(()),
            Piece::Data(bytes) => {
                returning.waiting_bytes += bytes.len();
                returning.waiting.push(self.io.driver.pool(), bytes)
            }
        };
        if kept.is_err() {
            self.io.counters.count(Counter::DownstreamOverflow);
            return self.break_off(key);
        }
        if self.list(to.down, key) {
            self.ready.push(to.down);
        }
    }

    /// The answer is complete: what is left of it goes as the client reads.
    pub(crate) fn end_exchange_h2(&mut self, to: Asker) {
        let Some(key) = to.stream else { return };
        if self.streams.get(key).is_some_and(|stream| !stream.is_response_done) {
            self.leave_up(key);
        }
        self.uncount(key);
        if let Some(stream) = self.streams.get_mut(key) {
            (stream.deadline, stream.try_deadline, stream.retry_at) = (None, None, None);
            stream.active_at = self.io.driver.now();
            stream.reach(Point::ResponseEnd, stream.active_at);
            self.set_alarm(key);
        }
    }

    /// Half an answer cannot be taken back; the client must see that it is half. After a whole one
    /// what is left of the request is not wanted.
    pub(crate) fn break_off(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else { return };
        let Some(returning) = &stream.returning else { return };
        let (down, id) = (stream.down, returning.id);
        let error = if returning.is_over { ErrorCode::NoError } else { ErrorCode::InternalError };
        if let Some(Down { state: DownState::Http2(two), .. }) = self.downs.get_mut(down) {
            two.connection.reset(id, error);
        }
        self.abandon(key);
    }

    /// The stream has something to do, or its connection has.
    pub(crate) fn wake(&mut self, down: Key, stream: Key) {
        self.list(down, stream);
        self.ready.push(down);
    }

    /// The upstream of this stream is not read from before its client has read.
    pub(crate) fn starve(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let down = stream.down;
        if let Some(returning) = &mut stream.returning {
            returning.is_starving = true;
            self.list(down, key);
        }
    }

    /// Gives the stream a turn. False: it has one already, or does not speak HTTP/2.
    pub(super) fn list(&mut self, down: Key, key: Key) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return false };
        let Some(returning) = stream.returning.as_mut().filter(|r| !r.is_listed) else {
            return false;
        };
        let Some(Down { state: DownState::Http2(two), .. }) = self.downs.get_mut(down) else {
            return false;
        };
        returning.is_listed = true;
        two.pending.push(key);
        true
    }

    /// Gives a turn to all whom a window has kept waiting.
    pub(super) fn list_ready(&mut self, key: Key) {
        while let Some(Down { state: DownState::Http2(two), .. }) = self.downs.get_mut(key)
            && let Some(ready) = two.connection.next_ready()
        {
            if let Some(stream) = key_of(ready.user) {
                self.list(key, stream);
            }
        }
    }

    /// Turns, until nobody has anything to do or the socket takes no more.
    pub(super) fn pump(&mut self, key: Key) {
        loop {
            let Some(down) = self.downs.get_mut(key) else { return };
            let is_congested = down.io.is_congested(&self.io.driver);
            let DownState::Http2(two) = &mut down.state else { return };
            if two.pending.is_empty() || is_congested {
                return;
            }
            std::mem::swap(&mut two.pending, &mut self.turns);
            while let Some(stream) = self.turns.pop() {
                self.take_turn(key, stream);
            }
        }
    }

    fn take_turn(&mut self, key: Key, stream_key: Key) {
        self.settle_request(key, stream_key);
        let Some(stream) = self.streams.get_mut(stream_key) else { return };
        let Some(returning) = &mut stream.returning else { return };
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Http2(two) = &mut down.state else { return };
        returning.is_listed = false;
        let before = returning.waiting_bytes;
        let turn = two.send(returning, &mut down.io, &mut self.io.driver);
        if returning.waiting_bytes < before {
            stream.active_at = self.io.driver.now();
        }
        let owes = stream.up_debt > 0;
        let feeds = returning.is_starving && !returning.is_full(self.io.driver.pool());
        if owes {
            self.settle_response(stream_key);
        }
        let Some(stream) = self.streams.get_mut(stream_key) else { return };
        let Some(returning) = &mut stream.returning else { return };
        match turn {
            Ok(Turn::Over) => self.finish_h2(stream_key),
            Ok(Turn::More) => {
                self.list(key, stream_key);
            }
            Ok(Turn::Waits) if feeds => {
                returning.is_starving = false;
                if let Some(up) = stream.up {
                    self.rearm_up(up);
                }
            }
            Ok(Turn::Waits) => {}
            Err(_) => {
                self.io.counters.count(Counter::DownstreamOverflow);
                self.abort_down(key);
            }
        }
    }

    /// The answer is over. A client that is still sending its request may do so for a moment: not
    /// every one takes a reset for what it is (RFC 9113, 8.1), and few bodies last longer.
    fn finish_h2(&mut self, key: Key) {
        let at = self.io.driver.now().after(REST_OF_REQUEST);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(returning) = &mut stream.returning else { return };
        if returning.is_whole {
            return self.abandon(key);
        }
        if !std::mem::replace(&mut returning.is_over, true) {
            returning.whole_by = Some(at);
            self.set_alarm(key);
        }
    }

    /// Sends what the codec has to say. False: the connection is closed.
    pub(super) fn flush_h2(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let is_congested = down.io.is_congested(&self.io.driver);
        let DownState::Http2(two) = &mut down.state else { return false };
        let ends = two.connection.failure().is_some() || two.connection.is_drained();
        if is_congested && !ends {
            // It gathers in the codec, which bounds it.
            return true;
        }
        if flush(&mut down.io, &mut self.io.driver, &mut two.connection).is_err() {
            self.io.counters.count(Counter::DownstreamOverflow);
            self.abort_down(key);
            return false;
        }
        if ends {
            self.close_down(key);
        }
        !ends
    }

    /// The stream is gone: its client may send as much again, and its room is kept for others.
    pub(crate) fn settle_returning(&mut self, down: Key, mut returning: Box<Returning>) {
        if let Some(Down { state: DownState::Http2(two), .. }) = self.downs.get_mut(down) {
            two.owed = two.owed.saturating_sub(returning.debt);
            if two.connection.open_streams() == 0 {
                two.idle_since = self.io.driver.now();
            }
            self.ready.push(down);
        }
        if self.spare_returning.len() < SPARE_RETURNING_MAX {
            returning.clear();
            self.spare_returning.push(returning);
        }
    }

    /// The connection is gone, and all its streams with it.
    pub(crate) fn abandon_all(&mut self, two: &mut Http2Side) {
        two.pending.clear();
        two.pending.extend(two.connection.handles().filter_map(|handle| key_of(handle.user)));
        while let Some(stream) = two.pending.pop() {
            self.abandon(stream);
        }
    }
}

impl Http2Side {
    /// The requests that are open.
    pub(crate) fn streams(&self) -> impl Iterator<Item = Key> {
        self.connection.handles().filter_map(|handle| key_of(handle.user))
    }

    /// A stream's turn.
    fn send<D: Driver>(
        &mut self,
        returning: &mut Returning,
        io: &mut Transport,
        driver: &mut D,
    ) -> Result<Turn, Fault> {
        for _ in 0..TURN_FRAMES {
            if io.is_congested(driver) {
                return Ok(Turn::More);
            }
            let Some(mut bytes) = returning.waiting.pop() else { return Ok(self.end(returning)) };
            let is_last =
                returning.is_ended && returning.waiting.is_empty() && !returning.has_trailers;
            let sent = self.connection.send_data(returning.id, bytes.len(), is_last);
            let Ok(sent) = sent else { return Ok(Turn::Over) };
            let piece = bytes.split_to(sent.bytes);
            returning.waiting.put_back(bytes);
            if sent.bytes == 0 {
                return Ok(Turn::Waits);
            }
            returning.waiting_bytes = returning.waiting_bytes.saturating_sub(piece.len());
            send_frame(io, driver, &mut self.connection, piece)?;
            if sent.end {
                return Ok(Turn::Over);
            }
        }
        Ok(Turn::More)
    }

    /// All that was given has left.
    fn end(&mut self, returning: &Returning) -> Turn {
        if !returning.is_ended {
            return Turn::Waits;
        }
        // A stream that is not open has nobody to tell.
        let _ = match (returning.is_head_last, returning.has_trailers) {
            (true, _) => Ok(()),
            (false, true) => self.connection.send_trailers(returning.id, &returning.trailers),
            (false, false) => self.connection.send_data(returning.id, 0, true).map(|_| ()),
        };
        Turn::Over
    }
}

/// Sends the output, and right behind it these bytes, which its last frame announces. Few bytes are
/// copied: one buffer costs less than two.
pub(crate) fn send_frame<D: Driver>(
    io: &mut Transport,
    driver: &mut D,
    connection: &mut Connection,
    bytes: Buf,
) -> Result<(), Fault> {
    let room = connection.output().len() + bytes.len();
    if room > 2 * SMALL_CHUNK {
        flush(io, driver, connection)?;
        return io.send(driver, bytes);
    }
    let mut out = driver.pool().take(room).ok_or(Fault::Memory)?;
    out.extend(connection.output());
    out.extend(&bytes);
    connection.clear_output();
    io.send(driver, out.freeze())
}

/// Sends the output.
pub(crate) fn flush<D: Driver>(
    io: &mut Transport,
    driver: &mut D,
    connection: &mut Connection,
) -> Result<(), Fault> {
    if connection.output().is_empty() {
        return Ok(());
    }
    for piece in connection.output().chunks(16 * SMALL_CHUNK) {
        let mut out = driver.pool().take(piece.len()).ok_or(Fault::Memory)?;
        out.extend(piece);
        io.send(driver, out.freeze())?;
    }
    connection.clear_output();
    Ok(())
}
