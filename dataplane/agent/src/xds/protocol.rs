//! The protocol itself, without I/O: what is sent when a stream opens, when the set of wanted names
//! changes, and in answer to a response.
//!
//! What is in force outlives a stream: a new one begins with the versions that were accepted on the
//! old one. An acknowledgement never changes a subscription, nor the other way round.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::envoy::core::Node;
use api::envoy::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use api::envoy::rpc::Status;

use super::{Kind, Mode, Push, Rejection, names};

/// Bytes of the text of one refusal at most; the rest of the list is counted.
const DETAIL_MAX: usize = 16 * 1024;
/// gRPC's `INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

/// What goes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// In the state-of-the-world form.
    World(Box<DiscoveryRequest>),
    /// In the delta form.
    Delta(Box<DeltaDiscoveryRequest>),
}

/// What comes in.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// In the state-of-the-world form.
    World(DiscoveryResponse),
    /// In the delta form.
    Delta(DeltaDiscoveryResponse),
}

/// Both forms of the protocol for one control plane.
#[derive(Debug)]
pub struct Protocol {
    mode: Mode,
    node: Node,
    node_sent: bool,
    ledgers: BTreeMap<Kind, Ledger>,
}

/// What is known of one kind.
#[derive(Debug, Default)]
struct Ledger {
    /// Asked for on any stream; asked for again on the next one.
    wanted: bool,
    /// Asked for on this stream.
    asked: bool,
    /// The names that are subscribed to; stays empty for a wildcard.
    names: BTreeSet<String>,
    /// The last accepted version of the whole (state of the world).
    version: String,
    /// The nonce of the last response on this stream.
    nonce: String,
    /// The versions in force by name (delta).
    versions: BTreeMap<String, String>,
}

impl Protocol {
    /// Nothing is subscribed to yet.
    pub fn new(mode: Mode, node: Node) -> Self {
        let ledgers = Kind::ALL.into_iter().map(|kind| (kind, Ledger::default())).collect();
        Self { mode, node, node_sent: false, ledgers }
    }

    /// The form that is spoken.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A new stream: asks again for all that is wanted, in order.
    pub fn open(&mut self) -> Vec<Request> {
        self.node_sent = false;
        for ledger in self.ledgers.values_mut() {
            ledger.asked = false;
            ledger.nonce.clear();
        }
        Kind::ALL.into_iter().filter_map(|kind| self.ask(kind)).collect()
    }

    /// Subscribes to a kind as a whole. `None`: it already is.
    pub fn subscribe(&mut self, kind: Kind) -> Option<Request> {
        self.ledgers.entry(kind).or_default().wanted = true;
        self.ask(kind)
    }

    /// Changes the names of a kind that is subscribed to by name. `None`: nothing has changed.
    pub fn want(&mut self, kind: Kind, names: &BTreeSet<String>) -> Option<Request> {
        let ledger = self.ledgers.entry(kind).or_default();
        if ledger.names == *names {
            return None;
        }
        let before = std::mem::replace(&mut ledger.names, names.clone());
        ledger.versions.retain(|name, _| names.contains(name));
        ledger.wanted |= !names.is_empty();
        if !ledger.asked {
            return self.ask(kind);
        }
        Some(match self.mode {
            Mode::StateOfTheWorld => self.world(kind, None),
            Mode::Delta => {
                let subscribe = names.difference(&before).cloned().collect();
                let unsubscribe = before.difference(names).cloned().collect();
                self.delta(DeltaDiscoveryRequest {
                    type_url: kind.type_url().to_owned(),
                    resource_names_subscribe: subscribe,
                    resource_names_unsubscribe: unsubscribe,
                    ..Default::default()
                })
            }
        })
    }

    /// Reads a response. An error is what to answer if its kind is not understood here.
    pub fn receive(&mut self, response: Response) -> Result<Push, Request> {
        match response {
            Response::World(response) => match Kind::of(&response.type_url) {
                Some(kind) => Ok(self.receive_world(kind, response)),
                None => Err(self.refuse_type(response.type_url, response.nonce)),
            },
            Response::Delta(response) => match Kind::of(&response.type_url) {
                Some(kind) => Ok(self.receive_delta(kind, response)),
                None => Err(self.refuse_type(response.type_url, response.nonce)),
            },
        }
    }

    /// Answers a push: an acknowledgement, or a refusal that names what was not applied.
    pub fn settle(&mut self, push: &Push, rejected: &[Rejection]) -> Request {
        let refused: BTreeSet<_> = rejected.iter().map(|r| r.name.as_str()).collect();
        let ledger = self.ledgers.entry(push.kind).or_default();
        for name in &push.removed {
            ledger.versions.remove(name);
        }
        for resource in push.set.iter().filter(|r| !refused.contains(r.name.as_str())) {
            ledger.versions.insert(resource.name.clone(), resource.version.clone());
        }
        if rejected.is_empty() {
            ledger.version.clone_from(&push.version);
        }
        let error = (!rejected.is_empty()).then(|| status(push.kind, rejected));
        match self.mode {
            Mode::StateOfTheWorld => self.world(push.kind, error),
            Mode::Delta => self.delta(DeltaDiscoveryRequest {
                type_url: push.kind.type_url().to_owned(),
                response_nonce: push.nonce.clone(),
                error_detail: error,
                ..Default::default()
            }),
        }
    }

