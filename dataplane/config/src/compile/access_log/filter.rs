//! `AccessLogFilter`.

use api::envoy::accesslog::access_log_filter::FilterSpecifier;
use api::envoy::accesslog::comparison_filter::Op;
use api::envoy::accesslog::{
    AccessLogFilter, ComparisonFilter, GrpcStatusFilter, HeaderFilter, LogTypeFilter,
    ResponseFlagFilter, RuntimeFilter,
};
use api::envoy::accesslog_data::AccessLogType as Type;
use api::envoy::core::RuntimeUInt32;
use api::envoy::types::{FractionalPercent, fractional_percent::DenominatorType};

use super::super::at::{At, Fault, decide};
use super::super::{matcher, value};
use crate::limits::MAX_LOG_FILTERS;
use crate::snapshot::{AccessLogType, Compare, Flag, Flags, LogFilter, Threshold};

pub(crate) fn filter(at: &At<'_>, given: &AccessLogFilter) -> Result<LogFilter, Fault> {
    nested(at, given, 0)
}

fn nested(at: &At<'_>, given: &AccessLogFilter, depth: usize) -> Result<LogFilter, Fault> {
    use FilterSpecifier as Given;
    at.at_most(MAX_LOG_FILTERS, depth)?;
    let unsupported = |name: &str| Err(at.field(name).unsupported("this filter is not supported"));
    match &given.filter_specifier {
        Some(Given::StatusCodeFilter(given)) => {
            let at = at.field("status_code_filter");
            comparison(&at, given.comparison.as_ref()).map(LogFilter::Status)
        }
        Some(Given::DurationFilter(given)) => {
            let at = at.field("duration_filter");
            comparison(&at, given.comparison.as_ref()).map(LogFilter::Duration)
        }
        Some(Given::NotHealthCheckFilter(_)) => Ok(LogFilter::NotHealthCheck),
        Some(Given::TraceableFilter(_)) => unsupported("traceable_filter"),
        Some(Given::RuntimeFilter(given)) => runtime(&at.field("runtime_filter"), given),
        Some(Given::AndFilter(given)) => {
            several(&at.field("and_filter"), &given.filters, depth).map(LogFilter::All)
        }
        Some(Given::OrFilter(given)) => {
            several(&at.field("or_filter"), &given.filters, depth).map(LogFilter::Any)
        }
        Some(Given::HeaderFilter(HeaderFilter { header })) => {
            let at = at.field("header_filter");
            let at = at.field("header");
            let header = header.as_ref().ok_or_else(|| at.missing("it has to be given"))?;
            matcher::header(&at, header).map(LogFilter::Header)
        }
        Some(Given::ResponseFlagFilter(given)) => flags(&at.field("response_flag_filter"), given),
        Some(Given::GrpcStatusFilter(given)) => grpc(&at.field("grpc_status_filter"), given),
        Some(Given::LogTypeFilter(given)) => types(&at.field("log_type_filter"), given),
        Some(Given::ExtensionFilter(given)) => {
            let reason = format!("the filter `{}` is not supported", given.name);
            Err(at.field("extension_filter").unsupported(reason))
        }
        Some(Given::MetadataFilter(_)) => unsupported("metadata_filter"),
        None => Err(at.missing("nothing is said of what to look at")),
    }
}

fn several(at: &At<'_>, given: &[AccessLogFilter], depth: usize) -> Result<Vec<LogFilter>, Fault> {
    let at = at.field("filters");
    at.at_most(MAX_LOG_FILTERS, given.len())?;
    if given.len() < 2 {
        return Err(at.invalid("at least two"));
    }
    let each = given.iter().enumerate();
    each.map(|(index, one)| nested(&at.item(index), one, depth + 1)).collect()
}

fn comparison(at: &At<'_>, given: Option<&ComparisonFilter>) -> Result<Threshold, Fault> {
    let at = at.field("comparison");
    let given = given.ok_or_else(|| at.missing("it has to be given"))?;
    decide!(at, given => ComparisonFilter {
        used: op, value;
    });
    let how = match value::enumeration(&at.field("op"), *op)? {
        Op::Eq => Compare::Equal,
        Op::Ge => Compare::AtLeast,
        Op::Le => Compare::AtMost,
        Op::Ne => Compare::Differs,
    };
    // No runtime key exists here: the default value holds.
    let with = value.as_ref().map(|RuntimeUInt32 { default_value, runtime_key: _ }| *default_value);
    Ok(Threshold { how, with: with.unwrap_or(0).into() })
}

fn runtime(at: &At<'_>, given: &RuntimeFilter) -> Result<LogFilter, Fault> {
    decide!(at, given => RuntimeFilter {
        used: percent_sampled;
        // No runtime key exists here; and which requests are taken is chance in either case.
        without_effect: runtime_key, use_independent_randomness;
    });
    let Some(FractionalPercent { numerator, denominator }) = percent_sampled else {
        return Ok(LogFilter::Sample { of: 0, out_of: 100 });
    };
    let at = at.field("percent_sampled");
    let out_of = match value::enumeration(&at.field("denominator"), *denominator)? {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    Ok(LogFilter::Sample { of: *numerator, out_of })
}

fn flags(at: &At<'_>, given: &ResponseFlagFilter) -> Result<LogFilter, Fault> {
    let at = at.field("flags");
    let mut flags = Flags::NONE;
    for (index, name) in given.flags.iter().enumerate() {
        let flag = Flag::named(name);
        let unknown = || at.item(index).invalid(format!("`{name}` is no response flag"));
        flags = flags.with(Flags::of(flag.ok_or_else(unknown)?));
    }
    Ok(LogFilter::Flags(Some(flags).filter(|flags| !flags.is_empty())))
}

fn grpc(at: &At<'_>, given: &GrpcStatusFilter) -> Result<LogFilter, Fault> {
    let at = at.field("statuses");
    let mut statuses = 0;
    for (index, status) in given.statuses.iter().enumerate() {
        let status = u32::try_from(*status).ok().filter(|status| *status <= 16);
        statuses |= 1 << status.ok_or_else(|| at.item(index).invalid("no status of gRPC"))?;
    }
    Ok(LogFilter::GrpcStatus { statuses, excludes: given.exclude })
}

/// A type that is never written here is accepted, and never met.
fn types(at: &At<'_>, given: &LogTypeFilter) -> Result<LogFilter, Fault> {
    let at = at.field("types");
    let mut types = Vec::new();
    for (index, one) in given.types.iter().enumerate() {
        match value::enumeration(&at.item(index), *one)? {
            Type::NotSet => types.push(AccessLogType::NotSet),
            Type::TcpConnectionEnd => types.push(AccessLogType::TcpConnectionEnd),
            Type::DownstreamEnd => types.push(AccessLogType::DownstreamEnd),
            _ => {}
        }
    }
    Ok(LogFilter::Type { types, excludes: given.exclude })
}
