//! What is kept of a request for formats and logs, beyond what it takes to serve it.
//!
//! A stream has a record only where something asks for one; the boxes are used again.

use std::fmt::Write;
use std::net::SocketAddr;

use config::snapshot::{AccessLogType, Flag, Flags, Point};
use policy::format::{self, Facts};
use policy::reply::Reply;
use ring::Key;
use ring::driver::{Driver, Nanos};
use upstream::Clusters;
use wire::head::{Head, Version};

use crate::down::Down;
use crate::stream::{NO_CLUSTER, Stream};
use crate::up::{Up, UpState};
use crate::worker::{Io, Worker};

/// See the module.
#[derive(Default)]
pub(crate) struct Record {
    /// The request's head, once it needs nobody else.
    request: Head,
    has_request: bool,
    /// The request never had a whole head.
    is_headless: bool,
    /// It never had an end: what follows its head is a tunnel's.
    is_open_ended: bool,
    /// The answer's head as it was sent, and the fields behind its body.
    response: Head,
    has_response: bool,
    trailers: Head,
    status: u16,
    bytes_sent: u64,
    is_logged: bool,
    protocol: Option<Version>,
    start: Nanos,
    points: [Option<u64>; Point::COUNT],
    /// The client as far as it may be believed.
    remote: Option<SocketAddr>,
    bytes_received: u64,
    flags: Flags,
    details: String,
    /// The host of the last attempt, and our address on the connection to it.
    upstream: Option<SocketAddr>,
    upstream_local: Option<SocketAddr>,
    upstream_protocol: Option<Version>,
    /// Why the last connection could not be made.
    failure: &'static str,
    is_health_check: bool,
}

impl Record {
    /// As new, with the room that it has.
    fn clear(&mut self) {
        let Self { request, response, trailers, details, .. } = self;
        [&mut *request, response, trailers].into_iter().for_each(Head::clear);
        details.clear();
        *self = Self {
            request: std::mem::take(request),
            response: std::mem::take(response),
            trailers: std::mem::take(trailers),
            details: std::mem::take(details),
            ..Self::default()
        };
    }

    /// A point is reached; the first time counts.
    fn reach(&mut self, point: Point, now: Nanos) {
        if self.is_open_ended && point == Point::RequestEnd {
            return;
        }
        if let Some(at) = self.points.get_mut(point as usize) {
            at.get_or_insert(now.0.saturating_sub(self.start.0));
        }
    }

    /// Says what came of it in these words instead.
    fn tell(&mut self, details: &str) {
        self.details.clear();
        self.details.push_str(details);
    }

    /// The request has no end.
    fn leave_open(&mut self) {
        self.is_open_ended = true;
        if let Some(at) = self.points.get_mut(Point::RequestEnd as usize) {
            *at = None;
        }
    }

    /// What came of it, in Envoy's words. A connection's failure stands among the details.
    fn conclude(&mut self, reply: &Reply, details: &str) {
        if let Some(flag) = Flag::named(reply.flag) {
            self.flags = self.flags.with(Flags::of(flag));
        }
        self.details.clear();
        // Writing to a string cannot fail.
        let _ = match (details.strip_suffix('}'), self.failure) {
            (Some(open), failure) if reply.flag == "UF" && !failure.is_empty() => {
                write!(self.details, "{open}|{failure}}}")
            }
            _ => write!(self.details, "{details}"),
        };
    }
}

impl Stream {
    /// From here on a record is kept. `remote`: the client as far as it may be believed.
    #[allow(clippy::vec_box)] // the boxes themselves are what is used again
    pub(crate) fn begin_record(
        &mut self,
        spare: &mut Vec<Box<Record>>,
        version: Version,
        remote: SocketAddr,
    ) {
        let is_new = self.record.is_none();
        let record = self.record.get_or_insert_with(|| spare.pop().unwrap_or_default());
        // Nothing has moved since it began.
        record.start = self.active_at;
        (record.remote, record.protocol) = (Some(remote), Some(version));
        if is_new && self.is_request_done {
            record.reach(Point::RequestEnd, self.active_at);
        }
    }

    /// The request asks for a tunnel: what follows its head belongs to it, as in Envoy.
    pub(crate) fn note_open_end(&mut self) {
        if let Some(record) = &mut self.record {
            record.leave_open();
        }
    }

    /// A point of the request's life is reached.
    pub(crate) fn reach(&mut self, point: Point, now: Nanos) {
        if let Some(record) = &mut self.record {
            record.reach(point, now);
        }
    }

