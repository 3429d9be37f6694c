//! EDS.

use api::envoy::core::{HealthStatus, Metadata};
use api::envoy::endpoint::lb_endpoint::HostIdentifier;
use api::envoy::endpoint::{
    ClusterLoadAssignment, Endpoint as EnvoyEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use api::envoy::protobuf::{Struct, Value, value::Kind};
use api::names::{ClusterName, Direction};
use model::{Endpoint, Model};

use crate::Key;
use crate::parts::{address, number};

/// The key of endpoint metadata by which a cluster chooses a transport.
const TRANSPORT_MATCH: &str = "envoy.transport_socket_match";

/// The endpoints of one cluster by name. A name that stands for nothing has none.
pub fn endpoints(model: &Model, key: &Key, name: &str) -> ClusterLoadAssignment {
    let ready = name.parse().ok().and_then(|name| ready(model, key, &name)).unwrap_or_default();
    let locality = LocalityLbEndpoints {
        lb_endpoints: ready.into_iter().map(endpoint).collect(),
        ..LocalityLbEndpoints::default()
    };
    let endpoints = if locality.lb_endpoints.is_empty() { vec![] } else { vec![locality] };
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints,
        ..ClusterLoadAssignment::default()
    }
}

/// Those that may be sent requests, if the proxy sees the service and the subset exists.
fn ready<'m>(model: &'m Model, key: &Key, name: &ClusterName) -> Option<Vec<&'m Endpoint>> {
    if name.direction != Direction::Outbound {
        return None;
    }
    let service = model.services.get(&name.host)?;
    if !service.is_visible_to(&key.namespace) {
        return None;
    }
    let port = service.port(name.port)?;
    let ready = port.endpoints.iter().filter(|endpoint| endpoint.ready);
    if name.subset.is_empty() {
        return Some(ready.collect());
    }
    let destinations = model.destinations(service, &key.namespace);
    let subset = destinations.subsets.iter().find(|subset| subset.name == name.subset)?;
    Some(ready.filter(|endpoint| endpoint.has(&subset.labels)).collect())
}

fn endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let host = EnvoyEndpoint { address: address(endpoint.address), ..EnvoyEndpoint::default() };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(host)),
        health_status: HealthStatus::Healthy as i32,
        load_balancing_weight: number(1),
        metadata: endpoint.mutual_tls.then(|| Metadata {
            filter_metadata: [(TRANSPORT_MATCH.to_owned(), tls_mode())].into(),
            ..Metadata::default()
        }),
    }
}

/// `{tlsMode: istio}`
pub(crate) fn tls_mode() -> Struct {
    let value = Value { kind: Some(Kind::StringValue("istio".to_owned())) };
    Struct { fields: [("tlsMode".to_owned(), value)].into() }
}
