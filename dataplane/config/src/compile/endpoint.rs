//! `ClusterLoadAssignment`.

use std::collections::HashSet;
use std::net::SocketAddr;

use api::envoy::core::{HealthStatus, Metadata};
use api::envoy::endpoint::cluster_load_assignment::Policy;
use api::envoy::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
    locality_lb_endpoints,
};
use api::envoy::protobuf::value::Kind;

use super::at::{At, Fault, decide};
use super::value;
use crate::limits::MAX_ENDPOINTS;
use crate::snapshot::{self, Health, TransportMatch};

/// The metadata that `transport_socket_matches` look at.
const TRANSPORT_MATCH: &str = "envoy.transport_socket_match";

/// An assignment, before it is known which cluster's transports its hosts choose from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assignment {
    /// The hosts of the priority that is used.
    pub(crate) hosts: Vec<Host>,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    address: SocketAddr,
    weight: u32,
    health: Health,
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Assignment {
    /// The hosts with the first transport that each one's metadata fits.
    pub(crate) fn resolve(&self, matches: &[TransportMatch]) -> Vec<snapshot::Endpoint> {
        let hosts = self.hosts.iter().map(|host| snapshot::Endpoint {
            address: host.address,
            weight: host.weight,
            health: host.health,
            transport: matches
                .iter()
                .position(|one| one.criteria.iter().all(|wanted| host.labels.contains(wanted))),
        });
        hosts.collect()
    }
}

pub(crate) fn compile(
    at: &At<'_>,
    assignment: &ClusterLoadAssignment,
) -> Result<Assignment, Fault> {
    decide!(at, assignment => ClusterLoadAssignment {
        used: endpoints, policy;
        refused: named_endpoints;
        without_effect: cluster_name;
    });
    if let Some(policy) = policy {
        let at = at.field("policy");
        decide!(at, policy => Policy {
            refused: drop_overloads;
            without_effect: overprovisioning_factor, endpoint_stale_after,
                weighted_priority_health;
        });
    }
    let at = at.field("endpoints");
    let all = endpoints.iter().map(|locality| locality.lb_endpoints.len()).sum();
    at.at_most(MAX_ENDPOINTS, all)?;
    let mut hosts = Vec::with_capacity(all);
    let mut seen = HashSet::with_capacity(all);
    for (index, locality) in endpoints.iter().enumerate() {
        self::locality(&at.item(index), locality, &mut hosts, &mut seen)?;
    }
    Ok(Assignment { hosts: used(hosts) })
}

/// The hosts of the first priority with a healthy host, else of the first with a degraded one, else
/// of the first with any.
fn used(hosts: Vec<(u32, Host)>) -> Vec<Host> {
    let first = |health| {
        let of = hosts.iter().filter(|(_, host)| host.health == health);
        of.map(|(priority, _)| *priority).min()
    };
    let ranks = [Health::Healthy, Health::Degraded, Health::Unhealthy];
    let Some(priority) = ranks.into_iter().find_map(first) else { return Vec::new() };
    hosts.into_iter().filter(|(p, _)| *p == priority).map(|(_, host)| host).collect()
}

fn locality(
    at: &At<'_>,
    endpoints: &LocalityLbEndpoints,
    hosts: &mut Vec<(u32, Host)>,
    seen: &mut HashSet<SocketAddr>,
) -> Result<(), Fault> {
    decide!(_, endpoints => LocalityLbEndpoints {
        used: lb_endpoints, priority, lb_config;
        without_effect: locality, metadata, load_balancing_weight, proximity;
    });
    #[allow(deprecated)]
    let refused = match lb_config {
        None => None,
        Some(locality_lb_endpoints::LbConfig::LoadBalancerEndpoints(_)) => {
            Some("load_balancer_endpoints")
        }
        Some(locality_lb_endpoints::LbConfig::LedsClusterLocalityConfig(_)) => {
            Some("leds_cluster_locality_config")
        }
    };
    if let Some(field) = refused {
        return Err(at.field(field).unsupported("this field is not supported"));
    }
    let at = at.field("lb_endpoints");
    for (index, endpoint) in lb_endpoints.iter().enumerate() {
        let host = host(&at.item(index), endpoint)?;
        // An address that is there twice is one host, as in Envoy.
        if seen.insert(host.address) {
            hosts.push((*priority, host));
        }
    }
    Ok(())
}

fn host(at: &At<'_>, endpoint: &LbEndpoint) -> Result<Host, Fault> {
    decide!(at, endpoint => LbEndpoint {
        used: health_status, metadata, load_balancing_weight, host_identifier;
    });
    let weight = value::u32_or(load_balancing_weight, 1);
    if weight == 0 {
        return Err(at.field("load_balancing_weight").invalid("at least 1"));
    }
    let health = match value::enumeration(&at.field("health_status"), *health_status)? {
        HealthStatus::Unknown | HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Degraded => Health::Degraded,
        HealthStatus::Unhealthy | HealthStatus::Draining | HealthStatus::Timeout => {
            Health::Unhealthy
        }
    };
    let Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)) = host_identifier else {
        return Err(at.missing("`endpoint` has to be given"));
    };
    let at = at.field("endpoint");
    decide!(_, endpoint => Endpoint {
        used: address;
        without_effect: health_check_config, hostname, additional_addresses, observability_name;
    });
    Ok(Host {
        address: value::socket(&at.field("address"), address)?,
        weight,
        health,
        labels: labels(metadata.as_ref()),
    })
}

/// The text values of the metadata that transports are matched with.
fn labels(metadata: Option<&Metadata>) -> Vec<(Box<str>, Box<str>)> {
    let found = metadata.and_then(|metadata| metadata.filter_metadata.get(TRANSPORT_MATCH));
    let fields = found.into_iter().flat_map(|found| &found.fields);
    let text = fields.filter_map(|(key, value)| match &value.kind {
        Some(Kind::StringValue(text)) => Some((key.as_str().into(), text.as_str().into())),
        _ => None,
    });
    text.collect()
}
