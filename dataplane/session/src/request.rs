//! The server side of HTTP/1.1: requests are read, judged, and sent on their way.

use std::sync::Arc;

use config::snapshot::{ClusterId, Forward, HttpManager, RouteAction, Weighted};
use policy::hash::{self, Origin};
use policy::headers::{self, Attempt};
use policy::reply::{self, Reason, Reply};
use policy::{rewrite, steer};
use ring::driver::{Driver, Nanos};
use ring::{Buf, Key};
use wire::h1::{self, Body, Limits, Parsed, Refusal};
use wire::head::{Framing, Head, Known, Version};

use crate::counters::Counter;
use crate::decide::Decision;
use crate::down::{Down, DownState};
use crate::encode::{self, Piece};
use crate::form::{UNDERSCORE, adapt, of_http1};
use crate::partial::{Partial, Tries};
use crate::record::Teller;
use crate::serving::{Asker, Serving};
use crate::stream::Stream;
use crate::view::Taken;
use crate::worker::Worker;

/// A client's connection that speaks HTTP/1.1.
pub(crate) struct HttpSide {
    pub(crate) serving: Serving,
    pub(crate) phase: Phase,
    partial: Partial,
    pub(crate) stream: Option<Key>,
    /// The connection ends after the answer under way.
    pub(crate) is_closing: bool,
    /// The client has said that it will send nothing behind this request.
    pub(crate) is_last: bool,
    /// How the answer's body is framed, once its head has been sent.
    pub(crate) answered: Option<Framing>,
    /// The client speaks HTTP/1.0.
    pub(crate) is_http_10: bool,
    /// When the present phase began.
    pub(crate) phase_since: Nanos,
}

const _: () = assert!(size_of::<HttpSide>() <= 120);

/// So far a head that comes in pieces is read anew with each of them: what cannot become a request
/// is refused at once.
const EARLY_BYTES: usize = 128;

/// What is read next from the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// The first bytes, which tell HTTP/2 from HTTP/1.1.
    Preface,
    /// A request's head.
    Head,
    /// Its body.
    Body(Body),
    /// Nothing: its answer is under way.
    Waiting,
    /// Bytes of an upgraded connection.
    Tunnel,
}

impl HttpSide {
    pub(crate) fn new(serving: Serving, phase: Phase) -> Self {
        Self {
            serving,
            phase,
            partial: Partial::default(),
            stream: None,
            is_closing: false,
            is_last: false,
            answered: None,
            is_http_10: false,
            phase_since: Nanos(0),
        }
    }

    pub(crate) fn manager(&self) -> &Arc<HttpManager> {
        &self.serving.manager
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Preface | Phase::Head)
            && self.stream.is_none()
            && !self.has_partial_head()
    }

    pub(crate) fn has_partial_head(&self) -> bool {
        !self.partial.is_empty()
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// Reads a head whose next bytes are these, and takes of them what belongs to it.
    fn parse(&mut self, bytes: &mut Buf, head: &mut Head) -> Result<Parsed, Refusal> {
        let limits = self.limits();
        let tries = Tries { early_bytes: EARLY_BYTES, bytes_max: limits.head_bytes_max };
        self.partial.read(bytes, tries, |bytes| h1::parse_request(bytes, &limits, head))
    }

    fn limits(&self) -> Limits {
        Limits {
            head_bytes_max: self.manager().max_head_kib as usize * 1024,
            fields_max: self.manager().max_fields as usize,
            accept_http_10: self.manager().accept_http_10,
            ..of_http1(&self.manager().http1)
        }
    }
}

impl Down {
    pub(crate) fn http(&self) -> Option<&HttpSide> {
        match &self.state {
            DownState::Http(http) => Some(http),
            _ => None,
        }
    }

    pub(crate) fn http_mut(&mut self) -> Option<&mut HttpSide> {
        match &mut self.state {
            DownState::Http(http) => Some(http),
            _ => None,
        }
    }
}

