//! Where connections of the own application arrive.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use api::envoy::core::TrafficDirection;
use api::envoy::http_inspector::HttpInspector;
use api::envoy::listener::{FilterChain, FilterChainMatch, Listener};
use api::names::{self, ClusterName, ports};
use model::{Model, Service, ServicePort};

use super::{hashed_tcp_proxy, listener_filter, tcp_chain, tcp_proxy};
use crate::parts::{address, any, flag, number, seconds};
use crate::{Key, balance, http};

/// What the HTTP inspector finds in plain bytes.
pub(super) const PLAIN_HTTP: [&str; 2] = ["http/1.1", "h2c"];

/// 15001: all that no other listener is for.
pub(super) fn catch_all(model: &Model) -> Listener {
    let rest = match model.mesh.allow_any {
        true => names::PASSTHROUGH_CLUSTER,
        false => names::BLACK_HOLE_CLUSTER,
    };
    let loop_guard = vec![tcp_proxy(names::BLACK_HOLE_CLUSTER)];
    Listener {
        name: names::VIRTUAL_OUTBOUND.to_owned(),
        address: address(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), ports::OUTBOUND)),
        use_original_dst: flag(true),
        traffic_direction: TrafficDirection::Outbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        filter_chains: vec![
            tcp_chain("virtualOutbound-blackhole", Some(ports::OUTBOUND), loop_guard),
            tcp_chain("virtualOutbound-catchall-tcp", None, vec![tcp_proxy(rest)]),
        ],
        ..Listener::default()
    }
}

/// One for each port number that some service speaks HTTP on, and one for each address and port
/// of the others; sorted by address. Where two services claim an address the older one has it.
pub(super) fn services(model: &Model, key: &Key) -> impl Iterator<Item = Listener> {
    let mut services: Vec<&Service> =
        model.visible_services(&key.namespace).map(|service| &**service).collect();
    services.sort_by_key(|s| (s.created.is_empty(), &s.created, &s.namespace, &s.name));
    let any: IpAddr = match key.addresses.first() {
        Some(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let mut all: BTreeMap<SocketAddr, Listener> = BTreeMap::new();
    for service in services {
        for port in &service.ports {
            if port.protocol.is_http() {
                let at = SocketAddr::new(any, port.number);
                all.entry(at).or_insert_with(|| http_listener(model, at));
                continue;
            }
            for at in places(service, port, key) {
                let by_source = balance::is_by_source(model, &key.namespace, &service.hostname);
                all.entry(at).or_insert_with(|| other_listener(service, port, at, by_source));
            }
        }
    }
    all.into_values()
}

/// The service's addresses; those of its pods, but for the own one, if it has none.
fn places(service: &Service, port: &ServicePort, key: &Key) -> Vec<SocketAddr> {
    if service.is_headless() {
        let ends = port.endpoints.iter().map(|end| end.address);
        return ends.filter(|end| !key.addresses.contains(&end.ip())).collect();
    }
    service.addresses.iter().map(|address| SocketAddr::new(*address, port.number)).collect()
}

/// `0.0.0.0_9080`
fn http_listener(model: &Model, at: SocketAddr) -> Listener {
    let rest = match model.mesh.allow_any {
        true => names::PASSTHROUGH_CLUSTER,
        false => names::BLACK_HOLE_CLUSTER,
    };
    let stat_prefix = format!("outbound_{};.", name(at));
    let chain = http_chain(stat_prefix, &at.port().to_string());
    let rest = tcp_chain("PassthroughFilterChain", None, vec![tcp_proxy(rest)]);
    inspected(at, chain, rest)
}

/// `10.96.0.30_9000`
fn other_listener(
    service: &Service,
    port: &ServicePort,
    at: SocketAddr,
    by_source: bool,
) -> Listener {
    let cluster = ClusterName::outbound(port.number, "", &service.hostname).to_string();
    let bytes = tcp_chain("", None, vec![hashed_tcp_proxy(&cluster, by_source)]);
    if port.protocol != model::Protocol::Auto || service.is_headless() {
        return Listener { filter_chains: vec![bytes], ..listener(at) };
    }
    let routes = format!("{}:{}", service.hostname, port.number);
    inspected(at, http_chain(format!("outbound_{};.", name(at)), &routes), bytes)
}

fn http_chain(stat_prefix: String, routes: &str) -> FilterChain {
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            transport_protocol: "raw_buffer".to_owned(),
            application_protocols: PLAIN_HTTP.map(str::to_owned).to_vec(),
            ..FilterChainMatch::default()
        }),
        filters: vec![http::outbound(stat_prefix, routes)],
        ..FilterChain::default()
    }
}

/// Looks for HTTP first. A client that says nothing is waited for without limit, as in Istio.
fn inspected(at: SocketAddr, http: FilterChain, rest: FilterChain) -> Listener {
    Listener {
        filter_chains: vec![http],
        default_filter_chain: Some(rest),
        listener_filters: vec![listener_filter(
            "envoy.filters.listener.http_inspector",
            any(&HttpInspector {}),
        )],
        listener_filters_timeout: Some(seconds(0)),
        continue_on_listener_filters_timeout: true,
        ..listener(at)
    }
}

fn listener(at: SocketAddr) -> Listener {
    Listener {
        name: name(at),
        address: address(at),
        bind_to_port: flag(false),
        traffic_direction: TrafficDirection::Outbound as i32,
        ..Listener::default()
    }
}

fn name(at: SocketAddr) -> String {
    format!("{}_{}", at.ip(), at.port())
}
