//! Requests on their way through the HTTP filters, and answers on their way back.
//!
//! A chain that only has policies, on routes that say nothing of filters, never comes here. A
//! filter that needs time lets the request wait: its head is kept, its body waits as for a
//! connection, and [`Worker::resume`] goes on with the same filter. What waits is not lost sight
//! of: the idle limit of the stream holds, and a client that leaves takes its request along.

mod answer;
mod bodies;
mod slow;
mod squeezed;
mod steps;

use std::net::IpAddr;
use std::rc::Rc;

use config::snapshot::{
    ActiveFault, ClusterId, FilterKind, Flag, HttpFault, HttpFilter, HttpRbac, LocalRateLimit,
    OverrideKind, RouteAction, Weighted,
};
use policy::facts::RequestFacts;
use policy::filter::cors::{self, Policies, Verdict};
use policy::filter::grpc_web::Form;
use policy::filter::limit::{self, Described, Which};
use policy::filter::{Answer, Levels, fault, mutation};
use policy::headers;
use policy::reply::Reason;
use ring::Key;
use ring::driver::{Driver, Nanos};
use wire::head::Head;

use crate::counters::Counter;
use crate::decide;
use crate::limits::SPARE_FILTERING_MAX;
use crate::serving::{Asker, Shared};
use crate::stream::Stream;
use crate::view::Taken;
use crate::worker::Worker;
use answer::on_response_from;
pub(crate) use answer::{Way, on_response};
use bodies::Bodies;

/// How far a request has come through the filters.
#[derive(Clone)]
pub(crate) struct Passage {
    /// Whose filters they are: the connection's manager may be another one meanwhile.
    manager: Shared,
    /// The route, if one was found.
    taken: Option<Taken>,
    /// What is answered at the end where none was.
    missing: Reason,
    /// The client's address as far as it may be believed.
    remote: IpAddr,
    /// The filter whose turn it is.
    at: usize,
    /// That filter has had the time that it asked for.
    has_waited: bool,
}

impl Passage {
    /// The cluster that the request goes to, if its route leads to any.
    fn cluster(&self) -> Option<&Weighted> {
        self.taken.as_ref()?.found()?.cluster
    }

    fn levels(&self) -> Levels<'_> {
        let Some(taken) = &self.taken else { return Levels::default() };
        let Some(found) = taken.found() else { return Levels::default() };
        Levels::of(&taken.table, &found, found.cluster)
    }
}

/// What the filters remember of a request. Few requests have any of it.
#[derive(Default)]
pub(crate) struct Filtering {
    passage: Option<Passage>,
    /// The request waits until then.
    pub(crate) until: Option<Nanos>,
    /// Its head meanwhile.
    head: Option<Box<Head>>,
    fault: Option<ActiveFault>,
    told: Told,
    /// What is done to bodies.
    pub(crate) bodies: Bodies,
}

/// What filters have found out about a request, for its answer.
#[derive(Default)]
struct Told {
    /// The origin that may read the answer, for the CORS filter at this place; empty: none.
    origin: Vec<u8>,
    origin_of: usize,
    /// The rate limit at this place has counted the request in this bucket.
    counted: Option<(usize, Which)>,
    /// The filter at this place takes the request for a health check.
    checked: Option<usize>,
    /// It comes from a browser, as the filter at this place has found.
    web: Option<(usize, Form)>,
    /// The codings that the client accepts.
    accepted: Vec<u8>,
    /// The filters that have seen them, a bit each: more than 64 there are not.
    accepted_at: u64,
}

impl Told {
    /// The codings that the client accepts, as far as the filter at this place has seen.
    fn accepted(&self, at: usize) -> Option<&[u8]> {
        let bit = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at));
        bit.filter(|bit| self.accepted_at & bit != 0).map(|_| &self.accepted[..])
    }
}

impl Filtering {
    /// As new, with the room that it has.
    fn clear(&mut self) {
        let Told { mut origin, mut accepted, .. } = std::mem::take(&mut self.told);
        origin.clear();
        accepted.clear();
        let told = Told { origin, accepted, ..Told::default() };
        *self = Self { told, ..Self::default() };
    }

    /// When it is to be looked at again, for a filter's sake.
    pub(crate) fn next(&self) -> Option<Nanos> {
        let slice = self.bodies.slowed.as_ref().and_then(|slowed| slowed.next());
        [self.until, slice].into_iter().flatten().min()
    }
}

