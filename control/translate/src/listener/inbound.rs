//! 15006: where connections to the own application arrive.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use api::envoy::core::TrafficDirection;
use api::envoy::http_inspector::HttpInspector;
use api::envoy::listener::listener_filter_chain_match_predicate::{MatchSet, Rule};
use api::envoy::listener::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilterChainMatchPredicate as Predicate,
};
use api::envoy::original_dst::OriginalDst;
use api::envoy::tls_inspector::TlsInspector;
use api::envoy::types::Int32Range;
use api::names::{self, ClusterName, ports};
use model::{Model, MtlsMode, Protocol};

use super::outbound::PLAIN_HTTP;
use super::{listener_filter, tcp_chain, tcp_proxy};
use crate::parts::{address, any, number, seconds};
use crate::{Key, http, rbac, route, tls};

/// `PILOT_GATEWAY_TRANSPORT_SOCKET_CONNECT_TIMEOUT`
const HANDSHAKE_TIMEOUT_S: i64 = 15;

/// What a sidecar that sends HTTP offers.
const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// What a sidecar that sends bytes offers.
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
/// What any sidecar offers.
const MESH_ANY: [&str; 5] =
    ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

/// How a port's bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    Http,
    Tcp,
    Auto,
}

/// One filter chain of a port.
struct Way {
    tls: bool,
    alpn: &'static [&'static str],
    /// Terminates TLS here; else its bytes are passed on as they are.
    mutual: bool,
    http: bool,
}

const fn plain(alpn: &'static [&'static str], http: bool) -> Way {
    Way { tls: false, alpn, mutual: false, http }
}

const fn mutual(alpn: &'static [&'static str], http: bool) -> Way {
    Way { tls: true, alpn, mutual: true, http }
}

const PASSED_ON: Way = Way { tls: true, alpn: &[], mutual: false, http: false };

/// The chains of a port, by its mode and protocol.
fn ways(mode: MtlsMode, reads: Reads) -> Vec<Way> {
    use MtlsMode::{Disable, Strict};
    match (mode, reads) {
        (Strict, Reads::Http) => vec![mutual(&[], true)],
        (Strict, Reads::Tcp) => vec![mutual(&[], false)],
        (Strict, Reads::Auto) => vec![mutual(&MESH_HTTP, true), mutual(&[], false)],
        (Disable, Reads::Http) => vec![plain(&[], true)],
        (Disable, Reads::Tcp) => vec![plain(&[], false)],
        (Disable, Reads::Auto) => vec![plain(&PLAIN_HTTP, true), plain(&[], false)],
        (_, Reads::Http) => vec![mutual(&MESH_ANY, true), plain(&[], true)],
        (_, Reads::Tcp) => vec![mutual(&MESH_ANY, false), PASSED_ON, plain(&[], false)],
        (_, Reads::Auto) => vec![
            mutual(&MESH_HTTP, true),
            plain(&PLAIN_HTTP, true),
            mutual(&MESH_TCP, false),
            plain(&[], false),
            PASSED_ON,
        ],
    }
}

/// A port of the own application, or all that are not named.
struct Port {
    /// `None`: all others.
    target: Option<u16>,
    /// The service's number of it.
    service: u16,
    reads: Reads,
    grpc: bool,
    mode: MtlsMode,
    cluster: String,
}

impl Port {
    fn needs_tls(&self) -> bool {
        self.mode != MtlsMode::Disable
    }

    fn needs_http(&self) -> bool {
        self.reads == Reads::Auto && self.mode != MtlsMode::Strict
    }

    fn chain_name(&self, way: &Way) -> String {
        match self.target {
            Some(port) if self.cluster != names::INBOUND_PASSTHROUGH_CLUSTER => {
                format!("0.0.0.0_{port}")
            }
            _ if way.http => "virtualInbound-catchall-http".to_owned(),
            _ => "virtualInbound".to_owned(),
        }
    }
}

pub(super) fn virtual_inbound(model: &Model, key: &Key) -> Listener {
    let ports = ports_of(model, key);
    let judges = rbac::Judges::of(model, key);
    let loop_guard = vec![tcp_proxy(names::BLACK_HOLE_CLUSTER)];
    let mut chains = vec![tcp_chain("virtualInbound-blackhole", Some(ports::INBOUND), loop_guard)];
    for port in &ports {
        let ways = ways(port.mode, port.reads);
        chains.extend(ways.iter().map(|way| chain(model, port, way, &judges)));
    }
    let v6 = key.addresses.first().is_some_and(|address| address.is_ipv6());
    let any = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut listener = Listener {
        name: names::VIRTUAL_INBOUND.to_owned(),
        address: address(SocketAddr::new(any, ports::INBOUND)),
        traffic_direction: TrafficDirection::Inbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        continue_on_listener_filters_timeout: true,
        listener_filters_timeout: Some(seconds(0)),
        filter_chains: chains,
        ..Listener::default()
    };
    inspectors(&mut listener, &ports);
    listener
}

