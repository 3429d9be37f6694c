//! `load_balancing_policy`: the first policy of the list that is known here is taken, as in Envoy.

use api::envoy::cluster::LoadBalancingPolicy;
use api::envoy::lb_common::locality_lb_config::{
    LocalityConfigSpecifier as Specifier, ZoneAwareLbConfig,
};
use api::envoy::lb_common::{ConsistentHashingLbConfig, LocalityLbConfig, SlowStartConfig};
use api::envoy::lb_least_request::{LeastRequest, least_request::SelectionMethod};
use api::envoy::lb_maglev::Maglev;
use api::envoy::lb_random::Random;
use api::envoy::lb_ring_hash::{RingHash, ring_hash::HashFunction as Function};
use api::envoy::lb_round_robin::RoundRobin;
use api::envoy::protobuf::Any;
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::balance::{self, Chosen};
use super::http_filter::type_name;
use super::value;
use crate::snapshot::{HashFunction, LbPolicy};

/// What the list says, in addition to `common`: as in Envoy, of `common_lb_config` the panic
/// threshold alone holds then.
pub(crate) fn compile(
    at: &At<'_>,
    list: &LoadBalancingPolicy,
    common: Chosen,
) -> Result<Chosen, Fault> {
    let common = Chosen { balance: Default::default(), use_hostname: false, ..common };
    let at = at.field("policies");
    let mut seen = Vec::new();
    for (index, policy) in list.policies.iter().enumerate() {
        let at = at.item(index);
        let at = at.field("typed_extension_config");
        let Some(extension) = &policy.typed_extension_config else {
            return Err(at.missing("it has to be given"));
        };
        let at = at.field("typed_config");
        let Some(any) = &extension.typed_config else {
            return Err(at.missing(format!("the policy `{}`", extension.name)));
        };
        match one(&at, any, common)? {
            Some(chosen) => return Ok(chosen),
            None => seen.push(type_name(any)),
        }
    }
    Err(at.unsupported(format!("none of these is supported: {}", seen.join(", "))))
}

fn one(at: &At<'_>, any: &Any, common: Chosen) -> Result<Option<Chosen>, Fault> {
    let kind = type_name(any);
    let chosen = if kind == RoundRobin::full_name() {
        round_robin(at, &typed(at, any)?, common)
    } else if kind == LeastRequest::full_name() {
        least_request(at, &typed(at, any)?, common)
    } else if kind == Random::full_name() {
        let Random { locality_lb_config } = typed(at, any)?;
        let chosen = Chosen { policy: LbPolicy::Random, ..common };
        by_locality(at, locality_lb_config.as_ref(), chosen)
    } else if kind == RingHash::full_name() {
        ring_hash(at, &typed(at, any)?, common)
    } else if kind == Maglev::full_name() {
        maglev(at, &typed(at, any)?, common)
    } else {
        return Ok(None);
    };
    chosen.map(Some)
}

fn round_robin(at: &At<'_>, config: &RoundRobin, mut chosen: Chosen) -> Result<Chosen, Fault> {
    let RoundRobin { slow_start_config, locality_lb_config } = config;
    chosen.policy = LbPolicy::RoundRobin;
    chosen.balance.slow_start = slow_start(at, slow_start_config.as_ref())?;
    by_locality(at, locality_lb_config.as_ref(), chosen)
}

fn least_request(at: &At<'_>, config: &LeastRequest, mut chosen: Chosen) -> Result<Chosen, Fault> {
    decide!(at, config => LeastRequest {
        used: choice_count, active_request_bias, slow_start_config, locality_lb_config,
            selection_method;
        refused_if_true: enable_full_scan;
    });
    let place = at.field("selection_method");
    let method: SelectionMethod = value::enumeration(&place, *selection_method)?;
    if method == SelectionMethod::FullScan {
        return Err(place.unsupported("only N_CHOICES is supported"));
    }
    chosen.policy = balance::least_request(at, choice_count, active_request_bias.as_ref())?;
    chosen.balance.slow_start = slow_start(at, slow_start_config.as_ref())?;
    by_locality(at, locality_lb_config.as_ref(), chosen)
}

