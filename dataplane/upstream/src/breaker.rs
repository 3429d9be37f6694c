//! Circuit breakers: a worker's share of a limit that holds for the whole process.

use config::snapshot::CircuitBreakers;

/// The share of `total` that belongs to worker `worker` of `workers`. The shares sum up to `total`
/// exactly, so a total below the number of workers leaves some workers nothing: a limit is kept
/// even where that costs requests. A worker beyond the last has nothing.
pub fn share(total: u32, worker: usize, workers: usize) -> u32 {
    let (Ok(worker), Ok(workers)) = (u32::try_from(worker), u32::try_from(workers.max(1))) else {
        return 0;
    };
    if worker >= workers {
        return 0;
    }
    total / workers + u32::from(worker < total % workers)
}

/// What of a cluster is in use on this worker, and how much may be.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    pub(crate) connections: u32,
    pub(crate) pending: u32,
    pub(crate) requests: u32,
    limits: Option<CircuitBreakers>,
}

impl Breaker {
    pub(crate) fn set(&mut self, total: CircuitBreakers, worker: usize, workers: usize) {
        let share = |total| share(total, worker, workers);
        self.limits = Some(CircuitBreakers {
            max_connections: share(total.max_connections),
            max_pending: share(total.max_pending),
            max_requests: share(total.max_requests),
            // These are counted for all workers together: see `passive`.
            max_retries: total.max_retries,
            retry_budget: total.retry_budget,
        });
    }

    pub(crate) fn may_connect(&self) -> bool {
        self.limits.is_some_and(|limits| self.connections < limits.max_connections)
    }

    /// How many connections there are beyond a limit that was lowered.
    pub(crate) fn surplus(&self) -> u32 {
        self.limits.map_or(0, |limits| self.connections.saturating_sub(limits.max_connections))
    }

    pub(crate) fn may_wait(&self) -> bool {
        self.limits.is_some_and(|limits| self.pending < limits.max_pending)
    }

    /// How many retries there may be goes by how many requests there are.
    pub(crate) fn has_budget(&self) -> bool {
        self.limits.is_some_and(|limits| limits.retry_budget.is_some())
    }

    pub(crate) fn may_request(&self) -> bool {
        self.limits.is_some_and(|limits| self.requests < limits.max_requests)
    }
}
