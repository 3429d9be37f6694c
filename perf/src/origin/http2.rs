//! HTTP/2 by prior knowledge, and gRPC on it: `/N` is answered with N bytes, or with a message of N
//! bytes and `grpc-status: 0`.

use std::collections::VecDeque;

use kit::echo::pattern;
use wire::{
    h2::{Config, Connection, Event, Handle, PREFACE, Role},
    head::{Framing, Head, Known},
};

use super::{PIECE_BYTES, size_of};

/// More than any proxy puts on one connection here.
const STREAMS_MAX: u32 = 1_000;
/// A flag and the length in front of a message of gRPC.
const PREFIX_BYTES: usize = 5;
/// Of the connection's own output so much gathers at the most: its room stays as it is.
const OUTPUT_BYTES: usize = 2 * 1024;

/// One client's connection.
pub(super) struct Http2 {
    connection: Connection,
    /// Answers whose bodies have not left whole.
    owed: VecDeque<Owed>,
}

struct Owed {
    stream: u32,
    sent: usize,
    wish: Wish,
}

/// What a request asks for; a stream is marked with it until the request has come whole.
#[derive(Clone, Copy)]
struct Wish {
    size: usize,
    is_grpc: bool,
}

/// Heads that were made before, and bodies.
pub(super) struct Parts {
    head: Head,
    grpc: Head,
    trailers: Head,
    pattern: Vec<u8>,
}

impl Parts {
    pub(super) fn new() -> Self {
        let [mut head, mut grpc, mut trailers] = [(); 3].map(|()| Head::default());
        (head.status, grpc.status) = (200, 200);
        grpc.append(b"content-type", b"application/grpc");
        grpc.framing = Framing::Chunked;
        trailers.append(b"grpc-status", b"0");
        Self { head, grpc, trailers, pattern: pattern(PIECE_BYTES) }
    }
}

impl Http2 {
    /// Whether a connection begins with HTTP/2's preface, as far as it has come.
    pub(super) fn begins(bytes: &[u8]) -> bool {
        let len = bytes.len().min(PREFACE.len());
        bytes.get(..len) == PREFACE.get(..len)
    }

    pub(super) fn new() -> Self {
        let config = Config { streams_max: STREAMS_MAX, ..Config::default() };
        Self { connection: Connection::new(Role::Server, &config), owed: VecDeque::new() }
    }

    /// Reads what has come. `false`: this is no request of ours.
    pub(super) fn read(&mut self, mut bytes: &[u8], head: &mut Head) -> bool {
        loop {
            let Ok(step) = self.connection.receive(bytes, head) else { return false };
            let Some(event) = step.event else { return true };
            bytes = bytes.get(step.skip + step.data..).unwrap_or_default();
            match event {
                Event::Head { stream, end } => {
                    let Some(size) = size_of(head.path()) else { return false };
                    let kind = head.value(Known::ContentType).unwrap_or_default();
                    let wish = Wish { size, is_grpc: kind.starts_with(b"application/grpc") };
                    self.connection.set_user(stream.id, wish.pack());
                    if end {
                        self.owe(Handle { user: wish.pack(), ..stream });
                    }
                }
                Event::Data { stream, end } => {
                    self.connection.consumed(stream.id, step.data);
                    if end {
                        self.owe(stream);
                    }
                }
                Event::Trailers { stream } => self.owe(stream),
                _ => {}
            }
        }
    }

    fn owe(&mut self, stream: Handle) {
        let wish = Wish::unpack(stream.user);
        self.owed.push_back(Owed { stream: stream.id, sent: 0, wish });
    }

    /// Appends what can be sent now, up to about `room` bytes, from each answer in turn.
    pub(super) fn answer(&mut self, parts: &mut Parts, room: usize, out: &mut Vec<u8>) {
        for _ in 0..self.owed.len() {
            if out.len() >= room {
                break;
            }
            let Some(mut owed) = self.owed.pop_front() else { break };
            if !owed.go_on(&mut self.connection, parts, room, out) {
                self.owed.push_back(owed);
            }
            if self.connection.output().len() >= OUTPUT_BYTES {
                gather(&mut self.connection, out);
            }
        }
        gather(&mut self.connection, out);
    }
}

impl Owed {
    /// Sends as much as may go. Says whether the answer is done with.
    fn go_on(
        &mut self,
        connection: &mut Connection,
        parts: &mut Parts,
        room: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let Wish { size, is_grpc } = self.wish;
        let len = size + if is_grpc { PREFIX_BYTES } else { 0 };
        if self.sent == 0 && !self.begin(connection, parts) {
            return true;
        }
        while self.sent < len && out.len() < room {
            let Ok(sent) = connection.send_data(self.stream, len - self.sent, !is_grpc) else {
                return true;
            };
            if sent.bytes == 0 {
                return false;
            }
            gather(connection, out);
            self.put(sent.bytes, &parts.pattern, out);
        }
        if self.sent == len && is_grpc {
            // A stream that its client has given up needs none.
            let _ = connection.send_trailers(self.stream, &parts.trailers);
        }
        self.sent == len
    }

    /// Sends the head, if it was not sent. `false`: nothing may follow.
    fn begin(&self, connection: &mut Connection, parts: &mut Parts) -> bool {
        let Wish { size, is_grpc } = self.wish;
        let head = match is_grpc {
            true => &parts.grpc,
            false => {
                parts.head.framing = Framing::Length(size as u64);
                &parts.head
            }
        };
        let is_whole = size == 0 && !is_grpc;
        // It was sent if the window was shut then.
        let begun = connection.send_response(self.stream, head, is_whole).is_ok();
        (begun || connection.user(self.stream).is_some()) && !is_whole
    }

    /// The body's next bytes.
    fn put(&mut self, mut bytes: usize, pattern: &[u8], out: &mut Vec<u8>) {
        let mut place = self.sent;
        self.sent += bytes;
        if self.wish.is_grpc {
            // No flag, and four bytes of length: no size needs more.
            let prefix = (self.wish.size as u64).to_be_bytes();
            let left = prefix.get(3 + place.min(PREFIX_BYTES)..).unwrap_or_default();
            let now = left.get(..bytes.min(left.len())).unwrap_or_default();
            out.extend_from_slice(now);
            bytes -= now.len();
            place = (place + now.len()).saturating_sub(PREFIX_BYTES);
        }
        // A frame is shorter than the pattern is long.
        let start = place % 26;
        out.extend_from_slice(pattern.get(start..start + bytes).unwrap_or_default());
    }
}

impl Wish {
    fn pack(self) -> u64 {
        (self.size as u64) << 1 | u64::from(self.is_grpc)
    }

    fn unpack(user: u64) -> Self {
        Self { size: (user >> 1) as usize, is_grpc: user & 1 == 1 }
    }
}

fn gather(connection: &mut Connection, out: &mut Vec<u8>) {
    if !connection.output().is_empty() {
        out.extend_from_slice(connection.output());
        connection.clear_output();
    }
}
