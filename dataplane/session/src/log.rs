//! Lines of access logs: when a request or a connection is over.

mod queue;

use std::net::SocketAddr;

use config::snapshot::{AccessLog, AccessLogType, ClusterId, Flag, Flags};
use policy::format::{Course, Facts, Upstream};
use policy::log;
use policy::reply::{Reason, Reply};
use ring::Key;
use ring::driver::{Driver, Nanos};
use wire::head::Head;

use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::record::{Teller, cluster_name};
use crate::stream::Stream;
use crate::worker::{Io, Worker};

pub(crate) use queue::Lines;
pub use queue::{LogBlock, LogDrain, LogQueue, log_queues};

/// What is kept of a connection for its logs, where there are any.
#[derive(Default)]
pub(crate) struct ConnectionRecord {
    pub(crate) start: Nanos,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) flags: Flags,
    pub(crate) details: &'static str,
    pub(crate) termination: String,
    /// The upstream of a TCP proxy.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) upstream_local: Option<SocketAddr>,
    pub(crate) failure: &'static str,
    pub(crate) attempts: u32,
    /// Who has spoken first, where that was waited for.
    pub(crate) first: &'static str,
}

impl ConnectionRecord {
    /// No attempt to connect is left.
    pub(crate) fn exhausted(&mut self) {
        let flags = [Flag::UpstreamConnectionFailure, Flag::UpstreamRetryLimitExceeded];
        self.flags = flags.into_iter().fold(self.flags, |set, flag| set.with(Flags::of(flag)));
    }

    /// Why the connection does not get what it came for.
    pub(crate) fn conclude(&mut self, reply: &Reply) {
        if let Some(flag) = Flag::named(reply.flag) {
            self.flags = self.flags.with(Flags::of(flag));
        }
    }
}

impl Down {
    /// A record is kept of the connection if any of these logs wants it.
    pub(crate) fn begin_record(&mut self, logs: &[AccessLog], now: Nanos) {
        if !logs.is_empty() && self.record.is_none() {
            self.record = Some(Box::new(ConnectionRecord { start: now, ..Default::default() }));
        }
    }
}

impl<D: Driver> Worker<D> {
    /// Where lines of access logs go from here on. Without it none are made.
    pub fn log_to(&mut self, queue: LogQueue) {
        self.lines = Some(Lines::new(queue));
    }

    /// What cannot become a request is told of too, where somebody wants to know: it is given a
    /// stream, as Envoy gives it one with its first byte.
    pub(crate) fn begin_refused(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let source = down.facts.source;
        let Some(http) = down.http_mut() else { return };
        if !http.manager().keeps_records() || http.stream.is_some() {
            return;
        }
        let mut stream = Stream::new(key, &Head::default(), now);
        let version = wire::head::Version::Http11;
        stream.begin_record(&mut self.spare_records, version, source);
        stream.note_headless();
        http.stream = self.streams.insert(stream);
    }

    /// Writes a request's lines, once.
    pub(crate) fn log_request(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(down) = self.downs.get(stream.down) else { return };
        let Some(manager) = down.manager().filter(|m| !m.access_log.is_empty()) else { return };
        if !stream.is_to_be_logged() {
            return;
        }
        let teller = Teller::new(&self.io, (stream.down, down), (self.index, self.workers));
        let cluster = cluster_name(&self.clusters, stream);
        let mut facts = teller.request(stream, cluster);
        // What the kernel is moving at this moment has not been counted yet.
        let up = stream.up.and_then(|up| self.ups.get(up));
        facts.course.bytes_received += self.io.driver.relayed(down.io.socket);
        facts.course.bytes_sent += up.map_or(0, |up| self.io.driver.relayed(up.io.socket));
        write(&mut self.lines, &mut self.io, &manager.access_log, &facts);
    }

