//! Calls by HTTP/2 through a proxy's two connections, played by peers that were recorded.

use wire::h1::{self, Limits};
use wire::h2::{Config, Connection, Event, FRAME_HEAD_BYTES, Role};
use wire::head::{Framing, Head};

use crate::mesh;

/// Bytes of each body.
const BODY: [u8; 64] = [b'x'; 64];

/// Rounds until the peers' tables hold what repeats.
const ROUNDS: u32 = 4;

/// A proxy's connections, and what is said to them for each call.
pub struct Calls {
    down: Connection,
    up: Connection,
    head: Head,
    /// The downstream's frames: a request of ten fields and its body.
    asked: Vec<u8>,
    /// The upstream's frames: an answer, its body, and trailers.
    answered: Vec<u8>,
    /// The next stream.
    id: u32,
}

impl Calls {
    /// Connections that have served a few calls.
    #[must_use]
    pub fn new() -> Self {
        // Peers that never stop reading, so that none of their frames need be played for that.
        let config = Config { connection_window_bytes: 1 << 30, ..Config::default() };
        let mut client = Connection::new(Role::Client, &config);
        let mut server = Connection::new(Role::Server, &config);
        let mut calls = Self {
            down: Connection::new(Role::Server, &Config::default()),
            up: Connection::new(Role::Client, &Config::default()),
            head: Head::default(),
            asked: Vec::new(),
            answered: Vec::new(),
            id: 1 + 2 * ROUNDS,
        };
        for _ in 0..2 {
            carry(&mut client, &mut calls.down, b"");
            carry(&mut calls.down, &mut client, b"");
            carry(&mut calls.up, &mut server, b"");
            carry(&mut server, &mut calls.up, b"");
        }
        (0..ROUNDS).for_each(|_| calls.record(&mut client, &mut server));
        calls
    }

    /// One call with peers that live, whose frames are kept.
    fn record(&mut self, client: &mut Connection, server: &mut Connection) {
        let mut head = Head::default();
        assert!(h1::parse_request(mesh::REQUEST, &Limits::default(), &mut head).is_ok());
        let id = client.send_request(&head, false, 0).expect("a stream");
        client.send_data(id, BODY.len(), true).expect("open");
        self.asked = [client.output(), &BODY].concat();
        client.clear_output();
        let asked = std::mem::take(&mut self.asked);
        self.forward(&asked);
        carry(&mut self.up, server, &BODY);
        let mut answer = Head::default();
        (answer.status, answer.framing) = (200, Framing::Chunked);
        answer.append(b"content-type", b"application/grpc");
        server.send_response(id, &answer, false).expect("open");
        server.send_data(id, BODY.len(), false).expect("open");
        let mut answered = [server.output(), &BODY].concat();
        server.clear_output();
        let mut trailers = Head::default();
        trailers.append(b"grpc-status", b"0");
        server.send_trailers(id, &trailers).expect("open");
        answered.extend_from_slice(server.output());
        server.clear_output();
        self.back(&answered);
        self.down.clear_output();
        client.reset(id, wire::h2::ErrorCode::NoError);
        client.clear_output();
        (self.asked, self.answered) = (asked, answered);
    }

    /// The proxy's part of a request: it is read and written.
    fn forward(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut asked = 0;
        loop {
            let step = self.down.receive(rest, &mut self.head).expect("good frames");
            rest = &rest[step.skip + step.data..];
            match step.event {
                None => break,
                Some(Event::Head { end, .. }) => {
                    asked = self.up.send_request(&self.head, end, 0).expect("a stream");
                }
                Some(Event::Data { stream, end }) => {
                    self.down.consumed(stream.id, step.data);
                    self.up.send_data(asked, step.data, end).expect("open");
                }
                Some(event) => panic!("{event:?}"),
            }
        }
    }

    /// The proxy's part of an answer.
    fn back(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let step = self.up.receive(rest, &mut self.head).expect("good frames");
            rest = &rest[step.skip + step.data..];
            match step.event {
                None => break,
                Some(Event::Head { stream, end }) => {
                    self.down.send_response(stream.id, &self.head, end).expect("open");
                }
                Some(Event::Data { stream, end }) => {
                    self.up.consumed(stream.id, step.data);
                    self.down.send_data(stream.id, step.data, end).expect("open");
                }
                Some(Event::Trailers { stream }) => {
                    self.down.send_trailers(stream.id, &self.head).expect("open");
                }
                Some(event) => panic!("{event:?}"),
            }
        }
    }

    /// A whole call: the proxy's part of it.
    pub fn call(&mut self) -> usize {
        let (mut asked, mut answered) =
            (std::mem::take(&mut self.asked), std::mem::take(&mut self.answered));
        name(self.id, &mut asked);
        name(self.id, &mut answered);
        self.id += 2;
        self.forward(&asked);
        self.back(&answered);
        (self.asked, self.answered) = (asked, answered);
        let written = self.down.output().len() + self.up.output().len();
        self.down.clear_output();
        self.up.clear_output();
        written
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self::new()
    }
}

/// Names the stream in each of these frames.
fn name(id: u32, mut frames: &mut [u8]) {
    while frames.len() >= FRAME_HEAD_BYTES {
        let len = u32::from_be_bytes([0, frames[0], frames[1], frames[2]]) as usize;
        let (frame, rest) = frames.split_at_mut(FRAME_HEAD_BYTES + len);
        frame[5..9].copy_from_slice(&id.to_be_bytes());
        frames = rest;
    }
}

/// Takes the output of one over to the other, and a body behind it.
fn carry(from: &mut Connection, to: &mut Connection, body: &[u8]) {
    let (bytes, mut head) = ([from.output(), body].concat(), Head::default());
    from.clear_output();
    let mut rest = bytes.as_slice();
    loop {
        let step = to.receive(rest, &mut head).expect("good frames");
        rest = &rest[step.skip + step.data..];
        match step.event {
            None => break,
            Some(Event::Data { stream, .. }) => to.consumed(stream.id, step.data),
            Some(_) => {}
        }
    }
}
