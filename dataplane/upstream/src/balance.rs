//! Choosing a host: priorities, localities, and in them the cluster's policy, as Envoy does it.

use config::snapshot::{Cluster, Health, LbPolicy, SlowStart};

use crate::edf::Schedule;
use crate::host::{Host, Life};
use crate::load::{self, Count, Load, Trust};
use crate::table::{Bound, Share, Table};

/// The hosts that may be chosen, by priority.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    levels: Vec<Level>,
    /// Until then a host's weight may grow by itself (0: none does).
    slow_until_ns: u64,
    /// Localities have no shares here, whatever the cluster says.
    pub(crate) is_flat: bool,
}

/// One priority.
#[derive(Debug, Default)]
struct Level {
    load: Load,
    /// Healthy hosts, or all of them when too few are usable.
    preferred: Source,
    degraded: Source,
    /// The places of the preferred hosts, once somebody has asked for one.
    table: Option<Table>,
}

/// What a choice goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) cluster: &'a Cluster,
    /// A random number; where the policy hashes, the request's hash.
    pub(crate) random: u64,
    /// Requests under way to all hosts.
    pub(crate) requests: u32,
    pub(crate) now_ns: u64,
}

impl Balancer {
    /// Takes the hosts in again after they or their health have changed.
    pub(crate) fn rebuild<K>(
        &mut self,
        hosts: &[Host<K>],
        order: &[u32],
        cluster: Option<&Cluster>,
        now_ns: u64,
    ) {
        let Some(cluster) = cluster else { return self.levels.clear() };
        let endpoints = &cluster.endpoints;
        let priorities = order.iter().filter_map(|slot| alive(hosts, *slot));
        let levels = priorities.map(|host| host.priority as usize + 1).max().unwrap_or(1);
        let mut counts = vec![Count::default(); levels];
        for host in order.iter().filter_map(|slot| alive(hosts, *slot)) {
            if let Some(count) = counts.get_mut(host.priority as usize) {
                add(count, host);
            }
        }
        let trust = Trust {
            overprovisioning_percent: endpoints.overprovisioning_percent,
            by_weight: endpoints.weighted_health,
            panic_percent: cluster.panic_percent,
        };
        self.slow_until_ns = slow_until(hosts, order, cluster.balance.slow_start, now_ns);
        let is_slow = self.slow_until_ns > 0;
        self.levels.resize_with(levels, Level::default);
        let loads = load::divide(&counts, trust);
        for ((level, load), priority) in self.levels.iter_mut().zip(loads).zip(0..) {
            (level.load, level.table) = (load, None);
            let by_locality = cluster.balance.by_locality && !self.is_flat;
            let members = Members { hosts, order, priority, cluster, is_slow, by_locality };
            let all = load.is_panic.then_some(());
            level.preferred.rebuild(&members, all.map_or(Some(Health::Healthy), |()| None));
            level.degraded.rebuild(&members, Some(Health::Degraded));
        }
    }

    /// The weights of new hosts do not grow any more: the next rebuild can do without them.
    pub(crate) fn is_slow_start_over(&self, now_ns: u64) -> bool {
        self.slow_until_ns > 0 && self.slow_until_ns <= now_ns
    }

    /// The place of the host that is next. `None`: there is none.
    pub(crate) fn pick<K>(&mut self, ask: Ask<'_>, hosts: &[Host<K>]) -> Option<u32> {
        let is_hashing = ask.cluster.policy.is_hashing();
        // Drawn apart from what the policy draws with, or some hosts would never be chosen. A hash
        // has to lead to one priority, and that is the one of Envoy.
        let drawn = if is_hashing { ask.random } else { mix(ask.random) };
        let (at, is_degraded) = self.level(drawn)?;
        let level = self.levels.get_mut(at)?;
        if is_hashing {
            return level.hashed(ask, hosts);
        }
        if level.load.is_panic && ask.cluster.balance.fail_on_panic {
            return None;
        }
        match is_degraded && !level.load.is_panic {
            true => level.degraded.pick(ask, hosts),
            false => level.preferred.pick(ask, hosts),
        }
    }

    /// The priority that a number falls on, and whether it is one for its degraded hosts.
    fn level(&self, drawn: u64) -> Option<(usize, bool)> {
        if self.levels.first()?.load.healthy >= 100 {
            return Some((0, false));
        }
        let (number, mut sum) = (drawn % 100 + 1, 0);
        let mut up_to = |load: u64| {
            sum += load;
            number <= sum
        };
        if let Some(at) = self.levels.iter().position(|level| up_to(level.load.healthy)) {
            return Some((at, false));
        }
        let at = self.levels.iter().position(|level| up_to(level.load.degraded))?;
        Some((at, true))
    }
}

