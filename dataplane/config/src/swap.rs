//! The way of a snapshot from the agent's thread to the workers.
//!
//! A worker looks at one atomic word each round of its loop; only when that has changed does it
//! touch the pointer, whose reference count other cores share. The publisher keeps every snapshot
//! until no worker has it any more, so that the freeing of a big one never falls on a worker.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::snapshot::Snapshot;

/// The publisher's end. One for the process, owned by the agent's thread.
#[derive(Debug)]
pub struct Published {
    shared: Arc<Shared>,
    retired: Vec<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct Shared {
    current: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

impl Published {
    /// Begins with `first`.
    pub fn new(first: Snapshot) -> Self {
        let generation = AtomicU64::new(first.generation);
        let shared = Shared { current: ArcSwap::from_pointee(first), generation };
        Self { shared: Arc::new(shared), retired: Vec::new() }
    }

    /// Makes `next` what readers load from now on. The caller wakes the workers.
    pub fn publish(&mut self, next: Snapshot) {
        let generation = next.generation;
        self.retired.push(self.shared.current.swap(Arc::new(next)));
        self.shared.generation.store(generation, Ordering::Release);
        self.sweep();
    }

    /// Frees the snapshots that no reader has any more; says how many are still held. To be called
    /// now and then while it is not zero.
    pub fn sweep(&mut self) -> usize {
        // A reader takes the current snapshot only, so a count of one cannot grow again.
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.retired.len()
    }

    /// What is published now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// A reader for one worker.
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared), seen: Cell::new(u64::MAX) }
    }
}

/// A worker's end.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    seen: Cell<u64>,
}

impl Reader {
    /// There is a snapshot that [`Self::load`] has not given yet. One load of one word.
    pub fn changed(&self) -> bool {
        self.shared.generation.load(Ordering::Acquire) != self.seen.get()
    }

    /// The newest snapshot.
    pub fn load(&self) -> Arc<Snapshot> {
        // The word first: a snapshot published in between is then seen as a change next time.
        self.seen.set(self.shared.generation.load(Ordering::Acquire));
        self.shared.current.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(generation: u64) -> Snapshot {
        Snapshot { generation, ..Snapshot::default() }
    }

    #[test]
    fn a_reader_sees_each_change_once() {
        let mut published = Published::new(snapshot(1));
        let reader = published.reader();
        assert!(reader.changed());
        assert_eq!(reader.load().generation, 1);
        assert!(!reader.changed());
        published.publish(snapshot(2));
        assert!(reader.changed());
        assert_eq!(reader.load().generation, 2);
        assert!(!reader.changed());
    }

    #[test]
    fn the_publisher_outlives_every_reader_of_an_old_snapshot() {
        let mut published = Published::new(snapshot(1));
        let held = published.reader().load();
        let weak = Arc::downgrade(&held);
        published.publish(snapshot(2));
        assert_eq!(published.sweep(), 1);
        drop(held);
        assert!(weak.upgrade().is_some(), "the worker's drop was the last");
        assert_eq!(published.sweep(), 0);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn readers_on_other_threads_never_go_back() {
        let mut published = Published::new(snapshot(0));
        let readers: Vec<_> = (0..2).map(|_| published.reader()).collect();
        std::thread::scope(|scope| {
            for reader in readers {
                scope.spawn(move || {
                    let mut last = 0;
                    while last < 500 {
                        if reader.changed() {
                            let now = reader.load().generation;
                            assert!(now >= last);
                            last = now;
                        }
                    }
                });
            }
            (1..=500).for_each(|generation| published.publish(snapshot(generation)));
        });
        assert_eq!(published.sweep(), 0);
    }
}
