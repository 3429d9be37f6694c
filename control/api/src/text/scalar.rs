//! Numbers, booleans, text, bytes and enums, in both directions.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::Value;

use super::read::Place;
use super::table::{Field, Kind};
use super::wire::{self, Wire};
use super::{TextError, Tree};

/// Protobuf's JSON takes base64 with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends a field that is not a message.
pub(super) fn write(
    field: Field,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    let number = field.number();
    match field.kind() {
        Kind::Text => match tree {
            Tree::Text(text) => wire::bytes(number, text.as_bytes(), out),
            Tree::Bool(_) | Tree::Int(_) | Tree::Uint(_) | Tree::Float(_) => {
                let reason = format!("wanted text, found {} (put it in quotes)", tree.kind());
                return Err(place.error(reason));
            }
            _ => return Err(place.wanted("text", tree)),
        },
        Kind::Bytes => wire::bytes(number, &base64(tree, place)?, out),
        Kind::Double => fixed64(number, float(tree, place)?.to_bits(), out),
        Kind::Float => fixed32(number, (float(tree, place)? as f32).to_bits(), out),
        Kind::Bool => match tree {
            Tree::Bool(value) => varint(number, u64::from(*value), out),
            _ => return Err(place.wanted("true or false", tree)),
        },
        Kind::Enum => varint(number, i64::from(enumeration(field, tree, place)?) as u64, out),
        _ => integer(field, tree, place, out)?,
    }
    Ok(())
}

/// Appends a map's key, which is text in every text form.
pub(super) fn write_key(
    field: Field,
    key: &str,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    let tree = match (field.kind(), key) {
        (Kind::Bool, "true") => Tree::Bool(true),
        (Kind::Bool, "false") => Tree::Bool(false),
        _ => Tree::Text(key.to_owned()),
    };
    write(field, &tree, place, out)
}

/// What a scalar on the wire is in JSON; `None` where kind and wire type do not fit.
pub(super) fn print(field: Field, value: Wire<'_>) -> Option<Value> {
    Some(match (field.kind(), value) {
        (Kind::Text, Wire::Bytes(bytes)) => String::from_utf8_lossy(bytes).into(),
        (Kind::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Double, Wire::Fixed64(bits)) => number(f64::from_bits(bits)),
        (Kind::Float, Wire::Fixed32(bits)) => short_number(f32::from_bits(bits)),
        (Kind::Bool, Wire::Varint(value)) => (value != 0).into(),
        (Kind::Int32, Wire::Varint(value)) => (value as i32).into(),
        (Kind::Uint32, Wire::Varint(value)) => (value as u32).into(),
        (Kind::Int64, Wire::Varint(value)) => (value as i64).to_string().into(),
        (Kind::Uint64, Wire::Varint(value)) => value.to_string().into(),
        (Kind::Sint32, Wire::Varint(value)) => (unzigzag(value) as i32).into(),
        (Kind::Sint64, Wire::Varint(value)) => unzigzag(value).to_string().into(),
        (Kind::Fixed32, Wire::Fixed32(value)) => value.into(),
        (Kind::Sfixed32, Wire::Fixed32(value)) => (value as i32).into(),
        (Kind::Fixed64, Wire::Fixed64(value)) => value.to_string().into(),
        (Kind::Sfixed64, Wire::Fixed64(value)) => (value as i64).to_string().into(),
        (Kind::Enum, Wire::Varint(value)) => enum_name(field, value as i32),
        _ => return None,
    })
}

/// The items of a packed list, one by one.
pub(super) fn unpack<'b>(field: Field, mut bytes: &'b [u8]) -> Vec<Wire<'b>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let item = match field.kind() {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => wire::take(&mut bytes, 8)
                .and_then(|taken| Some(Wire::Fixed64(u64::from_le_bytes(taken.try_into().ok()?)))),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => wire::take(&mut bytes, 4)
                .and_then(|taken| Some(Wire::Fixed32(u32::from_le_bytes(taken.try_into().ok()?)))),
            _ => wire::take_varint(&mut bytes).map(Wire::Varint),
        };
        let Some(item) = item else { break };
        items.push(item);
    }
    items
}

