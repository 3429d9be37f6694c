//! Answers of our own: refusals, and what a route answers by itself.

use config::snapshot::{Flag, Flags, RouteAction};
use policy::filter::Answer;
use policy::local_reply::{self, Asked};
use policy::reply::{Reason, Reply};
use policy::{headers, redirect};
use ring::driver::Driver;
use ring::{Buf, Key};
use wire::head::{Framing, Head};

use crate::counters::Counter;
use crate::encode::{self, Piece};
use crate::filters::{self, Way};
use crate::record::{Teller, cluster_name};
use crate::request::Phase;
use crate::serving::Asker;
use crate::view::Taken;
use crate::worker::Worker;

/// What an answer of our own says.
#[derive(Clone, Copy, Default)]
struct Said<'b> {
    body: &'b [u8],
    /// How a call by gRPC has ended, where that does not follow from the status.
    grpc_status: Option<u32>,
    /// It is given for want of room, by us or by a limit of the cluster.
    is_overload: bool,
}

impl<'b> Said<'b> {
    fn of(body: &'b [u8]) -> Self {
        Self { body, ..Self::default() }
    }
}

impl<D: Driver> Worker<D> {
    /// An answer of our own.
    pub(crate) fn reply(&mut self, to: Asker, reason: Reason) {
        let stream = self.stream_of_asker(to);
        let attempts = stream.and_then(|s| self.streams.get(s)).map_or(0, |s| s.attempts);
        self.answer(to, reason.reply_after(attempts));
    }

    /// Whoever asks understands gRPC's answers.
    pub(crate) fn is_grpc(&self, to: Asker) -> bool {
        let stream = self.stream_of_asker(to).and_then(|key| self.streams.get(key));
        stream.is_some_and(|stream| stream.is_grpc)
    }

    /// The request that is asked, if it has become one.
    pub(crate) fn stream_of_asker(&self, to: Asker) -> Option<Key> {
        to.stream.or_else(|| self.downs.get(to.down)?.http()?.stream)
    }

    pub(crate) fn answer(&mut self, to: Asker, reply: Reply) {
        if self.stream_of_asker(to).is_none() {
            self.begin_refused(to.down);
        }
        self.io.counters.count(Counter::LocalReply);
        tracing::debug!(
            code = reply.code,
            details = reply.details,
            flag = reply.flag,
            "local reply"
        );
        self.close_after(to, reply.status);
        self.note_reply(to, &reply);
        let said = Said {
            grpc_status: reply.grpc_status().map(Into::into),
            is_overload: reply.flag == "UO",
            ..Said::of(reply.body.as_bytes())
        };
        self.begin_local(to, reply.status, said, false);
        let piece = Some(Buf::from_static(reply.body.as_bytes())).filter(|_| !self.is_grpc(to));
        self.send_local(to, said, piece);
    }

    /// Refuses the request in `io.head`, perhaps so that its client comes again elsewhere.
    pub(crate) fn refuse(&mut self, to: Asker, reason: Reason) {
        self.io.gathered.clear();
        if !redirect::of_refusal(reason, &self.io.head, &mut self.io.gathered) {
            return self.reply(to, reason);
        }
        self.io.counters.count(Counter::LocalReply);
        tracing::debug!(code = reason.code(), "local reply");
        self.note_reply(to, &reason.reply());
        self.begin_local(to, reason.reply().status, Said::default(), true);
        self.send_local(to, Said::default(), []);
    }

    /// Refuses the request that was going along this route.
    pub(crate) fn refuse_along(&mut self, to: Asker, reason: Reason, taken: Taken) {
        self.take(to, taken);
        self.reply(to, reason);
    }

    /// Refuses the request whose cluster is not there.
    pub(crate) fn refuse_for_cluster(&mut self, to: Asker, status: u16, taken: Taken) {
        self.take(to, taken);
        self.answer(to, Reply { status, ..Reason::ClusterNotFound.reply() });
    }

    fn take(&mut self, to: Asker, taken: Taken) {
        if let Some(stream) = self.stream_of_asker(to)
            && let Some(stream) = self.streams.get_mut(stream)
        {
            stream.taken = Some(taken);
        }
    }

    /// As Envoy: an answer of our own that calls the request a bad one is the connection's last.
    fn close_after(&mut self, to: Asker, status: u16) {
        if status == 400
            && let Some(http) = self.downs.get_mut(to.down).and_then(|down| down.http_mut())
        {
            http.is_closing = true;
        }
    }

