//! What a response must have (RFC 9113, 8.3.2).

use super::{Reader, STATUS};
use crate::h1::decimal;
use crate::h2::refusal::{self, Refusal};
use crate::h2::streams::Request;
use crate::head::{Framing, Head};

impl Reader<'_> {
    pub(super) fn finish_response(
        &self,
        request: Request,
        end: bool,
        head: &mut Head,
    ) -> Result<(), Refusal> {
        let (status, length) = (head.status, self.content_length);
        if self.pseudo & STATUS == 0 {
            return Err(refusal::PSEUDO_MISSING);
        }
        if status < 200 && end {
            return Err(refusal::INTERIM_ENDS);
        }
        let is_tunnel = request.is_connect && (200..300).contains(&status);
        let is_bodiless = status < 200 || status == 204;
        if is_bodiless && length.is_some_and(|length| length > 0) {
            return Err(refusal::BODY_TO_STATUS);
        }
        let has_none = is_bodiless || status == 304 || request.is_head;
        if end && !has_none && !is_tunnel && length.is_some_and(|length| length > 0) {
            return Err(refusal::CONTENT_LENGTH_DIFFERS);
        }
        head.framing = match length {
            _ if is_tunnel => Framing::UntilClose,
            _ if has_none => Framing::None,
            _ if end => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        if is_tunnel && request.is_upgrade {
            // As the one who asked for an upgrade knows it.
            head.status = 101;
            head.append(b"connection", b"upgrade");
        }
        Ok(())
    }
}

/// Three digits (RFC 9110, 15). 101 is not for HTTP/2 (RFC 9113, 8.6).
pub(super) fn status(digits: &[u8]) -> Result<u16, Refusal> {
    match decimal(digits).and_then(|status| u16::try_from(status).ok()) {
        Some(101) | None => Err(refusal::STATUS),
        Some(status @ 100..=999) if digits.len() == 3 => Ok(status),
        Some(_) => Err(refusal::STATUS),
    }
}
