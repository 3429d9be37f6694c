//! How a host is chosen: `lb_policy` and its settings, `common_lb_config`, and
//! `load_balancing_policy`, which goes before both.

use std::time::Duration;

use api::envoy::cluster::cluster::common_lb_config::{
    ConsistentHashingLbConfig, LocalityConfigSpecifier, ZoneAwareLbConfig,
};
use api::envoy::cluster::cluster::ring_hash_lb_config::HashFunction as Function;
use api::envoy::cluster::cluster::{
    CommonLbConfig, LbConfig, LbPolicy as Policy, LeastRequestLbConfig, MaglevLbConfig,
    OriginalDstLbConfig, RingHashLbConfig, RoundRobinLbConfig, SlowStartConfig,
};
use api::envoy::core::RuntimeDouble;
use api::envoy::protobuf::{self, UInt64Value};
use api::envoy::types::Percent;

use super::at::{At, Fault, decide};
use super::value;
use crate::snapshot::{Balance, Discovery, HashFunction, LbPolicy, SlowStart};

/// Envoy's defaults.
const PANIC_PERCENT: f64 = 50.0;
const RING_MIN: u64 = 1024;
const RING_MAX: u64 = 8 << 20;
const TABLE: u64 = 65_537;
/// The largest table that may be asked for.
const TABLE_MAX: u64 = 5_000_011;
const MIN_WEIGHT_PERCENT: f64 = 10.0;

/// How hosts are chosen, put together from all the places that say something of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) policy: LbPolicy,
    pub(crate) panic_percent: u8,
    pub(crate) balance: Balance,
    pub(crate) use_hostname: bool,
}

/// What `common_lb_config` says.
pub(crate) fn common(at: &At<'_>, config: Option<&CommonLbConfig>) -> Result<Chosen, Fault> {
    let unset = CommonLbConfig::default();
    let config = config.unwrap_or(&unset);
    decide!(at, config => CommonLbConfig {
        used: healthy_panic_threshold, locality_config_specifier, consistent_hashing_lb_config;
        refused: close_connections_on_host_set_change;
        without_effect: update_merge_window, ignore_new_hosts_until_first_hc,
            override_host_status;
    });
    let mut balance = Balance::default();
    match locality_config_specifier {
        None => {}
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(config)) => {
            decide!(at.field("zone_aware_lb_config"), config => ZoneAwareLbConfig {
                used: fail_traffic_on_panic;
                // Zones are compared with those of a local cluster, and there is none.
                without_effect: routing_enabled, min_cluster_size;
            });
            balance.fail_on_panic = *fail_traffic_on_panic;
        }
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => balance.by_locality = true,
    }
    let mut use_hostname = false;
    if let Some(config) = consistent_hashing_lb_config {
        let at = at.field("consistent_hashing_lb_config");
        decide!(at, config => ConsistentHashingLbConfig {
            used: use_hostname_for_hashing, hash_balance_factor;
        });
        use_hostname = *use_hostname_for_hashing;
        balance.hash_percent = factor(&at, hash_balance_factor)?;
    }
    let panic_percent = panic_percent(at, healthy_panic_threshold.as_ref())?;
    Ok(Chosen { policy: LbPolicy::RoundRobin, panic_percent, balance, use_hostname })
}

pub(crate) fn factor(
    at: &At<'_>,
    given: &Option<protobuf::UInt32Value>,
) -> Result<Option<u32>, Fault> {
    match given.as_ref().map(|given| given.value) {
        None | Some(0) => Ok(None),
        Some(given @ 100..) => Ok(Some(given)),
        Some(_) => Err(at.field("hash_balance_factor").invalid("at least 100")),
    }
}

fn panic_percent(at: &At<'_>, given: Option<&Percent>) -> Result<u8, Fault> {
    let given = given.map_or(PANIC_PERCENT, |given| given.value);
    match (0.0..=100.0).contains(&given) {
        // As in Envoy, what is behind the point does not count.
        true => Ok(given as u8),
        false => Err(at.field("healthy_panic_threshold").invalid("from 0 to 100")),
    }
}

