//! Which filter chain serves a connection: `FilterChainMatch` in Envoy's order.
//!
//! Envoy narrows the chains by one dimension after the other: destination port, destination
//! address, server name, transport, application protocol, direct source address, source type,
//! source address, source port. In each the most specific value that matches wins, and there is no
//! way back: if the chains left then fail in a later dimension, none is found. That is the
//! lexicographic maximum over ranks in which 0 means "does not match": one pass, no table.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use config::snapshot::{ChainMatch, FilterChain, Listener, SourceType};
use ipnet::IpNet;

use crate::facts::ConnectionFacts;

/// The chain for a connection, else the listener's default chain, else none: the connection is
/// then closed.
pub fn select<'l>(
    listener: &'l Listener,
    facts: &ConnectionFacts<'_>,
) -> Option<&'l Arc<FilterChain>> {
    let mut best: Option<(Ranks, &Arc<FilterChain>)> = None;
    for chain in &listener.chains {
        let found = ranks(&chain.matches, facts);
        // Of equals the first stays; Envoy refuses such a configuration.
        if best.as_ref().is_none_or(|(best, _)| found.cmp(best) == Ordering::Greater) {
            best = Some((found, chain));
        }
    }
    match best {
        Some((ranks, chain)) if !ranks.contains(&MISS) => Some(chain),
        _ => listener.default_chain.as_ref(),
    }
}

type Ranks = [u32; 9];

/// Does not match.
const MISS: u32 = 0;
/// Asks nothing in this dimension.
const ANY: u32 = 1;
/// Equal, where only equality is possible or it beats everything.
const EXACT: u32 = u32::MAX;

fn ranks(asked: &ChainMatch, facts: &ConnectionFacts<'_>) -> Ranks {
    let source = facts.source.ip();
    [
        option(asked.destination_port, facts.destination.port()),
        prefix(&asked.prefixes, facts.destination.ip()),
        server_name(&asked.server_names, facts.sni),
        option(asked.transport, facts.transport),
        protocol(&asked.alpn, facts),
        prefix(&asked.direct_source_prefixes, facts.direct_peer().ip()),
        source_type(asked.source_type, facts),
        prefix(&asked.source_prefixes, source),
        port(&asked.source_ports, facts.source.port()),
    ]
}

fn option<T: PartialEq>(asked: Option<T>, found: T) -> u32 {
    match asked {
        None => ANY,
        Some(asked) if asked == found => EXACT,
        Some(_) => MISS,
    }
}

/// The longest prefix. No prefix and `/0` are the same to Envoy.
fn prefix(asked: &[IpNet], address: IpAddr) -> u32 {
    if asked.is_empty() {
        return ANY;
    }
    let address = address.to_canonical();
    let lengths = asked.iter().filter(|net| net.contains(&address)).map(IpNet::prefix_len);
    lengths.max().map_or(MISS, |len| ANY + u32::from(len))
}

/// Exact, then the longest `*.suffix`. Server names compare without case (RFC 6066, 3).
fn server_name(asked: &[Box<str>], sni: &str) -> u32 {
    if asked.is_empty() {
        return ANY;
    }
    let rank = |name: &str| match name.strip_prefix('*') {
        Some(suffix) if has_suffix(sni, suffix) => {
            u32::try_from(suffix.len()).map_or(EXACT - 1, |len| ANY + len)
        }
        None if name.eq_ignore_ascii_case(sni) => EXACT,
        _ => MISS,
    };
    asked.iter().map(|name| rank(name)).max().unwrap_or(MISS)
}

fn has_suffix(sni: &str, suffix: &str) -> bool {
    let start = sni.len().checked_sub(suffix.len()).filter(|start| *start > 0);
    start.and_then(|start| sni.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// The first of the client's protocols that a chain asks for decides.
fn protocol(asked: &[Box<[u8]>], facts: &ConnectionFacts<'_>) -> u32 {
    if asked.is_empty() {
        return ANY;
    }
    let place = facts.alpn.iter().position(|offered| asked.iter().any(|name| **name == *offered));
    place.map_or(MISS, |place| EXACT.saturating_sub(u32::try_from(place).unwrap_or(EXACT)).max(2))
}

/// Local is a loopback address, or source and destination on the same address.
fn source_type(asked: SourceType, facts: &ConnectionFacts<'_>) -> u32 {
    let source = facts.source.ip().to_canonical();
    let local = source.is_loopback() || source == facts.destination.ip().to_canonical();
    match (asked, local) {
        (SourceType::Any, _) => ANY,
        (SourceType::Local, true) | (SourceType::External, false) => EXACT,
        _ => MISS,
    }
}

fn port(asked: &[u16], found: u16) -> u32 {
    match asked {
        [] => ANY,
        _ if asked.contains(&found) => EXACT,
        _ => MISS,
    }
}

#[cfg(test)]
mod tests;
