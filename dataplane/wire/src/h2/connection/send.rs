//! What we send.

use super::{Connection, Handle, Request, Role, Side};
use crate::h2::frame::{
    self, END_STREAM, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameHead, Kind, U31_MAX, put,
};
use crate::h2::hpack::Encoder;
use crate::h2::{ErrorCode, write};
use crate::head::Head;

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The stream is not open, or our side of it has ended, or it is not the time for this.
    Closed,
    /// The connection has failed, or takes no new streams.
    GoingAway,
    /// The peer allows no more streams for now.
    TooManyStreams,
    /// Every identifier has been used: a new connection is needed.
    IdsUsedUp,
    /// The peer has not said that it understands `:protocol`.
    NoExtendedConnect,
}

/// How much of a body may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// So many bytes must follow the output, before anything else is written.
    pub bytes: usize,
    /// The body ends with them.
    pub end: bool,
}

impl Connection {
    /// Opens a stream with a request. `head.upgrade` makes it an extended CONNECT (RFC 8441).
    ///
    /// `content-length` is written from `head.framing`; fields that belong to HTTP/1.1 are left
    /// out. Without a scheme `x-forwarded-proto` tells it, or it is `http`.
    pub fn send_request(&mut self, head: &Head, end: bool, user: u64) -> Result<u32, Unsent> {
        debug_assert!(self.role == Role::Client);
        if self.failed.is_some() || self.going_away.is_some() || self.gone_away.is_some() {
            return Err(Unsent::GoingAway);
        }
        if self.next_of_ours > U31_MAX {
            return Err(Unsent::IdsUsedUp);
        }
        if self.streams.len() >= self.peer.streams_max as usize {
            return Err(Unsent::TooManyStreams);
        }
        if head.upgrade.is_some() && !self.peer.extended_connect {
            return Err(Unsent::NoExtendedConnect);
        }
        let id = self.next_of_ours;
        self.next_of_ours += 2;
        self.guard.on_stream();
        let mut stream = self.new_stream(id, Request::of(head));
        stream.user = user;
        stream.ours = if end { Side::Done } else { Side::Body };
        self.streams.push(stream);
        self.put_block(id, end, |encoder, out| write::request(encoder, head, out));
        Ok(id)
    }

    /// Answers a stream; heads with 1xx may come before. 101 answers an upgrade that came as an
    /// extended CONNECT. The rest is as with [`send_request`](Self::send_request).
    pub fn send_response(&mut self, id: u32, head: &Head, end: bool) -> Result<(), Unsent> {
        debug_assert!(self.role == Role::Server);
        let stream = self.streams.get_mut(id).filter(|stream| stream.ours == Side::Head);
        let Some(stream) = stream.filter(|_| self.failed.is_none()) else {
            return Err(Unsent::Closed);
        };
        let is_final = head.status >= 200 || (head.status == 101 && stream.request.is_upgrade);
        if !is_final && (end || head.status == 101) {
            return Err(Unsent::Closed);
        }
        if is_final {
            stream.ours = if end { Side::Done } else { Side::Body };
            self.guard.on_answered();
        }
        self.put_block(id, end, |encoder, out| write::response(encoder, head, out));
        self.settle(id);
        Ok(())
    }

    /// Ends a body with the fields of this head.
    pub fn send_trailers(&mut self, id: u32, head: &Head) -> Result<(), Unsent> {
        self.sending(id).ok_or(Unsent::Closed)?.ours = Side::Done;
        self.put_block(id, true, |encoder, out| write::trailers(encoder, head, out));
        self.settle(id);
        Ok(())
    }

