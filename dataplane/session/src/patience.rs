//! How long a client's HTTP connection may take, and for what.
//!
//! The timer is moved only where a deadline comes nearer; when it rings too early it is set again.
//! A busy connection then touches the wheel once in an idle time-out, not twice a request.

use policy::reply::Reason;
use ring::Key;
use ring::driver::{Driver, Nanos};

use crate::down::Down;
use crate::keys::Alarm;
use crate::request::{HttpSide, Phase};
use crate::worker::Worker;

impl HttpSide {
    /// When patience ends in the present phase.
    fn deadline(&self) -> Option<Nanos> {
        let manager = self.manager();
        let limit = match self.phase {
            Phase::Head if self.has_partial_head() => manager.request_headers_timeout,
            Phase::Head => manager.idle_timeout,
            Phase::Body(_) => manager.request_timeout,
            Phase::Waiting | Phase::Tunnel => None,
        };
        limit.map(|limit| self.phase_since.after(limit))
    }
}

impl<D: Driver> Worker<D> {
    /// A phase begins: its patience is counted from now.
    pub(crate) fn begin_phase(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(http) = self.downs.get_mut(key).and_then(Down::http_mut) else { return };
        http.phase_since = now;
        self.keep_patience(key);
    }

    fn keep_patience(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(at) = down.http().and_then(HttpSide::deadline) else { return };
        if down.timer.is_none() || at < down.rings_at {
            down.rings_at = at;
            self.io.rearm(&mut down.timer, Some(at), Alarm::Down(key));
        }
    }

    pub(crate) fn on_patience_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(http) = self.downs.get(key).and_then(Down::http) else { return };
        if http.deadline().is_none_or(|at| at > now) {
            return self.keep_patience(key);
        }
        match http.phase {
            Phase::Head if http.has_partial_head() => {
                self.close_after_answer(key);
                self.reply(key, Reason::RequestHeadersTimeout);
            }
            Phase::Body(_) if !http.has_answered() => {
                self.close_after_answer(key);
                self.reply(key, Reason::RequestTimeout);
            }
            Phase::Body(_) => self.abort_down(key),
            Phase::Head | Phase::Waiting | Phase::Tunnel => self.close_down(key),
        }
    }

    fn close_after_answer(&mut self, key: Key) {
        if let Some(http) = self.downs.get_mut(key).and_then(Down::http_mut) {
            http.is_closing = true;
        }
    }
}
