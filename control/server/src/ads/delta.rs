//! Incremental xDS as a state machine without I/O: requests in, responses out.
//!
//! The stream remembers the version of each resource that the client holds, so a response carries
//! only what differs. A client that reconnects says what it holds (`initial_resource_versions`)
//! and is sent nothing that has not changed. Within one push, clusters that went away are removed
//! last, after the routes that named them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as DeltaResource,
};

use super::protocol::{NAMES_MAX, Protocol, Step, StreamScope};
use super::resource::set_version;
use super::{Catalogue, Kind, Names, Notice, Progress, Refusal, Rejection, Resource};

/// The most unanswered responses of one type that are remembered; older ones count as stale.
pub const IN_FLIGHT_MAX: usize = 64;

/// One client's incremental stream.
#[derive(Debug)]
pub struct Delta {
    scope: StreamScope,
    /// In push order, as the types are.
    watches: BTreeMap<Kind, Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    names: Names,
    /// What the client holds; `None` for a name that it was told does not exist.
    held: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// Nonce and version of each response without an answer, oldest first.
    in_flight: VecDeque<(String, Arc<str>)>,
    progress: Progress,
}

/// What one response is to carry.
#[derive(Debug, Default)]
struct Change {
    resources: Vec<Arc<Resource>>,
    removed: Vec<Arc<str>>,
}

impl Protocol for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    const NAME: &'static str = "delta";

    fn new(scope: StreamScope) -> Self {
        Self { scope, watches: BTreeMap::new() }
    }

    fn on_request(
        &mut self,
        request: Self::Request,
        catalogue: &dyn Catalogue,
    ) -> Result<Step<Self::Response>, Refusal> {
        let kind = match self.scope.open(&request.type_url, &request.resource_names_subscribe) {
            Ok(kind) => kind,
            Err(instead) => return instead,
        };
        let fresh = !self.watches.contains_key(&kind);
        let watch = self.watches.entry(kind).or_default();
        let notice = watch.answered(kind, &request);
        let wanted = watch.subscribe(kind, fresh, &request)?;
        if wanted.is_empty() {
            return Ok(Step { responses: Vec::new(), notice });
        }
        let change = watch.change(kind, catalogue, &wanted, !fresh);
        // A client waits for the first answer to a wildcard, even if there is nothing yet.
        let forced = fresh && wanted.wildcard && request.initial_resource_versions.is_empty();
        let responses = if forced || !change.is_empty() {
            self.respond_with_endpoints(kind, change, catalogue)
        } else {
            Vec::new()
        };
        Ok(Step { responses, notice })
    }

    fn push(&mut self, catalogue: &dyn Catalogue) -> Vec<Self::Response> {
        let mut responses = Vec::new();
        let mut updated_clusters = Vec::new();
        let mut removed_clusters = Change::default();
        for kind in Kind::ALL {
            let Some(mut change) = self.pending(kind, catalogue) else { continue };
            match kind {
                Kind::Cluster => {
                    removed_clusters.removed = std::mem::take(&mut change.removed);
                    updated_clusters = change.names();
                }
                Kind::Endpoint => self.add_endpoints_of(&updated_clusters, &mut change, catalogue),
                Kind::Listener | Kind::Route | Kind::Secret => {}
            }
            responses.extend(self.respond(kind, change));
        }
        responses.extend(self.respond(Kind::Cluster, removed_clusters));
        responses
    }

    fn progress(&self) -> Vec<(Kind, Progress)> {
        self.watches.iter().map(|(kind, watch)| (*kind, watch.progress.clone())).collect()
    }

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn describe(response: &Self::Response) -> (Option<Kind>, usize) {
        let count = response.resources.len() + response.removed_resources.len();
        (Kind::from_type_url(&response.type_url), count)
    }
}

impl Delta {
    /// The difference between the catalogue and what the client holds, for its whole subscription.
    fn pending(&mut self, kind: Kind, catalogue: &dyn Catalogue) -> Option<Change> {
        let watch = self.watches.get_mut(&kind)?;
        let names = watch.names.clone();
        Some(watch.change(kind, catalogue, &names, false))
    }