    /// Bytes of the request's body have come.
    pub(crate) fn note_received(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes_received = record.bytes_received.saturating_add(bytes as u64);
        }
    }

    /// Bytes of the answer's body are sent.
    pub(crate) fn note_sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes_sent = record.bytes_sent.saturating_add(bytes as u64);
        }
    }

    /// There was something to try again for, and no attempt was left.
    pub(crate) fn note_exhausted(&mut self) {
        self.note_flag(Flag::UpstreamRetryLimitExceeded);
    }

    /// Something special has come about.
    pub(crate) fn note_flag(&mut self, flag: Flag) {
        if let Some(record) = &mut self.record {
            record.flags = record.flags.with(Flags::of(flag));
        }
    }

    /// The answer breaks off.
    pub(crate) fn note_broken(&mut self, reply: &Reply) {
        let Some(record) = &mut self.record else { return };
        record.conclude(reply, reply.details);
        let why = reply.details.strip_prefix("upstream_reset_before_response_started");
        if let Some(why) = why {
            record.details.clear();
            let _ = write!(record.details, "upstream_reset_after_response_started{why}");
        }
    }

    /// The client has gone, or has given the request up.
    pub(crate) fn note_gone(&mut self, flag: Flag, details: &str) {
        if let Some(record) = &mut self.record {
            record.flags = record.flags.with(Flags::of(flag));
            record.tell(details);
        }
    }

    /// An answer is made of the request's head.
    pub(crate) fn note_made(&mut self, head: &Head, details: &str) {
        if let Some(record) = &mut self.record {
            record.request.clone_from(head);
            record.has_request = true;
            record.tell(details);
        }
    }

    /// A filter takes it for a health check.
    pub(crate) fn note_health_check(&mut self) {
        if let Some(record) = &mut self.record {
            record.is_health_check = true;
        }
    }

    /// The head has been written anew.
    pub(crate) fn note_request(&mut self, head: &Head) {
        if let Some(record) = &mut self.record {
            record.request.clone_from(head);
            record.has_request = true;
        }
    }

    /// There will never be a whole head.
    pub(crate) fn note_headless(&mut self) {
        if let Some(record) = &mut self.record {
            (record.is_headless, record.has_request) = (true, true);
            record.leave_open();
        }
    }

    /// Keeps the head of the answer that has been sent, which nobody else needs any more.
    pub(crate) fn keep_response(&mut self, head: &mut Head, now: Nanos) {
        let Some(record) = &mut self.record else { return };
        record.reach(Point::ResponseBegin, now);
        record.status = head.status;
        if !std::mem::replace(&mut record.has_response, true) {
            record.response.clear();
            std::mem::swap(&mut record.response, head);
        }
    }

    /// Keeps what stands behind the answer's body.
    pub(crate) fn keep_trailers(&mut self, head: &Head) {
        if let Some(record) = &mut self.record {
            record.trailers.clone_from(head);
        }
    }

    /// Whether its lines are still to be written. What was not answered to the end, and nothing is
    /// said of why, has been given up by its client.
    pub(crate) fn is_to_be_logged(&mut self) -> bool {
        let Some(record) = &mut self.record else { return false };
        if std::mem::replace(&mut record.is_logged, true) {
            return false;
        }
        let is_complete =
            record.points.get(Point::ResponseEnd as usize).is_some_and(Option::is_some);
        if !is_complete && record.flags.is_empty() {
            let reply = policy::reply::Reason::DownstreamGone.reply();
            record.conclude(&reply, reply.details);
        }
        true
    }

    /// An attempt goes to this host.
    pub(crate) fn note_host(&mut self, host: SocketAddr) {
        if let Some(record) = &mut self.record {
            record.upstream = Some(host);
            (record.upstream_local, record.upstream_protocol) = (None, None);
            record.failure = "";
        }
    }

    /// The connection for an attempt could not be made.
    pub(crate) fn note_failure(&mut self, failure: &'static str) {
        if let Some(record) = &mut self.record {
            record.failure = failure;
        }
    }

    /// The upstream has answered.
    pub(crate) fn note_answer(&mut self) {
        if let Some(record) = &mut self.record {
            record.tell("via_upstream");
        }
    }

    /// An answer of our own is given. `details`: where they are not the reason's alone.
    pub(crate) fn note_reply(&mut self, reply: &Reply, details: Option<&str>) {
        if let Some(record) = &mut self.record {
            record.conclude(reply, details.unwrap_or(reply.details));
        }
    }

    /// Keeps the request's head, which nobody else needs any more; the other one is empty then.
    pub(crate) fn keep_request(&mut self, head: &mut Head) {
        if let Some(record) = &mut self.record
            && !record.has_request
            && head.status == 0
        {
            record.has_request = true;
            record.request.clear();
            std::mem::swap(&mut record.request, head);
        }
    }
}

impl<D: Driver> Worker<D> {
    /// The request is over: its record may serve another.
    pub(crate) fn end_record(&mut self, stream: &mut Stream) {
        if let Some(mut record) = stream.record.take()
            && self.spare_records.len() < crate::limits::SPARE_RECORDS_MAX
        {
            record.clear();
            self.spare_records.push(record);
        }
    }

