//! Request heads.

use std::mem::MaybeUninit;

use super::lines::{self, Lines};
use super::refusal::{self, Refusal};
use super::{FIELDS_MAX, Limits, Parsed, authority, fields};
use crate::head::{Framing, Head, Known, Span, Version};

/// Reads a request's head from the front of `bytes` into `head`.
///
/// Fills in method, path, authority (out of the target or `host`, which is no longer among the
/// fields), framing, persistence and upgrade.
///
/// The target's authority wins over `host` (RFC 9112, 3.2.2). The path may hold any visible ASCII
/// character but `#`; normalising it is the caller's. CONNECT leaves the path empty. An `upgrade`
/// to h2c is taken out, as Envoy does.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<Parsed, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let read = httparse::ParserConfig::default().parse_request_with_uninit_headers(
        &mut request,
        bytes,
        &mut headers,
    );
    if let Ok(httparse::Status::Complete(consumed)) = read
        && let Some(lines) = lines::read(bytes, consumed, request.headers, limits)
    {
        return take(head, &lines, &request, limits);
    }
    line_by_line(bytes, limits, head)
}

/// Reads what is not whole or not right: the lines first, which say what is wrong.
#[cold]
pub(super) fn line_by_line(
    bytes: &[u8],
    limits: &Limits,
    head: &mut Head,
) -> Result<Parsed, Refusal> {
    let Some(lines) = lines::whole(bytes, limits)? else {
        check_beginning(bytes, limits)?;
        return Ok(Parsed::Partial);
    };
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let room = headers.get_mut(..lines.fields).unwrap_or_default();
    httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut request, lines.head, room)
        .map_err(|error| refuse(error, lines.head))?;
    take(head, &lines, &request, limits)
}

/// Takes into the head what was read of it.
fn take(
    head: &mut Head,
    lines: &Lines<'_>,
    request: &httparse::Request<'_, '_>,
    limits: &Limits,
) -> Result<Parsed, Refusal> {
    let method = request.method.unwrap_or_default().as_bytes();
    let target = request.path.unwrap_or_default().as_bytes();
    if !is_method(method, limits) {
        return Err(refusal::METHOD);
    }
    head.start(lines.head);
    if limits.keeps_names {
        head.keep_names(lines.head);
    }
    head.method = fields::span(head, lines.head, method);
    head.version = match request.version {
        Some(1) => Version::Http11,
        _ if limits.accept_http_10 => Version::Http10,
        _ => return Err(refusal::VERSION),
    };
    fill_in(head, lines, target, request.headers, limits)?;
    Ok(Parsed::Complete { consumed: lines.consumed })
}

fn fill_in(
    head: &mut Head,
    lines: &Lines<'_>,
    target: &[u8],
    headers: &[httparse::Header<'_>],
    limits: &Limits,
) -> Result<(), Refusal> {
    let facts = fields::read(head, lines.head, headers, true)?;
    facts.check_framing(head, limits)?;
    head.framing = match (facts.chunked, facts.content_length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::None,
    };
    if head.method() == b"CONNECT" {
        read_connect(head, lines.head, target)?;
    } else {
        read_target(head, lines.head, target)?;
    }
    check_host(head, facts.host, limits)?;
    head.keep_alive = facts.persists(head.version);
    if head.version == Version::Http11 {
        set_upgrade(head, facts.upgrade()?);
    }
    Ok(())
}

/// The authority form (RFC 9112, 3.2.3); a tunnel's request has no body (RFC 9110, 9.3.6).
fn read_connect(head: &mut Head, text: &[u8], target: &[u8]) -> Result<(), Refusal> {
    match head.framing {
        Framing::Chunked => return Err(refusal::TRANSFER_ENCODING),
        Framing::Length(1..) => return Err(refusal::BODY_TO_CONNECT),
        _ => head.framing = Framing::None,
    }
    head.remove_known(Known::ContentLength);
    if !authority::is_valid_with_port(target) {
        return Err(refusal::TARGET);
    }
    head.authority = fields::span(head, text, target);
    Ok(())
}

/// The origin, asterisk and absolute forms (RFC 9112, 3.2).
fn read_target(head: &mut Head, text: &[u8], target: &[u8]) -> Result<(), Refusal> {
    if !authority::is_visible(target) {
        return Err(refusal::TARGET);
    }
    match target {
        _ if memchr::memchr(b'#', target).is_some() => return Err(refusal::FRAGMENT),
        [b'/', ..] => head.path = fields::span(head, text, target),
        b"*" if head.method() == b"OPTIONS" => head.path = fields::span(head, text, target),
        _ => read_absolute(head, text, target)?,
    }
    Ok(())
}

fn read_absolute(head: &mut Head, text: &[u8], target: &[u8]) -> Result<(), Refusal> {
    let colon = memchr::memchr(b':', target).ok_or(refusal::TARGET)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(refusal::TARGET)?;
    let Some(rest) = rest.strip_prefix(b"://") else { return Err(refusal::TARGET) };
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(refusal::SCHEME);
    }
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (name, path) = rest.split_at_checked(end).ok_or(refusal::TARGET)?;
    if !authority::is_valid(name) {
        return Err(refusal::TARGET);
    }
    head.scheme = fields::span(head, text, scheme);
    head.authority = fields::span(head, text, name);
    head.path = match path {
        [] => head.add_bytes(b"/"),
        [b'/', ..] => fields::span(head, text, path),
        // A query without a path: Envoy finds no route for it.
        _ => return Err(refusal::TARGET),
    };
    Ok(())
}

