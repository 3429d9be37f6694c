//! `ClusterLoadAssignment`.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::envoy::core::{Address, HealthStatus, Metadata, SocketAddress, address};
use api::envoy::endpoint::cluster_load_assignment::Policy;
use api::envoy::endpoint::endpoint::{AdditionalAddress, HealthCheckConfig};
use api::envoy::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
    locality_lb_endpoints,
};
use api::envoy::protobuf::value::Kind;

use super::at::{At, Fault, decide};
use super::labels::{self, LB};
use super::value;
use crate::limits::{MAX_DNS_NAME, MAX_ENDPOINTS, MAX_OTHERS, MAX_PRIORITY};
use crate::snapshot::{self, Endpoints, Health, Labels, Locality, Subsets, TransportMatch};

/// The metadata that `transport_socket_matches` look at.
const TRANSPORT_MATCH: &str = "envoy.transport_socket_match";

/// What a host is hashed by, in the metadata of balancers.
const HASH_KEY: &str = "hash_key";

/// Envoy's default for `overprovisioning_factor`.
const OVERPROVISIONING: u32 = 140;

/// An assignment, before it is known which cluster's transports its hosts choose from.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// In the order of the configuration.
    pub(crate) hosts: Vec<Host>,
    localities: Vec<Locality>,
    overprovisioning_percent: u32,
    weighted_health: bool,
}

impl Default for Assignment {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            localities: Vec::new(),
            overprovisioning_percent: OVERPROVISIONING,
            weighted_health: false,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    place: Place,
    /// More addresses of it.
    others: Vec<SocketAddr>,
    hostname: Option<Arc<str>>,
    hash_key: Option<Arc<str>>,
    priority: u32,
    /// Index into the localities.
    locality: usize,
    weight: u32,
    health: Health,
    labels: Vec<(Box<str>, Box<str>)>,
    /// The metadata of balancers.
    balanced: Labels,
    check: CheckAt,
}

/// `HealthCheckConfig`: where and under what name a host is checked, if not as it is used.
#[derive(Clone, Debug, Default)]
struct CheckAt {
    address: Option<SocketAddr>,
    port: Option<u16>,
    hostname: Option<Arc<str>>,
    is_off: bool,
}

/// A host that is checked.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) host: SocketAddr,
    pub(crate) target: SocketAddr,
    pub(crate) hostname: Option<Arc<str>>,
    /// Index into the cluster's transport matches.
    pub(crate) transport: Option<usize>,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    At(SocketAddr),
    /// Wherever the name leads to.
    Named(Arc<str>, u16),
}

impl Place {
    fn addresses<'f, F: Fn(&Arc<str>) -> &'f [IpAddr]>(
        &self,
        found: &F,
    ) -> impl Iterator<Item = SocketAddr> + use<'f, F> {
        let (one, all, port) = match self {
            Self::At(address) => (Some(*address), [].as_slice(), 0),
            Self::Named(name, port) => (None, found(name), *port),
        };
        one.into_iter().chain(all.iter().map(move |ip| SocketAddr::new(*ip, port)))
    }
}

