//! Log records of OTLP (`opentelemetry.proto.logs.v1`), written as protobuf in one pass.
//!
//! A record is written as the field `log_records` of a `ScopeLogs`, so that records one after the
//! other are the rest of such a message.

use config::snapshot::{OtlpFormat, OtlpNode};

use super::Facts;

/// Fields by their numbers and wire types (1: eight bytes, 2: a length and so many bytes).
const LOG_RECORDS: u8 = 2 << 3 | 2;
const TIME_UNIX_NANO: u8 = 1 << 3 | 1;
const BODY: u8 = 5 << 3 | 2;
const ATTRIBUTES: u8 = 6 << 3 | 2;
/// Of `KeyValue`.
const VALUE: u8 = 2 << 3 | 2;
/// Of `AnyValue`.
const STRING_VALUE: u8 = 1 << 3 | 2;
const ARRAY_VALUE: u8 = 5 << 3 | 2;
const KVLIST_VALUE: u8 = 6 << 3 | 2;
/// Of `ArrayValue` and `KeyValueList`.
const VALUES: u8 = 1 << 3 | 2;

/// What stands for a value that is not there, as in Envoy.
const EMPTY: &[u8] = b"-";
/// What stands for a byte that is no text.
const NO_TEXT: u8 = b'!';

/// Writes a record.
pub fn otlp(format: &OtlpFormat, facts: &Facts<'_>, out: &mut Vec<u8>) {
    field(LOG_RECORDS, out, |out| {
        out.push(TIME_UNIX_NANO);
        out.extend_from_slice(&facts.course.start.to_le_bytes());
        if let Some(body) = &format.body {
            field(BODY, out, |out| any(body, facts, out));
        }
        pairs(ATTRIBUTES, &format.attributes, facts, out);
    });
}

/// An `AnyValue`.
fn any(node: &OtlpNode, facts: &Facts<'_>, out: &mut Vec<u8>) {
    match node {
        OtlpNode::Literal(encoded) => out.extend_from_slice(encoded),
        OtlpNode::Text(format) => field(STRING_VALUE, out, |out| {
            let start = out.len();
            super::write(format, facts, EMPTY, out);
            keep_text(out.get_mut(start..).unwrap_or_default());
        }),
        OtlpNode::List(nodes) => field(ARRAY_VALUE, out, |out| {
            for node in nodes {
                field(VALUES, out, |out| any(node, facts, out));
            }
        }),
        OtlpNode::Map(list) => field(KVLIST_VALUE, out, |out| pairs(VALUES, list, facts, out)),
    }
}

/// `KeyValue`s, each as a field of this tag.
fn pairs(tag: u8, list: &[(Box<[u8]>, OtlpNode)], facts: &Facts<'_>, out: &mut Vec<u8>) {
    for (key, value) in list {
        field(tag, out, |out| {
            out.extend_from_slice(key);
            field(VALUE, out, |out| any(value, facts, out));
        });
    }
}

/// A field that has its length before it. Most are short and have one byte for it; of a longer one
/// the rest of the length is written behind it and turned to its front.
fn field(tag: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[tag, 0]);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    if let Some(first) = out.get_mut(start - 1) {
        *first = digit(length);
    }
    let end = out.len();
    let mut rest = length >> 7;
    while rest > 0 {
        out.push(digit(rest));
        rest >>= 7;
    }
    let width = out.len() - end;
    if width > 0
        && let Some(moved) = out.get_mut(start..)
    {
        moved.rotate_right(width);
    }
}

/// The lowest seven bits, with the mark that others follow.
const fn digit(number: usize) -> u8 {
    (number & 0x7f) as u8 | if number > 0x7f { 0x80 } else { 0 }
}

/// A field of a head may hold any byte, a string of protobuf may not: whoever reads it would refuse
/// the whole call, with the records of all others in it.
fn keep_text(mut bytes: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(bytes) {
        let good = error.valid_up_to();
        let bad = error.error_len().unwrap_or(bytes.len() - good);
        let behind = std::mem::take(&mut bytes).get_mut(good..);
        let Some((bad, rest)) = behind.and_then(|behind| behind.split_at_mut_checked(bad)) else {
            return;
        };
        bad.fill(NO_TEXT);
        bytes = rest;
    }
}

#[cfg(test)]
mod tests;
