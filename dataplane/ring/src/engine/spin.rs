//! When to spin before going to sleep.

/// How long to spin at most.
const SPIN_NS_MAX: u64 = 50_000;

/// What a spin that meets news is worth: about the CPU time of the wake-up that it saves.
const WORTH_NS: u64 = 45_000;

/// A sleep shorter than this costs hardly anything: the CPU has not gone far, and more news may
/// have come when it is back. Spinning so long is never a gain.
const NAP_NS: u64 = 11_000;

/// Above this mean gap between events spinning is not even tried.
const GAP_NS_MAX: u64 = 1_000_000;

/// After so many waits without a spin at most it is tried again.
const SKIP_MAX: u32 = 63;

/// Learns from the waits of a worker: spins while that costs less CPU time than the wake-ups that
/// it saves, and tries it ever more rarely where it does not.
#[derive(Debug)]
pub(crate) struct Spin {
    is_off: bool,
    /// Exponentially weighted mean of how long the waits took.
    gap_ns: u64,
    /// The same of what a spin gained: a wake-up saved less the time spun.
    gain_ns: i64,
    /// Waits that will not spin.
    skip: u32,
    /// How many waits the last loss has cost.
    penalty: u32,
}

impl Spin {
    /// Nothing is known yet: begins without spinning. `is_on`: it may ever.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_off: !is_on, gap_ns: GAP_NS_MAX * 4, gain_ns: 0, skip: 0, penalty: 0 }
    }

    /// How long to spin in the wait that begins now.
    pub(crate) fn budget_ns(&mut self) -> u64 {
        if self.is_off || self.gap_ns > GAP_NS_MAX {
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
        let saved_ns = if waited_ns < NAP_NS { 0 } else { WORTH_NS };
        self.weigh(saved_ns.cast_signed() - waited_ns.cast_signed());
        self.learn(waited_ns);
    }

    /// The wait went to sleep, after spinning in vain or without.
    pub(crate) fn slept(&mut self, spun: bool, waited_ns: u64) {
        if spun {
            self.weigh(-SPIN_NS_MAX.cast_signed());
        }
        self.learn(waited_ns);
    }

    /// A spin that meets news now and then may still cost more than it saves: only the mean counts.
    fn weigh(&mut self, gained_ns: i64) {
        self.gain_ns += (gained_ns - self.gain_ns) / 8;
        let more = (self.penalty * 2 + 1).min(SKIP_MAX);
        self.penalty = if self.gain_ns < 0 { more } else { 0 };
        self.skip = self.penalty;
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

    /// A worker whose waits take so long each, in turn; says how many of them spun.
    fn spins(spin: &mut Spin, waits: usize, gaps_ns: &[u64]) -> usize {
        let mut spun = 0;
        for gap_ns in gaps_ns.iter().cycle().take(waits) {
            let budget_ns = spin.budget_ns();
            spun += usize::from(budget_ns > 0);
            match *gap_ns < budget_ns {
                true => spin.hit(*gap_ns),
                false => spin.slept(budget_ns > 0, *gap_ns),
            }
        }
        spun
    }

    #[test]
    fn a_busy_worker_spins_and_an_idle_one_does_not() {
        let mut spin = Spin::new(true);
        assert_eq!(spin.budget_ns(), 0, "nothing is known yet");
        for _ in 0..64 {
            spin.slept(false, 20_000);
        }
        assert_eq!(spin.budget_ns(), SPIN_NS_MAX);
        assert_eq!(spins(&mut spin, 100, &[20_000]), 100, "each pays");
        for _ in 0..3 {
            spin.slept(false, 1_000_000_000);
        }
        assert!(spin.gap_ns > GAP_NS_MAX);
        assert_eq!(spin.budget_ns(), 0);
    }

    #[test]
    fn spinning_in_vain_is_tried_ever_less_often() {
        let mut spin = Spin::new(true);
        spins(&mut spin, 64, &[100_000]);
        let spun = spins(&mut spin, 1_000, &[100_000]);
        assert!(spun <= 1_000 / SKIP_MAX as usize + 8, "{spun} spins in 1000 waits");
        spins(&mut spin, 1_000, &[20_000]);
        assert_eq!(spins(&mut spin, 100, &[20_000]), 100, "it is taken up again");
    }

    /// Two in five meet news, at the end of the time: fifty in vain thrice, ten saved twice.
    #[test]
    fn spinning_that_pays_too_rarely_is_left() {
        let mut spin = Spin::new(true);
        let gaps = [40_000, 90_000, 40_000, 120_000, 80_000];
        spins(&mut spin, 500, &gaps);
        let spun = spins(&mut spin, 1_000, &gaps);
        assert!(spun < 50, "{spun} spins in 1000 waits");
    }

    #[test]
    fn short_waits_are_slept_through() {
        let mut spin = Spin::new(true);
        spins(&mut spin, 64, &[5_000]);
        let spun = spins(&mut spin, 1_000, &[5_000]);
        assert!(spun < 50, "{spun} spins in 1000 waits");
    }

    #[test]
    fn it_can_be_forbidden() {
        let mut spin = Spin::new(false);
        assert_eq!(spins(&mut spin, 1_000, &[20_000]), 0);
    }
}
