//! The messages and enums that are reachable from the roots, by number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;

use protox::prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
};

/// What the table will hold, in the order of full names.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) messages: BTreeMap<String, DescriptorProto>,
    pub(crate) enums: BTreeMap<String, EnumDescriptorProto>,
}

impl Table {
    /// Starts at every message of the root files.
    pub(crate) fn reachable(
        set: &FileDescriptorSet,
        roots: &[&str],
    ) -> Result<Self, Box<dyn Error>> {
        let mut all = Known::default();
        let mut wanted = Vec::new();
        for file in &set.file {
            let first = all.messages.len();
            all.file(file.package(), &file.message_type, &file.enum_type);
            if roots.contains(&file.name()) {
                wanted.extend(all.order.iter().skip(first).cloned());
            }
        }
        for name in ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"] {
            all.message(name.to_owned(), &typed_struct());
            wanted.push(name.to_owned());
        }
        wanted.push("google.protobuf.Struct".to_owned());
        all.closure(wanted)
    }
}

#[derive(Default)]
struct Known {
    messages: HashMap<String, DescriptorProto>,
    enums: HashMap<String, EnumDescriptorProto>,
    order: Vec<String>,
}

impl Known {
    fn file(&mut self, scope: &str, messages: &[DescriptorProto], enums: &[EnumDescriptorProto]) {
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.file(&name, &message.nested_type, &message.enum_type);
            self.message(name, message);
        }
        for one in enums {
            self.enums.insert(format!("{scope}.{}", one.name()), one.clone());
        }
    }

    fn message(&mut self, name: String, message: &DescriptorProto) {
        self.order.push(name.clone());
        self.messages.insert(name, message.clone());
    }

    fn closure(&self, mut wanted: Vec<String>) -> Result<Table, Box<dyn Error>> {
        let mut table = Table::default();
        let mut seen = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let message = self.messages.get(&name).ok_or_else(|| format!("no message {name}"))?;
            for field in &message.field {
                let target = field.type_name().trim_start_matches('.').to_owned();
                match field.r#type() {
                    Type::Message => wanted.push(target),
                    Type::Enum => {
                        let found = self.enums.get(&target);
                        let found = found.ok_or_else(|| format!("no enum {target}"))?;
                        table.enums.insert(target, found.clone());
                    }
                    Type::Group => return Err(format!("{name} has a group").into()),
                    _ => {}
                }
            }
            table.messages.insert(name, message.clone());
        }
        Ok(table)
    }
}

/// The message that the package lacks, under both of its names.
fn typed_struct() -> DescriptorProto {
    let field = |name: &str, number, kind: Type, target: Option<&str>| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional as i32),
        r#type: Some(kind as i32),
        type_name: target.map(str::to_owned),
        ..Default::default()
    };
    DescriptorProto {
        name: Some("TypedStruct".to_owned()),
        field: vec![
            field("type_url", 1, Type::String, None),
            field("value", 2, Type::Message, Some(".google.protobuf.Struct")),
        ],
        ..Default::default()
    }
}