/// The ports that services lead to, sorted; then those with a mode of their own; then all others.
fn ports_of(model: &Model, key: &Key) -> Vec<Port> {
    let mode = |port| model.mtls_mode(&key.namespace, &key.labels, port);
    let mut found: BTreeMap<u16, Port> = BTreeMap::new();
    for (_, port, target) in model.served_at(&key.addresses) {
        found.entry(target).or_insert_with(|| Port {
            target: Some(target),
            service: port.number,
            reads: match port.protocol {
                Protocol::Auto => Reads::Auto,
                protocol if protocol.is_http() => Reads::Http,
                _ => Reads::Tcp,
            },
            grpc: port.protocol.is_grpc(),
            mode: mode(Some(target)),
            cluster: ClusterName::inbound(target).to_string(),
        });
    }
    let unnamed = |target: Option<u16>| Port {
        target,
        service: target.unwrap_or_default(),
        reads: Reads::Auto,
        grpc: false,
        mode: mode(target),
        cluster: names::INBOUND_PASSTHROUGH_CLUSTER.to_owned(),
    };
    for target in model.mtls_ports(&key.namespace, &key.labels) {
        found.entry(target).or_insert_with(|| unnamed(Some(target)));
    }
    found.into_values().chain([unnamed(None)]).collect()
}

fn chain(model: &Model, port: &Port, way: &Way, judges: &rbac::Judges) -> FilterChain {
    let matches = FilterChainMatch {
        destination_port: port.target.and_then(|port| number(u32::from(port))),
        transport_protocol: if way.tls { "tls" } else { "raw_buffer" }.to_owned(),
        application_protocols: way.alpn.iter().map(|name| (*name).to_owned()).collect(),
        ..FilterChainMatch::default()
    };
    let mut chain = FilterChain {
        name: port.chain_name(way),
        filter_chain_match: Some(matches),
        filters: filters(port, way, judges),
        ..FilterChain::default()
    };
    if way.mutual {
        chain.transport_socket = Some(tls::server(&model.mesh.trust_domain, way.http));
        chain.transport_socket_connect_timeout = Some(seconds(HANDSHAKE_TIMEOUT_S));
    }
    chain
}

fn filters(port: &Port, way: &Way, judges: &rbac::Judges) -> Vec<Filter> {
    if !way.http {
        let mut filters = judges.network.clone();
        filters.push(tcp_proxy(&port.cluster));
        return filters;
    }
    let stat_prefix = match port.target {
        Some(number) => format!("inbound_0.0.0.0_{number};."),
        None => port.cluster.clone(),
    };
    let routes = route::inbound(&port.cluster, port.service, port.grpc);
    vec![http::inbound(stat_prefix, routes, judges.http.clone())]
}

/// The original destination always; the inspectors only on ports where a chain asks what they find.
fn inspectors(listener: &mut Listener, ports: &[Port]) {
    let original = any(&OriginalDst::default());
    listener
        .listener_filters
        .push(listener_filter("envoy.filters.listener.original_dst", original));
    let tls = any(&TlsInspector::default());
    let http = any(&HttpInspector {});
    let all = [
        ("envoy.filters.listener.tls_inspector", tls, Port::needs_tls as fn(&Port) -> bool),
        ("envoy.filters.listener.http_inspector", http, Port::needs_http),
    ];
    for (name, config, needs) in all {
        if ports.iter().any(needs) {
            let mut inspector = listener_filter(name, config);
            inspector.filter_disabled = disabled(ports, needs);
            listener.listener_filters.push(inspector);
        }
    }
}

/// The ports on which an inspector does not run.
fn disabled(ports: &[Port], needs: fn(&Port) -> bool) -> Option<Predicate> {
    let rest = ports.iter().any(|port| port.target.is_none() && needs(port));
    let odd = ports.iter().filter(|port| needs(port) != rest).filter_map(|port| port.target);
    let mut rules: Vec<Predicate> = odd.map(only).collect();
    let last = rules.pop()?;
    let list = if rules.is_empty() {
        last
    } else {
        rules.push(last);
        predicate(Rule::OrMatch(MatchSet { rules }))
    };
    Some(if rest { list } else { predicate(Rule::NotMatch(Box::new(list))) })
}

fn only(port: u16) -> Predicate {
    let start = i32::from(port);
    predicate(Rule::DestinationPortRange(Int32Range { start, end: start + 1 }))
}

fn predicate(rule: Rule) -> Predicate {
    Predicate { rule: Some(rule) }
}