fn integer(
    field: Field,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    let value = whole(tree).ok_or_else(|| place.wanted("a whole number", tree))?;
    let (low, high) = match field.kind() {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (i32::MIN.into(), i32::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => (0, u64::MAX.into()),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    if value < low || value > high {
        return Err(place.error(format!("{value} is not between {low} and {high}")));
    }
    let number = field.number();
    match field.kind() {
        Kind::Fixed32 | Kind::Sfixed32 => fixed32(number, value as u32, out),
        Kind::Fixed64 | Kind::Sfixed64 => fixed64(number, value as u64, out),
        Kind::Sint32 | Kind::Sint64 => varint(number, zigzag(value as i64), out),
        _ => varint(number, value as u64, out),
    }
    Ok(())
}

/// Numbers may be written as text, and whole ones with a decimal point.
fn whole(tree: &Tree) -> Option<i128> {
    match tree {
        Tree::Int(value) => Some(i128::from(*value)),
        Tree::Uint(value) => Some(i128::from(*value)),
        Tree::Float(value) if value.fract() == 0.0 && value.abs() < 1e19 => Some(*value as i128),
        Tree::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn float(tree: &Tree, place: &Place<'_>) -> Result<f64, TextError> {
    match tree {
        Tree::Int(value) => Ok(*value as f64),
        Tree::Uint(value) => Ok(*value as f64),
        Tree::Float(value) => Ok(*value),
        Tree::Text(text) => text.parse().map_err(|_| place.wanted("a number", tree)),
        _ => Err(place.wanted("a number", tree)),
    }
}

fn base64(tree: &Tree, place: &Place<'_>) -> Result<Vec<u8>, TextError> {
    let Tree::Text(text) = tree else { return Err(place.wanted("base64 text", tree)) };
    let standard = text.replace('-', "+").replace('_', "/");
    LENIENT.decode(standard).map_err(|error| place.error(format!("not base64: {error}")))
}

fn enumeration(field: Field, tree: &Tree, place: &Place<'_>) -> Result<i32, TextError> {
    let values = || field.enumeration().into_iter().flat_map(|kind| kind.values());
    let found = match tree {
        Tree::Text(name) => values().find(|(known, _)| known == name),
        _ => whole(tree).and_then(|number| values().find(|(_, n)| i128::from(*n) == number)),
    };
    if let Some((_, number)) = found {
        return Ok(number);
    }
    let names: Vec<_> = values().map(|(name, _)| name).collect();
    let given = match tree {
        Tree::Text(name) => format!("`{name}`"),
        other => whole(other).map_or_else(|| other.kind().to_owned(), |number| number.to_string()),
    };
    Err(place.error(format!("{given} is none of {}", names.join(", "))))
}

fn enum_name(field: Field, number: i32) -> Value {
    let mut values = field.enumeration().into_iter().flat_map(|kind| kind.values());
    values
        .find(|(_, known)| *known == number)
        .map_or_else(|| number.into(), |(name, _)| name.into())
}

/// JSON has no NaN and no infinity; protobuf writes their names.
pub(super) fn number(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// The shortest decimal that reads back as this `f32`, not its long form as an `f64`.
fn short_number(value: f32) -> Value {
    number(value.to_string().parse().unwrap_or_else(|_| f64::from(value)))
}

fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    wire::varint(u64::from(number) << 3, out);
    wire::varint(value, out);
}

fn fixed64(number: u32, value: u64, out: &mut Vec<u8>) {
    wire::varint(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed32(number: u32, value: u32, out: &mut Vec<u8>) {
    wire::varint(u64::from(number) << 3 | 5, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