    /// Adds the unchanged endpoints of changed clusters: Envoy warms a changed cluster until it
    /// sees its endpoints anew. In Istio's naming a cluster and its endpoints share one name.
    fn add_endpoints_of(
        &self,
        clusters: &[Arc<str>],
        change: &mut Change,
        catalogue: &dyn Catalogue,
    ) {
        let Some(watch) = self.watches.get(&Kind::Endpoint) else { return };
        let present: BTreeSet<Arc<str>> = change.names().into_iter().collect();
        let again = clusters
            .iter()
            .filter(|name| watch.names.listed.contains(name.as_ref()) && !present.contains(*name));
        let again = Names::listed(again.map(|name| name.to_string()));
        if !again.is_empty() {
            change.resources.extend(catalogue.resources(Kind::Endpoint, &again));
        }
    }

    fn respond_with_endpoints(
        &mut self,
        kind: Kind,
        change: Change,
        catalogue: &dyn Catalogue,
    ) -> Vec<DeltaDiscoveryResponse> {
        let mut endpoints = Change::default();
        if kind == Kind::Cluster {
            self.add_endpoints_of(&change.names(), &mut endpoints, catalogue);
        }
        let mut responses = vec![self.respond_always(kind, change)];
        responses.extend(self.respond(Kind::Endpoint, endpoints).map(Some));
        responses.into_iter().flatten().collect()
    }

    fn respond(&mut self, kind: Kind, change: Change) -> Option<DeltaDiscoveryResponse> {
        if change.is_empty() { None } else { self.respond_always(kind, change) }
    }

    fn respond_always(&mut self, kind: Kind, change: Change) -> Option<DeltaDiscoveryResponse> {
        let nonce = self.scope.next_nonce();
        let watch = self.watches.get_mut(&kind)?;
        Some(watch.send(kind, nonce, change))
    }
}

impl Watch {
    /// Takes an ACK or a NACK into the ledger.
    fn answered(&mut self, kind: Kind, request: &DeltaDiscoveryRequest) -> Option<Notice> {
        if request.response_nonce.is_empty() {
            return None;
        }
        let place = self.in_flight.iter().position(|(n, _)| *n == request.response_nonce);
        let Some((_, version)) = place.and_then(|index| self.in_flight.remove(index)) else {
            return Some(Notice::StaleNonce(kind));
        };
        self.progress.in_flight = !self.in_flight.is_empty();
        let Some(detail) = &request.error_detail else {
            self.progress.acked = version;
            self.progress.nacked = None;
            return None;
        };
        let rejection = Rejection::new(version, detail.code, &detail.message);
        self.progress.nacked = Some(rejection.clone());
        Some(Notice::Nack(kind, rejection))
    }

    /// Changes the subscription; returns the part of it that must be answered now.
    fn subscribe(
        &mut self,
        kind: Kind,
        fresh: bool,
        request: &DeltaDiscoveryRequest,
    ) -> Result<Names, Refusal> {
        let (starred, listed) = split_wildcard(&request.resource_names_subscribe);
        let bare = fresh && kind.is_wildcard() && listed.is_empty() && !starred;
        if fresh {
            self.remember(kind, &request.initial_resource_versions)?;
        }
        let wanted = Names { wildcard: starred || bare, listed };
        self.names.wildcard |= wanted.wildcard;
        self.names.listed.extend(wanted.listed.iter().cloned());
        self.unsubscribe(&request.resource_names_unsubscribe);
        let names = self.names.listed.iter();
        check_count(kind, names.len())?;
        Ok(wanted)
    }

    fn remember(&mut self, kind: Kind, held: &HashMap<String, String>) -> Result<(), Refusal> {
        check_count(kind, held.len())?;
        self.held.extend(
            held.iter()
                .map(|(name, version)| (name.as_str().into(), Some(version.as_str().into()))),
        );
        Ok(())
    }

    fn unsubscribe(&mut self, names: &[String]) {
        for name in names {
            if name == "*" {
                self.names.wildcard = false;
                self.held.retain(|name, _| self.names.listed.contains(name.as_ref()));
            } else if self.names.listed.remove(name) && !self.names.wildcard {
                self.held.remove(name.as_str());
            }
        }
        self.progress.resources = self.held.values().flatten().count();
    }

