//! How a client's connection ends: idle, or told to go.

use ring::Key;
use ring::driver::{Driver, Nanos};

use super::Http2Side;
use super::keepalive::{Keepalive, Pulse};
use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::limits::DRAIN_NOTICE;
use crate::worker::Worker;

/// How far we have told the client that the connection ends (RFC 9113, 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It does not.
    Not,
    /// It soon takes no new streams: from then on.
    Announced(Nanos),
    /// It takes none.
    Final,
}

impl Http2Side {
    /// When patience ends. `is_flushing`: answers have not left.
    fn deadline(&self, is_flushing: bool) -> Option<Nanos> {
        let alive = self.keepalive.as_ref().and_then(Keepalive::deadline);
        let parted = match self.parting {
            Parting::Announced(at) => Some(at),
            _ => self.patience(is_flushing),
        };
        [alive, parted].into_iter().flatten().min()
    }

    /// The same but for signs of life.
    fn patience(&self, is_flushing: bool) -> Option<Nanos> {
        let too_old = self.serving.ends_at().filter(|_| self.parting == Parting::Not);
        if self.connection.open_streams() > 0 {
            return too_old;
        }
        let manager = &self.serving.manager;
        let reading = manager.stream_idle_timeout.filter(|_| is_flushing);
        let limit = [manager.idle_timeout, reading].into_iter().flatten().min();
        let idle = limit.map(|limit| self.idle_since.after(limit));
        [idle, too_old].into_iter().flatten().min()
    }
}

impl<D: Driver> Worker<D> {
    /// Announces the end where it is wanted: by us, or by a changed configuration.
    pub(super) fn part_if_asked(&mut self, key: Key) {
        let at = self.io.driver.now().after(DRAIN_NOTICE);
        let is_draining = self.draining;
        if let Some(Down { state: DownState::Http2(two), .. }) = self.downs.get_mut(key)
            && (is_draining || two.is_closing)
            && two.parting == Parting::Not
        {
            two.connection.announce_drain();
            two.parting = Parting::Announced(at);
        }
    }

    /// Sets the timer where a deadline comes nearer.
    pub(super) fn keep_h2_patience(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let is_flushing = down.io.unsent(&self.io.driver) > 0;
        let DownState::Http2(two) = &down.state else { return };
        let Some(at) = two.deadline(is_flushing) else { return };
        let alarm = crate::keys::Alarm::Down(key);
        self.io.rearm_sooner(&mut down.timer, &mut down.rings_at, at, alarm);
    }

    pub(crate) fn on_h2_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let is_flushing = down.io.unsent(&self.io.driver) > 0;
        let DownState::Http2(two) = &mut down.state else { return };
        match two.keepalive.as_mut().map(|alive| alive.look(now, &mut two.connection)) {
            Some(Pulse::Dead) => {
                self.io.counters.count(Counter::KeepaliveTimeout);
                return self.abort_down(key);
            }
            Some(Pulse::Asked) => self.ready.push(key),
            Some(Pulse::Fine) | None => {}
        }
        if two.deadline(is_flushing).is_none_or(|at| at > now) {
            return self.keep_h2_patience(key);
        }
        if two.serving.ends_at().is_some_and(|at| at <= now) {
            // It is announced first.
            two.serving.has_aged();
            two.is_closing = true;
            return self.ready.push(key);
        }
        two.connection.drain();
        two.parting = Parting::Final;
        // `flush_h2` closes it if no stream is open.
        self.ready.push(key);
    }
}
