//! State-of-the-world xDS as a state machine without I/O: requests in, responses out.
//!
//! Each response carries everything of its type that the client subscribes to. A response goes
//! out for a new subscription, for added names and for changed content; an ACK, a NACK and an
//! answer to an old nonce bring none. After each CDS response EDS is sent again, because Envoy
//! warms a changed cluster until it sees its endpoints anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::protocol::{Protocol, Step, StreamScope};
use super::resource::{VersionMap, set_version};
use super::{Catalogue, Kind, Names, Notice, Progress, Refusal, Rejection, Resource};

/// One client's state-of-the-world stream.
#[derive(Debug)]
pub struct Sotw {
    scope: StreamScope,
    /// In push order, as the types are.
    watches: BTreeMap<Kind, Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    names: Names,
    /// The client has listed names before, so an empty list now means none (xDS protocol).
    ever_listed: bool,
    sent: VersionMap,
    nonce: String,
    progress: Progress,
}

impl Protocol for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    const NAME: &'static str = "sotw";

    fn new(scope: StreamScope) -> Self {
        Self { scope, watches: BTreeMap::new() }
    }

    fn on_request(
        &mut self,
        request: Self::Request,
        catalogue: &dyn Catalogue,
    ) -> Result<Step<Self::Response>, Refusal> {
        let kind = match self.scope.open(&request.type_url, &request.resource_names) {
            Ok(kind) => kind,
            Err(instead) => return instead,
        };
        let (notice, answer) = self.note(kind, &request);
        if !answer {
            return Ok(Step { responses: Vec::new(), notice });
        }
        let mut responses: Vec<_> = self.respond(kind, catalogue, true).into_iter().collect();
        if kind == Kind::Cluster {
            responses.extend(self.respond(Kind::Endpoint, catalogue, true));
        }
        Ok(Step { responses, notice })
    }

    fn push(&mut self, catalogue: &dyn Catalogue) -> Vec<Self::Response> {
        let mut responses = Vec::new();
        let mut clusters_sent = false;
        for kind in Kind::ALL {
            let forced = kind == Kind::Endpoint && clusters_sent;
            let response = self.respond(kind, catalogue, forced);
            clusters_sent |= kind == Kind::Cluster && response.is_some();
            responses.extend(response);
        }
        responses
    }

    fn progress(&self) -> Vec<(Kind, Progress)> {
        self.watches.iter().map(|(kind, watch)| (*kind, watch.progress.clone())).collect()
    }

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn describe(response: &Self::Response) -> (Option<Kind>, usize) {
        (Kind::from_type_url(&response.type_url), response.resources.len())
    }
}

impl Sotw {
    /// Takes the request into the ledger; returns whether it must be answered.
    fn note(&mut self, kind: Kind, request: &DiscoveryRequest) -> (Option<Notice>, bool) {
        let watch = self.watches.entry(kind).or_default();
        if watch.nonce.is_empty() || request.response_nonce.is_empty() {
            watch.subscribe(kind, &request.resource_names);
            return (None, true);
        }
        if request.response_nonce != watch.nonce {
            return (Some(Notice::StaleNonce(kind)), false);
        }
        let notice = watch.answered(kind, request);
        (notice, watch.subscribe(kind, &request.resource_names))
    }

    /// A response of `kind` if the client's view differs from the catalogue, or if `forced`.
    fn respond(
        &mut self,
        kind: Kind,
        catalogue: &dyn Catalogue,
        forced: bool,
    ) -> Option<DiscoveryResponse> {
        let watch = self.watches.get_mut(&kind)?;
        if watch.names.is_empty() {
            return None;
        }
        let resources = catalogue.resources(kind, &watch.names);
        let versions = resources.iter().map(|r| (r.name.clone(), r.version.clone())).collect();
        if !forced && versions == watch.sent {
            return None;
        }
        watch.nonce = self.scope.next_nonce();
        watch.sent = versions;
        Some(watch.response(kind, resources))
    }
}

impl Watch {
    /// Replaces the subscription; returns whether something was added to it.
    fn subscribe(&mut self, kind: Kind, names: &[String]) -> bool {
        let bare = names.is_empty() && kind.is_wildcard() && !self.ever_listed;
        self.ever_listed |= !names.is_empty();
        let names = Names {
            wildcard: bare || names.iter().any(|name| name == "*"),
            listed: names.iter().filter(|name| *name != "*").cloned().collect(),
        };
        let grown = names.wildcard && !self.names.wildcard
            || names.listed.iter().any(|name| !self.names.listed.contains(name));
        if !names.wildcard {
            self.sent.retain(|name, _| names.listed.contains(name.as_ref()));
            self.progress.resources = self.sent.len();
        }
        self.names = names;
        grown
    }

    fn answered(&mut self, kind: Kind, request: &DiscoveryRequest) -> Option<Notice> {
        let first = std::mem::take(&mut self.progress.in_flight);
        let Some(detail) = &request.error_detail else {
            self.progress.acked = self.progress.sent.clone();
            self.progress.nacked = None;
            return None;
        };
        let rejection = Rejection::new(self.progress.sent.clone(), detail.code, &detail.message);
        self.progress.nacked = Some(rejection.clone());
        first.then_some(Notice::Nack(kind, rejection))
    }

    fn response(&mut self, kind: Kind, resources: Vec<Arc<Resource>>) -> DiscoveryResponse {
        let version = set_version(self.sent.iter().map(|(n, v)| (n.as_ref(), v.as_ref())));
        self.progress.sent = version.clone();
        self.progress.resources = resources.len();
        self.progress.in_flight = true;
        DiscoveryResponse {
            version_info: version.to_string(),
            resources: resources.iter().map(|resource| resource.body.clone()).collect(),
            type_url: kind.type_url().to_owned(),
            nonce: self.nonce.clone(),
            ..Default::default()
        }
    }
}
