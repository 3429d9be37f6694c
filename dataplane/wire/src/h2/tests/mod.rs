//! What a connection reads, refuses and writes. Frames are put together by hand here: what is
//! tested does not test itself.

mod conformance;
mod exchange;
mod floods;
mod flow;
mod messages;
mod properties;

use super::frame::{ACK, END_HEADERS, END_STREAM, Kind, PADDED, PRIORITY, put};
use super::*;
use crate::head::{Framing, Head};

/// A connection with what it has said so far, one line an event.
struct Watched {
    connection: Connection,
    head: Head,
    log: Vec<String>,
    /// What comes of bodies is consumed at once.
    consumes: bool,
}

impl Watched {
    fn new(role: Role, config: &Config) -> Self {
        Self {
            connection: Connection::new(role, config),
            head: Head::default(),
            log: Vec::new(),
            consumes: true,
        }
    }

    /// A server that has been greeted, and whose settings are acknowledged.
    fn server() -> Self {
        Self::server_with(&Config::default())
    }

    fn server_with(config: &Config) -> Self {
        let mut server = Self::new(Role::Server, config);
        server.feed(&greeting()).expect("a greeting");
        server.clear();
        server
    }

    /// A client that has been greeted.
    fn client() -> Self {
        let mut client = Self::new(Role::Client, &Config::default());
        client.feed(&[frame(Kind::Settings, 0, 0, b""), ack()].concat()).expect("a greeting");
        client.clear();
        client
    }

    fn clear(&mut self) {
        self.log.clear();
        self.connection.clear_output();
    }

    /// Takes in all of the bytes.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut rest = bytes;
        loop {
            let step = self.connection.receive(rest, &mut self.head)?;
            let data = &rest[step.skip..][..step.data];
            rest = &rest[step.skip + step.data..];
            match step.event {
                Some(event) => self.note(event, data),
                None => {
                    assert!(rest.is_empty() && step.data == 0, "all is used up");
                    return Ok(());
                }
            }
        }
    }

    fn note(&mut self, event: Event, data: &[u8]) {
        let ending = |end: bool| if end { " end" } else { "" };
        let line = match event {
            Event::Head { stream, end } => {
                format!("head {}{} {}", stream.id, ending(end), describe(&self.head))
            }
            Event::HeadTooLarge { stream, end, refusal } => {
                format!("too large {}{} {}", stream.id, ending(end), refusal.code)
            }
            Event::Data { stream, end } => {
                if self.consumes {
                    self.connection.consumed(stream.id, data.len());
                }
                let text = data.escape_ascii();
                if let Some(last) = self.log.last_mut()
                    && last.starts_with(&format!("data {} ", stream.id))
                    && last.ends_with('.')
                {
                    // However a body is cut into pieces, it is the same.
                    last.pop();
                    last.push_str(&format!("{text}{}", if end { " end" } else { "." }));
                    return;
                }
                format!("data {} {text}{}", stream.id, if end { " end" } else { "." })
            }
            Event::Trailers { stream } => format!("trailers {} {}", stream.id, fields(&self.head)),
            Event::Reset { stream, error } => format!("reset {} {error:?}", stream.id),
            Event::Refused { stream, refusal } => {
                format!("refused {} {} {:?}", stream.id, refusal.code, refusal.error)
            }
            Event::WindowOpened { stream } => format!("window {}", stream.id),
            other => format!("{other:?}"),
        };
        self.log.push(line);
    }

    /// The output as frames, taken out.
    fn written(&mut self) -> Vec<String> {
        let frames = frames(self.connection.output());
        self.connection.clear_output();
        frames
    }
}

/// A head as text.
fn describe(head: &Head) -> String {
    let start = match head.status {
        0 => format!(
            "{} {}://{} {}",
            head.method().escape_ascii(),
            head.get(head.scheme).escape_ascii(),
            head.authority().escape_ascii(),
            head.path().escape_ascii()
        ),
        status => status.to_string(),
    };
    let upgrade = match head.upgrade {
        Some(upgrade) => format!(" to {}", head.get(upgrade).escape_ascii()),
        None => String::new(),
    };
    format!("{start} {:?}{upgrade} {}", head.framing, fields(head))
}

fn fields(head: &Head) -> String {
    let field = |(n, v): (&[u8], &[u8])| format!("{}: {}", n.escape_ascii(), v.escape_ascii());
    head.iter().map(field).collect::<Vec<_>>().join("; ")
}

/// The frames of these bytes as text.
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let head = super::frame::FrameHead::read(head);
        let (payload, rest) = rest.split_at(head.len.min(rest.len()));
        bytes = rest;
        let numbers: Vec<u32> = payload
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        all.push(match head.kind {
            Kind::RstStream => format!("RstStream {} {:?}", head.stream, ErrorCode::of(numbers[0])),
            Kind::GoAway => format!("GoAway {} {:?}", numbers[0], ErrorCode::of(numbers[1])),
            Kind::WindowUpdate => format!("WindowUpdate {} {}", head.stream, numbers[0]),
            kind => format!("{kind:?} {} {:x} {}", head.stream, head.flags, head.len),
        });
    }
    all
}

fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(kind, flags, stream, payload, &mut out);
    out
}

fn ack() -> Vec<u8> {
    frame(Kind::Settings, ACK, 0, b"")
}

/// What a client says first, our settings acknowledged.
fn greeting() -> Vec<u8> {
    [PREFACE, &frame(Kind::Settings, 0, 0, b""), &ack()].concat()
}

/// Fields as literals that are put into no table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            let len = text.len();
            if len < 127 {
                out.push(len as u8);
            } else {
                assert!(len < 127 + (1 << 14));
                out.extend([127, (len - 127) as u8 | 0x80, ((len - 127) >> 7) as u8]);
            }
            out.extend(text.bytes());
        }
    }
    out
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(Kind::Headers, flags, stream, &block(fields))
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// A GET with nothing behind it.
fn get(stream: u32) -> Vec<u8> {
    headers(stream, WHOLE, &GET)
}

/// A POST whose body follows.
fn post(stream: u32) -> Vec<u8> {
    headers(stream, END_HEADERS, &POST)
}

fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(Kind::Data, flags, stream, bytes)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(Kind::RstStream, 0, stream, &ErrorCode::Cancel.number().to_be_bytes())
}

fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = all
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(Kind::Settings, 0, 0, &payload)
}

/// An answer without a body or with one to come.
fn answer(status: u16) -> Head {
    let mut head = Head::default();
    head.status = status;
    // What follows is the test's to say.
    head.framing = Framing::Chunked;
    head
}

/// A request's head.
fn request(method: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.method = head.add_bytes(method.as_bytes());
    head.path = head.add_bytes(b"/p");
    head.authority = head.add_bytes(b"a:80");
    for (name, value) in fields {
        assert!(head.append(name.as_bytes(), value.as_bytes()));
    }
    head
}
