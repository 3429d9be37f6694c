//! The listener filters, and the ports on which they are off.

use api::envoy::core::proxy_protocol_config::Version;
use api::envoy::http_inspector::HttpInspector;
use api::envoy::listener::listener_filter_chain_match_predicate::{MatchSet, Rule};
use api::envoy::listener::{
    ListenerFilter, ListenerFilterChainMatchPredicate, listener_filter::ConfigType,
};
use api::envoy::original_dst::OriginalDst;
use api::envoy::proxy_protocol::ProxyProtocol;
use api::envoy::tls_inspector::TlsInspector;
use api::envoy::types::Int32Range;
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::http_filter::type_name;
use super::value;
use crate::limits::MAX_FILTERS;
use crate::snapshot::{self, PortRule};

/// Ports are 0 to 65535.
const PORTS: u32 = 65_536;

#[derive(Default)]
pub(crate) struct Filters {
    pub(crate) original_dst: bool,
    pub(crate) proxy_protocol: Option<snapshot::ProxyProtocol>,
    pub(crate) tls_inspector: Option<PortRule>,
    pub(crate) http_inspector: Option<PortRule>,
}

pub(crate) fn compile(at: &At<'_>, list: &[ListenerFilter]) -> Result<Filters, Fault> {
    at.at_most(MAX_FILTERS, list.len())?;
    let mut filters = Filters::default();
    for (index, filter) in list.iter().enumerate() {
        one(&at.item(index), filter, &mut filters)?;
    }
    Ok(filters)
}

fn one(at: &At<'_>, filter: &ListenerFilter, filters: &mut Filters) -> Result<(), Fault> {
    decide!(at, filter => ListenerFilter {
        used: name, filter_disabled, config_type;
    });
    let any = match config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(at.field("config_discovery").unsupported("this field is not supported"));
        }
        None => return Err(at.field("typed_config").missing(format!("the filter `{name}`"))),
    };
    let place = at.field("typed_config");
    let kind = type_name(any);
    if kind == OriginalDst::full_name() {
        at.refuse("filter_disabled", filter_disabled)?;
        filters.original_dst = true;
        return Ok(());
    }
    let rule = port_rule(&at.field("filter_disabled"), filter_disabled.as_ref())?;
    if kind == ProxyProtocol::full_name() {
        if filters.tls_inspector.is_some() || filters.http_inspector.is_some() {
            return Err(at.unsupported("it has to stand before the inspectors"));
        }
        filters.proxy_protocol = Some(proxy_protocol(&place, &typed(&place, any)?, rule)?);
        return Ok(());
    }
    if kind == TlsInspector::full_name() {
        tls_inspector(&place, &typed(&place, any)?)?;
        filters.tls_inspector = Some(rule);
        return Ok(());
    }
    if kind == HttpInspector::full_name() {
        filters.http_inspector = Some(rule);
        return Ok(());
    }
    Err(place.unsupported(format!("the listener filter `{name}` ({kind}) is not supported")))
}

fn proxy_protocol(
    at: &At<'_>,
    filter: &ProxyProtocol,
    rule: PortRule,
) -> Result<snapshot::ProxyProtocol, Fault> {
    decide!(at, filter => ProxyProtocol {
        used: allow_requests_without_proxy_protocol, disallowed_versions;
        // TLVs are passed over: nothing here asks for one.
        refused: rules, pass_through_tlvs;
        without_effect: stat_prefix, tlv_location;
    });
    let at = at.field("disallowed_versions");
    let (mut v1, mut v2) = (true, true);
    for (index, number) in disallowed_versions.iter().enumerate() {
        match value::enumeration(&at.item(index), *number)? {
            Version::V1 => v1 = false,
            Version::V2 => v2 = false,
        }
    }
    let is_optional = *allow_requests_without_proxy_protocol;
    Ok(snapshot::ProxyProtocol { rule, is_optional, v1, v2 })
}

fn tls_inspector(at: &At<'_>, inspector: &TlsInspector) -> Result<(), Fault> {
    decide!(at, inspector => TlsInspector {
        refused: close_connection_on_client_hello_parsing_errors, max_client_hello_size;
        refused_if_true: enable_ja3_fingerprinting, enable_ja4_fingerprinting;
        without_effect: initial_read_buffer_size;
    });
    Ok(())
}

fn port_rule(
    at: &At<'_>,
    predicate: Option<&ListenerFilterChainMatchPredicate>,
) -> Result<PortRule, Fault> {
    let disabled = match predicate {
        Some(predicate) => ports(at, predicate)?,
        None => Vec::new(),
    };
    Ok(PortRule { disabled, inverted: false })
}

/// The ports that a predicate matches, as sorted half-open ranges that do not touch.
fn ports(
    at: &At<'_>,
    predicate: &ListenerFilterChainMatchPredicate,
) -> Result<Vec<(u32, u32)>, Fault> {
    match &predicate.rule {
        Some(Rule::OrMatch(set)) => Ok(union(each(&at.field("or_match"), set)?.concat())),
        Some(Rule::AndMatch(set)) => {
            // What all match is what none fails to match.
            let sets = each(&at.field("and_match"), set)?;
            Ok(complement(&union(sets.iter().flat_map(|set| complement(set)).collect())))
        }
        Some(Rule::NotMatch(inner)) => Ok(complement(&ports(&at.field("not_match"), inner)?)),
        Some(Rule::AnyMatch(true)) => Ok(vec![(0, PORTS)]),
        Some(Rule::AnyMatch(false)) => Ok(Vec::new()),
        Some(Rule::DestinationPortRange(Int32Range { start, end })) => {
            match (u32::try_from(*start), u32::try_from(*end)) {
                (Ok(start), Ok(end)) if start < end && end <= PORTS => Ok(vec![(start, end)]),
                _ => Err(at
                    .field("destination_port_range")
                    .invalid(format!("{start} to {end} is no range of ports"))),
            }
        }
        None => Err(at.missing("a predicate without a rule")),
    }
}

fn each(at: &At<'_>, set: &MatchSet) -> Result<Vec<Vec<(u32, u32)>>, Fault> {
    let at = at.field("rules");
    let rules = set.rules.iter().enumerate();
    rules.map(|(index, rule)| ports(&at.item(index), rule)).collect()
}

fn union(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// All other ports. `ranges` are sorted and do not overlap.
fn complement(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut rest = Vec::with_capacity(ranges.len() + 1);
    let mut from = 0;
    for (start, end) in ranges {
        if from < *start {
            rest.push((from, *start));
        }
        from = *end;
    }
    if from < PORTS {
        rest.push((from, PORTS));
    }
    rest
}
