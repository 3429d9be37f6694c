//! Choosing a host: round robin, least request and random, as Envoy does them.

use config::snapshot::LbPolicy;

use crate::edf::Schedule;
use crate::host::{Host, Life};

/// Below this share of healthy hosts, in percent, health is not looked at: all hosts are chosen
/// from (`healthy_panic_threshold`, Envoy's default).
const PANIC_PERCENT: usize = 50;

/// The hosts that may be chosen, and where the balancer stands among them.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    /// Places of the hosts.
    eligible: Vec<u32>,
    /// Their weights differ.
    weighted: bool,
    schedule: Schedule,
    next: usize,
    /// Nothing was picked yet: the start is still to be drawn, so that workers and proxies do not
    /// all begin with the first host.
    fresh: bool,
}

impl Balancer {
    /// Takes the hosts in again after they have changed.
    pub(crate) fn rebuild<K>(&mut self, hosts: &[Host<K>], order: &[u32]) {
        let host = |slot: u32| hosts.get(slot as usize).filter(|host| host.life == Life::Alive);
        let healthy = |slot: &u32| host(*slot).is_some_and(|host| host.healthy);
        let panic =
            100 * order.iter().filter(|slot| healthy(slot)).count() < PANIC_PERCENT * order.len();
        self.eligible.clear();
        self.eligible.extend(order.iter().filter(|slot| panic || healthy(slot)));
        let mut weights = self.eligible.iter().filter_map(|slot| host(*slot)).map(|h| h.weight);
        let first = weights.next();
        self.weighted = weights.any(|weight| Some(weight) != first);
        self.schedule.clear();
        if self.weighted {
            for slot in &self.eligible {
                self.schedule.add(*slot, host(*slot).map_or(1.0, |host| f64::from(host.weight)));
            }
        }
        self.next = 0;
        self.fresh = true;
    }

    /// The place of the host that is next. `None`: there is none.
    pub(crate) fn pick<K>(
        &mut self,
        policy: LbPolicy,
        random: u64,
        hosts: &[Host<K>],
    ) -> Option<u32> {
        if self.eligible.is_empty() {
            return None;
        }
        match policy {
            LbPolicy::Random => self.at(random),
            LbPolicy::LeastRequest { choices } if !self.weighted => {
                self.least(choices, random, hosts)
            }
            LbPolicy::LeastRequest { .. } => {
                self.scheduled(random, |slot| weight(hosts, slot) / (requests(hosts, slot) + 1.0))
            }
            LbPolicy::RoundRobin | LbPolicy::Provided if self.weighted => {
                self.scheduled(random, |slot| weight(hosts, slot))
            }
            LbPolicy::RoundRobin | LbPolicy::Provided => self.turn(random),
        }
    }

    fn at(&self, number: u64) -> Option<u32> {
        let index = number.checked_rem(self.eligible.len() as u64)?;
        self.eligible.get(usize::try_from(index).ok()?).copied()
    }

    fn turn(&mut self, random: u64) -> Option<u32> {
        if std::mem::take(&mut self.fresh) {
            self.next = usize::try_from(random % self.eligible.len() as u64).ok()?;
        }
        let slot = self.eligible.get(self.next % self.eligible.len()).copied();
        self.next = (self.next + 1) % self.eligible.len();
        slot
    }

    fn scheduled(&mut self, random: u64, weigh: impl Fn(u32) -> f64) -> Option<u32> {
        if std::mem::take(&mut self.fresh) {
            for _ in 0..random % self.eligible.len() as u64 {
                self.schedule.next(&weigh);
            }
        }
        self.schedule.next(&weigh)
    }

    /// The least busy of a few random ones; of equals the one that was drawn first.
    fn least<K>(&self, choices: u32, random: u64, hosts: &[Host<K>]) -> Option<u32> {
        let mut random = random;
        let mut best = self.at(random)?;
        for _ in 1..choices.max(1) {
            random = mix(random);
            let other = self.at(random)?;
            if requests(hosts, other) < requests(hosts, best) {
                best = other;
            }
        }
        Some(best)
    }
}

fn weight<K>(hosts: &[Host<K>], slot: u32) -> f64 {
    hosts.get(slot as usize).map_or(1.0, |host| f64::from(host.weight))
}

fn requests<K>(hosts: &[Host<K>], slot: u32) -> f64 {
    hosts.get(slot as usize).map_or(0.0, |host| f64::from(host.requests))
}

/// The next number of a sequence that starts with one random number (the finisher of splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
