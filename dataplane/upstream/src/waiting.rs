//! Who waits for a connection.
//!
//! A connection that comes free serves a waiter of its own host. The right to a new one holds for
//! the whole cluster: it goes to the hosts that have waiters in turn.

use config::snapshot::ClusterId;

use crate::host::{Lease, Life, Wants};
use crate::state::{NoHost, State};

impl<K: Copy + Eq> State<K> {
    /// Puts a waiter last in its host's queue.
    pub(crate) fn enqueue(&mut self, slot: u32, waiter: K, wants: Wants) -> Result<(), NoHost> {
        // What holds the limit are the cluster's connections: one that ends makes room.
        let may = self.breaker.may_wait() && self.breaker.connections > 0;
        let host = self.hosts.get_mut(slot as usize).filter(|host| host.life == Life::Alive);
        let host = host.ok_or(NoHost::Gone)?;
        if !may {
            return Err(NoHost::Overflow);
        }
        host.waiting.push_back((waiter, wants));
        self.breaker.pending += 1;
        if !std::mem::replace(&mut host.has_turn, true) {
            self.turns.push_back(slot);
        }
        Ok(())
    }

    /// The first who waits for that host and such a connection, and waits no longer. The host keeps
    /// its turn: without a waiter it is passed over then.
    pub(crate) fn dequeue(&mut self, slot: u32, kind: Wants) -> Option<K> {
        let waiting = &mut self.hosts.get_mut(slot as usize)?.waiting;
        let at = waiting.iter().position(|(_, wants)| wants.takes(kind))?;
        let (waiter, _) = waiting.remove(at)?;
        self.breaker.pending = self.breaker.pending.saturating_sub(1);
        Some(waiter)
    }

    /// Takes a waiter out of its host's queue. Says whether it was there.
    pub(crate) fn drop_out(&mut self, slot: u32, waiter: K) -> bool {
        let Some(host) = self.hosts.get_mut(slot as usize) else { return false };
        let Some(at) = host.waiting.iter().position(|(key, _)| *key == waiter) else {
            return false;
        };
        host.waiting.remove(at);
        self.breaker.pending = self.breaker.pending.saturating_sub(1);
        true
    }

    /// Gives a connection's place, if one is free, to the next waiter of the cluster.
    pub(crate) fn grant(&mut self, cluster: ClusterId) -> Option<(K, Lease)> {
        // With the last connection gone nothing could wake those that a lowered limit keeps out.
        if !self.breaker.may_connect() && self.breaker.connections > 0 {
            return None;
        }
        let (slot, waiter) = self.next_waiter()?;
        let host = self.id(cluster, slot)?;
        self.hosts.get_mut(slot as usize)?.connections += 1;
        self.breaker.connections += 1;
        Some((waiter, Lease { host, requests: 1 }))
    }

    /// Lets go of so many idle connections that all waiters (of other hosts) have room.
    pub(crate) fn make_room(&mut self, evicted: &mut Vec<K>) {
        if self.breaker.pending == 0 {
            return;
        }
        let mut wanted = self.breaker.pending.saturating_add(self.breaker.surplus()) as usize;
        for host in &mut self.hosts {
            if wanted == 0 {
                return;
            }
            let count = wanted.min(host.idle.len());
            evicted.extend(host.idle.drain(..count).map(|idle| idle.key));
            wanted -= count;
            host.shared.retain(|shared| {
                let goes = wanted > 0 && shared.is_idle;
                wanted -= usize::from(goes);
                evicted.extend(goes.then_some(shared.key));
                !goes
            });
        }
    }

    /// Of the hosts that stand in line those that lost their waiters leave it, so that each is
    /// passed over once at most.
    fn next_waiter(&mut self) -> Option<(u32, K)> {
        while self.breaker.pending > 0 {
            let slot = self.turns.pop_front()?;
            let waiter = self.dequeue(slot, Wants::Any);
            let Some(host) = self.hosts.get_mut(slot as usize) else { continue };
            host.has_turn = !host.waiting.is_empty();
            if host.has_turn {
                self.turns.push_back(slot);
            }
            if let Some(waiter) = waiter {
                return Some((slot, waiter));
            }
        }
        None
    }
}
