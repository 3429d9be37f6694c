//! Counters of the control plane, as `/metrics` shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ads::Kind;

/// Everything that is counted; all counters only grow.
#[derive(Debug, Default)]
pub struct Counters {
    responses: [AtomicU64; Kind::ALL.len()],
    nacks: [AtomicU64; Kind::ALL.len()],
    /// Answers to responses that were not the newest.
    pub stale_nonces: AtomicU64,
    /// Streams that were refused or ended by the server because of what the client sent.
    pub refused_streams: AtomicU64,
    /// Certificates for workloads, by request or for SDS.
    pub certificates: AtomicU64,
    /// Pushes to one proxy each, and how long it took to compute them.
    pub pushes: DurationSum,
    /// Changes of configuration, from the first change to the last acknowledgement.
    pub convergence: DurationSum,
}

/// How often something took place and how long it took altogether.
#[derive(Debug, Default)]
pub struct DurationSum {
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Counters {
    /// Counts a response of `kind`.
    pub fn response(&self, kind: Kind) {
        add(self.responses.get(kind.index()));
    }

    /// Counts a refusal by a client.
    pub fn nack(&self, kind: Kind) {
        add(self.nacks.get(kind.index()));
    }

    /// Responses and refusals of `kind`.
    pub fn of(&self, kind: Kind) -> (u64, u64) {
        let read = |table: &[AtomicU64]| {
            table.get(kind.index()).map_or(0, |cell| cell.load(Ordering::Relaxed))
        };
        (read(&self.responses), read(&self.nacks))
    }
}

impl DurationSum {
    /// Adds one.
    pub fn record(&self, duration: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Count and sum.
    pub fn read(&self) -> (u64, Duration) {
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed));
        (self.count.load(Ordering::Relaxed), sum)
    }
}

fn add(cell: Option<&AtomicU64>) {
    if let Some(cell) = cell {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}
