//! Attempts after the first.
//!
//! Sent again is only what was not answered and of which no body byte has left, for bodies are not
//! kept.

use std::time::Duration;

use config::snapshot::Retry;
use policy::headers::{self, Attempt};
use policy::reply::Reason;
use ring::Key;
use ring::driver::Driver;
use wire::h1;

use crate::counters::Counter;
use crate::encode;
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// No connection could be made for the request: nothing of it has been sent.
    pub(crate) fn on_connect_failed(&mut self, key: Key, reason: Reason) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.up = None;
        }
        self.on_attempt_failed(key, reason, |retry| retry.on_connect_failure);
    }

    /// An attempt has failed before a byte of the answer: tries again if the route allows it and
    /// the request can be sent again as it was; else answers.
    pub(crate) fn on_attempt_failed(
        &mut self,
        key: Key,
        reason: Reason,
        is_covered: impl Fn(&Retry) -> bool,
    ) {
        self.observe_failure(key, reason);
        let Some(stream) = self.streams.get(key) else { return };
        // What has begun to be answered is not asked again.
        let is_open = self.downs.get(stream.down).is_some_and(|down| !down.has_answered(stream));
        let may = is_open && stream.retry().is_some_and(is_covered);
        if may && self.takes_retry(key) {
            self.try_again(key);
        } else {
            self.fail(key, reason);
        }
    }

    /// Sends the request again after a short while, as a new attempt: a cluster that fails is not
    /// to be asked by everybody at once.
    pub(crate) fn try_again(&mut self, key: Key) {
        let (now, random) = (self.io.driver.now(), self.io.random.next());
        if !self.end_attempt(key) {
            return;
        }
        if let Some(stream) = self.streams.get_mut(key) {
            let pause = Duration::from_millis(random % stream.retry_interval_ms());
            stream.retry_at = Some(now.after(pause));
        }
        self.set_alarm(key);
    }

    /// Sends the request again at once, as a new attempt.
    pub(crate) fn try_now(&mut self, key: Key) {
        if self.end_attempt(key) {
            self.send_request(key);
        }
    }

    /// Lets go of what the attempt holds; `false`: there cannot be another.
    fn end_attempt(&mut self, key: Key) -> bool {
        self.io.counters.count(Counter::UpstreamRetry);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.try_deadline = None;
        }
        self.leave_up(key);
        self.uncount(key);
        let renewed = self.renew_head(key).is_some();
        if !renewed {
            self.fail(key, Reason::ConnectionOverflow);
        }
        renewed
    }

    /// Writes the head anew where the attempt's number stands in it.
    fn renew_head(&mut self, key: Key) -> Option<()> {
        let stream = self.streams.get_mut(key)?;
        let taken = stream.taken.clone()?;
        if !taken.host()?.attempt_count {
            return Some(());
        }
        let down = self.downs.get(stream.down)?;
        let manager = down.manager()?;
        // What we have written is within what we accept: only the number of attempts changes.
        let limits = h1::Limits {
            head_bytes_max: h1::HEAD_BYTES_MAX,
            fields_max: h1::FIELDS_MAX,
            custom_methods: true,
            ..h1::Limits::default()
        };
        h1::parse_request(&stream.request_head, &limits, &mut self.io.head).ok()?;
        let found = taken.found()?;
        let (table, attempt) = (&**taken.table, stream.attempts + 1);
        let attempt =
            Attempt { manager, table, found: &found, attempt, timeout: None, facts: None };
        headers::retry(&mut self.io.head, &attempt);
        let framing = stream.request_framing;
        stream.request_head = encode::request(self.io.driver.pool(), &self.io.head, framing)?;
        Some(())
    }
}
