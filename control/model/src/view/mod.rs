//! One immutable view of all objects.

mod build;
mod endpoints;
mod protocol;
mod traffic;
mod trust;
mod warnings;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use source::kinds::networking::{DestinationRule, VirtualService};
use source::kinds::security::{AuthorizationPolicy, PeerAuthentication};

pub use protocol::Protocol;
pub use source::kinds::security::MtlsMode;
pub use traffic::{Destinations, RoutedHost};

use crate::{Diagnostic, Mesh, is_visible};

/// The label by which the sidecar injector marks a pod that has a sidecar.
pub const TLS_MODE_LABEL: &str = "security.istio.io/tlsMode";
/// The annotation that the injector leaves.
pub const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
/// Limits who sees a Service.
pub const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// Services, workloads, routes, rules and policies.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// What is the same for all.
    pub mesh: Mesh,
    /// By full host name.
    pub services: BTreeMap<String, Arc<Service>>,
    /// Pods, by namespace and name.
    pub workloads: BTreeMap<(String, String), Arc<Workload>>,
    /// What is in force but will hardly do what was meant.
    pub warnings: Vec<Diagnostic>,
    /// By address.
    by_address: BTreeMap<IpAddr, Arc<Workload>>,
    /// Oldest first; hosts are full names.
    routes: Vec<Config<VirtualService>>,
    /// Oldest first; the host is a full name.
    rules: Vec<Config<DestinationRule>>,
    /// Oldest first.
    peers: Vec<Config<PeerAuthentication>>,
    /// Oldest first.
    policies: Vec<Config<AuthorizationPolicy>>,
}

/// One object of Istio's, with what its merge rules need.
#[derive(Clone, Debug, PartialEq)]
pub struct Config<T> {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub spec: T,
}

/// Who a workload is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Its namespace and account.
    pub identity: Identity,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses, as Kubernetes lists them.
    pub addresses: Vec<IpAddr>,
    /// A sidecar stands before it, so mutual TLS can be spoken to it.
    pub in_mesh: bool,
    /// It may be sent requests.
    pub ready: bool,
    /// Named ports of its containers.
    pub ports: BTreeMap<String, u16>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `reviews.default.svc.cluster.local`
    pub hostname: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// When it was made; later ones yield to earlier ones. Empty: unknown, and latest of all.
    pub created: String,
    /// Its virtual addresses; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Its ports, as they are written. UDP ports are left out.
    pub ports: Vec<ServicePort>,
    /// Who sees it (`*`, `.`, `~` or namespaces; empty: all).
    pub export_to: Vec<String>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    /// The number that clients use.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Where it leads, sorted by address.
    pub endpoints: Vec<Endpoint>,
}

/// A place that serves a port.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its address and the port of the application.
    pub address: SocketAddr,
    /// It may be sent requests.
    pub ready: bool,
    /// The pod behind it, if there is one.
    pub workload: Option<Arc<Workload>>,
    /// Mutual TLS is spoken to it.
    pub mutual_tls: bool,
}

impl Service {
    /// It has no address of its own.
    pub fn is_headless(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// `viewer` sees it.
    pub fn is_visible_to(&self, viewer: &str) -> bool {
        is_visible(&self.export_to, &self.namespace, viewer)
    }

    /// Who may answer for it, sorted.
    pub fn identities(&self) -> Vec<&Identity> {
        let all = self.ports.iter().flat_map(|port| &port.endpoints);
        let mut found: Vec<_> =
            all.filter_map(|end| end.workload.as_ref()).map(|pod| &pod.identity).collect();
        found.sort();
        found.dedup();
        found
    }
}

impl Endpoint {
    /// It has all of these labels.
    pub fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.is_empty()
            || self.workload.as_ref().is_some_and(|workload| selects(labels, &workload.labels))
    }
}

impl Model {
    /// The workload with this address.
    pub fn workload_at(&self, address: IpAddr) -> Option<&Arc<Workload>> {
        self.by_address.get(&address)
    }

    /// What these addresses serve: service, its port and the application's port; oldest service
    /// first.
    pub fn served_at(&self, addresses: &[IpAddr]) -> Vec<(&Service, &ServicePort, u16)> {
        let mut found = Vec::new();
        for service in self.services.values() {
            for port in &service.ports {
                let own = |end: &&Endpoint| addresses.contains(&end.address.ip());
                let mut targets: Vec<u16> =
                    port.endpoints.iter().filter(own).map(|end| end.address.port()).collect();
                targets.sort_unstable();
                targets.dedup();
                found.extend(targets.into_iter().map(|target| (&**service, port, target)));
            }
        }
        found.sort_by(|a, b| older(a.0).cmp(&older(b.0)).then(a.1.number.cmp(&b.1.number)));
        found
    }

    /// The services that a namespace sees, by host name.
    pub fn visible_services<'m>(
        &'m self,
        viewer: &'m str,
    ) -> impl Iterator<Item = &'m Arc<Service>> + 'm {
        self.services.values().filter(move |service| service.is_visible_to(viewer))
    }
}

/// Sorts older services first.
fn older(service: &Service) -> (bool, &str, &str, &str) {
    let created = service.created.as_str();
    (created.is_empty(), created, &service.namespace, &service.name)
}

/// All of `wanted` are among `labels`.
pub fn selects(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
