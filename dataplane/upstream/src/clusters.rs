//! All clusters of one worker.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::snapshot::{Cluster, ClusterId, Health, Labels, Snapshot, UpstreamTransport};

use crate::host::{Host, HostId, IDLE_MAX, Idle, Lease, Life, Release, Request, Wants};
use crate::joint::Process;
use crate::state::{NoHost, State};

/// The state of all clusters on one worker. `K` is the session's key of a connection.
#[derive(Debug)]
pub struct Clusters<K> {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) process: Arc<Process>,
    pub(crate) states: Vec<State<K>>,
}

/// The host for a request or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The host, for all that follows.
    pub host: HostId,
    /// Where to connect to.
    pub address: SocketAddr,
    /// Where to connect from.
    pub bind: Option<IpAddr>,
}

impl<K: Copy + Eq> Clusters<K> {
    /// No clusters yet. `worker` counts from 0; `workers` is how many share
    /// the limits and the knowledge of `process`.
    pub fn new(worker: usize, workers: usize, process: Arc<Process>) -> Self {
        Self { worker, workers, process, states: Vec::new() }
    }

    /// Goes over to a new snapshot. Hosts that stay (same address and transport) keep connections
    /// and counters. The idle connections of hosts that left go to `evicted`: close them and report
    /// each by [`Self::closed`] like any other. Busy ones finish and are closed when released,
    /// unless somebody waits for that host still.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>, evicted: &mut Vec<K>) {
        let len = self.states.len().max(snapshot.clusters.len());
        self.states.resize_with(len, State::default);
        for (at, state) in self.states.iter_mut().enumerate() {
            let new = snapshot.clusters.get(at).and_then(Option::as_ref);
            match (&state.cluster, new) {
                (None, None) => continue,
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => continue,
                _ => state.sync(new, evicted),
            }
            if let Some(cluster) = new {
                state.breaker.set(cluster.limits, self.worker, self.workers);
                state.join(cluster, &self.process, self.workers);
            }
            state.rebuild();
        }
    }

    /// The cluster as the last snapshot had it.
    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.states.get(id.0 as usize)?.cluster.as_ref()
    }

    /// How many hosts a cluster has, and how many of them may be chosen as far as this worker
    /// knows.
    /// `None`: it is not there.
    pub fn members(&self, id: ClusterId) -> Option<(u64, u64)> {
        let state = self.states.get(id.0 as usize)?;
        state.cluster.as_ref()?;
        // What is set apart of a host is none of its own.
        let is_one = |host: &&Host<K>| host.life == Life::Alive && host.parent.is_none();
        let hosts = state.hosts.iter().filter(is_one);
        let is_usable = |health: Health| health != Health::Unhealthy;
        Some(hosts.fold((0, 0), |(all, usable), host| {
            (all + 1, usable + u64::from(is_usable(host.health) && !host.is_ejected))
        }))
    }

    /// Chooses a host. `wanted` is the connection's original destination, for clusters that go
    /// there. Only a fresh, evenly distributed `random` gives an even choice.
    pub fn pick(
        &mut self,
        cluster: ClusterId,
        wanted: Option<SocketAddr>,
        random: u64,
    ) -> Result<Pick, NoHost> {
        self.pick_among(cluster, wanted, random, || None)
    }

    /// The same among those hosts that have these labels, where the cluster has subsets.
    pub fn pick_among<'l>(
        &mut self,
        cluster: ClusterId,
        wanted: Option<SocketAddr>,
        random: u64,
        labels: impl FnOnce() -> Option<&'l Labels>,
    ) -> Result<Pick, NoHost> {
        let state = self.states.get_mut(cluster.0 as usize).ok_or(NoHost::UnknownCluster)?;
        let (slot, compiled) = state.pick(wanted, random, labels)?;
        let bind = compiled.bind;
        let host = state.id(cluster, slot).ok_or(NoHost::Gone)?;
        let address = state.host(host).ok_or(NoHost::Gone)?.address;
        let bind = bind.filter(|bind| bind.is_ipv4() == address.is_ipv4());
        Ok(Pick { host, address, bind })
    }

    /// How a new connection to the host speaks. `None`: it has left the configuration, and no
    /// connection to it is made any more, whatever lease there is.
    pub fn transport(&self, host: HostId) -> Option<&UpstreamTransport> {
        let state = self.states.get(host.cluster.0 as usize)?;
        let found = state.hosts.get(host.slot as usize)?;
        (found.generation == host.generation && found.life == Life::Alive)
            .then_some(&found.transport)
    }

    /// The name that the configuration gives the host (`Endpoint.hostname`), if it does.
    pub fn hostname(&self, host: HostId) -> Option<&Arc<str>> {
        let state = self.states.get(host.cluster.0 as usize)?;
        state.whole(host)?.hostname.as_ref()
    }

    /// Where the host is besides, in the order to try.
    pub fn others(&self, host: HostId) -> Option<&Arc<[SocketAddr]>> {
        let state = self.states.get(host.cluster.0 as usize)?;
        state.whole(host)?.others.as_ref()
    }

    /// Counts a request to a host, until [`Self::end`].
    pub fn begin(&mut self, host: HostId) -> Result<Request, NoHost> {
        let worker = self.worker;
        let state = self.state(host).ok_or(NoHost::Gone)?;
        if !state.breaker.may_request() {
            return Err(NoHost::Overflow);
        }
        let found = state.host(host).ok_or(NoHost::Gone)?;
        found.requests += 1;
        if let Some(parent) = found.parent.and_then(|at| state.hosts.get_mut(at as usize)) {
            parent.requests += 1;
        }
        state.breaker.requests += 1;
        state.tell_active(worker);
        Ok(Request { host })
    }

    /// A request has ended, however it did.
    pub fn end(&mut self, request: Request) {
        let worker = self.worker;
        let Some(state) = self.state(request.host) else { return };
        let Some(host) = state.host(request.host) else { return };
        host.requests = host.requests.saturating_sub(1);
        if let Some(parent) = host.parent.and_then(|at| state.hosts.get_mut(at as usize)) {
            parent.requests = parent.requests.saturating_sub(1);
        }
        state.breaker.requests = state.breaker.requests.saturating_sub(1);
        state.tell_active(worker);
        state.settle(request.host.slot);
    }

    /// Takes a connection out of the host's pool: the one that was used last.
    pub fn idle(&mut self, host: HostId, now_ns: u64) -> Option<(K, Lease)> {
        let state = self.state(host)?;
        let timeout = idle_timeout_ns(state.cluster.as_deref());
        let found = state.host(host)?;
        let last = found.idle.last()?;
        if timeout.is_some_and(|timeout| last.since_ns.saturating_add(timeout) <= now_ns) {
            // All others have been lying for longer still: they wait to be expired.
            return None;
        }
        let idle = found.idle.pop()?;
        Some((idle.key, Lease { host, requests: idle.requests.saturating_add(1) }))
    }

    /// Asks to make a new connection to the host. It is counted until [`Self::closed`], also while
    /// it is being made and if that fails.
    pub fn open(&mut self, host: HostId) -> Result<Lease, NoHost> {
        let state = self.state(host).ok_or(NoHost::Gone)?;
        if !state.breaker.may_connect() {
            return Err(NoHost::Overflow);
        }
        let found = state.host(host).filter(|found| found.life == Life::Alive);
        found.ok_or(NoHost::Gone)?.connections += 1;
        state.breaker.connections += 1;
        Ok(Lease { host, requests: 1 })
    }

    /// Waits for a connection to the host, after [`Self::open`] has said `Overflow`: `waiter` is
    /// named by a later [`Self::release`] or [`Self::closed`]. Refused where the cluster has no
    /// connection that could end, or when too many wait (`max_pending_requests`).
    pub fn wait(&mut self, host: HostId, waiter: K, wants: Wants) -> Result<(), NoHost> {
        let state = self.state(host).ok_or(NoHost::Gone)?;
        state.host(host).ok_or(NoHost::Gone)?;
        state.enqueue(host.slot, waiter, wants)
    }

    /// Waits no longer. Says whether it was waiting.
    pub fn forget(&mut self, host: HostId, waiter: K) -> bool {
        let Some(state) = self.state(host) else { return false };
        if state.host(host).is_none() || !state.drop_out(host.slot, waiter) {
            return false;
        }
        state.settle(host.slot);
        true
    }

    /// A connection is free again. `reusable`: the last response ended cleanly and neither side
    /// said that it will close. While others of the cluster wait for its place it is not kept.
    pub fn release(&mut self, lease: Lease, key: K, now_ns: u64, reusable: bool) -> Release<K> {
        let Some(state) = self.state(lease.host) else { return Release::Close };
        let most = state.cluster.as_ref().map_or(1, |c| c.max_requests_per_connection);
        let spent = most > 0 && lease.requests >= most;
        if !reusable || spent || state.host(lease.host).is_none() {
            return Release::Close;
        }
        if let Some(waiter) = state.dequeue(lease.host.slot, Wants::Own) {
            let requests = lease.requests.saturating_add(1);
            return Release::Handed(waiter, Lease { requests, ..lease });
        }
        let others_wait = state.breaker.pending > 0;
        let Some(host) = state.host(lease.host) else { return Release::Close };
        if others_wait || host.life != Life::Alive || host.idle.len() >= IDLE_MAX {
            return Release::Close;
        }
        host.idle.push(Idle { key, since_ns: now_ns, requests: lease.requests });
        Release::Kept
    }

    /// A connection is closed: busy, idle, evicted or one that could not be made. To be called once
    /// for each lease that was given. Names the next one who waits, for whichever host of the
    /// cluster, and may now make a new connection with that lease; where the host has left the
    /// configuration in the meantime ([`Self::transport`] is `None`) it is to give the lease back
    /// and to look elsewhere.
    pub fn closed(&mut self, lease: Lease, key: K) -> Option<(K, Lease)> {
        let state = self.state(lease.host)?;
        let host = state.host(lease.host)?;
        if let Some(at) = host.idle.iter().position(|idle| idle.key == key) {
            host.idle.remove(at);
        }
        host.unshare(key);
        host.connections = host.connections.saturating_sub(1);
        state.breaker.connections = state.breaker.connections.saturating_sub(1);
        let next = state.grant(lease.host.cluster);
        state.settle(lease.host.slot);
        next
    }

    /// Moves the connections that have been idle for too long, or whose place somebody waits for,
    /// to `evicted` (see [`Self::update`]) and forgets original destinations that nobody uses.
    /// Looks at every host: to be called about once a second.
    pub fn expire(&mut self, now_ns: u64, evicted: &mut Vec<K>) {
        for state in &mut self.states {
            state.now_ns = now_ns;
            let timeout = idle_timeout_ns(state.cluster.as_deref());
            if let Some(until) = timeout.and_then(|timeout| now_ns.checked_sub(timeout)) {
                state.hosts.iter_mut().for_each(|host| host.evict(until, evicted));
            }
            state.make_room(evicted);
            state.sweep_twins();
            state.sweep();
            state.swept = false;
        }
    }

    /// The requests that a connection may be used for have been served by this one.
    pub fn is_spent(&self, lease: &Lease) -> bool {
        let cluster = self.cluster(lease.host.cluster);
        let most = cluster.map_or(1, |cluster| cluster.max_requests_per_connection);
        most > 0 && lease.requests >= most
    }

    /// Idle connections in all pools.
    pub fn idle_len(&self) -> usize {
        self.hosts().map(|host| host.idle.len()).sum()
    }

    /// Connections that are counted: being made, busy and idle.
    pub fn connections(&self) -> u64 {
        self.hosts().map(|host| u64::from(host.connections)).sum()
    }

    fn hosts(&self) -> impl Iterator<Item = &Host<K>> {
        self.states.iter().flat_map(|state| &state.hosts)
    }

    pub(crate) fn state(&mut self, host: HostId) -> Option<&mut State<K>> {
        self.states.get_mut(host.cluster.0 as usize)
    }
}

fn idle_timeout_ns(cluster: Option<&Cluster>) -> Option<u64> {
    let timeout = cluster?.idle_timeout?;
    Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
