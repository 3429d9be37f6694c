//! `FilterChain`: what it asks of a connection, its TLS, and its network filters.

use std::sync::Arc;

use api::envoy::core::{TransportSocket, transport_socket};
use api::envoy::cx_limit::ConnectionLimit;
use api::envoy::hcm::HttpConnectionManager;
use api::envoy::listener::filter_chain_match::ConnectionSourceType;
use api::envoy::listener::{Filter, FilterChain, FilterChainMatch, filter::ConfigType};
use api::envoy::network_limit::LocalRateLimit;
use api::envoy::network_rbac::Rbac;
use api::envoy::raw_buffer::RawBuffer;
use api::envoy::sni_cluster::SniCluster;
use api::envoy::tcp_proxy::TcpProxy;
use api::envoy::tls::DownstreamTlsContext;
use prost::Name;
use tls::ServerContext;

use super::at::{At, Fault, decide, typed};
use super::http_filter::type_name;
use super::scope::Scope;
use super::{hcm, network, rbac, tcp, tls as tls_context, value};
use crate::limits::MAX_FILTERS;
use crate::snapshot::{
    self, ChainMatch, Codec, Gate, NetworkRbac, SourceType, Terminal, Transport,
};

pub(crate) fn compile(
    at: &At<'_>,
    chain: &FilterChain,
    scope: &mut Scope<'_>,
) -> Result<snapshot::FilterChain, Fault> {
    decide!(at, chain => FilterChain {
        used: filter_chain_match, filters, transport_socket, transport_socket_connect_timeout,
            name;
        refused_if_true: use_proxy_proto;
        without_effect: metadata;
    });
    let place = at.field("filter_chain_match");
    let matches = filter_chain_match.as_ref().map(|given| matches(&place, given)).transpose()?;
    let Filters { rbac, gates, cluster_by_sni, terminal } =
        network_filters(&at.field("filters"), filters, scope)?;
    let only_http1 = matches!(&terminal, Terminal::Http(manager) if manager.codec == Codec::Http1);
    let timeout = at.field("transport_socket_connect_timeout");
    Ok(snapshot::FilterChain {
        name: name.as_str().into(),
        matches: matches.unwrap_or_default(),
        tls: transport(
            &at.field("transport_socket"),
            transport_socket.as_ref(),
            only_http1,
            scope,
        )?,
        tls_timeout: value::timeout(&timeout, transport_socket_connect_timeout, None)?,
        rbac,
        gates,
        cluster_by_sni,
        terminal,
    })
}

fn matches(at: &At<'_>, given: &FilterChainMatch) -> Result<ChainMatch, Fault> {
    decide!(at, given => FilterChainMatch {
        used: destination_port, prefix_ranges, direct_source_prefix_ranges, source_type,
            source_prefix_ranges, source_ports, server_names, transport_protocol,
            application_protocols;
        refused: address_suffix, suffix_len;
    });
    let direct = at.field("direct_source_prefix_ranges");
    let ports = at.field("source_ports");
    let ports =
        source_ports.iter().enumerate().map(|(index, port)| listed_port(&ports.item(index), *port));
    let port = at.field("destination_port");
    let port = destination_port.as_ref().map(|given| listed_port(&port, given.value));
    Ok(ChainMatch {
        destination_port: port.transpose()?,
        prefixes: value::cidrs(&at.field("prefix_ranges"), prefix_ranges)?,
        server_names: server_names_of(&at.field("server_names"), server_names)?,
        transport: transport_of(&at.field("transport_protocol"), transport_protocol)?,
        alpn: application_protocols.iter().map(|name| name.as_bytes().into()).collect(),
        direct_source_prefixes: value::cidrs(&direct, direct_source_prefix_ranges)?,
        source_type: match value::enumeration(&at.field("source_type"), *source_type)? {
            ConnectionSourceType::Any => SourceType::Any,
            ConnectionSourceType::SameIpOrLoopback => SourceType::Local,
            ConnectionSourceType::External => SourceType::External,
        },
        source_prefixes: value::cidrs(&at.field("source_prefix_ranges"), source_prefix_ranges)?,
        source_ports: ports.collect::<Result<_, _>>()?,
    })
}

fn listed_port(at: &At<'_>, port: u32) -> Result<u16, Fault> {
    match value::port(at, port)? {
        0 => Err(at.invalid("a port between 1 and 65535")),
        port => Ok(port),
    }
}

fn server_names_of(at: &At<'_>, names: &[String]) -> Result<Vec<Box<str>>, Fault> {
    let each = names.iter().enumerate().map(|(index, name)| {
        let rest = name.strip_prefix("*.").unwrap_or(name);
        match rest.is_empty() || rest.contains('*') {
            true => {
                let reason = format!("`{name}`: a full name, or `*.` and a suffix");
                Err(at.item(index).invalid(reason))
            }
            false => Ok(name.to_ascii_lowercase().into()),
        }
    });
    each.collect()
}