    /// The attempt is sent over this connection.
    pub(crate) fn note_attempt(&mut self, key: Key, up: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(record) = &mut stream.record else { return };
        let Some(Up { io, state, .. }) = self.ups.get(up) else { return };
        record.reach(Point::UpstreamSendBegin, now);
        record.upstream_local = self.io.driver.local(io.socket).ok();
        record.upstream_protocol = Some(match state {
            UpState::Http2(_) => Version::Http2,
            _ => Version::Http11,
        });
    }
}

/// What the parts of a worker tell a format.
pub(crate) struct Teller<'w> {
    /// When the driver's clock stood at zero, in nanoseconds since 1970.
    epoch: u64,
    now: Nanos,
    down: &'w Down,
    /// The connection's number, which no other of this process has at the same time.
    id: u64,
    /// Where the connection has arrived.
    arrived: Option<SocketAddr>,
}

impl<'w> Teller<'w> {
    /// Of a client's connection with its key. `place`: the worker's number, and how many there are.
    pub(crate) fn new<D: Driver>(
        io: &Io<D>,
        (key, down): (Key, &'w Down),
        (worker, workers): (usize, usize),
    ) -> Self {
        let Down { listener, facts, .. } = down;
        let is_redirected = listener.use_original_dst || listener.original_dst;
        Self {
            epoch: io.date.epoch(),
            now: io.driver.now(),
            down,
            id: key.pack().wrapping_mul(workers as u64).wrapping_add(worker as u64 + 1),
            arrived: match is_redirected {
                true => io.driver.local(down.io.socket).ok(),
                false => Some(facts.destination),
            },
        }
    }

    /// What is known of a request.
    pub(crate) fn request(&self, stream: &'w Stream, cluster: &'w str) -> Facts<'w> {
        let mut facts = Facts { client: self.client(), ..Facts::default() };
        let Some(record) = &stream.record else { return facts };
        facts.request = (record.has_request && !record.is_headless).then_some(&record.request);
        facts.response = record.has_response.then_some(&record.response);
        facts.trailers = Some(&record.trailers);
        facts.client.remote = record.remote.or(facts.client.source);
        facts.upstream = format::Upstream {
            cluster,
            host: record.upstream,
            local: record.upstream_local,
            protocol: record.upstream_protocol,
            failure: record.failure,
            attempts: stream.attempts,
            ..format::Upstream::default()
        };
        let mut points = record.points;
        if let Some(over) = points.get_mut(Point::Over as usize) {
            over.get_or_insert(self.now.0.saturating_sub(record.start.0));
        }
        facts.course = format::Course {
            start: self.epoch.saturating_add(record.start.0),
            points,
            protocol: record.protocol,
            bytes_received: record.bytes_received,
            bytes_sent: record.bytes_sent,
            status: record.status,
            flags: record.flags,
            details: &record.details,
            route: stream.taken.as_ref().and_then(|t| t.route()).map_or("", |route| &route.name),
            is_health_check: record.is_health_check,
            kind: AccessLogType::DownstreamEnd,
            ..format::Course::default()
        };
        facts
    }

    /// What is known of a connection that began then.
    pub(crate) fn connection(&self, start: Nanos) -> Facts<'w> {
        let mut points = [None; Point::COUNT];
        if let Some(over) = points.get_mut(Point::Over as usize) {
            *over = Some(self.now.0.saturating_sub(start.0));
        }
        let start = self.epoch.saturating_add(start.0);
        let course = format::Course { start, points, ..format::Course::default() };
        Facts { client: self.client(), course, ..Facts::default() }
    }

    fn client(&self) -> format::Client<'w> {
        let Down { facts, io, chain, .. } = self.down;
        format::Client {
            id: self.id,
            remote: Some(facts.source),
            source: Some(facts.direct().unwrap_or(facts.source)),
            local: Some(facts.destination),
            direct_local: self.arrived,
            sni: facts.connection().sni,
            peer: io.peer(),
            local_uri: io.local_uri(),
            chain: chain.as_ref().map_or("", |chain| &chain.name),
            failure: "",
        }
    }
}

/// The name of the cluster that serves a request, or would; empty if it is not known.
pub(crate) fn cluster_name<'w>(clusters: &'w Clusters<Key>, stream: &Stream) -> &'w str {
    let id = match stream.cluster {
        NO_CLUSTER => match stream.taken.as_ref().and_then(|taken| taken.found()?.cluster) {
            Some(chosen) => chosen.cluster,
            None => return "",
        },
        id => id,
    };
    clusters.cluster(id).map_or("", |cluster| &cluster.name)
}
