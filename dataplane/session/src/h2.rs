//! A client's connection that speaks HTTP/2: many requests at a time.
//!
//! Each stream of the connection is a [`Stream`](crate::stream::Stream) like any other; the codec
//! knows it by the stream's key. What comes is read as it comes; what goes waits in each stream's
//! [`Returning`] and leaves in turns, a few frames each, as the windows and the socket allow.

mod answer;
mod exchange;
mod keepalive;
mod parting;
mod request;
mod up;

pub(crate) use up::Http2Up;

use ring::driver::{Driver, Nanos};
use ring::{Key, Pool};
use wire::h2::{Config, Connection, Floods, PREFACE, Role};
use wire::head::Head;

use crate::counters::Counter;
use crate::down::DownState;
use crate::held::Held;
use crate::limits::ANSWER_WAITING_MAX;
use crate::request::Phase;
use crate::serving::Serving;
use crate::share;
use crate::stream::Stream;
use crate::worker::Worker;
use keepalive::Keepalive;
use parting::Parting;

/// A client's connection that speaks HTTP/2.
pub(crate) struct Http2Side {
    pub(crate) serving: Serving,
    pub(crate) connection: Connection,
    /// Streams that may have something to do.
    pending: Vec<Key>,
    /// Bytes of requests that came and have not been passed on.
    owed: usize,
    /// No new requests are wanted.
    pub(crate) is_closing: bool,
    parting: Parting,
    idle_since: Nanos,
    keepalive: Option<Keepalive>,
}

/// What is on its way back to the client on one stream, and what came of its request.
#[derive(Default)]
pub(crate) struct Returning {
    /// The stream's identifier.
    id: u32,
    /// The answer's head has been sent.
    pub(crate) is_answered: bool,
    /// There is nothing behind the head.
    is_head_last: bool,
    waiting: Held,
    pub(crate) waiting_bytes: usize,
    /// The fields behind the body.
    trailers: Head,
    has_trailers: bool,
    /// Nothing more is added.
    is_ended: bool,
    /// The last of it has left.
    is_over: bool,
    /// The client has sent its last byte.
    is_whole: bool,
    /// It stands among the connection's pending ones.
    is_listed: bool,
    /// The upstream is not read from until more of the answer has left.
    pub(crate) is_starving: bool,
    /// Body bytes of the request that the client has not been told of as consumed.
    debt: usize,
    /// The request must have come whole by then.
    pub(crate) whole_by: Option<Nanos>,
}

impl Returning {
    /// Enough waits for the client: the upstream is not to be read from.
    pub(crate) fn is_full(&self, pool: &Pool) -> bool {
        let most = ANSWER_WAITING_MAX.min(share::unsent_max(pool));
        self.waiting_bytes > 0 && self.waiting_bytes >= most
    }

    /// As new, with the room that it has.
    fn clear(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        while waiting.pop().is_some() {}
        let trailers = std::mem::take(&mut self.trailers);
        *self = Self { waiting, trailers, ..Self::default() };
    }
}

impl Http2Side {
    fn new(serving: Serving, now: Nanos, random: u64) -> Self {
        let (manager, options) = (&serving.manager, &serving.manager.http2);
        let config = Config {
            head_bytes_max: manager.max_head_kib as usize * 1024,
            fields_max: manager.max_fields as usize,
            streams_max: options.streams_max,
            ..config_of(options)
        };
        Self {
            keepalive: Keepalive::new(options.keepalive, now, random),
            connection: Connection::new(Role::Server, &config),
            serving,
            pending: Vec::new(),
            owed: 0,
            is_closing: false,
            parting: Parting::Not,
            idle_since: now,
        }
    }

    /// An interim answer to this request. One that is no longer there needs none.
    pub(crate) fn interim(&mut self, head: &Head, stream: Option<&Stream>) {
        if let Some(returning) = stream.and_then(|stream| stream.returning.as_ref()) {
            let _ = self.connection.send_response(returning.id, head, false);
        }
    }
}

