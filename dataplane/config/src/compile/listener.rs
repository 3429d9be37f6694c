//! `Listener`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::envoy::listener::listener::connection_balance_config::BalanceType;
use api::envoy::listener::listener::{ConnectionBalanceConfig, DeprecatedV1};
use api::envoy::listener::{FilterChain, Listener};
use prost::Message;

use super::at::{At, Fault, decide};
use super::scope::{Fingerprint, KnownChain, Needs, Scope, fingerprint};
use super::{access_log, chain, inspect, value};
use crate::limits::MAX_CHAINS;
use crate::snapshot::{self, ChainMatch};

/// Envoy's defaults.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(15);
const BUFFER_LIMIT: u32 = 1 << 20;
const BACKLOG: u32 = 1024;

/// How a listening socket is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerOptions {
    /// Takes connections to addresses that are not local (`IP_TRANSPARENT`).
    pub transparent: bool,
    /// May bind to an address that is not there yet (`IP_FREEBIND`).
    pub freebind: bool,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

/// A listener but for its sockets.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) listener: snapshot::Listener,
    /// `None`: not bound to its port.
    pub(crate) options: Option<ListenerOptions>,
    pub(crate) needs: Needs,
    pub(crate) chains: HashMap<Fingerprint, KnownChain>,
}

pub(crate) fn compile(
    at: &At<'_>,
    name: &str,
    listener: &Listener,
    scope: &mut Scope<'_>,
) -> Result<Compiled, Fault> {
    decide!(at, listener => Listener {
        used: address, filter_chains, use_original_dst, default_filter_chain,
            per_connection_buffer_limit_bytes, deprecated_v1, listener_filters,
            listener_filters_timeout, continue_on_listener_filters_timeout, transparent, freebind,
            connection_balance_config, tcp_backlog_size, bind_to_port, access_log;
        used_elsewhere: name;
        refused: additional_addresses, fcds_config, filter_chain_matcher, socket_options,
            per_connection_buffer_high_watermark_timeout, tcp_fast_open_queue_length,
            udp_listener_config, api_listener, enable_mptcp, tcp_keepalive,
            listener_specifier;
        without_effect: stat_prefix, stats_matcher, metadata, drain_type, traffic_direction,
            reuse_port, enable_reuse_port, max_connections_to_accept_per_socket_event,
            ignore_global_conn_limit, bypass_overload_manager;
    });
    balance(&at.field("connection_balance_config"), connection_balance_config.as_ref())?;
    let filters = inspect::compile(&at.field("listener_filters"), listener_filters)?;
    if filters.proxy_protocol.is_some() && value::bool_or(use_original_dst, false) {
        let at = at.field("use_original_dst");
        return Err(at.unsupported("it is not supported together with the PROXY protocol"));
    }
    let mut compiled = chains(at, filter_chains, default_filter_chain.as_ref(), scope)?;
    let old = deprecated_v1
        .as_ref()
        .is_none_or(|DeprecatedV1 { bind_to_port }| value::bool_or(bind_to_port, true));
    let backlog = value::u32_or(tcp_backlog_size, BACKLOG);
    let options = ListenerOptions {
        transparent: value::bool_or(transparent, false),
        freebind: value::bool_or(freebind, false),
        backlog,
    };
    let timeout = at.field("listener_filters_timeout");
    let timeout = value::timeout(&timeout, listener_filters_timeout, Some(INSPECT_TIMEOUT))?;
    Ok(Compiled {
        listener: snapshot::Listener {
            name: name.into(),
            address: value::socket(&at.field("address"), address)?,
            bound: None,
            use_original_dst: value::bool_or(use_original_dst, false),
            original_dst: filters.original_dst,
            proxy_protocol: filters.proxy_protocol,
            tls_inspector: filters.tls_inspector,
            http_inspector: filters.http_inspector,
            inspect_timeout: timeout,
            continue_on_timeout: *continue_on_listener_filters_timeout,
            chains: compiled.list,
            default_chain: compiled.default,
            access_log: access_log::list(&at.field("access_log"), access_log, scope)?,
            buffer_limit: value::u32_or(per_connection_buffer_limit_bytes, BUFFER_LIMIT),
        },
        options: (value::bool_or(bind_to_port, true) && old).then_some(options),
        needs: std::mem::take(&mut compiled.needs),
        chains: compiled.known,
    })
}