impl Stream {
    /// Its body is kept back until it has come whole, or dropped.
    pub(crate) fn is_gathering(&self) -> bool {
        self.filtering.as_ref().is_some_and(|filtering| filtering.bodies.is_gathering())
    }

    /// Filters look at its body.
    pub(crate) fn takes_body(&self) -> bool {
        self.filtering.as_ref().is_some_and(|filtering| filtering.bodies.takes_request())
    }

    /// Filters look at the body of its answer.
    pub(crate) fn takes_answer(&self) -> bool {
        self.filtering.as_ref().is_some_and(|filtering| filtering.bodies.takes_answer())
    }

    /// Bytes of its answer that a filter keeps back.
    pub(crate) fn slowed_bytes(&self) -> usize {
        self.filtering.as_ref().map_or(0, |filtering| filtering.bodies.slowed_bytes())
    }
}

/// What comes after a filter's turn.
enum Step {
    /// The next filter's.
    Next,
    /// A pause, and the same one's again.
    Wait(Nanos),
    /// A pause until the request has come whole, and the same one's again.
    Gather,
    /// Nothing: the request has been answered.
    Answered,
}

impl<D: Driver> Worker<D> {
    /// Sends the request in `io.head` through the chain.
    pub(crate) fn filter(
        &mut self,
        to: Asker,
        key: Key,
        found: Result<Taken, Reason>,
        remote: IpAddr,
    ) {
        let serving = self.downs.get_mut(to.down).and_then(|down| down.serving_mut());
        let Some(manager) = serving.map(|serving| serving.shared()) else { return };
        let missing = found.as_ref().err().copied().unwrap_or(Reason::RouteNotFound);
        let (taken, at, has_waited) = (found.ok(), 0, false);
        let passage = Passage { manager, taken, missing, remote, at, has_waited };
        if passage.manager.filters.changes_answers() {
            self.remember(key, &passage);
        }
        self.pass(to, key, passage);
    }

    fn pass(&mut self, to: Asker, key: Key, mut passage: Passage) {
        let manager = Rc::clone(&passage.manager);
        while let Some(filter) = manager.filters.all().get(passage.at) {
            match self.step(to, key, &passage, filter) {
                Step::Next => {
                    passage.at += 1;
                    passage.has_waited = false;
                }
                Step::Wait(until) => return self.pause(key, passage, Some(until)),
                Step::Gather => return self.pause(key, passage, None),
                Step::Answered => return,
            }
        }
        let Passage { taken, missing, .. } = passage;
        let Some(taken) = taken else { return self.refuse(to, missing) };
        match taken.route().map(|route| &route.action) {
            Some(RouteAction::Direct { .. } | RouteAction::Redirect(_)) => {
                self.reply_direct(to, &taken);
            }
            Some(RouteAction::Forward(_)) => self.forward(to, key, taken),
            None => self.reply(to, Reason::RouteNotFound),
        }
    }

    fn step(&mut self, to: Asker, key: Key, passage: &Passage, filter: &HttpFilter) -> Step {
        let levels = passage.levels();
        if !levels.is_on(filter) {
            return Step::Next;
        }
        let own = levels.own(&filter.name);
        match (&filter.kind, own) {
            (FilterKind::Rbac(_), Some(OverrideKind::Rbac(own))) => {
                self.judged(to, key, passage, own)
            }
            (FilterKind::Rbac(rbac), _) => self.judged(to, key, passage, rbac),
            (FilterKind::Fault(fault), Some(OverrideKind::Fault(own))) => {
                self.faulted(to, key, passage, fault, own)
            }
            (FilterKind::Fault(fault), _) => self.faulted(to, key, passage, fault, fault),
            (FilterKind::Cors, _) => self.asked_from(to, key, passage, &filter.name),
            (FilterKind::LocalRateLimit(_), Some(OverrideKind::LocalRateLimit(own))) => {
                self.counted(to, key, passage, own)
            }
            (FilterKind::LocalRateLimit(limit), _) => self.counted(to, key, passage, limit),
            (FilterKind::HealthCheck(check), _) => self.checked(to, key, passage, check),
            (FilterKind::Buffer(_), Some(OverrideKind::Buffer(None))) => Step::Next,
            (FilterKind::Buffer(_), Some(OverrideKind::Buffer(Some(own)))) => {
                self.buffered(to, key, passage, *own)
            }
            (FilterKind::Buffer(most), _) => self.buffered(to, key, passage, *most),
            (FilterKind::GrpcWeb, _) => self.browsed(to, key, passage),
            (FilterKind::Compressor(compressor), _) => {
                self.accepts(key, passage, filter, compressor)
            }
            (FilterKind::HeaderMutation(changes), _) => {
                mutation::request(changes, levels, &filter.name, &mut self.io.head);
                Step::Next
            }
        }
    }