    /// Writes what there is to tell of a connection that ends, and of its requests.
    pub(crate) fn log_connection(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        match &mut down.state {
            DownState::Http(http) => {
                if let Some(stream) = http.stream {
                    self.log_request(stream);
                }
            }
            DownState::Http2(two) if !two.serving.manager.access_log.is_empty() => {
                let streams: Vec<Key> = two.streams().collect();
                streams.into_iter().for_each(|stream| self.log_request(stream));
            }
            _ => {}
        }
        self.log_ended(key);
    }

    /// The lines of a connection itself.
    fn log_ended(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(record) = down.record.take() else { return };
        let down = &*down;
        let (proxy, up) = match &down.state {
            DownState::Tcp(tcp) => (Some(tcp.proxy()), tcp.up.and_then(|up| self.ups.get(up))),
            _ => (None, None),
        };
        let relayed = up.map_or(0, |up| self.io.driver.relayed(up.io.socket));
        let teller = Teller::new(&self.io, (key, down), (self.index, self.workers));
        let mut facts = teller.connection(record.start);
        facts.course = Course {
            bytes_received: record.bytes_received + self.io.driver.relayed(down.io.socket),
            bytes_sent: record.bytes_sent + relayed,
            flags: record.flags,
            details: record.details,
            termination: &record.termination,
            first: record.first,
            ..facts.course
        };
        let cluster = record.cluster.and_then(|id| self.clusters.cluster(id));
        let cluster = cluster.map_or("", |cluster| &cluster.name);
        facts.upstream = Upstream {
            cluster,
            host: record.upstream,
            local: record.upstream_local,
            failure: record.failure,
            attempts: record.attempts,
            ..Upstream::default()
        };
        facts.course.kind = AccessLogType::NotSet;
        write(&mut self.lines, &mut self.io, &down.listener.access_log, &facts);
        if let Some(proxy) = proxy {
            facts.course.kind = AccessLogType::TcpConnectionEnd;
            write(&mut self.lines, &mut self.io, &proxy.access_log, &facts);
        }
    }

    /// A TCP connection's upstream is being connected to.
    pub(crate) fn note_tcp_host(&mut self, key: Key, up: Key) {
        let Some(record) = self.downs.get_mut(key).and_then(|down| down.record.as_mut()) else {
            return;
        };
        record.attempts = record.attempts.saturating_add(1);
        record.upstream = self.ups.get(up).map(|up| up.address);
    }

    /// It stands.
    pub(crate) fn note_tcp_connected(&mut self, key: Key, up: Key) {
        let Some(record) = self.downs.get_mut(key).and_then(|down| down.record.as_mut()) else {
            return;
        };
        let up = self.ups.get(up);
        record.upstream_local = up.and_then(|up| self.io.driver.local(up.io.socket).ok());
    }

    /// The loop ends: what is open is told of as it stands.
    pub(crate) fn log_the_rest(&mut self) {
        if self.lines.is_none() {
            return;
        }
        let downs: Vec<Key> = self.downs.iter().map(|(key, _)| key).collect();
        downs.into_iter().for_each(|key| self.log_connection(key));
        if let Some(lines) = &mut self.lines {
            lines.hand_over();
        }
    }

    /// Notes why a connection does not get what it came for.
    pub(crate) fn note_refused(&mut self, key: Key, reason: Reason) {
        if let Some(record) = self.downs.get_mut(key).and_then(|down| down.record.as_mut()) {
            let reply = reason.reply();
            record.conclude(&reply);
            if reason == Reason::ChainNotFound {
                record.details = reply.details;
            }
        }
    }
}

fn write<D: Driver>(
    lines: &mut Option<Lines>,
    io: &mut Io<D>,
    logs: &[AccessLog],
    facts: &Facts<'_>,
) {
    let Some(lines) = lines else { return };
    for log in logs {
        let random = io.random.next();
        let dropped = lines.write(&log.target, |out| log::line(log, facts, random, out));
        io.counters.add(Counter::AccessLogDropped, dropped);
    }
}
