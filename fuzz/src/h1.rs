//! Heads and bodies of HTTP/1: the same however they are split, what we take httparse takes too and
//! reads alike, and what we write we read again.

use wire::h1::{
    Body, Limits, Parsed, Refusal, ResponseTo, encode_request, encode_response, find_end,
    parse_request, parse_response, strip_hop_by_hop,
};
use wire::head::{Framing, Head};

/// What a caller sees who gets the bytes in pieces.
type Read = Result<Option<(usize, String)>, Refusal>;

fn in_pieces(
    bytes: &[u8],
    piece: usize,
    mut parse: impl FnMut(&[u8], &mut Head) -> Result<Parsed, Refusal>,
) -> Read {
    let mut head = Head::default();
    for seen in (0..bytes.len()).step_by(piece).chain([bytes.len()]) {
        if let Parsed::Complete { consumed } = parse(&bytes[..seen], &mut head)? {
            return Ok(Some((consumed, format!("{head:?}"))));
        }
    }
    Ok(None)
}

/// What is refused whole may be refused sooner, and for what comes first.
fn assert_alike(whole: &Read, pieces: &Read) {
    match (whole, pieces) {
        (Err(_), Err(_)) => {}
        _ => assert_eq!(whole, pieces),
    }
}

fn limits(choice: u8) -> Limits {
    Limits { accept_http_10: choice & 1 != 0, custom_methods: choice & 2 != 0, ..Limits::default() }
}

pub(crate) fn request(input: &[u8]) {
    let ([piece, choice], bytes) = crate::choose(input);
    let limits = limits(choice);
    let parse = |bytes: &[u8], head: &mut Head| parse_request(bytes, &limits, head);
    let whole = in_pieces(bytes, usize::MAX, parse);
    assert_alike(&whole, &in_pieces(bytes, usize::from(piece % 16) + 1, parse));
    let Ok(Some((consumed, _))) = whole else { return };
    assert!(consumed <= bytes.len());
    assert_eq!(find_end(bytes, 0), Some(consumed), "the end of a head is where it seems to be");
    let mut head = Head::default();
    let _ = parse_request(bytes, &limits, &mut head);
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Request::new(&mut headers);
    let read = theirs.parse(bytes);
    assert!(matches!(read, Ok(httparse::Status::Complete(at)) if at == consumed), "{read:?}");
    assert_eq!(theirs.method.unwrap_or_default().as_bytes(), head.method());
    // Each of our fields is one of theirs; `host` is the authority.
    let same_lines = |head: &Head| {
        head.iter().all(|(name, value)| {
            let is_it = |theirs: &httparse::Header<'_>| {
                theirs.name.as_bytes().eq_ignore_ascii_case(name) && trimmed(theirs.value) == value
            };
            theirs.headers.iter().any(is_it)
        })
    };
    assert!(same_lines(&head), "{head:?} {theirs:?}");
    strip_hop_by_hop(&mut head);
    let mut out = Vec::new();
    if encode_request(&head, head.framing, &mut out) {
        let mut again = Head::default();
        let read = parse_request(&out, &Limits { custom_methods: true, ..limits }, &mut again);
        assert!(matches!(read, Ok(Parsed::Complete { consumed }) if consumed == out.len()));
        assert_eq!((again.path(), again.authority()), (head.path(), head.authority()));
        let is_same = again.framing == head.framing
            || (again.framing, head.framing) == (Framing::Length(0), Framing::None);
        assert!(is_same, "{:?} became {:?}", head.framing, again.framing);
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

pub(crate) fn response(input: &[u8]) {
    let ([piece, choice], bytes) = crate::choose(input);
    let to =
        ResponseTo { head: choice & 1 != 0, connect: choice & 2 != 0, upgrade: choice & 4 != 0 };
    let limits = Limits::default();
    let parse = |bytes: &[u8], head: &mut Head| parse_response(bytes, to, &limits, head);
    let whole = in_pieces(bytes, usize::MAX, parse);
    assert_alike(&whole, &in_pieces(bytes, usize::from(piece % 16) + 1, parse));
    let Ok(Some((consumed, _))) = whole else { return };
    let mut head = Head::default();
    let _ = parse_response(bytes, to, &limits, &mut head);
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Response::new(&mut headers);
    let read = theirs.parse(bytes);
    assert!(matches!(read, Ok(httparse::Status::Complete(at)) if at == consumed), "{read:?}");
    assert_eq!(theirs.code, Some(head.status));
    strip_hop_by_hop(&mut head);
    let mut out = Vec::new();
    if head.framing != Framing::UntilClose && encode_response(&head, None, head.framing, &mut out) {
        let mut again = Head::default();
        let read = parse_response(&out, to, &limits, &mut again);
        assert!(matches!(read, Ok(Parsed::Complete { consumed }) if consumed == out.len()));
        assert_eq!(again.status, head.status);
    }
}

pub(crate) fn chunks(input: &[u8]) {
    let ([piece, choice], bytes) = crate::choose(input);
    let framing = match choice % 8 {
        0..6 => Framing::Chunked,
        6 => Framing::Length(u64::from(piece) * 3),
        _ => Framing::UntilClose,
    };
    let whole = decoded(framing, bytes, usize::MAX);
    assert_eq!(whole, decoded(framing, bytes, usize::from(piece % 16) + 1));
    assert_eq!(whole, decoded(framing, bytes, 1));
    if framing == Framing::Chunked
        && let Some(plain) = plainly(bytes)
    {
        assert_eq!(whole.expect("nothing is wrong with it"), plain);
    }
}

/// The body, the bytes that were used, and whether it has come whole.
fn decoded(
    framing: Framing,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<u8>, usize, bool), &'static str> {
    let (mut body, mut out, mut used) = (Body::new(framing), Vec::new(), 0);
    for piece in bytes.chunks(piece.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() && !body.is_done() {
            let step = body.step(rest).map_err(|refusal| refusal.code)?;
            out.extend_from_slice(&rest[step.skip..][..step.data]);
            assert!(step.skip + step.data > 0 || step.done, "no progress");
            used += step.skip + step.data;
            rest = &rest[step.skip + step.data..];
        }
    }
    Ok((out, used, body.is_done()))
}

/// Chunks without extensions and trailers, read in the simplest way. `None`: they are not such.
fn plainly(bytes: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|window| window == b"\r\n")?;
        let digits = &bytes[at..at + line];
        if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at += line + 2;
        let data = bytes.get(at..at.checked_add(size)?)?;
        if bytes.get(at + size..at + size + 2)? != b"\r\n" {
            return None;
        }
        body.extend_from_slice(data);
        at += size + 2;
        if size == 0 {
            return Some((body, at, true));
        }
    }
}
