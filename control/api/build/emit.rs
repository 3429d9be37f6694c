//! Writes the table as Rust constants: rows of plain numbers and one string, so that it stays in
//! the binary's read-only pages, needs no relocation and costs no heap.

use std::collections::HashMap;
use std::fmt::Write;

use protox::prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use protox::prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};

use crate::closure::Table;

/// The Rust source of the table; its row types are in `text/table.rs`.
pub(crate) fn source(table: &Table) -> String {
    let numbers =
        Numbers { messages: numbered(table.messages.keys()), enums: numbered(table.enums.keys()) };
    let (mut text, mut messages, mut fields) = (Pool::default(), String::new(), Rows::default());
    for (name, message) in &table.messages {
        let first = fields.count;
        for field in &message.field {
            fields.push(&field_row(field, message, table, &numbers, &mut text));
        }
        let (at, length) = text.add(name);
        let _ = write!(messages, "m({at},{length},{first},{}),", fields.count - first);
    }
    let (mut enums, mut values) = (String::new(), Rows::default());
    for one in table.enums.values() {
        let first = values.count;
        for value in &one.value {
            let (at, length) = text.add(value.name());
            values.push(&format!("v({at},{length},{}),", value.number()));
        }
        let _ = write!(enums, "e({first},{}),", values.count - first);
    }
    format!(
        "static TEXT: &str = {:?};\n\
         static MESSAGES: [MessageRow; {}] = [{messages}];\n\
         static FIELDS: [FieldRow; {}] = [{}];\n\
         static ENUMS: [EnumRow; {}] = [{enums}];\n\
         static VALUES: [ValueRow; {}] = [{}];\n",
        text.text,
        table.messages.len(),
        fields.count,
        fields.text,
        table.enums.len(),
        values.count,
        values.text,
    )
}

fn field_row(
    field: &FieldDescriptorProto,
    message: &DescriptorProto,
    table: &Table,
    numbers: &Numbers<'_>,
    text: &mut Pool,
) -> String {
    let (at, length) = text.add(field.name());
    let target = field.type_name().trim_start_matches('.');
    let (kind, index) = match field.r#type() {
        Type::Message => ("Message", numbers.messages.get(target)),
        Type::Enum => ("Enum", numbers.enums.get(target)),
        other => (scalar(other), None),
    };
    let is_map = table
        .messages
        .get(target)
        .is_some_and(|entry| entry.options.as_ref().is_some_and(|options| options.map_entry()));
    let repeated = field.label() == Label::Repeated;
    let shape = match (repeated, is_map) {
        (true, true) => "Map",
        (true, false) => "List",
        _ => "One",
    };
    // A `optional` field of proto3 has a oneof of its own that no text shows.
    let oneof = match field.oneof_index {
        Some(index) if !field.proto3_optional() => index + 1,
        _ => 0,
    };
    debug_assert!(oneof as usize <= message.oneof_decl.len());
    let index = index.copied().unwrap_or(0);
    format!("f({at},{length},{},Kind::{kind},Shape::{shape},{index},{oneof}),", field.number())
}

fn scalar(kind: Type) -> &'static str {
    match kind {
        Type::Double => "Double",
        Type::Float => "Float",
        Type::Int64 => "Int64",
        Type::Uint64 => "Uint64",
        Type::Int32 => "Int32",
        Type::Fixed64 => "Fixed64",
        Type::Fixed32 => "Fixed32",
        Type::Bool => "Bool",
        Type::String => "Text",
        Type::Bytes => "Bytes",
        Type::Uint32 => "Uint32",
        Type::Sfixed32 => "Sfixed32",
        Type::Sfixed64 => "Sfixed64",
        Type::Sint32 => "Sint32",
        Type::Sint64 => "Sint64",
        Type::Message | Type::Enum | Type::Group => "Message",
    }
}

struct Numbers<'t> {
    messages: HashMap<&'t str, usize>,
    enums: HashMap<&'t str, usize>,
}

fn numbered<'t>(names: impl Iterator<Item = &'t String>) -> HashMap<&'t str, usize> {
    names.enumerate().map(|(index, name)| (name.as_str(), index)).collect()
}

#[derive(Default)]
struct Rows {
    text: String,
    count: usize,
}

impl Rows {
    fn push(&mut self, row: &str) {
        self.text.push_str(row);
        self.count += 1;
    }
}

/// All names in one string, each once.
#[derive(Default)]
struct Pool {
    text: String,
    seen: HashMap<String, usize>,
}

impl Pool {
    fn add(&mut self, name: &str) -> (usize, usize) {
        let at = *self.seen.entry(name.to_owned()).or_insert_with(|| {
            self.text.push_str(name);
            self.text.len() - name.len()
        });
        (at, name.len())
    }
}
