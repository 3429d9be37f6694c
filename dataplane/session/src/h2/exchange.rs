//! Requests to an upstream that speaks HTTP/2, and what it answers.

use config::snapshot::Point;
use policy::reply::Reason;
use ring::driver::Driver;
use ring::{Buf, Key};
use wire::h2::{ErrorCode, Event, Handle};

use super::answer::send_frame;
use super::key_of;
use super::up::Http2Up;
use crate::down::{Down, DownState};
use crate::encode::Piece;
use crate::limits::{GIVEN_UP_MAX, TURN_FRAMES};
use crate::serving::Asker;
use crate::stream::Stream;
use crate::transport::{Fault, Transport};
use crate::tunnel::{self, Tunnel};
use crate::up::{Up, UpState};
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// Bytes from an upstream.
    pub(crate) fn on_up_h2_bytes(&mut self, key: Key, mut bytes: Buf) {
        loop {
            let Some(up) = self.ups.get_mut(key) else { return };
            let UpState::Http2(two) = &mut up.state else { return };
            match two.connection.receive(&bytes, &mut self.io.head) {
                Ok(step) => {
                    bytes.advance(step.skip);
                    let data = bytes.split_to(step.data);
                    let Some(event) = step.event else { break };
                    self.on_up_h2_event(key, event, data);
                }
                Err(refusal) => {
                    tracing::debug!(code = refusal.code, "an upstream's HTTP/2 is refused");
                    return self.end_up_h2(key, Reason::UpstreamProtocolError);
                }
            }
        }
        self.ready_ups.push(key);
    }

    fn on_up_h2_event(&mut self, up: Key, event: Event, data: Buf) {
        match event {
            Event::Head { stream, end } => self.on_h2_response(up, stream, end),
            Event::HeadTooLarge { stream, .. } => self.on_h2_response_refused(up, stream),
            Event::Data { stream, end } => self.on_h2_response_body(up, stream, data, end),
            Event::Trailers { stream } => {
                if let Some(asker) = self.asker_of_h2(up, stream) {
                    self.send_trailers_h2(asker);
                    self.on_h2_response_done(up, asker);
                }
            }
            Event::Reset { stream, error } => self.on_h2_response_reset(up, stream, error),
            Event::Refused { stream, refusal } => {
                tracing::debug!(code = refusal.code, "malformed response");
                self.on_h2_response_refused(up, stream);
            }
            Event::WindowOpened { stream } => {
                if let Some(stream) = key_of(stream.user) {
                    self.list_up(up, stream);
                }
            }
            Event::WindowsOpened | Event::PeerSettings => self.list_up_ready(up),
            Event::GoAway { .. } => {
                if let Some(Up { state: UpState::Http2(two), lease, .. }) = self.ups.get_mut(up) {
                    two.is_leaving = true;
                    self.clusters.unshare(lease.host, up);
                }
            }
            Event::Pong { payload } => {
                let (now, random) = (self.io.driver.now(), self.io.random.next());
                if let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up)
                    && let Some(alive) = &mut two.keepalive
                {
                    alive.on_pong(payload, now, random);
                }
            }
            Event::SettingsAcknowledged => {}
        }
    }

    /// Who waits for what comes on this stream of the connection.
    fn asker_of_h2(&self, up: Key, handle: Handle) -> Option<Asker> {
        let key = key_of(handle.user)?;
        let stream = self.streams.get(key).filter(|stream| stream.up == Some(up))?;
        (stream.up_id == handle.id).then_some(Asker { down: stream.down, stream: Some(key) })
    }

    /// A whole response head has been read: it stands in `io.head`.
    fn on_h2_response(&mut self, up: Key, handle: Handle, end: bool) {
        let now = self.io.driver.now();
        let Some(asker) = self.asker_of_h2(up, handle) else { return };
        let Some(key) = asker.stream else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        (stream.has_begun, stream.active_at) = (true, now);
        let status = self.io.head.status;
        if (100..200).contains(&status) && status != 101 {
            return self.on_interim(key, status);
        }
        let opens = tunnel::opens(&self.io.head, stream.to.connect);
        if status == 101 {
            self.name_upgrade(key);
        }
        if let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up) {
            two.given_up = (two.given_up - 1).max(-GIVEN_UP_MAX);
        }
        self.observe_answer(key);
        if self.retries_answer(key) {
            return self.try_again(key);
        }
        if self.return_head(key) {
            self.send_head(asker);
        }
        if opens {
            self.begin_tunnel(asker);
        }
        if end {
            self.on_h2_response_done(up, asker);
        }
    }

    fn on_h2_response_body(&mut self, up: Key, handle: Handle, data: Buf, end: bool) {
        let now = self.io.driver.now();
        let asker = self.asker_of_h2(up, handle);
        let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up) else { return };
        // A stream that waits is not to make the others wait.
        two.connection.consumed(0, data.len());
        let Some(asker) = asker else { return };
        let Some(key) = asker.stream else { return };
        if let Some(stream) = self.streams.get_mut(key) {
            stream.active_at = now;
            stream.up_debt += data.len();
            two.owed += data.len();
        }
        if !data.is_empty() {
            self.send_down(asker, Piece::Data(data));
        }
        match end {
            true => self.on_h2_response_done(up, asker),
            false => self.settle_response(key),
        }
    }

    /// The response is complete. What of it still waits for the client is owed to the upstream
    /// until it has left.
    fn on_h2_response_done(&mut self, up: Key, asker: Asker) {
        let now = self.io.driver.now();
        let Some(stream) = asker.stream.and_then(|key| self.streams.get_mut(key)) else { return };
        stream.reach(Point::UpstreamReceiveEnd, now);
        let is_owing = stream.returning.is_some() && stream.up_debt > 0;
        if !is_owing {
            let (id, debt) =
                (std::mem::take(&mut stream.up_id), std::mem::take(&mut stream.up_debt));
            stream.up = None;
            self.settle_up_h2(up, id, debt, now);
        } else if let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up) {
            stream.is_response_done = true;
            two.idle_since = now;
            // What is left of the request is not wanted.
            two.connection.reset(stream.up_id, ErrorCode::Cancel);
        }
        self.end_exchange(asker);
    }

    /// The upstream has given the request up.
    fn on_h2_response_reset(&mut self, up: Key, handle: Handle, error: ErrorCode) {
        let Some(Asker { stream: Some(key), .. }) = self.asker_of_h2(up, handle) else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (has_begun, is_spent) = (stream.has_begun, stream.is_spent);
        stream.up = None;
        self.detach_h2(key, up);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let reason = Reason::UpstreamReset;
        match error {
            // Nobody has looked at it (RFC 9113, 8.7).
            ErrorCode::RefusedStream if !has_begun => {
                if !is_spent && stream.takes_stale_retry() {
                    self.try_now(key);
                } else {
                    self.on_attempt_failed(key, reason, |retry| retry.on_connect_failure);
                }
            }
            _ => self.on_attempt_failed(key, reason, |retry| retry.on_reset && !has_begun),
        }
    }

    /// What the upstream has sent is no response.
    fn on_h2_response_refused(&mut self, up: Key, handle: Handle) {
        let Some(Asker { stream: Some(key), .. }) = self.asker_of_h2(up, handle) else { return };
        if let Some(stream) = self.streams.get_mut(key) {
            stream.up = None;
        }
        self.detach_h2(key, up);
        self.on_attempt_failed(key, Reason::UpstreamProtocolError, |retry| retry.on_reset);
    }

    /// Tells the upstream of what has left towards the client.
    pub(crate) fn settle_response(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.up_debt > 0) else {
            return;
        };
        let down = self.downs.get(stream.down);
        let is_congested = down.is_some_and(|down| down.io.is_congested(&self.io.driver));
        let kept = match &stream.returning {
            Some(returning) => returning.waiting_bytes,
            None if is_congested => stream.up_debt,
            None => 0,
        };
        let paid = stream.up_debt.saturating_sub(kept.saturating_add(stream.slowed_bytes()));
        let Some(up_key) = stream.up.filter(|_| paid > 0) else { return };
        stream.up_debt -= paid;
        if let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up_key) {
            two.owed = two.owed.saturating_sub(paid);
            two.connection.stream_consumed(stream.up_id, paid);
            self.ready_ups.push(up_key);
        }
    }

    /// Gives the request a turn on its connection to the upstream.
    pub(crate) fn list_up(&mut self, up: Key, key: Key) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.is_up_listed) else {
            return;
        };
        if let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up) {
            stream.is_up_listed = true;
            two.pending.push(key);
            self.ready_ups.push(up);
        }
    }

    fn list_up_ready(&mut self, up: Key) {
        while let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up)
            && let Some(ready) = two.connection.next_ready()
        {
            if let Some(stream) = key_of(ready.user) {
                self.list_up(up, stream);
            }
        }
    }

    /// Turns, until nobody has anything to send or the socket takes no more.
    pub(super) fn pump_up(&mut self, key: Key) {
        loop {
            let Some(up) = self.ups.get_mut(key) else { return };
            let is_congested = up.io.is_congested(&self.io.driver);
            let UpState::Http2(two) = &mut up.state else { return };
            if two.pending.is_empty() || is_congested {
                return;
            }
            std::mem::swap(&mut two.pending, &mut self.turns);
            while let Some(stream) = self.turns.pop() {
                self.take_up_turn(key, stream);
            }
        }
    }

    fn take_up_turn(&mut self, up_key: Key, key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.is_up_listed = false;
        if stream.up != Some(up_key) {
            return;
        }
        let Some(up) = self.ups.get_mut(up_key) else { return };
        let UpState::Http2(two) = &mut up.state else { return };
        let before = stream.waiting_bytes;
        let Ok(is_more) = two.send(stream, &mut up.io, &mut self.io.driver) else {
            return self.end_up_h2(up_key, Reason::ConnectionTermination);
        };
        let down = stream.down;
        if stream.waiting_bytes < before {
            stream.active_at = now;
            self.wake(down, key);
        }
        if is_more {
            self.list_up(up_key, key);
        }
    }

    /// The fields behind the response's body, in `io.head`. HTTP/1.1 does without them.
    fn send_trailers_h2(&mut self, to: Asker) {
        let Some(stream) = to.stream.and_then(|key| self.streams.get_mut(key)) else { return };
        stream.keep_trailers(&self.io.head);
        if self.takes_trailers(to) {
            return;
        }
        let Some(stream) = to.stream.and_then(|key| self.streams.get_mut(key)) else { return };
        let Some(returning) = &mut stream.returning else { return };
        if let Some(Down { state: DownState::Http2(_), .. }) = self.downs.get(to.down) {
            std::mem::swap(&mut returning.trailers, &mut self.io.head);
            returning.has_trailers = true;
        }
    }
}

