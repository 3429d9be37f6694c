//! `access_log` of listeners, TCP proxies and connection managers.

mod filter;
mod otlp;

use std::sync::Arc;

use api::envoy::accesslog::{AccessLog, access_log::ConfigType};
use api::envoy::core::{SubstitutionFormatString, substitution_format_string};
use api::envoy::file_access_log::{FileAccessLog, file_access_log};
use api::envoy::otlp_access_log::OpenTelemetryAccessLogConfig;
use api::envoy::stream_access_log::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::http_filter::type_name;
use super::scope::Scope;
use super::{format, value};
use crate::limits::MAX_ACCESS_LOGS;
use crate::snapshot::{self, LogFormat, LogTarget};

pub(crate) use filter::filter;

/// Envoy's, where nothing is said.
const DEFAULT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n",
);

/// All logs of a list.
pub(crate) fn list(
    at: &At<'_>,
    logs: &[AccessLog],
    scope: &mut Scope<'_>,
) -> Result<Vec<snapshot::AccessLog>, Fault> {
    at.at_most(MAX_ACCESS_LOGS, logs.len())?;
    logs.iter().enumerate().map(|(index, log)| one(&at.item(index), log, scope)).collect()
}

fn one(at: &At<'_>, log: &AccessLog, scope: &mut Scope<'_>) -> Result<snapshot::AccessLog, Fault> {
    decide!(at, log => AccessLog {
        used: name, filter, config_type;
    });
    let place = at.field("filter");
    let filter = filter.as_ref().map(|given| self::filter(&place, given)).transpose()?;
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        return Err(at.field("typed_config").missing(format!("the access log `{name}`")));
    };
    let at = at.field("typed_config");
    let kind = type_name(any);
    let (target, format) = if kind == FileAccessLog::full_name() {
        file(&at, &typed(&at, any)?)?
    } else if kind == StdoutAccessLog::full_name() {
        let StdoutAccessLog { access_log_format } = typed(&at, any)?;
        let given =
            access_log_format.map(|stdout_access_log::AccessLogFormat::LogFormat(given)| given);
        (LogTarget::Stdout, stream(&at, given.as_ref())?)
    } else if kind == StderrAccessLog::full_name() {
        let StderrAccessLog { access_log_format } = typed(&at, any)?;
        let given =
            access_log_format.map(|stderr_access_log::AccessLogFormat::LogFormat(given)| given);
        (LogTarget::Stderr, stream(&at, given.as_ref())?)
    } else if kind == OpenTelemetryAccessLogConfig::full_name() {
        otlp::compile(&at, &typed(&at, any)?, scope)?
    } else {
        let reason = format!("the access log `{name}` ({kind}) is not supported");
        return Err(at.unsupported(reason));
    };
    Ok(snapshot::AccessLog { filter, format, target })
}

fn file(at: &At<'_>, log: &FileAccessLog) -> Result<(LogTarget, LogFormat), Fault> {
    use file_access_log::AccessLogFormat as Given;
    decide!(at, log => FileAccessLog {
        used: path, access_log_format;
    });
    let target = match path.as_str() {
        "" => return Err(at.field("path").missing("it may not be empty")),
        "/dev/stdout" => LogTarget::Stdout,
        "/dev/stderr" => LogTarget::Stderr,
        path => LogTarget::File(Arc::from(path)),
    };
    let format = match access_log_format {
        None => text(at, DEFAULT, false)?,
        #[allow(deprecated)]
        Some(Given::Format(given)) if given.is_empty() => text(at, DEFAULT, false)?,
        #[allow(deprecated)]
        Some(Given::Format(given)) => text(&at.field("format"), given, false)?,
        #[allow(deprecated)]
        Some(Given::JsonFormat(given)) => {
            LogFormat::Json(format::json(&at.field("json_format"), given, false)?)
        }
        #[allow(deprecated)]
        Some(Given::TypedJsonFormat(given)) => {
            LogFormat::Json(format::json(&at.field("typed_json_format"), given, false)?)
        }
        Some(Given::LogFormat(given)) => substitution(&at.field("log_format"), given)?,
    };
    Ok((target, format))
}

fn stream(at: &At<'_>, given: Option<&SubstitutionFormatString>) -> Result<LogFormat, Fault> {
    match given {
        None => text(at, DEFAULT, false),
        Some(given) => substitution(&at.field("log_format"), given),
    }
}

/// A `SubstitutionFormatString`. JSON is always ordered by key, whatever `sort_properties` says, as
/// in Envoy 1.40.
pub(crate) fn substitution(
    at: &At<'_>,
    given: &SubstitutionFormatString,
) -> Result<LogFormat, Fault> {
    use substitution_format_string::Format as Given;
    decide!(at, given => SubstitutionFormatString {
        used: omit_empty_values, format;
        // Lines of a log have none; see `local_reply`.
        used_elsewhere: content_type;
        refused: formatters;
        without_effect: json_format_options;
    });
    match format {
        #[allow(deprecated)]
        Some(Given::TextFormat(given)) => text(&at.field("text_format"), given, *omit_empty_values),
        Some(Given::TextFormatSource(source)) => {
            let at = at.field("text_format_source");
            let bytes = value::data(&at, source)?;
            let given = String::from_utf8(bytes).map_err(|_| at.invalid("no text"))?;
            text(&at, &given, *omit_empty_values)
        }
        Some(Given::JsonFormat(given)) => {
            Ok(LogFormat::Json(format::json(&at.field("json_format"), given, *omit_empty_values)?))
        }
        None => Err(at.missing("a format has to be given")),
    }
}

fn text(at: &At<'_>, text: &str, omits_empty: bool) -> Result<LogFormat, Fault> {
    let empty = if omits_empty { "" } else { "-" };
    Ok(LogFormat::Text { format: format::format(at, text)?, empty })
}

#[cfg(test)]
mod tests;