impl Level {
    fn hashed<K>(&mut self, ask: Ask<'_>, hosts: &[Host<K>]) -> Option<u32> {
        if self.table.is_none() {
            self.table = Table::build(ask.cluster.policy, self.preferred.shares(hosts), hosts);
        }
        let percent = ask.cluster.balance.hash_percent;
        let bound = percent.map(|percent| Bound { percent, requests: ask.requests });
        self.table.as_mut()?.pick(ask.random, bound, hosts)
    }
}

fn add<K>(count: &mut Count, host: &Host<K>) {
    let weight = u64::from(host.weight);
    (count.hosts, count.weight) = (count.hosts + 1, count.weight + weight);
    match host.state() {
        Health::Healthy => {
            count.healthy += 1;
            count.healthy_weight += weight;
        }
        Health::Degraded => {
            count.degraded += 1;
            count.degraded_weight += weight;
        }
        Health::Unhealthy => {}
    }
}

/// When the last of the new hosts will be an old one.
fn slow_until<K>(hosts: &[Host<K>], order: &[u32], slow: Option<SlowStart>, now_ns: u64) -> u64 {
    let Some(slow) = slow else { return 0 };
    let since = order.iter().filter_map(|slot| alive(hosts, *slot)).map(|host| host.since_ns);
    let until = since.max().unwrap_or(0).saturating_add(nanos(slow.window));
    if until > now_ns { until } else { 0 }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The hosts of one priority.
struct Members<'a, K> {
    hosts: &'a [Host<K>],
    order: &'a [u32],
    priority: u32,
    cluster: &'a Cluster,
    is_slow: bool,
    by_locality: bool,
}

impl<K> Members<'_, K> {
    /// Those of that health (`None`: whatever it is), of one locality or of all.
    fn of(&self, health: Option<Health>, locality: Option<u32>) -> impl Iterator<Item = u32> {
        self.order.iter().copied().filter(move |slot| {
            alive(self.hosts, *slot).is_some_and(|host| {
                host.priority == self.priority
                    && health.is_none_or(|health| host.state() == health)
                    && locality.is_none_or(|locality| host.locality == locality)
            })
        })
    }
}

/// Hosts of one priority and health, all together or by locality.
#[derive(Debug, Default)]
struct Source {
    flat: Set,
    /// Where localities have shares: each one's hosts, its weight, and what of that its health
    /// leaves.
    parts: Vec<Part>,
    turns: Schedule,
    is_fresh: bool,
    /// Who has no share of a locality has none at all.
    is_parted: bool,
}

#[derive(Debug, Default)]
struct Part {
    set: Set,
    weight: u32,
    effective: f64,
}

impl Source {
    fn rebuild<K>(&mut self, members: &Members<'_, K>, health: Option<Health>) {
        self.flat.rebuild(members, members.of(health, None));
        self.parts.clear();
        self.turns.clear();
        self.is_fresh = true;
        let endpoints = &members.cluster.endpoints;
        self.is_parted = members.by_locality && !endpoints.localities.is_empty();
        if !self.is_parted {
            return;
        }
        let hashes = members.cluster.policy.is_hashing();
        for (locality, number) in endpoints.localities.iter().zip(0..) {
            let all = members.of(None, Some(number)).count();
            if all == 0 || locality.weight == 0 {
                continue;
            }
            let mut set = Set::default();
            set.rebuild(members, members.of(health, Some(number)));
            let trusted = f64::from(endpoints.overprovisioning_percent) / 100.0;
            let usable = set.eligible.len() as f64 / all as f64;
            let effective = f64::from(locality.weight) * (trusted * usable).min(1.0);
            self.parts.push(Part { set, weight: locality.weight, effective });
        }
        // In panic as without it Envoy hashes by locality; others look at all hosts then.
        if health.is_none() && !hashes {
            self.parts.clear();
        }
        for (part, number) in self.parts.iter().zip(0..) {
            if part.effective > 0.0 {
                self.turns.add(number, part.effective);
            }
        }
    }

