//! Holding a running load by its reins.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ring::Waker;

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
    /// The threads of the run, which may be asleep.
    wakers: Mutex<Vec<Waker>>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Requests with an answer.
    pub done: u64,
    /// Requests without one, or with a wrong one.
    pub failed: u64,
    /// How many there will be, if that is known.
    pub total: Option<u64>,
    /// Since the first request became due.
    pub elapsed: Duration,
    /// Connections that are open and have nothing to do.
    pub idle: usize,
    /// All answers are there and the connections are only held open ([`LoadSpec::hold`]).
    ///
    /// [`LoadSpec::hold`]: super::LoadSpec::hold
    pub holding: bool,
    /// The median latency so far, as of some 100 ms ago.
    pub p50: Duration,
    /// The latency that one in a hundred exceeded.
    pub p99: Duration,
    /// The latency that one in a thousand exceeded.
    pub p999: Duration,
}

impl Control {
    /// A control for one run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends nothing more; what is under way is waited for. Held connections are let go.
    pub fn stop(&self) {
        self.state.stopped.store(true, Ordering::Release);
        self.wake();
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

    /// Has a thread of the run woken by [`stop`](Self::stop).
    pub(super) fn enlist(&self, waker: Waker) {
        self.wakers().push(waker);
    }

    /// The run is over: nobody is left to be woken.
    pub(super) fn dismiss(&self) {
        self.wakers().clear();
    }

    pub(super) fn wake(&self) {
        self.wakers().iter().for_each(Waker::wake);
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.state.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
