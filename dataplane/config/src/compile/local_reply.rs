//! `local_reply_config` of a connection manager.

use std::sync::Arc;

use api::envoy::core::SubstitutionFormatString;
use api::envoy::core::substitution_format_string::Format as Given;
use api::envoy::hcm::{LocalReplyConfig, ResponseMapper};

use super::at::{At, Fault, decide};
use super::{access_log, headers, value};
use crate::limits::MAX_REPLY_MAPPERS;
use crate::snapshot::{LocalReplies, ReplyFormat, ReplyMapper};

pub(crate) fn compile(
    at: &At<'_>,
    given: Option<&LocalReplyConfig>,
) -> Result<Option<Arc<LocalReplies>>, Fault> {
    let Some(given) = given else { return Ok(None) };
    let at = at.field("local_reply_config");
    decide!(at, given => LocalReplyConfig {
        used: mappers, body_format;
    });
    let place = at.field("mappers");
    place.at_most(MAX_REPLY_MAPPERS, mappers.len())?;
    let mappers = mappers.iter().enumerate();
    let mappers = mappers.map(|(index, mapper)| self::mapper(&place.item(index), mapper));
    Ok(Some(Arc::new(LocalReplies {
        mappers: mappers.collect::<Result<_, _>>()?,
        format: format(&at.field("body_format"), body_format.as_ref())?,
    })))
}

fn mapper(at: &At<'_>, mapper: &ResponseMapper) -> Result<ReplyMapper, Fault> {
    decide!(at, mapper => ResponseMapper {
        used: filter, status_code, body, body_format_override, headers_to_add;
    });
    let place = at.field("filter");
    let filter = filter.as_ref().ok_or_else(|| place.missing("it has to be given"))?;
    let body = body.as_ref().map(|body| value::data(&at.field("body"), body)).transpose()?;
    Ok(ReplyMapper {
        filter: access_log::filter(&place, filter)?,
        status: status_code.as_ref().map(|code| status(at, code.value)).transpose()?,
        body: body.map(Into::into),
        format: format(&at.field("body_format_override"), body_format_override.as_ref())?,
        headers: headers::formatted_additions(&at.field("headers_to_add"), headers_to_add)?,
    })
}

fn status(at: &At<'_>, code: u32) -> Result<u16, Fault> {
    let code = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
    code.ok_or_else(|| at.field("status_code").invalid("between 200 and 599"))
}

fn format(
    at: &At<'_>,
    given: Option<&SubstitutionFormatString>,
) -> Result<Option<ReplyFormat>, Fault> {
    let Some(given) = given else { return Ok(None) };
    let content_type = match (given.content_type.as_bytes(), &given.format) {
        (b"", Some(Given::JsonFormat(_))) => b"application/json",
        (b"", _) => &b"text/plain"[..],
        (own, _) => own,
    };
    Ok(Some(ReplyFormat {
        format: access_log::substitution(at, given)?,
        content_type: headers::value(&at.field("content_type"), content_type)?,
    }))
}
