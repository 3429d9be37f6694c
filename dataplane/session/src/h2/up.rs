//! A connection to an upstream that speaks HTTP/2: one for many requests.

use config::snapshot::{SchemeChange, UpstreamProtocol};
use policy::reply::Reason;
use ring::driver::{Driver, Nanos};
use ring::{Key, Pool};
use upstream::{Outcome, Pick};
use wire::h1;
use wire::h2::{Config, Connection, ErrorCode, Role, Unsent};
use wire::head::Version;

use super::answer::flush;
use super::keepalive::{Keepalive, Pulse};
use super::{config_of, key_of, mark_of};
use crate::counters::Counter;
use crate::keys::Alarm;
use crate::limits::{GIVEN_UP_MAX, HELD_BACK_MAX};
use crate::serving::Asker;
use crate::share;
use crate::tunnel::Tunnel;
use crate::up::{Speaks, Up, UpState};
use crate::worker::Worker;

/// A connection to an upstream that speaks HTTP/2.
pub(crate) struct Http2Up {
    pub(crate) connection: Connection,
    /// Requests that may have something to send.
    pub(super) pending: Vec<Key>,
    /// How many requests it may carry at once, as far as we say.
    streams_max: usize,
    /// It takes no more requests.
    pub(super) is_leaving: bool,
    pub(super) idle_since: Nanos,
    /// Bytes of answers that came and have not been passed on.
    pub(super) owed: usize,
    /// Requests that were given up, beyond those that were answered.
    pub(super) given_up: i32,
    pub(super) keepalive: Option<Keepalive>,
    /// When the connection's timer rings.
    rings_at: Nanos,
    /// It is not read from since then, for want of memory.
    pub(super) held_since: Option<Nanos>,
}

impl Http2Up {
    /// Memory is scarce, and what came finds no way on: no more is asked for.
    pub(crate) fn is_held_back(&self, pool: &Pool) -> bool {
        share::is_too_much(pool, self.owed)
    }

    /// It serves requests.
    pub(crate) fn is_busy(&self) -> bool {
        self.connection.open_streams() > 0
    }

    /// It ends with the requests that it serves.
    pub(crate) fn leave(&mut self) {
        self.is_leaving = true;
    }

    fn has_room(&self) -> bool {
        let most = self.streams_max.min(self.connection.peer().streams_max as usize);
        !self.is_leaving && self.connection.open_streams() < most
    }
}

impl<D: Driver> Worker<D> {
    /// What is spoken to the upstream for this request.
    pub(crate) fn speaks(&self, key: Key) -> Speaks {
        let Some(stream) = self.streams.get(key) else { return Speaks::Http1 };
        let protocol = self.clusters.cluster(stream.cluster).map(|cluster| cluster.protocol);
        match protocol.unwrap_or_default() {
            // Plain bytes are nobody's to share.
            _ if stream.tunnel == Tunnel::Raw => Speaks::Http1,
            UpstreamProtocol::Http1 => Speaks::Http1,
            UpstreamProtocol::Http2 => Speaks::Http2,
            UpstreamProtocol::Downstream if stream.came_by_http2() => Speaks::Http2,
            UpstreamProtocol::Downstream => Speaks::Http1,
            UpstreamProtocol::Negotiated => Speaks::Negotiated,
        }
    }

    /// Sends the request over a connection with room, if there is one. A connection under way is
    /// waited for. False: one is to be made.
    pub(crate) fn send_shared(&mut self, key: Key, pick: &Pick, speaks: Speaks) -> bool {
        if let Some(up) = self.clusters.shared(pick.host) {
            self.attach_h2(key, up);
            return true;
        }
        if speaks == Speaks::Http2 && self.clusters.is_making(pick.host) {
            self.queue(key, pick);
            return true;
        }
        false
    }