impl<D: Driver> Worker<D> {
    /// Uses what a client's connection holds, as far as it can be used now.
    pub(crate) fn serve(&mut self, key: Key) {
        loop {
            let phase = match self.downs.get(key).map(|down| &down.state) {
                Some(DownState::Http(http)) => http.phase,
                Some(DownState::Http2(_)) => return self.serve_h2(key),
                _ => return,
            };
            let goes_on = match phase {
                Phase::Preface => self.tell_codec(key),
                Phase::Head => self.read_head(key),
                Phase::Body(body) => self.read_body(key, body),
                Phase::Waiting => false,
                Phase::Tunnel => self.read_tunnel(key),
            };
            if !goes_on {
                break;
            }
        }
        self.rearm_down(key);
    }

    /// Reads a request's head; true if there is more to do.
    fn read_head(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        // A client that does not read its answers is asked for no more requests.
        if down.io.is_congested(&self.io.driver) {
            return false;
        }
        let Down { held, state: DownState::Http(http), .. } = down else { return false };
        let Some(front) = held.front_mut() else { return false };
        let was_partial = http.has_partial_head();
        let parsed = http.parse(front, &mut self.io.head);
        if front.is_empty() {
            held.pop();
        }
        match parsed {
            Ok(Parsed::Complete { .. }) => {
                self.start_request(key);
                true
            }
            Ok(Parsed::Partial) => {
                if !was_partial {
                    self.begin_phase(key);
                }
                true
            }
            Err(refusal) => {
                self.refuse_malformed(key, refusal);
                false
            }
        }
    }