    /// An answer that a filter gives.
    /// `more`: what the filter says besides, behind the route's changes.
    pub(crate) fn answer_with(
        &mut self,
        to: Asker,
        answer: &Answer<'_>,
        more: impl FnOnce(&mut Head),
    ) {
        let Reply { code, details, flag, .. } = answer.reason.reply();
        self.io.counters.count(Counter::LocalReply);
        tracing::debug!(code, details, flag, "local reply");
        self.close_after(to, answer.status);
        self.note_reply(to, &answer.reason.reply());
        let said = Said { grpc_status: answer.grpc_status, ..Said::of(answer.body.as_bytes()) };
        let mut pieces = Vec::new();
        if !self.is_grpc(to)
            && encode::copy(self.io.driver.pool(), said.body, |piece| pieces.push(piece)).is_err()
        {
            return self.abort_down(to.down);
        }
        self.begin_local(to, answer.status, said, false);
        self.send_local_with(to, said, pieces, more);
    }

    /// Sends the answer without a body whose head stands in `io.head`, which no route changes.
    pub(crate) fn send_made(&mut self, to: Asker) {
        self.io.counters.count(Counter::LocalReply);
        let Some(down) = self.downs.get_mut(to.down) else { return };
        if let Some(http) = down.http_mut() {
            http.is_closing |= !matches!(http.phase, Phase::Waiting);
        }
        if self.filter_local(to, false) {
            self.send_head(to);
        }
        self.end_exchange(to);
    }

    /// The request's head is kept, and why it is answered so, where somebody wants to know.
    fn note_reply(&mut self, to: Asker, reply: &Reply) {
        let Some(key) = self.stream_of_asker(to) else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.keep_request(&mut self.io.head);
        let is_of_policy = reply.code == Reason::RbacDenied.code();
        stream.note_reply(reply, is_of_policy.then_some(&self.io.details));
    }

    /// The route's own answer.
    pub(crate) fn reply_direct(&mut self, to: Asker, taken: &Taken) {
        let Some(route) = taken.route() else { return self.reply(to, Reason::RouteNotFound) };
        self.io.counters.count(Counter::LocalReply);
        let location = &mut self.io.gathered;
        location.clear();
        let (status, body) = match &route.action {
            // As Envoy: a direct response of these kinds says where the request was going.
            RouteAction::Direct { status, body } => {
                if matches!(status, 201 | 300..400) {
                    redirect::origin(&self.io.head, location);
                }
                (*status, &**body)
            }
            RouteAction::Redirect(elsewhere) => {
                redirect::location(&self.io.head, elsewhere, &route.matches.path, location);
                (elsewhere.status, &[][..])
            }
            RouteAction::Forward(_) => return self.reply(to, Reason::RouteNotFound),
        };
        let has_location = !location.is_empty();
        let mut pieces = Vec::new();
        if !self.is_grpc(to)
            && encode::copy(self.io.driver.pool(), body, |piece| pieces.push(piece)).is_err()
        {
            return self.abort_down(to.down);
        }
        self.take(to, taken.clone());
        self.close_after(to, status);
        self.note_reply(to, &Reason::DirectResponse.reply());
        self.begin_local(to, status, Said::of(body), has_location);
        self.send_local(to, Said::of(body), pieces);
    }

    /// Makes the head of an answer of our own, with the location that stands in `io.gathered`.
    fn begin_local(&mut self, to: Asker, status: u16, said: Said<'_>, has_location: bool) {
        let manager = self.downs.get(to.down).and_then(|down| down.manager());
        // What is to be written anew is finished behind that.
        let is_mapped = manager.is_some_and(|manager| manager.local_replies.is_some());
        match (self.is_grpc(to), said.grpc_status) {
            _ if is_mapped => headers::local(&mut self.io.head, status, b""),
            (false, _) => headers::local(&mut self.io.head, status, said.body),
            (true, None) => headers::local_grpc(&mut self.io.head, status, said.body),
            (true, Some(own)) => headers::local_grpc_status(&mut self.io.head, own, said.body),
        }
        if has_location {
            self.io.head.set(b"location", &self.io.gathered);
        }
    }

    /// Finishes the answer of our own whose head stands in `io.head`, and the exchange with it.
    fn send_local(&mut self, to: Asker, said: Said<'_>, pieces: impl IntoIterator<Item = Buf>) {
        self.send_local_with(to, said, pieces, |_| {});
    }