    fn pick<K>(&mut self, ask: Ask<'_>, hosts: &[Host<K>]) -> Option<u32> {
        if self.parts.is_empty() {
            return self.flat.pick(ask, hosts);
        }
        let parts = &self.parts;
        let weigh = |number: u32| parts.get(number as usize).map_or(0.0, |part| part.effective);
        if std::mem::take(&mut self.is_fresh) {
            for _ in 0..mix(ask.random) % 16 {
                self.turns.next(weigh);
            }
        }
        match self.turns.next(weigh) {
            Some(number) => self.parts.get_mut(number as usize)?.set.pick(ask, hosts),
            None => self.flat.pick(ask, hosts),
        }
    }

    /// Each host's part of 1.
    fn shares<K>(&self, hosts: &[Host<K>]) -> Vec<Share> {
        let mut shares = Vec::with_capacity(self.flat.eligible.len());
        let all = self.parts.iter().map(|part| u64::from(part.weight)).sum::<u64>();
        if !self.is_parted {
            self.flat.shares(1.0, hosts, &mut shares);
        }
        for part in &self.parts {
            part.set.shares(f64::from(part.weight) / all as f64, hosts, &mut shares);
        }
        shares
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
    fn rebuild<K>(&mut self, members: &Members<'_, K>, slots: impl Iterator<Item = u32>) {
        let hosts = members.hosts;
        self.eligible.clear();
        self.eligible.extend(slots);
        let weights = self.eligible.iter().filter_map(|slot| alive(hosts, *slot));
        let mut weights = weights.map(|host| host.weight);
        let first = weights.next();
        self.weighted = members.is_slow || weights.any(|weight| Some(weight) != first);
        self.schedule.clear();
        if self.weighted {
            for slot in &self.eligible {
                self.schedule.add(*slot, weight(hosts, *slot));
            }
        }
        self.next = 0;
        self.fresh = true;
    }

    fn pick<K>(&mut self, ask: Ask<'_>, hosts: &[Host<K>]) -> Option<u32> {
        if self.eligible.is_empty() {
            return None;
        }
        let grown = |slot| weight(hosts, slot) * growth(hosts, slot, ask);
        match ask.cluster.policy {
            LbPolicy::Random => self.at(ask.random),
            LbPolicy::LeastRequest { choices, .. } if !self.weighted => {
                self.least(choices, ask.random, hosts)
            }
            LbPolicy::LeastRequest { bias, .. } => {
                self.scheduled(ask.random, |slot| grown(slot) / busy(hosts, slot, bias))
            }
            _ if self.weighted => self.scheduled(ask.random, grown),
            _ => self.turn(ask.random),
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

    /// What of `part` each host gets.
    fn shares<K>(&self, part: f64, hosts: &[Host<K>], to: &mut Vec<Share>) {
        let sum = self.eligible.iter().map(|slot| weight(hosts, *slot)).sum::<f64>();
        let share = |slot: &u32| Share { slot: *slot, part: weight(hosts, *slot) * part / sum };
        to.extend(self.eligible.iter().map(share));
    }
}

pub(crate) fn alive<K>(hosts: &[Host<K>], slot: u32) -> Option<&Host<K>> {
    hosts.get(slot as usize).filter(|host| host.life == Life::Alive)
}

fn weight<K>(hosts: &[Host<K>], slot: u32) -> f64 {
    hosts.get(slot as usize).map_or(1.0, |host| f64::from(host.weight))
}

fn requests<K>(hosts: &[Host<K>], slot: u32) -> u32 {
    hosts.get(slot as usize).map_or(0, |host| host.requests)
}

/// What a host's requests under way divide its weight by.
fn busy<K>(hosts: &[Host<K>], slot: u32, bias: f64) -> f64 {
    let requests = f64::from(requests(hosts, slot)) + 1.0;
    if bias == 1.0 { requests } else { requests.powf(bias) }
}

/// What of its weight a new host has by now.
fn growth<K>(hosts: &[Host<K>], slot: u32, ask: Ask<'_>) -> f64 {
    let (Some(slow), Some(host)) = (ask.cluster.balance.slow_start, hosts.get(slot as usize))
    else {
        return 1.0;
    };
    let (age, window) = (ask.now_ns.saturating_sub(host.since_ns), nanos(slow.window));
    if age >= window {
        return 1.0;
    }
    let passed = age.max(1_000_000) as f64 / window as f64;
    let grown = if slow.aggression == 1.0 { passed } else { passed.powf(1.0 / slow.aggression) };
    grown.max(slow.min_share)
}

/// The next number of a sequence that starts with one random number (the finisher of splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
