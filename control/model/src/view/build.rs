//! From objects to the view.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use source::kinds::core::{Pod, Service as ServiceSpec};
use source::{Object, Spec};

use super::{
    Config, EXPORT_TO, Identity, Model, Protocol, SIDECAR_STATUS, Service, ServicePort,
    TLS_MODE_LABEL, Workload, endpoints, warnings,
};
use crate::{Mesh, resolve_host};

/// The account of a pod that names none.
const DEFAULT_ACCOUNT: &str = "default";

/// The objects of each kind, oldest first.
#[derive(Default)]
pub(super) struct Sorted<'o> {
    pub(super) services: Vec<(&'o Object, &'o ServiceSpec)>,
    pub(super) slices: endpoints::Slices<'o>,
    pub(super) routes: Vec<&'o Object>,
    pub(super) rules: Vec<&'o Object>,
}

impl Model {
    /// Builds the view. The order of `objects` does not matter.
    pub fn build<'o>(mesh: &Mesh, objects: impl IntoIterator<Item = &'o Arc<Object>>) -> Self {
        let mut all: Vec<&Object> = objects.into_iter().map(|object| &**object).collect();
        all.sort_by(|a, b| age(a).cmp(&age(b)));
        let mut model = Self { mesh: mesh.clone(), ..Self::default() };
        let mut sorted = Sorted::default();
        for object in all {
            model.add(object, &mut sorted);
        }
        model.add_services(&sorted);
        model.warnings = warnings::find(&model, &sorted);
        model
    }

    fn add<'o>(&mut self, object: &'o Object, sorted: &mut Sorted<'o>) {
        let namespace = &object.meta.namespace;
        match &object.spec {
            Spec::Namespace(_) | Spec::ServiceAccount(_) => {}
            Spec::Service(spec) => sorted.services.push((object, spec)),
            Spec::EndpointSlice(slice) => sorted.slices.add(object, slice),
            Spec::Pod(pod) => self.add_pod(object, pod),
            Spec::VirtualService(spec) => {
                let mut spec = spec.clone();
                for host in &mut spec.hosts {
                    *host = resolve_host(&self.mesh, host, namespace);
                }
                self.routes.push(config(object, spec));
                sorted.routes.push(object);
            }
            Spec::DestinationRule(spec) => {
                let mut spec = spec.clone();
                spec.host = resolve_host(&self.mesh, &spec.host, namespace);
                self.rules.push(config(object, spec));
                sorted.rules.push(object);
            }
            Spec::PeerAuthentication(spec) => self.peers.push(config(object, spec.clone())),
            Spec::AuthorizationPolicy(spec) => self.policies.push(config(object, spec.clone())),
        }
    }

    fn add_pod(&mut self, object: &Object, pod: &Pod) {
        if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
            return;
        }
        let workload = Arc::new(workload(object, pod));
        // Pods in the host's network share its address and stand for none.
        let addresses = if pod.spec.host_network { &[] } else { workload.addresses.as_slice() };
        for address in addresses {
            self.by_address.entry(*address).or_insert_with(|| workload.clone());
        }
        let key = (object.meta.namespace.clone(), object.meta.name.clone());
        self.workloads.insert(key, workload);
    }

    fn add_services(&mut self, sorted: &Sorted<'_>) {
        for (object, spec) in &sorted.services {
            let service = self.service(object, spec, &sorted.slices);
            self.services.insert(service.hostname.clone(), Arc::new(service));
        }
    }

    fn service(
        &self,
        object: &Object,
        spec: &ServiceSpec,
        slices: &endpoints::Slices<'_>,
    ) -> Service {
        let meta = &object.meta;
        let tcp = spec.ports.iter().filter(|port| port.protocol == source::kinds::core::L4::Tcp);
        let ports = tcp.map(|port| ServicePort {
            number: port.port,
            name: port.name.clone(),
            protocol: Protocol::select(port.app_protocol.as_deref(), &port.name, port.port),
            endpoints: endpoints::of(self, meta, spec, port, slices),
        });
        let export_to = meta.annotations.get(EXPORT_TO).map_or("", String::as_str);
        let namespaces = export_to.split(',').map(str::trim).filter(|name| !name.is_empty());
        Service {
            hostname: self.mesh.hostname(&meta.name, &meta.namespace),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            created: meta.creation_timestamp.clone().unwrap_or_default(),
            addresses: addresses(spec),
            ports: ports.collect(),
            export_to: namespaces.map(str::to_owned).collect(),
        }
    }
}

/// Oldest first; what has no time comes after what has one; then by namespace and name.
fn age(object: &Object) -> (bool, &str, &str, &str) {
    let created = object.meta.creation_timestamp.as_deref();
    let (namespace, name) = (&object.meta.namespace, &object.meta.name);
    (created.is_none(), created.unwrap_or_default(), namespace, name)
}

fn config<T>(object: &Object, spec: T) -> Config<T> {
    let (namespace, name) = (object.meta.namespace.clone(), object.meta.name.clone());
    Config { namespace, name, spec }
}

fn addresses(spec: &ServiceSpec) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for text in std::iter::once(&spec.cluster_ip).chain(&spec.cluster_ips) {
        if let Ok(address) = text.parse()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

fn workload(object: &Object, pod: &Pod) -> Workload {
    let meta = &object.meta;
    let mut addresses: Vec<IpAddr> = pod.status.pod_ip.into_iter().collect();
    for entry in &pod.status.pod_ips {
        if !addresses.contains(&entry.ip) {
            addresses.push(entry.ip);
        }
    }
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    let account = [&pod.spec.service_account_name, &pod.spec.service_account];
    let account = account.into_iter().find(|name| !name.is_empty());
    Workload {
        name: meta.name.clone(),
        identity: Identity {
            namespace: meta.namespace.clone(),
            service_account: account.map_or(DEFAULT_ACCOUNT, String::as_str).to_owned(),
        },
        labels: meta.labels.clone(),
        addresses,
        in_mesh: in_mesh(&meta.labels, &meta.annotations),
        ready: ready.is_none_or(|condition| condition.status == "True")
            && meta.deletion_timestamp.is_none(),
        ports: named_ports(pod),
    }
}

/// The injector's label says it; a pod that it did not label but marked as injected counts too.
fn in_mesh(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> bool {
    labels.get(TLS_MODE_LABEL).map_or_else(
        || annotations.get(SIDECAR_STATUS).is_some_and(|status| !status.is_empty()),
        |mode| mode == "istio",
    )
}

fn named_ports(pod: &Pod) -> BTreeMap<String, u16> {
    let mut ports = BTreeMap::new();
    for port in pod.spec.containers.iter().flat_map(|container| &container.ports) {
        if !port.name.is_empty() {
            ports.entry(port.name.clone()).or_insert(port.container_port);
        }
    }
    ports
}
