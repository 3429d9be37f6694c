//! When to spin before going to sleep.

/// How long to spin at most. A wake-up costs about as much CPU time, so spinning that pays off
/// once in a while is no loss, and it saves the sleeper's latency.
const SPIN_NS_MAX: u64 = 50_000;

/// Above this mean gap between events spinning is not even tried.
const GAP_NS_MAX: u64 = 1_000_000;

/// After so many waits without a spin at most it is tried again.
const SKIP_MAX: u32 = 63;

/// Learns from the waits of a worker: spins while events come at short distances, and leaves it
/// ever longer where spinning was in vain.
#[derive(Debug)]
pub(crate) struct Spin {
    /// Exponentially weighted mean of how long the waits took.
    gap_ns: u64,
    /// Waits that will not spin.
    skip: u32,
    /// How many waits the next failure costs.
    penalty: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Self { gap_ns: GAP_NS_MAX * 4, skip: 0, penalty: 0 }
    }
}

impl Spin {
    /// How long to spin in the wait that begins now.
    pub(crate) fn budget_ns(&mut self) -> u64 {
        if self.gap_ns > GAP_NS_MAX {
            return 0;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return 0;
        }
        SPIN_NS_MAX
    }

    /// News came while spinning.
    pub(crate) fn hit(&mut self, waited_ns: u64) {
        self.penalty = 0;
        self.learn(waited_ns);
    }

    /// The wait went to sleep, after spinning in vain or without.
    pub(crate) fn slept(&mut self, spun: bool, waited_ns: u64) {
        if spun {
            self.penalty = (self.penalty * 2 + 1).min(SKIP_MAX);
            self.skip = self.penalty;
        }
        self.learn(waited_ns);
    }

    /// One long gap ends spinning at once, short ones must come in a row to begin it.
    fn learn(&mut self, waited_ns: u64) {
        let capped = waited_ns.min(GAP_NS_MAX * 8);
        self.gap_ns = (self.gap_ns * 7 + capped) / 8;
    }
}

#[cfg(test)]
mod tests {
    use super::{GAP_NS_MAX, SKIP_MAX, SPIN_NS_MAX, Spin};

    #[test]
    fn a_busy_worker_spins_and_an_idle_one_does_not() {
        let mut spin = Spin::default();
        assert_eq!(spin.budget_ns(), 0, "nothing is known yet");
        for _ in 0..64 {
            spin.slept(false, 20_000);
        }
        assert_eq!(spin.budget_ns(), SPIN_NS_MAX);
        for _ in 0..3 {
            spin.slept(false, 1_000_000_000);
        }
        assert!(spin.gap_ns > GAP_NS_MAX);
        assert_eq!(spin.budget_ns(), 0);
    }

    #[test]
    fn spinning_in_vain_is_tried_ever_less_often() {
        let mut spin = Spin::default();
        for _ in 0..64 {
            spin.slept(false, 100_000);
        }
        let mut spun = 0;
        for _ in 0..1_000 {
            let budget = spin.budget_ns();
            spun += u32::from(budget > 0);
            spin.slept(budget > 0, 100_000);
        }
        assert!(spun <= 1_000 / SKIP_MAX + 8, "{spun} spins in 1000 waits");
        spin.hit(10_000);
        assert_eq!(spin.penalty, 0);
    }
}
