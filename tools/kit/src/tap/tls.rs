//! What streams look like from outside: TLS records and handshakes, or readable HTTP.
//!
//! Only what TLS leaves in the clear is read: record headers, ClientHello and ServerHello
//! (RFC 8446, sections 4.1 and 5.1).

use std::{collections::BTreeMap, net::SocketAddr};

use super::stream::{Direction, Streams};

const RECORD_HANDSHAKE: u8 = 22;
const RECORD_APPLICATION: u8 = 23;
const RECORD_HEADER: usize = 5;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const TLS_1_3: u16 = 0x0304;
const TLS_1_2: u16 = 0x0303;
/// Words that plaintext HTTP/1 cannot do without, and the preface of HTTP/2.
const HTTP_WORDS: [&[u8]; 5] = [b"HTTP/1.", b"GET /", b"POST /", b"Host: ", b"PRI * HTTP/2"];

/// A hello found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The client's or the server's.
    pub is_client: bool,
    /// The version chosen (server) or the newest offered (client), as in the extension.
    pub version: u16,
    /// The server name that the client asks for.
    pub server_name: Option<String>,
}

/// What was seen of the connections to one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSeen {
    /// Versions that servers chose, with how often; named as OpenSSL names them.
    pub versions: BTreeMap<String, usize>,
    /// Names that clients asked for, with how often.
    pub server_names: BTreeMap<String, usize>,
    /// Records with application data.
    pub records: usize,
    /// Bytes looked at.
    pub bytes: usize,
    /// Directions in which readable HTTP was found.
    pub plaintext: Vec<Direction>,
    /// Directions that carry bytes but do not begin with a TLS record.
    pub not_tls: Vec<Direction>,
}

/// Reads every stream to or from `is_ours`' endpoints.
pub fn inspect(streams: &Streams, is_ours: impl Fn(SocketAddr) -> bool) -> TlsSeen {
    let mut seen = TlsSeen::default();
    for (direction, bytes) in streams.iter() {
        if bytes.is_empty() || !(is_ours(direction.from) || is_ours(direction.to)) {
            continue;
        }
        seen.bytes += bytes.len();
        if HTTP_WORDS.iter().any(|word| bytes.windows(word.len()).any(|found| found == *word)) {
            seen.plaintext.push(direction);
        }
        seen.read(direction, &bytes);
    }
    seen
}

impl TlsSeen {
    fn read(&mut self, direction: Direction, bytes: &[u8]) {
        let mut records = records(bytes).peekable();
        if records.peek().is_none() {
            self.not_tls.push(direction);
        }
        for (kind, body) in records {
            match kind {
                RECORD_APPLICATION => self.records += 1,
                RECORD_HANDSHAKE => {
                    if let Some(hello) = parse_hello(body) {
                        self.note(hello);
                    }
                }
                _ => {}
            }
        }
    }

    fn note(&mut self, hello: Hello) {
        if let Some(name) = hello.server_name {
            *self.server_names.entry(name).or_default() += 1;
        }
        if !hello.is_client {
            let name = match hello.version {
                TLS_1_3 => "TLSv1.3".to_owned(),
                TLS_1_2 => "TLSv1.2".to_owned(),
                other => format!("0x{other:04x}"),
            };
            *self.versions.entry(name).or_default() += 1;
        }
    }
}

/// Records from the start of a stream to the first thing that is none.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, 3, 0..=4, high, low] = *bytes.first_chunk::<RECORD_HEADER>()? else {
            return None;
        };
        if !(20..=24).contains(&kind) {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = bytes.get(RECORD_HEADER..)?;
        bytes = body.get(length..).unwrap_or_default();
        Some((kind, body.get(..length).unwrap_or(body)))
    })
}

/// Reads a ClientHello or a ServerHello; encrypted handshake bytes are neither.
fn parse_hello(message: &[u8]) -> Option<Hello> {
    let mut reader = Reader(message);
    let kind = reader.number(1)?;
    reader.take(3)?;
    let is_client = match u8::try_from(kind).ok()? {
        CLIENT_HELLO => true,
        SERVER_HELLO => false,
        _ => return None,
    };
    let legacy = u16::try_from(reader.number(2)?).ok()?;
    reader.take(32)?;
    let session = reader.number(1)?;
    reader.take(session)?;
    if is_client {
        let suites = reader.number(2)?;
        reader.take(suites)?;
        let compressions = reader.number(1)?;
        reader.take(compressions)?;
    } else {
        reader.take(3)?;
    }
    let mut hello = Hello { is_client, version: legacy, server_name: None };
    reader.number(2)?;
    while let Some(kind) = reader.number(2) {
        let length = reader.number(2)?;
        hello.extension(u16::try_from(kind).ok()?, reader.take(length)?);
    }
    Some(hello)
}

impl Hello {
    fn extension(&mut self, kind: u16, body: &[u8]) {
        match kind {
            EXTENSION_SERVER_NAME if self.is_client => {
                // List length, name type, name length, name (RFC 6066, section 3).
                let name = body.get(5..).and_then(|name| std::str::from_utf8(name).ok());
                self.server_name = name.map(str::to_owned);
            }
            EXTENSION_SUPPORTED_VERSIONS => {
                let list = if self.is_client { body.get(1..).unwrap_or_default() } else { body };
                let versions = list.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two));
                // A client may offer reserved values (0x?a?a), which are no version.
                let newest = versions.filter(|version| version >> 8 == 3).max();
                self.version = newest.unwrap_or(self.version);
            }
            _ => {}
        }
    }
}

/// Takes bytes off the front, or nothing when there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }
}
