//! Formats that give JSON.

use config::snapshot::{Ask, Fact, GrpcForm, JsonFormat, JsonNode, Operator, Part, Shown};

use super::{Facts, value};
use crate::headers::text;
use crate::scratch;

/// Writes the object, without a line end. Numbers are numbers, and what is not there is `null`, or
/// left out where the format says so; objects that are empty then are left out too.
pub fn json(format: &JsonFormat, facts: &Facts<'_>, out: &mut Vec<u8>) {
    if !node(&format.root, facts, format.omits_empty, out) {
        out.extend_from_slice(b"{}");
    }
}

/// False: it is to be left out, and nothing was written.
fn node(of: &JsonNode, facts: &Facts<'_>, omits: bool, out: &mut Vec<u8>) -> bool {
    match of {
        JsonNode::Object(fields) => return object(fields, facts, omits, out),
        JsonNode::Array(nodes) => array(nodes, facts, omits, out),
        JsonNode::Literal(literal) => out.extend_from_slice(literal),
        JsonNode::Null if omits => return false,
        JsonNode::Null => out.extend_from_slice(b"null"),
        JsonNode::Operator(operator) => return one(operator, facts, omits, out),
        JsonNode::Text(format) => {
            out.push(b'"');
            for part in &format.parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text),
                    Part::Operator(operator) => {
                        let is_there = escaped(out, |out| value(operator, facts, out));
                        if !is_there && !omits {
                            out.push(b'-');
                        }
                    }
                }
            }
            out.push(b'"');
        }
    }
    true
}

fn object(
    fields: &[(Box<[u8]>, JsonNode)],
    facts: &Facts<'_>,
    omits: bool,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    out.push(b'{');
    for (key, field) in fields {
        let before = out.len();
        if before > start + 1 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        out.push(b':');
        if !node(field, facts, omits, out) {
            out.truncate(before);
        }
    }
    if omits && out.len() == start + 1 {
        out.truncate(start);
        return false;
    }
    out.push(b'}');
    true
}

fn array(nodes: &[JsonNode], facts: &Facts<'_>, omits: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'[');
    for item in nodes {
        let before = out.len();
        if before > start + 1 {
            out.push(b',');
        }
        if !node(item, facts, omits, out) {
            out.truncate(before);
        }
    }
    out.push(b']');
}

fn one(operator: &Operator, facts: &Facts<'_>, omits: bool, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let is_there = match is_number(&operator.ask) {
        true => value(operator, facts, out),
        false => {
            out.push(b'"');
            let is_there = escaped(out, |out| value(operator, facts, out));
            out.push(b'"');
            is_there
        }
    };
    if !is_there {
        out.truncate(start);
        if omits {
            return false;
        }
        out.extend_from_slice(b"null");
    }
    true
}

/// Whether what it gives is a number where it is anything.
fn is_number(ask: &Ask) -> bool {
    match ask {
        Ask::Between(..) | Ask::Address(_, Shown::Port) | Ask::GrpcStatus(GrpcForm::Number) => true,
        Ask::Fact(fact) => matches!(
            fact,
            Fact::BytesReceived
                | Fact::BytesSent
                | Fact::ConnectionId
                | Fact::RequestHeadersBytes
                | Fact::ResponseCode
                | Fact::ResponseHeadersBytes
                | Fact::ResponseTrailersBytes
                | Fact::UpstreamRequestAttemptCount
        ),
        _ => false,
    }
}

/// Escapes what is written as it stands between the quotes of a JSON string.
fn escaped(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let start = out.len();
    let is_there = write(out);
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if out.iter().skip(start).all(is_plain) {
        return is_there;
    }
    scratch::with(|raw| {
        raw.extend_from_slice(out.get(start..).unwrap_or_default());
        out.truncate(start);
        match std::str::from_utf8(raw) {
            Ok(text) => text.chars().for_each(|char| escape(char, out)),
            // As Envoy: what is no text is written byte by byte.
            Err(_) => raw.iter().for_each(|byte| match byte {
                _ if is_plain(byte) => out.push(*byte),
                _ => text::write(out, format_args!("\\u{byte:04x}")),
            }),
        }
    });
    is_there
}

fn escape(char: char, out: &mut Vec<u8>) {
    match char {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        '\0'..='\u{1f}' => text::write(out, format_args!("\\u{:04x}", char as u32)),
        _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
