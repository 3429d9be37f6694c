//! The descriptors that the build wrote: constant rows, looked up by binary search.

/// The kinds of protobuf fields. The table need not have a field of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)]
pub(super) enum Kind {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    Text,
    Message,
    Bytes,
    Uint32,
    Enum,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

/// How often a field may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

#[derive(Clone, Copy, Debug)]
struct MessageRow {
    at: u32,
    length: u16,
    first: u16,
    count: u16,
}

#[derive(Clone, Copy, Debug)]
struct FieldRow {
    at: u32,
    length: u16,
    number: u32,
    kind: Kind,
    shape: Shape,
    target: u16,
    oneof: u8,
}

#[derive(Clone, Copy, Debug)]
struct EnumRow {
    first: u16,
    count: u16,
}

#[derive(Clone, Copy, Debug)]
struct ValueRow {
    at: u32,
    length: u16,
    number: i32,
}

const fn m(at: u32, length: u16, first: u16, count: u16) -> MessageRow {
    MessageRow { at, length, first, count }
}

const fn f(
    at: u32,
    length: u16,
    number: u32,
    kind: Kind,
    shape: Shape,
    target: u16,
    oneof: u8,
) -> FieldRow {
    FieldRow { at, length, number, kind, shape, target, oneof }
}

const fn e(first: u16, count: u16) -> EnumRow {
    EnumRow { first, count }
}

const fn v(at: u32, length: u16, number: i32) -> ValueRow {
    ValueRow { at, length, number }
}

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// A message's descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageType(&'static MessageRow);

/// A field's descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field(&'static FieldRow);

/// An enum's descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnumType(&'static EnumRow);

/// The message of that full name.
pub(super) fn message(full_name: &str) -> Option<MessageType> {
    let found = MESSAGES.binary_search_by(|row| text(row.at, row.length).cmp(full_name)).ok()?;
    MESSAGES.get(found).map(MessageType)
}

impl MessageType {
    /// Its full name.
    pub(super) fn name(self) -> &'static str {
        text(self.0.at, self.0.length)
    }

    /// Its fields in the order of the definition.
    pub(super) fn fields(self) -> impl Iterator<Item = Field> {
        rows(&FIELDS, self.0.first, self.0.count).iter().map(Field)
    }

    /// The field of that name, as the definition has it or in camel case.
    pub(super) fn by_name(self, name: &str) -> Option<Field> {
        self.fields().find(|field| field.name() == name || is_camel(field.name(), name))
    }

    /// The field of that number.
    pub(super) fn by_number(self, number: u32) -> Option<Field> {
        self.fields().find(|field| field.number() == number)
    }
}

impl Field {
    pub(super) fn name(self) -> &'static str {
        text(self.0.at, self.0.length)
    }

    pub(super) fn number(self) -> u32 {
        self.0.number
    }

    pub(super) fn kind(self) -> Kind {
        self.0.kind
    }

    pub(super) fn shape(self) -> Shape {
        self.0.shape
    }

    /// The oneof that it is a member of; 0 for none.
    pub(super) fn oneof(self) -> u8 {
        self.0.oneof
    }

    /// The message that it holds, if its kind is `Message`.
    pub(super) fn message(self) -> Option<MessageType> {
        let row = MESSAGES.get(usize::from(self.0.target));
        row.filter(|_| self.kind() == Kind::Message).map(MessageType)
    }

    /// The enum that it holds, if its kind is `Enum`.
    pub(super) fn enumeration(self) -> Option<EnumType> {
        let row = ENUMS.get(usize::from(self.0.target));
        row.filter(|_| self.kind() == Kind::Enum).map(EnumType)
    }
}

impl EnumType {
    /// Names and numbers in the order of the definition.
    pub(super) fn values(self) -> impl Iterator<Item = (&'static str, i32)> {
        let rows = rows(&VALUES, self.0.first, self.0.count);
        rows.iter().map(|row| (text(row.at, row.length), row.number))
    }
}

/// A field's name in protobuf's JSON form: `idle_timeout` is `idleTimeout`.
pub(super) fn camel(snake: &str) -> impl Iterator<Item = char> {
    let mut up = false;
    snake.chars().filter_map(move |c| {
        if c == '_' {
            up = true;
            return None;
        }
        Some(if std::mem::take(&mut up) { c.to_ascii_uppercase() } else { c })
    })
}

fn is_camel(snake: &str, name: &str) -> bool {
    camel(snake).eq(name.chars())
}

fn text(at: u32, length: u16) -> &'static str {
    TEXT.get(at as usize..at as usize + usize::from(length)).unwrap_or_default()
}

fn rows<T>(all: &'static [T], first: u16, count: u16) -> &'static [T] {
    let first = usize::from(first);
    all.get(first..first + usize::from(count)).unwrap_or_default()
}
