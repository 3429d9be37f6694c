//! The compiled form: what a worker reads.

mod access_log;
mod check;
mod cluster;
mod compressor;
mod filter;
mod flag;
mod format;
mod hash;
mod http;
mod http1;
mod limit;
mod listener;
mod local_reply;
mod matcher;
mod mirror;
mod network;
mod origin;
mod outlier;
mod rbac;
mod retry;
mod rewrite;
mod route;
mod route_list;
mod substitution;

use std::collections::HashMap;
use std::sync::Arc;

pub use access_log::*;
pub use check::*;
pub use cluster::*;
pub use compressor::*;
pub use filter::*;
pub use flag::*;
pub use format::*;
pub use hash::*;
pub use http::*;
pub use http1::*;
pub use limit::*;
pub use listener::*;
pub use local_reply::*;
pub use matcher::*;
pub use mirror::*;
pub use network::*;
pub use origin::*;
pub use outlier::*;
pub use rbac::*;
pub use retry::*;
pub use rewrite::*;
pub use route::*;
pub use route_list::RouteList;
pub use substitution::Substitution;

/// All that a worker needs to know, as of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Grows by one with each publication.
    pub generation: u64,
    /// Listeners by name.
    pub listeners: Vec<Arc<Listener>>,
    /// Clusters; a `ClusterId` is an index that never names another cluster while the process
    /// lives. `None`: not (or no longer) there.
    pub clusters: Vec<Option<Arc<Cluster>>>,
    /// Route configurations by name, as RDS delivers them.
    pub routes: HashMap<Arc<str>, Arc<RouteTable>>,
}

impl Snapshot {
    /// The cluster of that id, if it is there.
    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(id.0 as usize)?.as_ref()
    }
}
