//! The well-known types, which have a text form of their own.

use super::read::{self, Place};
use super::table::{self, MessageType};
use super::{TextError, Tree, scalar, time, wire};

/// The name of a well-known type below `google.protobuf.`.
pub(super) fn short_name(message: MessageType) -> Option<&'static str> {
    message.name().strip_prefix("google.protobuf.")
}

/// A wrapper such as `UInt32Value`.
pub(super) fn is_wrapper(short: &str) -> bool {
    const WRAPPERS: [&str; 9] = [
        "BoolValue",
        "BytesValue",
        "DoubleValue",
        "FloatValue",
        "Int32Value",
        "Int64Value",
        "StringValue",
        "UInt32Value",
        "UInt64Value",
    ];
    WRAPPERS.contains(&short)
}

/// The message has a form of its own; it is then the one under `value` beside an `@type`.
pub(super) fn has_own_form(message: MessageType) -> bool {
    short_name(message).is_some_and(|short| {
        is_wrapper(short)
            || matches!(short, "Any" | "Duration" | "ListValue" | "Struct" | "Timestamp" | "Value")
    })
}

/// Reads a message that has a form of its own; `None` if it has not.
pub(super) fn read(
    message: MessageType,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Option<Result<(), TextError>> {
    let short = short_name(message)?;
    Some(match short {
        "Any" => any(tree, place, out),
        "Duration" => moment(tree, place, "a duration such as \"1.5s\"", time::parse_duration, out),
        "Timestamp" => {
            moment(tree, place, "a time such as 2026-01-31T12:00:00Z", time::parse_timestamp, out)
        }
        "Struct" => structure(tree, place, out),
        "Value" => value(tree, place, out),
        "ListValue" => list(tree, place, out),
        short if is_wrapper(short) => match message.by_number(1) {
            Some(field) => scalar::write(field, tree, place, out),
            None => Err(place.error("this wrapper is not known to this build")),
        },
        _ => return None,
    })
}

fn any(tree: &Tree, place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), TextError> {
    let Tree::Map(entries) = tree else {
        return Err(place.wanted("an object with \"@type\"", tree));
    };
    let find = |key: &str| entries.iter().find(|(known, _)| known == key).map(|(_, tree)| tree);
    let Some(Tree::Text(type_url)) = find("@type") else {
        if entries.is_empty() {
            return Ok(());
        }
        return Err(place.error("\"@type\" is missing: what message is it?"));
    };
    let name = crate::any::full_name(type_url);
    let Some(message) = table::message(name) else {
        return Err(place.error(format!("the type `{name}` is not supported")));
    };
    let mut bytes = Vec::new();
    if has_own_form(message) {
        let only = entries.iter().all(|(key, _)| key == "@type" || key == "value");
        let inner = find("value").filter(|_| only);
        let inner = inner.ok_or_else(|| place.error(format!("`{name}` stands under \"value\"")))?;
        read::value(message, inner, &place.field("value"), &mut bytes)?;
    } else {
        read::fields(message, entries, &["@type"], place, &mut bytes)?;
    }
    wire::bytes(1, type_url.as_bytes(), out);
    wire::bytes(2, &bytes, out);
    Ok(())
}

fn moment(
    tree: &Tree,
    place: &Place<'_>,
    what: &str,
    parse: fn(&str) -> Option<(i64, i32)>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    let Tree::Text(text) = tree else { return Err(place.wanted(what, tree)) };
    let (seconds, nanos) =
        parse(text).ok_or_else(|| place.error(format!("wanted {what}, found \"{text}\"")))?;
    for (tag, value) in [(1_u64 << 3, seconds), (2 << 3, i64::from(nanos))] {
        wire::varint(tag, out);
        wire::varint(value as u64, out);
    }
    Ok(())
}

fn structure(tree: &Tree, place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), TextError> {
    let Tree::Map(entries) = tree else { return Err(place.wanted("an object", tree)) };
    for (key, tree) in entries {
        let (mut entry, mut inner) = (Vec::new(), Vec::new());
        value(tree, &place.key(key), &mut inner)?;
        wire::bytes(1, key.as_bytes(), &mut entry);
        wire::bytes(2, &inner, &mut entry);
        wire::bytes(1, &entry, out);
    }
    Ok(())
}

fn list(tree: &Tree, place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), TextError> {
    let Tree::List(items) = tree else { return Err(place.wanted("a list", tree)) };
    for (index, tree) in items.iter().enumerate() {
        let mut inner = Vec::new();
        value(tree, &place.item(index), &mut inner)?;
        wire::bytes(1, &inner, out);
    }
    Ok(())
}

/// `google.protobuf.Value`: null 1, number 2, text 3, boolean 4, object 5, list 6.
fn value(tree: &Tree, place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), TextError> {
    let float = |value: f64, out: &mut Vec<u8>| {
        wire::varint(2 << 3 | 1, out);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    };
    let flag = |number: u64, value: bool, out: &mut Vec<u8>| {
        wire::varint(number << 3, out);
        wire::varint(u64::from(value), out);
    };
    match tree {
        Tree::Null => flag(1, false, out),
        Tree::Int(value) => float(*value as f64, out),
        Tree::Uint(value) => float(*value as f64, out),
        Tree::Float(value) => float(*value, out),
        Tree::Text(text) => wire::bytes(3, text.as_bytes(), out),
        Tree::Bool(value) => flag(4, *value, out),
        Tree::Map(_) => {
            let mut inner = Vec::new();
            structure(tree, place, &mut inner)?;
            wire::bytes(5, &inner, out);
        }
        Tree::List(_) => {
            let mut inner = Vec::new();
            list(tree, place, &mut inner)?;
            wire::bytes(6, &inner, out);
        }
    }
    Ok(())
}
