//! How long a client's HTTP connection may take, and for what.
//!
//! The timer is moved only where a deadline comes nearer; when it rings too early it is set again.
//! A busy connection then touches the wheel once in an idle time-out, not twice a request.

use config::snapshot::HttpManager;
use policy::reply::Reason;
use ring::Key;
use ring::driver::{Driver, Nanos};

use crate::down::Down;
use crate::keys::Alarm;
use crate::request::{HttpSide, Phase};
use crate::serving::Asker;
use crate::worker::{Worker, sooner};

impl HttpSide {
    /// When patience ends in the present phase. `is_flushing`: the answers before have not left.
    fn deadline(&self, is_flushing: bool) -> Option<Nanos> {
        let manager = self.manager();
        let limit = match self.phase {
            // As in Envoy, where a stream begins with its first byte.
            Phase::Head if self.has_partial_head() => {
                let head = sooner(manager.request_headers_timeout, manager.request_timeout);
                sooner(head, manager.stream_idle_timeout)
            }
            // Whoever does not read its answers holds our buffers.
            Phase::Head if is_flushing => sooner(manager.idle_timeout, manager.stream_idle_timeout),
            Phase::Preface | Phase::Head => manager.idle_timeout,
            Phase::Body(_) => manager.request_timeout,
            Phase::Waiting | Phase::Tunnel => None,
        };
        let limit = limit.map(|limit| self.phase_since.after(limit));
        [limit, self.serving.ends_at()].into_iter().flatten().min()
    }
}

/// Which of the limits a head has reached.
fn of_head(manager: &HttpManager) -> Reason {
    let HttpManager { request_headers_timeout: head, request_timeout: whole, .. } = manager;
    let idle = manager.stream_idle_timeout;
    match sooner(sooner(*head, *whole), idle) {
        soonest if soonest == *head => Reason::RequestHeadersTimeout,
        soonest if soonest == *whole => Reason::RequestTimeout,
        _ => Reason::RequestIdleTimeout,
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
        let is_flushing = down.io.unsent(&self.io.driver) > 0;
        let Some(at) = down.http().and_then(|http| http.deadline(is_flushing)) else { return };
        self.io.rearm_sooner(&mut down.timer, &mut down.rings_at, at, Alarm::Down(key));
    }

    pub(crate) fn on_patience_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get(key) else { return };
        let is_flushing = down.io.unsent(&self.io.driver) > 0;
        let Some(http) = down.http() else { return };
        if http.deadline(is_flushing).is_none_or(|at| at > now) {
            return self.keep_patience(key);
        }
        if http.serving.ends_at().is_some_and(|at| at <= now) {
            return self.on_too_old(key);
        }
        let reason = of_head(http.manager());
        match http.phase {
            Phase::Head if http.has_partial_head() => {
                self.close_after_answer(key);
                self.reply(Asker::of(key), reason);
            }
            Phase::Body(_) if !http.has_answered() => {
                self.close_after_answer(key);
                self.reply(Asker::of(key), Reason::RequestTimeout);
            }
            Phase::Body(_) => self.abort_down(key),
            Phase::Preface | Phase::Head | Phase::Waiting | Phase::Tunnel => self.close_down(key),
        }
    }

    /// The connection has lasted as long as it may: it ends with the next answer, or at once where
    /// none is under way.
    fn on_too_old(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let is_idle = down.is_idle();
        let Some(http) = down.http_mut() else { return };
        http.serving.has_aged();
        http.is_closing = true;
        match is_idle && !http.manager().spans.ends_with_answer {
            true => self.close_down(key),
            false => self.keep_patience(key),
        }
    }

    fn close_after_answer(&mut self, key: Key) {
        if let Some(http) = self.downs.get_mut(key).and_then(Down::http_mut) {
            http.is_closing = true;
        }
    }
}
