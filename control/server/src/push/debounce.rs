//! Waits until changes calm down, but never longer than a limit.

use std::time::{Duration, Instant};

/// Collects changes that come close together into one.
///
/// It is told when changes come and says when to act: after `quiet` without a change, at the
/// latest `max` after the first one.
#[derive(Clone, Copy, Debug)]
pub struct Debounce {
    quiet: Duration,
    max: Duration,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    newest: Instant,
}

impl Debounce {
    /// Nothing is pending.
    pub fn new(quiet: Duration, max: Duration) -> Self {
        Self { quiet, max, pending: None }
    }

    /// A change came.
    pub fn note(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |pending| pending.first);
        self.pending = Some(Pending { first, newest: now });
    }

    /// When to act; `None` if nothing is pending.
    pub fn due(&self) -> Option<Instant> {
        let pending = self.pending?;
        Some((pending.newest + self.quiet).min(pending.first + self.max))
    }

    /// Ends the wait; returns when the first of the collected changes came.
    pub fn take(&mut self) -> Option<Instant> {
        self.pending.take().map(|pending| pending.first)
    }
}
