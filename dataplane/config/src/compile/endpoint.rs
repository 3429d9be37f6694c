//! `ClusterLoadAssignment`.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::envoy::core::{Address, HealthStatus, Metadata, SocketAddress, address};
use api::envoy::endpoint::cluster_load_assignment::Policy;
use api::envoy::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
    locality_lb_endpoints,
};
use api::envoy::protobuf::value::Kind;

use super::at::{At, Fault, decide};
use super::value;
use crate::limits::{MAX_DNS_NAME, MAX_ENDPOINTS};
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
    place: Place,
    hostname: Option<Arc<str>>,
    weight: u32,
    health: Health,
    labels: Vec<(Box<str>, Box<str>)>,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    At(SocketAddr),
    /// Wherever the name leads to.
    Named(Arc<str>, u16),
}

impl Place {
    fn addresses<'f>(
        &self,
        found: &impl Fn(&Arc<str>) -> &'f [IpAddr],
    ) -> impl Iterator<Item = SocketAddr> {
        let (one, all, port) = match self {
            Self::At(address) => (Some(*address), [].as_slice(), 0),
            Self::Named(name, port) => (None, found(name), *port),
        };
        one.into_iter().chain(all.iter().map(move |ip| SocketAddr::new(*ip, port)))
    }
}

impl Assignment {
    /// The hosts with the first transport that each one's metadata fits. `found`: what a name
    /// stands for.
    pub(crate) fn resolve<'f>(
        &self,
        matches: &[TransportMatch],
        found: impl Fn(&Arc<str>) -> &'f [IpAddr],
    ) -> Vec<snapshot::Endpoint> {
        let mut endpoints = Vec::with_capacity(self.hosts.len());
        let mut seen = HashSet::new();
        for host in &self.hosts {
            let transport = matches
                .iter()
                .position(|one| one.criteria.iter().all(|wanted| host.labels.contains(wanted)));
            for address in host.place.addresses(&found) {
                // Two names may lead to one address: it is one host, as in Envoy.
                if seen.insert(address) {
                    endpoints.push(snapshot::Endpoint {
                        address,
                        hostname: host.hostname.clone(),
                        weight: host.weight,
                        health: host.health,
                        transport,
                    });
                }
            }
        }
        endpoints.truncate(MAX_ENDPOINTS);
        endpoints
    }

    /// The names that have to be looked up, some perhaps more than once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.hosts.iter().filter_map(|host| match &host.place {
            Place::Named(name, _) => Some(name),
            Place::At(_) => None,
        })
    }
}

/// `by_name`: hosts may be named, and are looked up.
pub(crate) fn compile(
    at: &At<'_>,
    assignment: &ClusterLoadAssignment,
    by_name: bool,
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
        self::locality(&at.item(index), locality, by_name, &mut hosts, &mut seen)?;
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
    by_name: bool,
    hosts: &mut Vec<(u32, Host)>,
    seen: &mut HashSet<Place>,
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
        let host = host(&at.item(index), endpoint, by_name)?;
        // An address that is there twice is one host, as in Envoy.
        if seen.insert(host.place.clone()) {
            hosts.push((*priority, host));
        }
    }
    Ok(())
}

fn host(at: &At<'_>, endpoint: &LbEndpoint, by_name: bool) -> Result<Host, Fault> {
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
        used: address, hostname;
        without_effect: health_check_config, additional_addresses, observability_name;
    });
    let place = place(&at.field("address"), address, by_name)?;
    let given = (!hostname.is_empty()).then(|| Arc::from(hostname.as_str()));
    Ok(Host {
        hostname: given.or_else(|| match &place {
            Place::Named(name, _) => Some(Arc::clone(name)),
            Place::At(_) => None,
        }),
        place,
        weight,
        health,
        labels: labels(metadata.as_ref()),
    })
}

fn place(at: &At<'_>, address: &Option<Address>, by_name: bool) -> Result<Place, Fault> {
    let named = match address.as_ref().and_then(|address| address.address.as_ref()) {
        Some(address::Address::SocketAddress(named)) if by_name => named,
        _ => return value::socket(at, address).map(Place::At),
    };
    let at = at.field("socket_address");
    if named.address.parse::<IpAddr>().is_ok() {
        return value::socket_address(&at, named).map(Place::At);
    }
    let at_name = at.field("address");
    at_name.at_most(MAX_DNS_NAME, named.address.len())?;
    if named.address.is_empty() || !named.address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(at_name.invalid("a name or an IP address has to be given"));
    }
    // What else the address may say is judged with an address in the name's place.
    let port = SocketAddress { address: "0.0.0.0".to_owned(), ..named.clone() };
    let port = value::socket_address(&at, &port)?.port();
    Ok(Place::Named(named.address.as_str().into(), port))
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
