//! A request and its response, whatever codec either side speaks.
//!
//! A stream joins a client's connection and an upstream's. The codecs know only bytes of their own
//! connection; what belongs to the exchange as a whole (route, attempts, deadline) stands here.

use std::rc::Rc;
use std::time::Duration;

use config::snapshot::{ClusterId, Forward, Point, Retry, RouteAction, Weighted};
use policy::deadline::Limits;
use policy::reply::{self, Reason, Reply};
use policy::steer::Terms;
use ring::driver::{Driver, Nanos};
use ring::{Buf, Key, Pool, Timer};
use upstream::{HostId, Lease, NoHost, Outcome, Pick, Request, Wants};
use wire::h1::ResponseTo;
use wire::head::{Framing, Head};

use crate::down::Down;
use crate::encode::{self, Piece};
use crate::filters::Filtering;
use crate::form::RequestForm;
use crate::h2::Returning;
use crate::held::Held;
use crate::keys::{Alarm, NOBODY};
use crate::limits::{BODY_WAITING_MAX, RETRY_MS_MAX};
use crate::mirror::Mirroring;
use crate::pool::reason_of;
use crate::record::Record;
use crate::response::Client;
use crate::serving::Asker;
use crate::share;
use crate::tunnel::Tunnel;
use crate::up::{For, Speaks, Up, UpState};
use crate::view::Taken;
use crate::worker::{Worker, sooner};

/// The cluster of a request that was not sent on its way yet.
pub(crate) const NO_CLUSTER: ClusterId = ClusterId::NOBODY;

/// A request under way.
pub(crate) struct Stream {
    /// The client's connection.
    pub(crate) down: Key,
    /// The upstream's connection, while there is one that is ours alone.
    pub(crate) up: Option<Key>,
    /// What must be known of the request to read and write its response.
    pub(crate) to: ResponseTo,
    /// Its method asks for nothing to be done (RFC 9110, 9.2.1).
    pub(crate) is_safe: bool,
    /// The route, once it is found.
    pub(crate) taken: Option<Taken>,
    pub(crate) cluster: ClusterId,
    /// Which of the route's clusters it is.
    part: usize,
    /// What says which host of a hashing cluster serves it.
    pub(crate) hash: Option<u64>,
    /// The server that it is for, where its cluster goes by that.
    pub(crate) server: Option<Rc<str>>,
    /// Cookies that were made for the client, to be hashed by.
    pub(crate) set_cookies: Vec<Vec<u8>>,
    /// The request's head as it goes up; kept for another attempt.
    pub(crate) request_head: Buf,
    /// How that is written.
    pub(crate) form: RequestForm,
    /// The request's id, where its answer is to have it.
    pub(crate) request_id: Buf,
    pub(crate) request_framing: Framing,
    /// The host of this attempt, and its place in the balancer's count.
    pick: Option<Pick>,
    counted: Option<Request>,
    /// It waits for a connection to that host to come free.
    pub(crate) is_queued: bool,
    /// The client has sent its last byte.
    pub(crate) is_request_done: bool,
    /// Body bytes have been passed up: another attempt could not send them again.
    pub(crate) is_spent: bool,
    /// Body bytes that wait for the upstream connection.
    pub(crate) waiting: Held,
    pub(crate) waiting_bytes: usize,
    pub(crate) attempts: u32,
    retries_left: u32,
    /// The retry policy, where the request has another than its route.
    own_retry: Option<Box<Retry>>,
    pub(crate) limits: Limits,
    /// A time-out is answered with 204.
    answers_204: bool,
    /// It counts among the cluster's retries.
    pub(crate) is_retry: bool,
    has_met_stale: bool,
    /// When the last attempt was sent.
    pub(crate) sent_at: Nanos,
    /// When anything last moved.
    pub(crate) active_at: Nanos,
    /// What the kernel had moved by itself when the idle alarm last looked.
    pub(crate) relayed_seen: u64,
    pub(crate) timer: Option<Timer>,
    /// When it rings: at the stream's next alarm, or before.
    rings_at: Nanos,
    /// It is a call by gRPC.
    pub(crate) is_grpc: bool,
    /// What it is to become, if it is agreed on.
    pub(crate) tunnel: Tunnel,
    /// What the client has said of the scheme: by HTTP/2, or in an absolute target.
    pub(crate) scheme: Option<&'static str>,
    /// The stream of an upstream's connection by HTTP/2.
    pub(crate) up_id: u32,
    /// Body bytes of the answer that the upstream has not been told of as consumed.
    pub(crate) up_debt: usize,
    /// It stands among the pending ones of that connection.
    pub(crate) is_up_listed: bool,
    /// The request has been sent to its end on it.
    pub(crate) is_up_ended: bool,
    /// A part of the answer has come on it.
    pub(crate) has_begun: bool,
    /// The answer has come whole on it.
    pub(crate) is_response_done: bool,
    /// The fields behind the request's body.
    pub(crate) trailers: Option<Box<Head>>,
    /// What is on its way to a client by HTTP/2.
    pub(crate) returning: Option<Box<Returning>>,
    /// What formats and logs want to know, where there are any.
    pub(crate) record: Option<Box<Record>>,
    /// The exchange must be over by then, whatever it is doing.
    pub(crate) ends_by: Option<Nanos>,
    pub(crate) deadline: Option<Nanos>,
    pub(crate) try_deadline: Option<Nanos>,
    /// When the next attempt begins.
    pub(crate) retry_at: Option<Nanos>,
    /// What the filters remember of it.
    pub(crate) filtering: Option<Box<Filtering>>,
    /// It is copied, or a copy.
    pub(crate) mirroring: Option<Box<Mirroring>>,
    pub(crate) idle_limit: Option<Duration>,
}