impl Http2Up {
    /// A request's turn. True: there is more to send.
    fn send<D: Driver>(
        &mut self,
        stream: &mut Stream,
        io: &mut Transport,
        driver: &mut D,
    ) -> Result<bool, Fault> {
        for _ in 0..TURN_FRAMES {
            // What is meant for a tunnel waits until there is one.
            if stream.is_up_ended || stream.tunnel == Tunnel::Asked {
                return Ok(false);
            }
            if io.is_congested(driver) {
                return Ok(true);
            }
            let Some(mut bytes) = stream.waiting.pop() else {
                self.end(stream);
                return Ok(false);
            };
            let is_last =
                stream.is_request_done && stream.waiting.is_empty() && stream.trailers.is_none();
            let sent = self.connection.send_data(stream.up_id, bytes.len(), is_last);
            let sent = sent.unwrap_or_default();
            let piece = bytes.split_to(sent.bytes);
            stream.waiting.put_back(bytes);
            if sent.bytes == 0 {
                return Ok(false);
            }
            stream.is_spent = true;
            stream.is_up_ended = sent.end;
            stream.waiting_bytes = stream.waiting_bytes.saturating_sub(piece.len());
            send_frame(io, driver, &mut self.connection, piece)?;
        }
        Ok(true)
    }

    /// All that was given has left.
    fn end(&mut self, stream: &mut Stream) {
        if !stream.is_request_done {
            return;
        }
        stream.is_up_ended = true;
        // A stream that is not open has nobody to tell.
        let _ = match stream.trailers.take() {
            Some(trailers) => self.connection.send_trailers(stream.up_id, &trailers),
            None => self.connection.send_data(stream.up_id, 0, true).map(|_| ()),
        };
    }
}
