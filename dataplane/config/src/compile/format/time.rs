//! How a time is written: `strftime`'s conversions, and Envoy's fractions of a second.

use super::super::at::{At, Fault};
use super::Command;
use crate::snapshot::TimePart;

/// What is written where nothing is said: RFC 3339 in milliseconds.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%E3SZ";

/// Conversions that stand for several others.
const MEANS: &[(char, &str)] = &[
    ('c', "%a %b %e %H:%M:%S %Y"),
    ('D', "%m/%d/%y"),
    ('F', "%Y-%m-%d"),
    ('R', "%H:%M"),
    ('r', "%I:%M:%S %p"),
    ('T', "%H:%M:%S"),
    ('X', "%H:%M:%S"),
    ('x', "%m/%d/%y"),
];

/// Conversions that are understood by themselves.
const FIELDS: &str = "aAbBCdeGgHhIjklMmPpSsUuVWwYyZz";

/// The parts of a time's format; of the default one if it is empty.
pub(super) fn format(
    at: &At<'_>,
    command: &Command<'_>,
    text: &str,
) -> Result<Vec<TimePart>, Fault> {
    let mut parts = Vec::new();
    let text = if text.is_empty() { DEFAULT } else { text };
    match read(text, &mut parts) {
        Ok(()) => Ok(parts),
        Err(what) => {
            let reason = format!("`{}`: `%{what}` is not supported in a time", command.whole);
            Err(at.unsupported(reason))
        }
    }
}

/// The conversion that is not understood is given back.
fn read(text: &str, parts: &mut Vec<TimePart>) -> Result<(), String> {
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        push_text(parts, rest.get(..percent).unwrap_or_default());
        rest = one(rest.get(percent + 1..).unwrap_or_default(), parts)?;
    }
    push_text(parts, rest);
    Ok(())
}

/// One conversion, behind its `%`. Gives the rest.
fn one<'t>(text: &'t str, parts: &mut Vec<TimePart>) -> Result<&'t str, String> {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        // A `%` at the end stands for itself, as in Envoy.
        push_text(parts, "%");
        return Ok(text);
    };
    let behind = chars.as_str();
    if let Some((_, means)) = MEANS.iter().find(|(known, _)| *known == first) {
        read(means, parts)?;
        return Ok(behind);
    }
    match first {
        '%' => push_text(parts, "%"),
        't' => push_text(parts, "\t"),
        'f' => parts.push(TimePart::Fraction(9)),
        '1'..='9' if behind.starts_with('f') => {
            parts.push(TimePart::Fraction(first as u8 - b'0'));
            return Ok(behind.get(1..).unwrap_or_default());
        }
        'E' => return extended(behind, parts),
        _ if FIELDS.contains(first) => parts.push(TimePart::Field(first as u8)),
        _ => return Err(first.to_string()),
    }
    Ok(behind)
}

/// `%E3S`, `%E*S`, `%E3f`, `%Ez`, `%E4Y`, `%ET`, behind their `E`.
fn extended<'t>(text: &'t str, parts: &mut Vec<TimePart>) -> Result<&'t str, String> {
    let seconds = |parts: &mut Vec<TimePart>, fraction| {
        parts.push(TimePart::Field(b'S'));
        parts.extend(fraction);
    };
    let bytes = text.as_bytes();
    let used = match bytes {
        [b'*', b'S', ..] => {
            seconds(parts, vec![TimePart::ShortFraction]);
            2
        }
        [digit @ b'1'..=b'9', b'S', ..] => {
            let digits = TimePart::Fraction(digit - b'0');
            seconds(parts, vec![TimePart::Text((*b".").into()), digits]);
            2
        }
        [digit @ b'1'..=b'9', b'f', ..] => {
            parts.push(TimePart::Fraction(digit - b'0'));
            2
        }
        [b'4', b'Y', ..] => {
            parts.push(TimePart::Field(b'Y'));
            2
        }
        [b'z', ..] => {
            push_text(parts, "+00:00");
            1
        }
        [b'T', ..] => {
            push_text(parts, "T");
            1
        }
        _ => return Err(format!("E{}", text.chars().take(2).collect::<String>())),
    };
    Ok(text.get(used..).unwrap_or_default())
}

fn push_text(parts: &mut Vec<TimePart>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(TimePart::Text(before)) => {
            let mut longer = std::mem::take(before).into_vec();
            longer.extend_from_slice(text.as_bytes());
            *before = longer.into();
        }
        _ => parts.push(TimePart::Text(text.as_bytes().into())),
    }
}
