//! `request_headers_to_add` and its three sisters.

use api::envoy::core::HeaderValueOption;
use api::envoy::core::header_value_option::HeaderAppendAction;

use super::at::{At, Fault, decide};
use super::value::enumeration;
use super::{format, matcher};
use crate::snapshot::{HeaderChange, HeaderChanges, HeaderValue};

/// The four lists that routes, virtual hosts and route configurations have.
pub(crate) struct Lists<'m> {
    pub(crate) request_add: &'m [HeaderValueOption],
    pub(crate) request_remove: &'m [String],
    pub(crate) response_add: &'m [HeaderValueOption],
    pub(crate) response_remove: &'m [String],
}

/// What is removed is removed before anything is added, as in Envoy.
pub(crate) fn changes(at: &At<'_>, lists: &Lists<'_>) -> Result<HeaderChanges, Fault> {
    let Lists { request_add, request_remove, response_add, response_remove } = lists;
    let request = list(
        (&at.field("request_headers_to_add"), request_add),
        (&at.field("request_headers_to_remove"), request_remove),
    )?;
    let response = list(
        (&at.field("response_headers_to_add"), response_add),
        (&at.field("response_headers_to_remove"), response_remove),
    )?;
    Ok(HeaderChanges::new(request, response))
}

fn list(
    add: (&At<'_>, &[HeaderValueOption]),
    remove: (&At<'_>, &[String]),
) -> Result<Vec<HeaderChange>, Fault> {
    let mut changes = Vec::with_capacity(add.1.len() + remove.1.len());
    for (index, header) in remove.1.iter().enumerate() {
        changes.push(HeaderChange::Remove(name(&remove.0.item(index), header)?));
    }
    for (index, option) in add.1.iter().enumerate() {
        changes.extend(addition(&add.0.item(index), option)?);
    }
    Ok(changes)
}

/// What is added to an answer of our own.
pub(crate) fn formatted_additions(
    at: &At<'_>,
    list: &[HeaderValueOption],
) -> Result<Vec<HeaderChange>, Fault> {
    let each = list.iter().enumerate().map(|(index, option)| addition(&at.item(index), option));
    each.filter_map(Result::transpose).collect()
}

/// What a filter adds, all of it as it stands.
pub(crate) fn additions(
    at: &At<'_>,
    list: &[HeaderValueOption],
) -> Result<Vec<HeaderChange>, Fault> {
    let each = list.iter().enumerate().map(|(index, option)| literal(&at.item(index), option));
    each.filter_map(Result::transpose).collect()
}

/// The same for one. `None`: it would add nothing.
pub(crate) fn literal(
    at: &At<'_>,
    option: &HeaderValueOption,
) -> Result<Option<HeaderChange>, Fault> {
    let change = addition(at, option)?;
    let value = match &change {
        None | Some(HeaderChange::Remove(_)) => return Ok(change),
        Some(
            HeaderChange::Append(_, value)
            | HeaderChange::AddIfAbsent(_, value)
            | HeaderChange::Overwrite(_, value)
            | HeaderChange::OverwriteIfExists(_, value),
        ) => value,
    };
    match value {
        HeaderValue::Text(_) => Ok(change),
        HeaderValue::Format(_) | HeaderValue::FormatOrEmpty(_) => {
            Err(at.unsupported("command operators (%…%) are not supported in filters"))
        }
    }
}

/// `None`: it would add nothing.
fn addition(at: &At<'_>, option: &HeaderValueOption) -> Result<Option<HeaderChange>, Fault> {
    decide!(at, option => HeaderValueOption {
        used: header, append, append_action, keep_empty_value;
    });
    let Some(header) = header else { return Err(at.missing("`header` has to be given")) };
    let action = enumeration(&at.field("append_action"), *append_action)?;
    let action = match append {
        None => action,
        Some(_) if *append_action != 0 => {
            return Err(at.invalid("`append` and `append_action` are both set"));
        }
        Some(append) if append.value => HeaderAppendAction::AppendIfExistsOrAdd,
        Some(_) => HeaderAppendAction::OverwriteIfExistsOrAdd,
    };
    let at = at.field("header");
    let key = name(&at.field("key"), &header.key)?;
    let value = match header.value.is_empty() {
        true => {
            let at = at.field("raw_value");
            let text = std::str::from_utf8(&header.raw_value);
            formatted(&at, text.map_err(|_| at.invalid("no text"))?, *keep_empty_value)?
        }
        false => formatted(&at.field("value"), &header.value, *keep_empty_value)?,
    };
    let Some(value) = value else { return Ok(None) };
    Ok(Some(match action {
        HeaderAppendAction::AppendIfExistsOrAdd => HeaderChange::Append(key, value),
        HeaderAppendAction::AddIfAbsent => HeaderChange::AddIfAbsent(key, value),
        HeaderAppendAction::OverwriteIfExistsOrAdd => HeaderChange::Overwrite(key, value),
        HeaderAppendAction::OverwriteIfExists => HeaderChange::OverwriteIfExists(key, value),
    }))
}

/// Names that frame or address a message cannot be changed here.
pub(crate) fn name(at: &At<'_>, name: &str) -> Result<Box<[u8]>, Fault> {
    let name = matcher::header_name(at, name)?;
    match name.first() == Some(&b':') || *name == *b"host" {
        true => Err(at.unsupported("`host` and names that begin with `:` cannot be changed")),
        false => Ok(name),
    }
}

/// A value as it stands.
pub(crate) fn value(at: &At<'_>, text: &[u8]) -> Result<Box<[u8]>, Fault> {
    match text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        true => Err(at.invalid("a line end in a header value")),
        false => Ok(text.into()),
    }
}

/// A value, with operators or without. `None`: it is empty, and such a one is not kept.
fn formatted(at: &At<'_>, text: &str, keeps_empty: bool) -> Result<Option<HeaderValue>, Fault> {
    if text.contains(['\r', '\n', '\0']) {
        return Err(at.invalid("a line end in a header value"));
    }
    let format = format::format(at, text)?;
    Ok(match format.as_text() {
        Some(b"") if !keeps_empty => None,
        Some(text) => Some(HeaderValue::Text(text.into())),
        None if keeps_empty => Some(HeaderValue::FormatOrEmpty(Box::new(format))),
        None => Some(HeaderValue::Format(Box::new(format))),
    })
}