impl Stream {
    pub(crate) fn new(down: Key, head: &Head, now: Nanos) -> Self {
        let framing = head.framing;
        Self {
            down,
            up: None,
            to: ResponseTo::of(head),
            is_safe: matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE"),
            taken: None,
            cluster: NO_CLUSTER,
            part: 0,
            hash: None,
            server: None,
            set_cookies: Vec::new(),
            request_head: Buf::empty(),
            form: RequestForm::default(),
            request_id: Buf::empty(),
            request_framing: framing,
            pick: None,
            counted: None,
            is_queued: false,
            is_request_done: matches!(framing, Framing::None | Framing::Length(0)),
            is_spent: false,
            waiting: Held::default(),
            waiting_bytes: 0,
            attempts: 0,
            retries_left: 0,
            own_retry: None,
            limits: Limits::default(),
            answers_204: false,
            is_retry: false,
            has_met_stale: false,
            sent_at: now,
            active_at: now,
            relayed_seen: 0,
            timer: None,
            rings_at: now,
            is_grpc: reply::is_grpc(head),
            tunnel: Tunnel::None,
            scheme: scheme_of(head),
            up_id: 0,
            up_debt: 0,
            is_up_listed: false,
            is_up_ended: false,
            has_begun: false,
            is_response_done: false,
            trailers: None,
            returning: None,
            record: None,
            ends_by: None,
            deadline: None,
            try_deadline: None,
            retry_at: None,
            filtering: None,
            mirroring: None,
            idle_limit: None,
        }
    }

    /// Takes what the route says about time and attempts; `to` is its cluster that was chosen.
    pub(crate) fn follow(
        &mut self,
        forward: &Forward,
        to: &Weighted,
        idle_limit: Option<Duration>,
        terms: Terms,
    ) {
        let part = forward.clusters.iter().position(|one| std::ptr::eq(one, to));
        self.part = part.unwrap_or_default();
        let Terms { limits, retry: own, answers_204 } = terms;
        let retry = own.as_deref().or(forward.retry.as_ref());
        self.retries_left = retry.map_or(0, |retry| retry.retries);
        (self.limits, self.own_retry, self.answers_204) = (limits, own, answers_204);
        self.idle_limit = forward.idle_timeout.unwrap_or(idle_limit);
    }

    /// A filter lets it wait, on its way to this cluster if it is to be forwarded.
    pub(crate) fn wait(&mut self, now: Nanos, to: Option<ClusterId>, idle_limit: Option<Duration>) {
        let of_route = self.forward().and_then(|forward| forward.idle_timeout);
        self.active_at = now;
        self.idle_limit = of_route.unwrap_or(idle_limit);
        self.cluster = to.unwrap_or(self.cluster);
    }

    /// It waits until then for a filter's sake.
    fn waits_until(&self) -> Option<Nanos> {
        self.filtering.as_ref().and_then(|filtering| filtering.until)
    }

