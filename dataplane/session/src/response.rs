//! The client side of HTTP/1.1, and answers on their way down.

use std::time::Duration;

use config::snapshot::{NameForm as Form, Point};
use policy::headers::{self, Attempt};
use policy::reply::Reason;
use policy::retry;
use ring::driver::{Driver, SEND_NOW_BYTES};
use ring::{Buf, Key};
use wire::h1::{self, Body, Parsed, Refusal};
use wire::head::{Framing, Known, NameForm, Version};

use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::encode::{self, Piece};
use crate::filters::{self, Way};
use crate::keys::NOBODY;
use crate::partial::{Partial, Tries};
use crate::record::{Teller, cluster_name};
use crate::request::Phase;
use crate::serving::Asker;
use crate::tunnel::{self, Tunnel};
use crate::up::{Answers, UpState};
use crate::worker::Worker;

/// What an upstream connection knows of the response that it carries.
pub(crate) struct Client {
    pub(crate) stream: Key,
    phase: Reading,
    partial: Partial,
    /// The connection may be used again, as far as the response's head says.
    keep_alive: bool,
    /// A byte of a response has come: the request was certainly received.
    has_begun: bool,
}

/// What is read next from the upstream.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Head,
    Body(Body),
    Tunnel,
}

impl Client {
    pub(crate) fn new(stream: Key) -> Self {
        let (phase, partial) = (Reading::Head, Partial::default());
        Self { stream, phase, partial, keep_alive: false, has_begun: false }
    }

    /// Bytes that are to come of a body whose length is known; 0 of any other.
    pub(crate) fn length_left(&self) -> u64 {
        match &self.phase {
            Reading::Body(body) => body.length_left(),
            Reading::Head | Reading::Tunnel => 0,
        }
    }

    /// So many of them have gone their way without being read.
    pub(crate) fn passed(&mut self, bytes: u64) {
        if let Reading::Body(body) = &mut self.phase {
            body.passed(bytes);
        }
    }

    /// What comes is a tunnel's from the first byte.
    pub(crate) fn tunnel(stream: Key) -> Self {
        Self { phase: Reading::Tunnel, has_begun: true, ..Self::new(stream) }
    }
}

impl<D: Driver> Worker<D> {
    /// Bytes from an upstream that serves a request. `more`: others have come behind them.
    pub(crate) fn on_response_bytes(&mut self, key: Key, bytes: Buf, more: bool) {
        let asker = self.asker_of(key).filter(|asker| self.hold_down(asker.down));
        let goes_on = self.read_response(key, bytes, more);
        if let Some(asker) = asker {
            self.release_down(asker.down);
        }
        if goes_on {
            self.rearm_up(key);
        }
    }

    /// Head and body go down together. Says whether [`Worker::release_down`] must follow.
    pub(crate) fn hold_down(&mut self, key: Key) -> bool {
        self.downs.get_mut(key).is_some_and(|down| down.io.hold())
    }

    pub(crate) fn release_down(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        if down.io.release(&mut self.io.driver, &mut self.io.scratch).is_err() {
            self.io.counters.count(Counter::DownstreamOverflow);
            self.abort_down(key);
        }
    }

    /// Reads what is there. Says whether more may come.
    fn read_response(&mut self, key: Key, mut bytes: Buf, more: bool) -> bool {
        let now = self.io.driver.now();
        while !bytes.is_empty() {
            let Some(up) = self.ups.get_mut(key) else { return false };
            let UpState::Http(client) = &mut up.state else {
                // The response is over and this is none of it.
                self.discard(key);
                return false;
            };
            client.has_begun = true;
            if let Some(stream) = self.streams.get_mut(client.stream) {
                stream.active_at = now;
            }
            let read = match client.phase {
                Reading::Head => self.read_response_head(key, &mut bytes, more),
                Reading::Body(body) => self.read_response_body(key, body, &mut bytes, more),
                Reading::Tunnel => {
                    let (asker, piece) = (self.asker_of(key), std::mem::take(&mut bytes));
                    asker.map_or(Ok(()), |asker| {
                        self.send_down(asker, Piece::Data(piece));
                        Ok(())
                    })
                }
            };
            if let Err(refusal) = read {
                tracing::debug!(code = refusal.code, "malformed response");
                self.on_malformed_response(key);
                return false;
            }
        }
        true
    }

    fn read_response_head(&mut self, key: Key, bytes: &mut Buf, more: bool) -> Result<(), Refusal> {
        let Some(up) = self.ups.get_mut(key) else { return Ok(()) };
        let UpState::Http(client) = &mut up.state else { return Ok(()) };
        let Some(to) = self.streams.get(client.stream).map(|stream| stream.to) else {
            self.discard(key);
            return Ok(());
        };
        let Answers { limits, names } = up.answers;
        let tries = Tries { early_bytes: 0, bytes_max: limits.head_bytes_max };
        let head = &mut self.io.head;
        let parse = |bytes: &[u8]| h1::parse_response(bytes, to, &limits, head);
        if let Parsed::Complete { .. } = client.partial.read(bytes, tries, parse)? {
            self.io.head.name_form = names;
            self.on_response_head(key, bytes.is_empty() && !more);
        }
        Ok(())
    }

