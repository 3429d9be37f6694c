//! A head's fields, and what they say of framing, persistence and upgrades.

use super::Limits;
use super::refusal::{self, Refusal};
use crate::head::{Field, Head, Known, Span, Version};

/// How many names `connection` may list in all (as Envoy).
const CONNECTION_OPTIONS_MAX: usize = 9;

/// What a head's fields say of the message and its connection.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    /// There is a transfer coding that is not known here.
    pub(super) coded: bool,
    pub(super) host: Option<Span>,
    upgrade: Option<Span>,
    upgrade_twice: bool,
    /// `connection` says so.
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    switches: bool,
    connection_options: usize,
}

/// Reads the parsed lines into the head, which was started on `text`, and lowers their names.
/// `take_host` keeps `host` out of the fields.
pub(super) fn read(
    head: &mut Head,
    text: &[u8],
    lines: &[httparse::Header<'_>],
    take_host: bool,
) -> Result<Facts, Refusal> {
    let mut facts = Facts::default();
    for line in lines {
        let name = span(head, text, line.name.as_bytes());
        let value = span(head, text, line.value);
        head.lower(name);
        let known = Known::of(head.get(name));
        facts.note(known, value, line.value)?;
        if !(take_host && known == Known::Host) {
            head.push(Field { name, value, known, is_secret: false });
        }
    }
    Ok(facts)
}

/// The span of a piece of the text that the head was started on.
pub(super) fn span(head: &Head, text: &[u8], piece: &[u8]) -> Span {
    let start = (piece.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    head.span(start, piece.len())
}

/// The elements of a comma-separated list, without surrounding white space or empty ones.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// A control character stands among the bytes of the lines.
pub(super) fn has_control(head: &[u8]) -> bool {
    head.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n'))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

impl Facts {
    fn note(&mut self, known: Known, span: Span, value: &[u8]) -> Result<(), Refusal> {
        match known {
            Known::ContentLength => {
                let length = decimal(value).ok_or(refusal::CONTENT_LENGTH)?;
                if self.content_length.replace(length).is_some() {
                    return Err(refusal::CONTENT_LENGTH_TWICE);
                }
            }
            Known::TransferEncoding => {
                // Exactly one coding and that one once (Envoy; RFC 9112, 6.1).
                self.coded |= self.chunked || !value.eq_ignore_ascii_case(b"chunked");
                self.chunked = true;
            }
            Known::Host => {
                let twice = self.host.replace(span).is_some();
                return if twice { Err(refusal::HOST_TWICE) } else { Ok(()) };
            }
            Known::Upgrade => {
                self.upgrade_twice = self.upgrade.replace(span).is_some();
            }
            Known::Connection => self.note_connection(value)?,
            Known::ProxyConnection => {
                self.close |= list(value).any(|option| option.eq_ignore_ascii_case(b"close"));
            }
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for option in list(value) {
            self.connection_options += 1;
            let excess = self.connection_options > CONNECTION_OPTIONS_MAX;
            if excess || is_end_to_end(option) {
                return Err(refusal::CONNECTION_FIELD);
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.switches |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }

    /// Two framings, or one that its version does not have, are refused (RFC 9112, 6.1 and 6.3).
    /// Where both are let through, the length is taken out.
    pub(super) fn check_framing(&self, head: &mut Head, limits: &Limits) -> Result<(), Refusal> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) if !limits.chunked_with_length => Err(refusal::FRAMING),
            (true, _) if self.coded => Err(refusal::TRANSFER_ENCODING),
            (true, _) if head.version == Version::Http10 => Err(refusal::TRANSFER_ENCODING_IN_10),
            (true, Some(_)) => {
                head.remove_known(Known::ContentLength);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The one protocol to switch to, if `connection` asks for that (RFC 9110, 7.8).
    pub(super) fn upgrade(&self) -> Result<Option<Span>, Refusal> {
        match self.switches {
            true if self.upgrade_twice => Err(refusal::UPGRADE_TWICE),
            switches => Ok(self.upgrade.filter(|_| switches)),
        }
    }

    /// Whether the connection persists (RFC 9112, 9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version != Version::Http10 || self.keep_alive)
    }
}

/// Names that a client cannot have removed by listing them in `connection`: doing so would change
/// the framing, the route, or what is said of the client.
fn is_end_to_end(option: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"content-length",
        b"host",
        b"transfer-encoding",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    ];
    option.first() == Some(&b':') || NAMES.iter().any(|name| option.eq_ignore_ascii_case(name))
}

/// `1*DIGIT` that fits (RFC 9110, 8.6).
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let add = |sum: u64, byte| sum.checked_mul(10)?.checked_add(digit(byte)?);
    if value.is_empty() { None } else { value.iter().try_fold(0, add) }
}
