//! What comes on a client's connection.

use config::snapshot::Flag;
use policy::headers;
use policy::reply::{self, Reply};
use ring::driver::Driver;
use ring::{Buf, Key};
use wire::h2::{ErrorCode, Event, Handle, Refusal};
use wire::head::Framing;

use super::{key_of, mark_of};
use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::encode::Piece;
use crate::form::UNDERSCORE;
use crate::serving::Asker;
use crate::stream::Stream;
use crate::up::{Speaks, UpState};
use crate::worker::Worker;

/// A head that is too large, by HTTP/2.
const TOO_LARGE: wire::h1::Refusal = wire::h1::Refusal {
    code: "http2.headers_too_large",
    status: 431,
    details: "http2.headers_too_large",
};

impl<D: Driver> Worker<D> {
    /// Reads the next of what has come; true if there may be more.
    pub(super) fn read_h2(&mut self, key: Key) -> bool {
        if !self.may_read(key) {
            return false;
        }
        let Some(down) = self.downs.get_mut(key) else { return false };
        let Down { held, state: DownState::Http2(two), .. } = down else { return false };
        let Some(mut bytes) = held.pop() else { return false };
        match two.connection.receive(&bytes, &mut self.io.head) {
            Ok(step) => {
                bytes.advance(step.skip);
                let data = bytes.split_to(step.data);
                held.put_back(bytes);
                if let Some(event) = step.event {
                    self.on_h2_event(key, event, data);
                }
                true
            }
            Err(refusal) => {
                self.refuse_h2(key, refusal);
                false
            }
        }
    }

    fn on_h2_event(&mut self, key: Key, event: Event, data: Buf) {
        match event {
            Event::Head { stream, .. } => self.start_h2_request(key, stream, None),
            Event::HeadTooLarge { stream, end, refusal } => {
                tracing::debug!(code = refusal.code, "a request's head is too large");
                self.io.head.clear();
                self.io.head.framing = if end { Framing::None } else { Framing::Chunked };
                self.start_h2_request(key, stream, Some(reply::refused(&TOO_LARGE)));
            }
            Event::Data { stream, end } => self.on_h2_body(key, stream, data, end),
            Event::Trailers { stream } => {
                self.keep_trailers(stream);
                self.on_h2_body(key, stream, Buf::empty(), true);
            }
            Event::Reset { stream, .. } => {
                if let Some(stream) = key_of(stream.user).and_then(|key| self.streams.get_mut(key))
                {
                    stream.note_gone(Flag::DownstreamRemoteReset, "http2.remote_reset");
                }
                self.on_h2_gone(stream);
            }
            Event::Refused { stream, refusal } => {
                self.io.counters.count(Counter::RequestMalformed);
                tracing::debug!(code = refusal.code, "malformed request");
                self.on_h2_gone(stream);
            }
            Event::WindowOpened { stream } => {
                if let Some(stream) = key_of(stream.user) {
                    self.list(key, stream);
                }
            }
            Event::WindowsOpened | Event::PeerSettings => self.list_ready(key),
            Event::Pong { payload } => {
                let (now, random) = (self.io.driver.now(), self.io.random.next());
                if let Some(Down { state: DownState::Http2(two), .. }) = self.downs.get_mut(key)
                    && let Some(alive) = &mut two.keepalive
                {
                    alive.on_pong(payload, now, random);
                }
            }
            Event::SettingsAcknowledged | Event::GoAway { .. } => {}
        }
    }

    /// A whole head has been read: it stands in `io.head`. `answer`: it is not looked at.
    fn start_h2_request(&mut self, key: Key, handle: Handle, answer: Option<Reply>) {
        self.io.counters.count(Counter::RequestTotal);
        if !self.follow_configuration(key) {
            return;
        }
        let now = self.io.driver.now();
        let mut returning = self.spare_returning.pop().unwrap_or_default();
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Http2(two) = &mut down.state else { return };
        let is_fine = headers::underscores(&mut self.io.head, two.serving.manager.underscores);
        let answer = answer.or_else(|| (!is_fine).then(|| reply::refused(&UNDERSCORE)));
        two.is_closing |= two.serving.is_last_request();
        let mut stream = Stream::new(key, &self.io.head, now);
        stream.ends_by = two.serving.manager.spans.stream.map(|limit| now.after(limit));
        returning.id = handle.id;
        returning.is_whole = self.io.head.framing == Framing::None;
        let limit = two.serving.manager.request_timeout.filter(|_| !returning.is_whole);
        returning.whole_by = limit.map(|limit| now.after(limit));
        if two.serving.manager.keeps_records() {
            let version = self.io.head.version;
            stream.begin_record(&mut self.spare_records, version, down.facts.source);
        }
        stream.returning = Some(returning);
        let Some(stream) = self.streams.insert(stream) else {
            two.connection.reset(handle.id, ErrorCode::RefusedStream);
            return;
        };
        two.connection.set_user(handle.id, mark_of(stream));
        match answer {
            None => self.judge(key, stream),
            Some(reply) => self.answer(Asker { down: key, stream: Some(stream) }, reply),
        }
    }