    /// `envoy.filters.http.rbac`
    fn judged(&mut self, to: Asker, key: Key, passage: &Passage, rbac: &HttpRbac) -> Step {
        let Some(down) = self.downs.get(to.down) else { return Step::Answered };
        let facts = RequestFacts {
            head: Some(&self.io.head),
            connection: &down.facts.connection(),
            peer: down.io.peer(),
            remote: passage.remote,
        };
        if decide::is_allowed(rbac, &facts, &self.io.counters, &mut self.io.details) {
            return Step::Next;
        }
        self.keep_route(key, passage);
        self.reply(to, Reason::RbacDenied);
        Step::Answered
    }

    /// `envoy.filters.http.fault`; `filter` counts the faults under way.
    fn faulted(
        &mut self,
        to: Asker,
        key: Key,
        passage: &Passage,
        filter: &HttpFault,
        fault: &HttpFault,
    ) -> Step {
        let cluster = self.cluster_name(key, passage);
        if !fault::concerns(fault, &self.io.head, cluster) {
            return Step::Next;
        }
        let [first, second] = [self.io.random.next(), self.io.random.next()];
        let third = self.io.random.next();
        if !passage.has_waited
            && let Some(kib) = fault::throughput(fault, &self.io.head, third)
            && self.suffers(key, passage, filter, fault.max_active)
        {
            self.io.counters.count(Counter::FaultRateLimits);
            self.slow_down(key, passage, kib);
        }
        if !passage.has_waited
            && let Some(length) = fault::delay(fault, &self.io.head, first)
            && self.suffers(key, passage, filter, fault.max_active)
        {
            self.io.counters.count(Counter::FaultDelays);
            if let Some(stream) = self.streams.get_mut(key) {
                stream.note_flag(Flag::DelayInjected);
            }
            return Step::Wait(self.io.driver.now().after(length));
        }
        if let Some(answer) = fault::abort(fault, &self.io.head, second)
            && self.suffers(key, passage, filter, fault.max_active)
        {
            self.io.counters.count(Counter::FaultAborts);
            self.answer_filtered(to, key, passage, &answer);
            return Step::Answered;
        }
        Step::Next
    }

    /// Counts the request among those that suffer from a fault, if there is room for one more.
    fn suffers(
        &mut self,
        key: Key,
        passage: &Passage,
        filter: &HttpFault,
        most: Option<u32>,
    ) -> bool {
        let Some(filtering) = self.remember(key, passage) else { return false };
        if filtering.fault.is_none() {
            filtering.fault = filter.active.begin(most);
        }
        let suffers = filtering.fault.is_some();
        if !suffers {
            self.io.counters.count(Counter::FaultOverflow);
        }
        suffers
    }