    /// Passes on what has come of a request's body; true if there is more to do.
    fn read_body(&mut self, key: Key, mut body: Body) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let Down { held, state: DownState::Http(http), .. } = down else { return false };
        let Some(stream) = http.stream else { return false };
        let pool = self.io.driver.pool();
        if self.streams.get(stream).is_some_and(|stream| stream.is_full(pool)) {
            return false;
        }
        let Some(mut bytes) = held.pop() else { return false };
        let step = match body.step(&bytes) {
            Ok(step) => step,
            Err(refusal) => {
                self.refuse_malformed(key, refusal);
                return false;
            }
        };
        bytes.advance(step.skip);
        let data = bytes.split_to(step.data);
        held.put_back(bytes);
        http.phase = if step.done { Phase::Waiting } else { Phase::Body(body) };
        if !data.is_empty() {
            self.send_body(stream, Piece::Data(data));
        }
        if step.done {
            self.send_body(stream, Piece::End);
            self.on_request_done(stream);
        }
        step.done || step.skip + step.data > 0
    }

    /// A whole head has been read: it stands in `io.head`.
    fn start_request(&mut self, key: Key) {
        self.io.counters.count(Counter::RequestTotal);
        if !self.follow_configuration(key) {
            return;
        }
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let source = down.facts.source;
        let Some(http) = down.http_mut() else { return };
        let (head, spans) = (&mut self.io.head, http.manager().spans);
        if !adapt(head, http.manager()) {
            return self.refuse_malformed(key, UNDERSCORE);
        }
        http.is_http_10 = head.version == Version::Http10;
        http.is_last = !head.keep_alive;
        http.is_closing |= http.is_last || self.draining || http.serving.is_last_request();
        http.answered = None;
        let framing = head.framing;
        http.phase = match framing {
            Framing::None | Framing::Length(0) => Phase::Waiting,
            framing => Phase::Body(Body::new(framing)),
        };
        let mut stream = Stream::new(key, head, now);
        stream.ends_by = spans.stream.map(|limit| now.after(limit));
        if http.manager().keeps_records() {
            stream.begin_record(&mut self.spare_records, head.version, source);
            if head.upgrade.is_some() || head.method() == b"CONNECT" {
                stream.note_open_end();
            }
        }
        let Some(stream) = self.streams.insert(stream) else {
            // Without a stream nobody remembers what kind of answer this one may be.
            http.is_closing = true;
            return self.reply(Asker::of(key), Reason::UpstreamOverflow);
        };
        http.stream = Some(stream);
        self.begin_phase(key);
        self.judge(key, stream);
    }

    /// Judges the request in `io.head` and does what is decided.
    pub(crate) fn judge(&mut self, key: Key, stream: Key) {
        let asker = Asker { down: key, stream: Some(stream) };
        let decision = self.decide(key, stream);
        self.keep_request_id(asker);
        match decision {
            Decision::Forward(taken) => self.forward(asker, stream, taken),
            Decision::Filter(taken, remote) => self.filter(asker, stream, taken, remote),
            Decision::Direct(taken) => self.reply_direct(asker, &taken),
            Decision::Reject(status) => {
                let details = "rejecting_because_detection_failed";
                let code = "client_address_unknown";
                self.answer(asker, Reply { code, status, body: "", details, flag: "" });
            }
            Decision::Refuse(reason, taken) => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.taken = taken;
                }
                self.refuse(asker, reason);
            }
        }
    }

    /// Sends the request in `io.head` on its way along this route.
    pub(crate) fn forward(&mut self, asker: Asker, stream: Key, taken: Taken) {
        let Some(found) = taken.found() else {
            return self.reply(asker, Reason::RouteNotFound);
        };
        let RouteAction::Forward(forward) = &found.route.action else {
            return self.reply(asker, Reason::RouteNotFound);
        };
        let Some(weighted) = found.cluster else {
            return self.refuse_for_cluster(asker, forward.cluster_not_found, taken);
        };
        let to = self.destination(stream, weighted);
        let Some(cluster) = self.view.snapshot.cluster(to) else {
            return self.refuse_for_cluster(asker, forward.cluster_not_found, taken);
        };
        let up_form = (cluster.http1.names, cluster.http1.absolute_target);
        let hashes = cluster.policy.is_hashing();
        let Some(down) = self.downs.get(asker.down) else { return };
        let Some(manager) = down.manager() else { return };
        let continues = waits_for_continue(&self.io.head, down);
        let is_grpc = forward.grpc.is_some() && self.is_grpc(asker);
        let terms = steer::terms(&mut self.io.head, forward, is_grpc);
        let timeout = terms.limits.expected();
        let table = &**taken.table;
        let facts = headers::need_facts(table, &found).then(|| {
            let stream = self.streams.get(stream)?;
            let teller = Teller::new(&self.io, (asker.down, down), (self.index, self.workers));
            let mut facts = teller.request(stream, &cluster.name);
            (facts.upstream.attempts, facts.course.route) = (1, &found.route.name);
            Some(facts)
        });
        let facts = facts.flatten();
        let facts = facts.as_ref();
        let attempt = Attempt { manager, table, found: &found, attempt: 1, timeout, facts };
        let server = self.names.of_field(cluster, &self.io.head);
        headers::forward(&mut self.io.head, &attempt);
        if continues {
            self.io.head.remove_known(Known::Expect);
        }
        if let Some(rewrite) = &forward.rewrite {
            let (asked, tells) = (&found.route.matches.path, !manager.suppress_envoy_headers);
            if let Err(reason) = rewrite::apply(&mut self.io.head, rewrite, asked, tells) {
                return self.refuse_along(asker, reason, taken);
            }
        }
        let mut cookies = Vec::new();
        let hash = hashes.then(|| self.hash(forward, down, &mut cookies)).flatten();
        let Some(entry) = self.streams.get_mut(stream) else { return };
        let framing = entry.request_framing;
        let server = server.or_else(|| self.names.of_authority(cluster, &self.io.head));
        entry.take_form(&mut self.io.head, manager, forward, up_form);
        let Some(encoded) = encode::request(self.io.driver.pool(), &self.io.head, framing) else {
            return self.reply(asker, Reason::UpstreamOverflow);
        };
        entry.keep_request(&mut self.io.head);
        (entry.request_head, entry.cluster, entry.server) = (encoded, to, server);
        (entry.hash, entry.set_cookies) = (hash, cookies);
        entry.follow(forward, weighted, manager.stream_idle_timeout, terms);
        let is_done = entry.is_request_done;
        let has_mirrors = !forward.mirrors.is_empty();
        entry.taken = Some(taken);
        if is_done {
            // Known before it is sent, the first alarm is the only one to be set.
            entry.start_clock(self.io.driver.now());
        }
        if continues {
            self.send_continue(asker);
        }
        self.launch(stream, has_mirrors, is_done);
    }

    fn launch(&mut self, stream: Key, has_mirrors: bool, is_done: bool) {
        match has_mirrors {
            true => self.send_with_copies(stream),
            false => self.send_request(stream),
        }
        if is_done {
            self.on_request_done(stream);
        }
    }

    /// What decides where the request in `io.head` goes: as in Envoy it is hashed as it goes up.
    fn hash(&self, by: &Forward, down: &Down, cookies: &mut Vec<Vec<u8>>) -> Option<u64> {
        let (client, facts) = (self.io.client, &down.facts);
        let origin = Origin { client, peer: facts.source, local: facts.destination };
        hash::request(&by.hash, &self.io.head, &origin, |cookie| cookies.push(cookie))
    }

    /// Where this cluster of its route is; one that the request names was looked up with the route.
    fn destination(&self, stream: Key, weighted: &Weighted) -> ClusterId {
        match weighted.named_by() {
            None => weighted.cluster,
            Some(_) => self.streams.get(stream).map_or(ClusterId::NOBODY, |s| s.cluster),
        }
    }

    pub(crate) fn send_continue(&mut self, to: Asker) {
        if let Some(down) = self.downs.get_mut(to.down) {
            if let DownState::Http2(two) = &mut down.state {
                self.io.head.clear();
                self.io.head.status = 100;
                return two.interim(&self.io.head, to.stream.and_then(|key| self.streams.get(key)));
            }
            let interim = Buf::from_static(b"HTTP/1.1 100 Continue\r\n\r\n");
            // Without memory for it the client sends its body after a while by itself.
            let _ = down.io.send(&mut self.io.driver, interim);
        }
    }

    /// What cannot be read is answered with the codec's status, and the connection ends.
    fn refuse_malformed(&mut self, key: Key, refusal: Refusal) {
        self.io.counters.count(Counter::RequestMalformed);
        tracing::debug!(code = refusal.code, details = refusal.details, "malformed request");
        let Some(http) = self.downs.get_mut(key).and_then(Down::http_mut) else { return };
        http.is_closing = true;
        if http.has_answered() {
            return self.abort_down(key);
        }
        self.answer(Asker::of(key), reply::refused(&refusal));
    }

    /// The client has closed its side. As in Envoy that ends its HTTP connection, the request under
    /// way included: nobody may be left to read the answer, and an upstream that never answers
    /// would be waited for without end.
    pub(crate) fn on_request_eof(&mut self, key: Key) {
        match self.downs.get(key).and_then(Down::http).map(|http| http.phase) {
            Some(Phase::Tunnel) => self.end_tunnel(key),
            Some(Phase::Preface | Phase::Head | Phase::Body(_) | Phase::Waiting) | None => {
                self.close_down(key);
            }
        }
    }
}

/// The client waits to be told to send its body, and it is for us to tell.
pub(crate) fn waits_for_continue(head: &Head, down: &Down) -> bool {
    let expected = head.value(Known::Expect).unwrap_or_default();
    let is_http_10 = down.http().is_some_and(|http| http.is_http_10);
    expected.eq_ignore_ascii_case(b"100-continue")
        && !is_http_10
        && down.manager().is_some_and(|manager| !manager.proxy_100_continue)
}
