//! One cluster on one worker: its hosts kept in step with the configuration.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use config::snapshot::{
    Cluster, ClusterId, Discovery, Endpoint, Health, Labels, UpstreamTransport,
};
use hashbrown::HashMap;

use crate::balance::{Ask, Balancer};
use crate::breaker::Breaker;
use crate::host::{Host, HostId, Life, ORIGINAL_HOSTS_MAX};
use crate::joint::Joint;
use crate::outlier::Counted;
use crate::subset::Subsets;
use crate::twin::TwinKey;

/// Why there is no host, or no connection to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoHost {
    /// The cluster is not (or no longer) in the configuration.
    UnknownCluster,
    /// The cluster has no endpoint that may be chosen.
    NoHealthyHost,
    /// The cluster goes to original destinations and the connection has none.
    NoOriginalDestination,
    /// A circuit breaker's limit (this worker's share of it) is reached.
    Overflow,
    /// The host that was picked is gone.
    Gone,
    /// The request's host is no server name that could be asked for.
    BadName,
}

/// A cluster's hosts, balancer and limits.
#[derive(Debug)]
pub(crate) struct State<K> {
    /// `None`: removed; what is left of it drains.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) breaker: Breaker,
    pub(crate) hosts: Vec<Host<K>>,
    free: Vec<u32>,
    by_address: HashMap<SocketAddr, u32>,
    /// Places of what is set apart from its host.
    pub(crate) twins: HashMap<TwinKey, u32>,
    balancer: Balancer,
    /// Where requests may ask for hosts with certain metadata.
    subsets: Option<Box<Subsets>>,
    /// Places of the hosts in the order of the configuration, reused between updates.
    pub(crate) order: Vec<u32>,
    /// What all workers know of it together, where there is something to know.
    pub(crate) joint: Option<Arc<Joint>>,
    /// The joint's epoch when its hosts were last looked at.
    pub(crate) epoch: u64,
    /// The time as of the last second.
    pub(crate) now_ns: u64,
    /// Places of the hosts that have waiters, each once: whose turn is next comes first.
    pub(crate) turns: VecDeque<u32>,
    /// A pick has swept since the last regular sweep: the next one is not to pay for it again.
    pub(crate) swept: bool,
}

impl<K> Default for State<K> {
    fn default() -> Self {
        Self {
            cluster: None,
            breaker: Breaker::default(),
            hosts: Vec::new(),
            free: Vec::new(),
            by_address: HashMap::new(),
            twins: HashMap::new(),
            balancer: Balancer::default(),
            subsets: None,
            order: Vec::new(),
            joint: None,
            epoch: 0,
            now_ns: 0,
            turns: VecDeque::new(),
            swept: false,
        }
    }
}

impl<K: Copy + Eq> State<K> {
    /// Brings the hosts in step with `cluster`; [`Self::rebuild`] is to follow. Hosts with the same
    /// address and transport stay as they are; the idle connections of others go to `evicted`.
    pub(crate) fn sync(&mut self, cluster: Option<&Arc<Cluster>>, evicted: &mut Vec<K>) {
        let before = std::mem::replace(&mut self.cluster, cluster.cloned());
        let names = |cluster: Option<&Arc<Cluster>>| cluster.map(|one| one.host_names.clone());
        if !self.twins.is_empty() && names(before.as_ref()) != names(cluster) {
            self.retire_twins(|_| true, evicted);
        }
        self.order.clear();
        match cluster {
            Some(cluster) if cluster.discovery == Discovery::OriginalDst => {
                // What its hosts are is not in the configuration, only how they are reached.
                if before.is_none_or(|before| !same_reach(&before, cluster)) {
                    self.retire_all(evicted);
                }
            }
            Some(cluster) => self.take_in(cluster, evicted),
            None => self.retire_all(evicted),
        }
    }

    /// Hosts or their health have changed.
    pub(crate) fn rebuild(&mut self) {
        self.balancer.rebuild(&self.hosts, &self.order, self.cluster.as_deref(), self.now_ns);
        let rules = self
            .cluster
            .as_deref()
            .and_then(|cluster| Some((cluster, cluster.subsets.as_deref()?)));
        let Some((cluster, rules)) = rules else { return self.subsets = None };
        let subsets = self.subsets.get_or_insert_default();
        subsets.rebuild(rules, &self.hosts, &self.order, (cluster, self.now_ns));
    }