    /// A connection stands that speaks HTTP/2: it was made for this request, and serves those who
    /// wait too.
    pub(crate) fn begin_up_h2(&mut self, key: Key, stream: Key) {
        let (now, random) = (self.io.driver.now(), self.io.random.next());
        let Some(up) = self.ups.get_mut(key) else { return };
        let host = up.lease.host;
        let options = self.clusters.cluster(host.cluster).map(|cluster| cluster.http2);
        let options = options.unwrap_or_default();
        let limit = self.clusters.cluster(host.cluster).map(|cluster| cluster.connect_timeout);
        let at = limit.map(|limit| now.after(limit));
        let config = Config {
            head_bytes_max: up.answers.limits.head_bytes_max,
            fields_max: up.answers.limits.fields_max,
            ..config_of(&options)
        };
        self.io.counters.count(Counter::UpstreamHttp2);
        // Each request is counted as it is attached.
        up.lease.requests = 0;
        up.state = UpState::Http2(Box::new(Http2Up {
            connection: Connection::new(Role::Client, &config),
            pending: Vec::new(),
            streams_max: options.streams_max as usize,
            is_leaving: false,
            idle_since: now,
            owed: 0,
            given_up: 0,
            keepalive: Keepalive::new(options.keepalive, now, random),
            rings_at: at.unwrap_or(now),
            held_since: None,
        }));
        up.io.arm(&mut self.io.driver);
        self.io.rearm(&mut up.timer, at, Alarm::Up(key));
        self.attach_h2(stream, key);
        self.ready_ups.push(key);
    }

    /// Sends the request's head over this connection; its body follows in turns.
    pub(crate) fn attach_h2(&mut self, key: Key, up_key: Key) {
        let now = self.io.driver.now();
        let is_read = self.read_request_head(key).is_some();
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.up = None;
        stream.is_queued = false;
        let Some(up) = self.ups.get_mut(up_key).filter(|_| is_read) else {
            return self.on_connect_failed(key, Reason::ConnectionFailure);
        };
        let UpState::Http2(two) = &mut up.state else {
            return self.on_connect_failed(key, Reason::ConnectionFailure);
        };
        if let Some(SchemeChange::OfUpstream) = stream.form.scheme {
            let scheme: &[u8] = if up.io.is_secure() { b"https" } else { b"http" };
            self.io.head.scheme = self.io.head.add_bytes(scheme);
        }
        if self.io.head.upgrade.is_some() && !two.connection.peer().extended_connect {
            return match two.connection.is_greeted() {
                // Its settings say whether it understands that (RFC 8441, 3).
                false => self.wait_again(key),
                true => {
                    let down = stream.down;
                    self.reply(Asker { down, stream: Some(key) }, Reason::UpgradeRefused)
                }
            };
        }
        if two.connection.open_streams() == 0
            && let Some(alive) = &mut two.keepalive
        {
            alive.wake(two.idle_since, now, &mut two.connection);
        }
        let end = stream.is_request_done
            && stream.tunnel == Tunnel::None
            && stream.waiting_bytes == 0
            && stream.trailers.is_none();
        match two.connection.send_request(&self.io.head, end, mark_of(key)) {
            Ok(id) => {
                (stream.up, stream.up_id, stream.is_up_ended) = (Some(up_key), id, end);
                (stream.sent_at, stream.active_at) = (now, now);
                // The connection before may have had it among its own.
                (stream.has_begun, stream.is_up_listed) = (false, false);
                up.lease.requests = up.lease.requests.saturating_add(1);
                let (down, has_room, host) = (stream.down, two.has_room(), up.lease.host);
                let is_known = two.connection.is_greeted();
                if is_known && (!has_room || self.clusters.is_spent(&up.lease)) {
                    self.clusters.unshare(host, up_key);
                }
                self.note_attempt(key, up_key);
                self.observe_host(host, Outcome::Connected);
                self.set_alarm(key);
                self.list_up(up_key, key);
                self.ready_ups.push(up_key);
                self.wake(down, key);
            }
            Err(unsent) => {
                two.is_leaving |= unsent != Unsent::TooManyStreams;
                let host = up.lease.host;
                self.clusters.unshare(host, up_key);
                self.ready_ups.push(up_key);
                self.choose_again(key);
            }
        }
    }

    /// Brings the request's head back into `io.head`.
    pub(crate) fn read_request_head(&mut self, key: Key) -> Option<()> {
        let stream = self.streams.get(key)?;
        // What we have written is within what we accept.
        let limits = stream.form.limits();
        let head = &mut self.io.head;
        h1::parse_request(&stream.request_head, &limits, head).ok()?;
        head.framing = stream.request_framing;
        head.version = Version::Http2;
        if let Some(scheme) = stream.scheme {
            head.scheme = head.add_bytes(scheme.as_bytes());
        }
        Some(())
    }

    /// Sends what may go, and looks after the connection's place.
    pub(crate) fn serve_up_h2(&mut self, key: Key) {
        let is_holding = self.ups.get_mut(key).is_some_and(|up| up.io.hold());
        self.pump_up(key);
        let flushed = self.flush_up(key);
        let mut released = Ok(());
        if is_holding && let Some(up) = self.ups.get_mut(key) {
            released = up.io.release(&mut self.io.driver, &mut self.io.scratch);
        }
        if !flushed || released.is_err() {
            return self.end_up_h2(key, Reason::ConnectionTermination);
        }
        self.keep_place(key);
        self.rearm_up(key);
    }

