//! TLS by its ClientHello (RFC 8446, 4.1.2), whole or in fragments.

use super::Detected;

/// The most bytes of a ClientHello, record heads not counted (Envoy: `max_client_hello_size`).
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

/// What a client says before anything is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The server's name (RFC 6066, 3), as the client wrote it.
    pub sni: Option<&'a str>,
    /// The application protocols, in the client's order (RFC 7301). Empty if it named none.
    pub alpn: Alpn<'a>,
}

/// A list of protocol names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alpn<'a> {
    list: &'a [u8],
}

impl<'a> Alpn<'a> {
    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.list;
        std::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            let (name, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Some(name)
        })
    }
}

/// Into how many records a ClientHello may be split: 16 KiB at the smallest fragment that can be
/// negotiated (RFC 6066, 4), and as many again for odd stacks.
pub const RECORDS_MAX: usize = 64;

const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 0x01;
const SERVER_NAME: u16 = 0x0000;
const ALPN: u16 = 0x0010;

/// Whether these are the first bytes of a TLS connection, and what its ClientHello says.
///
/// Everything that is not a well-formed ClientHello within the limits is `No`. `scratch` is used
/// for a hello that comes in several records; keep it for the next connection.
pub fn tls<'a>(bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Detected<ClientHello<'a>> {
    let message = match message(bytes, scratch) {
        Detected::Yes(message) => message,
        Detected::More => return Detected::More,
        Detected::No => return Detected::No,
    };
    parse(message).map_or(Detected::No, Detected::Yes)
}

/// The handshake message at the front, without its head, joined out of its records.
fn message<'a>(bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Detected<&'a [u8]> {
    scratch.clear();
    let mut rest = Cursor(bytes);
    let mut known = [0; 4];
    let (mut seen, mut records) = (0, 0);
    loop {
        let (fragment, whole) = match record(&mut rest) {
            Detected::Yes(record) => record,
            Detected::More => return Detected::More,
            Detected::No => return Detected::No,
        };
        for (slot, byte) in known.iter_mut().skip(seen).zip(fragment) {
            *slot = *byte;
        }
        seen += fragment.len();
        let [kind, len @ ..] = known;
        let len = be(&len);
        if (seen > 0 && kind != CLIENT_HELLO) || (seen >= 4 && len > HELLO_BYTES_MAX) {
            return Detected::No;
        }
        if seen > 4 + len && seen >= 4 {
            // A record holds the hello and nothing behind it.
            return Detected::No;
        }
        if !whole {
            return Detected::More;
        }
        records += 1;
        if seen >= 4 && seen == 4 + len {
            return join(bytes, records, scratch);
        }
        if records == RECORDS_MAX {
            return Detected::No;
        }
    }
}

/// The next record's fragment as far as it has come, and whether it has come whole.
fn record<'a>(rest: &mut Cursor<'a>) -> Detected<(&'a [u8], bool)> {
    match rest.0 {
        [HANDSHAKE, 0x03, _, high, low, ..] => {
            let len = be(&[*high, *low]);
            // An empty fragment, or one longer than a plaintext record, is no handshake's.
            if len == 0 || len > 1 << 14 {
                return Detected::No;
            }
            rest.take(5);
            let whole = rest.0.len() >= len;
            Detected::Yes((rest.take(len.min(rest.0.len())).unwrap_or_default(), whole))
        }
        [] | [HANDSHAKE] | [HANDSHAKE, 0x03] | [HANDSHAKE, 0x03, _] | [HANDSHAKE, 0x03, _, _] => {
            Detected::More
        }
        _ => Detected::No,
    }
}

/// The message that stands in so many whole records. Only several of them are copied.
fn join<'a>(bytes: &'a [u8], records: usize, scratch: &'a mut Vec<u8>) -> Detected<&'a [u8]> {
    let mut rest = Cursor(bytes);
    let mut first = <&[u8]>::default();
    for at in 0..records {
        let Detected::Yes((fragment, _)) = record(&mut rest) else { return Detected::No };
        if at == 0 {
            first = fragment;
        }
        if records > 1 {
            scratch.extend_from_slice(fragment);
        }
    }
    let message = if records > 1 { scratch.as_slice() } else { first };
    message.get(4..).map_or(Detected::No, Detected::Yes)
}

/// The body of a ClientHello (RFC 8446, 4.1.2).
fn parse(message: &[u8]) -> Option<ClientHello<'_>> {
    let mut hello = Cursor(message);
    hello.take(2 + 32)?;
    let session = hello.prefixed(1)?;
    let ciphers = hello.prefixed(2)?;
    let compressions = hello.prefixed(1)?;
    if session.len() > 32 || ciphers.is_empty() || ciphers.len() % 2 != 0 || compressions.is_empty()
    {
        return None;
    }
    let (mut sni, mut alpn) = (None, None);
    // TLS 1.2 lets a hello end here.
    if !hello.0.is_empty() {
        let mut extensions = Cursor(hello.prefixed(2)?);
        while !extensions.0.is_empty() {
            let kind = be(extensions.take(2)?);
            let data = extensions.prefixed(2)?;
            match u16::try_from(kind).ok()? {
                SERVER_NAME if sni.is_none() => sni = Some(server_name(data)?),
                ALPN if alpn.is_none() => alpn = Some(protocols(data)?),
                SERVER_NAME | ALPN => return None,
                _ => {}
            }
        }
    }
    hello.0.is_empty().then_some(ClientHello { sni, alpn: alpn.unwrap_or_default() })
}

/// The one host name (RFC 6066, 3): ASCII, and no control character that a log or a C string
/// would trip over.
fn server_name(data: &[u8]) -> Option<&str> {
    let mut outer = Cursor(data);
    let mut list = Cursor(outer.prefixed(2)?);
    let [0] = list.take(1)? else { return None };
    let name = list.prefixed(2)?;
    let plain = name.len() <= 255 && !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    if !plain || !list.0.is_empty() || !outer.0.is_empty() {
        return None;
    }
    std::str::from_utf8(name).ok()
}

/// The names, none of them empty (RFC 7301, 3.1).
fn protocols(data: &[u8]) -> Option<Alpn<'_>> {
    let mut outer = Cursor(data);
    let list = outer.prefixed(2)?;
    let mut names = Cursor(list);
    while !names.0.is_empty() {
        names.prefixed(1).filter(|name| !name.is_empty())?;
    }
    (outer.0.is_empty() && !list.is_empty()).then_some(Alpn { list })
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// What follows its own length in so many bytes.
    fn prefixed(&mut self, len: usize) -> Option<&'a [u8]> {
        let len = be(self.take(len)?);
        self.take(len)
    }
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte))
}
