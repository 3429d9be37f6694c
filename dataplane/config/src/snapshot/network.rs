//! Network filters that look at a connection as it comes, before its first byte is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Bucket;

/// What a connection comes by when its chain is chosen.
#[derive(Clone, Debug)]
pub enum Gate {
    /// `envoy.filters.network.connection_limit`
    Limit(Arc<ConnectionLimit>),
    /// `envoy.filters.network.local_ratelimit`: a token a connection.
    Rate(Arc<Bucket>),
}

/// `ConnectionLimit`.
#[derive(Debug)]
pub struct ConnectionLimit {
    /// So many connections may be open at once.
    pub most: u64,
    /// One that is too many is closed after so long; `None`: at once.
    pub delay: Option<Duration>,
    /// How many are open.
    pub open: Arc<OpenConnections>,
}

/// How many connections of a filter are open, in the whole process: one word, written when one
/// comes and when it goes.
#[derive(Debug, Default)]
pub struct OpenConnections(AtomicU64);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<OpenConnections>);

impl ConnectionLimit {
    /// Counts one more, and says whether there is room for it. As in Envoy one that is too many
    /// counts while it waits to be closed. However many threads ask, no more are let in than may.
    pub fn begin(&self) -> (OpenConnection, bool) {
        let more = |now: u64| (now < self.most).then(|| now.saturating_add(1));
        let open = &self.open.0;
        let is_within = open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if !is_within {
            open.fetch_add(1, Ordering::Relaxed);
        }
        (OpenConnection(Arc::clone(&self.open)), is_within)
    }
}

impl OpenConnections {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_let_in_than_may_be_open() {
        let open = Arc::default();
        let limit = ConnectionLimit { most: 2, delay: None, open };
        let (first, lets_first) = limit.begin();
        let (second, lets_second) = limit.begin();
        let (third, lets_third) = limit.begin();
        assert_eq!([lets_first, lets_second, lets_third], [true, true, false]);
        assert_eq!(limit.open.count(), 3, "one that waits to be closed counts");
        drop(first);
        assert!(!limit.begin().1, "the one that waits takes the place");
        drop((second, third));
        assert_eq!(limit.open.count(), 0);
        let (_fourth, lets_fourth) = limit.begin();
        assert!(lets_fourth);
    }

    #[test]
    fn threads_together_keep_to_the_limit() {
        let limit = ConnectionLimit { most: 100, delay: None, open: Arc::default() };
        let ask = || (0..100).map(|_| limit.begin()).collect::<Vec<_>>();
        let taken = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            let taken = workers.into_iter().map(|worker| worker.join().expect("no panic"));
            taken.flatten().collect::<Vec<_>>()
        });
        assert_eq!(limit.open.count(), 400);
        assert!(taken.iter().filter(|(_, is_in)| *is_in).count() <= 100);
        drop(taken);
        assert_eq!(limit.open.count(), 0);
    }
}
