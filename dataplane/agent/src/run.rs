//! The agent's thread: everything asynchronous, started and ended together.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::envoy::core::Node;
use config::dns::Question;
use config::health::{Probe, Verdict};
use config::snapshot::{Cluster, ClusterId};
use tokio::sync::{Notify, watch};

use crate::admin::{self, Admin, Live, Report};
use crate::dns::{Answer, Lookups, Stub};
use crate::error::AgentError;
use crate::health::Checks;
use crate::identity::{self, Secrets};
use crate::otlp::{self, Labels, Outbox};
use crate::settings::AgentConfig;
use crate::xds::{Applied, Apply, Push, XdsClient, XdsOptions};

/// Answers that are taken at once.
const ANSWERS_MAX: usize = 64;
/// How often old snapshots are looked after.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What the agent is given by the program.
pub struct Parts<A> {
    /// Takes resources into force.
    pub apply: A,
    /// The slots that the agent fills itself.
    pub secrets: Secrets,
    /// Set once a first whole configuration is in force.
    pub live: Arc<Live>,
    /// Optional features and their state, for `/server_info`.
    pub features: Vec<(&'static str, String)>,
    /// `/stats` of the admin port.
    pub stats: Report,
    /// `/clusters` of the admin port.
    pub clusters: Report,
    /// Records of access logs for collectors.
    pub outbox: Outbox,
    /// Ends the program: set by `/quitquitquit`, and by whoever else holds it.
    pub quit: watch::Sender<bool>,
    /// The program's version.
    pub version: &'static str,
}

/// What the agent asks of the thing that applies, beyond the stream.
pub trait Keep: Apply + Send + 'static {
    /// A secret has arrived or changed: what waited for it may come into force.
    fn secrets_changed(&mut self);

    /// Rung when there may be other names to look up.
    fn bell(&self) -> Arc<Notify>;

    /// The names that have to be looked up now.
    fn questions(&self) -> HashSet<Question>;

    /// What names stand for.
    fn answered(&mut self, answers: Vec<Answer>);

    /// The hosts that have to be checked now.
    fn probes(&self) -> Vec<Probe>;

    /// What checks have found out.
    fn checked(&mut self, verdicts: Vec<Verdict>);

    /// A cluster as it is in force now.
    fn cluster(&self, id: ClusterId) -> Option<Arc<Cluster>>;

    /// Frees what no worker uses any more.
    fn sweep(&mut self);
}

/// Runs until `parts.quit` becomes true. To be called on a thread of its own.
pub fn run<A: Keep>(config: AgentConfig, parts: Parts<A>) -> Result<(), AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| AgentError::new("agent.start", "runtime", error))?;
    let result = runtime.block_on(run_on(config, parts));
    // Name look-ups may still hang in threads of the runtime; they are not waited for.
    runtime.shutdown_background();
    result
}

/// The same on a runtime that is there already.
pub async fn run_on<A: Keep>(config: AgentConfig, parts: Parts<A>) -> Result<(), AgentError> {
    let Parts { apply, secrets, live, features, stats, clusters, outbox, quit, version } = parts;
    let stop = || quit.subscribe();
    let apply = Shared(Arc::new(Mutex::new(apply)));
    let mut tasks = tokio::task::JoinSet::new();
    if let Some(address) = config.admin {
        let listener = admin::bind(address).await?;
        let node = (config.node.id.clone(), config.node.cluster.clone());
        let started = Instant::now();
        let quit = quit.clone();
        let admin = Admin { version, node, live, features, stats, clusters, quit, started };
        tasks.spawn(admin::serve(listener, admin, stop()));
    }
    let (of, labels) = (apply.clone(), labels(&config.node));
    let lookup = Arc::new(move |id| of.with(|apply| apply.cluster(id)));
    tasks.spawn(otlp::run(outbox, lookup, labels, stop()));
    if let Some(source) = config.identity {
        tasks.spawn(identity::run(source, secrets.clone(), stop()));
    }
    if let Some(control) = config.control {
        let options = XdsOptions::new(control.mode, config.node);
        let client = XdsClient::new(control.target, options, apply.clone());
        tasks.spawn(client.run(stop()));
    }
    tasks.spawn(keep(apply, secrets, stop()));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            quit.send_replace(true);
            return Err(AgentError::new("agent.task", "a part of the agent has failed", error));
        }
    }
    Ok(())
}

fn labels(node: &Node) -> Labels {
    let zone = node.locality.as_ref().map(|locality| locality.zone.clone());
    Labels { zone: zone.unwrap_or_default(), cluster: node.cluster.clone(), node: node.id.clone() }
}

async fn keep<A: Keep>(apply: Shared<A>, secrets: Secrets, mut stop: watch::Receiver<bool>) {
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    let (mut lookups, mut answers) = Lookups::new(Arc::new(Stub::new()));
    let bell = apply.with(|apply| apply.bell());
    lookups.follow(apply.with(|apply| apply.questions()));
    let (mut checks, mut verdicts) = Checks::new();
    checks.follow(apply.with(|apply| apply.probes()));
    let (mut found, mut told) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = bell.notified() => {
                lookups.follow(apply.with(|apply| apply.questions()));
                checks.follow(apply.with(|apply| apply.probes()));
            }
            1.. = verdicts.recv_many(&mut told, ANSWERS_MAX) => {
                apply.with(|apply| apply.checked(std::mem::take(&mut told)));
            }
            // What has come together comes into force together.
            1.. = answers.recv_many(&mut found, ANSWERS_MAX) => {
                apply.with(|apply| apply.answered(std::mem::take(&mut found)));
            }
            () = secrets.changed.notified() => apply.with(Keep::secrets_changed),
            _ = sweep.tick() => apply.with(Keep::sweep),
        }
    }
}

/// One applier for the stream and for the rest. All of them run on one thread, so the lock is never
/// waited for.
struct Shared<A>(Arc<Mutex<A>>);

impl<A> Clone for Shared<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A> Shared<A> {
    fn with<T>(&self, act: impl FnOnce(&mut A) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<A: Apply> Apply for Shared<A> {
    fn apply(&mut self, push: &Push) -> Applied {
        self.with(|apply| apply.apply(push))
    }

    fn connected(&mut self, connected: bool) {
        self.with(|apply| apply.connected(connected));
    }
}

#[cfg(test)]
mod tests;
