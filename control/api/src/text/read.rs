//! A tree into the bytes of a message.

use std::fmt::Write;

use super::table::{Field, Kind, MessageType, Shape};
use super::{MAX_DEPTH, TextError, Tree, known, scalar, table, wire};

/// Reads `tree` as the message of that full name and gives its wire bytes.
pub(super) fn message(full_name: &str, tree: &Tree) -> Result<Vec<u8>, TextError> {
    let place = Place { above: None, step: Step::Root, depth: 0 };
    let Some(message) = table::message(full_name) else {
        return Err(place.error(format!("`{full_name}` is not known to this build")));
    };
    let mut out = Vec::new();
    value(message, tree, &place, &mut out)?;
    Ok(out)
}

/// Where the reader stands; printed only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    above: Option<&'p Self>,
    step: Step<'p>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Field(&'p str),
    Item(usize),
    Key(&'p str),
}

impl<'p> Place<'p> {
    pub(super) fn error(&self, reason: impl Into<String>) -> TextError {
        let mut place = String::new();
        self.print(&mut place);
        TextError { place, reason: reason.into() }
    }

    pub(super) fn wanted(&self, what: &str, tree: &Tree) -> TextError {
        self.error(format!("wanted {what}, found {}", tree.kind()))
    }

    pub(super) fn field(&'p self, name: &'p str) -> Self {
        self.below(Step::Field(name))
    }

    pub(super) fn item(&'p self, index: usize) -> Self {
        self.below(Step::Item(index))
    }

    pub(super) fn key(&'p self, key: &'p str) -> Self {
        self.below(Step::Key(key))
    }

    fn below(&'p self, step: Step<'p>) -> Self {
        Self { above: Some(self), step, depth: self.depth + 1 }
    }

    fn print(&self, out: &mut String) {
        if let Some(above) = self.above {
            above.print(out);
        }
        // Writing to a string cannot fail.
        let _ = match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if out.is_empty() => write!(out, "{name}"),
            Step::Field(name) => write!(out, ".{name}"),
            Step::Item(index) => write!(out, "[{index}]"),
            Step::Key(key) => write!(out, "[{key:?}]"),
        };
    }
}

/// One message, well-known ones in their own form.
pub(super) fn value(
    message: MessageType,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    if place.depth > MAX_DEPTH {
        return Err(place.error(format!("more than {MAX_DEPTH} objects within each other")));
    }
    if let Some(read) = known::read(message, tree, place, out) {
        return read;
    }
    match tree {
        Tree::Map(entries) => fields(message, entries, &[], place, out),
        Tree::Null => Ok(()),
        _ => Err(place.wanted(&format!("an object ({})", message.name()), tree)),
    }
}

/// The fields of a message, but for the keys in `aside`.
pub(super) fn fields(
    message: MessageType,
    entries: &[(String, Tree)],
    aside: &[&str],
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    let mut seen: Vec<Field> = Vec::new();
    for (key, tree) in entries {
        if aside.contains(&key.as_str()) {
            continue;
        }
        let Some(field) = message.by_name(key) else {
            return Err(place.error(unknown(message, key)));
        };
        if matches!(tree, Tree::Null) && !takes_null(field) {
            continue;
        }
        if let Some(other) = seen.iter().find(|other| clash(**other, field)) {
            let reason = match other.number() == field.number() {
                true => format!("`{}` is there twice", field.name()),
                false => format!(
                    "`{}` and `{}` are both set; only one may be",
                    other.name(),
                    field.name()
                ),
            };
            return Err(place.error(reason));
        }
        seen.push(field);
        shaped(field, tree, &place.field(field.name()), out)?;
    }
    Ok(())
}

fn clash(one: Field, other: Field) -> bool {
    one.number() == other.number() || (one.oneof() != 0 && one.oneof() == other.oneof())
}

/// `google.protobuf.Value` is the one type in which `null` is a value.
fn takes_null(field: Field) -> bool {
    field.message().is_some_and(|message| message.name() == "google.protobuf.Value")
}

fn unknown(message: MessageType, key: &str) -> String {
    let near = message.fields().map(Field::name).find(|name| {
        let same = |c: &char| c.is_ascii_alphanumeric();
        let (name, key) = (name.chars().filter(same), key.chars().filter(same));
        name.map(|c| c.to_ascii_lowercase()).eq(key.map(|c| c.to_ascii_lowercase()))
    });
    let short = message.name().rsplit('.').next().unwrap_or_default();
    match near {
        Some(near) => format!("unknown field \"{key}\" in {short}; `{near}` is meant?"),
        None => format!("unknown field \"{key}\" in {short}"),
    }
}

fn shaped(
    field: Field,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    match (field.shape(), tree) {
        (Shape::One, _) => single(field, tree, place, out),
        (Shape::List, Tree::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                let place = place.item(index);
                if matches!(item, Tree::Null) && !takes_null(field) {
                    return Err(place.error("an item of a list may not be null"));
                }
                single(field, item, &place, out)?;
            }
            Ok(())
        }
        (Shape::List, _) => Err(place.wanted("a list", tree)),
        (Shape::Map, Tree::Map(entries)) => entries
            .iter()
            .try_for_each(|(key, value)| map_entry(field, key, value, &place.key(key), out)),
        (Shape::Map, _) => Err(place.wanted("an object", tree)),
    }
}

fn map_entry(
    field: Field,
    key: &str,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    let entry = field.message();
    let parts = entry.and_then(|entry| Some((entry.by_number(1)?, entry.by_number(2)?)));
    let Some((key_field, value_field)) = parts else {
        return Err(place.error("this map is not known to this build"));
    };
    let mut bytes = Vec::new();
    scalar::write_key(key_field, key, place, &mut bytes)?;
    single(value_field, tree, place, &mut bytes)?;
    wire::bytes(field.number(), &bytes, out);
    Ok(())
}

fn single(
    field: Field,
    tree: &Tree,
    place: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TextError> {
    if field.kind() != Kind::Message {
        return scalar::write(field, tree, place, out);
    }
    let Some(message) = field.message() else {
        return Err(place.error("this message is not known to this build"));
    };
    let mut bytes = Vec::new();
    value(message, tree, place, &mut bytes)?;
    wire::bytes(field.number(), &bytes, out);
    Ok(())
}
