//! RDS, and the routes that inbound listeners hold themselves.

mod action;
mod matches;

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::envoy::route::{Route, RouteConfiguration, RouteMatch, VirtualHost};
use api::envoy::route::{route::Action, route_match::PathSpecifier};
use api::names::{self, ClusterName};
use model::kinds::networking::{HttpRoute, VirtualService};
use model::{Config, Model, Protocol, Service};

use crate::parts::{flag, number};
use crate::{Key, balance};

/// Bodies of direct responses may be so long.
const DIRECT_BODY_BYTES_MAX: u32 = 1 << 20;

/// The routes of one name: a port (`9080`), or host and port for ports of unknown protocol. A name
/// that stands for nothing has no hosts.
pub fn routes(model: &Model, key: &Key, name: &str) -> RouteConfiguration {
    let hosts = match name.split_once(':') {
        Some((host, port)) => port.parse().ok().map(|port| for_service(model, key, host, port)),
        None => name.parse().ok().map(|port| for_port(model, key, port)),
    };
    let mut all = configuration(name, hosts.unwrap_or_default());
    all.validate_clusters = flag(false);
    all.ignore_port_in_host_matching = true;
    all.max_direct_response_body_size_bytes = number(DIRECT_BODY_BYTES_MAX);
    all
}

fn configuration(name: &str, virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration { name: name.to_owned(), virtual_hosts, ..RouteConfiguration::default() }
}

/// To the own application: all to one place, tried again only if nothing was sent.
pub(crate) fn inbound(cluster: &str, port: u16, grpc: bool) -> RouteConfiguration {
    let mut forward = action::to_cluster(cluster);
    forward.retry_policy = (!grpc).then(action::inbound_retry);
    let route = route("default", everything(), Action::Route(forward));
    let host = VirtualHost {
        name: format!("inbound|http|{port}"),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..VirtualHost::default()
    };
    let mut all = configuration(cluster, vec![host]);
    all.validate_clusters = flag(false);
    all
}

/// What a port's listener serves: every service that speaks HTTP there, every other host that a
/// `VirtualService` rules, and the rest of the world.
fn for_port(model: &Model, key: &Key, port: u16) -> Vec<VirtualHost> {
    let mut hosts = Hosts { model, key, port, taken: BTreeSet::new(), found: Vec::new() };
    for service in model.visible_services(&key.namespace) {
        if service.port(port).is_some_and(|port| port.protocol.is_http()) {
            hosts.service(service);
        }
    }
    if hosts.found.is_empty() {
        return Vec::new();
    }
    for ruled in model.routed_hosts(&key.namespace) {
        hosts.add(ruled.host, vec![ruled.host.to_owned()], hosts.ruled(ruled.config));
    }
    hosts.rest();
    hosts.found
}

/// What the listener of one service's port of unknown protocol serves.
fn for_service(model: &Model, key: &Key, host: &str, port: u16) -> Vec<VirtualHost> {
    let mut hosts = Hosts { model, key, port, taken: BTreeSet::new(), found: Vec::new() };
    let service = model.services.get(host).filter(|s| s.is_visible_to(&key.namespace));
    let Some(service) = service else { return Vec::new() };
    if service.port(port).is_none_or(|port| port.protocol != Protocol::Auto) {
        return Vec::new();
    }
    let routes = hosts.service_routes(service);
    // The address says which service it is, so the host name does not matter.
    hosts.add(host, vec!["*".to_owned()], routes);
    hosts.found
}

/// The virtual hosts of one table. A domain belongs to the first that claims it.
struct Hosts<'m> {
    model: &'m Model,
    key: &'m Key,
    port: u16,
    taken: BTreeSet<String>,
    found: Vec<VirtualHost>,
}