    /// The route's time runs from now on.
    pub(crate) fn start_clock(&mut self, now: Nanos) {
        // There is none yet while it waits for a filter's sake: the router does not know of it.
        self.deadline = self.limits.whole.map(|limit| now.after(limit));
    }

    pub(crate) fn forward(&self) -> Option<&Forward> {
        match &self.taken.as_ref()?.route()?.action {
            RouteAction::Forward(forward) => Some(forward),
            RouteAction::Direct { .. } | RouteAction::Redirect(_) => None,
        }
    }

    /// The host of this attempt.
    pub(crate) fn host(&self) -> Option<HostId> {
        self.pick.map(|pick| pick.host)
    }

    pub(crate) fn retry(&self) -> Option<&Retry> {
        match &self.own_retry {
            Some(own) => Some(own),
            None => self.forward()?.retry.as_ref(),
        }
    }

    /// No more body is taken for now: too much of it waits for the upstream connection.
    pub(crate) fn is_full(&self, pool: &Pool) -> bool {
        let most = BODY_WAITING_MAX.min(share::unsent_max(pool));
        self.waiting_bytes > 0 && self.waiting_bytes >= most && !self.is_gathering()
    }

    /// Takes one of the retries that the route allows, if the request can be sent again.
    pub(crate) fn takes_retry(&mut self) -> bool {
        if self.retries_left == 0 {
            self.note_exhausted();
        }
        let may = self.retries_left > 0 && !self.is_spent;
        self.retries_left -= u32::from(may);
        may
    }

    /// Below this the pause before the retry lies that was just taken, in milliseconds; at least 1.
    pub(crate) fn retry_interval_ms(&self) -> u64 {
        let Some(retry) = self.retry() else { return 1 };
        let taken = retry.retries.saturating_sub(self.retries_left);
        retry.back_off.interval_ms(taken.saturating_sub(1)).clamp(1, RETRY_MS_MAX)
    }

    /// Takes the one retry that a stale pooled connection is worth.
    pub(crate) fn takes_stale_retry(&mut self) -> bool {
        !std::mem::replace(&mut self.has_met_stale, true)
    }

    /// What follows in either direction is no message any more: it is not framed, and the route's
    /// time does not hold for it.
    pub(crate) fn become_tunnel(&mut self) {
        (self.request_framing, self.tunnel) = (Framing::UntilClose, Tunnel::Open);
        // What a client by HTTP/1.1 says from here on ends with its connection.
        self.is_request_done &= self.returning.is_some();
        (self.deadline, self.try_deadline) = (None, None);
    }

    fn next_alarm(&self) -> Option<Nanos> {
        let idle = self.idle_limit.map(|limit| self.active_at.after(limit));
        let whole = self.returning.as_ref().and_then(|returning| returning.whole_by);
        let waits = self.filtering.as_ref().and_then(|filtering| filtering.next());
        let attempt = sooner(sooner(self.try_deadline, self.retry_at), waits);
        sooner(sooner(sooner(self.ends_by, self.deadline), sooner(idle, whole)), attempt)
    }
}

fn scheme_of(head: &Head) -> Option<&'static str> {
    match head.get(head.scheme) {
        b"" => None,
        told if told.eq_ignore_ascii_case(b"https") => Some("https"),
        _ => Some("http"),
    }
}

impl<D: Driver> Worker<D> {
    /// Sends the request to a host of its cluster: over a connection that waits there, or a new
    /// one.
    pub(crate) fn send_request(&mut self, key: Key) {
        let now = self.io.driver.now();
        let random = self.io.random.next();
        let Some(ends) = self.ends_of(key) else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.attempts += 1;
        let random = stream.hash.unwrap_or(random);
        let labels = || Some(&stream.forward()?.clusters.get(stream.part)?.subset);
        let picked = self.clusters.pick_among(stream.cluster, Some(ends.1), random, labels);
        let apart = |pick| self.clusters.set_apart(pick, stream.server.as_ref(), ends);
        let pick = match picked.and_then(apart) {
            Ok(pick) => pick,
            Err(none) => return self.fail(key, reason_of(none)),
        };
        stream.pick = Some(pick);
        stream.note_host(pick.address);
        stream.counted = match self.clusters.begin(pick.host) {
            Ok(request) => Some(request),
            Err(none) => return self.fail(key, reason_of(none)),
        };
        stream.try_deadline = stream.limits.per_try.map(|limit| now.after(limit));
        let is_raw = stream.tunnel == Tunnel::Raw;
        if stream.forward().is_some_and(Forward::names_endpoint)
            && let Err(reason) = self.name_endpoint(key, pick.host)
        {
            return self.fail(key, reason);
        }
        let speaks = self.speaks(key);
        if speaks != Speaks::Http1 && self.send_shared(key, &pick, speaks) {
            return;
        }
        if speaks != Speaks::Http2
            && !is_raw
            && let Some(up) = self.idle_up(&pick)
        {
            return self.attach(key, up);
        }
        match self.clusters.open(pick.host) {
            Ok(lease) => self.connect_granted(key, lease),
            Err(NoHost::Overflow) => self.queue(key, &pick),
            Err(none) => self.fail(key, reason_of(none)),
        }
    }