/// What `lb_policy` and its settings say, in addition to `common`.
pub(crate) fn policy(
    at: &At<'_>,
    discovery: Discovery,
    number: i32,
    config: Option<&LbConfig>,
    mut common: Chosen,
) -> Result<Chosen, Fault> {
    let place = at.field("lb_policy");
    let asked = value::enumeration(&place, number)?;
    if (discovery == Discovery::OriginalDst) != (asked == Policy::ClusterProvided) {
        return Err(place.invalid("ORIGINAL_DST clusters, and only they, use CLUSTER_PROVIDED"));
    }
    // As in Envoy, the settings of a policy that is not used say nothing.
    common.policy = match (asked, config) {
        (Policy::RoundRobin, Some(LbConfig::RoundRobinLbConfig(config))) => {
            let RoundRobinLbConfig { slow_start_config } = config;
            let at = at.field("round_robin_lb_config");
            common.balance.slow_start = slow_start(&at, slow_start_config.as_ref())?;
            LbPolicy::RoundRobin
        }
        (Policy::LeastRequest, Some(LbConfig::LeastRequestLbConfig(config))) => {
            let at = at.field("least_request_lb_config");
            decide!(at, config => LeastRequestLbConfig {
                used: choice_count, active_request_bias, slow_start_config;
            });
            common.balance.slow_start = slow_start(&at, slow_start_config.as_ref())?;
            least_request(&at, choice_count, active_request_bias.as_ref())?
        }
        (Policy::RingHash, Some(LbConfig::RingHashLbConfig(config))) => {
            let at = at.field("ring_hash_lb_config");
            decide!(at, config => RingHashLbConfig {
                used: minimum_ring_size, hash_function, maximum_ring_size;
            });
            let function = value::enumeration(&at.field("hash_function"), *hash_function)?;
            let function = match function {
                Function::XxHash => HashFunction::Xx,
                Function::MurmurHash2 => HashFunction::Murmur2,
            };
            ring_hash(&at, minimum_ring_size, maximum_ring_size, function)?
        }
        (Policy::Maglev, Some(LbConfig::MaglevLbConfig(config))) => {
            let MaglevLbConfig { table_size } = config;
            maglev(&at.field("maglev_lb_config"), table_size)?
        }
        (Policy::RoundRobin, _) => LbPolicy::RoundRobin,
        (Policy::LeastRequest, _) => LbPolicy::LeastRequest { choices: 2, bias: 1.0 },
        (Policy::Random, _) => LbPolicy::Random,
        (Policy::ClusterProvided, _) => LbPolicy::Provided,
        (Policy::RingHash, _) => ring_hash(at, &None, &None, HashFunction::Xx)?,
        (Policy::Maglev, _) => maglev(at, &None)?,
        (other @ Policy::LoadBalancingPolicyConfig, _) => {
            let reason = format!("{} without load_balancing_policy", other.as_str_name());
            return Err(place.missing(reason));
        }
    };
    Ok(common)
}

pub(crate) fn least_request(
    at: &At<'_>,
    choices: &Option<protobuf::UInt32Value>,
    bias: Option<&RuntimeDouble>,
) -> Result<LbPolicy, Fault> {
    let choices = value::u32_or(choices, 2);
    if choices < 2 {
        return Err(at.field("choice_count").invalid("at least 2"));
    }
    // There is no runtime here: the default is the value. As in Envoy, what is no number at all or
    // below 0 counts as 1.
    let bias = bias.map_or(1.0, |bias| bias.default_value);
    Ok(LbPolicy::LeastRequest { choices, bias: if bias >= 0.0 { bias } else { 1.0 } })
}

pub(crate) fn ring_hash(
    at: &At<'_>,
    min: &Option<UInt64Value>,
    max: &Option<UInt64Value>,
    function: HashFunction,
) -> Result<LbPolicy, Fault> {
    let given =
        |field: &Option<UInt64Value>, default| field.as_ref().map_or(default, |given| given.value);
    let (min, max) = (given(min, RING_MIN), given(max, RING_MAX));
    if min > RING_MAX || max > RING_MAX || min > max {
        let place = at.field("minimum_ring_size");
        return Err(place.invalid(format!("at most the maximum, and both at most {RING_MAX}")));
    }
    Ok(LbPolicy::RingHash { min, max, function })
}

pub(crate) fn maglev(at: &At<'_>, size: &Option<UInt64Value>) -> Result<LbPolicy, Fault> {
    let size = size.as_ref().map_or(TABLE, |size| size.value);
    match u32::try_from(size) {
        Ok(table_size) if size <= TABLE_MAX && is_prime(size) => {
            Ok(LbPolicy::Maglev { table_size })
        }
        _ => Err(at.field("table_size").invalid(format!("a prime, at most {TABLE_MAX}"))),
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2 && (2..).take_while(|by| by * by <= number).all(|by| !number.is_multiple_of(by))
}

fn slow_start(at: &At<'_>, config: Option<&SlowStartConfig>) -> Result<Option<SlowStart>, Fault> {
    let Some(config) = config else { return Ok(None) };
    let at = at.field("slow_start_config");
    decide!(at, config => SlowStartConfig {
        used: slow_start_window, aggression, min_weight_percent;
    });
    let window = value::duration(&at.field("slow_start_window"), slow_start_window)?;
    slowly(&at, window, aggression.as_ref(), min_weight_percent.as_ref())
}

/// The same of either kind of message.
pub(crate) fn slowly(
    at: &At<'_>,
    window: Option<Duration>,
    aggression: Option<&RuntimeDouble>,
    min_weight: Option<&Percent>,
) -> Result<Option<SlowStart>, Fault> {
    let min = min_weight.map_or(MIN_WEIGHT_PERCENT, |min| min.value);
    if !(0.0..=100.0).contains(&min) {
        return Err(at.field("min_weight_percent").invalid("from 0 to 100"));
    }
    let Some(window) = window.filter(|window| !window.is_zero()) else { return Ok(None) };
    // As in Envoy, what is not above 0 counts as 1.
    let aggression = aggression.map_or(1.0, |given| given.default_value);
    let aggression = if aggression > 0.0 { aggression } else { 1.0 };
    Ok(Some(SlowStart { window, aggression, min_share: min / 100.0 }))
}

pub(crate) fn port_override(at: &At<'_>, config: Option<&LbConfig>) -> Result<Option<u16>, Fault> {
    let Some(LbConfig::OriginalDstLbConfig(config)) = config else { return Ok(None) };
    let at = at.field("original_dst_lb_config");
    decide!(at, config => OriginalDstLbConfig {
        used: upstream_port_override;
        refused: use_http_header, http_header_name, metadata_key;
    });
    let at = at.field("upstream_port_override");
    upstream_port_override.as_ref().map(|port| value::port(&at, port.value)).transpose()
}
