//! Where the ports of a service lead: by its slices, or else by its selector.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use source::kinds::core::{EndpointSlice, L4, Service, ServicePort, SliceEndpoint};
use source::kinds::value::PortRef;
use source::{Metadata, Object};

use super::{Endpoint, Model, MtlsMode, Workload, selects};

/// The label by which a slice names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Slices by namespace and service.
#[derive(Default)]
pub(super) struct Slices<'o>(BTreeMap<(&'o str, &'o str), Vec<&'o EndpointSlice>>);

impl<'o> Slices<'o> {
    pub(super) fn add(&mut self, object: &'o Object, slice: &'o EndpointSlice) {
        if let Some(service) = object.meta.labels.get(SERVICE_NAME) {
            let key = (object.meta.namespace.as_str(), service.as_str());
            self.0.entry(key).or_default().push(slice);
        }
    }
}

/// The endpoints of one port, sorted by address, each address once.
pub(super) fn of(
    model: &Model,
    meta: &Metadata,
    service: &Service,
    port: &ServicePort,
    slices: &Slices<'_>,
) -> Vec<Endpoint> {
    let found = slices.0.get(&(meta.namespace.as_str(), meta.name.as_str()));
    let mut all = match found {
        Some(slices) => from_slices(model, meta, service, port, slices),
        None => from_pods(model, meta, service, port),
    };
    all.sort_by_key(|endpoint| endpoint.address);
    all.dedup_by_key(|endpoint| endpoint.address);
    all
}

fn from_slices(
    model: &Model,
    meta: &Metadata,
    service: &Service,
    port: &ServicePort,
    slices: &[&EndpointSlice],
) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for slice in slices {
        let named = slice.ports.iter().find(|p| p.name == port.name && p.protocol == L4::Tcp);
        let Some(target) = named.map(|port| port.port) else { continue };
        for endpoint in &slice.endpoints {
            if endpoint.conditions.terminating == Some(true) {
                continue;
            }
            let ready = endpoint.conditions.ready != Some(false);
            let addresses = endpoint.addresses.iter().filter_map(|text| text.parse().ok());
            for address in addresses {
                let workload = pod_of(model, meta, endpoint, address);
                let ready = ready || service.publish_not_ready_addresses;
                found.push(endpoint_of(model, SocketAddr::new(address, target), ready, workload));
            }
        }
    }
    found
}

/// The pod that a slice names, or else the one that has the address.
fn pod_of(
    model: &Model,
    meta: &Metadata,
    endpoint: &SliceEndpoint,
    address: IpAddr,
) -> Option<Arc<Workload>> {
    let reference = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
    let named = reference.and_then(|target| {
        let namespace = Some(&target.namespace).filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or(&meta.namespace).clone();
        model.workloads.get(&(namespace, target.name.clone()))
    });
    named.or_else(|| model.workload_at(address)).cloned()
}

fn from_pods(
    model: &Model,
    meta: &Metadata,
    service: &Service,
    port: &ServicePort,
) -> Vec<Endpoint> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let all = model.workloads.range((meta.namespace.clone(), String::new())..);
    let own = all.take_while(|((namespace, _), _)| *namespace == meta.namespace);
    let mut found = Vec::new();
    for (_, pod) in own.filter(|(_, pod)| selects(&service.selector, &pod.labels)) {
        let target = match &port.target_port {
            None => Some(port.port),
            Some(PortRef::Number(number)) => Some(*number),
            Some(PortRef::Name(name)) => pod.ports.get(name).copied(),
        };
        let (Some(target), Some(address)) = (target, pod.addresses.first()) else { continue };
        let ready = pod.ready || service.publish_not_ready_addresses;
        let address = SocketAddr::new(*address, target);
        found.push(endpoint_of(model, address, ready, Some(pod.clone())));
    }
    found
}

fn endpoint_of(
    model: &Model,
    address: SocketAddr,
    ready: bool,
    workload: Option<Arc<Workload>>,
) -> Endpoint {
    let mutual_tls = workload.as_ref().is_some_and(|pod| {
        let mode = model.mtls_mode(&pod.identity.namespace, &pod.labels, Some(address.port()));
        pod.in_mesh && mode != MtlsMode::Disable
    });
    Endpoint { address, ready, workload, mutual_tls }
}
