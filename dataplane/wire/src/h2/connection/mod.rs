//! One connection: what has been read and written, and what may come next.

mod control;
mod data;
mod headers;
mod receive;
mod send;

use super::flow::{ReceiveWindow, SendWindow, WINDOW_BYTES_DEFAULT};
use super::frame::{self, U31_MAX};
use super::guard::Guard;
use super::hpack::{Decoder, Encoder};
use super::settings::{self, PeerSettings};
use super::streams::{Remembered, Request, Side, Stream, Streams};
use super::{Config, ErrorCode, Refusal, Scope, limits};
pub use send::{Sent, Unsent};

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Towards an upstream: we ask.
    Client,
    /// Towards a downstream: we answer.
    Server,
}

/// A stream as events name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Its identifier.
    pub id: u32,
    /// What the caller has marked it with ([`Connection::set_user`]); at first 0.
    pub user: u64,
}

/// What to do with the front of the input: leave out `skip` bytes; the `data` bytes behind them
/// are a body's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Framing bytes, to be dropped.
    pub skip: usize,
    /// Body bytes that follow them, of the stream that the event names.
    pub data: usize,
    /// What has happened. `None`: the input is used up.
    pub event: Option<Event>,
}

/// What has happened. A stream that an event ends (`Reset`, `Refused`, or an `end` with our side
/// ended before) is no longer known afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller's head holds a request's or a response's head; responses with 1xx come as well.
    Head {
        /// The stream, a new one on the server's side.
        stream: Handle,
        /// There is no body.
        end: bool,
    },
    /// A request's head is beyond a limit. The stream is open for an answer (431).
    HeadTooLarge {
        /// The new stream.
        stream: Handle,
        /// There is no body.
        end: bool,
        /// Which limit.
        refusal: Refusal,
    },
    /// `Step::data` bytes of a body, perhaps none at its end. Each must be told to
    /// [`Connection::consumed`], whatever becomes of the stream.
    Data {
        /// The stream.
        stream: Handle,
        /// The body is whole.
        end: bool,
    },
    /// The caller's head holds the fields behind a body, which is whole.
    Trailers {
        /// The stream.
        stream: Handle,
    },
    /// The peer has given the stream up.
    Reset {
        /// The stream.
        stream: Handle,
        /// Why. After `RefusedStream` the request may be sent again: nobody has looked at it.
        error: ErrorCode,
    },
    /// We have given the stream up for what the peer has sent. On the server's side it may not
    /// have been seen before; then its `user` is 0.
    Refused {
        /// The stream.
        stream: Handle,
        /// Why.
        refusal: Refusal,
    },
    /// A stream that could not send all that was wanted may send more.
    WindowOpened {
        /// The stream.
        stream: Handle,
    },
    /// Streams that could not send may send more: [`Connection::next_ready`] names them.
    WindowsOpened,
    /// The peer's settings have come: see [`Connection::peer`] and `next_ready`.
    PeerSettings,
    /// The peer knows our settings.
    SettingsAcknowledged,
    /// A ping of ours is answered.
    Pong {
        /// What we sent.
        payload: [u8; 8],
    },
    /// The peer takes no new streams. On the client's side those above `last` are reset by the
    /// events that follow.
    GoAway {
        /// The last stream that it will look at.
        last: u32,
        /// Why.
        error: ErrorCode,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    reading: receive::Reading,
    /// The beginning of a frame whose rest has not come.
    partial: Vec<u8>,
    /// The header block whose rest has not come.
    block: Vec<u8>,
    decoder: Decoder,
    encoder: Encoder,
    streams: Streams,
    /// Streams that we have reset: what the peer had sent before it knew is ignored.
    resets: Remembered<{ limits::RESETS_REMEMBERED }>,
    /// Streams that have ended properly, or that the peer has reset.
    ends: Remembered<{ limits::ENDS_REMEMBERED }>,
    guard: Guard,
    peer: PeerSettings,
    /// The peer's first settings have come.
    is_greeted: bool,
    /// How many of our settings are not acknowledged.
    unacknowledged: u32,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    /// A stream could not send for the connection's window.
    is_blocked: bool,
    /// The last stream that was found ready, for turns.
    last_ready: u32,
    /// The highest stream of the peer's.
    last_of_peer: u32,
    /// The next stream of ours.
    next_of_ours: u32,
    /// Streams of the peer's above it are not looked at: we have said so.
    going_away: Option<u32>,
    /// Streams of ours above it were not looked at: the peer has said so.
    gone_away: Option<u32>,
    failed: Option<Refusal>,
    out: Vec<u8>,
}

