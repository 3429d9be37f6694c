//! What is to change: resources by type, out of a file or a discovery response.

use api::envoy::Any;
use api::envoy::cluster::Cluster;
use api::envoy::discovery::Resource;
use api::envoy::endpoint::ClusterLoadAssignment;
use api::envoy::listener::Listener;
use api::envoy::route::RouteConfiguration;
use api::envoy::tls::Secret;
use prost::{Message, Name};

use crate::compile::scope::{Fingerprint, fingerprint};
use crate::dns::Resolver;
use crate::refused::{Code, Kind, Refused};

/// Where resources come from. What stands in the file is not changed or removed from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The bootstrap file.
    File,
    /// The control plane.
    #[default]
    Control,
}

/// A set of changes that are applied together.
#[derive(Debug, Default)]
pub struct Update {
    /// Who says so.
    pub origin: Origin,
    /// CDS.
    pub clusters: Change<Cluster>,
    /// EDS.
    pub endpoints: Change<ClusterLoadAssignment>,
    /// LDS.
    pub listeners: Change<Listener>,
    /// RDS.
    pub routes: Change<RouteConfiguration>,
    /// SDS.
    pub secrets: Change<Secret>,
    /// What looks up names where a cluster does not say (the bootstrap's
    /// `typed_dns_resolver_config`).
    pub resolver: Option<Resolver>,
    /// What the proxy's own service is called (the bootstrap's `node.cluster`).
    pub service_cluster: Option<String>,
}

/// The changes of one type.
#[derive(Debug)]
pub struct Change<M> {
    pub(crate) set: Vec<(M, Fingerprint)>,
    /// Names that are gone. Of routes, endpoints and secrets the last good version stays for as
    /// long as something refers to it, as in Envoy.
    pub removed: Vec<String>,
    /// `set` is all there is: what is not in it is gone. Meant for clusters and listeners.
    pub whole: bool,
}

impl<M> Default for Change<M> {
    fn default() -> Self {
        Self { set: Vec::new(), removed: Vec::new(), whole: false }
    }
}

impl<M: Message + Name + Default> Change<M> {
    /// Adds or replaces a resource.
    pub fn push(&mut self, message: M) {
        let print = fingerprint(&message.encode_to_vec());
        self.set.push((message, print));
    }

    /// Nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty() && !self.whole
    }

    fn take(&mut self, any: &Any) -> Result<(), String> {
        let message = api::unpack(any).map_err(|error| error.to_string())?;
        self.set.push((message, fingerprint(&any.value)));
        Ok(())
    }
}

impl Update {
    /// A `DiscoveryResponse`: for clusters and listeners all there are, for the others a part.
    /// A resource that cannot be decoded is reported, and then nothing is taken to be gone.
    pub fn state_of_the_world(type_url: &str, resources: &[Any]) -> (Self, Vec<Refused>) {
        let (mut update, mut refused) = (Self::default(), Vec::new());
        for (index, any) in resources.iter().enumerate() {
            let name = format!("resources[{index}]");
            // A resource may come in the wrapper that the delta protocol uses.
            let inner = api::unpack::<Resource>(any).ok().and_then(|wrapper| wrapper.resource);
            refused.extend(update.take(type_url, inner.as_ref().unwrap_or(any), name).err());
        }
        let whole = refused.is_empty();
        update.clusters.whole = whole && type_url == api::any::CLUSTER;
        update.listeners.whole = whole && type_url == api::any::LISTENER;
        (update, refused)
    }

    /// A `DeltaDiscoveryResponse`.
    pub fn delta(
        type_url: &str,
        resources: &[Resource],
        removed: &[String],
    ) -> (Self, Vec<Refused>) {
        let (mut update, mut refused) = (Self::default(), Vec::new());
        for resource in resources {
            let name = resource.name.clone();
            match &resource.resource {
                Some(any) => refused.extend(update.take(type_url, any, name).err()),
                None => refused.push(malformed(type_url, name, "it has no content".to_owned())),
            }
        }
        let list = match kind(type_url) {
            Kind::Cluster => &mut update.clusters.removed,
            Kind::Endpoints => &mut update.endpoints.removed,
            Kind::Listener => &mut update.listeners.removed,
            Kind::Routes => &mut update.routes.removed,
            Kind::Secret => &mut update.secrets.removed,
            Kind::Bootstrap | Kind::Other => return (update, refused),
        };
        list.extend_from_slice(removed);
        (update, refused)
    }

    /// Nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
            && self.endpoints.is_empty()
            && self.listeners.is_empty()
            && self.routes.is_empty()
            && self.secrets.is_empty()
    }

    fn take(&mut self, type_url: &str, any: &Any, name: String) -> Result<(), Refused> {
        let taken = match kind(type_url) {
            Kind::Cluster => self.clusters.take(any),
            Kind::Endpoints => self.endpoints.take(any),
            Kind::Listener => self.listeners.take(any),
            Kind::Routes => self.routes.take(any),
            Kind::Secret => self.secrets.take(any),
            Kind::Bootstrap | Kind::Other => Err(format!("`{type_url}` was not asked for")),
        };
        taken.map_err(|reason| malformed(type_url, name, reason))
    }
}

/// The kind of resource behind a type URL.
fn kind(type_url: &str) -> Kind {
    match type_url {
        api::any::CLUSTER => Kind::Cluster,
        api::any::ENDPOINTS => Kind::Endpoints,
        api::any::LISTENER => Kind::Listener,
        api::any::ROUTES => Kind::Routes,
        api::any::SECRET => Kind::Secret,
        _ => Kind::Other,
    }
}

fn malformed(type_url: &str, name: String, reason: String) -> Refused {
    Refused { kind: kind(type_url), name, field: String::new(), code: Code::Malformed, reason }
}
