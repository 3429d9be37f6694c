//! Active health checks: a task a host, on the agent's thread. What they find out becomes the
//! health of endpoints in the next snapshot.

mod ask;
mod track;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::health::{Probe, Verdict};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::backoff::chance;
use ask::Kept;
pub(crate) use ask::read;
use track::{Outcome, Track};

/// Verdicts that wait to be taken at most; who has another waits.
const QUEUE_MAX: usize = 256;
/// Checks under way at one time; others wait, and their time-out begins when they begin.
const CHECKS_MAX: usize = 512;

/// The tasks, one for each host that is checked.
pub(crate) struct Checks {
    tasks: HashMap<(Arc<str>, SocketAddr), Task>,
    room: Arc<Semaphore>,
    verdicts: mpsc::Sender<Verdict>,
}

struct Task {
    probe: Probe,
    handle: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Checks {
    /// None yet, and where the verdicts come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Verdict>) {
        let (verdicts, taken) = mpsc::channel(QUEUE_MAX);
        let room = Arc::new(Semaphore::new(CHECKS_MAX));
        (Self { tasks: HashMap::new(), room, verdicts }, taken)
    }

    /// Checks these hosts from now on, and no others. One that is checked in another way than
    /// before begins anew, under the verdict that it has.
    pub(crate) fn follow(&mut self, probes: Vec<Probe>) {
        let mut before = std::mem::take(&mut self.tasks);
        for probe in probes {
            let key = (probe.cluster.clone(), probe.host);
            let known = before.remove(&key).filter(|task| task.probe.is_same(&probe));
            let task = known.unwrap_or_else(|| {
                let body = keep(probe.clone(), self.room.clone(), self.verdicts.clone());
                Task { probe, handle: tokio::spawn(body).abort_handle() }
            });
            self.tasks.insert(key, task);
        }
    }
}

/// Checks a host, again and again, and says when its health has changed.
async fn keep(probe: Probe, room: Arc<Semaphore>, verdicts: mpsc::Sender<Verdict>) {
    let check = probe.check.clone();
    tokio::time::sleep(check.intervals.initial_jitter.mul_f64(chance())).await;
    let mut track = Track::default();
    let mut kept: Option<Kept> = None;
    loop {
        let outcome = {
            let _room = room.acquire().await;
            tokio::time::timeout(check.timeout, ask::ask(&probe, &mut kept)).await
        };
        let outcome = outcome.unwrap_or_else(|_| Outcome::Failed("no answer in time".to_owned()));
        if !check.reuse_connection || !matches!(outcome, Outcome::Passed { .. }) {
            kept = None;
        }
        let before = track.health;
        let wait = track.take(&outcome, &check, [chance(), chance()]);
        if track.health != before {
            let (cluster, host) = (&probe.cluster, probe.host);
            let health = track.health.unwrap_or_default();
            tracing::info!(%cluster, %host, ?health, ?outcome, "a host's health has changed");
            let verdict = Verdict { cluster: cluster.clone(), host, health };
            if verdicts.send(verdict).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
    }
}

#[cfg(test)]
mod tests;