    /// Connects for a request that has the right to a connection.
    pub(crate) fn connect_granted(&mut self, key: Key, lease: Lease) {
        let Some(pick) = self.streams.get_mut(key).and_then(|stream| {
            let pick = stream.pick.filter(|pick| pick.host == lease.host && stream.up.is_none())?;
            stream.is_queued = false;
            Some(pick)
        }) else {
            // The client has gone in the meantime, or has been served otherwise.
            return self.give_back(lease, NOBODY);
        };
        if self.clusters.transport(lease.host).is_none() {
            self.give_back(lease, NOBODY);
            return self.choose_again(key);
        }
        let speaks = self.speaks(key);
        if speaks != Speaks::Http1
            && let Some(up) = self.clusters.shared(lease.host)
        {
            self.give_back(lease, NOBODY);
            return self.attach_h2(key, up);
        }
        match self.dial(&pick, lease, For::Stream(key), speaks) {
            Ok(up) => {
                if speaks == Speaks::Http2 {
                    self.clusters.make(lease.host, up);
                }
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.up = Some(up);
                }
                self.set_alarm(key);
            }
            Err(reason) => self.on_connect_failed(key, reason),
        }
    }

    /// The host has left while the request waited for it: it was never asked, so this attempt does
    /// not count.
    pub(crate) fn choose_again(&mut self, key: Key) {
        self.uncount(key);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.attempts = stream.attempts.saturating_sub(1);
        }
        self.send_request(key);
    }

    /// All connections to the host are taken: waits for one to come free.
    pub(crate) fn queue(&mut self, key: Key, pick: &Pick) {
        let wants = match self.speaks(key) {
            Speaks::Http1 => Wants::Own,
            Speaks::Http2 => Wants::Shared,
            Speaks::Negotiated => Wants::Any,
        };
        match self.clusters.wait(pick.host, key, wants) {
            Ok(()) => {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.is_queued = true;
                }
                self.set_alarm(key);
            }
            Err(none) => self.fail(key, reason_of(none)),
        }
    }

    /// The request cannot go out on the connection that is there, and waits for what comes of it.
    pub(crate) fn wait_again(&mut self, key: Key) {
        let pick = self.streams.get(key).and_then(|stream| stream.pick);
        match pick {
            Some(pick) => self.queue(key, &pick),
            None => self.fail(key, Reason::ConnectionFailure),
        }
    }

    /// The attempt is over: its host counts one request less.
    pub(crate) fn uncount(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Some(request) = stream.counted.take() {
            self.clusters.end(request);
        }
        if let (Some(pick), true) = (stream.pick.take(), std::mem::take(&mut stream.is_queued)) {
            self.clusters.forget(pick.host, key);
        }
    }

    /// A connection is ready: the head goes out, then what waits of the body.
    pub(crate) fn attach(&mut self, key: Key, up_key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else {
            // The client has gone in the meantime.
            return self.release(up_key, true);
        };
        let Some(up) = self.ups.get_mut(up_key) else {
            stream.up = None;
            return self.on_connect_failed(key, Reason::ConnectionFailure);
        };
        if stream.tunnel == Tunnel::Raw {
            return self.attach_raw(key, up_key);
        }
        stream.up = Some(up_key);
        stream.is_queued = false;
        let host = up.lease.host;
        (stream.sent_at, stream.active_at) = (now, now);
        up.state = UpState::Http(Client::new(key));
        up.attached = self.turn;
        // Nothing else holds a connection that was idle.
        up.io.hold();
        let mut sent = up.io.send(&mut self.io.driver, stream.request_head.clone());
        // What is meant for a tunnel waits until there is one.
        let waits = stream.tunnel == Tunnel::Asked;
        if !waits {
            stream.waiting_bytes = 0;
        }
        while !waits && let Some(bytes) = stream.waiting.pop() {
            stream.is_spent = true;
            let piece = Piece::Data(bytes);
            sent = sent.and_then(|()| {
                encode::send(&mut up.io, &mut self.io.driver, stream.request_framing, piece)
            });
        }
        if stream.is_request_done {
            sent = sent.and_then(|()| {
                encode::send(&mut up.io, &mut self.io.driver, stream.request_framing, Piece::End)
            });
        }
        let released = up.io.release(&mut self.io.driver, &mut self.io.scratch);
        let sent = sent.and(released);
        let down = stream.down;
        self.note_attempt(key, up_key);
        self.observe_host(host, Outcome::Connected);
        match sent {
            Ok(()) => {
                self.set_alarm(key);
                self.wake(down, key);
            }
            Err(_) => self.on_response_broken(up_key, false),
        }
    }

    /// Bytes of the request's body, as filters have left them.
    pub(crate) fn pass_body(&mut self, key: Key, piece: Piece) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.active_at = now;
        if matches!(piece, Piece::End) {
            stream.is_request_done = true;
        }
        if stream.mirroring.is_some() {
            self.mirror_body(key, &piece);
        }
        let Some(stream) = self.streams.get_mut(key) else { return };
        let up = stream.up.and_then(|up| self.ups.get_mut(up));
        let takes = !matches!(stream.tunnel, Tunnel::Asked | Tunnel::Raw);
        let Some(up) = up.filter(|up| takes && matches!(up.state, UpState::Http(_))) else {
            if let Piece::Data(bytes) = piece {
                stream.waiting_bytes += bytes.len();
                if stream.waiting.push(self.io.driver.pool(), bytes).is_err() {
                    return self.fail(key, Reason::UpstreamOverflow);
                }
            }
            if let Some(up) = stream.up {
                self.list_up(up, key);
            }
            return;
        };
        if stream.tunnel == Tunnel::Open && matches!(piece, Piece::End) {
            return up.io.finish(&mut self.io.driver, &mut self.io.scratch);
        }
        stream.is_spent |= matches!(piece, Piece::Data(_));
        let held = up.io.hold();
        let mut sent = encode::send(&mut up.io, &mut self.io.driver, stream.request_framing, piece);
        if held {
            let released = up.io.release(&mut self.io.driver, &mut self.io.scratch);
            sent = sent.and(released);
        }
        if sent.is_err()
            && let Some(up) = stream.up
        {
            self.on_response_broken(up, false);
        }
    }

    /// The request is complete: from here on the route's time runs.
    pub(crate) fn on_request_done(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.is_request_done = true;
        stream.reach(Point::RequestEnd, now);
        if stream.up.is_some() {
            stream.reach(Point::UpstreamSendEnd, now);
        }
        if stream.tunnel == Tunnel::Open {
            return;
        }
        stream.start_clock(now);
        self.set_alarm(key);
    }

    pub(crate) fn set_alarm(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(at) = stream.next_alarm() else { return };
        self.io.rearm_sooner(&mut stream.timer, &mut stream.rings_at, at, Alarm::Stream(key));
    }

    pub(crate) fn on_stream_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.timer = None;
        let is_over = |at: Option<Nanos>| at.is_some_and(|at| at <= now);
        let whole_by = stream.returning.as_ref().and_then(|returning| returning.whole_by);
        if is_over(stream.ends_by) {
            let is_whole = stream.is_request_done;
            let reason = if is_whole { Reason::MaxDuration } else { Reason::RequestMaxDuration };
            self.fail(key, reason);
        } else if is_over(stream.deadline) {
            self.observe_failure(key, Reason::ResponseTimeout);
            self.fail(key, Reason::ResponseTimeout);
        } else if is_over(whole_by) {
            self.fail(key, Reason::RequestTimeout);
        } else if is_over(stream.waits_until()) {
            self.resume(key);
        } else if is_over(stream.filtering.as_ref().and_then(|filtering| filtering.next())) {
            self.on_slice(key);
        } else if is_over(stream.retry_at) {
            stream.retry_at = None;
            self.send_request(key);
        } else if is_over(stream.try_deadline) {
            stream.try_deadline = None;
            self.on_attempt_failed(key, Reason::PerTryTimeout, |retry| retry.on_reset);
        } else if is_over(stream.idle_limit.map(|limit| stream.active_at.after(limit))) {
            if self.has_relayed(key) {
                return self.stay_active(key);
            }
            let Some(stream) = self.streams.get(key) else { return };
            let is_whole = stream.is_request_done;
            let reason =
                if is_whole { Reason::StreamIdleTimeout } else { Reason::RequestIdleTimeout };
            self.fail(key, reason);
        } else {
            self.set_alarm(key);
        }
    }

    /// Something has moved: the idle time begins anew.
    fn stay_active(&mut self, key: Key) {
        let now = self.io.driver.now();
        if let Some(stream) = self.streams.get_mut(key) {
            stream.active_at = now;
        }
        self.set_alarm(key);
    }

    /// The upstream's connection no longer belongs to a stream: what it says goes nowhere.
    pub(crate) fn unbind(&mut self, up: Key) {
        if let Some(up) = self.ups.get_mut(up) {
            up.state = UpState::Idle;
        }
    }

    /// Ends the stream with an answer of our own, or, if the answer has begun, by breaking off.
    pub(crate) fn fail(&mut self, key: Key, reason: Reason) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let down = stream.down;
        if stream.copied().is_some() {
            return self.abandon(key);
        }
        let has_answered = self.downs.get(down).is_some_and(|down| down.has_answered(stream));
        if has_answered {
            stream.note_broken(&reason.reply());
        }
        let is_timeout = matches!(reason, Reason::ResponseTimeout | Reason::PerTryTimeout);
        if stream.answers_204 && is_timeout && !has_answered {
            let reply = Reply { status: 204, body: "", ..reason.reply() };
            return self.answer(Asker { down, stream: Some(key) }, reply);
        }
        if let Some(returning) = &stream.returning {
            return match returning.is_answered {
                false => self.reply(Asker { down, stream: Some(key) }, reason),
                true => self.break_off(key),
            };
        }
        match self.downs.get(down).and_then(Down::http).and_then(|http| http.answered) {
            None => self.reply(Asker::of(down), reason),
            // Half an answer cannot be taken back; the client must see that it is half.
            Some(Framing::UntilClose) => self.abort_down(down),
            Some(_) => self.close_down(down),
        }
    }

    /// The client no longer wants the answer: frees what the stream holds.
    pub(crate) fn abandon(&mut self, key: Key) {
        self.log_request(key);
        self.uncount(key);
        self.end_retry(key);
        let Some(mut stream) = self.streams.remove(key) else { return };
        self.end_record(&mut stream);
        self.io.rearm(&mut stream.timer, None, Alarm::Stream(key));
        if let Some(up) = stream.up {
            let (id, debt) = (stream.up_id, stream.up_debt);
            self.let_go(up, id, debt);
        }
        if let Some(filtering) = stream.filtering.take() {
            self.forget_filtering(filtering);
        }
        if let Some(returning) = stream.returning.take() {
            self.settle_returning(stream.down, returning);
        }
        if let Some(mirroring) = &stream.mirroring {
            self.end_mirroring(mirroring);
        }
    }

    /// The stream lets go of its upstream connection, whatever came over it by now.
    pub(crate) fn leave_up(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (id, debt) = (std::mem::take(&mut stream.up_id), std::mem::take(&mut stream.up_debt));
        if let Some(up) = stream.up.take() {
            self.let_go(up, id, debt);
        }
    }

    /// One of many requests is given up by itself; what serves one alone is closed with it.
    fn let_go(&mut self, up: Key, id: u32, debt: usize) {
        if self.ups.get(up).is_some_and(|up| matches!(up.state, UpState::Http2(_))) {
            let now = self.io.driver.now();
            return self.settle_up_h2(up, id, debt, now);
        }
        let is_made =
            |up: &Up| matches!(up.state, UpState::Connecting(_) | UpState::Handshaking(_));
        if self.ups.get(up).is_some_and(|up| up.speaks == Speaks::Http2 && is_made(up)) {
            // Others wait for it, or will: a client that gives up again and again is not to have
            // the upstream connected to again and again.
            return;
        }
        self.unbind(up);
        self.discard(up);
    }
}
