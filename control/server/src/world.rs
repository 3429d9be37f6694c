//! The mesh as `model` and `translate` see it, in the form in which streams take it.
//!
//! What one proxy is sent depends on its [`Key`] alone. Whatever is shared between proxies is
//! computed from the very key under which it is kept, so that nothing of one proxy can reach
//! another through the cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use api::names::ClusterName;
use model::Model;
use prost::Message;
use translate::{Key, ProxyKind};

use crate::ads::{Catalogue, Kind, Names, ProxyNode, Resource, Role};
use crate::push::World;

/// One immutable model and what has been translated of it so far.
#[derive(Clone, Debug)]
pub struct MeshWorld {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    model: Model,
    /// Endpoints by the namespace that asks and the cluster's name; only of clusters that have
    /// some, so that what clients ask for cannot make it grow.
    endpoints: Mutex<HashMap<(String, String), Arc<Resource>>>,
}

/// One proxy's part of a [`MeshWorld`].
#[derive(Debug)]
struct ProxyCatalogue {
    shared: Arc<Shared>,
    key: Key,
    clusters: OnceLock<Vec<Arc<Resource>>>,
    listeners: OnceLock<Vec<Arc<Resource>>>,
}

impl MeshWorld {
    /// Begins with nothing translated.
    pub fn new(model: Model) -> Self {
        Self { shared: Arc::new(Shared { model, endpoints: Mutex::default() }) }
    }
}

impl World for MeshWorld {
    fn catalogue(&self, node: &Arc<ProxyNode>) -> Box<dyn Catalogue> {
        Box::new(ProxyCatalogue {
            shared: Arc::clone(&self.shared),
            key: key_of(&self.shared.model, node),
            clusters: OnceLock::new(),
            listeners: OnceLock::new(),
        })
    }
}

impl Catalogue for ProxyCatalogue {
    fn resources(&self, kind: Kind, names: &Names) -> Vec<Arc<Resource>> {
        match kind {
            Kind::Cluster => select(self.clusters.get_or_init(|| self.all_clusters()), names),
            Kind::Listener => select(self.listeners.get_or_init(|| self.all_listeners()), names),
            Kind::Endpoint => names.listed.iter().map(|name| self.endpoints(name)).collect(),
            Kind::Route => names.listed.iter().map(|name| self.route(name)).collect(),
            Kind::Secret => Vec::new(),
        }
    }
}

impl ProxyCatalogue {
    fn all_clusters(&self) -> Vec<Arc<Resource>> {
        let clusters = translate::clusters(&self.shared.model, &self.key);
        clusters.iter().map(|c| resource(Kind::Cluster, &c.name, c)).collect()
    }

    fn all_listeners(&self) -> Vec<Arc<Resource>> {
        let listeners = translate::listeners(&self.shared.model, &self.key);
        listeners.iter().map(|l| resource(Kind::Listener, &l.name, l)).collect()
    }

    fn route(&self, name: &str) -> Arc<Resource> {
        let route = translate::routes(&self.shared.model, &self.key, name);
        resource(Kind::Route, name, &route)
    }

    fn endpoints(&self, name: &str) -> Arc<Resource> {
        let place = (self.key.namespace.clone(), name.to_owned());
        if let Some(known) = self.shared.lock().get(&place) {
            return Arc::clone(known);
        }
        let key = namespace_key(&self.key);
        let assignment = translate::endpoints(&self.shared.model, &key, name);
        let encoded = resource(Kind::Endpoint, name, &assignment);
        if !assignment.endpoints.is_empty() && name.parse::<ClusterName>().is_ok() {
            self.shared.lock().insert(place, Arc::clone(&encoded));
        }
        encoded
    }
}

impl Shared {
    /// Each change to the map is complete in itself, so a panic elsewhere does not spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<Resource>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a proxy is: the pod that it stands beside, else what it says of itself.
fn key_of(model: &Model, node: &ProxyNode) -> Key {
    let by_name = model.workloads.get(&(node.namespace.clone(), node.pod.clone()));
    let by_address = || node.addresses.iter().find_map(|address| model.workload_at(*address));
    let account = node.service_account.as_ref();
    let fits = |workload: &&Arc<model::Workload>| {
        workload.identity.namespace == node.namespace
            && account.is_none_or(|account| *account == workload.identity.service_account)
    };
    if let Some(workload) = by_name.or_else(by_address).filter(fits)
        && node.role == Role::Sidecar
    {
        return Key::of(workload);
    }
    let mut addresses = node.addresses.clone();
    addresses.sort_unstable();
    Key {
        kind: ProxyKind::Sidecar,
        namespace: node.namespace.clone(),
        service_account: node.service_account.clone().unwrap_or_default(),
        labels: node.labels.clone(),
        addresses,
    }
}

/// All that endpoints may depend on.
fn namespace_key(key: &Key) -> Key {
    Key {
        kind: key.kind,
        namespace: key.namespace.clone(),
        service_account: String::new(),
        labels: BTreeMap::new(),
        addresses: Vec::new(),
    }
}

fn select(all: &[Arc<Resource>], names: &Names) -> Vec<Arc<Resource>> {
    let wanted = |r: &&Arc<Resource>| names.wildcard || names.listed.contains(r.name.as_ref());
    all.iter().filter(wanted).cloned().collect()
}

fn resource(kind: Kind, name: &str, message: &impl Message) -> Arc<Resource> {
    Arc::new(Resource::new(kind, name, message.encode_to_vec()))
}
