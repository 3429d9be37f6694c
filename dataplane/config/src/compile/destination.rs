//! Which cluster a route leads to.

use std::sync::Arc;

use api::envoy::route::WeightedCluster;
use api::envoy::route::route_action::ClusterSpecifier;
use api::envoy::route::weighted_cluster::cluster_weight::HostRewriteSpecifier;
use api::envoy::route::weighted_cluster::{ClusterWeight, RandomValueSpecifier};

use super::action::Defaults;
use super::at::{At, Fault, decide};
use super::headers::{self, Lists};
use super::scope::Scope;
use super::{http_filter, labels, matcher, rewrite, value};
use crate::limits::MAX_WEIGHTED;
use crate::snapshot::{ClusterId, OfCluster, Weighted};

/// The clusters of a route.
#[derive(Default)]
pub(crate) struct Destination {
    pub(crate) clusters: Vec<Weighted>,
    /// The header that chooses among them in place of chance.
    pub(crate) random_header: Option<Box<[u8]>>,
}

impl From<Weighted> for Destination {
    fn from(only: Weighted) -> Self {
        Self { clusters: vec![only], random_header: None }
    }
}

pub(crate) fn compile(
    at: &At<'_>,
    specifier: Option<&ClusterSpecifier>,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Destination, Fault> {
    let unsupported = |name| Err(at.field(name).unsupported("this field is not supported"));
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            Ok(named(&at.field("cluster"), name, 1, defaults, scope)?.into())
        }
        Some(ClusterSpecifier::WeightedClusters(list)) => {
            weighted(&at.field("weighted_clusters"), list, defaults, scope)
        }
        Some(ClusterSpecifier::ClusterHeader(name)) => {
            let named_by = Some(matcher::header_name(&at.field("cluster_header"), name)?);
            Ok(by_header(1, OfCluster { named_by, ..OfCluster::default() }).into())
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => {
            unsupported("cluster_specifier_plugin")
        }
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {
            unsupported("inline_cluster_specifier_plugin")
        }
        None => Err(at.missing("`cluster` or `weighted_clusters` has to be given")),
    }
}

fn weighted(
    at: &At<'_>,
    list: &WeightedCluster,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Destination, Fault> {
    decide!(at, list => WeightedCluster {
        // Envoy too goes by the sum of the weights; a runtime key without a runtime says nothing.
        used: clusters, random_value_specifier;
        without_effect: total_weight, runtime_key_prefix;
    });
    let random_header = match random_value_specifier {
        None => None,
        Some(RandomValueSpecifier::HeaderName(name)) if name.is_empty() => None,
        Some(RandomValueSpecifier::HeaderName(name)) => {
            Some(matcher::header_name(&at.field("header_name"), name)?)
        }
        Some(RandomValueSpecifier::UseHashPolicy(on)) if !on.value => None,
        Some(RandomValueSpecifier::UseHashPolicy(_)) => {
            return Err(at.field("use_hash_policy").unsupported("this field is not supported"));
        }
    };
    let at = at.field("clusters");
    at.at_most(MAX_WEIGHTED, clusters.len())?;
    let each = clusters.iter().enumerate();
    let each = each.map(|(index, one)| weight(&at.item(index), one, defaults, scope));
    Ok(Destination { clusters: each.collect::<Result<_, _>>()?, random_header })
}

fn weight(
    at: &At<'_>,
    one: &ClusterWeight,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Weighted, Fault> {
    decide!(at, one => ClusterWeight {
        used: name, weight, cluster_header, request_headers_to_add, request_headers_to_remove,
            response_headers_to_add, response_headers_to_remove, host_rewrite_specifier,
            typed_per_filter_config, metadata_match;
    });
    let lists = Lists {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let mut own = OfCluster { headers: headers::changes(at, &lists)?, ..OfCluster::default() };
    if let Some(HostRewriteSpecifier::HostRewriteLiteral(host)) = host_rewrite_specifier {
        own.host = rewrite::literal_host(&at.field("host_rewrite_literal"), host)?;
    }
    let weight = value::u32_or(weight, 0);
    let one = match (name.as_str(), cluster_header.as_str()) {
        ("", "") => return Err(at.missing("`name` or `cluster_header` has to be given")),
        ("", header) => {
            own.named_by = Some(matcher::header_name(&at.field("cluster_header"), header)?);
            by_header(weight, own)
        }
        (name, "") => {
            let named = named(&at.field("name"), name, weight, defaults, scope)?;
            Weighted { own: has_any(&own).then(|| Arc::new(own)), ..named }
        }
        _ => return Err(at.invalid("`name` and `cluster_header` are both set")),
    };
    let overrides = http_filter::overrides(at, typed_per_filter_config)?;
    Ok(Weighted { overrides, subset: labels::of_metadata(metadata_match.as_ref()), ..one })
}

/// Something is done for this cluster.
fn has_any(own: &OfCluster) -> bool {
    let OfCluster { named_by, headers, host } = own;
    let changes = headers.request.len() + headers.response.len();
    named_by.is_some() || changes > 0 || host.is_some()
}

/// A cluster that requests name.
fn by_header(weight: u32, own: OfCluster) -> Weighted {
    let plain = Weighted::plain(Arc::from(""), ClusterId::NOBODY, weight);
    Weighted { own: Some(Arc::new(own)), ..plain }
}

/// A cluster that is named here.
pub(crate) fn named(
    at: &At<'_>,
    name: &str,
    weight: u32,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Weighted, Fault> {
    let (name, cluster) = scope.names.id(at, name)?;
    if defaults.must_exist {
        // The field is printed now, because the check comes when all clusters are known.
        scope.needs.clusters.push((at.missing("").field, Arc::clone(&name)));
    }
    Ok(Weighted::plain(name, cluster, weight))
}
