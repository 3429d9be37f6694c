//! What has become of requests, told to those who judge hosts by it.

use config::snapshot::Flag;
use policy::reply::{self, Reason};
use ring::Key;
use ring::driver::Driver;
use upstream::{HostId, Outcome};

use crate::counters::Counter;
use crate::up::UpState;
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// What has become of a request's attempt tells of its host.
    pub(crate) fn observe(&mut self, key: Key, outcome: Outcome) {
        if let Some(host) = self.streams.get(key).and_then(|stream| stream.host()) {
            self.observe_host(host, outcome);
        }
    }

    /// What has become of a connection tells of its host.
    pub(crate) fn observe_host(&mut self, host: HostId, outcome: Outcome) {
        if self.clusters.cluster(host.cluster).is_none_or(|cluster| cluster.outlier.is_none()) {
            return;
        }
        let (now, random) = (self.io.driver.now(), self.io.random.next());
        if self.clusters.observe(host, outcome, now.0, random) {
            self.io.counters.count(Counter::OutlierEjections);
            tracing::debug!(?host, ?outcome, "a host is ejected");
        }
    }

    /// An answer has come, whose head stands in `io.head`.
    pub(crate) fn observe_answer(&mut self, key: Key) {
        let is_grpc = self.streams.get(key).is_some_and(|stream| stream.is_grpc);
        let call = is_grpc.then(|| reply::call_status(&self.io.head)).flatten();
        let status = call.map_or(self.io.head.status, reply::http_status);
        self.observe(key, Outcome::Status(status));
    }

    /// An attempt has failed. What is our own doing or our own limit tells nothing of the host.
    pub(crate) fn observe_failure(&mut self, key: Key, reason: Reason) {
        match reason {
            Reason::ConnectionFailure
            | Reason::ConnectionTimeout
            | Reason::ConnectionTermination
            | Reason::UpstreamTlsFailure
            | Reason::UpstreamReset
            | Reason::UpstreamProtocolError => self.observe(key, Outcome::Failed),
            Reason::PerTryTimeout | Reason::ResponseTimeout if self.is_awaited(key) => {
                self.observe(key, Outcome::TimedOut);
            }
            _ => {}
        }
    }

    /// The request has been sent, and its answer has not begun.
    fn is_awaited(&self, key: Key) -> bool {
        let Some(stream) = self.streams.get(key) else { return false };
        let has_answered = self.downs.get(stream.down).is_none_or(|down| down.has_answered(stream));
        let up = stream.up.and_then(|up| self.ups.get(up));
        let is_sent = up.is_some_and(|up| matches!(up.state, UpState::Http(_) | UpState::Http2(_)));
        is_sent && !has_answered
    }

    /// Takes one of the retries that the route and the cluster allow, if the request can be sent
    /// again.
    pub(crate) fn takes_retry(&mut self, key: Key) -> bool {
        self.end_retry(key);
        let Some(stream) = self.streams.get_mut(key) else { return false };
        if !stream.takes_retry() {
            return false;
        }
        stream.is_retry = self.clusters.begin_retry(stream.cluster);
        if !stream.is_retry {
            self.io.counters.count(Counter::RetryOverflow);
            stream.note_flag(Flag::UpstreamOverflow);
        }
        stream.is_retry
    }

    /// The retry under way, if this request is one, has come to something.
    pub(crate) fn end_retry(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key)
            && std::mem::take(&mut stream.is_retry)
        {
            self.clusters.end_retry(stream.cluster);
        }
    }
}
