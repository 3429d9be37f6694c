//! What a request must have (RFC 9113, 8.3.1 and 8.5).

use super::{AUTHORITY, METHOD, PATH, Reader, SCHEME};
use crate::h1::{is_authority, is_authority_with_port, is_token_byte};
use crate::h2::refusal::{self, Refusal};
use crate::head::{Field, Framing, Head, Known, Span};

/// The longest method.
const METHOD_BYTES_MAX: usize = 64;

impl Reader<'_> {
    pub(super) fn finish_request(&self, end: bool, head: &mut Head) -> Result<(), Refusal> {
        let has = |bits: u8| self.pseudo & bits == bits;
        if !has(METHOD) {
            return Err(refusal::PSEUDO_MISSING);
        }
        if !is_method(head.method()) {
            return Err(refusal::METHOD);
        }
        let is_connect = head.method() == b"CONNECT";
        match (is_connect, self.protocol) {
            (true, None) if self.pseudo != METHOD | AUTHORITY => {
                return Err(refusal::PSEUDO_UNEXPECTED);
            }
            (false, Some(_)) => return Err(refusal::PSEUDO_UNEXPECTED),
            (true, Some(_)) if !self.config.extended_connect => {
                return Err(refusal::PSEUDO_UNEXPECTED);
            }
            (true, Some(_)) if !has(AUTHORITY) => return Err(refusal::PSEUDO_MISSING),
            (_, Some(_)) | (false, None) if !has(SCHEME | PATH) => {
                return Err(refusal::PSEUDO_MISSING);
            }
            _ => {}
        }
        let is_tunnel = is_connect && self.protocol.is_none();
        if !is_tunnel {
            check_target(head)?;
        }
        self.check_authority(is_tunnel, head)?;
        self.frame_request(is_connect, end, head)?;
        match self.protocol {
            Some(protocol) => upgrade(protocol, head),
            None => Ok(()),
        }
    }

    /// `:authority` and `host` must say the same; one of them must be there (RFC 9113, 8.3.1).
    fn check_authority(&self, is_tunnel: bool, head: &mut Head) -> Result<(), Refusal> {
        if self.pseudo & AUTHORITY == 0 {
            head.authority = self.host.ok_or(refusal::AUTHORITY_MISSING)?;
        } else if self.host.is_some_and(|host| head.get(host) != head.authority()) {
            return Err(refusal::HOST_CONFLICT);
        }
        let is_valid = match is_tunnel {
            true => is_authority_with_port(head.authority()),
            false => is_authority(head.authority()),
        };
        if is_valid { Ok(()) } else { Err(refusal::AUTHORITY) }
    }

    fn frame_request(&self, is_connect: bool, end: bool, head: &mut Head) -> Result<(), Refusal> {
        if end && self.content_length.is_some_and(|length| length > 0) {
            return Err(refusal::CONTENT_LENGTH_DIFFERS);
        }
        if is_connect && self.content_length.is_some() {
            return Err(refusal::CONTENT_LENGTH);
        }
        head.framing = match self.content_length {
            _ if end => Framing::None,
            _ if is_connect => Framing::UntilClose,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        Ok(())
    }
}

/// Scheme and path of a request that is no plain CONNECT.
fn check_target(head: &Head) -> Result<(), Refusal> {
    let scheme = head.get(head.scheme);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(refusal::SCHEME);
    }
    let path = head.path();
    if !path.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(refusal::PATH);
    }
    match path {
        _ if path.contains(&b'#') => Err(refusal::FRAGMENT),
        [b'/', ..] => Ok(()),
        b"*" if head.method() == b"OPTIONS" => Ok(()),
        _ => Err(refusal::PATH),
    }
}

/// An extended CONNECT becomes the upgrade that it would be by HTTP/1.1 (RFC 8441, 5), as Envoy
/// does, so that whoever judges it sees one form.
fn upgrade(protocol: Span, head: &mut Head) -> Result<(), Refusal> {
    let bytes = head.get(protocol);
    if bytes.is_empty() || !bytes.iter().all(|byte| is_token_byte(*byte) || *byte == b'/') {
        return Err(refusal::PROTOCOL);
    }
    head.method = head.add_bytes(b"GET");
    head.upgrade = Some(protocol);
    let name = head.add_bytes(b"upgrade");
    head.push(Field { name, value: protocol, known: Known::Upgrade, is_secret: false });
    head.append(b"connection", b"upgrade");
    Ok(())
}

fn is_method(method: &[u8]) -> bool {
    !method.is_empty()
        && method.len() <= METHOD_BYTES_MAX
        && method.iter().all(|byte| is_token_byte(*byte))
}