/// The kernel spreads connections over the workers' sockets; to ask for more exactness is harmless.
fn balance(at: &At<'_>, config: Option<&ConnectionBalanceConfig>) -> Result<(), Fault> {
    match config.and_then(|config| config.balance_type.as_ref()) {
        None | Some(BalanceType::ExactBalance(_)) => Ok(()),
        Some(BalanceType::ExtendBalance(_) | BalanceType::CpuLocalityBalance(_)) => {
            Err(at.unsupported("only `exact_balance` is accepted"))
        }
    }
}

#[derive(Default)]
struct Chains {
    list: Vec<Arc<snapshot::FilterChain>>,
    default: Option<Arc<snapshot::FilterChain>>,
    needs: Needs,
    known: HashMap<Fingerprint, KnownChain>,
}

fn chains(
    at: &At<'_>,
    given: &[FilterChain],
    default: Option<&FilterChain>,
    scope: &mut Scope<'_>,
) -> Result<Chains, Fault> {
    let mut chains = Chains::default();
    let place = at.field("filter_chains");
    place.at_most(MAX_CHAINS, given.len())?;
    for (index, chain) in given.iter().enumerate() {
        let compiled = shared(&place.item(index), chain, scope, &mut chains)?;
        chains.list.push(compiled);
    }
    distinct(&place, &chains.list)?;
    if let Some(chain) = default {
        let at = at.field("default_filter_chain");
        chains.default = Some(shared(&at, chain, scope, &mut chains)?);
    }
    match chains.list.is_empty() && chains.default.is_none() {
        true => Err(place.missing("a listener needs at least one filter chain")),
        false => Ok(chains),
    }
}

/// A chain that was the same in the version before stays the same object, so that its connections
/// and sessions live on.
fn shared(
    at: &At<'_>,
    chain: &FilterChain,
    scope: &mut Scope<'_>,
    chains: &mut Chains,
) -> Result<Arc<snapshot::FilterChain>, Fault> {
    let print = fingerprint(&chain.encode_to_vec());
    let known = match scope.chains.and_then(|chains| chains.get(&print)) {
        Some(known) => known.clone(),
        None => {
            let before = std::mem::take(&mut scope.needs);
            let chain = chain::compile(at, chain, scope);
            let needs = std::mem::replace(&mut scope.needs, before);
            KnownChain { chain: Arc::new(chain?), needs }
        }
    };
    chains.needs.extend(&known.needs);
    let chain = Arc::clone(&known.chain);
    chains.known.insert(print, known);
    Ok(chain)
}

/// Two chains that one connection could fit equally well are refused, as Envoy does.
fn distinct(at: &At<'_>, chains: &[Arc<snapshot::FilterChain>]) -> Result<(), Fault> {
    let mut by_port: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, chain) in chains.iter().enumerate() {
        let matches = &chain.matches;
        let group = by_port.entry((matches.destination_port, matches.transport)).or_default();
        for &other in group.iter() {
            let Some(other) = chains.get(other) else { continue };
            if overlap(matches, &other.matches) {
                let at = at.item(index);
                let at = at.field("filter_chain_match");
                let name = &other.name;
                return Err(at.invalid(format!("asks the same as the chain `{name}` before it")));
            }
        }
        group.push(index);
    }
    Ok(())
}

/// Port and transport are equal; the rest overlaps if each list has an entry in common.
fn overlap(a: &ChainMatch, b: &ChainMatch) -> bool {
    common(&a.prefixes, &b.prefixes)
        && common(&a.server_names, &b.server_names)
        && common(&a.alpn, &b.alpn)
        && common(&a.direct_source_prefixes, &b.direct_source_prefixes)
        && a.source_type == b.source_type
        && common(&a.source_prefixes, &b.source_prefixes)
        && common(&a.source_ports, &b.source_ports)
}

fn common<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    (a.is_empty() && b.is_empty()) || a.iter().any(|one| b.contains(one))
}
