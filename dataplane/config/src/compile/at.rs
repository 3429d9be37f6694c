//! Where the compiler stands in a message, and what it says when something is wrong there.

use std::fmt::Write;

use api::envoy::Any;
use prost::{Message, Name};

use crate::refused::{Code, Kind, Refused};

/// A field of a message that is compiled; printed only when it is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    above: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Item(usize),
    Key(&'a str),
}

/// Why a field is refused, before it is known whose field it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl Fault {
    /// Says whose field it is.
    pub(crate) fn of(self, kind: Kind, name: &str) -> Refused {
        let Self { field, code, reason } = self;
        Refused { kind, name: name.to_owned(), field, code, reason }
    }
}

impl<'a> At<'a> {
    /// The resource itself.
    pub(crate) fn root() -> Self {
        Self { above: None, step: Step::Root }
    }

    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Self { above: Some(self), step: Step::Field(name) }
    }

    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self { above: Some(self), step: Step::Item(index) }
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self { above: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn fault(&self, code: Code, reason: impl Into<String>) -> Fault {
        let mut field = String::new();
        self.print(&mut field);
        Fault { field, code, reason: reason.into() }
    }

    pub(crate) fn invalid(&self, reason: impl Into<String>) -> Fault {
        self.fault(Code::Invalid, reason)
    }

    pub(crate) fn missing(&self, reason: impl Into<String>) -> Fault {
        self.fault(Code::Missing, reason)
    }

    pub(crate) fn unsupported(&self, reason: impl Into<String>) -> Fault {
        self.fault(Code::Unsupported, reason)
    }

    /// Refuses a list or map that is longer than `most`.
    pub(crate) fn at_most(&self, most: usize, length: usize) -> Result<(), Fault> {
        match length > most {
            true => Err(self.fault(Code::Limit, format!("{length} entries; at most {most}"))),
            false => Ok(()),
        }
    }

    /// Refuses the field of that name if it is set.
    pub(crate) fn refuse(&self, name: &str, field: &impl IsSet) -> Result<(), Fault> {
        match field.is_set() {
            true => Err(self.field(plain(name)).unsupported("this field is not supported")),
            false => Ok(()),
        }
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

/// A field's name without the mark that Rust needs where it is a keyword.
fn plain(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Reads an `Any` as the message that it must be.
pub(crate) fn typed<M: Message + Name + Default>(at: &At<'_>, any: &Any) -> Result<M, Fault> {
    api::unpack(any).map_err(|error| at.fault(Code::Malformed, error.to_string()))
}

/// Protobuf cannot always say whether a field was set: a scalar is, if it is not its default.
pub(crate) trait IsSet {
    fn is_set(&self) -> bool;
}

impl<T> IsSet for Option<T> {
    fn is_set(&self) -> bool {
        self.is_some()
    }
}

impl<T> IsSet for Vec<T> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl<K, V> IsSet for std::collections::HashMap<K, V> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl IsSet for String {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl IsSet for bool {
    fn is_set(&self) -> bool {
        *self
    }
}

impl IsSet for i32 {
    fn is_set(&self) -> bool {
        *self != 0
    }
}

impl IsSet for u32 {
    fn is_set(&self) -> bool {
        *self != 0
    }
}

impl IsSet for i64 {
    fn is_set(&self) -> bool {
        *self != 0
    }
}

/// A `BoolValue` that is there and `true`.
pub(crate) fn is_true(value: &Option<api::envoy::protobuf::BoolValue>) -> bool {
    value.as_ref().is_some_and(|value| value.value)
}

/// Takes a message apart and says of every field what becomes of it, without a `..`: a field that a
/// new version of the API brings is decided upon before it compiles. `used` fields are bound for
/// what follows; `used_elsewhere` are another function's; `refused` must not be set, and
/// `refused_if_true` may be set to `false`; `without_effect` are accepted and change nothing here.
/// docs/config-support.md is written from these lists.
macro_rules! decide {
    ($at:expr, $message:expr => $kind:path {
        $(used: $($used:ident),+;)?
        $(used_elsewhere: $($elsewhere:ident),+;)?
        $(refused: $($refused:ident),+;)?
        $(refused_if_true: $($truth:ident),+;)?
        $(without_effect: $($idle:ident),+;)?
    }) => {
        #[allow(deprecated)]
        let $kind {
            $($($used,)+)?
            $($($elsewhere: _,)+)?
            $($($refused,)+)?
            $($($truth,)+)?
            $($($idle: _,)+)?
        } = $message;
        $($( $at.refuse(stringify!($refused), $refused)?; )+)?
        $($( $at.refuse(stringify!($truth), &crate::compile::at::is_true($truth))?; )+)?
    };
}

pub(crate) use decide;
