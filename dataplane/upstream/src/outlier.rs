//! Passive health: hosts that fail are ejected for a while, as Envoy's outlier detection does it.
//!
//! Envoy counts for the process, and so do workers here: failures in a row stand in one word for
//! all of them, which a success only reads, and rates are added up once a second. A worker sees
//! that a host was ejected by another one with its next choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use config::snapshot::{Comparison, OutlierDetection};

use crate::balance::mix;
use crate::joint::{Joint, Watch, Watches};

/// What has become of a request or a connection, as far as it tells of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A request has found its connection.
    Connected,
    /// A connection stands of which no more will be known (TCP).
    Joined,
    /// The host has answered with this status.
    Status(u16),
    /// There was no connection, or it broke.
    Failed,
    /// The host did not answer in time.
    TimedOut,
}

/// What a worker has counted of a host and not yet told the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    answers: (u32, u32),
    local: (u32, u32),
}

/// Places in [`Watch::row`].
const FIVES: usize = 0;
const GATEWAY: usize = 1;
const LOCAL: usize = 2;

/// One host under judgement.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) rules: &'a OutlierDetection,
    pub(crate) joint: &'a Joint,
    pub(crate) watch: &'a Watch,
    pub(crate) now_ns: u64,
    pub(crate) random: u64,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        rules: &'a OutlierDetection,
        joint: &'a Joint,
        watch: &'a Watch,
        (now_ns, random): (u64, u64),
    ) -> Self {
        Self { rules, joint, watch, now_ns, random }
    }

    /// Takes an outcome in. True: the host was ejected for it.
    pub(crate) fn observe(&self, outcome: Outcome, counted: &mut Counted) -> bool {
        match (outcome, self.rules.split) {
            (Outcome::Status(status), _) => self.answer(status, counted),
            (Outcome::Connected | Outcome::Joined, true) => self.local(true, counted),
            (Outcome::Failed | Outcome::TimedOut, true) => self.local(false, counted),
            // What becomes of the request will tell.
            (Outcome::Connected, false) => false,
            (Outcome::Joined, false) => self.answer(200, counted),
            (Outcome::Failed, false) => self.answer(503, counted),
            (Outcome::TimedOut, false) => self.answer(504, counted),
        }
    }

    fn answer(&self, status: u16, counted: &mut Counted) -> bool {
        let is_bad = (500..600).contains(&status);
        count(&mut counted.answers, !is_bad);
        if !is_bad {
            self.reset(FIVES);
            self.reset(GATEWAY);
            return false;
        }
        let rules = self.rules;
        let mut ejected = false;
        if matches!(status, 502..=504) {
            ejected |= self.one_more(GATEWAY, rules.consecutive_gateway, rules.enforcing_gateway);
        } else {
            self.reset(GATEWAY);
        }
        ejected | self.one_more(FIVES, rules.consecutive_5xx, rules.enforcing_5xx)
    }

    fn local(&self, is_good: bool, counted: &mut Counted) -> bool {
        count(&mut counted.local, is_good);
        if is_good {
            self.reset(LOCAL);
            return false;
        }
        self.one_more(LOCAL, self.rules.consecutive_local, self.rules.enforcing_local)
    }

    /// Another failure of that kind in a row.
    fn one_more(&self, kind: usize, most: u32, enforcing: u8) -> bool {
        let Some(row) = self.watch.row.get(kind) else { return false };
        if row.fetch_add(1, Ordering::Relaxed).wrapping_add(1) != most {
            return false;
        }
        let watches = self.joint.watches();
        if self.watch.is_ejected() {
            return false;
        }
        let ejected = self.eject(&watches, enforcing);
        row.store(0, Ordering::Relaxed);
        ejected
    }

    /// A success. As a rule there is nothing to reset, and nothing is written.
    fn reset(&self, kind: usize) {
        if let Some(row) = self.watch.row.get(kind)
            && row.load(Ordering::Relaxed) != 0
        {
            row.store(0, Ordering::Relaxed);
        }
    }

    /// Ejects the host, if the limit on ejected ones allows it and the dice do.
    fn eject(&self, watches: &Watches, enforcing: u8) -> bool {
        let (mut hosts, mut ejected) = (0_u64, 0_u64);
        for watch in watches.all() {
            hosts += 1;
            ejected += u64::from(watch.is_ejected());
        }
        let is_within = 100 * (ejected + 1) <= u64::from(self.rules.max_percent) * hosts;
        let may = is_within || (self.rules.always_one && ejected == 0);
        if !may || mix(self.random) % 100 >= u64::from(enforcing) {
            return false;
        }
        let (base, most) = (nanos(self.rules.base_time), nanos(self.rules.max_time));
        let jitter = nanos(self.rules.jitter);
        let jitter = mix(self.random ^ 1) % jitter.saturating_add(1);
        let times = self.watch.times.load(Ordering::Relaxed);
        if base.saturating_mul(times.into()) < most.saturating_add(base) {
            self.watch.times.store(times.saturating_add(1), Ordering::Relaxed);
        }
        self.watch.jitter_ns.store(jitter, Ordering::Relaxed);
        self.watch.ejected_ns.store(self.now_ns.max(1), Ordering::Release);
        self.joint.has_changed();
        true
    }

    /// Lets the host in again if its time is over.
    fn release(&self) {
        let since = self.watch.ejected_ns.load(Ordering::Acquire);
        if since == 0 {
            return;
        }
        let times = u64::from(self.watch.times.load(Ordering::Relaxed));
        let time = nanos(self.rules.base_time).saturating_mul(times);
        let time = time.min(nanos(self.rules.max_time));
        let time = time.saturating_add(self.watch.jitter_ns.load(Ordering::Relaxed));
        if self.now_ns.saturating_sub(since) < time {
            return;
        }
        self.watch.row.iter().for_each(|row| row.store(0, Ordering::Relaxed));
        self.watch.returned_ns.store(self.now_ns.max(1), Ordering::Relaxed);
        self.watch.ejected_ns.store(0, Ordering::Release);
        self.joint.has_changed();
    }

    /// A host that has behaved for an interval is ejected for a shorter time, should it come to it.
    fn forgive(&self) {
        let returned = self.watch.returned_ns.load(Ordering::Relaxed);
        let is_long = self.now_ns.saturating_sub(returned) >= nanos(self.rules.interval);
        if returned > 0 && is_long && !self.watch.is_ejected() {
            let times = self.watch.times.load(Ordering::Relaxed);
            self.watch.times.store(times.saturating_sub(1), Ordering::Relaxed);
        }
    }
}

