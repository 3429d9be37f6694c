//! Our client and our server with each other.

use super::*;

/// Both ends of a connection.
struct Pair {
    client: Watched,
    server: Watched,
}

impl Pair {
    fn new() -> Self {
        let config = Config { extended_connect: true, ..Config::default() };
        let mut pair = Self {
            client: Watched::new(Role::Client, &config),
            server: Watched::new(Role::Server, &config),
        };
        pair.exchange();
        assert_eq!(pair.client.log, ["PeerSettings", "SettingsAcknowledged"]);
        assert_eq!(pair.server.log, ["PeerSettings", "SettingsAcknowledged"]);
        pair.client.log.clear();
        pair.server.log.clear();
        pair
    }

    /// Carries output over until there is none.
    fn exchange(&mut self) {
        loop {
            let up = self.client.connection.output().to_vec();
            self.client.connection.clear_output();
            let down = self.server.connection.output().to_vec();
            self.server.connection.clear_output();
            if up.is_empty() && down.is_empty() {
                return;
            }
            self.server.feed(&up).expect("what a client of ours writes can be read");
            self.client.feed(&down).expect("what a server of ours writes can be read");
        }
    }

    fn send(&mut self, from: Role, id: u32, mut bytes: &[u8], end: bool) {
        loop {
            let (one, other) = match from {
                Role::Client => (&mut self.client, &mut self.server),
                Role::Server => (&mut self.server, &mut self.client),
            };
            let sent = one.connection.send_data(id, bytes.len(), end).expect("a body");
            let (now, later) = bytes.split_at(sent.bytes);
            let wire = [one.connection.output(), now].concat();
            one.connection.clear_output();
            other.feed(&wire).expect("what we write can be read");
            bytes = later;
            self.exchange();
            if bytes.is_empty() {
                return;
            }
        }
    }
}

#[test]
fn a_call_with_bodies_and_trailers() {
    let mut pair = Pair::new();
    let head = request(
        "POST",
        &[
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("connection", "keep-alive"),
            ("x-forwarded-proto", "https"),
            ("cookie", "secret"),
        ],
    );
    for round in 0..3_u32 {
        let id = pair.client.connection.send_request(&head, false, 7).expect("a stream");
        assert_eq!(id, 1 + 2 * round);
        pair.exchange();
        let expected = format!(
            "head {id} POST https://a:80 /p Chunked content-type: application/grpc; te: trailers; \
             x-forwarded-proto: https; cookie: secret"
        );
        assert_eq!(pair.server.log, [expected]);
        assert!(pair.server.head.fields().last().is_some_and(|field| field.is_secret));
        pair.send(Role::Client, id, b"question", true);
        assert_eq!(pair.server.log[1], format!("data {id} question end"));
        pair.server.connection.send_response(id, &answer(103), false).expect("a hint");
        pair.server.connection.send_response(id, &answer(200), false).expect("an answer");
        pair.send(Role::Server, id, b"answer", false);
        let mut trailers = Head::default();
        trailers.append(b"grpc-status", b"0");
        pair.server.connection.send_trailers(id, &trailers).expect("trailers");
        pair.exchange();
        let expected = [
            format!("head {id} 103 None "),
            format!("head {id} 200 Chunked "),
            format!("data {id} answer."),
            format!("trailers {id} grpc-status: 0"),
        ];
        assert_eq!(pair.client.log, expected);
        assert_eq!(pair.server.connection.open_streams(), 0);
        assert_eq!(pair.client.connection.open_streams(), 0);
        pair.server.log.clear();
        pair.client.log.clear();
    }
}

#[test]
fn large_bodies_both_ways() {
    let mut pair = Pair::new();
    let id = pair.client.connection.send_request(&request("PUT", &[]), false, 0).expect("a stream");
    pair.exchange();
    pair.server.connection.send_response(id, &answer(200), false).expect("an answer");
    let body = vec![b'x'; 3_000_000];
    pair.send(Role::Client, id, &body, true);
    pair.send(Role::Server, id, &body, true);
    for log in [&pair.server.log, &pair.client.log] {
        let data: Vec<&String> = log.iter().filter(|line| line.starts_with("data")).collect();
        assert_eq!(data.len(), 1);
        assert_eq!(data[0].len(), "data 1  end".len() + body.len());
    }
    assert_eq!(pair.server.connection.open_streams(), 0);
}

