//! `OutlierDetection`.

use std::time::Duration;

use api::envoy::cluster::OutlierDetection;
use api::envoy::protobuf::{self, UInt32Value};

use super::at::{At, Fault, decide};
use super::value;
use crate::snapshot::{self, Comparison};

/// Envoy's defaults.
const INTERVAL: Duration = Duration::from_secs(10);
const BASE_TIME: Duration = Duration::from_secs(30);
const MAX_TIME: Duration = Duration::from_secs(300);

pub(crate) fn compile(
    at: &At<'_>,
    given: &OutlierDetection,
) -> Result<snapshot::OutlierDetection, Fault> {
    decide!(at, given => OutlierDetection {
        used: consecutive_5xx, interval, base_ejection_time, max_ejection_percent,
            enforcing_consecutive_5xx, enforcing_success_rate, success_rate_minimum_hosts,
            success_rate_request_volume, success_rate_stdev_factor, consecutive_gateway_failure,
            enforcing_consecutive_gateway_failure, split_external_local_origin_errors,
            consecutive_local_origin_failure, enforcing_consecutive_local_origin_failure,
            enforcing_local_origin_success_rate, failure_percentage_threshold,
            enforcing_failure_percentage, enforcing_failure_percentage_local_origin,
            failure_percentage_minimum_hosts, failure_percentage_request_volume,
            max_ejection_time, max_ejection_time_jitter, always_eject_one_host;
        refused: monitors;
        refused_if_true: detect_degraded_hosts;
        without_effect: successful_active_health_check_uneject_host;
    });
    let percent = |name, field, default| percent(&at.field(name), field, default);
    let count = |field, default| value::u32_or(field, default);
    let base_time = positive(&at.field("base_ejection_time"), base_ejection_time, BASE_TIME)?;
    let place = at.field("max_ejection_time");
    let max_time = positive(&place, max_ejection_time, MAX_TIME.max(base_time))?;
    if max_time < base_time {
        return Err(place.invalid("it cannot be shorter than base_ejection_time"));
    }
    let jitter = value::duration(&at.field("max_ejection_time_jitter"), max_ejection_time_jitter)?;
    let answers = ("enforcing_failure_percentage", enforcing_failure_percentage);
    let local = ("enforcing_local_origin_success_rate", enforcing_local_origin_success_rate);
    let failures = "enforcing_failure_percentage_local_origin";
    Ok(snapshot::OutlierDetection {
        consecutive_5xx: count(consecutive_5xx, 5),
        enforcing_5xx: percent("enforcing_consecutive_5xx", enforcing_consecutive_5xx, 100)?,
        consecutive_gateway: count(consecutive_gateway_failure, 5),
        enforcing_gateway: percent(
            "enforcing_consecutive_gateway_failure",
            enforcing_consecutive_gateway_failure,
            0,
        )?,
        consecutive_local: count(consecutive_local_origin_failure, 5),
        enforcing_local: percent(
            "enforcing_consecutive_local_origin_failure",
            enforcing_consecutive_local_origin_failure,
            100,
        )?,
        split: *split_external_local_origin_errors,
        interval: positive(&at.field("interval"), interval, INTERVAL)?,
        base_time,
        max_time,
        jitter: jitter.unwrap_or_default(),
        max_percent: percent("max_ejection_percent", max_ejection_percent, 10)?,
        always_one: value::bool_or(always_eject_one_host, false),
        answers: Comparison {
            enforcing_success: percent("enforcing_success_rate", enforcing_success_rate, 100)?,
            enforcing_failure: percent(answers.0, answers.1, 0)?,
        },
        local: Comparison {
            enforcing_success: percent(local.0, local.1, 100)?,
            enforcing_failure: percent(failures, enforcing_failure_percentage_local_origin, 0)?,
        },
        success_volume: count(success_rate_request_volume, 100).into(),
        success_hosts: count(success_rate_minimum_hosts, 5) as usize,
        success_deviation: count(success_rate_stdev_factor, 1900),
        failure_percent: percent("failure_percentage_threshold", failure_percentage_threshold, 85)?,
        failure_volume: count(failure_percentage_request_volume, 50).into(),
        failure_hosts: count(failure_percentage_minimum_hosts, 5) as usize,
    })
}

fn percent(at: &At<'_>, field: &Option<UInt32Value>, default: u32) -> Result<u8, Fault> {
    let given = value::u32_or(field, default);
    let percent = u8::try_from(given).ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| at.invalid("from 0 to 100"))
}

fn positive(
    at: &At<'_>,
    field: &Option<protobuf::Duration>,
    default: Duration,
) -> Result<Duration, Fault> {
    match value::duration(at, field)?.unwrap_or(default) {
        Duration::ZERO => Err(at.invalid("longer than 0s")),
        given => Ok(given),
    }
}
