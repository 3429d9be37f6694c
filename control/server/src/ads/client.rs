//! What the server knows of one connected client, and what it does when something happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use api::names::SpiffeId;
use tonic::Status;
use tracing::{debug, info, warn};

use super::protocol::{Protocol, StreamScope};
use super::stream::{OUTBOX_MAX, StreamContext};
use super::{Catalogue, Kind, Names, Notice, ProxyNode, Resource};
use crate::auth::check_node;
use crate::listen::Peer;
use crate::push::{Generation, Hub, Registration, StreamInfo};
use crate::sds::WorkloadSecrets;

/// Who opened a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    pub(super) peer: Option<Peer>,
    /// The identity that it has shown; `None` on the plaintext port.
    pub(super) identity: Option<SpiffeId>,
}

/// One client and its state machine.
pub(super) struct Client<P: Protocol> {
    hub: Arc<Hub>,
    node: Arc<ProxyNode>,
    protocol: P,
    catalogue: Scoped,
    generation: u64,
    /// A newer generation that has not been compared yet.
    next: Option<Arc<Generation>>,
    /// A secret is due for renewal.
    renewing: bool,
    outbox: VecDeque<P::Response>,
    registration: Registration,
}

impl<P: Protocol> Client<P> {
    /// Reads a client's first message and decides whether it may have anything.
    pub(super) fn admit(
        context: &StreamContext,
        caller: Caller,
        first: &P::Request,
        newest: Arc<Generation>,
    ) -> Result<Self, Status> {
        let mut node = ProxyNode::read(P::node(first))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(identity) = &caller.identity {
            check_node(identity, &node)?;
            // What the client does not say, its credentials do.
            node.service_account = Some(identity.service_account.clone());
        }
        let node = Arc::new(node);
        let info = StreamInfo {
            node: node.id.clone(),
            service: context.service,
            protocol: P::NAME,
            address: caller.peer.as_ref().and_then(|peer| peer.address),
            identity: caller.identity.as_ref().map(ToString::to_string),
        };
        let stream_id = random_u64()?;
        debug!(node = node.id, service = info.service, protocol = P::NAME, "connected");
        let registration = context.hub.board.register(info, newest.number, SystemTime::now());
        let secrets = context.secrets.as_ref().zip(caller.identity);
        let secrets = secrets.map(|(issuer, identity)| issuer.for_workload(identity, &node.id));
        let serves_mesh = context.kinds.iter().any(|kind| *kind != Kind::Secret);
        let mesh = serves_mesh.then(|| newest.world.catalogue(&node));
        Ok(Self {
            hub: Arc::clone(&context.hub),
            protocol: P::new(StreamScope::new(context.kinds, stream_id)),
            catalogue: Scoped { mesh, secrets },
            generation: newest.number,
            next: None,
            renewing: false,
            outbox: VecDeque::new(),
            registration,
            node,
        })
    }

    /// Takes a request; what it asks for goes to the outbox.
    pub(super) fn request(&mut self, request: P::Request) -> Result<(), Status> {
        let step = self
            .protocol
            .on_request(request, &self.catalogue)
            .map_err(|refusal| Status::resource_exhausted(refusal.to_string()))?;
        if let Some(notice) = &step.notice {
            self.log(notice);
        }
        self.send(step.responses);
        Ok(())
    }

    /// There is a newer generation; it replaces one that has not been compared yet.
    pub(super) fn announce(&mut self, generation: Arc<Generation>) {
        self.next = Some(generation);
    }

    /// A secret is due for renewal.
    pub(super) fn renew(&mut self) {
        self.renewing = true;
    }

    /// When the next secret is due.
    pub(super) fn renewal(&self) -> Option<Instant> {
        if self.renewing { None } else { self.catalogue.secrets.as_ref()?.renewal() }
    }

    /// Compares the newest generation with what the client has, once it has taken all before.
    pub(super) fn push_if_due(&mut self) {
        if !self.outbox.is_empty() || (self.next.is_none() && !self.renewing) {
            return;
        }
        let begun = Instant::now();
        if let Some(next) = self.next.take() {
            self.generation = next.number;
            if let Some(mesh) = &mut self.catalogue.mesh {
                *mesh = next.world.catalogue(&self.node);
            }
        }
        if std::mem::take(&mut self.renewing) {
            self.catalogue.secrets.iter().for_each(WorkloadSecrets::disarm);
        }
        let responses = self.protocol.push(&self.catalogue);
        let took = begun.elapsed();
        self.hub.counters.pushes.record(took);
        if !responses.is_empty() {
            let sent: Vec<String> = responses.iter().map(describe::<P>).collect();
            info!(
                node = self.node.id,
                generation = self.generation,
                sent = sent.join(" "),
                duration_ms = took.as_secs_f64() * 1e3,
                "push"
            );
        }
        self.send(responses);
    }

    /// Shows the state on the board.
    pub(super) fn report(&self, now: Instant) {
        let progress = self.protocol.progress();
        let answered = progress.iter().all(|(_, progress)| !progress.in_flight);
        let settled = answered && self.outbox.is_empty() && self.next.is_none();
        self.registration.update(progress, settled.then_some(self.generation), now);
    }

    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_MAX
    }

    pub(super) fn take_output(&mut self) -> Option<P::Response> {
        self.outbox.pop_front()
    }

    fn send(&mut self, responses: Vec<P::Response>) {
        for response in &responses {
            if let (Some(kind), _) = P::describe(response) {
                self.hub.counters.response(kind);
            }
        }
        self.outbox.extend(responses);
    }

    fn log(&self, notice: &Notice) {
        let node = self.node.id.as_str();
        match notice {
            Notice::Nack(kind, rejection) => {
                self.hub.counters.nack(*kind);
                warn!(
                    node,
                    kind = kind.label(),
                    version = %rejection.version,
                    code = rejection.code,
                    error = %rejection.message.escape_debug(),
                    "the proxy refused a configuration; it keeps its last good one"
                );
            }
            Notice::StaleNonce(kind) => {
                self.hub.counters.stale_nonces.fetch_add(1, Ordering::Relaxed);
                debug!(node, kind = kind.label(), "an answer to an older response was ignored");
            }
            Notice::UnknownType(url) => {
                warn!(node, type_url = %url.escape_debug(), "this type is not served");
            }
            Notice::Forbidden(kind) => warn!(
                node,
                kind = kind.label(),
                "not served on this port: secrets go only over TLS to a caller with a token"
            ),
        }
    }
}

/// The mesh and the secrets of one client.
struct Scoped {
    mesh: Option<Box<dyn Catalogue>>,
    secrets: Option<WorkloadSecrets>,
}

impl Catalogue for Scoped {
    fn resources(&self, kind: Kind, names: &Names) -> Vec<Arc<Resource>> {
        let from: Option<&dyn Catalogue> = match kind {
            Kind::Secret => self.secrets.as_ref().map(|secrets| secrets as &dyn Catalogue),
            _ => self.mesh.as_deref(),
        };
        from.map(|catalogue| catalogue.resources(kind, names)).unwrap_or_default()
    }
}

fn describe<P: Protocol>(response: &P::Response) -> String {
    let (kind, count) = P::describe(response);
    format!("{}:{count}", kind.map_or("?", Kind::label))
}

fn random_u64() -> Result<u64, Status> {
    let mut bytes = [0; 8];
    let failed = |_| Status::internal("no random numbers for a stream id");
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    Ok(u64::from_be_bytes(bytes))
}
