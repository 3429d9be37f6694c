//! After warm-up a message costs no allocation.

use ringway_wire::h1::{self, Body, Limits, Parsed, ResponseTo};
use ringway_wire::h2::{Config, Connection, Event, Role};
use ringway_wire::head::{Framing, Head};

const REQUEST: &[u8] = b"POST /api/reviews/1?x=y HTTP/1.1\r\nHost: reviews:9080\r\n\
    User-Agent: test\r\nAccept: */*\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\
    X-Request-Id: 0\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;ext=1\r\nhello\r\n0\r\nX: y\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: v1\r\n\r\nok";

fn exchange(head: &mut Head, out: &mut Vec<u8>) {
    let limits = Limits::default();
    let parsed = h1::parse_request(REQUEST, &limits, head).expect("it is a fine request");
    let Parsed::Complete { consumed } = parsed else { panic!("it is whole") };
    let (to, mut body) = (ResponseTo::of(head), Body::new(head.framing));
    h1::strip_hop_by_hop(head);
    head.set(b"x-forwarded-proto", b"http");
    out.clear();
    assert!(h1::encode_request(head, head.framing, out));
    let mut rest = &REQUEST[consumed..];
    while !body.is_done() {
        let step = body.step(rest).expect("it is a fine body");
        rest = &rest[step.skip + step.data..];
    }
    let parsed = h1::parse_response(RESPONSE, to, &limits, head).expect("it is a fine response");
    assert!(matches!(parsed, Parsed::Complete { .. }));
    out.clear();
    assert!(h1::encode_response(head, None, head.framing, out));
}

#[test]
fn no_allocation_per_request_after_warm_up() {
    let (mut head, mut out) = (Head::default(), Vec::new());
    exchange(&mut head, &mut out);
    let cost = allocation_counter::measure(|| {
        for _ in 0..1000 {
            exchange(&mut head, &mut out);
        }
    });
    assert_eq!(cost.count_total, 0, "allocations in 1,000 requests: {cost:?}");
}

/// Both ends of an HTTP/2 connection, and what they read and write with.
struct Pair {
    client: Connection,
    server: Connection,
    head: Head,
    request: Head,
    answer: Head,
    trailers: Head,
    calls: u64,
}

impl Pair {
    fn new() -> Self {
        let (mut answer, mut trailers) = (Head::default(), Head::default());
        answer.status = 200;
        answer.framing = Framing::Chunked;
        answer.append(b"content-type", b"application/grpc");
        trailers.append(b"grpc-status", b"0");
        let config = Config::default();
        Self {
            client: Connection::new(Role::Client, &config),
            server: Connection::new(Role::Server, &config),
            head: Head::default(),
            request: Head::default(),
            answer,
            trailers,
            calls: 0,
        }
    }

    /// A call with bodies, trailers, and an id that is new each time.
    fn call(&mut self) {
        self.calls += 1;
        let mut id = [0; 8];
        for (at, digit) in id.iter_mut().enumerate() {
            *digit = b'a' + (self.calls >> (4 * at) & 0xf) as u8;
        }
        fill(&mut self.request, &id);
        let client = &mut self.client;
        let stream = client.send_request(&self.request, false, 1).expect("a stream");
        let sent = client.send_data(stream, id.len(), true).expect("open");
        assert!(sent.end);
        carry(&mut self.client, &mut self.server, &id, &mut self.head);
        self.server.send_response(stream, &self.answer, false).expect("open");
        self.server.send_data(stream, id.len(), false).expect("open");
        carry(&mut self.server, &mut self.client, &id, &mut self.head);
        self.server.send_trailers(stream, &self.trailers).expect("open");
        carry(&mut self.server, &mut self.client, b"", &mut self.head);
        assert_eq!(self.client.open_streams() + self.server.open_streams(), 0);
    }
}

/// A request with an id of its own.
fn fill(head: &mut Head, id: &[u8]) {
    head.clear();
    head.method = head.add_bytes(b"POST");
    head.path = head.add_bytes(b"/package.Service/Method");
    head.authority = head.add_bytes(b"service:8080");
    head.framing = Framing::Chunked;
    head.append(b"content-type", b"application/grpc");
    head.append(b"te", b"trailers");
    head.append(b"user-agent", b"grpc-rust/1");
    head.append(b"cookie", b"a=b");
    head.append(b"x-request-id", id);
}

/// Takes over the output and a body behind it, in pieces that cut frames.
fn carry(from: &mut Connection, to: &mut Connection, body: &[u8], head: &mut Head) {
    for bytes in from.output().chunks(50).chain([body]) {
        let mut rest = bytes;
        loop {
            let step = to.receive(rest, head).expect("what we write can be read");
            rest = &rest[step.skip + step.data..];
            match step.event {
                Some(Event::Data { stream, .. }) => to.consumed(stream.id, step.data),
                Some(_) => {}
                None => break,
            }
        }
    }
    from.clear_output();
}

#[test]
fn no_allocation_per_http_2_call_after_warm_up() {
    let mut pair = Pair::new();
    for _ in 0..1_000 {
        pair.call();
    }
    let cost = allocation_counter::measure(|| {
        for _ in 0..20_000 {
            pair.call();
        }
    });
    assert_eq!(cost.count_total, 0, "allocations in 20,000 calls: {cost:?}");
}
