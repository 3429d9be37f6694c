//! The turns of filters that need to know of a request's body, or of the upstreams.

use config::snapshot::{Compressor, HealthCheckFilter, HttpFilter};
use policy::filter::health::{self, Members};
use policy::filter::{Answer, compress, grpc_web};
use policy::reply::{Filtered, Reason};
use ring::Key;
use ring::driver::Driver;
use wire::head::{Framing, Known};

use super::answer::own_of;
use super::slow::Slowed;
use super::{Passage, Step};
use crate::request::waits_for_continue;
use crate::serving::Asker;
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// `envoy.filters.http.health_check`
    pub(super) fn checked(
        &mut self,
        to: Asker,
        key: Key,
        passage: &Passage,
        check: &HealthCheckFilter,
    ) -> Step {
        if !health::concerns(check, &self.io.head) {
            return Step::Next;
        }
        let Some(filtering) = self.remember(key, passage) else { return Step::Answered };
        filtering.told.checked = Some(passage.at);
        let Some(stream) = self.streams.get_mut(key) else { return Step::Answered };
        stream.note_health_check();
        if check.passes_through && !self.draining {
            return Step::Next;
        }
        // As in Envoy it is answered when it has come whole.
        if !stream.is_request_done && !self.is_tunnel() {
            return self.gather(to, key, passage, None);
        }
        let answer = health::judge(check, self.draining, |cluster| {
            self.view.snapshot.cluster(cluster)?;
            let (all, usable) = self.clusters.members(cluster)?;
            Some(Members { all, usable })
        });
        self.answer_filtered(to, key, passage, &answer);
        Step::Answered
    }

    /// `envoy.filters.http.buffer`
    pub(super) fn buffered(&mut self, to: Asker, key: Key, passage: &Passage, most: u32) -> Step {
        let is_tunnel = self.is_tunnel();
        let Some(stream) = self.streams.get_mut(key) else { return Step::Answered };
        let bytes = stream.waiting_bytes as u64;
        let announced = match stream.request_framing {
            Framing::None | Framing::Length(0) | Framing::UntilClose => return Step::Next,
            Framing::Length(announced) => announced,
            Framing::Chunked => 0,
        };
        if is_tunnel {
            return Step::Next;
        }
        if bytes.max(announced) > most.into() {
            self.answer_filtered(
                to,
                key,
                passage,
                &Answer::of(Reason::Filtered(Filtered::PayloadTooLarge)),
            );
            return Step::Answered;
        }
        if !stream.is_request_done {
            return self.gather(to, key, passage, Some(most.into()));
        }
        // As in Envoy the upstream is told the length.
        stream.request_framing = Framing::Length(bytes);
        self.io.head.framing = stream.request_framing;
        Step::Next
    }

    /// `envoy.filters.http.grpc_web`
    pub(super) fn browsed(&mut self, to: Asker, key: Key, passage: &Passage) -> Step {
        let Some(form) = grpc_web::request(&mut self.io.head) else { return Step::Next };
        let Some(filtering) = self.remember(key, passage) else { return Step::Answered };
        filtering.told.web = Some((passage.at, form));
        if form.sends_text {
            filtering.bodies.read_text();
        }
        let Some(stream) = self.streams.get_mut(key) else { return Step::Answered };
        if let Framing::Length(1..) = stream.request_framing {
            stream.request_framing = Framing::Chunked;
            self.io.head.framing = Framing::Chunked;
        }
        if let Some(Err(reason)) = form.sends_text.then(|| self.read_waiting(key)) {
            self.answer_filtered(to, key, passage, &Answer::of(reason));
            return Step::Answered;
        }
        Step::Next
    }

    /// `envoy.filters.http.compressor`
    pub(super) fn accepts(
        &mut self,
        key: Key,
        passage: &Passage,
        filter: &HttpFilter,
        compressor: &Compressor,
    ) -> Step {
        if self.is_tunnel() {
            return Step::Next;
        }
        let Some(filtering) = self.remember(key, passage) else { return Step::Answered };
        let mut accepted = std::mem::take(&mut filtering.told.accepted);
        let own = own_of(passage.levels(), filter);
        let is_told = compress::accepted(compressor, own, &mut self.io.head, &mut accepted);
        let Some(filtering) = self.remember(key, passage) else { return Step::Answered };
        filtering.told.accepted = accepted;
        let bit = u32::try_from(passage.at).ok().and_then(|at| 1_u64.checked_shl(at));
        filtering.told.accepted_at |= bit.filter(|_| is_told).unwrap_or(0);
        Step::Next
    }

    /// The answer leaves with so many KiB a second.
    pub(super) fn slow_down(&mut self, key: Key, passage: &Passage, kib: u64) {
        let now = self.io.driver.now();
        if self.is_tunnel() {
            return;
        }
        if let Some(filtering) = self.remember(key, passage) {
            filtering.bodies.slowed = Some(Box::new(Slowed::new(kib, now)));
        }
    }

    /// What follows the request is no body.
    fn is_tunnel(&self) -> bool {
        self.io.head.upgrade.is_some() || self.io.head.method() == b"CONNECT"
    }

    /// The request waits for its body: for so many bytes at most, or only for its end.
    fn gather(&mut self, to: Asker, key: Key, passage: &Passage, most: Option<u64>) -> Step {
        let Some(down) = self.downs.get(to.down) else { return Step::Answered };
        if waits_for_continue(&self.io.head, down) {
            self.io.head.remove_known(Known::Expect);
            self.send_continue(to);
        }
        let waiting = self.streams.get(key).map_or(0, |stream| stream.waiting_bytes);
        let Some(filtering) = self.remember(key, passage) else { return Step::Answered };
        filtering.bodies.gather(most, waiting);
        Step::Gather
    }
}
