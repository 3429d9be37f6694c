//! What may stand in `host` and in a target's authority: a name or an address, and a port.

/// Whether this is `host [":" port]` of RFC 9110, 7.2, with the readings left out that two
/// implementations could take differently: no user information, no percent-encoding, no empty
/// host before a port, no empty port and none beyond 65535.
pub fn is_valid(authority: &[u8]) -> bool {
    if authority.first() == Some(&b'[') {
        let (host, port) = split(authority);
        return is_literal(host) && port.is_none_or(is_port);
    }
    let is_name = |byte: &u8| NAME_BYTES.get(usize::from(*byte)) == Some(&true);
    let end = authority.iter().position(|byte| !is_name(byte)).unwrap_or(authority.len());
    match authority.split_at_checked(end) {
        None | Some(([], _)) => false,
        Some((_, [])) => true,
        Some((_, [b':', port @ ..])) => is_port(port),
        Some(_) => false,
    }
}

/// Whether this is a host with a port, as CONNECT asks for.
pub(crate) fn is_valid_with_port(authority: &[u8]) -> bool {
    split(authority).1.is_some() && is_valid(authority)
}

/// Takes the port off. What stands in brackets has colons of its own.
fn split(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after = memchr::memrchr(b']', authority).map_or(0, |at| at + 1);
    let tail = authority.get(after..).unwrap_or_default();
    match memchr::memchr(b':', tail) {
        Some(at) => (
            authority.get(..after + at).unwrap_or_default(),
            Some(tail.get(at + 1..).unwrap_or_default()),
        ),
        None => (authority, None),
    }
}

/// An IP literal without a zone.
fn is_literal(host: &[u8]) -> bool {
    let is_of_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    match host {
        [b'[', address @ .., b']'] => !address.is_empty() && address.iter().all(is_of_address),
        _ => false,
    }
}

/// Which bytes a name may have: every request's host is looked up in it.
const NAME_BYTES: [bool; 256] = {
    let (mut bytes, mut at) = ([false; 256], 0_usize);
    while at < bytes.len() {
        bytes[at] = is_name_byte(at as u8);
        at += 1;
    }
    bytes
};

/// Unreserved characters and sub-delimiters of RFC 3986.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$' | b'&'..=b'.' | b';' | b'=' | b'_' | b'~')
}

/// Visible ASCII characters only. Looks at all of them: that is faster than stopping at the first.
pub(super) fn is_visible(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, byte| all & matches!(byte, b'!'..=b'~'))
}

fn is_port(port: &[u8]) -> bool {
    let value = port.iter().try_fold(0_u32, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')).filter(|v| *v <= 0xffff)
    });
    !port.is_empty() && value.is_some()
}
