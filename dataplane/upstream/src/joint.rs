//! What the workers of one process know and spend together.
//!
//! Workers share nothing but this, and of this the way of a request that goes well only reads: a
//! host's failures in a row, whether it is ejected, how many retries are under way.

use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use config::snapshot::ClusterId;
use hashbrown::HashMap;

/// Things by name, for as long as somebody holds them.
#[derive(Debug)]
struct Held<N, T> {
    by_name: HashMap<N, Weak<T>>,
    /// With so many entries those of things that are gone are thrown out.
    sweep_at: usize,
}

impl<N, T> Default for Held<N, T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), sweep_at: 16 }
    }
}

impl<N: Eq + Hash, T> Held<N, T> {
    fn get(&mut self, name: N, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(known) = self.by_name.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        if self.by_name.len() >= self.sweep_at {
            self.by_name.retain(|_, held| held.strong_count() > 0);
            self.sweep_at = 2 * self.by_name.len() + 16;
        }
        let made = Arc::new(make());
        self.by_name.insert(name, Arc::downgrade(&made));
        made
    }
}

/// The process: where its workers find what they share. Locked while a worker takes over a
/// configuration, never for a request that goes well.
#[derive(Debug, Default)]
pub struct Process(Mutex<Held<ClusterId, Joint>>);

impl Process {
    /// What the workers share of a cluster. It lasts as long as one of them has the cluster.
    pub(crate) fn joint(&self, cluster: ClusterId, workers: usize) -> Arc<Joint> {
        let mut joints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        joints.get(cluster, || Joint::new(workers))
    }
}

/// What the workers share of one cluster.
#[derive(Debug)]
pub(crate) struct Joint {
    /// Grows when a host is ejected or let in again.
    epoch: AtomicU64,
    /// When hosts are compared next.
    pub(crate) due_ns: AtomicU64,
    watches: Mutex<Watches>,
    retries: AtomicU32,
    /// Requests under way, by worker.
    active: Box<[Active]>,
}

/// One worker's cell, in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Active(AtomicU32);

/// The hosts that are watched: those that any worker has in its configuration.
#[derive(Debug, Default)]
pub(crate) struct Watches(Held<SocketAddr, Watch>);

/// What is known of one host.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Failures in a row: answers of 5xx, of 502 to 504, and failures of our own.
    pub(crate) row: [AtomicU32; 3],
    /// When it was ejected; 0: it is not.
    pub(crate) ejected_ns: AtomicU64,
    /// When it was let in again; 0: never.
    pub(crate) returned_ns: AtomicU64,
    /// By how much longer than usual it is ejected.
    pub(crate) jitter_ns: AtomicU64,
    /// How often it was ejected lately.
    pub(crate) times: AtomicU32,
    pub(crate) answers: Tally,
    pub(crate) local: Tally,
}

/// What came of requests in this interval.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) all: AtomicU64,
    pub(crate) good: AtomicU64,
}

impl Watch {
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_ns.load(Ordering::Acquire) > 0
    }
}

impl Joint {
    fn new(workers: usize) -> Self {
        Self {
            epoch: AtomicU64::new(1),
            due_ns: AtomicU64::new(0),
            watches: Mutex::default(),
            retries: AtomicU32::new(0),
            active: (0..workers.max(1)).map(|_| Active::default()).collect(),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn has_changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Held while it is decided who is ejected, so that all workers together keep to the limits.
    pub(crate) fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a retry if there are fewer than `most`.
    pub(crate) fn begin_retry(&self, most: u32) -> bool {
        let more = |count: u32| (count < most).then(|| count.saturating_add(1));
        self.retries.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    pub(crate) fn end_retry(&self) {
        let less = |count: u32| count.checked_sub(1);
        let _ = self.retries.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// A worker says how many requests it has under way.
    pub(crate) fn set_active(&self, worker: usize, requests: u32) {
        if let Some(Active(cell)) = self.active.get(worker) {
            cell.store(requests, Ordering::Relaxed);
        }
    }

    /// Requests under way on all workers.
    pub(crate) fn active(&self) -> u64 {
        self.active.iter().map(|Active(cell)| u64::from(cell.load(Ordering::Relaxed))).sum()
    }
}

impl Watches {
    /// What is known of a host, from now on for as long as somebody holds it.
    pub(crate) fn watch(&mut self, address: SocketAddr) -> Arc<Watch> {
        self.0.get(address, Watch::default)
    }

    /// All that are held.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Watch>> {
        self.0.by_name.values().filter_map(Weak::upgrade)
    }
}
