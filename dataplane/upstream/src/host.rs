//! One host: its counters, its idle connections and those who wait for one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use config::snapshot::{ClusterId, Health, Labels, UpstreamTransport};

use crate::joint::Watch;
use crate::outlier::Counted;
use crate::twin::Ends;

/// Idle connections that are kept to one host on one worker. What is released beyond is closed.
pub const IDLE_MAX: usize = 4096;

/// Hosts that an original-destination cluster remembers on one worker.
pub const ORIGINAL_HOSTS_MAX: usize = 16_384;

/// Names one host of one cluster. An id of a host that is gone names nothing, also after its place
/// was taken by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostId {
    /// Its cluster.
    pub cluster: ClusterId,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// The right to one upstream connection, kept by whoever owns it until [`crate::Clusters::closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Lease {
    /// Where the connection goes.
    pub host: HostId,
    /// Requests that it was handed out for, this one included.
    pub requests: u32,
}

/// One request under way, until [`crate::Clusters::end`].
#[derive(Debug)]
#[must_use]
pub struct Request {
    pub(crate) host: HostId,
}

/// What kind of connection somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// One for itself alone (HTTP/1.1).
    Own,
    /// One that others use too (HTTP/2).
    Shared,
    /// Either.
    Any,
}

impl Wants {
    /// A connection of this kind serves who wants that.
    pub(crate) fn takes(self, kind: Self) -> bool {
        self == Self::Any || kind == Self::Any || self == kind
    }
}

/// What becomes of a connection that is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Release<K> {
    /// It lies in the pool.
    Kept,
    /// It is to be closed (and then reported by [`crate::Clusters::closed`]).
    Close,
    /// It goes to this one, who waits for a connection to the same host.
    Handed(K, Lease),
}

/// A connection that lies in a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle<K> {
    pub(crate) key: K,
    pub(crate) since_ns: u64,
    pub(crate) requests: u32,
}

/// A connection that many requests share (HTTP/2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<K> {
    pub(crate) key: K,
    /// It serves none now.
    pub(crate) is_idle: bool,
}

/// A host of a cluster. Its place in the table is kept while anything of it is alive.
#[derive(Debug)]
pub(crate) struct Host<K> {
    pub(crate) address: SocketAddr,
    /// Where else it is.
    pub(crate) others: Option<Arc<[SocketAddr]>>,
    /// Its name in the configuration.
    pub(crate) hostname: Option<Arc<str>>,
    pub(crate) transport: UpstreamTransport,
    pub(crate) weight: u32,
    /// As it is configured.
    pub(crate) health: Health,
    /// It has failed too often: it takes nothing for a while.
    pub(crate) is_ejected: bool,
    /// What is known of it by its answers, where they are looked at.
    pub(crate) watch: Option<Arc<Watch>>,
    pub(crate) counted: Counted,
    pub(crate) priority: u32,
    pub(crate) locality: u32,
    /// What it is hashed by, if not by its address.
    pub(crate) hash_key: Option<Arc<str>>,
    /// What subsets go by.
    pub(crate) labels: Option<Arc<Labels>>,
    /// When it came, as of the last second.
    pub(crate) since_ns: u64,
    pub(crate) generation: u32,
    pub(crate) life: Life,
    pub(crate) connections: u32,
    pub(crate) requests: u32,
    /// It was picked since the last sweep over original destinations.
    pub(crate) touched: bool,
    /// The last is the one that was used last.
    pub(crate) idle: Vec<Idle<K>>,
    /// Connections that are shared by many requests, and have room for another.
    pub(crate) shared: Vec<Shared<K>>,
    /// One that will be, and is being made.
    pub(crate) making: Option<K>,
    pub(crate) waiting: VecDeque<(K, Wants)>,
    /// It stands in its cluster's line for the next connection, perhaps without a waiter by now.
    pub(crate) has_turn: bool,
    /// The place of the host that it is set apart from: it is no host of its own then.
    pub(crate) parent: Option<u32>,
    /// Whom its connections tell of.
    pub(crate) ends: Option<Box<Ends>>,
    /// How many are set apart from it.
    pub(crate) twins: u32,
}

/// Whether a place in the table is a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// The place is free.
    Free,
    /// The host may be picked.
    Alive,
    /// The host has left the configuration; it ends with its last connection and request.
    Leaving,
}

impl<K> Host<K> {
    /// Whether it may be chosen, all things considered.
    pub(crate) fn state(&self) -> Health {
        if self.is_ejected { Health::Unhealthy } else { self.health }
    }
}

impl<K: Copy + Eq> Host<K> {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            others: None,
            hostname: None,
            transport: UpstreamTransport::Raw,
            weight: 1,
            health: Health::Healthy,
            is_ejected: false,
            watch: None,
            counted: Counted::default(),
            priority: 0,
            locality: 0,
            hash_key: None,
            labels: None,
            since_ns: 0,
            generation: 0,
            life: Life::Free,
            connections: 0,
            requests: 0,
            touched: false,
            idle: Vec::new(),
            shared: Vec::new(),
            making: None,
            waiting: VecDeque::new(),
            has_turn: false,
            parent: None,
            ends: None,
            twins: 0,
        }
    }

    /// Moves the idle connections that lie since `until_ns` or longer to `evicted`.
    pub(crate) fn evict(&mut self, until_ns: u64, evicted: &mut Vec<K>) {
        let old = self.idle.iter().take_while(|idle| idle.since_ns <= until_ns).count();
        evicted.extend(self.idle.drain(..old).map(|idle| idle.key));
    }

    /// Nothing of it is alive.
    pub(crate) fn unused(&self) -> bool {
        self.connections == 0 && self.requests == 0 && self.twins == 0 && self.waiting.is_empty()
    }
}
