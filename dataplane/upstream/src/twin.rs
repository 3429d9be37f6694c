//! Connections to one host that must not be taken for one another: each server name that requests
//! ask for (`auto_sni`) has its own, and each client of whom the host is told (PROXY protocol).
//!
//! A twin is a place in the table like a host's, with its own transport and its own pool. No
//! balancer knows it: what it does counts for the host that it is set apart from.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use config::snapshot::{Cluster, UpstreamTransport};

use crate::clusters::{Clusters, Pick};
use crate::host::{Host, HostId, Life};
use crate::state::{NoHost, State};

/// What is set apart in one cluster on one worker.
pub const TWINS_MAX: usize = 16_384;

/// What a twin is known by.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TwinKey {
    /// The place of its host.
    pub(crate) host: u32,
    /// The server's name.
    name: Option<Rc<str>>,
    ends: Option<Ends>,
}

/// Where a client is, and where it meant to go.
pub type Ends = (SocketAddr, SocketAddr);

impl<K: Copy + Eq> Clusters<K> {
    /// The pick for a client between these ends that asks for a server of that name: connections
    /// to the host that are used for no other, where either makes a difference to it.
    pub fn set_apart(
        &mut self,
        pick: Pick,
        name: Option<&Rc<str>>,
        ends: Ends,
    ) -> Result<Pick, NoHost> {
        let state = self.states.get_mut(pick.host.cluster.0 as usize).ok_or(NoHost::Gone)?;
        let found = state.hosts.get(pick.host.slot as usize).ok_or(NoHost::Gone)?;
        let name = match &found.transport {
            UpstreamTransport::Raw => return Ok(pick),
            UpstreamTransport::Tls(_) if name.is_none() => return Ok(pick),
            transport => name.filter(|_| transport.tls().is_some()),
        };
        let ends = found.transport.proxy().map(|_| ends);
        let Some(slot) = state.apart(pick.host.slot, name, ends)? else { return Ok(pick) };
        let generation = state.hosts.get(slot as usize).ok_or(NoHost::Gone)?.generation;
        Ok(Pick { host: HostId { slot, generation, ..pick.host }, ..pick })
    }

    /// Whom a new connection to the host is to tell of.
    pub fn told(&self, host: HostId) -> Option<Ends> {
        let state = self.states.get(host.cluster.0 as usize)?;
        let found = state.hosts.get(host.slot as usize)?;
        found.ends.as_deref().copied().filter(|_| found.generation == host.generation)
    }
}

impl<K: Copy + Eq> State<K> {
    /// The place of what is set apart like that. `None`: it makes no difference.
    fn apart(
        &mut self,
        host: u32,
        name: Option<&Rc<str>>,
        ends: Option<Ends>,
    ) -> Result<Option<u32>, NoHost> {
        let cluster = self.cluster.as_ref().ok_or(NoHost::UnknownCluster)?;
        let asked = name.and_then(|name| of_name(cluster, name));
        if asked.is_none() && ends.is_none() {
            return Ok(None);
        }
        let name = name.filter(|_| asked.is_some()).cloned();
        let key = TwinKey { host, name, ends };
        if let Some(slot) = self.twins.get(&key).copied() {
            if let Some(twin) = self.hosts.get_mut(slot as usize) {
                twin.touched = true;
            }
            return Ok(Some(slot));
        }
        let found = self.hosts.get(host as usize).ok_or(NoHost::Gone)?;
        let (address, mut transport) = (found.address, found.transport.clone());
        if let (Some((sni, san)), Some(context)) = (asked, found.transport.tls()) {
            let context = context.for_server(sni, san).map_err(|_| NoHost::BadName)?;
            transport = transport.with_tls(Arc::new(context));
        }
        self.add_twin(key, address, transport).map(Some)
    }

    fn add_twin(
        &mut self,
        key: TwinKey,
        address: SocketAddr,
        transport: UpstreamTransport,
    ) -> Result<u32, NoHost> {
        if self.twins.len() >= TWINS_MAX && !std::mem::replace(&mut self.swept, true) {
            self.sweep_twins();
        }
        if self.twins.len() >= TWINS_MAX {
            return Err(NoHost::Overflow);
        }
        let slot = self.allocate(address, transport);
        if let Some(host) = self.hosts.get_mut(key.host as usize) {
            host.twins += 1;
        }
        if let Some(twin) = self.hosts.get_mut(slot as usize) {
            (twin.parent, twin.touched) = (Some(key.host), true);
            twin.ends = key.ends.map(Box::new);
        }
        self.twins.insert(key, slot);
        Ok(slot)
    }

    /// The host, or the one that it is set apart from.
    pub(crate) fn whole(&self, id: HostId) -> Option<&Host<K>> {
        let found = self.hosts.get(id.slot as usize)?;
        let whole = found.parent.map_or(Some(found), |parent| self.hosts.get(parent as usize));
        whole.filter(|_| found.generation == id.generation)
    }

    /// Forgets those that have nothing and were not asked for since the last time.
    pub(crate) fn sweep_twins(&mut self) {
        if self.twins.is_empty() {
            return;
        }
        let hosts = &mut self.hosts;
        let mut is_over = |slot: &u32| {
            hosts.get_mut(*slot as usize).is_none_or(|twin| {
                !std::mem::take(&mut twin.touched) && twin.unused() && twin.life == Life::Alive
            })
        };
        let gone = self.twins.extract_if(|_, slot| is_over(slot)).map(|(_, slot)| slot);
        for slot in gone.collect::<Vec<_>>() {
            self.retire(slot, &mut Vec::new());
        }
    }

    /// Those go with their hosts.
    pub(crate) fn retire_twins(
        &mut self,
        mut goes: impl FnMut(&TwinKey) -> bool,
        evicted: &mut Vec<K>,
    ) {
        let gone = self.twins.extract_if(|key, _| goes(key)).map(|(_, slot)| slot);
        for slot in gone.collect::<Vec<_>>() {
            self.retire(slot, evicted);
        }
    }

    /// New connections go where those of the host go.
    pub(crate) fn move_twins(&mut self, host: u32, to: SocketAddr) {
        if self.hosts.get(host as usize).is_none_or(|host| host.twins == 0 || host.address == to) {
            return;
        }
        for (_, slot) in self.twins.iter().filter(|(key, _)| key.host == host) {
            if let Some(twin) = self.hosts.get_mut(*slot as usize) {
                twin.address = to;
            }
        }
    }

    /// The last of a twin is gone: its host may have waited for that.
    pub(crate) fn lose_twin(&mut self, host: u32) {
        if let Some(host) = self.hosts.get_mut(host as usize) {
            host.twins = host.twins.saturating_sub(1);
        }
        self.settle(host);
    }
}

/// What to ask for under a name, and what the certificate must have. `None`: neither.
fn of_name<'n>(cluster: &Cluster, name: &'n str) -> Option<(Option<&'n str>, Option<&'n str>)> {
    let by = cluster.host_names.as_ref()?;
    // RFC 6066, 3: an address is no server name.
    let sni = (by.sni && name.parse::<IpAddr>().is_err()).then_some(name);
    let san = by.san.then_some(name);
    (sni.is_some() || san.is_some()).then_some((sni, san))
}
