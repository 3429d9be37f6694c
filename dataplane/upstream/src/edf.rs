//! Earliest deadline first: the weighted order of Envoy's balancers.
//!
//! Each entry's next turn comes `1 / weight` after its last one. A binary heap in one vector that
//! is refilled in place, so that picking never allocates.

/// One entry and when its turn is.
#[derive(Clone, Copy, Debug)]
struct Turn {
    deadline: f64,
    /// Breaks ties: the one that was put in first goes first.
    order: u64,
    item: u32,
}

impl Turn {
    fn before(&self, other: &Self) -> bool {
        self.deadline.total_cmp(&other.deadline).then(self.order.cmp(&other.order)).is_lt()
    }
}

/// The entries in the order of their turns.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    heap: Vec<Turn>,
    now: f64,
    order: u64,
}

impl Schedule {
    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
        self.now = 0.0;
        self.order = 0;
    }

    /// Puts an entry in. A weight that is not positive counts as the smallest one.
    pub(crate) fn add(&mut self, item: u32, weight: f64) {
        let turn = self.turn(item, weight);
        self.heap.push(turn);
        self.rise(self.heap.len().saturating_sub(1));
    }

    /// The entry whose turn it is, put in again with the weight that `weigh` gives it.
    pub(crate) fn next(&mut self, weigh: impl FnOnce(u32) -> f64) -> Option<u32> {
        let first = *self.heap.first()?;
        self.now = first.deadline;
        let again = self.turn(first.item, weigh(first.item));
        if let Some(top) = self.heap.first_mut() {
            *top = again;
        }
        self.sink();
        Some(first.item)
    }

    fn turn(&mut self, item: u32, weight: f64) -> Turn {
        self.order += 1;
        let deadline = self.now + 1.0 / weight.max(f64::MIN_POSITIVE.sqrt());
        Turn { deadline, order: self.order, item }
    }

    fn before(&self, left: usize, right: usize) -> bool {
        match (self.heap.get(left), self.heap.get(right)) {
            (Some(left), Some(right)) => left.before(right),
            _ => false,
        }
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.before(at, parent) {
                return;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.before(right, left) { right } else { left };
            if !self.before(child, at) {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}
