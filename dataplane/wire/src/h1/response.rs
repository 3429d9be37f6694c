//! Response heads.

use std::mem::MaybeUninit;

use super::fields::Facts;
use super::lines::{self, Lines};
use super::refusal::{self, Refusal};
use super::{FIELDS_MAX, Limits, Parsed, fields};
use crate::head::{Framing, Head, Version};

/// What must be known of the request to read its response (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseTo {
    /// The request's method was HEAD: no body follows whatever the head says.
    pub head: bool,
    /// The request's method was CONNECT: after 2xx a tunnel follows.
    pub connect: bool,
    /// The request asked for an upgrade, so that 101 may come.
    pub upgrade: bool,
}

impl ResponseTo {
    /// What the request's head says.
    pub fn of(request: &Head) -> Self {
        Self {
            head: request.method() == b"HEAD",
            connect: request.method() == b"CONNECT",
            upgrade: request.upgrade.is_some(),
        }
    }
}

/// Reads a response's head from the front of `bytes` into `head`.
///
/// Interim responses (1xx but 101) come out like any other, with `Framing::None`: read on for the
/// final one. After 101, and after 2xx to CONNECT, `framing` is `UntilClose`: what follows is a
/// tunnel's bytes. A response to HEAD and 304 have `Framing::None` and keep `content-length`.
pub fn parse_response(
    bytes: &[u8],
    to: ResponseTo,
    limits: &Limits,
    head: &mut Head,
) -> Result<Parsed, Refusal> {
    read(bytes, to, limits, head).map_err(Refusal::of_response)
}

fn read(bytes: &[u8], to: ResponseTo, limits: &Limits, head: &mut Head) -> Result<Parsed, Refusal> {
    const VERSION: &[u8] = b"HTTP/1.";
    let seen = bytes.len().min(VERSION.len());
    if bytes.get(..seen) != VERSION.get(..seen) {
        return Err(refusal::START_LINE);
    }
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let read = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    );
    if let Ok(httparse::Status::Complete(consumed)) = read
        && let Some(lines) = lines::read(bytes, consumed, response.headers, limits)
    {
        return take(head, &lines, &response, to, limits);
    }
    line_by_line(bytes, to, limits, head)
}

/// Reads what is not whole or not right: the lines first, which say what is wrong.
#[cold]
pub(super) fn line_by_line(
    bytes: &[u8],
    to: ResponseTo,
    limits: &Limits,
    head: &mut Head,
) -> Result<Parsed, Refusal> {
    let Some(lines) = lines::whole(bytes, limits)? else { return Ok(Parsed::Partial) };
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let room = headers.get_mut(..lines.fields).unwrap_or_default();
    httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, lines.head, room)
        .map_err(|error| refuse(error, lines.head))?;
    take(head, &lines, &response, to, limits)
}

/// Takes into the head what was read of it.
fn take(
    head: &mut Head,
    lines: &Lines<'_>,
    response: &httparse::Response<'_, '_>,
    to: ResponseTo,
    limits: &Limits,
) -> Result<Parsed, Refusal> {
    head.start(lines.head);
    if limits.keeps_names {
        head.keep_names(lines.head);
    }
    head.status = response.code.filter(|code| *code >= 100).ok_or(refusal::STATUS)?;
    head.version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let facts = fields::read(head, lines.head, response.headers, false)?;
    facts.check_framing(head, limits)?;
    set_framing(head, to, &facts)?;
    head.keep_alive = facts.persists(head.version) && head.framing != Framing::UntilClose;
    Ok(Parsed::Complete { consumed: lines.consumed })
}

/// RFC 9112, 6.3.
fn set_framing(head: &mut Head, to: ResponseTo, facts: &Facts) -> Result<(), Refusal> {
    let bodiless = head.status < 200 || head.status == 204;
    if bodiless && (facts.chunked || facts.content_length.is_some_and(|length| length > 0)) {
        return Err(refusal::BODY_TO_STATUS);
    }
    head.framing = match head.status {
        101 => {
            // One that was not asked for would have the client and us read on differently.
            head.upgrade = facts.upgrade()?.filter(|_| to.upgrade);
            if head.upgrade.is_none() {
                return Err(refusal::SWITCH_UNASKED);
            }
            Framing::UntilClose
        }
        200..=299 if to.connect => Framing::UntilClose,
        100..=199 | 204 | 304 => Framing::None,
        _ if to.head => Framing::None,
        _ => match (facts.chunked, facts.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        },
    };
    Ok(())
}

fn refuse(error: httparse::Error, head: &[u8]) -> Refusal {
    if let Err(refusal) = lines::check_ends(head) {
        return refusal;
    }
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => refusal::FIELD,
        httparse::Error::TooManyHeaders => refusal::TOO_MANY,
        httparse::Error::Status => refusal::STATUS,
        _ => refusal::START_LINE,
    }
}
