//! From a tree to a struct, with the place of whatever does not fit.
//!
//! Beside what serde's derive does, this reads protobuf's JSON as Istio does: `snake_case` names
//! where `camelCase` ones are expected, `null` for "not written", and numbers in quotes.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

use super::{Key, Node, Value};

/// What does not fit, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Such as `spec.http[0].route`.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// What is wrong.
    pub reason: String,
}

/// Reads a `T`.
pub(crate) fn read<'de, T: de::Deserialize<'de>>(node: &'de Node) -> Result<T, Fault> {
    T::deserialize(At(node)).map_err(|fault: Fault| fault.on(node.line))
}

impl Fault {
    fn on(mut self, line: u32) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }

    fn under(mut self, step: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{joint}{}", self.path);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.reason)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { reason: reason.to_string(), ..Self::default() }
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let hint = match found {
            Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Float(_)
                if wanted.to_string().contains("string") =>
            {
                "; write it in quotes"
            }
            _ => "",
        };
        Self::custom(format!("is {found}, must be {wanted}{hint}"))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::custom(format!("is {found}, must be {wanted}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let near = known.iter().find(|name| nearly(name, field));
        let hint = near.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Self { path: field.to_owned(), line: 0, reason: format!("unknown field{hint}") }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format!("`{variant}` is not one of {}", known.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: field.to_owned(), line: 0, reason: "is required".to_owned() }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { path: field.to_owned(), line: 0, reason: "is written twice".to_owned() }
    }
}

/// At most two letters are different, left out, added or swapped.
fn nearly(a: &str, b: &str) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (
        a.bytes().map(|c| c.to_ascii_lowercase()).collect(),
        b.bytes().map(|c| c.to_ascii_lowercase()).collect(),
    );
    if a.len().abs_diff(b.len()) > 2 || a.len().min(b.len()) < 3 || a.len() > 64 {
        return false;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, up) in b.iter().zip(row.iter().skip(1)) {
            left = (corner + usize::from(x != y)).min(left + 1).min(up + 1);
            next.push(left);
            corner = *up;
        }
        row = next;
    }
    row.last().is_some_and(|distance| *distance <= 2)
}

/// A deserializer over one node.
#[derive(Clone, Copy)]
struct At<'de>(&'de Node);

impl<'de> At<'de> {
    /// A number in quotes counts as a number.
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Text(text) = &self.0.value else { return self.deserialize_any(visitor) };
        if let Ok(number) = text.parse::<u64>() {
            return visitor.visit_u64(number);
        }
        match text.parse::<i64>() {
            Ok(number) => visitor.visit_i64(number),
            Err(_) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
        }
    }

    fn map<V: Visitor<'de>>(self, visitor: V, fields: &'static [&'static str]) -> Read<V::Value> {
        let entries: &[(Key, Node)] = match &self.0.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => return Err(self.unexpected(&"a map")),
        };
        visitor.visit_map(Entries { entries: entries.iter(), value: None, fields })
    }

    fn unexpected(self, wanted: &dyn Expected) -> Fault {
        let found = match &self.0.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(v) => Unexpected::Bool(*v),
            Value::Int(v) => Unexpected::Signed(*v),
            Value::Uint(v) => Unexpected::Unsigned(*v),
            Value::Float(v) => Unexpected::Float(*v),
            Value::Text(v) => Unexpected::Str(v),
            Value::List(_) => Unexpected::Other("a list"),
            Value::Map(_) => Unexpected::Other("a map"),
        };
        de::Error::invalid_type(found, wanted)
    }
}

type Read<T> = Result<T, Fault>;

impl<'de> Deserializer<'de> for At<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::Int(v) => visitor.visit_i64(*v),
            Value::Uint(v) => visitor.visit_u64(*v),
            Value::Float(v) => visitor.visit_f64(*v),
            Value::Text(v) => visitor.visit_borrowed_str(v),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.map(visitor, &[]),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let items: &[Node] = match &self.0.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => return Err(self.unexpected(&"a list")),
        };
        visitor.visit_seq(Items(items.iter().enumerate()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.map(visitor, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.map(visitor, fields)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        match &self.0.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(self.unexpected(&"a name")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.number(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct identifier
    }
}

struct Items<'de>(std::iter::Enumerate<std::slice::Iter<'de, Node>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(At(node));
        read.map(Some).map_err(|fault| fault.on(node.line).under(&format!("[{index}]")))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
    /// The names a struct knows; empty for a map of anything.
    fields: &'static [&'static str],
}

impl<'de> Entries<'de> {
    /// The name that the struct knows: protobuf's JSON has two for each field.
    fn known(&self, key: &'de str) -> String {
        if self.fields.is_empty() || self.fields.contains(&key) || !key.contains('_') {
            return key.to_owned();
        }
        let camel = camel_case(key);
        if self.fields.contains(&camel.as_str()) { camel } else { key.to_owned() }
    }
}

fn camel_case(key: &str) -> String {
    let mut up = false;
    let mut camel = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            '_' => up = true,
            c if up => {
                camel.push(c.to_ascii_uppercase());
                up = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        let skip_null = !self.fields.is_empty();
        let next = self.entries.find(|(_, node)| !(skip_null && matches!(node.value, Value::Null)));
        let Some(entry) = next else { return Ok(None) };
        self.value = Some(entry);
        let name = KeyText(self.known(&entry.0.text));
        seed.deserialize(name).map(Some).map_err(|fault| fault.on(entry.0.line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let read = seed.deserialize(At(node));
        read.map_err(|fault| fault.on(key.line).under(&key.text))
    }
}

/// A key: text, or a number where the map is keyed by numbers.
struct KeyText(String);

impl<'de> Deserializer<'de> for KeyText {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        StringDeserializer::<Fault>::new(self.0).deserialize_any(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u16(number),
            Err(_) => {
                Err(de::Error::custom(format!("`{}` is not a port; ports are numbers", self.0)))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
