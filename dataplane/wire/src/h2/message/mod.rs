//! Header blocks as messages: what RFC 9113, 8 makes of the fields.

mod request;
mod response;

use super::Config;
use super::guard::limits;
use super::hpack::{Block, Decoder, Found, Name};
use super::refusal::{self, Refusal};
use super::streams::Request;
use crate::h1::decimal;
use crate::head::{Field, Framing, Head, Known, Span, Version};

/// What a header block is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    /// The response to such a request.
    Response(Request),
    Trailers,
}

/// What was found in a block that could be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the head. What the body's length must be, if it must be one.
    Fine(Option<u64>),
    /// It breaks a rule.
    Malformed(Refusal),
    /// It breaks none but is beyond a limit.
    TooLarge(Refusal),
}

/// Unpacks a block into the head. An error is the connection's.
pub(super) fn read(
    decoder: &mut Decoder,
    bytes: &[u8],
    kind: Kind,
    end: bool,
    config: &Config,
    head: &mut Head,
) -> Result<Outcome, Refusal> {
    head.clear();
    head.version = Version::Http2;
    head.keep_alive = true;
    let mut block = Block::new(bytes);
    let mut reader = Reader::new(kind, config);
    loop {
        let start = head.bytes_mut().len();
        let Some(found) = decoder.next(&mut block, head.bytes_mut())? else { break };
        reader.count(&found)?;
        if reader.fault.is_none() {
            reader.fault = reader.take(start, &found, head).err();
        }
        if reader.fault.is_some() {
            // What is refused is unpacked for the sake of the tables alone.
            head.bytes_mut().truncate(start);
        }
    }
    if reader.fault.is_none() {
        reader.fault = reader.finish(end, head).err();
    }
    Ok(match reader.fault {
        None => Outcome::Fine(reader.body_length(end, head)),
        Some(fault) if fault == refusal::TOO_LARGE || fault == refusal::TOO_MANY => {
            Outcome::TooLarge(fault)
        }
        Some(fault) => Outcome::Malformed(fault),
    })
}

struct Reader<'c> {
    kind: Kind,
    config: &'c Config,
    bytes: usize,
    fields: usize,
    /// The pseudo fields that were there, a bit each.
    pseudo: u8,
    begun: bool,
    content_length: Option<u64>,
    host: Option<Span>,
    protocol: Option<Span>,
    cookies: usize,
    fault: Option<Refusal>,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 1 << 1;
const PATH: u8 = 1 << 2;
const AUTHORITY: u8 = 1 << 3;
const PROTOCOL: u8 = 1 << 4;
const STATUS: u8 = 1 << 5;

impl<'c> Reader<'c> {
    fn new(kind: Kind, config: &'c Config) -> Self {
        Self {
            kind,
            config,
            bytes: 0,
            fields: 0,
            pseudo: 0,
            begun: false,
            content_length: None,
            host: None,
            protocol: None,
            cookies: 0,
            fault: None,
        }
    }

    fn count(&mut self, found: &Found) -> Result<(), Refusal> {
        self.bytes += found.name_len + found.value_len + 32;
        if self.bytes > self.config.head_bytes_max.saturating_mul(limits::HEAD_TIMES_MAX) {
            return Err(refusal::HEAD_FAR_TOO_LARGE);
        }
        if self.bytes > self.config.head_bytes_max {
            self.fault.get_or_insert(refusal::TOO_LARGE);
        }
        Ok(())
    }

    /// Takes in the field that begins at `start` of the head's bytes.
    fn take(&mut self, start: usize, found: &Found, head: &mut Head) -> Result<(), Refusal> {
        if !found.is_sound {
            return Err(refusal::FIELD_VALUE);
        }
        // As in Envoy pseudo-headers count as well.
        self.fields += 1;
        if self.fields > self.config.fields_max {
            return Err(refusal::TOO_MANY);
        }
        let name = head.span(start, found.name_len);
        let value = head.span(start + found.name_len, found.value_len);
        let known = match found.name {
            Name::Field(known) => known,
            Name::Invalid => return Err(refusal::FIELD_NAME),
            pseudo => return self.take_pseudo(pseudo, value, head),
        };
        self.begun = true;
        if self.note(known, value, head)? {
            head.push(Field { name, value, known, is_secret: found.is_secret });
        }
        Ok(())
    }

