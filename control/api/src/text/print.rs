//! The bytes of a message into JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use serde_json::{Map, Value};

use super::known::{has_own_form, is_wrapper, short_name};
use super::table::{self, Field, Kind, MessageType, Shape};
use super::wire::{self, Wire};
use super::{MAX_DEPTH, scalar, time};

/// How field names are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// As the definition has them (Envoy's own dumps).
    #[default]
    Snake,
    /// In protobuf's JSON form (istioctl's output).
    Camel,
}

/// Prints the message of that full name; one that the table lacks as its bytes.
pub(super) fn message(full_name: &str, bytes: &[u8], case: Case) -> Value {
    match table::message(full_name) {
        Some(message) => value(message, bytes, case, 0),
        None => STANDARD.encode(bytes).into(),
    }
}

/// Prints what an `Any` holds.
pub(super) fn any(any: &Any, case: Case) -> Value {
    any_at(any, case, 0)
}

fn any_at(any: &Any, case: Case, depth: usize) -> Value {
    let mut object = Map::new();
    object.insert("@type".to_owned(), any.type_url.clone().into());
    match table::message(crate::any::full_name(&any.type_url)) {
        Some(message) if !has_own_form(message) => {
            if let Value::Object(fields) = value(message, &any.value, case, depth + 1) {
                object.extend(fields);
            }
        }
        Some(message) => {
            object.insert("value".to_owned(), value(message, &any.value, case, depth + 1));
        }
        None => {
            object.insert("value".to_owned(), STANDARD.encode(&any.value).into());
        }
    }
    Value::Object(object)
}

fn value(message: MessageType, bytes: &[u8], case: Case, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match short_name(message) {
        Some("Any") => return any_at(&Any::decode(bytes).unwrap_or_default(), case, depth),
        Some("Duration") => return moment(bytes, time::print_duration),
        Some("Timestamp") => return moment(bytes, time::print_timestamp),
        Some("Struct") => return structure(message, bytes, case, depth),
        Some("Value") => return dynamic(message, bytes, case, depth),
        Some("ListValue") => {
            let mut object = fields(message, bytes, case, depth);
            return object.remove("values").unwrap_or_else(|| Value::Array(Vec::new()));
        }
        Some(short) if is_wrapper(short) => return wrapped(message, bytes),
        _ => {}
    }
    Value::Object(fields(message, bytes, case, depth))
}

fn fields(message: MessageType, mut bytes: &[u8], case: Case, depth: usize) -> Map<String, Value> {
    let mut object = Map::new();
    while let Some((number, found)) = wire::next(&mut bytes) {
        let Some(field) = message.by_number(number) else { continue };
        let name = match case {
            Case::Snake => field.name().to_owned(),
            Case::Camel => table::camel(field.name()).collect(),
        };
        match field.shape() {
            Shape::One => {
                if let Some(value) = single(field, found, case, depth) {
                    object.insert(name, value);
                }
            }
            Shape::List => {
                let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.extend(items(field, found, case, depth));
                }
            }
            Shape::Map => {
                let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if let (Value::Object(map), Wire::Bytes(entry)) = (map, found) {
                    map.extend(map_entry(field, entry, case, depth));
                }
            }
        }
    }
    object
}

fn single(field: Field, found: Wire<'_>, case: Case, depth: usize) -> Option<Value> {
    match (field.kind(), found) {
        (Kind::Message, Wire::Bytes(bytes)) => {
            Some(value(field.message()?, bytes, case, depth + 1))
        }
        (Kind::Message, _) => None,
        _ => scalar::print(field, found),
    }
}

fn items(field: Field, found: Wire<'_>, case: Case, depth: usize) -> Vec<Value> {
    let scalar = !matches!(field.kind(), Kind::Message | Kind::Text | Kind::Bytes);
    match found {
        Wire::Bytes(bytes) if scalar => {
            let items = scalar::unpack(field, bytes).into_iter();
            items.filter_map(|item| scalar::print(field, item)).collect()
        }
        _ => single(field, found, case, depth).into_iter().collect(),
    }
}

fn map_entry(field: Field, mut bytes: &[u8], case: Case, depth: usize) -> Option<(String, Value)> {
    let entry = field.message()?;
    let (key_field, value_field) = (entry.by_number(1)?, entry.by_number(2)?);
    let (mut key, mut value) = (String::new(), default(value_field, case, depth));
    while let Some((number, found)) = wire::next(&mut bytes) {
        match number {
            1 => {
                key = match scalar::print(key_field, found)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
            }
            2 => value = single(value_field, found, case, depth)?,
            _ => {}
        }
    }
    Some((key, value))
}

/// What a map's value is when its bytes leave it out.
fn default(field: Field, case: Case, depth: usize) -> Value {
    let empty = match field.kind() {
        Kind::Message | Kind::Text | Kind::Bytes => Wire::Bytes(&[]),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64(0),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32(0),
        _ => Wire::Varint(0),
    };
    single(field, empty, case, depth).unwrap_or(Value::Null)
}

fn wrapped(message: MessageType, mut bytes: &[u8]) -> Value {
    let Some(field) = message.by_number(1) else { return Value::Null };
    let found = wire::next(&mut bytes).and_then(|(_, found)| scalar::print(field, found));
    found.unwrap_or_else(|| default(field, Case::Snake, 0))
}

fn moment(mut bytes: &[u8], print: fn(i64, i32) -> String) -> Value {
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, found)) = wire::next(&mut bytes) {
        match (number, found) {
            (1, Wire::Varint(value)) => seconds = value as i64,
            (2, Wire::Varint(value)) => nanos = value as i32,
            _ => {}
        }
    }
    print(seconds, nanos).into()
}

fn structure(message: MessageType, bytes: &[u8], case: Case, depth: usize) -> Value {
    let mut object = fields(message, bytes, case, depth);
    object.remove("fields").unwrap_or_else(|| Value::Object(Map::new()))
}

/// `google.protobuf.Value`: the one field that is set, bare.
fn dynamic(message: MessageType, mut bytes: &[u8], case: Case, depth: usize) -> Value {
    let Some((number, found)) = wire::next(&mut bytes) else { return Value::Null };
    match (number, found) {
        (2, Wire::Fixed64(bits)) => plain(f64::from_bits(bits)),
        (1, _) => Value::Null,
        _ => message
            .by_number(number)
            .and_then(|field| single(field, found, case, depth))
            .unwrap_or(Value::Null),
    }
}

/// Numbers in a struct are floating; whole ones are printed as people wrote them.
fn plain(value: f64) -> Value {
    match value.fract() == 0.0 && value.abs() < 9e15 {
        true => (value as i64).into(),
        false => scalar::number(value),
    }
}