    fn read_response_body(
        &mut self,
        key: Key,
        mut body: Body,
        bytes: &mut Buf,
        more: bool,
    ) -> Result<(), Refusal> {
        let step = body.step(bytes)?;
        bytes.advance(step.skip);
        let data = bytes.split_to(step.data);
        if step.skip + step.data == 0 && !step.done {
            *bytes = Buf::empty();
        }
        if let Some(up) = self.ups.get_mut(key)
            && let UpState::Http(client) = &mut up.state
        {
            client.phase = Reading::Body(body);
        }
        let Some(asker) = self.asker_of(key) else {
            self.discard(key);
            return Ok(());
        };
        if !data.is_empty() {
            self.send_down(asker, Piece::Data(data));
        }
        if step.done {
            self.on_response_done(key, bytes.is_empty() && !more);
        }
        Ok(())
    }

    /// A whole response head has been read: it stands in `io.head`. `clean`: nothing came behind
    /// it.
    fn on_response_head(&mut self, key: Key, clean: bool) {
        let status = self.io.head.status;
        let Some(stream) = self.stream_of(key) else { return self.discard(key) };
        let request = self.streams.get(stream);
        let opens = request.is_some_and(|s| tunnel::opens(&self.io.head, s.to.connect));
        let is_framed = request.is_some_and(|s| s.request_framing != Framing::UntilClose);
        if status == 101 && is_framed && request.is_some_and(|s| !s.is_request_done) {
            // What is left of the body would be taken for the new protocol's first bytes.
            return self.on_malformed_response(key);
        }
        if (100..200).contains(&status) && status != 101 {
            return self.on_interim(stream, status);
        }
        self.observe_answer(stream);
        if self.retries_answer(stream) {
            return self.try_again(stream);
        }
        let Some(down) = self.streams.get(stream).map(|stream| stream.down) else { return };
        if let Some(up) = self.ups.get_mut(key)
            && let UpState::Http(client) = &mut up.state
        {
            client.keep_alive = self.io.head.keep_alive;
            client.phase = match (opens, self.io.head.framing) {
                (true, _) => Reading::Tunnel,
                (false, framing) => Reading::Body(Body::new(framing)),
            };
        }
        let framing = self.io.head.framing;
        let to = Asker { down, stream: Some(stream) };
        if self.return_head(stream) {
            self.send_head(to);
        }
        match (opens, framing) {
            (true, _) => self.begin_tunnel(to),
            (_, Framing::None | Framing::Length(0)) => self.on_response_done(key, clean),
            _ => {}
        }
    }

    /// An interim response: 100 passes if the manager lets it, all others are dropped (as Envoy).
    pub(crate) fn on_interim(&mut self, stream: Key, status: u16) {
        let Some(stream) = self.streams.get(stream) else { return };
        let down = stream.down;
        if let Some(down) = self.downs.get_mut(down)
            && let DownState::Http2(two) = &mut down.state
        {
            if status == 100 && two.serving.manager.proxy_100_continue {
                two.interim(&self.io.head, Some(stream));
                self.ready.push(stream.down);
            }
            return;
        }
        let Some(http) = self.downs.get(down).and_then(Down::http) else { return };
        if status != 100 || !http.manager().proxy_100_continue || http.is_http_10 {
            return;
        }
        self.io.head.version = Version::Http11;
        let head = encode::response(self.io.driver.pool(), &self.io.head, Framing::None);
        if let (Some(down), Some(head)) = (self.downs.get_mut(down), head) {
            // Without memory for it the client sends its body after a while by itself.
            let _ = down.io.send(&mut self.io.driver, head);
        }
    }

    /// Whether the answer whose head stands in `io.head` is to be followed by another attempt.
    pub(crate) fn retries_answer(&mut self, stream: Key) -> bool {
        let Some(entry) = self.streams.get(stream) else { return false };
        let is_covered = entry.retry().is_some_and(|policy| retry::covers(policy, &self.io.head));
        self.end_retry(stream);
        is_covered && self.takes_retry(stream)
    }

