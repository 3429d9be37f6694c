//! Values in the forms that protobuf's JSON and Kubernetes allow.

use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, Visitor};
use serde::{Deserialize, Serialize};

/// A known field that nothing reads. Remembers whether it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// It was written.
    pub set: bool,
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Ok(Self { set: true })
    }
}

/// `google.protobuf.Duration` as Istio's YAML writes it: `1s`, `1.5s`, `250ms`, `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Duration {
    /// Never negative; at most [`Duration::MAX_NANOS`].
    pub nanos: u64,
}

impl Duration {
    /// The longest duration: about 292 years, as in Go.
    pub const MAX_NANOS: u64 = i64::MAX as u64;

    /// Whole milliseconds, rounded down.
    pub fn as_millis(self) -> u64 {
        self.nanos / 1_000_000
    }

    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut nanos = 0u64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at_checked(digits)?;
            let (scale, tail) = unit(tail)?;
            nanos = nanos.checked_add(scaled(number, scale)?)?;
            rest = tail;
        }
        (!text.is_empty() && nanos <= Self::MAX_NANOS).then_some(Self { nanos })
    }
}

fn unit(text: &str) -> Option<(u64, &str)> {
    const UNITS: [(&str, u64); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    UNITS.iter().find_map(|(name, scale)| Some((*scale, text.strip_prefix(name)?)))
}

/// `1.5` times `scale`, without going through floating point.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let below = u128::from(part) * u128::from(scale) / 10u128.pow(fraction.len() as u32);
    whole.checked_mul(scale)?.checked_add(u64::try_from(below).ok()?)
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a duration; write `1s`, `250ms` or `1m30s`"))
        })
    }
}

/// A port by number or by name (`targetPort`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    /// The number.
    Number(u16),
    /// The name of a container's port.
    Name(String),
}

impl<'de> Deserialize<'de> for PortRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Port;
        impl Visitor<'_> for Port {
            type Value = PortRef;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number or the name of a port")
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<PortRef, E> {
                u16::try_from(v)
                    .map(PortRef::Number)
                    .map_err(|_| E::custom(format!("{v} is not a port; ports end at 65535")))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<PortRef, E> {
                Ok(v.parse().map_or_else(|_| PortRef::Name(v.to_owned()), PortRef::Number))
            }
        }
        deserializer.deserialize_any(Port)
    }
}

/// Declares an enum that is read by name, or by number as protobuf's JSON also allows.
macro_rules! proto_enum {
    ($(#[$meta:meta])* $name:ident {
        $($variant:ident = $number:literal $text:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum $name { #[default] $($variant),+ }

        impl $name {
            /// As it is written in YAML.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let all = [$((Self::$variant, $number, $text)),+];
                crate::kinds::value::named(input, &all)
            }
        }
    };
}
pub(crate) use proto_enum;

/// Reads one of `all`: value, number, name.
pub(crate) fn named<'de, D: Deserializer<'de>, T: Copy>(
    input: D,
    all: &[(T, u64, &'static str)],
) -> Result<T, D::Error> {
    struct Named<'a, T>(&'a [(T, u64, &'static str)]);
    impl<T: Copy> Named<'_, T> {
        fn find<E: Error>(&self, shown: &str, is: impl Fn(u64, &str) -> bool) -> Result<T, E> {
            let found = self.0.iter().find(|(_, number, name)| is(*number, name));
            found.map(|(value, ..)| *value).ok_or_else(|| {
                let names: Vec<_> = self.0.iter().map(|(_, _, name)| *name).collect();
                E::custom(format!("`{shown}` is not one of {}", names.join(", ")))
            })
        }
    }
    impl<T: Copy> Visitor<'_> for Named<'_, T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name")
        }
        fn visit_str<E: Error>(self, v: &str) -> Result<T, E> {
            self.find(v, |_, name| name == v)
        }
        fn visit_u64<E: Error>(self, v: u64) -> Result<T, E> {
            self.find(&v.to_string(), |number, _| number == v)
        }
    }
    input.deserialize_any(Named(all))
}