    /// Says whether the field stays among the fields.
    fn note(&mut self, known: Known, value: Span, head: &Head) -> Result<bool, Refusal> {
        match known {
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade => return Err(refusal::CONNECTION_FIELD),
            Known::Te if !head.get(value).eq_ignore_ascii_case(b"trailers") => {
                return Err(refusal::TE);
            }
            // They would change what the head has said.
            Known::ContentLength | Known::Host if self.kind == Kind::Trailers => {
                return Err(refusal::TRAILER_FIELD);
            }
            Known::ContentLength => {
                let length = decimal(head.get(value)).ok_or(refusal::CONTENT_LENGTH)?;
                if self.content_length.replace(length).is_some() {
                    return Err(refusal::CONTENT_LENGTH_TWICE);
                }
            }
            Known::Host if self.kind == Kind::Request => {
                let twice = self.host.replace(value).is_some();
                return if twice { Err(refusal::HOST_TWICE) } else { Ok(false) };
            }
            Known::Cookie => self.cookies += 1,
            _ => {}
        }
        Ok(true)
    }

    fn take_pseudo(&mut self, name: Name, value: Span, head: &mut Head) -> Result<(), Refusal> {
        if self.begun {
            return Err(refusal::PSEUDO_AFTER_FIELD);
        }
        let (bit, is_of_request) = match name {
            Name::Method => (METHOD, true),
            Name::Scheme => (SCHEME, true),
            Name::Path => (PATH, true),
            Name::Authority => (AUTHORITY, true),
            Name::Protocol => (PROTOCOL, true),
            Name::Status => (STATUS, false),
            _ => return Err(refusal::PSEUDO_UNEXPECTED),
        };
        match self.kind {
            Kind::Request if is_of_request => {}
            Kind::Response(_) if !is_of_request => {}
            _ => return Err(refusal::PSEUDO_UNEXPECTED),
        }
        if self.pseudo & bit != 0 {
            return Err(refusal::PSEUDO_TWICE);
        }
        self.pseudo |= bit;
        match name {
            Name::Method => head.method = value,
            Name::Scheme => head.scheme = value,
            Name::Path => head.path = value,
            Name::Authority => head.authority = value,
            Name::Protocol => self.protocol = Some(value),
            _ => head.status = response::status(head.get(value))?,
        }
        Ok(())
    }

    fn finish(&self, end: bool, head: &mut Head) -> Result<(), Refusal> {
        if self.cookies > 1 {
            join_cookies(head);
        }
        match self.kind {
            Kind::Request => self.finish_request(end, head),
            Kind::Response(request) => self.finish_response(request, end, head),
            Kind::Trailers if end => Ok(()),
            Kind::Trailers => Err(refusal::TRAILERS_OPEN),
        }
    }

    /// What DATA frames must add up to.
    fn body_length(&self, end: bool, head: &Head) -> Option<u64> {
        match (self.kind, head.framing) {
            _ if end => Some(0),
            (Kind::Response(_), Framing::None) if head.status >= 200 => Some(0),
            (_, Framing::Length(length)) => Some(length),
            _ => None,
        }
    }
}

/// Crumbs are one field again, in place of the first (RFC 9113, 8.2.3). Empty ones are left out:
/// the field would begin or end with a space, which no field may (RFC 9113, 8.2.1).
fn join_cookies(head: &mut Head) {
    let start = head.bytes_mut().len();
    let mut first = None;
    for at in 0..head.fields().len() {
        let Some(field) = head.fields().get(at).copied() else { break };
        if field.known != Known::Cookie {
            continue;
        }
        first.get_or_insert(at);
        if head.get(field.value).is_empty() {
            continue;
        }
        if head.bytes_mut().len() > start {
            head.bytes_mut().extend_from_slice(b"; ");
        }
        head.repeat(field.value);
    }
    let len = head.bytes_mut().len() - start;
    let joined = head.span(start, len);
    let mut at = 0;
    head.change_fields(|field| {
        let is_first = Some(at) == first;
        at += 1;
        if is_first {
            field.value = joined;
        }
        is_first || field.known != Known::Cookie
    });
}