/// `host` must be a host even where the target's authority stands in for it.
fn check_host(head: &mut Head, host: Option<Span>, limits: &Limits) -> Result<(), Refusal> {
    let named = head.authority != Span::default();
    match host {
        // An empty one says that the target has no authority (RFC 9110, 7.2).
        Some(host) if head.get(host).is_empty() || authority::is_valid(head.get(host)) => {
            if !named {
                head.authority = host;
            }
            Ok(())
        }
        Some(_) => Err(refusal::AUTHORITY),
        None if named || (limits.no_host_in_10 && head.version == Version::Http10) => Ok(()),
        None => Err(refusal::HOST_MISSING),
    }
}

fn set_upgrade(head: &mut Head, upgrade: Option<Span>) {
    let Some(upgrade) = upgrade else { return };
    if head.get(upgrade).eq_ignore_ascii_case(b"h2c") {
        head.remove_known(Known::Upgrade);
        head.remove_known(Known::Http2Settings);
    } else {
        head.upgrade = Some(upgrade);
    }
}

fn refuse(error: httparse::Error, head: &[u8]) -> Refusal {
    if let Err(refusal) = lines::check_ends(head) {
        return refusal;
    }
    match error {
        _ if fields::has_control(head) => refusal::CHARACTERS,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => refusal::FIELD,
        httparse::Error::TooManyHeaders => refusal::TOO_MANY,
        httparse::Error::Version if has_version(head) => refusal::VERSION,
        _ => refusal::START_LINE,
    }
}

/// The start line is one but for a version that is not spoken here.
fn has_version(head: &[u8]) -> bool {
    let end = memchr::memchr(b'\r', head).unwrap_or_default();
    let mut words = head.get(..end).unwrap_or_default().split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None) => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

/// Refuses early what cannot become a request, such as TLS on a plaintext port.
fn check_beginning(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let line = match bytes.get(lines::lead(bytes)..).unwrap_or_default() {
        [] | b"\r" => return Ok(()),
        [b'\r' | b'\n', ..] => return Err(refusal::LINE_END),
        line => line,
    };
    match memchr::memchr(b' ', line.get(..METHOD_BYTES_MAX + 1).unwrap_or(line)) {
        Some(end) if is_method(line.get(..end).unwrap_or_default(), limits) => Ok(()),
        None if line.len() <= METHOD_BYTES_MAX && line.iter().all(|b| is_token_byte(*b)) => Ok(()),
        _ => Err(refusal::METHOD),
    }
}

/// The longest method, if `custom_methods` are accepted.
const METHOD_BYTES_MAX: usize = 64;

fn is_method(method: &[u8], limits: &Limits) -> bool {
    if limits.custom_methods {
        !method.is_empty()
            && method.len() <= METHOD_BYTES_MAX
            && method.iter().all(|byte| is_token_byte(*byte))
    } else {
        matches!(method, b"GET" | b"POST" | b"PUT" | b"HEAD") || METHODS.contains(&method)
    }
}

/// `tchar` of RFC 9110, 5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The methods that Envoy 1.40 accepts.
#[rustfmt::skip]
const METHODS: [&[u8]; 35] = [
    b"ACL", b"BIND", b"CHECKOUT", b"CONNECT", b"COPY", b"DELETE", b"GET", b"HEAD", b"LINK",
    b"LOCK", b"MERGE", b"MKACTIVITY", b"MKCALENDAR", b"MKCOL", b"MOVE", b"MSEARCH", b"NOTIFY",
    b"OPTIONS", b"PATCH", b"POST", b"PROPFIND", b"PROPPATCH", b"PURGE", b"PUT", b"QUERY",
    b"REBIND", b"REPORT", b"SEARCH", b"SOURCE", b"SUBSCRIBE", b"TRACE", b"UNBIND", b"UNLINK",
    b"UNLOCK", b"UNSUBSCRIBE",
];