    /// The same with more in its head, behind the route's changes.
    fn send_local_with(
        &mut self,
        to: Asker,
        said: Said<'_>,
        pieces: impl IntoIterator<Item = Buf>,
        more: impl FnOnce(&mut Head),
    ) {
        let stream = self.stream_of_asker(to).and_then(|stream| self.streams.get(stream));
        let Some(down) = self.downs.get_mut(to.down) else { return };
        if let Some(http) = down.http_mut() {
            http.is_closing |= !matches!(http.phase, Phase::Waiting);
        }
        let Some(manager) = down.manager() else { return };
        let is_head = stream.is_some_and(|stream| stream.to.head);
        if let Some(stream) = stream
            && let Some(taken) = &stream.taken
            && let Some(found) = taken.found()
        {
            let facts = headers::need_facts(&taken.table, &found).then(|| {
                let teller = Teller::new(&self.io, (to.down, down), (self.index, self.workers));
                teller.request(stream, cluster_name(&self.clusters, stream))
            });
            headers::local_changes(&mut self.io.head, &taken.table, &found, facts.as_ref());
        }
        more(&mut self.io.head);
        if said.is_overload && !manager.suppress_envoy_headers {
            // As Envoy: behind the route's changes, which can neither remove nor replace it.
            self.io.head.append(b"x-envoy-overloaded", b"true");
        }
        if manager.local_replies.is_some() {
            return self.send_mapped(to, said, is_head);
        }
        self.send_finished(to, is_head, pieces);
    }

    /// The same for an answer that is written as the manager wants it.
    fn send_mapped(&mut self, to: Asker, said: Said<'_>, is_head: bool) {
        let random = self.io.random.next();
        let is_grpc = self.is_grpc(to);
        let stream = self.stream_of_asker(to).and_then(|stream| self.streams.get(stream));
        let Some(down) = self.downs.get(to.down) else { return };
        let Some(replies) = down.manager().and_then(|manager| manager.local_replies.as_ref())
        else {
            return;
        };
        let teller = Teller::new(&self.io, (to.down, down), (self.index, self.workers));
        let facts = stream.map(|s| teller.request(s, cluster_name(&self.clusters, s)));
        let mut facts = facts.unwrap_or_default();
        // Envoy's codec says so later.
        facts.course.flags = facts.course.flags.without(Flags::of(Flag::DownstreamProtocolError));
        let asked = Asked { grpc_status: said.grpc_status, is_grpc, is_head, facts };
        let mut body = said.body.to_vec();
        local_reply::finish(replies, &asked, random, &mut self.io.head, &mut body);
        let mut pieces = Vec::new();
        if encode::copy(self.io.driver.pool(), &body, |piece| pieces.push(piece)).is_err() {
            return self.abort_down(to.down);
        }
        self.send_finished(to, is_head, pieces);
    }

    /// Sends an answer of our own, and ends the exchange.
    fn send_finished(&mut self, to: Asker, is_head: bool, pieces: impl IntoIterator<Item = Buf>) {
        let goes = self.filter_local(to, is_head);
        let is_http1 = self.downs.get(to.down).is_some_and(|down| down.http().is_some());
        // No length and no body, whatever the route says (RFC 9110, 8.6 and 15.3.5).
        let is_bodiless = self.io.head.status == 204;
        if is_bodiless {
            self.io.head.framing = Framing::None;
        }
        if is_head && let Framing::Length(length) = self.io.head.framing {
            if length > 0 || is_http1 {
                self.io.head.set_number(b"content-length", length);
            }
            self.io.head.framing = Framing::None;
        }
        if goes {
            self.send_head(to);
        }
        if !is_head && !is_bodiless {
            pieces.into_iter().for_each(|piece| self.send_down(to, Piece::Data(piece)));
        }
        self.end_exchange(to);
    }

    /// An answer of our own goes through the filters. False: one keeps its head back.
    fn filter_local(&mut self, to: Asker, is_head: bool) -> bool {
        let now = self.io.driver.now();
        let Some(key) = self.stream_of_asker(to) else { return true };
        let Some(stream) = self.streams.get_mut(key) else { return true };
        let Some(filtering) = &mut stream.filtering else { return true };
        let head = &mut self.io.head;
        let is_empty = matches!(head.framing, Framing::None | Framing::Length(0));
        let has_body = !is_head && !is_empty && head.status != 204;
        let way = Way { now, has_body, squeezing: &self.io.squeezing };
        filters::on_response(filtering, head, &way)
    }
}