    fn flush_up(&mut self, key: Key) -> bool {
        let Some(up) = self.ups.get_mut(key) else { return true };
        let UpState::Http2(two) = &mut up.state else { return true };
        flush(&mut up.io, &mut self.io.driver, &mut two.connection).is_ok()
    }

    /// Keeps the connection among those with room while it has some, and closes it once it is of no
    /// more use.
    fn keep_place(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let UpState::Http2(two) = &mut up.state else { return };
        if !two.connection.is_greeted() {
            // How many requests it takes is not known yet: those that come wait for that.
            return;
        }
        let host = up.lease.host;
        let is_old = up.ends_at.is_some_and(|at| at <= self.io.driver.now());
        // An upstream may take many resets for an attack, and end what it serves for others.
        let is_worn = two.given_up >= GIVEN_UP_MAX;
        two.is_leaving |= is_old || is_worn || self.clusters.is_spent(&up.lease);
        let (is_idle, is_leaving) = (two.connection.open_streams() == 0, two.is_leaving);
        match two.has_room() {
            true if self.clusters.share(host, key, is_idle) => self.serve_waiters(key),
            true => two.is_leaving = true,
            false => self.clusters.unshare(host, key),
        }
        if is_idle && is_leaving {
            return self.close_up(key);
        }
        // One at a time: it may have room for all of them.
        let granted = self.more_for_waiters(key);
        self.granted.extend(granted);
        self.keep_up_patience(key);
    }

    /// Those who wait and find no room here make another connection, if the limits allow it.
    fn more_for_waiters(&mut self, key: Key) -> Option<(Key, upstream::Lease)> {
        let host = self.ups.get(key)?.lease.host;
        match self.clusters.shared(host).is_some() || self.clusters.is_making(host) {
            true => None,
            false => self.clusters.open_for_waiter(host),
        }
    }

    fn serve_waiters(&mut self, key: Key) {
        while let Some(host) = self.room_of(key)
            && let Some(waiter) = self.clusters.next_waiter(host)
        {
            self.attach_h2(waiter, key);
        }
    }

    fn room_of(&self, key: Key) -> Option<upstream::HostId> {
        let up = self.ups.get(key)?;
        let UpState::Http2(two) = &up.state else { return None };
        (two.has_room() && !self.clusters.is_spent(&up.lease)).then_some(up.lease.host)
    }

    fn keep_up_patience(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let Some(at) = self.clusters.cluster(up.lease.host.cluster).and_then(|cluster| {
            let UpState::Http2(two) = &up.state else { return None };
            let idle = cluster.idle_timeout.map(|limit| two.idle_since.after(limit));
            let first = [idle, up.ends_at].into_iter().flatten().min();
            let first = first.filter(|_| two.connection.open_streams() == 0);
            let alive = two.keepalive.as_ref().and_then(Keepalive::deadline);
            [first, alive].into_iter().flatten().min()
        }) else {
            return;
        };
        let UpState::Http2(two) = &mut up.state else { return };
        self.io.rearm_sooner(&mut up.timer, &mut two.rings_at, at, Alarm::Up(key));
    }

