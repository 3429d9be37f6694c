//! A worker's own hold on the snapshot in force.
//!
//! Requests clone an [`Rc`], never an `Arc`: a reference count that two cores write to costs more
//! than all matching together.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use config::snapshot::{
    ClusterId, Listener, Route, RouteAction, RouteTable, Snapshot, VirtualHost,
};
use policy::route::{Found, Place};

/// A route table as requests hold it.
pub(crate) type Table = Rc<Arc<RouteTable>>;

/// The snapshot in force and what a worker derives from it.
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    tables: HashMap<Arc<str>, Table>,
    by_address: HashMap<SocketAddr, usize>,
    by_name: HashMap<Arc<str>, usize>,
    /// Filled when a request first names a cluster.
    clusters: OnceCell<HashMap<Arc<str>, ClusterId>>,
}

impl View {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        let table = |(name, table): (&Arc<str>, &Arc<RouteTable>)| {
            (Arc::clone(name), Rc::new(Arc::clone(table)))
        };
        let listeners = || snapshot.listeners.iter().enumerate();
        Self {
            tables: snapshot.routes.iter().map(table).collect(),
            by_address: listeners().map(|(index, listener)| (listener.address, index)).collect(),
            by_name: listeners().map(|(index, l)| (Arc::clone(&l.name), index)).collect(),
            clusters: OnceCell::new(),
            snapshot,
        }
    }

    /// The cluster of that name.
    pub(crate) fn cluster_named(&self, name: &str) -> Option<ClusterId> {
        let all = || {
            let there = self.snapshot.clusters.iter().flatten();
            there.map(|cluster| (Arc::clone(&cluster.name), cluster.id)).collect()
        };
        self.clusters.get_or_init(all).get(name).copied()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.snapshot.generation
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    pub(crate) fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.snapshot.listeners.get(*self.by_name.get(name)?)
    }

    /// The listener that answers for an original destination: the exact address, else the
    /// wildcard address of the same port (Envoy's hand-off order).
    pub(crate) fn owner_of(&self, destination: SocketAddr) -> Option<&Arc<Listener>> {
        let wildcard: IpAddr = match destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let port = destination.port();
        let index = self
            .by_address
            .get(&destination)
            .or_else(|| self.by_address.get(&SocketAddr::new(wildcard, port)))
            // A dual-stack wildcard answers for IPv4 too.
            .or_else(|| {
                self.by_address.get(&SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))
            })?;
        self.snapshot.listeners.get(*index)
    }
}

/// A route that a request has taken, held through its table.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) table: Table,
    at: Place,
}

impl Taken {
    pub(crate) fn of(table: &Table, found: &Found<'_>) -> Self {
        Self { table: Rc::clone(table), at: found.at }
    }

    pub(crate) fn found(&self) -> Option<Found<'_>> {
        Found::at(&self.table, self.at)
    }

    /// The route leads to an upstream.
    pub(crate) fn is_forward(&self) -> bool {
        self.route().is_some_and(|route| matches!(route.action, RouteAction::Forward(_)))
    }

    pub(crate) fn host(&self) -> Option<&VirtualHost> {
        self.table.hosts.get(self.at.host).map(|host| &**host)
    }

    pub(crate) fn route(&self) -> Option<&Route> {
        self.host()?.routes.get(self.at.route).map(|route| &**route)
    }
}