fn count(counted: &mut (u32, u32), is_good: bool) {
    counted.0 = counted.0.saturating_add(1);
    counted.1 = counted.1.saturating_add(u32::from(is_good));
}

/// Adds what a worker has counted of a host to what all have.
pub(crate) fn tell(counted: &mut Counted, watch: &Watch) {
    let told = std::mem::take(counted);
    let add = |cell: &AtomicU64, count: u32| {
        if count > 0 {
            cell.fetch_add(count.into(), Ordering::Relaxed);
        }
    };
    add(&watch.answers.all, told.answers.0);
    add(&watch.answers.good, told.answers.1);
    add(&watch.local.all, told.local.0);
    add(&watch.local.good, told.local.1);
}

/// Lets hosts in again whose time is over and compares the others, once an interval, whichever
/// worker comes first. Says how many were ejected.
pub(crate) fn judge(rules: &OutlierDetection, joint: &Joint, now_ns: u64, random: u64) -> u32 {
    let due = joint.due_ns.load(Ordering::Acquire);
    let next = now_ns.saturating_add(nanos(rules.interval));
    let claim = |due, next| {
        joint.due_ns.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    };
    if due == 0 {
        // The first interval begins.
        claim(due, next);
        return 0;
    }
    if now_ns < due || !claim(due, next) {
        return 0;
    }
    let watches = joint.watches();
    let hosts: Vec<_> = watches.all().collect();
    hosts.iter().for_each(|watch| Case::new(rules, joint, watch, (now_ns, 0)).release());
    let mut ejected = 0;
    let mut random = random;
    let mut eject = |watch: &Watch, enforcing: u8| {
        random = mix(random);
        // The first comparison may have ejected it already.
        let case = Case::new(rules, joint, watch, (now_ns, random));
        ejected += u32::from(!watch.is_ejected() && case.eject(&watches, enforcing));
    };
    compare(rules, &rules.answers, &hosts, |watch| &watch.answers, &mut eject);
    if rules.split {
        compare(rules, &rules.local, &hosts, |watch| &watch.local, &mut eject);
    }
    hosts.iter().for_each(|watch| Case::new(rules, joint, watch, (now_ns, 0)).forgive());
    ejected
}

/// Finds the hosts that do worse than the others, and begins to count anew.
fn compare(
    rules: &OutlierDetection,
    comparison: &Comparison,
    hosts: &[Arc<Watch>],
    tally: impl Fn(&Watch) -> &crate::joint::Tally,
    eject: &mut impl FnMut(&Watch, u8),
) {
    if comparison.is_off() {
        return;
    }
    let rates: Vec<_> = hosts
        .iter()
        .filter_map(|watch| {
            let tally = tally(watch);
            let all = tally.all.swap(0, Ordering::Relaxed);
            let good = tally.good.swap(0, Ordering::Relaxed);
            let is_in = all > 0 && !watch.is_ejected();
            is_in.then(|| (&**watch, all, 100.0 * good as f64 / all as f64))
        })
        .collect();
    let enough = |volume: u64| rates.iter().filter(move |(_, all, _)| *all >= volume);
    let count = enough(rules.success_volume).count();
    if count > 0 && count >= rules.success_hosts {
        let rate = |(.., rate): &(&Watch, u64, f64)| *rate;
        let threshold = threshold(enough(rules.success_volume).map(rate), rules.success_deviation);
        let low = enough(rules.success_volume).filter(|(.., rate)| *rate < threshold);
        low.for_each(|(watch, ..)| eject(watch, comparison.enforcing_success));
    }
    let count = enough(rules.failure_volume).count();
    if count > 0 && count >= rules.failure_hosts {
        let most = f64::from(rules.failure_percent);
        let high = enough(rules.failure_volume).filter(|(.., rate)| 100.0 - rate >= most);
        high.for_each(|(watch, ..)| eject(watch, comparison.enforcing_failure));
    }
}

/// Below this a rate of success is too far from the others.
fn threshold(rates: impl Iterator<Item = f64> + Clone, deviation: u32) -> f64 {
    let count = rates.clone().count().max(1) as f64;
    let mean = rates.clone().sum::<f64>() / count;
    let variance = rates.map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    mean - f64::from(deviation) / 1000.0 * variance.sqrt()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::threshold;

    #[test]
    fn the_threshold_is_envoys() {
        // The example of Envoy's source: a mean of 90, a deviation of 20.
        let rates = [50.0, 100.0, 100.0, 100.0, 100.0];
        assert_eq!(threshold(rates.into_iter(), 1900), 52.0);
    }
}