impl Connection {
    /// A connection at its beginning. Its preface and settings are in the output already.
    pub fn new(role: Role, config: &Config) -> Self {
        let config = &Config {
            stream_window_bytes: config.stream_window_bytes.min(U31_MAX),
            connection_window_bytes: config
                .connection_window_bytes
                .clamp(WINDOW_BYTES_DEFAULT, U31_MAX),
            ..*config
        };
        let mut out = Vec::new();
        if role == Role::Client {
            out.extend_from_slice(frame::PREFACE);
        }
        settings::put_ours(config, role, &mut out);
        let window = config.connection_window_bytes;
        if window > WINDOW_BYTES_DEFAULT {
            frame::put_window_update(0, window - WINDOW_BYTES_DEFAULT, &mut out);
        }
        Self {
            role,
            config: *config,
            reading: receive::Reading::new(role),
            partial: Vec::new(),
            block: Vec::new(),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            streams: Streams::default(),
            resets: Remembered::default(),
            ends: Remembered::default(),
            guard: Guard::new(config.floods),
            peer: PeerSettings::default(),
            is_greeted: false,
            unacknowledged: 1,
            send_window: SendWindow::new(WINDOW_BYTES_DEFAULT),
            receive_window: ReceiveWindow::new(window),
            is_blocked: false,
            last_ready: 0,
            last_of_peer: 0,
            next_of_ours: 1,
            going_away: None,
            gone_away: None,
            failed: None,
            out,
        }
    }

    /// What is to be sent, in order. Leave it here while the socket takes nothing: how much gathers
    /// tells a peer that only asks from one that listens too.
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// The output has been taken over to be sent.
    pub fn clear_output(&mut self) {
        self.out.clear();
        // A block of the largest size comes once in a while; its room is not kept for ever.
        self.out.shrink_to(KEPT_BYTES);
        self.guard.on_drained();
    }

    /// What the peer has set.
    pub fn peer(&self) -> &PeerSettings {
        &self.peer
    }

    /// The peer's first settings have come: how many streams it allows is known.
    pub fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// The connection's own mark of a stream, if that is open.
    pub fn user(&self, id: u32) -> Option<u64> {
        self.streams.get(id).map(|stream| stream.user)
    }

    /// Marks a stream; events carry the mark. False: it is not open.
    pub fn set_user(&mut self, id: u32, user: u64) -> bool {
        self.streams.get_mut(id).map(|stream| stream.user = user).is_some()
    }

    /// The open streams.
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        self.streams.iter().map(|stream| Handle { id: stream.id, user: stream.user })
    }

    /// How many streams are open.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// One side takes no new streams, and none is open: the connection may be closed.
    pub fn is_drained(&self) -> bool {
        let is_going = self.going_away.is_some_and(|last| last < U31_MAX);
        (is_going || self.gone_away.is_some()) && self.streams.len() == 0
    }

    /// Why the connection has failed. GOAWAY is in the output; what comes is no longer read.
    pub fn failure(&self) -> Option<Refusal> {
        self.failed
    }

    /// What a stream's window is at its beginning. Until our settings are acknowledged the peer may
    /// know the default only.
    fn new_window(&self) -> ReceiveWindow {
        let ours = self.config.stream_window_bytes;
        let is_known = self.unacknowledged == 0;
        ReceiveWindow::new(if is_known { ours } else { ours.max(WINDOW_BYTES_DEFAULT) })
    }

    fn new_stream(&self, id: u32, request: Request) -> Stream {
        Stream {
            id,
            user: 0,
            send: SendWindow::new(self.peer.window_bytes),
            receive: self.new_window(),
            left: None,
            theirs: Side::Head,
            ours: Side::Head,
            request,
            is_blocked: false,
        }
    }

    /// Whether a stream was ever opened, by whoever opens streams of its parity.
    fn is_idle(&self, id: u32) -> bool {
        match (self.role, id % 2) {
            (Role::Server, 1) => id > self.last_of_peer,
            (Role::Client, 1) => id >= self.next_of_ours,
            // Pushed streams are refused.
            _ => true,
        }
    }

    /// Removes a stream that has ended on both sides.
    fn settle(&mut self, id: u32) {
        if self.streams.get(id).is_some_and(Stream::is_done) {
            self.streams.remove(id);
            self.ends.push(id);
        }
    }

    /// Ends a stream, or the connection, for what came on it.
    fn refuse(&mut self, id: u32, refusal: Refusal) -> Result<Option<Event>, Refusal> {
        let is_malformed = refusal.error == ErrorCode::ProtocolError;
        if refusal.scope == Scope::Connection
            || (is_malformed && !self.config.malformed_ends_stream)
        {
            return Err(refusal.of_connection());
        }
        self.guard.on_answer()?;
        let is_answered = self.streams.get(id).is_some_and(|stream| stream.ours != Side::Head);
        // What no event tells of stays among the streams.
        if self.role == Role::Server && !is_answered {
            self.guard.on_reset()?;
        }
        frame::put_reset(id, refusal.error, &mut self.out);
        self.resets.push(id);
        let known = self.streams.remove(id);
        let user = known.map_or(0, |stream| stream.user);
        Ok(Some(Event::Refused { stream: Handle { id, user }, refusal }))
    }

    /// Ends the connection.
    fn fail(&mut self, refusal: Refusal) {
        self.failed = Some(refusal);
        let last = self.going_away.map_or(self.last_of_peer, |last| last.min(self.last_of_peer));
        frame::put_go_away(last, refusal.error, &mut self.out);
    }
}

#[cfg(test)]
impl Connection {
    /// Goes on as if so many streams had been opened.
    pub(super) fn next_of_ours_for_tests(&mut self, id: u32) {
        self.next_of_ours = id;
    }
}

/// How much room of a buffer is kept that is empty.
const KEPT_BYTES: usize = 4096;
