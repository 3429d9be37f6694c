//! What becomes of a request: the policies and the route.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{ClusterId, Forward, HttpManager, HttpRbac, RouteAction, Routes};
use policy::deadline;
use policy::facts::RequestFacts;
use policy::headers::{self, RequestContext};
use policy::path;
use policy::rbac;
use policy::reply::Reason;
use policy::route::{self, Found, NotFound};
use ring::Key;
use ring::driver::{Driver, Nanos};
use wire::head::{Head, Span};

use crate::counters::Counter;
use crate::stream::Stream;
use crate::view::{Table, Taken, View};
use crate::worker::Worker;

/// What becomes of a request.
pub(crate) enum Decision {
    /// It goes to this route's cluster.
    Forward(Taken),
    /// The route answers by itself.
    Direct(Taken),
    /// It is refused with this status, as its client cannot be told.
    Reject(u16),
    /// It is refused, on the way along this route if one was found.
    Refuse(Reason, Option<Taken>),
    /// There are filters to be gone through first, on the way along this route if one was found,
    /// for a client of this address.
    Filter(Result<Taken, Reason>, IpAddr),
}

impl Decision {
    fn along(action: &RouteAction, taken: Taken) -> Self {
        match action {
            RouteAction::Direct { .. } | RouteAction::Redirect(_) => Self::Direct(taken),
            RouteAction::Forward(_) => Self::Forward(taken),
        }
    }
}

/// Where a CONNECT goes to is not for us to change (RFC 9110, 9.3.6).
fn keep_destination(head: &mut Head, asked_for: Span) {
    if head.method() == b"CONNECT" {
        head.authority = asked_for;
    }
}

impl<D: Driver> Worker<D> {
    /// The policies and the route for the request in `io.head`, which takes its final form here.
    pub(crate) fn decide(&mut self, key: Key, stream: Key) -> Decision {
        let Some(table) = self.table(key) else {
            return Decision::Refuse(Reason::RouteNotFound, None);
        };
        let request_id = self.io.random.wide();
        let random = self.io.random.next();
        let Some((down, manager)) =
            self.downs.get(key).and_then(|down| Some((down, &**down.manager()?)))
        else {
            return Decision::Refuse(Reason::RouteNotFound, None);
        };
        let head = &mut self.io.head;
        if let Err(refused) = path::normalize(head, manager) {
            return Decision::Refuse(refused.reason(), None);
        }
        let context = RequestContext {
            manager,
            source: down.facts.source,
            local: down.facts.destination,
            peer: down.io.peer(),
            local_uri: down.io.local_uri(),
            request_id,
        };
        let asked_for = head.authority;
        headers::host_form(head, manager.host_form, down.facts.destination.port());
        let remote = match headers::request(head, &context) {
            Ok(remote) => remote,
            Err(rejected) => return Decision::Reject(rejected.status),
        };
        self.io.client = remote;
        // As in Envoy the route is chosen first: it says which upgrades pass, and changes the
        // answer's headers also where a policy refuses.
        let found = route::find_for(&table, head, random, context.peer);
        keep_destination(head, asked_for);
        let taken = |found: Found<'_>| Taken::of(&table, &found);
        if let Some(found) = found.as_ref().ok().filter(|found| asks_at_once(found)) {
            let time = (self.io.driver.now(), manager.spans.stream);
            heed(found, head, self.streams.get_mut(stream), &self.view, time);
        }
        let needs = found.is_ok_and(|found| headers::need_facts(&table, &found));
        if needs || manager.keeps_records() {
            let remote = told_as(remote, down.facts.source);
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.begin_record(&mut self.spare_records, head.version, remote);
            }
        }
        // As in Envoy only a route that leads to an upstream changes what is answered in its place.
        let refuse =
            |reason| Decision::Refuse(reason, found.ok().map(taken).filter(Taken::is_forward));
        if let Ok(found) = found
            && !is_upgrade_allowed(manager, &found.route.action, head)
        {
            return refuse(Reason::UpgradeRefused);
        }
        let policies = manager.filters.policies().filter(|_| !table.has_overrides);
        let Some(policies) = policies else {
            return Decision::Filter(found.map(taken).map_err(NotFound::reason), remote);
        };
        let (connection, peer) = (down.facts.connection(), context.peer);
        let facts = RequestFacts { head: Some(head), connection: &connection, peer, remote };
        let (counters, details) = (&self.io.counters, &mut self.io.details);
        if !policies.iter().all(|policy| is_allowed(policy, &facts, counters, details)) {
            return refuse(Reason::RbacDenied);
        }
        match found {
            Err(none) => Decision::Refuse(none.reason(), None),
            Ok(found) => Decision::along(&found.route.action, taken(found)),
        }
    }

    /// The route table in force for this connection's manager, which follows the configuration.
    fn table(&mut self, key: Key) -> Option<Table> {
        let serving = self.downs.get_mut(key)?.serving_mut()?;
        if let Some(table) = &serving.table {
            return Some(Rc::clone(table));
        }
        let table = match &serving.manager.routes {
            Routes::Named(name) => Rc::clone(self.view.table(name)?),
            Routes::Inline(table) => Rc::new(Arc::clone(table)),
        };
        serving.table = Some(Rc::clone(&table));
        Some(table)
    }
}