impl Assignment {
    /// The hosts with the first transport that each one's metadata fits. `found`: what a name
    /// stands for; `use_hostname`: hosts are hashed by their names.
    pub(crate) fn resolve<'f>(
        &self,
        matches: &[TransportMatch],
        subsets: Option<&Subsets>,
        use_hostname: bool,
        found: impl Fn(&Arc<str>) -> &'f [IpAddr],
    ) -> Endpoints {
        let mut endpoints = Vec::with_capacity(self.hosts.len());
        let mut seen = HashSet::new();
        for host in &self.hosts {
            let transport = matches
                .iter()
                .position(|one| one.criteria.iter().all(|wanted| host.labels.contains(wanted)));
            let kept = subsets.map(|subsets| Arc::new(kept(&host.balanced, subsets)));
            let others = (!host.others.is_empty()).then_some(&host.others);
            for address in host.place.addresses(&found) {
                // Two names may lead to one address: it is one host, as in Envoy.
                if seen.insert(address) {
                    let name = || host.hostname.as_ref().filter(|_| use_hostname).cloned();
                    endpoints.push(snapshot::Endpoint {
                        others: others.map(|others| in_turns(address, others)),
                        hostname: host.hostname.clone(),
                        weight: host.weight,
                        health: host.health,
                        configured: host.health,
                        priority: host.priority,
                        locality: u32::try_from(host.locality).unwrap_or(u32::MAX),
                        hash_key: host.hash_key.clone().or_else(name),
                        transport,
                        labels: kept.clone(),
                        ..snapshot::Endpoint::new(address)
                    });
                }
            }
        }
        endpoints.truncate(MAX_ENDPOINTS);
        Endpoints {
            version: 0,
            hosts: endpoints,
            localities: self.localities.clone(),
            overprovisioning_percent: self.overprovisioning_percent,
            weighted_health: self.weighted_health,
        }
    }

    /// The addresses of the hosts that are checked.
    pub(crate) fn checked_addresses<'a, 'f: 'a>(
        &'a self,
        found: impl Fn(&Arc<str>) -> &'f [IpAddr] + 'a,
    ) -> impl Iterator<Item = SocketAddr> + 'a {
        let hosts = self.hosts.iter().filter(|host| !host.check.is_off);
        hosts.flat_map(move |host| host.place.addresses(&found))
    }

    /// The hosts that are checked, and where. `criteria` choose the transport in place of each
    /// one's metadata.
    pub(crate) fn checked<'f>(
        &self,
        matches: &[TransportMatch],
        criteria: Option<&[(Box<str>, Box<str>)]>,
        found: impl Fn(&Arc<str>) -> &'f [IpAddr],
    ) -> Vec<Checked> {
        let mut checked = Vec::new();
        for host in self.hosts.iter().filter(|host| !host.check.is_off) {
            let labels = criteria.unwrap_or(&host.labels);
            let transport = matches
                .iter()
                .position(|one| one.criteria.iter().all(|wanted| labels.contains(wanted)));
            for address in host.place.addresses(&found) {
                let mut target = host.check.address.unwrap_or(address);
                if let Some(port) = host.check.port {
                    target.set_port(port);
                }
                let hostname = host.check.hostname.clone();
                checked.push(Checked { host: address, target, hostname, transport });
            }
        }
        checked
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
    let mut compiled = Assignment::default();
    if let Some(policy) = policy {
        let at = at.field("policy");
        decide!(at, policy => Policy {
            used: overprovisioning_factor, weighted_priority_health;
            refused: drop_overloads;
            without_effect: endpoint_stale_after;
        });
        compiled.weighted_health = *weighted_priority_health;
        compiled.overprovisioning_percent = match overprovisioning_factor {
            Some(factor) if factor.value == 0 => {
                return Err(at.field("overprovisioning_factor").invalid("at least 1"));
            }
            factor => value::u32_or(factor, OVERPROVISIONING),
        };
    }
    let at = at.field("endpoints");
    let all = endpoints.iter().map(|locality| locality.lb_endpoints.len()).sum();
    at.at_most(MAX_ENDPOINTS, all)?;
    compiled.hosts.reserve(all);
    let mut seen = HashSet::with_capacity(all);
    let names = names(endpoints);
    compiled.localities.resize(names.len(), Locality { weight: 0 });
    for (index, locality) in endpoints.iter().enumerate() {
        let place = names.get(&name(locality)).copied().unwrap_or_default();
        if let Some(entry) = compiled.localities.get_mut(place) {
            entry.weight = value::u32_or(&locality.load_balancing_weight, 0);
        }
        for host in self::locality(&at.item(index), locality, by_name)? {
            // An address that is there twice is one host, as in Envoy.
            if seen.insert(host.place.clone()) {
                compiled.hosts.push(Host { locality: place, ..host });
            }
        }
    }
    Ok(compiled)
}

/// A locality of one priority; Envoy's order among them is that of region, zone and the rest.
type Name<'a> = (u32, &'a str, &'a str, &'a str);

fn name(endpoints: &LocalityLbEndpoints) -> Name<'_> {
    let of = endpoints.locality.as_ref();
    let (region, zone, sub_zone) = of
        .map_or(("", "", ""), |locality| (&*locality.region, &*locality.zone, &*locality.sub_zone));
    (endpoints.priority, region, zone, sub_zone)
}

/// The localities in their order.
fn names(endpoints: &[LocalityLbEndpoints]) -> BTreeMap<Name<'_>, usize> {
    let mut names: BTreeMap<_, _> = endpoints.iter().map(|one| (name(one), 0)).collect();
    names.values_mut().zip(0..).for_each(|(place, at)| *place = at);
    names
}

