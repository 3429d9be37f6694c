//! The newest generation of the mesh and the streams that wait for the next.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::info;

use super::{Board, Counters};
use crate::ads::{Catalogue, ProxyNode};

/// One immutable state of the whole mesh.
pub trait World: Send + Sync {
    /// What one proxy may have of it.
    fn catalogue(&self, node: &Arc<ProxyNode>) -> Box<dyn Catalogue>;
}

/// A numbered [`World`].
#[derive(Clone)]
pub struct Generation {
    /// From 1, growing.
    pub number: u64,
    /// When the first change that led to it was seen.
    pub changed_at: Instant,
    /// The state itself.
    pub world: Arc<dyn World>,
}

/// Where generations are published and streams meet.
pub struct Hub {
    newest: watch::Sender<Arc<Generation>>,
    /// Who is connected and what each has.
    pub board: Arc<Board>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

impl Hub {
    /// Begins with the first state.
    pub fn new(world: Arc<dyn World>, now: Instant) -> Arc<Self> {
        let first = Generation { number: 1, changed_at: now, world };
        let counters = Arc::new(Counters::default());
        let board = Board::new(Arc::clone(&counters));
        Arc::new(Self { newest: watch::Sender::new(Arc::new(first)), board, counters })
    }

    /// Makes a new state the newest; every stream compares it with what its client has.
    pub fn publish(&self, world: Arc<dyn World>, changed_at: Instant) -> u64 {
        let number = self.newest.borrow().number + 1;
        let streams = self.board.announce(number, changed_at);
        let waited_ms = changed_at.elapsed().as_millis();
        info!(generation = number, streams, waited_ms, "configuration changed");
        self.newest.send_replace(Arc::new(Generation { number, changed_at, world }));
        // Without a stream that has to follow, the change has arrived everywhere already.
        self.board.settle(Instant::now());
        number
    }

    /// Follows the newest state.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Generation>> {
        self.newest.subscribe()
    }

    /// The number of the newest state.
    pub fn generation(&self) -> u64 {
        self.newest.borrow().number
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("generation", &self.generation()).finish_non_exhaustive()
    }
}