    /// The host for the next request, which asks for these labels.
    pub(crate) fn pick<'l>(
        &mut self,
        wanted: Option<SocketAddr>,
        random: u64,
        labels: impl FnOnce() -> Option<&'l Labels>,
    ) -> Result<(u32, &Cluster), NoHost> {
        self.follow();
        let Some(cluster) = &self.cluster else { return Err(NoHost::UnknownCluster) };
        let slot = if cluster.discovery == Discovery::OriginalDst {
            let mut wanted = wanted.ok_or(NoHost::NoOriginalDestination)?;
            if let Some(port) = cluster.port_override {
                wanted.set_port(port);
            }
            self.original(wanted)?
        } else {
            let (requests, now_ns) = (self.breaker.requests, self.now_ns);
            let ask = Ask { cluster, random, requests, now_ns };
            let balancer = match (&cluster.subsets, &mut self.subsets) {
                (Some(rules), Some(subsets)) => {
                    let none = Labels::default();
                    subsets.choose(rules, labels().unwrap_or(&none), &mut self.balancer)
                }
                _ => Some(&mut self.balancer),
            };
            let found = balancer.and_then(|balancer| balancer.pick(ask, &self.hosts));
            found.ok_or(NoHost::NoHealthyHost)?
        };
        let cluster = self.cluster.as_ref().ok_or(NoHost::UnknownCluster)?;
        Ok((slot, cluster))
    }

    /// Sees to what has changed since the last choice, by other workers or with time.
    fn follow(&mut self) {
        let is_new = self.joint.as_ref().is_some_and(|joint| joint.epoch() != self.epoch);
        if is_new {
            self.look_around();
        }
        if is_new || self.balancer.is_slow_start_over(self.now_ns) {
            self.rebuild();
        }
    }

    /// The host of that id, while anything of it is alive.
    pub(crate) fn host(&mut self, id: HostId) -> Option<&mut Host<K>> {
        find(&mut self.hosts, id)
    }

    /// The id of the host in that place.
    pub(crate) fn id(&self, cluster: ClusterId, slot: u32) -> Option<HostId> {
        let host = self.hosts.get(slot as usize)?;
        Some(HostId { cluster, slot, generation: host.generation })
    }

    /// Gives up the place of a host that is leaving once nothing of it is alive.
    pub(crate) fn settle(&mut self, slot: u32) {
        let Some(host) = self.hosts.get_mut(slot as usize) else { return };
        if host.life == Life::Leaving && host.unused() {
            host.life = Life::Free;
            host.generation = host.generation.wrapping_add(1);
            let parent = host.parent.take();
            self.free.push(slot);
            if let Some(parent) = parent {
                self.lose_twin(parent);
            }
        }
    }

    /// Forgets original destinations that have no connection and were not picked since the last
    /// sweep.
    pub(crate) fn sweep(&mut self) {
        if self.cluster.as_ref().is_none_or(|c| c.discovery != Discovery::OriginalDst) {
            return;
        }
        for slot in 0..self.hosts.len() {
            let Some(host) = self.hosts.get_mut(slot) else { break };
            if host.parent.is_some() {
                continue;
            }
            let touched = std::mem::take(&mut host.touched);
            if host.life == Life::Alive && !touched && host.unused() {
                host.life = Life::Leaving;
                self.by_address.remove(&host.address);
                self.settle(u32::try_from(slot).unwrap_or(u32::MAX));
            }
        }
    }

    fn take_in(&mut self, cluster: &Cluster, evicted: &mut Vec<K>) {
        let mut staying = HashMap::with_capacity(cluster.endpoints.hosts.len());
        for endpoint in &cluster.endpoints.hosts {
            // Of two endpoints with one address Envoy takes the first.
            if staying.contains_key(&endpoint.address) {
                continue;
            }
            let slot = self.place(cluster, endpoint, evicted);
            staying.insert(endpoint.address, slot);
            self.order.push(slot);
        }
        let logical = cluster.discovery == Discovery::LogicalDns;
        for (address, slot) in std::mem::replace(&mut self.by_address, staying) {
            let has_moved = logical && self.order.contains(&slot);
            if self.by_address.get(&address) != Some(&slot) && !has_moved {
                self.retire(slot, evicted);
            }
        }
    }

    /// The place of the host for an endpoint: the one it has, or a new one.
    fn place(&mut self, cluster: &Cluster, endpoint: &Endpoint, evicted: &mut Vec<K>) -> u32 {
        let transport = cluster.transport_of(endpoint.transport);
        let known = match cluster.discovery {
            // One host for good: only new connections go where its name leads to now.
            Discovery::LogicalDns => self.by_address.values().next().copied(),
            _ => self.by_address.get(&endpoint.address).copied(),
        };
        let slot = known.filter(|slot| {
            let host = self.hosts.get(*slot as usize);
            host.is_some_and(|host| host.transport.is_same(transport))
        });
        let slot = slot.unwrap_or_else(|| {
            if let Some(old) = known {
                self.retire(old, evicted);
            }
            self.allocate(endpoint.address, transport.clone())
        });
        self.move_twins(slot, endpoint.address);
        if let Some(host) = self.hosts.get_mut(slot as usize) {
            host.address = endpoint.address;
            host.others.clone_from(&endpoint.others);
            host.hostname.clone_from(&endpoint.hostname);
            host.weight = endpoint.weight.max(1);
            host.health = endpoint.health;
            (host.priority, host.locality) = (endpoint.priority, endpoint.locality);
            host.hash_key.clone_from(&endpoint.hash_key);
            host.labels.clone_from(&endpoint.labels);
        }
        slot
    }

    fn original(&mut self, wanted: SocketAddr) -> Result<u32, NoHost> {
        let slot = match self.by_address.get(&wanted) {
            Some(slot) => *slot,
            None => {
                let full = self.by_address.len() >= ORIGINAL_HOSTS_MAX;
                if full && !std::mem::replace(&mut self.swept, true) {
                    self.sweep();
                }
                if self.by_address.len() >= ORIGINAL_HOSTS_MAX {
                    return Err(NoHost::Overflow);
                }
                let cluster = self.cluster.as_ref().ok_or(NoHost::UnknownCluster)?;
                let transport = cluster.transport.clone();
                let slot = self.allocate(wanted, transport);
                self.by_address.insert(wanted, slot);
                slot
            }
        };
        if let Some(host) = self.hosts.get_mut(slot as usize) {
            host.touched = true;
        }
        Ok(slot)
    }

    pub(crate) fn allocate(&mut self, address: SocketAddr, transport: UpstreamTransport) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.hosts.push(Host::new(address));
            u32::try_from(self.hosts.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(host) = self.hosts.get_mut(slot as usize) {
            host.address = address;
            host.transport = transport;
            host.hostname = None;
            host.weight = 1;
            host.health = Health::Healthy;
            host.since_ns = self.now_ns;
            host.life = Life::Alive;
            (host.others, host.parent, host.ends) = (None, None, None);
        }
        slot
    }

    pub(crate) fn retire(&mut self, slot: u32, evicted: &mut Vec<K>) {
        if self.hosts.get(slot as usize).is_some_and(|host| host.twins > 0) {
            self.retire_twins(|key| key.host == slot, evicted);
        }
        if let Some(host) = self.hosts.get_mut(slot as usize)
            && host.life == Life::Alive
        {
            host.evict(u64::MAX, evicted);
            evicted.extend(host.shared.drain(..).map(|shared| shared.key));
            host.life = Life::Leaving;
            (host.watch, host.is_ejected) = (None, false);
            // What was counted and not told is of this host, not of the next one in its place.
            host.counted = Counted::default();
        }
        self.settle(slot);
    }

    fn retire_all(&mut self, evicted: &mut Vec<K>) {
        let all = std::mem::take(&mut self.by_address);
        self.retire_twins(|_| true, evicted);
        for slot in all.into_values() {
            self.retire(slot, evicted);
        }
    }
}

/// The host of that id, while anything of it is alive.
pub(crate) fn find<K>(hosts: &mut [Host<K>], id: HostId) -> Option<&mut Host<K>> {
    let host = hosts.get_mut(id.slot as usize)?;
    (host.generation == id.generation && host.life != Life::Free).then_some(host)
}

/// The same, or the host that it is set apart from.
pub(crate) fn find_whole<K>(hosts: &mut [Host<K>], id: HostId) -> Option<&mut Host<K>> {
    match find(hosts, id)?.parent {
        Some(parent) => hosts.get_mut(parent as usize),
        None => hosts.get_mut(id.slot as usize),
    }
}

fn same_reach(left: &Cluster, right: &Cluster) -> bool {
    left.discovery == right.discovery
        && left.bind == right.bind
        && left.transport.is_same(&right.transport)
}
