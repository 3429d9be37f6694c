//! Connections that many requests share (HTTP/2).
//!
//! Such a connection is counted by its lease like any other. While it has room it stands with its
//! host; who finds none there makes one, and who comes while it is being made waits for it like
//! for any connection ([`Clusters::wait`]).

use crate::clusters::Clusters;
use crate::host::{Host, HostId, Lease, Life, Shared, Wants};

impl<K: Copy + Eq> Clusters<K> {
    /// A connection to the host with room for another request: the one that came last.
    pub fn shared(&self, host: HostId) -> Option<K> {
        self.host(host)?.shared.last().map(|shared| shared.key)
    }

    /// The connection has room; `is_idle`: it serves no request. False: nobody will look for it,
    /// as the host has left the configuration.
    pub fn share(&mut self, host: HostId, key: K, is_idle: bool) -> bool {
        let Some(host) = self.host_mut(host) else { return false };
        host.unmake(key);
        if host.life != Life::Alive {
            host.unshare(key);
            return false;
        }
        match host.shared.iter_mut().find(|shared| shared.key == key) {
            Some(shared) => shared.is_idle = is_idle,
            None => host.shared.push(Shared { key, is_idle }),
        }
        true
    }

    /// The connection has no room, or takes no more requests.
    pub fn unshare(&mut self, host: HostId, key: K) {
        if let Some(host) = self.host_mut(host) {
            host.unshare(key);
        }
    }

    /// A connection to be shared is being made under this key.
    pub fn make(&mut self, host: HostId, key: K) {
        if let Some(host) = self.host_mut(host) {
            host.making = Some(key);
        }
    }

    /// Such a connection is being made: who comes may wait for it.
    pub fn is_making(&self, host: HostId) -> bool {
        self.host(host).is_some_and(|host| host.making.is_some())
    }

    /// The first who waits for a shared connection to this very host, and waits no longer.
    pub fn next_waiter(&mut self, host: HostId) -> Option<K> {
        self.host(host)?;
        self.state(host)?.dequeue(host.slot, Wants::Shared)
    }

    /// The right to another connection to this very host, for the first who waits there.
    pub fn open_for_waiter(&mut self, host: HostId) -> Option<(K, Lease)> {
        if self.host(host)?.waiting.is_empty() {
            return None;
        }
        let lease = self.open(host).ok()?;
        // Whatever it wants: the connection is made for it.
        let waiter = self.state(host)?.dequeue(host.slot, Wants::Any)?;
        Some((waiter, lease))
    }

    fn host(&self, id: HostId) -> Option<&Host<K>> {
        let host = self.states.get(id.cluster.0 as usize)?.hosts.get(id.slot as usize)?;
        (host.generation == id.generation && host.life != Life::Free).then_some(host)
    }

    fn host_mut(&mut self, id: HostId) -> Option<&mut Host<K>> {
        self.state(id)?.host(id)
    }
}

impl<K: Copy + Eq> Host<K> {
    pub(crate) fn unshare(&mut self, key: K) {
        self.shared.retain(|shared| shared.key != key);
        self.unmake(key);
    }

    fn unmake(&mut self, key: K) {
        self.making = self.making.filter(|making| *making != key);
    }
}
