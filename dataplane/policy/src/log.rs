//! Lines of access logs: whether one is written, and what it says.

use config::snapshot::{AccessLog, LogFilter, LogFormat, Point};

use crate::format::{self, Facts};
use crate::matcher;

/// Writes the line of one log, if its filter lets it. `random`: chance for a sample of the lines.
pub fn line(log: &AccessLog, facts: &Facts<'_>, random: u64, out: &mut Vec<u8>) {
    if !log.filter.as_ref().is_none_or(|filter| holds(filter, facts, random)) {
        return;
    }
    match &log.format {
        LogFormat::Text { format, empty } => {
            format::write(format, facts, empty.as_bytes(), out);
        }
        LogFormat::Json(format) => {
            format::json(format, facts, out);
            out.push(b'\n');
        }
        LogFormat::Otlp(format) => format::otlp(format, facts, out),
    }
}

/// Whether a filter lets a line be written.
pub fn holds(filter: &LogFilter, facts: &Facts<'_>, random: u64) -> bool {
    let course = &facts.course;
    match filter {
        LogFilter::NotHealthCheck => !course.is_health_check,
        LogFilter::Status(comparison) => comparison.holds(course.status.into()),
        LogFilter::Duration(comparison) => {
            course.point(Point::Over).is_some_and(|nanos| comparison.holds(nanos / 1_000_000))
        }
        LogFilter::Sample { of, out_of } => random % u64::from(*out_of).max(1) < u64::from(*of),
        LogFilter::All(filters) => filters.iter().all(|filter| holds(filter, facts, random)),
        LogFilter::Any(filters) => filters.iter().any(|filter| holds(filter, facts, random)),
        LogFilter::Header(asked) => facts.request.is_some_and(|head| matcher::header(asked, head)),
        LogFilter::Flags(None) => !course.flags.is_empty(),
        LogFilter::Flags(Some(flags)) => flags.meets(course.flags),
        LogFilter::GrpcStatus { statuses, excludes } => {
            let status = format::grpc_status(facts);
            let bit = status.and_then(|status| 1_u32.checked_shl(u32::try_from(status).ok()?));
            bit.is_some_and(|bit| bit & statuses != 0) != *excludes
        }
        LogFilter::Type { types, excludes } => types.contains(&course.kind) != *excludes,
    }
}

#[cfg(test)]
mod tests;
