//! `json_format`: an object of format strings, ordered by key as Envoy writes it.

use api::envoy::protobuf::{ListValue, Struct, Value, value::Kind};

use super::super::at::{At, Fault};
use super::format;
use crate::limits::MAX_FORMAT_DEPTH;
use crate::snapshot::{JsonFormat, JsonNode, Part};

/// A `json_format`.
pub(crate) fn json(at: &At<'_>, given: &Struct, omits_empty: bool) -> Result<JsonFormat, Fault> {
    Ok(JsonFormat { root: object(at, given, 0)?, omits_empty })
}

fn object(at: &At<'_>, given: &Struct, depth: usize) -> Result<JsonNode, Fault> {
    at.at_most(MAX_FORMAT_DEPTH, depth)?;
    let mut keys: Vec<_> = given.fields.iter().collect();
    keys.sort_by_key(|(key, _)| key.as_bytes());
    let each = keys
        .into_iter()
        .map(|(key, value)| Ok((quoted(key), node(&at.key(key), value, depth + 1)?)));
    Ok(JsonNode::Object(each.collect::<Result<_, _>>()?))
}

fn array(at: &At<'_>, given: &ListValue, depth: usize) -> Result<JsonNode, Fault> {
    at.at_most(MAX_FORMAT_DEPTH, depth)?;
    let each = given.values.iter().enumerate();
    let each = each.map(|(index, value)| node(&at.item(index), value, depth + 1));
    Ok(JsonNode::Array(each.collect::<Result<_, _>>()?))
}

fn node(at: &At<'_>, value: &Value, depth: usize) -> Result<JsonNode, Fault> {
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => JsonNode::Null,
        Some(Kind::BoolValue(truth)) => literal(if *truth { "true" } else { "false" }),
        Some(Kind::NumberValue(number)) => match number.is_finite() {
            true => literal(&number.to_string()),
            false => return Err(at.invalid("no number of JSON")),
        },
        Some(Kind::StringValue(text)) => text_node(at, text)?,
        Some(Kind::StructValue(given)) => object(at, given, depth)?,
        Some(Kind::ListValue(list)) => array(at, list, depth)?,
    })
}

fn text_node(at: &At<'_>, text: &str) -> Result<JsonNode, Fault> {
    let mut format = format(at, text)?;
    if let Some(text) = format.as_text() {
        return Ok(JsonNode::Literal(quoted(&String::from_utf8_lossy(text))));
    }
    Ok(match (format.parts.len(), format.parts.pop()) {
        (1, Some(Part::Operator(operator))) => JsonNode::Operator(operator),
        (_, last) => {
            format.parts.extend(last);
            format.parts.iter_mut().for_each(|part| {
                if let Part::Text(text) = part {
                    *text = escaped(&String::from_utf8_lossy(text)).into_bytes().into();
                }
            });
            JsonNode::Text(format)
        }
    })
}

fn literal(text: &str) -> JsonNode {
    JsonNode::Literal(text.as_bytes().into())
}

fn quoted(text: &str) -> Box<[u8]> {
    format!("\"{}\"", escaped(text)).into_bytes().into()
}

/// Text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Writing to a string cannot fail.
            '\0'..='\u{1f}' => drop(write!(out, "\\u{:04x}", char as u32)),
            _ => out.push(char),
        }
    }
    out
}