fn ring_hash(at: &At<'_>, config: &RingHash, mut chosen: Chosen) -> Result<Chosen, Fault> {
    decide!(at, config => RingHash {
        used: hash_function, minimum_ring_size, maximum_ring_size, use_hostname_for_hashing,
            hash_balance_factor, consistent_hashing_lb_config, locality_weighted_lb_config;
    });
    let function = match value::enumeration(&at.field("hash_function"), *hash_function)? {
        Function::DefaultHash | Function::XxHash => HashFunction::Xx,
        Function::MurmurHash2 => HashFunction::Murmur2,
    };
    chosen.policy = balance::ring_hash(at, minimum_ring_size, maximum_ring_size, function)?;
    chosen.balance.by_locality = locality_weighted_lb_config.is_some();
    chosen.use_hostname = *use_hostname_for_hashing;
    chosen.balance.hash_percent = balance::factor(at, hash_balance_factor)?;
    hashing(at, consistent_hashing_lb_config.as_ref(), chosen)
}

fn maglev(at: &At<'_>, config: &Maglev, mut chosen: Chosen) -> Result<Chosen, Fault> {
    let Maglev { table_size, consistent_hashing_lb_config, locality_weighted_lb_config } = config;
    chosen.policy = balance::maglev(at, table_size)?;
    chosen.balance.by_locality = locality_weighted_lb_config.is_some();
    hashing(at, consistent_hashing_lb_config.as_ref(), chosen)
}

/// What hashing policies share.
fn hashing(
    at: &At<'_>,
    config: Option<&ConsistentHashingLbConfig>,
    mut chosen: Chosen,
) -> Result<Chosen, Fault> {
    let Some(config) = config else { return Ok(chosen) };
    let at = at.field("consistent_hashing_lb_config");
    decide!(at, config => ConsistentHashingLbConfig {
        used: use_hostname_for_hashing, hash_balance_factor;
        refused: hash_policy;
    });
    chosen.use_hostname = *use_hostname_for_hashing;
    chosen.balance.hash_percent = balance::factor(&at, hash_balance_factor)?;
    Ok(chosen)
}

fn slow_start(
    at: &At<'_>,
    config: Option<&SlowStartConfig>,
) -> Result<Option<crate::snapshot::SlowStart>, Fault> {
    let Some(config) = config else { return Ok(None) };
    let at = at.field("slow_start_config");
    let SlowStartConfig { slow_start_window, aggression, min_weight_percent } = config;
    let window = value::duration(&at.field("slow_start_window"), slow_start_window)?;
    balance::slowly(&at, window, aggression.as_ref(), min_weight_percent.as_ref())
}

fn by_locality(
    at: &At<'_>,
    config: Option<&LocalityLbConfig>,
    mut chosen: Chosen,
) -> Result<Chosen, Fault> {
    let at = at.field("locality_lb_config");
    match config.map(|config| &config.locality_config_specifier) {
        None => {}
        Some(Some(Specifier::LocalityWeightedLbConfig(_))) => chosen.balance.by_locality = true,
        Some(Some(Specifier::ZoneAwareLbConfig(config))) => {
            decide!(at.field("zone_aware_lb_config"), config => ZoneAwareLbConfig {
                used: fail_traffic_on_panic;
                // Zones are compared with those of a local cluster, and there is none.
                without_effect: routing_enabled, min_cluster_size, force_locality_direct_routing,
                    force_local_zone, locality_basis;
            });
            chosen.balance.fail_on_panic = *fail_traffic_on_panic;
        }
        Some(None) => return Err(at.missing("nothing is said of localities")),
    }
    Ok(chosen)
}