/// The route says something of its requests that holds before any filter has its turn.
fn asks_at_once(found: &Found<'_>) -> bool {
    let has_duration = match &found.route.action {
        RouteAction::Forward(forward) => forward.duration.is_some(),
        RouteAction::Direct { .. } | RouteAction::Redirect(_) => false,
    };
    has_duration || found.cluster.is_some_and(|cluster| cluster.named_by().is_some())
}

/// Does what it says: the cluster that the request names is looked up, and the time of the whole
/// exchange is limited. `time`: now, and the manager's limit.
fn heed(
    found: &Found<'_>,
    head: &mut Head,
    stream: Option<&mut Stream>,
    view: &View,
    time: (Nanos, Option<Duration>),
) {
    let Some(stream) = stream else { return };
    if let Some(header) = found.cluster.and_then(|cluster| cluster.named_by()) {
        let id = route::named(head, header).and_then(|name| view.cluster_named(name));
        stream.cluster = id.unwrap_or(ClusterId::NOBODY);
    }
    if let RouteAction::Forward(Forward { duration: Some(duration), .. }) = &found.route.action {
        let (now, of_manager) = time;
        let limit = deadline::stream(head, duration, of_manager, stream.is_grpc);
        stream.ends_by = limit.map(|limit| now.after(limit));
    }
}

/// The client's address for formats: with port 0, as in Envoy, where a header has told it.
fn told_as(remote: IpAddr, source: SocketAddr) -> SocketAddr {
    if remote == source.ip().to_canonical() { source } else { SocketAddr::new(remote, 0) }
}

/// The request asks for no upgrade, or for one that passes: the route's word is the last, where it
/// has one for that name. (Which upgrades there are is the manager's and the route's to say also
/// where the route answers by itself.)
fn is_upgrade_allowed(manager: &HttpManager, action: &RouteAction, head: &Head) -> bool {
    let asked = match head.method() {
        b"CONNECT" => b"connect",
        _ => match head.upgrade {
            Some(asked) => head.get(asked),
            None => return true,
        },
    };
    let is_asked = |name: &str| name.as_bytes().eq_ignore_ascii_case(asked);
    let of_route = match action {
        RouteAction::Forward(forward) => &forward.upgrades[..],
        RouteAction::Direct { .. } | RouteAction::Redirect(_) => &[],
    };
    match of_route.iter().find(|(name, _)| is_asked(name)) {
        Some((_, is_on)) => *is_on,
        None => manager.upgrades.iter().any(|name| is_asked(name)),
    }
}

/// The policy lets the request pass.
pub(crate) fn is_allowed(
    policy: &HttpRbac,
    facts: &RequestFacts<'_>,
    counters: &crate::counters::Counters,
    details: &mut String,
) -> bool {
    let Some(rules) = &policy.rules else { return true };
    let verdict = rbac::http(rules, facts);
    if !verdict.allowed {
        counters.count(Counter::RbacDenied);
        let source = facts.connection.source;
        details.clear();
        // Writing to a string cannot fail.
        let _ = write!(details, "{}", verdict.details());
        tracing::debug!(%details, %source, "refused");
        return false;
    }
    counters.count(Counter::RbacAllowed);
    true
}