fn locality(
    at: &At<'_>,
    endpoints: &LocalityLbEndpoints,
    by_name: bool,
) -> Result<Vec<Host>, Fault> {
    decide!(_, endpoints => LocalityLbEndpoints {
        used: lb_endpoints, priority, lb_config;
        used_elsewhere: locality, load_balancing_weight;
        without_effect: metadata, proximity;
    });
    if *priority > MAX_PRIORITY {
        return Err(at.field("priority").invalid(format!("at most {MAX_PRIORITY}")));
    }
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
    let each = lb_endpoints.iter().enumerate().map(|(index, endpoint)| {
        let host = host(&at.item(index), endpoint, by_name)?;
        Ok(Host { priority: *priority, ..host })
    });
    each.collect()
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
        used: address, hostname, health_check_config, additional_addresses;
        without_effect: observability_name;
    });
    let others = others(&at.field("additional_addresses"), additional_addresses)?;
    let check = health_check_config.as_ref();
    let check =
        check.map(|config| check_at(&at.field("health_check_config"), config)).transpose()?;
    let place = place(&at.field("address"), address, by_name)?;
    let given = (!hostname.is_empty()).then(|| Arc::from(hostname.as_str()));
    Ok(Host {
        hostname: given.or_else(|| match &place {
            Place::Named(name, _) => Some(Arc::clone(name)),
            Place::At(_) => None,
        }),
        hash_key: hash_key(metadata.as_ref()),
        others,
        priority: 0,
        locality: 0,
        place,
        weight,
        health,
        labels: transport_labels(metadata.as_ref()),
        balanced: labels::of_metadata(metadata.as_ref()),
        check: check.unwrap_or_default(),
    })
}

fn others(at: &At<'_>, list: &[AdditionalAddress]) -> Result<Vec<SocketAddr>, Fault> {
    at.at_most(MAX_OTHERS, list.len())?;
    let each = list.iter().enumerate().map(|(index, one)| {
        let at = at.item(index);
        decide!(_, one => AdditionalAddress {
            used: address;
        });
        value::socket(&at.field("address"), address)
    });
    each.collect()
}

fn check_at(at: &At<'_>, config: &HealthCheckConfig) -> Result<CheckAt, Fault> {
    decide!(at, config => HealthCheckConfig {
        used: port_value, hostname, address, disable_active_health_check;
    });
    let port = value::port(&at.field("port_value"), *port_value)?;
    let place = at.field("address");
    Ok(CheckAt {
        address: address.as_ref().map(|_| value::socket(&place, address)).transpose()?,
        port: (port != 0).then_some(port),
        hostname: (!hostname.is_empty()).then(|| hostname.as_str().into()),
        is_off: *disable_active_health_check,
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

fn hash_key(metadata: Option<&Metadata>) -> Option<Arc<str>> {
    let value = metadata?.filter_metadata.get(LB)?.fields.get(HASH_KEY)?;
    match &value.kind {
        Some(Kind::StringValue(text)) if !text.is_empty() => Some(text.as_str().into()),
        _ => None,
    }
}

/// The text values of the metadata that transports are matched with.
fn transport_labels(metadata: Option<&Metadata>) -> Vec<(Box<str>, Box<str>)> {
    let found = metadata.and_then(|metadata| metadata.filter_metadata.get(TRANSPORT_MATCH));
    let fields = found.into_iter().flat_map(|found| &found.fields);
    let text = fields.filter_map(|(key, value)| match &value.kind {
        Some(Kind::StringValue(text)) => Some((key.as_str().into(), text.as_str().into())),
        _ => None,
    });
    text.collect()
}

/// What the subsets of a cluster go by.
fn kept(labels: &Labels, subsets: &Subsets) -> Labels {
    let asked = |key: &str| {
        subsets.selectors.iter().any(|selector| selector.keys.iter().any(|asked| **asked == *key))
            || subsets.default.iter().any(|(asked, _)| **asked == *key)
    };
    labels.iter().filter(|(key, _)| asked(key)).cloned().collect()
}

/// The other addresses of a host in the order in which they are tried: those of the two families
/// take turns, as in Envoy (RFC 8305, 4).
pub(crate) fn in_turns(first: SocketAddr, others: &[SocketAddr]) -> Arc<[SocketAddr]> {
    let of =
        |alike: bool| others.iter().filter(move |one| (one.is_ipv4() == first.is_ipv4()) == alike);
    let (mut alike, mut unlike) = (of(true), of(false));
    let mut ordered = Vec::with_capacity(others.len());
    while ordered.len() < others.len() {
        ordered.extend(unlike.next());
        ordered.extend(alike.next());
    }
    ordered.retain(|one| *one != first);
    ordered.into()
}
