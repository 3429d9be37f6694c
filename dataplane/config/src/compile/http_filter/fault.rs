//! `envoy.filters.http.fault`, of a chain and of a route alike.

use std::time::Duration;

use api::envoy::fault::fault_abort::ErrorType;
use api::envoy::fault::{FaultAbort, HttpFault};
use api::envoy::fault_common::fault_delay::FaultDelaySecifier as Specifier;
use api::envoy::fault_common::fault_rate_limit::{FixedLimit, LimitType};
use api::envoy::fault_common::{FaultDelay, FaultRateLimit};

use super::share;
use crate::compile::at::{At, Fault, decide};
use crate::compile::{matcher, value};
use crate::snapshot::{self, AbortAnswer};

/// As late as the clock goes: a day.
const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn compile(at: &At<'_>, fault: &HttpFault) -> Result<snapshot::HttpFault, Fault> {
    decide!(at, fault => HttpFault {
        used: delay, abort, upstream_cluster, headers, downstream_nodes, max_active_faults,
            response_rate_limit;
        // Keys of a runtime that is not there; statistics; what only a log could show.
        without_effect: delay_percent_runtime, abort_percent_runtime, delay_duration_runtime,
            abort_http_status_runtime, max_active_faults_runtime,
            response_rate_limit_percent_runtime, abort_grpc_status_runtime,
            disable_downstream_cluster_stats, filter_metadata;
    });
    let place = at.field("headers");
    let headers = headers.iter().enumerate();
    let headers = headers.map(|(index, header)| matcher::header(&place.item(index), header));
    Ok(snapshot::HttpFault {
        delay: delay.as_ref().map(|given| self::delay(&at.field("delay"), given)).transpose()?,
        abort: abort.as_ref().map(|given| self::abort(&at.field("abort"), given)).transpose()?,
        rate: response_rate_limit
            .as_ref()
            .map(|given| rate(&at.field("response_rate_limit"), given))
            .transpose()?,
        upstream_cluster: match upstream_cluster.as_str() {
            "" => None,
            name => Some(name.into()),
        },
        headers: headers.collect::<Result<_, _>>()?,
        downstream_nodes: downstream_nodes.iter().map(|name| name.as_bytes().into()).collect(),
        max_active: max_active_faults.as_ref().map(|most| most.value),
        active: Default::default(),
    })
}

fn delay(at: &At<'_>, delay: &FaultDelay) -> Result<snapshot::FaultDelay, Fault> {
    decide!(at, delay => FaultDelay {
        used: percentage, fault_delay_secifier;
    });
    let fixed = match fault_delay_secifier {
        Some(Specifier::FixedDelay(given)) => {
            let at = at.field("fixed_delay");
            let time = value::duration(&at, &Some(*given))?.filter(|time| !time.is_zero());
            let time = time.ok_or_else(|| at.invalid("longer than 0s"))?;
            Some(time)
                .filter(|time| *time <= DELAY_MAX)
                .ok_or_else(|| at.invalid("a day at most"))?
                .into()
        }
        Some(Specifier::HeaderDelay(_)) => None,
        None => return Err(at.missing("`fixed_delay` or `header_delay` has to be given")),
    };
    let share = share(&at.field("percentage"), percentage.as_ref())?;
    Ok(snapshot::FaultDelay { fixed, share })
}

fn rate(at: &At<'_>, rate: &FaultRateLimit) -> Result<snapshot::FaultRate, Fault> {
    decide!(at, rate => FaultRateLimit {
        used: limit_type, percentage;
    });
    let fixed_kib = match limit_type {
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps: 0 })) => {
            let at = at.field("fixed_limit");
            return Err(at.field("limit_kbps").invalid("at least 1"));
        }
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps })) => Some(*limit_kbps),
        Some(LimitType::HeaderLimit(_)) => None,
        None => return Err(at.missing("`fixed_limit` or `header_limit` has to be given")),
    };
    let share = share(&at.field("percentage"), percentage.as_ref())?;
    Ok(snapshot::FaultRate { fixed_kib, share })
}

fn abort(at: &At<'_>, abort: &FaultAbort) -> Result<snapshot::FaultAbort, Fault> {
    decide!(at, abort => FaultAbort {
        used: percentage, response_body, error_type;
    });
    let answer = match error_type {
        Some(ErrorType::HttpStatus(status)) => {
            let code = u16::try_from(*status).ok().filter(|code| (200..600).contains(code));
            let at = at.field("http_status");
            AbortAnswer::Http(code.ok_or_else(|| at.invalid("between 200 and 599"))?)
        }
        Some(ErrorType::GrpcStatus(status)) => AbortAnswer::Grpc(*status),
        Some(ErrorType::HeaderAbort(_)) => AbortAnswer::Header,
        None => {
            return Err(at.missing("`http_status`, `grpc_status` or `header_abort` is needed"));
        }
    };
    let share = share(&at.field("percentage"), percentage.as_ref())?;
    Ok(snapshot::FaultAbort { answer, share, body: response_body.as_str().into() })
}