    /// The first request for a kind on this stream, if it is wanted and was not asked for yet.
    fn ask(&mut self, kind: Kind) -> Option<Request> {
        let ledger = self.ledgers.get_mut(&kind)?;
        let empty = !kind.is_wildcard() && ledger.names.is_empty();
        if !ledger.wanted || ledger.asked || empty {
            return None;
        }
        ledger.asked = true;
        Some(match self.mode {
            Mode::StateOfTheWorld => self.world(kind, None),
            Mode::Delta => {
                let versions: HashMap<_, _> =
                    ledger.versions.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                let subscribe = ledger.names.iter().cloned().collect();
                self.delta(DeltaDiscoveryRequest {
                    type_url: kind.type_url().to_owned(),
                    resource_names_subscribe: subscribe,
                    initial_resource_versions: versions,
                    ..Default::default()
                })
            }
        })
    }

    fn receive_world(&mut self, kind: Kind, response: DiscoveryResponse) -> Push {
        self.ledgers.entry(kind).or_default().nonce.clone_from(&response.nonce);
        let (mut set, mut broken) = (Vec::with_capacity(response.resources.len()), Vec::new());
        for (index, any) in response.resources.into_iter().enumerate() {
            match names::take(kind, any, index) {
                Ok(resource) => set.push(resource),
                Err(rejection) => broken.push(rejection),
            }
        }
        Push {
            kind,
            set,
            removed: Vec::new(),
            // What cannot be named could be anything, so nothing is taken for removed then.
            complete: kind.is_wildcard() && broken.is_empty(),
            version: response.version_info,
            nonce: response.nonce,
            broken,
        }
    }

    fn receive_delta(&mut self, kind: Kind, response: DeltaDiscoveryResponse) -> Push {
        self.ledgers.entry(kind).or_default().nonce.clone_from(&response.nonce);
        let (mut set, mut broken) = (Vec::with_capacity(response.resources.len()), Vec::new());
        let mut removed = response.removed_resources;
        for resource in response.resources {
            match (&resource.resource, resource.name.is_empty()) {
                (Some(_), false) => set.push(resource),
                // Known by the server not to exist, as it says in answer to a subscription.
                (None, false) => removed.push(resource.name),
                (_, true) => broken.push(Rejection {
                    name: String::new(),
                    field: String::new(),
                    reason: "a resource without a name".to_owned(),
                }),
            }
        }
        Push {
            kind,
            set,
            removed,
            complete: false,
            version: response.system_version_info,
            nonce: response.nonce,
            broken,
        }
    }

    /// A kind that was never asked for: said so, and the stream goes on.
    fn refuse_type(&mut self, type_url: String, nonce: String) -> Request {
        let message = format!("resources of type \"{type_url}\" are not understood here");
        let error = Some(Status { code: INVALID_ARGUMENT, message, details: Vec::new() });
        match self.mode {
            Mode::StateOfTheWorld => self.with_node(DiscoveryRequest {
                type_url,
                response_nonce: nonce,
                error_detail: error,
                ..Default::default()
            }),
            Mode::Delta => self.delta(DeltaDiscoveryRequest {
                type_url,
                response_nonce: nonce,
                error_detail: error,
                ..Default::default()
            }),
        }
    }

    fn world(&mut self, kind: Kind, error_detail: Option<Status>) -> Request {
        let ledger = self.ledgers.entry(kind).or_default();
        let request = DiscoveryRequest {
            version_info: ledger.version.clone(),
            resource_names: ledger.names.iter().cloned().collect(),
            type_url: kind.type_url().to_owned(),
            response_nonce: ledger.nonce.clone(),
            error_detail,
            ..Default::default()
        };
        self.with_node(request)
    }

    fn with_node(&mut self, mut request: DiscoveryRequest) -> Request {
        request.node = self.first_node();
        Request::World(Box::new(request))
    }

    fn delta(&mut self, mut request: DeltaDiscoveryRequest) -> Request {
        request.node = self.first_node();
        Request::Delta(Box::new(request))
    }

    /// The node, with the first message of a stream only.
    fn first_node(&mut self) -> Option<Node> {
        let first = !std::mem::replace(&mut self.node_sent, true);
        first.then(|| self.node.clone())
    }
}

/// The refusal in words: kind, object, field, reason, for each object.
fn status(kind: Kind, rejected: &[Rejection]) -> Status {
    let mut message = String::new();
    for (index, rejection) in rejected.iter().enumerate() {
        let line = format!("{kind} {rejection}");
        if message.len() + line.len() > DETAIL_MAX {
            message.push_str(&format!("; and {} more", rejected.len() - index));
            break;
        }
        if index > 0 {
            message.push_str("; ");
        }
        message.push_str(&line);
    }
    Status { code: INVALID_ARGUMENT, message, details: Vec::new() }
}

#[cfg(test)]
mod tests;