impl Hosts<'_> {
    fn service(&mut self, service: &Service) {
        let routes = self.service_routes(service);
        self.add(&service.hostname, domains(service, &self.key.namespace), routes);
    }

    fn service_routes(&self, service: &Service) -> Vec<Route> {
        if let Some(config) = self.model.routes_for(&service.hostname, &self.key.namespace) {
            return self.ruled(config);
        }
        let cluster = ClusterName::outbound(self.port, "", &service.hostname).to_string();
        let mut forward = action::to_cluster(&cluster);
        forward.retry_policy = Some(action::default_retry());
        let viewer = &self.key.namespace;
        forward.hash_policy.extend(balance::hash_of(self.model, viewer, &service.hostname, ""));
        action::keep_to_the_hash(&mut forward);
        vec![route("default", everything(), Action::Route(forward))]
    }

    /// The routes of a `VirtualService` that hold for this proxy and port, up to the first that
    /// takes everything.
    fn ruled(&self, config: &Config<VirtualService>) -> Vec<Route> {
        let mut found = Vec::new();
        for http in &config.spec.http {
            let viewer = &self.key.namespace;
            let action = action::of(self.model, viewer, config, http, self.port);
            if http.matches.is_empty() {
                found.push(ruled_route(&http.name, everything(), action, http));
                break;
            }
            for asked in &http.matches {
                if matches::holds(asked, self.key, self.port) {
                    let name = match asked.name.as_str() {
                        "" => http.name.clone(),
                        own => format!("{}.{own}", http.name),
                    };
                    let asked = matches::of(asked);
                    found.push(ruled_route(&name, asked, action.clone(), http));
                }
            }
        }
        found
    }

    fn add(&mut self, host: &str, domains: Vec<String>, routes: Vec<Route>) {
        let free = domains.into_iter().filter(|domain| self.taken.insert(domain.clone()));
        let domains: Vec<String> = free.collect();
        if domains.is_empty() {
            return;
        }
        self.found.push(VirtualHost {
            name: format!("{host}:{}", self.port),
            domains,
            routes,
            include_request_attempt_count: true,
            ..VirtualHost::default()
        });
    }

    fn rest(&mut self) {
        let (name, action) = match self.model.mesh.allow_any {
            true => {
                let forward = action::to_cluster(names::PASSTHROUGH_CLUSTER);
                ("allow_any", Action::Route(forward))
            }
            false => ("block_all", Action::DirectResponse(action::status(502))),
        };
        if !self.taken.insert("*".to_owned()) {
            return;
        }
        self.found.push(VirtualHost {
            name: name.to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route(name, everything(), action)],
            include_request_attempt_count: true,
            ..VirtualHost::default()
        });
    }
}

/// Every name that a client in `viewer` may use for a service.
fn domains(service: &Service, viewer: &str) -> Vec<String> {
    let Service { hostname, name, namespace, .. } = service;
    let mut names = vec![hostname.clone(), format!("{hostname}.")];
    if namespace == viewer {
        names.push(name.clone());
    }
    names.push(format!("{name}.{namespace}.svc"));
    names.push(format!("{name}.{namespace}"));
    if service.is_headless() {
        let pods: Vec<String> = names.iter().map(|name| format!("*.{name}")).collect();
        names.extend(pods);
    }
    names.extend(service.addresses.iter().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }));
    names
}

fn everything() -> RouteMatch {
    let path = PathSpecifier::Prefix("/".to_owned());
    RouteMatch { path_specifier: Some(path), ..RouteMatch::default() }
}

fn route(name: &str, matches: RouteMatch, action: Action) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(matches),
        action: Some(action),
        ..Route::default()
    }
}

fn ruled_route(name: &str, matches: RouteMatch, action: Action, http: &HttpRoute) -> Route {
    let mut route = route(name, matches, action);
    if let Some(headers) = &http.headers {
        route.request_headers_to_add = action::header_values(&headers.request);
        route.request_headers_to_remove.clone_from(&headers.request.remove);
        route.response_headers_to_add = action::header_values(&headers.response);
        route.response_headers_to_remove.clone_from(&headers.response.remove);
    }
    route
}