    /// `envoy.filters.http.cors`, on routes that lead to an upstream.
    fn asked_from(&mut self, to: Asker, key: Key, passage: &Passage, name: &str) -> Step {
        if passage.cluster().is_none() {
            return Step::Next;
        }
        let policies = Policies::of(passage.levels(), name);
        let random = self.io.random.next();
        let verdict = cors::judge(policies, &self.io.head, random);
        let (Verdict::Goes { allowed } | Verdict::Preflight { allowed }) = verdict else {
            return Step::Next;
        };
        let counter = if allowed { Counter::CorsOriginValid } else { Counter::CorsOriginInvalid };
        self.io.counters.count(counter);
        if allowed {
            self.remember(key, passage);
            let origin = self.io.head.values(b"origin").next();
            let stream = self.streams.get_mut(key).and_then(|stream| stream.filtering.as_mut());
            if let (Some(filtering), Some(origin)) = (stream, origin) {
                filtering.told.origin_of = passage.at;
                filtering.told.origin.clear();
                filtering.told.origin.extend_from_slice(origin);
            }
        }
        if verdict == (Verdict::Goes { allowed }) {
            return Step::Next;
        }
        self.keep_route(key, passage);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.note_made(&self.io.head, "cors_response");
        }
        cors::preflight(policies, &mut self.io.head, allowed);
        self.send_made(to);
        Step::Answered
    }

    /// `envoy.filters.http.local_ratelimit`
    fn counted(&mut self, to: Asker, key: Key, passage: &Passage, limit: &LocalRateLimit) -> Step {
        let [first, second] = [self.io.random.next(), self.io.random.next()];
        if !limit.enabled.takes(first) {
            return Step::Next;
        }
        let now = self.io.driver.now();
        let described = Described {
            head: &self.io.head,
            remote: passage.remote,
            cluster: self.cluster_name(key, passage),
            said: passage.levels().rate_limits(),
        };
        let verdict = limit::count(limit, &described, now.0);
        if limit.tells
            && let Some(which) = verdict.bucket
            && let Some(filtering) = self.remember(key, passage)
        {
            filtering.told.counted = Some((passage.at, which));
        }
        if verdict.allowed {
            return Step::Next;
        }
        self.io.counters.count(Counter::RateLimited);
        if !limit.enforced.takes(second) {
            headers::change(&mut self.io.head, &limit.request);
            return Step::Next;
        }
        self.io.counters.count(Counter::RateLimitEnforced);
        self.keep_route(key, passage);
        let bucket = verdict.bucket.and_then(|which| which.of(limit));
        self.answer_with(to, &limit::refusal(limit), |head| {
            limit::explain(limit, head, bucket, now.0);
        });
        Step::Answered
    }

    /// The name of the cluster that the request goes to, if its route leads to any.
    fn cluster_name<'n>(&'n self, key: Key, passage: &'n Passage) -> Option<&'n str> {
        let cluster = passage.cluster()?;
        if cluster.named_by().is_none() {
            return Some(&cluster.name);
        }
        let found = self.view.snapshot.cluster(self.streams.get(key)?.cluster);
        Some(found.map_or("", |cluster| &cluster.name))
    }

    /// An answer of a filter's.
    fn answer_filtered(&mut self, to: Asker, key: Key, passage: &Passage, answer: &Answer<'_>) {
        self.keep_route(key, passage);
        self.answer_with(to, answer, |_| {});
    }

    /// The route changes what is answered, if it leads to an upstream: as in Envoy.
    fn keep_route(&mut self, key: Key, passage: &Passage) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.taken = passage.taken.clone().filter(Taken::is_forward);
    }

    /// What the filters remember of this request, from here on.
    fn remember(&mut self, key: Key, passage: &Passage) -> Option<&mut Filtering> {
        let stream = self.streams.get_mut(key)?;
        let spare = &mut self.spare_filtering;
        let filtering = stream.filtering.get_or_insert_with(|| spare.pop().unwrap_or_default());
        if filtering.passage.is_none() {
            filtering.passage = Some(passage.clone());
        }
        Some(filtering)
    }

    /// The request waits, until then or for its end; [`Self::resume`] goes on with it.
    fn pause(&mut self, key: Key, passage: Passage, until: Option<Nanos>) {
        let now = self.io.driver.now();
        self.keep_route(key, &passage);
        let named = passage.cluster().map(|cluster| cluster.cluster);
        let cluster = named.filter(|id| *id != ClusterId::NOBODY);
        let idle_limit = passage.manager.stream_idle_timeout;
        let Some(filtering) = self.remember(key, &passage) else { return };
        filtering.until = until;
        filtering.passage = Some(Passage { has_waited: true, ..passage });
        let mut head = Box::<Head>::default();
        head.copy_from(&self.io.head);
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Some(filtering) = &mut stream.filtering {
            filtering.head = Some(head);
        }
        stream.wait(now, cluster, idle_limit);
        self.set_alarm(key);
    }

    /// Goes on with a request that has waited.
    pub(crate) fn resume(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let to = Asker { down: stream.down, stream: Some(key) };
        let Some(filtering) = &mut stream.filtering else { return };
        filtering.until = None;
        let (Some(head), Some(passage)) = (filtering.head.take(), filtering.passage.clone()) else {
            return;
        };
        self.io.head.copy_from(&head);
        self.pass(to, key, passage);
    }

    /// The request is gone: what was remembered of it is room for another.
    pub(crate) fn forget_filtering(&mut self, mut filtering: Box<Filtering>) {
        if self.spare_filtering.len() < SPARE_FILTERING_MAX {
            filtering.clear();
            self.spare_filtering.push(filtering);
        }
    }
}
