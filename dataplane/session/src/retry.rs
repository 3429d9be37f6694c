//! Attempts after the first.
//!
//! Sent again is only what was not answered and of which no body byte has left, for bodies are not
//! kept.

use std::time::Duration;

use config::snapshot::Retry;
use policy::headers::{self, Attempt};
use policy::reply::Reason;
use policy::rewrite;
use ring::Key;
use ring::driver::Driver;
use upstream::HostId;

use crate::counters::Counter;
use crate::down::Down;
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

    /// Puts the name of the endpoint that this attempt goes to into the request's head.
    pub(crate) fn name_endpoint(&mut self, key: Key, host: HostId) -> Result<(), Reason> {
        let Some(name) = self.clusters.hostname(host).cloned() else { return Ok(()) };
        if self.read_request_head(key).is_none() {
            return Err(Reason::ConnectionOverflow);
        }
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        let Some(rewrite) = stream.forward().and_then(|forward| forward.rewrite.as_ref()) else {
            return Ok(());
        };
        let manager = self.downs.get(stream.down).and_then(Down::manager);
        let tells = manager.is_some_and(|manager| !manager.suppress_envoy_headers);
        rewrite::to_endpoint(&mut self.io.head, rewrite, name.as_bytes(), tells)?;
        stream.note_request(&self.io.head);
        let framing = stream.request_framing;
        let encoded = encode::request(self.io.driver.pool(), &self.io.head, framing);
        stream.request_head = encoded.ok_or(Reason::ConnectionOverflow)?;
        Ok(())
    }

    /// Writes the head anew where the attempt's number stands in it.
    fn renew_head(&mut self, key: Key) -> Option<()> {
        let stream = self.streams.get(key)?;
        let Some(taken) = stream.taken.clone() else {
            return stream.copied().map(|_| ());
        };
        if !taken.host()?.attempt_count {
            return Some(());
        }
        self.read_request_head(key)?;
        let stream = self.streams.get_mut(key)?;
        let down = self.downs.get(stream.down)?;
        let manager = down.manager()?;
        let found = taken.found()?;
        let (table, attempt) = (&**taken.table, stream.attempts + 1);
        let attempt =
            Attempt { manager, table, found: &found, attempt, timeout: None, facts: None };
        headers::retry(&mut self.io.head, &attempt);
        stream.form.put_on(&mut self.io.head);
        let framing = stream.request_framing;
        stream.request_head = encode::request(self.io.driver.pool(), &self.io.head, framing)?;
        Some(())
    }
}
