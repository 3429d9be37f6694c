//! Frames of HTTP/2 at a server and at a client: the same however they are split, bounded in what
//! they cost, and never in the way of what is called meanwhile.

use wire::h2::{Config, Connection, ErrorCode, Event, PREFACE, Role};
use wire::head::{Framing, Head};

/// Settings of both sides.
pub(crate) fn config() -> Config {
    Config { extended_connect: true, ..Config::default() }
}

/// A frame as it stands on the wire.
pub(crate) fn frame(kind: u8, flags: u8, id: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Input as frames: kind, flags, stream and length in a byte each, then the payload; so that what
/// changes a payload's length does not end all sense. Odd first bytes: it stands as it is.
fn frames(raw: bool, mut input: &[u8]) -> Vec<u8> {
    if raw {
        return input.to_vec();
    }
    let mut out = Vec::new();
    while let Some(([kind, flags, id, len], rest)) = input.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        frame(kind % 11, *flags, u32::from(*id), payload, &mut out);
        input = rest;
    }
    out
}

/// Everything that can be seen of a connection that gets the bytes in pieces.
fn watch(mut connection: Connection, bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let (mut log, mut head) = (Vec::new(), Head::default());
    for mut rest in bytes.chunks(piece) {
        loop {
            let step = match connection.receive(rest, &mut head) {
                Ok(step) => step,
                Err(refusal) => {
                    log.push(refusal.code.to_owned());
                    return (log, connection.output().to_vec());
                }
            };
            let data = rest[step.skip..][..step.data].to_vec();
            rest = &rest[step.skip + step.data..];
            let Some(event) = step.event else { break };
            note(&mut log, &mut connection, event, &head, &data);
        }
        assert!(rest.is_empty(), "all is used up");
    }
    (log, connection.output().to_vec())
}

fn note(
    log: &mut Vec<String>,
    connection: &mut Connection,
    event: Event,
    head: &Head,
    data: &[u8],
) {
    match event {
        Event::Data { stream, end } => {
            connection.consumed(stream.id, data.len());
            let (start, text) = (format!("data {} ", stream.id), data.escape_ascii().to_string());
            // However a body is cut into pieces, it is the same.
            match log.last_mut() {
                Some(last) if last.starts_with(&start) && !last.ends_with(" end") => {
                    last.push_str(&text)
                }
                _ => log.push(start + &text),
            }
            if end {
                log.last_mut().expect("just written").push_str(" end");
            }
        }
        Event::Head { .. } | Event::Trailers { .. } => log.push(format!("{event:?} {head:?}")),
        _ => log.push(format!("{event:?}")),
    }
}

fn check(make: impl Fn() -> Connection, bytes: &[u8], piece: u8) {
    let whole = watch(make(), bytes, usize::MAX);
    assert_eq!(whole, watch(make(), bytes, usize::from(piece) + 1));
    assert_eq!(whole, watch(make(), bytes, 1));
    // What is answered on its own account must not outgrow what was sent.
    assert!(whole.1.len() <= 4_096 + 16 * bytes.len(), "{} for {}", whole.1.len(), bytes.len());
    interfere(make(), bytes);
}

/// Calls of all kinds between the pieces: nothing but the connection's own end may come of it.
fn interfere(mut connection: Connection, bytes: &[u8]) {
    let mut head = Head::default();
    let is_server = connection.open_streams() == 0;
    for (at, piece) in bytes.chunks(23).enumerate() {
        let mut rest = piece;
        loop {
            let Ok(step) = connection.receive(rest, &mut head) else { return };
            rest = &rest[step.skip + step.data..];
            if step.event.is_none() {
                break;
            }
        }
        let id = u32::from(piece[0] % 8);
        let mut answer = Head::default();
        answer.status = 200;
        answer.framing = Framing::Chunked;
        match at % 7 {
            0 if is_server => _ = connection.send_response(id, &answer, at % 2 == 0),
            0 => _ = connection.send_request(&ask(b"PUT"), at % 2 == 0, 1),
            1 => _ = connection.send_data(id, at * 1_000, at % 3 == 0),
            2 => _ = connection.send_trailers(id, &Head::default()),
            3 => connection.consumed(id, at * 100),
            4 => _ = connection.reset(id, ErrorCode::Cancel),
            5 => _ = connection.next_ready(),
            _ => connection.ping([0; 8]),
        }
        connection.clear_output();
        assert!(connection.capacity(id) < 1 << 31);
        assert!(connection.open_streams() <= 1_100, "{}", connection.open_streams());
    }
}

pub(crate) fn server(input: &[u8]) {
    let ([raw, piece], input) = crate::choose(input);
    let mut bytes = PREFACE.to_vec();
    frame(4, 0, 0, &[], &mut bytes);
    bytes.extend(frames(raw % 2 == 1, input));
    check(|| Connection::new(Role::Server, &config()), &bytes, piece);
}

/// A request that can be sent.
pub(crate) fn ask(method: &[u8]) -> Head {
    let mut head = Head::default();
    head.method = head.add_bytes(method);
    head.path = head.add_bytes(b"/");
    head.authority = head.add_bytes(b"a");
    head.framing = Framing::Chunked;
    head
}

pub(crate) fn client(input: &[u8]) {
    let ([raw, piece], input) = crate::choose(input);
    let mut bytes = Vec::new();
    frame(4, 0, 0, &[], &mut bytes);
    bytes.extend(frames(raw % 2 == 1, input));
    let make = || {
        let mut connection = Connection::new(Role::Client, &config());
        for method in [&b"GET"[..], b"POST", b"HEAD"] {
            let end = method != b"POST";
            connection.send_request(&ask(method), end, 0).expect("room for three");
        }
        connection
    };
    check(make, &bytes, piece);
}