    /// What the client lacks of `names`. With `again`, names asked for explicitly are sent even
    /// if the client holds them: a repeated subscription asks for exactly that.
    fn change(&self, kind: Kind, catalogue: &dyn Catalogue, names: &Names, again: bool) -> Change {
        if names.is_empty() {
            return Change::default();
        }
        let all = catalogue.resources(kind, names);
        let present: BTreeSet<&str> = all.iter().map(|resource| resource.name.as_ref()).collect();
        let removed = self.removed(names, &present, again);
        let asked = |name: &str| again && names.listed.contains(name);
        let differs = |resource: &Arc<Resource>| {
            let held = self.held.get(&resource.name).and_then(Option::as_ref);
            held != Some(&resource.version) || asked(&resource.name)
        };
        Change { resources: all.iter().filter(|r| differs(r)).cloned().collect(), removed }
    }

    /// Names that the client holds or asks for and that do not exist.
    fn removed(&self, names: &Names, present: &BTreeSet<&str>, again: bool) -> Vec<Arc<str>> {
        let gone = |name: &&Arc<str>| {
            (names.wildcard || names.listed.contains(name.as_ref()))
                && !present.contains(name.as_ref())
        };
        let held = self.held.iter().filter(|(_, version)| version.is_some()).map(|(name, _)| name);
        let mut removed: Vec<Arc<str>> = held.filter(gone).cloned().collect();
        let missing = names.listed.iter().filter(|name| {
            let untold = again || !self.held.contains_key(name.as_str());
            let listed = removed.iter().any(|gone| gone.as_ref() == name.as_str());
            untold && !listed && !present.contains(name.as_str())
        });
        let missing: Vec<Arc<str>> = missing.map(|name| name.as_str().into()).collect();
        removed.extend(missing);
        removed
    }

    fn send(&mut self, kind: Kind, nonce: String, change: Change) -> DeltaDiscoveryResponse {
        for resource in &change.resources {
            self.held.insert(resource.name.clone(), Some(resource.version.clone()));
        }
        for name in &change.removed {
            if self.names.listed.contains(name.as_ref()) {
                self.held.insert(name.clone(), None);
            } else {
                self.held.remove(name);
            }
        }
        let held = self.held.iter().filter_map(|(n, v)| Some((n.as_ref(), v.as_deref()?)));
        let version = set_version(held);
        self.progress.sent = version.clone();
        self.progress.resources = self.held.values().flatten().count();
        self.progress.in_flight = true;
        self.in_flight.push_back((nonce.clone(), version.clone()));
        if self.in_flight.len() > IN_FLIGHT_MAX {
            self.in_flight.pop_front();
        }
        change.into_response(kind, nonce, &version)
    }
}

impl Change {
    fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.resources.iter().map(|resource| resource.name.clone()).collect()
    }

    fn into_response(self, kind: Kind, nonce: String, version: &str) -> DeltaDiscoveryResponse {
        let wrap = |resource: &Arc<Resource>| DeltaResource {
            name: resource.name.to_string(),
            version: resource.version.to_string(),
            resource: Some(resource.body.clone()),
            ..Default::default()
        };
        DeltaDiscoveryResponse {
            system_version_info: version.to_owned(),
            resources: self.resources.iter().map(wrap).collect(),
            removed_resources: self.removed.iter().map(ToString::to_string).collect(),
            type_url: kind.type_url().to_owned(),
            nonce,
            ..Default::default()
        }
    }
}

fn split_wildcard(names: &[String]) -> (bool, BTreeSet<String>) {
    let starred = names.iter().any(|name| name == "*");
    (starred, names.iter().filter(|name| *name != "*").cloned().collect())
}

fn check_count(kind: Kind, count: usize) -> Result<(), Refusal> {
    if count > NAMES_MAX {
        let (names, length) = (NAMES_MAX, super::protocol::NAME_LENGTH_MAX);
        return Err(Refusal::TooManyNames { kind, names, length });
    }
    Ok(())
}
