//! From a source's batches to generations: apply, debounce, build, publish.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::{Diagnostic, Mesh, Model, Store};
use source::{Batch, Message, Source, SourceError};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::monitoring::ConfigHealth;
use crate::push::{Debounce, Hub};
use crate::world::MeshWorld;

/// How changes are collected.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A push waits until so long nothing has changed.
    pub quiet: Duration,
    /// A push waits at most so long.
    pub max: Duration,
}

/// Reads one source for as long as the program runs.
#[derive(Debug)]
pub struct Feed {
    batches: mpsc::Receiver<Batch>,
    store: Store,
    health: Arc<ConfigHealth>,
    /// Warnings of the newest model; each is told when it appears.
    warned: BTreeSet<String>,
}

impl Feed {
    /// Starts the source and waits for its first batch, which is complete.
    pub async fn start(
        source: Box<dyn Source>,
        mesh: Mesh,
        health: Arc<ConfigHealth>,
    ) -> Result<(Self, MeshWorld), SourceError> {
        let batches = source.start()?;
        let mut feed = Self { batches, store: Store::new(mesh), health, warned: BTreeSet::new() };
        if let Some(first) = feed.batches.recv().await {
            feed.apply(&first);
        }
        let world = feed.build();
        Ok((feed, world))
    }

    /// Follows the source; returns when it ends.
    pub async fn run(mut self, hub: Arc<Hub>, timing: Timing) {
        let mut debounce = Debounce::new(timing.quiet, timing.max);
        loop {
            tokio::select! {
                batch = self.batches.recv() => {
                    let Some(batch) = batch else { return };
                    if self.apply(&batch) {
                        debounce.note(Instant::now());
                    }
                }
                () = until(debounce.due()) => {
                    if let Some(changed_at) = debounce.take() {
                        let world = self.build();
                        hub.publish(Arc::new(world), changed_at);
                    }
                }
            }
        }
    }

    /// Takes a batch in and says what is wrong with it; returns whether anything may be different.
    fn apply(&mut self, batch: &Batch) -> bool {
        for message in &batch.messages {
            self.tell(message.severity == source::Severity::Error, &message.to_string());
        }
        for diagnostic in self.store.apply(batch) {
            self.tell(diagnostic.severity == model::Severity::Error, &diagnostic.to_string());
        }
        !batch.changes.is_empty()
    }

    fn build(&mut self) -> MeshWorld {
        let begun = Instant::now();
        let model = self.store.model();
        let warnings: BTreeSet<String> = model.warnings.iter().map(ToString::to_string).collect();
        for warning in warnings.difference(&self.warned) {
            warn!("{warning}");
        }
        self.warned = warnings;
        self.health.warnings.store(self.warned.len() as u64, Ordering::Relaxed);
        self.health.objects.store(self.store.len() as u64, Ordering::Relaxed);
        info!(
            objects = self.store.len(),
            services = model.services.len(),
            workloads = model.workloads.len(),
            duration_ms = begun.elapsed().as_secs_f64() * 1e3,
            "model built"
        );
        MeshWorld::new(model)
    }

    fn tell(&self, is_error: bool, text: &str) {
        if !is_error {
            return info!("{text}");
        }
        error!("{text}");
        self.health.error(text);
    }
}

/// What can be said about a folder without running anything.
#[derive(Debug, Default)]
pub struct Verdict {
    /// One sentence each, errors first.
    pub errors: Vec<String>,
    /// One sentence each.
    pub warnings: Vec<String>,
    /// How many objects would be in force.
    pub objects: usize,
}

impl Verdict {
    /// Judges what a source has read.
    pub fn of(batch: &Batch, mesh: Mesh) -> Self {
        let mut store = Store::new(mesh);
        let said = store.apply(batch);
        let model = store.model();
        let mut verdict = Self { objects: store.len(), ..Self::default() };
        batch.messages.iter().for_each(|message| verdict.message(message));
        said.iter().chain(warnings(&model)).for_each(|diagnostic| verdict.diagnostic(diagnostic));
        verdict
    }

    fn message(&mut self, message: &Message) {
        let list = match message.severity {
            source::Severity::Error => &mut self.errors,
            source::Severity::Notice => &mut self.warnings,
        };
        list.push(message.to_string());
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        let list = match diagnostic.severity {
            model::Severity::Error => &mut self.errors,
            model::Severity::Warning => &mut self.warnings,
        };
        list.push(diagnostic.to_string());
    }
}

fn warnings(model: &Model) -> impl Iterator<Item = &Diagnostic> {
    model.warnings.iter()
}

/// Sleeps until `deadline`; without one, for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