    /// The route's changes to the response in `io.head`, and the filters'. False: a filter keeps it
    /// back.
    pub(crate) fn return_head(&mut self, key: Key) -> bool {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return true };
        stream.note_answer();
        stream.reach(Point::UpstreamReceiveBegin, now);
        // As in Envoy a try's time is the time until its answer begins.
        stream.try_deadline = None;
        self.change_head(key);
        let head = &mut self.io.head;
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        match self.streams.get_mut(key).and_then(|stream| stream.filtering.as_mut()) {
            Some(filtering) => {
                let way = Way { now, has_body, squeezing: &self.io.squeezing };
                filters::on_response(filtering, head, &way)
            }
            None => true,
        }
    }

    fn change_head(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get(key) else { return };
        let Some(down) = self.downs.get(stream.down) else { return };
        let Some(manager) = down.manager() else { return };
        let Some(taken) = &stream.taken else { return };
        let Some(found) = taken.found() else { return };
        let (table, attempt) = (&**taken.table, stream.attempts);
        for cookie in &stream.set_cookies {
            self.io.head.append(b"set-cookie", cookie);
        }
        let facts = headers::need_facts(table, &found).then(|| {
            let teller = Teller::new(&self.io, (stream.down, down), (self.index, self.workers));
            let mut facts = teller.request(stream, cluster_name(&self.clusters, stream));
            facts.course.status = self.io.head.status;
            facts
        });
        let facts = facts.as_ref();
        let attempt = Attempt { manager, table, found: &found, attempt, timeout: None, facts };
        let passed = Duration::from_nanos(now.0.saturating_sub(stream.sent_at.0));
        let is_whole = stream.is_request_done && stream.tunnel == Tunnel::None;
        headers::returned(&mut self.io.head, &attempt, is_whole.then_some(passed));
    }

    /// Sends the response head in `io.head` to the client.
    pub(crate) fn send_head(&mut self, to: Asker) {
        let date = self.io.date.at(self.io.driver.now());
        let head = &mut self.io.head;
        let key = to.down;
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(manager) = down.manager() else { return };
        headers::response(head, manager, date);
        if (manager.request_id_in_response || manager.origin.is_some())
            && let Some(key) = to.stream.or_else(|| down.http()?.stream)
            && let Some(stream) = self.streams.get(key).filter(|s| !s.request_id.is_empty())
        {
            head.set(b"x-request-id", &stream.request_id);
        }
        if manager.http1.names == Form::Proper && head.name_form == NameForm::Lower {
            head.name_form = NameForm::Proper;
        }
        self.io.counters.count(class_of(head.status));
        let Some(http) = down.http_mut() else { return self.send_head_h2(to) };
        // The version of the hop that it goes over (RFC 9110, 2.5), not of the one it came by.
        head.version = if http.is_http_10 { Version::Http10 } else { Version::Http11 };
        let stream = http.stream.and_then(|stream| self.streams.get(stream));
        let opens = tunnel::opens(head, stream.is_some_and(|stream| stream.to.connect));
        if !opens && stream.is_some_and(|stream| stream.to.upgrade || stream.to.connect) {
            // What the client may have said already was meant for the protocol that was not agreed
            // on: it must not be read as a request. As Envoy.
            http.is_closing = true;
        }
        http.is_closing |= self.draining;
        let framing = match head.framing {
            _ if opens => Framing::None,
            Framing::UntilClose | Framing::Chunked if http.is_http_10 => {
                http.is_closing = true;
                Framing::UntilClose
            }
            Framing::UntilClose => Framing::Chunked,
            framing => framing,
        };
        if opens {
            head.remove_known(Known::ContentLength);
        }
        if http.is_closing && !opens {
            head.set(b"connection", b"close");
        } else if http.is_http_10 {
            head.set(b"connection", b"keep-alive");
        }
        http.answered = Some(framing);
        let sent = encode::response(self.io.driver.pool(), head, framing)
            .ok_or(())
            .and_then(|head| down.io.send(&mut self.io.driver, head).map_err(|_| ()));
        let stream = down.http().and_then(|http| http.stream);
        if let Some(stream) = stream.and_then(|key| self.streams.get_mut(key)) {
            stream.keep_response(head, self.io.driver.now());
        }
        if sent.is_err() {
            self.io.counters.count(Counter::DownstreamOverflow);
            self.abort_down(key);
        }
    }

    /// Bytes of the response's body to the client, as filters have left them.
    pub(crate) fn put_down(&mut self, to: Asker, piece: Piece) {
        let Some(down) = self.downs.get_mut(to.down) else { return };
        let Some(http) = down.http() else { return self.send_down_h2(to, piece) };
        let Some(framing) = http.answered else { return };
        if let Piece::Data(bytes) = &piece
            && !http.manager().access_log.is_empty()
            && let Some(stream) = http.stream.and_then(|key| self.streams.get_mut(key))
        {
            stream.note_sent(bytes.len());
        }
        if encode::send(&mut down.io, &mut self.io.driver, framing, piece).is_err() {
            self.abort_down(to.down);
        }
    }

    /// The response is complete; `clean`: nothing came behind it.
    pub(crate) fn on_response_done(&mut self, key: Key, clean: bool) {
        let now = self.io.driver.now();
        let Some(up) = self.ups.get(key) else { return };
        let UpState::Http(client) = &up.state else { return };
        let (stream, keep_alive) = (client.stream, client.keep_alive);
        let Some(request) = self.streams.get_mut(stream) else { return self.discard(key) };
        request.up = None;
        request.reach(Point::UpstreamReceiveEnd, now);
        let (down, is_request_done) = (request.down, request.is_request_done);
        self.release(key, keep_alive && clean && is_request_done);
        self.end_exchange(Asker { down, stream: Some(stream) });
    }

    /// The answer has been sent: the connection goes on with the next request, or ends.
    pub(crate) fn end_exchange(&mut self, to: Asker) {
        if let (NOBODY, Some(copy)) = (to.down, to.stream) {
            return self.abandon(copy);
        }
        if self.ends_later(to) {
            return;
        }
        self.send_down(to, Piece::End);
        let key = to.down;
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(http) = down.http_mut() else { return self.end_exchange_h2(to) };
        let stream = http.stream.take();
        if let Some(stream) = stream.and_then(|key| self.streams.get_mut(key)) {
            stream.reach(Point::ResponseEnd, self.io.driver.now());
        }
        http.answered = None;
        // A request that is answered before it has come whole cannot be told from the next one.
        let is_whole = matches!(http.phase, Phase::Waiting | Phase::Tunnel);
        let ends = self.draining || http.is_closing || !is_whole;
        let was_last = http.is_last && matches!(http.phase, Phase::Waiting);
        if let Some(stream) = stream {
            self.abandon(stream);
        }
        if ends && was_last {
            return self.leave_down(key);
        }
        if ends {
            return self.close_down(key);
        }
        if let Some(http) = self.downs.get_mut(key).and_then(Down::http_mut) {
            http.phase = Phase::Head;
        }
        self.begin_phase(key);
        self.ready.push(key);
    }

    /// The upstream's connection has ended while it served a request.
    pub(crate) fn on_response_broken(&mut self, key: Key, by_eof: bool) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let (is_reused, is_fresh) = (up.is_reused(), up.attached == self.turn);
        let UpState::Http(client) = &mut up.state else { return self.discard(key) };
        let (stream, has_begun) = (client.stream, client.has_begun);
        let ends_properly = match &mut client.phase {
            Reading::Body(body) => by_eof && body.eof().is_ok(),
            Reading::Tunnel => true,
            Reading::Head => false,
        };
        // As Envoy: bytes that were announced and never came break the protocol's rules.
        let is_torn = by_eof && matches!(client.phase, Reading::Body(_));
        if ends_properly {
            client.keep_alive = false;
            return self.on_response_done(key, true);
        }
        self.unbind(key);
        self.discard(key);
        let Some(request) = self.streams.get_mut(stream) else { return };
        request.up = None;
        let untouched = !has_begun && !request.is_spent && request.is_request_done;
        // Small things leave at the end of a turn: this one has not left us.
        let unsent = is_fresh && request.request_head.len() < SEND_NOW_BYTES;
        // RFC 9110, 9.2.2: what is not safe may have been done already.
        let may = is_reused && untouched && (unsent || request.is_safe);
        if may && request.takes_stale_retry() {
            // The upstream had closed the idle connection just when the request was sent.
            self.try_now(stream);
        } else {
            let reason = match is_torn {
                true => Reason::UpstreamProtocolError,
                false => Reason::ConnectionTermination,
            };
            self.on_attempt_failed(stream, reason, |retry| retry.on_reset && !has_begun);
        }
    }

    fn on_malformed_response(&mut self, key: Key) {
        let stream = self.stream_of(key);
        self.unbind(key);
        self.discard(key);
        if let Some(stream) = stream {
            if let Some(request) = self.streams.get_mut(stream) {
                request.up = None;
            }
            // What has been passed on is not asked for again: that is seen to there.
            self.on_attempt_failed(stream, Reason::UpstreamProtocolError, |retry| retry.on_reset);
        }
    }

    fn stream_of(&self, key: Key) -> Option<Key> {
        match &self.ups.get(key)?.state {
            UpState::Http(client) => Some(client.stream),
            _ => None,
        }
    }

    fn asker_of(&self, key: Key) -> Option<Asker> {
        let stream = self.stream_of(key)?;
        Some(Asker { down: self.streams.get(stream)?.down, stream: Some(stream) })
    }
}

fn class_of(status: u16) -> Counter {
    match status {
        0..300 => Counter::Response2xx,
        300..400 => Counter::Response3xx,
        400..500 => Counter::Response4xx,
        _ => Counter::Response5xx,
    }
}
