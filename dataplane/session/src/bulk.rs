//! Long bodies of HTTP/1.1: where both sides are plain and the length is known, the kernel moves
//! them on by itself.
//!
//! The codec is told how far its body has come; not a byte of it passes through this process.

use ring::Key;
use ring::driver::{Driver, RelayEnd, Relayed};
use wire::head::Framing;

use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::encode::Piece;
use crate::limits::{FULL_READS_TO_RELAY, RELAY_BODY_MIN};
use crate::request::Phase;
use crate::transport::{Receiving, Transport};
use crate::up::{Up, UpState};
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// Hands the rest of an answer's body over to the kernel if it is worth it. `true`: it is done.
    pub(crate) fn relay_response(&mut self, key: Key) -> bool {
        let Some(up) = self.ups.get_mut(key) else { return false };
        if !flows(&up.io) {
            return false;
        }
        let Up { io, state: UpState::Http(client), .. } = up else { return false };
        let stream = self.streams.get(client.stream).filter(|stream| !stream.takes_answer());
        let Some(down) = stream.and_then(|stream| self.downs.get(stream.down)) else {
            return false;
        };
        let Some(Framing::Length(_)) = down.http().and_then(|http| http.answered) else {
            return false;
        };
        let left = client.length_left();
        left >= RELAY_BODY_MIN && begin(&mut self.io.driver, io, &down.io, left)
    }

    /// The same for a request's body.
    pub(crate) fn relay_request(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        if !flows(&down.io) || !down.held.is_empty() {
            return false;
        }
        let Down { io, state: DownState::Http(http), .. } = down else { return false };
        let Phase::Body(body) = http.phase else { return false };
        let stream = http.stream.and_then(|stream| self.streams.get_mut(stream));
        let Some(stream) = stream else { return false };
        let Some(up) = stream.up.and_then(|up| self.ups.get(up)) else { return false };
        // What is copied has to be seen.
        let is_attached = matches!(up.state, UpState::Http(_)) && stream.mirroring.is_none();
        if !is_attached || !matches!(stream.request_framing, Framing::Length(_)) {
            return false;
        }
        let left = body.length_left();
        let begun = left >= RELAY_BODY_MIN && begin(&mut self.io.driver, io, &up.io, left);
        stream.is_spent |= begun;
        begun
    }

    /// A relay of an answer has ended or run dry.
    pub(crate) fn on_relayed_response(&mut self, key: Key, relayed: Relayed) {
        self.io.counters.add(Counter::RelayedBytes, relayed.bytes);
        let now = self.io.driver.now();
        let Some(up) = self.ups.get_mut(key) else { return };
        let Up { io, state: UpState::Http(client), .. } = up else { return };
        client.passed(relayed.bytes);
        if let Some(stream) = self.streams.get_mut(client.stream) {
            stream.active_at = now;
            stream.note_sent(usize::try_from(relayed.bytes).unwrap_or(usize::MAX));
        }
        match relayed.end {
            RelayEnd::Drained => {
                io.begin_anew();
                io.arm(&mut self.io.driver);
            }
            RelayEnd::Whole => {
                io.begin_anew();
                self.on_response_done(key, true);
            }
            RelayEnd::Eof => {
                io.ended();
                self.on_up_eof(key);
            }
        }
    }

    /// A relay of a request has ended or run dry.
    pub(crate) fn on_relayed_request(&mut self, key: Key, relayed: Relayed) {
        self.io.counters.add(Counter::RelayedBytes, relayed.bytes);
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let Down { io, state: DownState::Http(http), .. } = down else { return };
        let stream = http.stream;
        if let Phase::Body(body) = &mut http.phase {
            body.passed(relayed.bytes);
        }
        if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(stream)) {
            stream.active_at = now;
            stream.note_received(usize::try_from(relayed.bytes).unwrap_or(usize::MAX));
        }
        match relayed.end {
            RelayEnd::Drained => {
                io.begin_anew();
                io.arm(&mut self.io.driver);
            }
            RelayEnd::Whole => {
                io.begin_anew();
                http.phase = Phase::Waiting;
                if let Some(stream) = stream {
                    self.send_body(stream, Piece::End);
                    self.on_request_done(stream);
                }
                self.rearm_down(key);
            }
            RelayEnd::Eof => {
                io.ended();
                self.on_request_eof(key);
            }
        }
    }

    /// The kernel has moved bytes of the stream since this was last asked.
    pub(crate) fn has_relayed(&mut self, key: Key) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return false };
        let down = self.downs.get(stream.down).map(|down| down.io.socket);
        let up = stream.up.and_then(|up| self.ups.get(up)).map(|up| up.io.socket);
        let sockets = [down, up].into_iter().flatten();
        let relayed =
            sockets.fold(0, |sum, socket| self.io.driver.relayed(socket).wrapping_add(sum));
        std::mem::replace(&mut stream.relayed_seen, relayed) != relayed
    }
}

/// So much comes at a time that the kernel moves it at less cost than copies of ours would.
pub(crate) fn flows(from: &Transport) -> bool {
    from.full_large_reads() >= FULL_READS_TO_RELAY
        && from.receiving() == Receiving::Paused
        && !from.is_secure()
}

/// The kernel moves what comes from here on, but not more than `most`. False: it does not.
pub(crate) fn begin<D: Driver>(
    driver: &mut D,
    from: &mut Transport,
    to: &Transport,
    most: u64,
) -> bool {
    let begun = !to.is_secure()
        && to.unsent(driver) == 0
        && driver.relay(from.socket, to.socket, most).is_ok();
    if begun {
        from.relaying();
    }
    begun
}
