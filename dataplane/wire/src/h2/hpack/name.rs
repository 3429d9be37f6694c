//! What a field's name is, found once and kept beside it in the tables.

use crate::head::Known;

/// A field's name as far as code asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Authority,
    Method,
    Path,
    Protocol,
    Scheme,
    Status,
    /// A name with a colon in front that HTTP does not have.
    UnknownPseudo,
    Field(Known),
    /// It holds what a name may not: a capital letter, a control character, nothing.
    Invalid,
}

impl Name {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            [b':', ..] => Self::UnknownPseudo,
            name if is_token(name) => Self::Field(Known::of(name)),
            _ => Self::Invalid,
        }
    }
}

/// Which bytes a name may have.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let marks = *b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < marks.len() {
        allowed[marks[at] as usize] = true;
        at += 1;
    }
    allowed
};

/// `tchar` of RFC 9110, 5.6.2 without capital letters (RFC 9113, 8.2.1).
fn is_token(name: &[u8]) -> bool {
    static TABLE: [bool; 256] = ALLOWED;
    let is_allowed = |byte: &u8| TABLE.get(usize::from(*byte)).copied().unwrap_or_default();
    !name.is_empty() && name.iter().all(is_allowed)
}

/// A value holds no control character but the tab, and no white space at its ends (RFC 9113,
/// 8.2.1).
pub(crate) fn is_value(value: &[u8]) -> bool {
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    // Without an early end it runs many bytes at once.
    let bad = value.iter().fold(false, |bad, byte| bad | is_control(*byte));
    !bad && !matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}
