//! Holding a running load by its reins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// The most phases of one run; further ones count into the last.
pub const PHASES_MAX: usize = 64;

/// Stops a run, or begins its next phase, while it runs. Clones hold the same run.
#[derive(Clone, Debug, Default)]
pub struct Control {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    phase: AtomicUsize,
    changed: Notify,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Requests with an answer.
    pub done: u64,
    /// Requests without one, or with a wrong one.
    pub failed: u64,
    /// How many there will be, if that is known.
    pub total: Option<u64>,
    /// Since the first request became due.
    pub elapsed: Duration,
}

impl Control {
    /// A control for one run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends nothing more; what is under way is waited for.
    pub fn stop(&self) {
        self.state.stopped.store(true, Ordering::Release);
        self.state.changed.notify_waiters();
    }

    /// Counts what is sent from now on apart, and returns the number of that phase.
    pub fn next_phase(&self) -> usize {
        let last = PHASES_MAX - 1;
        let before = self
            .state
            .phase
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |phase| Some(last.min(phase + 1)));
        last.min(before.unwrap_or(last) + 1)
    }

    /// The phase in force. The first is 0.
    pub fn phase(&self) -> usize {
        self.state.phase.load(Ordering::Acquire)
    }

    /// Whether the run is to end.
    pub fn is_stopped(&self) -> bool {
        self.state.stopped.load(Ordering::Acquire)
    }

    /// Waits for [`stop`](Self::stop).
    pub(super) async fn stopped(&self) {
        loop {
            let changed = self.state.changed.notified();
            if self.is_stopped() {
                return;
            }
            changed.await;
        }
    }
}
