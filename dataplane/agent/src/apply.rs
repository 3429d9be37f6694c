//! From resources to what the workers read: the compiler fed, sockets bound, snapshots published.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use config::dns::Question;
use config::health::{Probe, Verdict};
use config::snapshot::{Bound, Cluster, ClusterId, Snapshot};
use config::swap::{Published, Reader};
use config::{Compiler, Filler, ListenerOptions, Needed, Refused, Update};

use tokio::sync::Notify;

use crate::admin::{Live, Report, clusters_text};
use crate::dns::Answer;
use crate::identity::Secrets;
use crate::run::Keep;
use crate::xds::{Applied, Apply, Kind, Push, Rejection, Wants};

/// Makes the listening sockets of an address, one a worker.
pub type Bind =
    Box<dyn FnMut(SocketAddr, &ListenerOptions) -> io::Result<Arc<Bound>> + Send + 'static>;
/// Makes the workers look at the new snapshot.
pub type Wake = Box<dyn Fn() + Send + 'static>;

/// Owns the compiler and the publisher's end of the swap.
pub struct Applier {
    compiler: Compiler,
    published: Published,
    bind: Bind,
    wake: Wake,
    live: Arc<Live>,
    /// What has to be seen before the first configuration counts as whole.
    missing: Vec<Kind>,
    /// Rung when there may be other names to look up.
    bell: Arc<Notify>,
}

impl Applier {
    /// With an empty snapshot. `controlled`: there is a control plane, so that the program is live
    /// only once clusters and listeners have come from it.
    pub fn new(bind: Bind, wake: Wake, controlled: bool) -> Self {
        let missing = if controlled { vec![Kind::Cluster, Kind::Listener] } else { Vec::new() };
        let published = Published::new(Snapshot::default());
        let (compiler, live, bell) = (Compiler::new(), Arc::default(), Arc::default());
        Self { compiler, published, bind, wake, live, missing, bell }
    }

    /// A worker's end of the swap.
    pub fn reader(&self) -> Reader {
        self.published.reader()
    }

    /// The slots that the agent fills, and a bell that it rings.
    pub fn secrets(&mut self) -> Secrets {
        let slots = self.compiler.slots();
        Secrets {
            identity: slots.identity(Filler::Agent, api::names::SDS_IDENTITY),
            roots: slots.trust(Filler::Agent, api::names::SDS_ROOTS),
            changed: Arc::default(),
        }
    }

    /// Whether a first whole configuration is in force.
    pub fn live(&self) -> Arc<Live> {
        self.live.clone()
    }

    /// `/clusters` of the admin port.
    pub fn clusters_report(&self) -> Report {
        let reader = Mutex::new(self.reader());
        Arc::new(move || {
            clusters_text(&reader.lock().unwrap_or_else(PoisonError::into_inner).load())
        })
    }

    /// Takes the static resources of the bootstrap. All of them are good, or the list says which
    /// are not; the program does not start then.
    pub fn load_file(&mut self, update: Update) -> Vec<Refused> {
        let refused = self.compiler.apply(update, &mut self.bind);
        self.publish();
        refused
    }

    /// Assembles and publishes what is warm, and wakes the workers.
    fn publish(&mut self) {
        self.published.publish(self.compiler.build());
        (self.wake)();
        self.bell.notify_one();
        if self.live.get() || !self.missing.is_empty() {
            return;
        }
        let cold = self.compiler.cold();
        if cold.is_empty() {
            self.live.set();
            tracing::info!("a first whole configuration is in force");
        }
        for (kind, name) in cold {
            tracing::debug!(%kind, %name, "waits for routes, endpoints or secrets");
        }
    }

    fn wants(&self) -> Wants {
        let Needed { endpoints, routes, secrets } = self.compiler.needed_names();
        let owned = |names: Vec<Arc<str>>| names.iter().map(|name| name.to_string()).collect();
        Wants { endpoints: owned(endpoints), routes: owned(routes), secrets: owned(secrets) }
    }
}

impl Apply for Applier {
    fn apply(&mut self, push: &Push) -> Applied {
        let (mut update, mut refused) =
            Update::delta(push.kind.type_url(), &push.set, &push.removed);
        update.clusters.whole = push.complete && push.kind == Kind::Cluster && refused.is_empty();
        update.listeners.whole = push.complete && push.kind == Kind::Listener && refused.is_empty();
        refused.extend(self.compiler.apply(update, &mut self.bind));
        // A kind of which nothing at all could be used has not been seen yet.
        if refused.is_empty() && push.broken.is_empty() || refused.len() < push.set.len() {
            self.missing.retain(|kind| *kind != push.kind);
        }
        self.publish();
        Applied { rejected: refused.into_iter().map(rejection).collect(), wants: self.wants() }
    }

    fn connected(&mut self, connected: bool) {
        if connected {
            tracing::info!("the control plane is connected");
        }
    }
}

impl Keep for Applier {
    fn secrets_changed(&mut self) {
        if !self.compiler.cold().is_empty() {
            self.publish();
        }
    }

    fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    fn questions(&self) -> HashSet<Question> {
        self.compiler.questions()
    }

    fn answered(&mut self, answers: Vec<Answer>) {
        let mut has_changed = false;
        for (question, found) in answers {
            has_changed |= self.compiler.answered(&question, found);
        }
        if has_changed {
            self.publish();
        }
    }

    fn probes(&self) -> Vec<Probe> {
        self.compiler.probes()
    }

    fn checked(&mut self, verdicts: Vec<Verdict>) {
        let mut has_changed = false;
        for verdict in verdicts {
            has_changed |= self.compiler.checked(&verdict);
        }
        if has_changed {
            self.publish();
        }
    }

    fn cluster(&self, id: ClusterId) -> Option<Arc<Cluster>> {
        self.published.current().cluster(id).cloned()
    }

    fn sweep(&mut self) {
        self.published.sweep();
    }
}

fn rejection(refused: Refused) -> Rejection {
    let Refused { kind: _, name, field, code, reason } = refused;
    Rejection { name, field, reason: format!("{reason} ({})", code.text()) }
}

#[cfg(test)]
mod tests;
