//! `Http1ProtocolOptions`, for either side.

use api::envoy::core::Http1ProtocolOptions;
use api::envoy::core::TypedExtensionConfig;
use api::envoy::core::http1_protocol_options::HeaderKeyFormat;
use api::envoy::core::http1_protocol_options::header_key_format::HeaderFormat;
use api::envoy::preserve_case::PreserveCaseFormatterConfig;
use api::envoy::preserve_case::preserve_case_formatter_config::FormatterTypeOnEnvoyHeaders;

use super::at::{At, Fault, decide, typed};
use super::{matcher, value};
use crate::snapshot::{Http1, NameForm};

/// What clients may do.
pub(crate) struct Downstream {
    pub(crate) accept_http_10: bool,
    pub(crate) allow_absolute_url: bool,
    pub(crate) http1: Http1,
}

pub(crate) fn downstream(
    at: &At<'_>,
    options: Option<&Http1ProtocolOptions>,
) -> Result<Downstream, Fault> {
    let at = &at.field("http_protocol_options");
    let Some(options) = options else {
        let http1 = Http1::default();
        return Ok(Downstream { accept_http_10: false, allow_absolute_url: true, http1 });
    };
    decide!(at, options => Http1ProtocolOptions {
        used: allow_absolute_url, accept_http_10, default_host_for_http_10, header_key_format,
            allow_chunked_length, allow_custom_methods, ignore_http_11_upgrade;
        refused: enable_trailers;
        // A connection whose framing is in doubt ends in any case.
        without_effect: use_balsa_parser, send_fully_qualified_url,
            override_stream_error_on_invalid_http_message;
    });
    let place = at.field("ignore_http_11_upgrade");
    let ignored = ignore_http_11_upgrade.iter().enumerate();
    let ignored = ignored.map(|(index, one)| matcher::string(&place.item(index), one));
    let default_host = Some(default_host_for_http_10.as_str()).filter(|host| !host.is_empty());
    Ok(Downstream {
        accept_http_10: *accept_http_10,
        allow_absolute_url: value::bool_or(allow_absolute_url, true),
        http1: Http1 {
            names: names(&at.field("header_key_format"), header_key_format.as_ref())?,
            chunked_with_length: *allow_chunked_length,
            custom_methods: *allow_custom_methods,
            default_host: default_host.map(Into::into),
            ignored_upgrades: ignored.collect::<Result<_, _>>()?,
            absolute_target: false,
        },
    })
}

/// How names are written.
pub(crate) fn names(at: &At<'_>, format: Option<&HeaderKeyFormat>) -> Result<NameForm, Fault> {
    let Some(HeaderKeyFormat { header_format }) = format else { return Ok(NameForm::Lower) };
    match header_format {
        Some(HeaderFormat::ProperCaseWords(_)) => Ok(NameForm::Proper),
        Some(HeaderFormat::StatefulFormatter(extension)) => {
            preserved(&at.field("stateful_formatter"), extension)
        }
        None => Err(at.missing("a format has to be given")),
    }
}

fn preserved(at: &At<'_>, extension: &TypedExtensionConfig) -> Result<NameForm, Fault> {
    let TypedExtensionConfig { name, typed_config } = extension;
    let at = at.field("typed_config");
    let Some(any) = typed_config else {
        return Err(at.missing(format!("the formatter `{name}`")));
    };
    let config: PreserveCaseFormatterConfig = typed(&at, any)?;
    decide!(at, config => PreserveCaseFormatterConfig {
        used: formatter_type_on_envoy_headers;
        // As in Envoy by HTTP/1.1 to HTTP/1.1; ours is the status's usual phrase always.
        without_effect: forward_reason_phrase;
    });
    let place = at.field("formatter_type_on_envoy_headers");
    Ok(NameForm::Kept {
        proper_others: match value::enumeration(&place, formatter_type_on_envoy_headers)? {
            FormatterTypeOnEnvoyHeaders::Default => false,
            FormatterTypeOnEnvoyHeaders::ProperCase => true,
        },
    })
}