    /// Begins a DATA frame for as much of `bytes` as may go now. Its head goes to the output, and
    /// the caller sends `Sent::bytes` bytes right behind that.
    ///
    /// `end`: the body ends with these bytes. If not all may go, there will be an event once more
    /// may, or the frame was full: try again until 0 bytes go.
    pub fn send_data(&mut self, id: u32, bytes: usize, end: bool) -> Result<Sent, Unsent> {
        let room = self.send_window.bytes();
        let stream = self.sending(id).ok_or(Unsent::Closed)?;
        let most = room.min(stream.send.bytes());
        let sent = bytes.min(most).min(FRAME_BYTES_MAX);
        let end = end && sent == bytes;
        stream.is_blocked = bytes > most;
        stream.send.take(sent);
        if end {
            stream.ours = Side::Done;
        }
        self.is_blocked |= bytes > room;
        self.send_window.take(sent);
        if sent > 0 || end {
            let flags = if end { END_STREAM } else { 0 };
            let head = FrameHead { len: sent, kind: Kind::Data, flags, stream: id };
            self.out.extend_from_slice(&head.bytes());
            self.guard.on_data_sent();
        }
        if end {
            self.settle(id);
        }
        Ok(Sent { bytes: sent, end })
    }

    /// How many bytes of a body may go now, in one frame or several. 0 if the stream is not open.
    pub fn capacity(&self, id: u32) -> usize {
        let stream = self.streams.get(id).filter(|stream| stream.ours == Side::Body);
        stream.map_or(0, |stream| stream.send.bytes().min(self.send_window.bytes()))
    }

    /// The next stream, in turns, that could not send all that was wanted and now may send.
    pub fn next_ready(&mut self) -> Option<Handle> {
        if self.send_window.bytes() == 0 {
            // Whoever is blocked waits for the connection's window from now on.
            self.is_blocked |= self.streams.next(0, |stream| stream.is_blocked).is_some();
            return None;
        }
        let is_ready = |stream: &super::Stream| stream.is_blocked && stream.send.bytes() > 0;
        let id = self.streams.next(self.last_ready, is_ready)?;
        self.last_ready = id;
        let stream = self.streams.get_mut(id)?;
        stream.is_blocked = false;
        Some(Handle { id, user: stream.user })
    }

    /// Gives a stream up. After a whole answer to a request that has not come whole, that is
    /// `NoError` (RFC 9113, 8.1). False: it is not open.
    pub fn reset(&mut self, id: u32, error: ErrorCode) -> bool {
        if self.failed.is_some() || self.streams.remove(id).is_none() {
            return false;
        }
        self.resets.push(id);
        frame::put_reset(id, error, &mut self.out);
        true
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self, payload: [u8; 8]) {
        put(Kind::Ping, 0, 0, &payload, &mut self.out);
    }

    /// Tells the peer that soon no new streams will be taken (RFC 9113, 6.8). Those that come in
    /// the meantime are: call [`drain`](Self::drain) a round trip later.
    pub fn announce_drain(&mut self) {
        if self.going_away.is_none() && self.failed.is_none() {
            self.going_away = Some(U31_MAX);
            frame::put_go_away(U31_MAX, ErrorCode::NoError, &mut self.out);
        }
    }

    /// Takes no new streams from now on; those that are open go on to their ends.
    pub fn drain(&mut self) {
        self.go_away(ErrorCode::NoError);
    }

    /// Takes no new streams from now on, and says why. See [`is_drained`](Self::is_drained).
    pub fn go_away(&mut self, error: ErrorCode) {
        if self.failed.is_none() {
            let last = self.last_of_peer;
            let last = self.going_away.map_or(last, |before| before.min(last));
            self.going_away = Some(last);
            frame::put_go_away(last, error, &mut self.out);
        }
    }

    /// The stream, if a body may be sent on it.
    fn sending(&mut self, id: u32) -> Option<&mut super::Stream> {
        let is_up = self.failed.is_none();
        self.streams.get_mut(id).filter(|stream| is_up && stream.ours == Side::Body)
    }

    /// Appends HEADERS, and CONTINUATION where one frame does not hold the block.
    fn put_block(&mut self, id: u32, end: bool, put: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        put(&mut self.encoder, &mut self.out);
        write::frame_block(start, id, end, &mut self.out);
    }
}