/// What of a configuration is the same for both sides of the codec.
fn config_of(options: &config::snapshot::Http2) -> Config {
    let floods = &options.floods;
    Config {
        stream_window_bytes: options.stream_window_bytes,
        connection_window_bytes: options.connection_window_bytes,
        header_table_bytes: options.header_table_bytes,
        extended_connect: options.extended_connect,
        malformed_ends_stream: options.malformed_ends_stream,
        floods: Floods {
            answers: floods.answers,
            empty_frames: floods.empty_frames,
            priorities_per_stream: floods.priorities,
            window_updates_per_data: floods.window_updates,
            resets: floods.resets,
        },
        extra_settings: options.extra_settings,
        ..Config::default()
    }
}

/// The codec's mark of a stream. 0 is nobody's.
fn mark_of(key: Key) -> u64 {
    key.pack().wrapping_add(1)
}

fn key_of(mark: u64) -> Option<Key> {
    mark.checked_sub(1).map(Key::unpack)
}

/// As much of the preface as no request of HTTP/1.1 begins with. Envoy looks at the same.
const SIGN_BYTES: usize = 12;

/// Whether these bytes begin HTTP/2; `None`: they are too few to say.
fn is_h2(bytes: &[u8]) -> Option<bool> {
    let sign = PREFACE.get(..SIGN_BYTES).unwrap_or_default();
    let seen = bytes.get(..SIGN_BYTES).unwrap_or(bytes);
    match sign.starts_with(seen) {
        true => (seen.len() == sign.len()).then_some(true),
        false => Some(false),
    }
}

impl<D: Driver> Worker<D> {
    /// Tells by the first bytes which codec it is; true if there is more to do.
    pub(crate) fn tell_codec(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let Some(front) = down.held.front_mut() else { return false };
        let told = match front.len() >= SIGN_BYTES {
            true => is_h2(front),
            false => {
                self.io.gathered.clear();
                down.held.copy_to(&mut self.io.gathered);
                is_h2(&self.io.gathered)
            }
        };
        match (told, &mut down.state) {
            (Some(false), DownState::Http(http)) => http.phase = Phase::Head,
            (Some(true), state) => {
                if let DownState::Http(http) = std::mem::replace(state, DownState::Inspecting) {
                    self.begin_h2(key, http.serving);
                }
            }
            _ => return false,
        }
        true
    }

    /// The connection speaks HTTP/2 from here on.
    pub(crate) fn begin_h2(&mut self, key: Key, serving: Serving) {
        let (now, random) = (self.io.driver.now(), self.io.random.next());
        let Some(down) = self.downs.get_mut(key) else { return };
        self.io.counters.count(Counter::DownstreamHttp2);
        down.state = DownState::Http2(Box::new(Http2Side::new(serving, now, random)));
    }

    /// Reads what has come, and sends what may go.
    pub(crate) fn serve_h2(&mut self, key: Key) {
        loop {
            self.part_if_asked(key);
            while self.read_h2(key) {}
            let is_holding = self.hold_down(key);
            self.pump(key);
            let goes_on = self.flush_h2(key);
            if is_holding {
                self.release_down(key);
            }
            if !goes_on {
                return;
            }
            if !self.may_read(key) {
                break;
            }
        }
        self.keep_h2_patience(key);
        self.rearm_down(key);
    }

    /// There are bytes that can be used.
    fn may_read(&self, key: Key) -> bool {
        let Some(down) = self.downs.get(key) else { return false };
        let DownState::Http2(two) = &down.state else { return false };
        // A client that does not read its answers is asked for no more, and one whose requests
        // find no way on sends no more while memory is scarce.
        !down.held.is_empty()
            && !down.io.is_congested(&self.io.driver)
            && !share::is_too_much(self.io.driver.pool(), two.owed)
    }
}
