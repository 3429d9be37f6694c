//! Metadata that hosts are chosen by.

use std::collections::HashMap;
use std::fmt::Write;

use api::envoy::cluster::cluster::LbSubsetConfig;
use api::envoy::cluster::cluster::lb_subset_config::{
    LbSubsetFallbackPolicy, LbSubsetMetadataFallbackPolicy, LbSubsetSelector,
    lb_subset_selector::LbSubsetSelectorFallbackPolicy,
};
use api::envoy::core::Metadata;
use api::envoy::protobuf::{Value, value::Kind};

use super::at::{At, Fault, decide};
use super::value;
use crate::limits::{MAX_SELECTOR_KEYS, MAX_SELECTORS};
use crate::snapshot::{Fallback, Labels, Selector, Subsets, Weighted};

/// Where Envoy's balancers find metadata of theirs.
pub(crate) const LB: &str = "envoy.lb";

/// What balancers find in metadata.
pub(crate) fn of_metadata(metadata: Option<&Metadata>) -> Labels {
    let found = metadata.and_then(|metadata| metadata.filter_metadata.get(LB));
    found.map(|found| labels(&found.fields)).unwrap_or_default()
}

/// Adds what a route asks for to what each of its clusters does, which goes before it.
pub(crate) fn add(metadata: Option<&Metadata>, clusters: &mut [Weighted]) {
    let of_all = of_metadata(metadata);
    for one in clusters.iter_mut().filter(|_| !of_all.is_empty()) {
        one.subset = merged(&of_all, &one.subset);
    }
}

/// Both, in order; of a key that both have the second's value.
fn merged(first: &Labels, second: &Labels) -> Labels {
    let is_new = |key: &str| second.iter().all(|(other, _)| **other != *key);
    let mut all: Vec<_> = first.iter().filter(|(key, _)| is_new(key)).cloned().collect();
    all.extend(second.iter().cloned());
    all.sort();
    all.into()
}

fn labels(fields: &HashMap<String, Value>) -> Labels {
    let each = fields.iter().map(|(key, value)| {
        let mut text = String::new();
        write(value, &mut text);
        (key.as_str().into(), text.into())
    });
    let mut labels: Vec<_> = each.collect();
    labels.sort();
    labels.into()
}

/// A form in which values are equal if and only if they are so in Envoy.
fn write(value: &Value, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match &value.kind {
        None | Some(Kind::NullValue(_)) => write!(out, "null"),
        Some(Kind::NumberValue(number)) => write!(out, "{number:?}"),
        Some(Kind::StringValue(text)) => write!(out, "{text:?}"),
        Some(Kind::BoolValue(truth)) => write!(out, "{truth}"),
        Some(Kind::StructValue(fields)) => {
            out.push('{');
            let mut keys: Vec<_> = fields.fields.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            for (key, value) in keys {
                let _ = write!(out, "{key:?}:");
                write_next(value, out);
            }
            write!(out, "}}")
        }
        Some(Kind::ListValue(list)) => {
            out.push('[');
            list.values.iter().for_each(|value| write_next(value, out));
            write!(out, "]")
        }
    };
}

fn write_next(value: &Value, out: &mut String) {
    write(value, out);
    out.push(',');
}

/// `None`: there is nothing to choose by.
pub(crate) fn subsets(
    at: &At<'_>,
    config: Option<&LbSubsetConfig>,
) -> Result<Option<Subsets>, Fault> {
    let Some(config) = config else { return Ok(None) };
    decide!(at, config => LbSubsetConfig {
        used: fallback_policy, default_subset, subset_selectors, locality_weight_aware,
            metadata_fallback_policy;
        refused: scale_locality_weight, panic_mode_any, list_as_any;
    });
    let place = at.field("metadata_fallback_policy");
    match value::enumeration(&place, *metadata_fallback_policy)? {
        LbSubsetMetadataFallbackPolicy::MetadataNoFallback => {}
        LbSubsetMetadataFallbackPolicy::FallbackList => {
            return Err(place.unsupported("only METADATA_NO_FALLBACK is supported"));
        }
    }
    let place = at.field("fallback_policy");
    let fallback = match value::enumeration(&place, *fallback_policy)? {
        LbSubsetFallbackPolicy::NoFallback => Fallback::Nobody,
        LbSubsetFallbackPolicy::AnyEndpoint => Fallback::Any,
        LbSubsetFallbackPolicy::DefaultSubset => Fallback::Default,
    };
    let place = at.field("subset_selectors");
    place.at_most(MAX_SELECTORS, subset_selectors.len())?;
    let selectors = subset_selectors.iter().enumerate();
    let selectors = selectors.map(|(index, one)| selector(&place.item(index), one));
    let subsets = Subsets {
        selectors: selectors.collect::<Result<_, _>>()?,
        fallback,
        default: default_subset.as_ref().map(|all| labels(&all.fields)).unwrap_or_default(),
        by_locality: *locality_weight_aware,
    };
    // As in Envoy without a selector there are no subsets.
    Ok((!subsets.selectors.is_empty()).then_some(subsets))
}

fn selector(at: &At<'_>, selector: &LbSubsetSelector) -> Result<Selector, Fault> {
    decide!(at, selector => LbSubsetSelector {
        used: keys, fallback_policy;
        refused: fallback_keys_subset, single_host_per_subset;
    });
    let place = at.field("keys");
    place.at_most(MAX_SELECTOR_KEYS, keys.len())?;
    let mut sorted: Vec<Box<str>> = keys.iter().map(|key| key.as_str().into()).collect();
    sorted.sort();
    sorted.dedup();
    let place = at.field("fallback_policy");
    let fallback = match value::enumeration(&place, *fallback_policy)? {
        LbSubsetSelectorFallbackPolicy::NotDefined => None,
        LbSubsetSelectorFallbackPolicy::NoFallback => Some(Fallback::Nobody),
        LbSubsetSelectorFallbackPolicy::AnyEndpoint => Some(Fallback::Any),
        LbSubsetSelectorFallbackPolicy::DefaultSubset => Some(Fallback::Default),
        LbSubsetSelectorFallbackPolicy::KeysSubset => {
            return Err(place.unsupported("KEYS_SUBSET is not supported"));
        }
    };
    Ok(Selector { keys: sorted.into(), fallback })
}
