//! Choosing a host: round robin, least request and random, as Envoy does them.

use config::snapshot::{Health, LbPolicy};

use crate::edf::Schedule;
use crate::host::{Host, Life};

/// What a hundredth of the hosts is trusted with, in hundredths of the requests (Envoy's
/// overprovisioning factor).
const TRUST_PERCENT: usize = 140;

/// The hosts that may be chosen: healthy ones, and degraded ones for what those cannot take.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    /// Healthy hosts, or all of them when too few are usable.
    preferred: Set,
    degraded: Set,
    /// How many requests of a hundred go to degraded hosts.
    degraded_percent: u64,
}

impl Balancer {
    /// Takes the hosts in again after they have changed. With less than `panic_percent` of them
    /// usable, health is not looked at.
    pub(crate) fn rebuild<K>(&mut self, hosts: &[Host<K>], order: &[u32], panic_percent: u8) {
        let is = |health| {
            move |slot: &u32| alive(hosts, *slot).is_some_and(|host| host.health == health)
        };
        let of = |health| order.iter().copied().filter(is(health));
        let (healthy, degraded) = (of(Health::Healthy).count(), of(Health::Degraded).count());
        let trusted = |count: usize| (TRUST_PERCENT * count / order.len().max(1)).min(100);
        let (most, rest) = (trusted(healthy), trusted(degraded));
        let usable = (most + rest).min(100);
        let panic_below = usize::from(panic_percent) * order.len();
        if usable < 100 && 100 * (healthy + degraded) < panic_below {
            self.preferred.rebuild(hosts, order.iter().copied());
            self.degraded.rebuild(hosts, std::iter::empty());
            self.degraded_percent = 0;
            return;
        }
        self.preferred.rebuild(hosts, of(Health::Healthy));
        self.degraded.rebuild(hosts, of(Health::Degraded));
        // What rounding leaves over is for healthy hosts.
        let share = |trusted: usize| (100 * trusted).checked_div(usable).unwrap_or_default();
        self.degraded_percent = share(rest).min(100 - share(most).min(100)) as u64;
    }

    /// The place of the host that is next. `None`: there is none.
    pub(crate) fn pick<K>(
        &mut self,
        policy: LbPolicy,
        random: u64,
        hosts: &[Host<K>],
    ) -> Option<u32> {
        // Drawn apart from what the set draws with, or some hosts of it would never be chosen.
        let to_degraded = self.degraded_percent > 0 && mix(random) % 100 < self.degraded_percent;
        let set = if to_degraded { &mut self.degraded } else { &mut self.preferred };
        set.pick(policy, random, hosts)
    }
}

/// Hosts of one kind, and where the balancer stands among them.
#[derive(Debug, Default)]
struct Set {
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

impl Set {
    fn rebuild<K>(&mut self, hosts: &[Host<K>], slots: impl Iterator<Item = u32>) {
        self.eligible.clear();
        self.eligible.extend(slots);
        let weights = self.eligible.iter().filter_map(|slot| alive(hosts, *slot));
        let mut weights = weights.map(|host| host.weight);
        let first = weights.next();
        self.weighted = weights.any(|weight| Some(weight) != first);
        self.schedule.clear();
        if self.weighted {
            for slot in &self.eligible {
                self.schedule.add(*slot, weight(hosts, *slot));
            }
        }
        self.next = 0;
        self.fresh = true;
    }

    fn pick<K>(&mut self, policy: LbPolicy, random: u64, hosts: &[Host<K>]) -> Option<u32> {
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

fn alive<K>(hosts: &[Host<K>], slot: u32) -> Option<&Host<K>> {
    hosts.get(slot as usize).filter(|host| host.life == Life::Alive)
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
