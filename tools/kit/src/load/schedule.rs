//! Which requests one thread makes, and when each is due.

use ring::Nanos;

use super::LoadSpec;

/// One thread's requests. Those of an open loop are fixed from the start.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Nanos,
    /// No request is due from here on.
    end: Option<Nanos>,
    pace: Pace,
    /// How many this thread has yet to make, if that is limited.
    left: Option<u64>,
}

#[derive(Debug)]
enum Pace {
    /// The next one when there is the answer to the last.
    Closed,
    /// Request number `next` is due after `next * gap_ns`; each thread has every so manieth.
    Open { next: u64, step: u64, gap_ns: f64 },
}

impl Schedule {
    /// The share of thread number `thread`.
    pub(super) fn new(spec: &LoadSpec, thread: usize, start: Nanos) -> Self {
        let (first, step) = (thread as u64, spec.threads as u64);
        let pace = match spec.rate {
            None => Pace::Closed,
            Some(rate) => Pace::Open { next: first, step, gap_ns: 1e9 / rate },
        };
        Self {
            start,
            end: spec.duration.map(|duration| start.after(duration)),
            pace,
            left: spec.requests.map(|all| share(all, first, step)),
        }
    }

    /// Whether requests are due at fixed times.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.pace, Pace::Open { .. })
    }

    /// When the next request is due; `None` if there is none any more.
    pub(super) fn due(&self, now: Nanos) -> Option<Nanos> {
        if self.left == Some(0) {
            return None;
        }
        let due = match self.pace {
            Pace::Closed => now.max(self.start),
            Pace::Open { next, gap_ns, .. } => Nanos(self.start.0 + (next as f64 * gap_ns) as u64),
        };
        Some(due).filter(|due| self.end.is_none_or(|end| *due < end))
    }

    /// The request that was due is made.
    pub(super) fn take(&mut self) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        if let Pace::Open { next, step, .. } = &mut self.pace {
            *next += *step;
        }
    }

    /// Nothing more is to be made.
    pub(super) fn stop(&mut self) {
        self.left = Some(0);
    }

    /// So late after the end that what is still unsent never will be.
    pub(super) fn is_over(&self, now: Nanos, timeout: std::time::Duration) -> bool {
        self.end.is_some_and(|end| now > end.after(timeout))
    }
}

/// Of so many things, how many are `of`'s when `all_of` share them in turn.
pub(super) fn share(things: u64, of: u64, all_of: u64) -> u64 {
    (things + all_of - 1 - of) / all_of
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn all(spec: &LoadSpec) -> Vec<u64> {
        let mut due = Vec::new();
        for thread in 0..spec.threads {
            let mut schedule = Schedule::new(spec, thread, Nanos(1_000));
            while let Some(at) = schedule.due(Nanos(5_000)) {
                due.push(at.0 - 1_000);
                schedule.take();
            }
        }
        due.sort_unstable();
        due
    }

    #[test]
    fn threads_share_one_sequence() {
        let mut spec = LoadSpec::tcp(([127, 0, 0, 1], 1).into());
        spec.rate = Some(1000.0);
        spec.requests = Some(7);
        for threads in [1, 2, 3, 7] {
            spec.threads = threads;
            let expected: Vec<u64> = (0..7).map(|number| number * 1_000_000).collect();
            assert_eq!(all(&spec), expected, "{threads} threads");
        }
        spec.requests = None;
        spec.duration = Some(Duration::from_micros(4_500));
        assert_eq!(all(&spec).len() as u64, spec.total().unwrap());
        spec.requests = Some(2);
        assert_eq!(all(&spec), [0, 1_000_000]);
    }

    #[test]
    fn a_closed_loop_has_its_share_and_an_end() {
        let mut spec = LoadSpec::tcp(([127, 0, 0, 1], 1).into());
        (spec.threads, spec.requests) = (3, Some(8));
        assert_eq!(all(&spec), [4_000; 8]);
        spec.requests = None;
        spec.duration = Some(Duration::from_nanos(4_000));
        let schedule = Schedule::new(&spec, 0, Nanos(1_000));
        assert_eq!(schedule.due(Nanos(4_999)), Some(Nanos(4_999)));
        assert_eq!(schedule.due(Nanos(5_000)), None);
        assert!(!schedule.is_over(Nanos(6_000), Duration::from_nanos(1_000)));
        assert!(schedule.is_over(Nanos(6_001), Duration::from_nanos(1_000)));
    }
}