#[test]
fn heads_that_take_several_frames() {
    let mut pair = Pair::new();
    let value = "\u{1f980}".repeat(5_000);
    let head = request("GET", &[("x-long", &value), ("x-longer", &value)]);
    pair.client.connection.send_request(&head, true, 0).expect("a stream");
    let written = frames(pair.client.connection.output());
    assert_eq!(written.len(), 3, "{written:?}");
    assert!(written[0].starts_with("Headers 1 1 16384"), "{written:?}");
    assert!(written[1].starts_with("Continuation 1 0 16384"), "{written:?}");
    assert!(written[2].starts_with("Continuation 1 4 "), "{written:?}");
    pair.exchange();
    assert_eq!(pair.server.head.iter().count(), 2);
    assert!(pair.server.head.iter().all(|(_, found)| found == value.as_bytes()));
}

#[test]
fn resets_and_refusals_to_send() {
    let mut pair = Pair::new();
    let get = request("GET", &[]);
    let id = pair.client.connection.send_request(&get, false, 3).expect("a stream");
    pair.exchange();
    pair.server.connection.set_user(id, 4);
    assert_eq!(pair.server.connection.user(id), Some(4));
    assert!(pair.client.connection.reset(id, ErrorCode::Cancel));
    assert!(!pair.client.connection.reset(id, ErrorCode::Cancel));
    pair.exchange();
    assert_eq!(pair.server.log[1], format!("reset {id} Cancel"));
    let closed = Err(Unsent::Closed);
    assert_eq!(pair.server.connection.send_response(id, &answer(200), true), closed);
    assert_eq!(pair.server.connection.send_data(id, 1, true).err(), closed.err());
    assert_eq!(pair.server.connection.send_trailers(id, &Head::default()), closed);
    assert_eq!(pair.server.connection.capacity(id), 0);
    let id = pair.client.connection.send_request(&get, true, 0).expect("a stream");
    pair.exchange();
    assert_eq!(pair.server.connection.send_data(id, 1, true).err(), closed.err(), "no head yet");
    assert_eq!(pair.server.connection.send_response(id, &answer(101), false), closed);
    assert_eq!(pair.server.connection.send_response(id, &answer(100), true), closed);
    pair.server.connection.send_response(id, &answer(204), true).expect("an answer");
    assert_eq!(pair.server.connection.send_response(id, &answer(204), true), closed);
    // As many streams as the peer allows, and no more.
    for _ in 0..100 {
        pair.exchange();
        pair.client.connection.send_request(&get, true, 0).expect("a stream");
    }
    let more = pair.client.connection.send_request(&get, true, 0);
    assert_eq!(more, Err(Unsent::TooManyStreams));
}

#[test]
fn a_server_drains() {
    let mut pair = Pair::new();
    let get = request("GET", &[]);
    let mut open = || pair.client.connection.send_request(&get, true, 0).expect("a stream");
    let (first, second) = (open(), open());
    pair.exchange();
    pair.server.connection.announce_drain();
    // A request that crosses it is served.
    let third = pair.client.connection.send_request(&get, true, 0).expect("a stream");
    let crossing = pair.client.connection.output().to_vec();
    pair.client.connection.clear_output();
    pair.server.feed(&crossing).expect("a request");
    pair.exchange();
    assert_eq!(pair.client.log, ["GoAway { last: 2147483647, error: NoError }"]);
    let refused = pair.client.connection.send_request(&get, true, 0);
    assert_eq!(refused, Err(Unsent::GoingAway));
    pair.server.connection.drain();
    pair.exchange();
    assert_eq!(pair.client.log[1], format!("GoAway {{ last: {third}, error: NoError }}"));
    assert!(!pair.server.connection.is_drained());
    for id in [first, second, third] {
        pair.server.connection.send_response(id, &answer(200), true).expect("an answer");
    }
    pair.exchange();
    assert!(pair.server.connection.is_drained() && pair.client.connection.is_drained());
    // One that comes all the same is ignored, and the tables stay in step.
    pair.server.log.clear();
    let late = [super::post(7), data(7, 0, b"x"), headers(7, WHOLE, &[("x", "y")])].concat();
    pair.server.feed(&late).expect("ignored");
    assert_eq!(pair.server.log, [""; 0]);
}