fn transport_of(at: &At<'_>, name: &str) -> Result<Option<Transport>, Fault> {
    match name {
        "" => Ok(None),
        "raw_buffer" => Ok(Some(Transport::Raw)),
        "tls" => Ok(Some(Transport::Tls)),
        other => Err(at.unsupported(format!("`{other}`: only `tls` and `raw_buffer`"))),
    }
}

fn transport(
    at: &At<'_>,
    socket: Option<&TransportSocket>,
    only_http1: bool,
    scope: &mut Scope<'_>,
) -> Result<Option<Arc<ServerContext>>, Fault> {
    let Some(socket) = socket else { return Ok(None) };
    let any = typed_config(at, socket)?;
    let at = at.field("typed_config");
    let kind = type_name(any);
    if kind == DownstreamTlsContext::full_name() {
        let context: DownstreamTlsContext = typed(&at, any)?;
        return tls_context::server(&at, &context, only_http1, scope).map(Some);
    }
    if kind == RawBuffer::full_name() {
        return Ok(None);
    }
    Err(at.unsupported(format!("the transport socket `{}` ({kind}) is not supported", socket.name)))
}

/// What configures a transport socket.
pub(crate) fn typed_config<'m>(
    at: &At<'_>,
    socket: &'m TransportSocket,
) -> Result<&'m api::envoy::Any, Fault> {
    decide!(at, socket => TransportSocket {
        used: name, config_type;
    });
    match config_type {
        Some(transport_socket::ConfigType::TypedConfig(any)) => Ok(any),
        None => Err(at.field("typed_config").missing(format!("the transport socket `{name}`"))),
    }
}

struct Filters {
    rbac: Vec<Arc<NetworkRbac>>,
    gates: Vec<Gate>,
    cluster_by_sni: bool,
    terminal: Terminal,
}

fn network_filters(
    at: &At<'_>,
    filters: &[Filter],
    scope: &mut Scope<'_>,
) -> Result<Filters, Fault> {
    at.at_most(MAX_FILTERS, filters.len())?;
    let (mut rbac, mut gates) = (Vec::new(), Vec::new());
    let (mut cluster_by_sni, mut terminal) = (false, None);
    for (index, filter) in filters.iter().enumerate() {
        let at = at.item(index);
        if terminal.is_some() {
            return Err(at.invalid("nothing may follow the filter that ends the chain"));
        }
        match network_filter(&at, filter, scope)? {
            Network::Rbac(rules) => rbac.push(Arc::new(rules)),
            Network::Gate(gate) => gates.extend(gate),
            Network::SniCluster => cluster_by_sni = true,
            Network::Terminal(last) => terminal = Some(last),
        }
    }
    match terminal {
        Some(terminal) => Ok(Filters { rbac, gates, cluster_by_sni, terminal }),
        None => Err(at.missing("the chain has to end in tcp_proxy or http_connection_manager")),
    }
}

enum Network {
    Rbac(NetworkRbac),
    Gate(Option<Gate>),
    SniCluster,
    Terminal(Terminal),
}

fn network_filter(at: &At<'_>, filter: &Filter, scope: &mut Scope<'_>) -> Result<Network, Fault> {
    decide!(at, filter => Filter {
        used: name, config_type;
    });
    let any = match config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(at.field("config_discovery").unsupported("this field is not supported"));
        }
        None => return Err(at.field("typed_config").missing(format!("the filter `{name}`"))),
    };
    let at = at.field("typed_config");
    let kind = type_name(any);
    if kind == TcpProxy::full_name() {
        let proxy = tcp::compile(&at, &typed(&at, any)?, scope)?;
        return Ok(Network::Terminal(Terminal::Tcp(Arc::new(proxy))));
    }
    if kind == HttpConnectionManager::full_name() {
        let manager = hcm::compile(&at, &typed(&at, any)?, scope)?;
        return Ok(Network::Terminal(Terminal::Http(Arc::new(manager))));
    }
    if kind == Rbac::full_name() {
        return rbac::network(&at, &typed(&at, any)?).map(Network::Rbac);
    }
    if kind == ConnectionLimit::full_name() {
        return network::connections(&at, &typed(&at, any)?).map(Network::Gate);
    }
    if kind == LocalRateLimit::full_name() {
        return network::rate(&at, &typed(&at, any)?).map(Network::Gate);
    }
    if kind == SniCluster::full_name() {
        let SniCluster {} = typed(&at, any)?;
        return Ok(Network::SniCluster);
    }
    Err(at.unsupported(format!("the network filter `{name}` ({kind}) is not supported")))
}