    pub(crate) fn on_up_h2_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(up) = self.ups.get_mut(key) else { return };
        let UpState::Http2(two) = &mut up.state else { return };
        if !two.connection.is_greeted() {
            // It was made but says nothing: whoever comes would wait for it.
            let reason = Reason::ConnectionTimeout;
            self.fail_waiters(key, reason);
            self.end_up_h2(key, reason);
            return self.fail_failed();
        }
        match two.keepalive.as_mut().map(|alive| alive.look(now, &mut two.connection)) {
            Some(Pulse::Dead) => {
                self.io.counters.count(Counter::KeepaliveTimeout);
                return self.end_up_h2(key, Reason::ConnectionTermination);
            }
            Some(Pulse::Asked) => self.ready_ups.push(key),
            Some(Pulse::Fine) | None => {}
        }
        let cluster = self.clusters.cluster(up.lease.host.cluster);
        let limit = cluster.and_then(|cluster| cluster.idle_timeout);
        let is_idle = two.connection.open_streams() == 0;
        if up.ends_at.is_some_and(|at| at <= now) {
            // `keep_place` lets it end.
            return self.ready_ups.push(key);
        }
        match limit.is_some_and(|limit| is_idle && two.idle_since.after(limit) <= now) {
            true => self.close_up(key),
            false => self.keep_up_patience(key),
        }
    }

    /// Memory is scarce, and what has come on this connection finds no way on: it is not read from
    /// before that has changed, which is looked at once a second.
    pub(crate) fn holds_back(&mut self, key: Key) -> bool {
        let now = self.io.driver.now();
        let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(key) else {
            return false;
        };
        if !two.is_held_back(self.io.driver.pool()) {
            two.held_since = None;
            return false;
        }
        if two.held_since.is_none() {
            two.held_since = Some(now);
            self.held_ups.push(key);
        }
        true
    }

    /// Reads from those again that can go on, and ends those that could not for too long: what they
    /// hold is nobody's for the taking, and others of their requests wait behind it.
    pub(crate) fn look_at_held_back(&mut self) {
        let now = self.io.driver.now();
        let mut held = std::mem::take(&mut self.held_ups);
        held.retain(|key| {
            let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(*key) else {
                return false;
            };
            let Some(since) = two.held_since else { return false };
            if !two.is_held_back(self.io.driver.pool()) {
                self.ready_ups.push(*key);
            } else if since.after(HELD_BACK_MAX) <= now {
                self.io.counters.count(Counter::UpstreamStalled);
                self.end_up_h2(*key, Reason::UpstreamOverflow);
            } else {
                return true;
            }
            false
        });
        held.append(&mut self.held_ups);
        self.held_ups = held;
    }

    /// The request has no more to do with its connection to the upstream.
    pub(crate) fn detach_h2(&mut self, key: Key, up_key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (id, debt) = (std::mem::take(&mut stream.up_id), std::mem::take(&mut stream.up_debt));
        self.settle_up_h2(up_key, id, debt, now);
    }

    /// The same for a request that is gone itself.
    pub(crate) fn settle_up_h2(&mut self, up_key: Key, id: u32, debt: usize, now: Nanos) {
        let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(up_key) else { return };
        if two.connection.reset(id, ErrorCode::Cancel) {
            two.given_up = two.given_up.saturating_add(1);
        }
        two.owed = two.owed.saturating_sub(debt);
        two.idle_since = now;
        self.ready_ups.push(up_key);
    }

    /// The connection is at its end: its requests fail, or are sent again.
    pub(crate) fn end_up_h2(&mut self, key: Key, reason: Reason) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let is_reused = up.lease.requests > 1;
        let UpState::Http2(mut two) = std::mem::replace(&mut up.state, UpState::Idle) else {
            return;
        };
        let _ = flush(&mut up.io, &mut self.io.driver, &mut two.connection);
        two.pending.clear();
        two.pending.extend(two.connection.handles().filter_map(|handle| key_of(handle.user)));
        for key in &two.pending {
            if let Some(stream) = self.streams.get_mut(*key) {
                (stream.up, stream.up_id, stream.up_debt) = (None, 0, 0);
            }
        }
        self.close_up(key);
        while let Some(stream) = two.pending.pop() {
            self.on_up_lost(stream, reason, is_reused);
        }
    }

    fn on_up_lost(&mut self, key: Key, reason: Reason, is_reused: bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let has_begun = stream.has_begun;
        let untouched = !has_begun && !stream.is_spent && stream.is_request_done;
        // RFC 9110, 9.2.2: what is not safe may have been done already.
        let may = reason == Reason::ConnectionTermination && is_reused && untouched;
        if may && stream.is_safe && stream.takes_stale_retry() {
            self.try_now(key);
        } else {
            self.on_attempt_failed(key, reason, |retry| retry.on_reset && !has_begun);
        }
    }

    /// Tells those whom [`Self::fail_waiters`] has found.
    pub(crate) fn fail_failed(&mut self) {
        while let Some((stream, reason)) = self.failed.pop() {
            self.on_connect_failed(stream, reason);
        }
    }

    /// No connection could be made to the host: who waits for one there has waited in vain.
    pub(crate) fn fail_waiters(&mut self, key: Key, reason: Reason) {
        let Some(up) = self.ups.get(key).filter(|up| up.speaks == Speaks::Http2) else { return };
        let host = up.lease.host;
        if self.clusters.shared(host).is_some() {
            return;
        }
        self.clusters.unshare(host, key);
        while let Some(waiter) = self.clusters.next_waiter(host) {
            if let Some(stream) = self.streams.get_mut(waiter) {
                stream.is_queued = false;
            }
            self.failed.push((waiter, reason));
        }
    }
}
