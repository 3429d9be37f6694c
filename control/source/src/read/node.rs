//! YAML or JSON as a tree that knows its lines.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One value and the line it begins on.
#[derive(Clone, Debug)]
pub struct Node {
    /// From 1.
    pub line: u32,
    /// What stands there.
    pub value: Value,
}

/// What a [`Node`] can be.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its line.
#[derive(Clone, Debug)]
pub struct Key {
    /// As it is written.
    pub text: String,
    /// From 1.
    pub line: u32,
}

/// Why a text is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1; 0 if unknown.
    pub line: u32,
    /// What the parser says.
    pub reason: String,
}

impl Node {
    /// Reads one document. `offset` lines stand before it in its file.
    pub fn parse(text: &str, offset: u32) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Raw = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(0, |at| line(at.line(), offset));
            SyntaxError { line, reason: first_sentence(&error.to_string()) }
        })?;
        Ok(raw.into_node(offset))
    }

    /// The value under a key, if this is a map and has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// The text under a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The line of `spec.http[0].match`, or of the nearest value around it that exists.
    pub fn line_of(&self, path: &str) -> u32 {
        let mut node = self;
        let mut line = self.line;
        for step in path.split(['.', '[']) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => {
                    let item = index.parse().ok().and_then(|i: usize| items.get(i));
                    item.map(|item| (item.line, item))
                }
                (Value::Map(entries), None) => {
                    let entry = entries.iter().find(|(name, _)| name.text == step);
                    entry.map(|(name, value)| (name.line, value))
                }
                _ => None,
            };
            let Some((at, value)) = next else { return line };
            (line, node) = (at, value);
        }
        line
    }
}

/// The parser's message without its place, which is said elsewhere.
fn first_sentence(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    // The parser also names its own options, which nobody here can set.
    let cut = [" at line ", ", set "].iter().filter_map(|mark| text.find(mark)).min();
    let cut = cut.unwrap_or(text.len());
    let text = text.get(..cut).unwrap_or(text);
    text.split_once(": ")
        .filter(|(head, _)| head.starts_with("line ") || head.starts_with("error"))
        .map_or(text, |(_, tail)| tail)
        .to_owned()
}

fn line(line: u64, offset: u32) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX).saturating_add(offset)
}

#[derive(Deserialize)]
struct Raw(Spanned<RawValue>);

enum RawValue {
    Plain(Value),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn into_node(self, offset: u32) -> Node {
        let value = match self.0.value {
            RawValue::Plain(value) => value,
            RawValue::List(items) => {
                Value::List(items.into_iter().map(|item| item.into_node(offset)).collect())
            }
            RawValue::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let line = line(key.referenced.line(), offset);
                        (Key { text: key.value, line }, value.into_node(offset))
                    })
                    .collect(),
            ),
        };
        Node { line: line(self.0.referenced.line(), offset), value }
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Bool(v)))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<RawValue, E> {
        Ok(RawValue::Plain(u64::try_from(v).map_or(Value::Int(v), Value::Uint)))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Uint(v)))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Float(v)))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Text(v.to_owned())))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Text(v)))
    }

    fn visit_unit<E: Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        RawValue::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(RawValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(RawValue::Map(entries))
    }
}