#[test]
fn requests_that_nobody_has_looked_at_come_back() {
    let mut pair = Pair::new();
    let get = request("GET", &[]);
    let mut open = |user| pair.client.connection.send_request(&get, false, user).expect("a stream");
    let (first, second, third) = (open(1), open(2), open(3));
    let away = [&first.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    pair.client.feed(&frame(Kind::GoAway, 0, 0, &away)).expect("a farewell");
    let expected = [
        format!("GoAway {{ last: {first}, error: NoError }}"),
        format!("reset {third} RefusedStream"),
        format!("reset {second} RefusedStream"),
    ];
    assert_eq!(pair.client.log, expected);
    assert_eq!(pair.client.connection.open_streams(), 1);
    // What the server says of them all the same is ignored.
    let late = [headers(second, WHOLE, &[(":status", "200")]), reset(third)].concat();
    pair.client.feed(&late).expect("it is ignored");
    assert_eq!(pair.client.log.len(), 3);
}

#[test]
fn a_web_socket_over_http_2() {
    let mut pair = Pair::new();
    let mut head = request("GET", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    head.upgrade = Some(head.add_bytes(b"websocket"));
    let id = pair.client.connection.send_request(&head, false, 0).expect("a stream");
    pair.exchange();
    let asked = "GET http://a:80 /p UntilClose to websocket upgrade: websocket; \
                 connection: upgrade";
    assert_eq!(pair.server.log, [format!("head {id} {asked}")]);
    let mut switched = answer(101);
    switched.append(b"upgrade", b"websocket");
    pair.server.connection.send_response(id, &switched, false).expect("an answer");
    pair.exchange();
    assert_eq!(pair.client.log, [format!("head {id} 101 UntilClose connection: upgrade")]);
    pair.send(Role::Client, id, b"up", true);
    pair.send(Role::Server, id, b"down", true);
    assert_eq!(pair.server.log[1], format!("data {id} up end"));
    assert_eq!(pair.client.log[1], format!("data {id} down end"));
    // A server that has not said that it can is not asked.
    let refused = Watched::client().connection.send_request(&head, false, 0);
    assert_eq!(refused, Err(Unsent::NoExtendedConnect));
}

#[test]
fn pings_and_lengths() {
    let mut pair = Pair::new();
    pair.client.connection.ping(*b"12345678");
    pair.exchange();
    assert_eq!(pair.client.log, ["Pong { payload: [49, 50, 51, 52, 53, 54, 55, 56] }"]);
    pair.client.log.clear();
    let mut head = request("POST", &[("content-length", "9")]);
    head.framing = crate::head::Framing::Length(5);
    let id = pair.client.connection.send_request(&head, false, 0).expect("a stream");
    pair.send(Role::Client, id, b"12345", true);
    assert_eq!(
        pair.server.log[0],
        format!("head {id} POST http://a:80 /p Length(5) content-length: 5")
    );
    // Nothing but the framing decides, save where a length is told of what does not come.
    let mut not_modified = answer(304);
    not_modified.framing = Framing::None;
    not_modified.append(b"content-length", b"7");
    pair.server.connection.send_response(id, &not_modified, true).expect("an answer");
    pair.exchange();
    assert_eq!(pair.client.log, [format!("head {id} end 304 None content-length: 7")]);
}

#[test]
fn an_idle_connection_stays_small() {
    let mut pair = Pair::new();
    for _ in 0..1_000 {
        let id = pair.client.connection.send_request(&request("GET", &[]), true, 0).expect("room");
        pair.exchange();
        pair.server.connection.send_response(id, &answer(200), true).expect("open");
        pair.exchange();
    }
    let size = size_of::<Connection>();
    assert!(size <= 2_048, "{size} bytes besides its buffers");
}
