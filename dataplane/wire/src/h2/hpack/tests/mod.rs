//! RFC 7541's own examples, what it refuses, and what must hold for any fields.

mod examples;
mod properties;
mod refused;

use super::*;
use crate::h2::Refusal;

/// Names and values.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads a block into names and values.
fn read(decoder: &mut Decoder, bytes: &[u8]) -> Result<Fields, Refusal> {
    let (mut block, mut out, mut fields) = (Block::new(bytes), Vec::new(), Vec::new());
    while let Some(found) = decoder.next(&mut block, &mut out)? {
        let (name, value) = out.split_at(found.name_len);
        assert_eq!(value.len(), found.value_len);
        assert_eq!(found.name, Name::of(name), "the tables know each name for what it is");
        assert_eq!(found.is_sound, is_value(value));
        fields.push((name.to_vec(), value.to_vec()));
        out.clear();
    }
    Ok(fields)
}

/// One field a line.
fn text(fields: &[(Vec<u8>, Vec<u8>)]) -> String {
    fields.iter().map(|(n, v)| format!("{}: {}\n", n.escape_ascii(), v.escape_ascii())).collect()
}

/// The bytes of hexadecimal digits, white space left out.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("a byte")
    };
    digits.chunks(2).map(pair).collect()
}