    /// Bytes of a request's body, perhaps its last.
    fn on_h2_body(&mut self, key: Key, handle: Handle, data: Buf, end: bool) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Http2(two) = &mut down.state else { return };
        let stream = key_of(handle.user).and_then(|key| self.streams.get_mut(key));
        // A stream that waits is not to make the others wait.
        two.connection.consumed(0, data.len());
        let returning = stream.and_then(|stream| stream.returning.as_mut());
        let Some(returning) = returning else { return };
        returning.is_whole |= end;
        if returning.is_ended {
            // It has been answered already.
            two.connection.stream_consumed(handle.id, data.len());
            if end && returning.is_over {
                // Some clients (curl 7.88) look at an answer that ended before their request did
                // only when something comes.
                two.connection.ping(*b"answered");
            }
            if let Some(stream) = key_of(handle.user).filter(|_| end) {
                self.list(key, stream);
            }
            return;
        }
        returning.debt += data.len();
        two.owed += data.len();
        if end {
            returning.whole_by = None;
        }
        let Some(stream) = key_of(handle.user) else { return };
        if !data.is_empty() {
            self.send_body(stream, Piece::Data(data));
        }
        if end && self.streams.get(stream).is_some_and(|stream| !stream.is_request_done) {
            self.send_body(stream, Piece::End);
            self.on_request_done(stream);
        }
        self.list(key, stream);
    }

    /// The fields behind a request's body, in `io.head`, for an upstream that speaks HTTP/2.
    fn keep_trailers(&mut self, handle: Handle) {
        let Some(key) = key_of(handle.user) else { return };
        if self.speaks(key) == Speaks::Http1 {
            return;
        }
        if let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.is_request_done) {
            // Few requests have any: they may cost an allocation.
            stream.trailers = Some(Box::new(std::mem::take(&mut self.io.head)));
        }
    }

    /// The client has given the stream up, or we have given it up for what came.
    fn on_h2_gone(&mut self, handle: Handle) {
        if let Some(stream) = key_of(handle.user) {
            self.abandon(stream);
        }
    }

    /// What breaks the connection's rules ends it; the client is told why.
    fn refuse_h2(&mut self, key: Key, refusal: Refusal) {
        self.io.counters.count(Counter::RequestMalformed);
        tracing::debug!(code = refusal.code, "a client's HTTP/2 is refused");
        // `flush_h2` sees that the connection has failed.
        self.ready.push(key);
    }

    /// Tells the client of what has left towards the upstream.
    pub(super) fn settle_request(&mut self, key: Key, stream: Key) {
        let Some(stream) = self.streams.get_mut(stream) else { return };
        // What is kept back is bounded otherwise.
        let is_gathering = stream.is_gathering();
        let Some(returning) = &mut stream.returning else { return };
        if returning.debt == 0 {
            return;
        }
        let up = stream.up.and_then(|up| self.ups.get(up));
        let takes = up.is_some_and(|up| {
            match up.state {
                UpState::Http(_) => !up.io.is_congested(&self.io.driver),
                // What it cannot take waits in the stream.
                UpState::Http2(_) => true,
                _ => false,
            }
        });
        let paid = match (returning.is_ended || is_gathering, takes) {
            (true, _) => returning.debt,
            (false, true) => returning.debt.saturating_sub(stream.waiting_bytes),
            (false, false) => 0,
        };
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Http2(two) = &mut down.state else { return };
        returning.debt -= paid;
        two.owed = two.owed.saturating_sub(paid);
        two.connection.stream_consumed(returning.id, paid);
    }
}
