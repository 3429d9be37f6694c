//! How a client's connection ends: idle, or told to go.

use ring::Key;
use ring::driver::{Driver, Nanos};

use super::Http2Side;
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
        if let Parting::Announced(at) = self.parting {
            return Some(at);
        }
        if self.connection.open_streams() > 0 {
            return None;
        }
        let manager = &self.serving.manager;
        let reading = manager.stream_idle_timeout.filter(|_| is_flushing);
        let limit = [manager.idle_timeout, reading].into_iter().flatten().min();
        limit.map(|limit| self.idle_since.after(limit))
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
        if down.timer.is_none() || at < down.rings_at {
            down.rings_at = at;
            self.io.rearm(&mut down.timer, Some(at), crate::keys::Alarm::Down(key));
        }
    }

    pub(crate) fn on_h2_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let is_flushing = down.io.unsent(&self.io.driver) > 0;
        let DownState::Http2(two) = &mut down.state else { return };
        if two.deadline(is_flushing).is_none_or(|at| at > now) {
            return self.keep_h2_patience(key);
        }
        two.connection.drain();
        two.parting = Parting::Final;
        // `flush_h2` closes it if no stream is open.
        self.ready.push(key);
    }
}
