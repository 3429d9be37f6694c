//! What RFC 9113 lets nobody do, in the order of h2spec's cases, whose numbers stand beside them.

use super::*;

/// What the server does about it.
enum Answer {
    Connection(ErrorCode, &'static str),
    Stream(ErrorCode, &'static str),
    /// It goes on.
    Fine,
}

use Answer::{Connection as Ends, Fine, Stream as Resets};
use ErrorCode::{
    CompressionError, FlowControlError, FrameSizeError, ProtocolError, RefusedStream, StreamClosed,
};

fn check(cases: Vec<(&str, Vec<Vec<u8>>, Answer)>) {
    for (name, input, answer) in cases {
        let mut server = Watched::server();
        let result = server.feed(&input.concat());
        let log = server.log.join("\n");
        let written = server.written().join("\n");
        match answer {
            Ends(error, code) => {
                let refusal = result.expect_err(name);
                assert_eq!(refusal.code, format!("http2.{code}"), "{name}");
                assert_eq!((refusal.error, refusal.scope), (error, Scope::Connection), "{name}");
                assert!(written.contains("GoAway"), "{name}: {written}");
                assert!(written.contains(&format!("{error:?}")), "{name}: {written}");
                assert!(server.feed(b"").is_err(), "{name}: it stays refused");
            }
            Resets(error, code) => {
                result.expect(name);
                assert!(log.contains(&format!("http2.{code} {error:?}")), "{name}: {log}");
                assert!(written.contains("RstStream"), "{name}: {written}");
                // The connection is as good as before.
                server.feed(&get(1001)).expect(name);
                assert!(server.log.join("\n").contains("head 1001 end GET"), "{name}");
            }
            Fine => {
                result.expect(name);
                assert!(!log.contains("refused") && !written.contains("Rst"), "{name}: {log}");
                server.feed(&get(1001)).expect(name);
                assert!(server.log.join("\n").contains("head 1001 end GET"), "{name}");
            }
        }
    }
}

/// A whole exchange on stream 1, then these frames.
fn check_after_exchange(frames: &[Vec<u8>], expected: (ErrorCode, &str)) {
    let mut server = Watched::server();
    server.feed(&get(1)).expect("a request");
    server.connection.send_response(1, &answer(200), true).expect("an answer");
    let refusal = server.feed(&frames.concat()).expect_err("it is refused");
    assert_eq!((refusal.error, refusal.code), expected);
}

#[test]
fn connection_preface_3_5() {
    for (bytes, code) in [
        (b"INVALID CONNECTION PREFACE\r\n\r\n".to_vec(), "http2.invalid_preface"),
        ([PREFACE, &get(1)].concat(), "http2.settings_expected"),
        ([PREFACE, &ack()].concat(), "http2.settings_expected"),
        ([PREFACE, b"GET / HTTP/1.1\r\n"].concat(), "http2.settings_expected"),
    ] {
        let mut server = Watched::new(Role::Server, &Config::default());
        let refusal = server.feed(&bytes).expect_err("refused");
        assert_eq!((refusal.code, refusal.error), (code, ProtocolError));
    }
}

#[test]
fn frames_4() {
    let ping = |flags: u8| frame(Kind::Ping, flags, 0, &[7; 8]);
    check(vec![
        ("4.1.1 an unknown frame", vec![frame(Kind::Unknown, 0, 0, b"12345678")], Fine),
        ("4.1.1 an unknown one on a stream", vec![frame(Kind::Unknown, 0xff, 7, b"")], Fine),
        ("4.1.2 unknown flags", vec![ping(0xfe & !ACK)], Fine),
        ("4.1.3 the reserved bit", vec![window_update(1 << 31, 1)], Fine),
        ("4.2.1 the largest DATA", vec![post(1), data(1, END_STREAM, &[0; 16_384])], Fine),
        (
            "4.2.2 a larger DATA",
            vec![post(1), data(1, 0, &[0; 16_385])],
            Ends(FrameSizeError, "frame_too_large"),
        ),
        (
            "4.2.3 a larger HEADERS",
            vec![frame(Kind::Headers, WHOLE, 1, &[0; 16_385])],
            Ends(FrameSizeError, "frame_too_large"),
        ),
        (
            "4.3.1 an invalid block",
            vec![frame(Kind::Headers, WHOLE, 1, &[0x80])],
            Ends(CompressionError, "invalid_header_index"),
        ),
        (
            "4.3.2 PRIORITY within a block",
            vec![headers(1, END_STREAM, &GET), frame(Kind::Priority, 0, 1, &[0, 0, 0, 0, 15])],
            Ends(ProtocolError, "continuation_expected"),
        ),
        (
            "4.3.3 another stream's HEADERS within a block",
            vec![headers(1, END_STREAM, &GET), get(3)],
            Ends(ProtocolError, "continuation_expected"),
        ),
        (
            "an unknown frame within a block",
            vec![headers(1, END_STREAM, &GET), frame(Kind::Unknown, 0, 1, b"")],
            Ends(ProtocolError, "continuation_expected"),
        ),
    ]);
}

#[test]
fn stream_states_5_1() {
    check(vec![
        ("5.1.1 idle: DATA", vec![data(1, 0, b"x")], Ends(ProtocolError, "frame_on_idle_stream")),
        ("5.1.2 idle: RST_STREAM", vec![reset(1)], Ends(ProtocolError, "frame_on_idle_stream")),
        (
            "5.1.3 idle: WINDOW_UPDATE",
            vec![window_update(1, 100)],
            Ends(ProtocolError, "frame_on_idle_stream"),
        ),
        (
            "5.1.4 idle: CONTINUATION",
            vec![frame(Kind::Continuation, END_HEADERS, 1, &block(&GET))],
            Ends(ProtocolError, "unexpected_continuation"),
        ),
        (
            "5.1.5 half closed: DATA",
            vec![get(1), data(1, 0, b"x")],
            Ends(StreamClosed, "frame_on_closed_stream"),
        ),
        (
            "5.1.6 half closed: HEADERS",
            vec![get(1), get(1)],
            Ends(StreamClosed, "frame_on_closed_stream"),
        ),
        (
            "5.1.7 half closed: CONTINUATION",
            vec![get(1), frame(Kind::Continuation, END_HEADERS, 1, &block(&GET))],
            Ends(ProtocolError, "unexpected_continuation"),
        ),
        (
            "5.1.8 closed by the client: DATA",
            vec![post(1), reset(1), data(1, 0, b"x")],
            Ends(StreamClosed, "frame_on_closed_stream"),
        ),
        (
            "5.1.9 closed by the client: HEADERS",
            vec![get(1), reset(1), get(1)],
            Ends(StreamClosed, "frame_on_closed_stream"),
        ),
        (
            "5.1.10 closed by the client: CONTINUATION",
            vec![get(1), reset(1), frame(Kind::Continuation, END_HEADERS, 1, &block(&GET))],
            Ends(ProtocolError, "unexpected_continuation"),
        ),
        ("RST_STREAM twice", vec![get(1), reset(1), reset(1)], Fine),
        ("WINDOW_UPDATE on a closed one", vec![get(1), reset(1), window_update(1, 1)], Fine),
        ("5.1.1.1 an even one", vec![get(2)], Ends(ProtocolError, "invalid_stream_id")),
        ("5.1.1.2 a lower one", vec![get(5), get(3)], Ends(ProtocolError, "invalid_stream_id")),
        (
            "5.1.2.1 more streams than allowed",
            (0..101)
                .map(|at| post(1 + 2 * at))
                .chain((0..101).map(|at| reset(1 + 2 * at)))
                .collect(),
            Resets(RefusedStream, "too_many_streams"),
        ),
        (
            "5.3.1.1 HEADERS that depends on itself",
            vec![frame(
                Kind::Headers,
                WHOLE | PRIORITY,
                1,
                &[&[0, 0, 0, 1, 16][..], &block(&GET)].concat(),
            )],
            Ends(ProtocolError, "self_dependency"),
        ),
        (
            "5.3.1.2 PRIORITY that depends on itself",
            vec![frame(Kind::Priority, 0, 1, &[0, 0, 0, 1, 16])],
            Ends(ProtocolError, "self_dependency"),
        ),
        ("PRIORITY on an idle one", vec![frame(Kind::Priority, 0, 1, &[0, 0, 0, 3, 16])], Fine),
    ]);
    let closed = (StreamClosed, "http2.frame_on_closed_stream");
    check_after_exchange(&[data(1, 0, b"x")], closed);
    check_after_exchange(&[get(1)], closed);
}

#[test]
fn data_and_headers_6_1_and_6_2() {
    let with = |flags: u8, bytes: &[u8]| frame(Kind::Headers, flags, 1, bytes);
    let padded =
        |padding: u8, zeros: usize| [&[padding][..], &block(&GET), &vec![0; zeros]].concat();
    check(vec![
        (
            "6.1.1 DATA on stream 0",
            vec![data(0, 0, b"x")],
            Ends(ProtocolError, "invalid_stream_id"),
        ),
        (
            "6.1.3 padding of the payload's length",
            vec![post(1), data(1, PADDED, &[5, 0, 0, 0, 0])],
            Ends(ProtocolError, "invalid_padding"),
        ),
        ("padding alone", vec![post(1), data(1, PADDED | END_STREAM, &[4, 0, 0, 0, 0])], Fine),
        (
            "padding without its length",
            vec![post(1), data(1, PADDED, b"")],
            Ends(FrameSizeError, "invalid_frame_size"),
        ),
        (
            "6.2.1 HEADERS without END_HEADERS, then PRIORITY",
            vec![headers(1, 0, &GET), frame(Kind::Priority, 0, 1, &[0, 0, 0, 0, 1])],
            Ends(ProtocolError, "continuation_expected"),
        ),
        ("6.2.3 HEADERS on stream 0", vec![get(0)], Ends(ProtocolError, "invalid_stream_id")),
        ("padded HEADERS", vec![with(WHOLE | PADDED, &padded(3, 3))], Fine),
        (
            "6.2.4 padding longer than the payload",
            vec![with(WHOLE | PADDED, &padded(200, 0))],
            Ends(ProtocolError, "invalid_padding"),
        ),
        (
            "HEADERS too short for its padding",
            vec![with(WHOLE | PADDED, b"")],
            Ends(FrameSizeError, "invalid_frame_size"),
        ),
        (
            "HEADERS too short for its priority",
            vec![with(WHOLE | PRIORITY, &[0; 4])],
            Ends(FrameSizeError, "invalid_frame_size"),
        ),
    ]);
}

#[test]
fn priority_and_reset_6_3_and_6_4() {
    let priority = |stream: u32, len: usize| frame(Kind::Priority, 0, stream, &[0; 6][..len]);
    let rst = |stream: u32, len: usize| frame(Kind::RstStream, 0, stream, &[0; 5][..len]);
    check(vec![
        ("6.3.1", vec![priority(0, 5)], Ends(ProtocolError, "invalid_stream_id")),
        ("6.3.2", vec![get(1), priority(1, 4)], Ends(FrameSizeError, "invalid_frame_size")),
        ("a longer one", vec![get(1), priority(1, 6)], Ends(FrameSizeError, "invalid_frame_size")),
        ("6.4.1", vec![rst(0, 4)], Ends(ProtocolError, "invalid_stream_id")),
        ("6.4.2", vec![rst(1, 4)], Ends(ProtocolError, "frame_on_idle_stream")),
        ("6.4.3", vec![get(1), rst(1, 3)], Ends(FrameSizeError, "invalid_frame_size")),
        ("a longer one", vec![get(1), rst(1, 5)], Ends(FrameSizeError, "invalid_frame_size")),
    ]);
}

#[test]
fn settings_push_ping_and_go_away_6_5_to_6_8() {
    let raw = |flags: u8, stream: u32, bytes: &[u8]| frame(Kind::Settings, flags, stream, bytes);
    let setting = |id: u16, value: u32| vec![settings(&[(id, value)])];
    let invalid = || Ends(ProtocolError, "invalid_setting");
    let size = || Ends(FrameSizeError, "invalid_frame_size");
    let stream_id = || Ends(ProtocolError, "invalid_stream_id");
    check(vec![
        ("6.5.1 ACK with a payload", vec![raw(ACK, 0, &[0; 6])], size()),
        ("6.5.2 on a stream", vec![raw(0, 1, b"")], stream_id()),
        ("6.5.3 of an odd length", vec![raw(0, 0, &[0; 3])], size()),
        ("an ACK too many", vec![ack()], Ends(ProtocolError, "unasked_settings_ack")),
        ("6.5.2.1 push of 2", setting(0x2, 2), invalid()),
        (
            "6.5.2.2 a window beyond 2^31-1",
            setting(0x4, 1 << 31),
            Ends(FlowControlError, "invalid_initial_window"),
        ),
        ("6.5.2.3 frames too small", setting(0x5, 16_383), invalid()),
        ("6.5.2.4 frames too large", setting(0x5, 1 << 24), invalid()),
        ("6.5.2.5 an unknown one", setting(0xff, 1), Fine),
        ("extended CONNECT of 2", setting(0x8, 2), invalid()),
        (
            "a push promise",
            vec![frame(Kind::PushPromise, 4, 1, &[0; 9])],
            Ends(ProtocolError, "push_promise_refused"),
        ),
        ("6.7.2 a PING answer nobody asked for", vec![frame(Kind::Ping, ACK, 0, &[0; 8])], Fine),
        ("6.7.3 PING on a stream", vec![frame(Kind::Ping, 0, 1, &[0; 8])], stream_id()),
        ("6.7.4 PING of 6 bytes", vec![frame(Kind::Ping, 0, 0, &[0; 6])], size()),
        ("6.8.1 GOAWAY on a stream", vec![frame(Kind::GoAway, 0, 1, &[0; 8])], stream_id()),
        ("GOAWAY too short", vec![frame(Kind::GoAway, 0, 0, &[0; 7])], size()),
        ("7 GOAWAY with an unknown error", vec![frame(Kind::GoAway, 0, 0, &[0xff; 20])], Fine),
        (
            "7 RST_STREAM with an unknown error",
            vec![get(1), frame(Kind::RstStream, 0, 1, &[9; 4])],
            Fine,
        ),
    ]);
}

#[test]
fn window_updates_6_9() {
    check(vec![
        ("6.9.1", vec![window_update(0, 0)], Ends(ProtocolError, "zero_window_update")),
        ("6.9.2", vec![post(1), window_update(1, 0)], Resets(ProtocolError, "zero_window_update")),
        (
            "6.9.3 of 3 bytes",
            vec![frame(Kind::WindowUpdate, 0, 0, &[0; 3])],
            Ends(FrameSizeError, "invalid_frame_size"),
        ),
        (
            "6.9.1.2 the connection's beyond 2^31-1",
            vec![window_update(0, (1 << 31) - 1)],
            Ends(FlowControlError, "window_overflow"),
        ),
        (
            "6.9.1.3 a stream's beyond 2^31-1",
            vec![post(1), window_update(1, (1 << 31) - 1)],
            Resets(FlowControlError, "window_overflow"),
        ),
        (
            "a setting that takes a stream's beyond 2^31-1",
            vec![post(1), window_update(1, 1000), settings(&[(4, (1 << 31) - 1)])],
            Ends(FlowControlError, "invalid_initial_window"),
        ),
    ]);
}

#[test]
fn continuations_6_10() {
    let piece = |flags: u8| frame(Kind::Continuation, flags, 1, &block(&GET[1..2]));
    let first = || headers(1, END_STREAM, &GET[..1]);
    let rest = |stream: u32| frame(Kind::Continuation, END_HEADERS, stream, &block(&GET[2..]));
    check(vec![
        ("6.10.1 several", vec![first(), piece(0), rest(1)], Fine),
        (
            "6.10.2 another frame in between",
            vec![first(), piece(0), data(1, 0, b"x")],
            Ends(ProtocolError, "continuation_expected"),
        ),
        (
            "6.10.3 on stream 0",
            vec![first(), piece(0), rest(0)],
            Ends(ProtocolError, "continuation_expected"),
        ),
        (
            "another stream's",
            vec![first(), piece(0), rest(3)],
            Ends(ProtocolError, "continuation_expected"),
        ),
        (
            "6.10.4 behind END_HEADERS",
            vec![get(1), rest(1)],
            Ends(ProtocolError, "unexpected_continuation"),
        ),
        (
            "6.10.6 behind DATA",
            vec![post(1), data(1, 0, b"x"), rest(1)],
            Ends(ProtocolError, "unexpected_continuation"),
        ),
    ]);
}

#[test]
fn trailers_and_lengths_8_1() {
    let with_length = |length: &str| {
        headers(1, END_HEADERS, &[&POST[..], &[("content-length", length)]].concat())
    };
    let differs = || Resets(ProtocolError, "content_length_mismatch");
    check(vec![
        (
            "8.1.1 a second HEADERS without END_STREAM",
            vec![post(1), headers(1, END_HEADERS, &[("x", "y")])],
            Resets(ProtocolError, "trailers_without_end"),
        ),
        (
            "8.1.2.1.3 pseudo fields in trailers",
            vec![post(1), headers(1, WHOLE, &[(":method", "GET")])],
            Resets(ProtocolError, "unexpected_pseudo_header"),
        ),
        (
            "a length in trailers",
            vec![post(1), headers(1, WHOLE, &[("content-length", "0")])],
            Resets(ProtocolError, "invalid_trailer"),
        ),
        ("8.1.2.6.1 too few bytes", vec![with_length("4"), data(1, END_STREAM, b"abc")], differs()),
        ("too many", vec![with_length("2"), data(1, 0, b"abc")], differs()),
        (
            "8.1.2.6.2 too few bytes in several frames",
            vec![with_length("5"), data(1, 0, b"ab"), data(1, END_STREAM, b"cd")],
            differs(),
        ),
        (
            "too few before trailers",
            vec![with_length("5"), data(1, 0, b"ab"), headers(1, WHOLE, &[("x", "y")])],
            differs(),
        ),
        (
            "padding does not count",
            vec![with_length("2"), data(1, END_STREAM | PADDED, b"\x02ab\0\0")],
            Fine,
        ),
        (
            "a length without a body",
            vec![headers(1, WHOLE, &[&POST[..], &[("content-length", "1")]].concat())],
            differs(),
        ),
    ]);
}

#[test]
fn a_client_refuses_what_a_server_may_not() {
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("a push", frame(Kind::PushPromise, 4, 1, &[0; 9]), "push_promise_refused"),
        ("a stream of its own", headers(2, WHOLE, &[(":status", "200")]), "frame_on_idle_stream"),
        ("one not asked for", headers(3, WHOLE, &[(":status", "200")]), "frame_on_idle_stream"),
        ("to allow pushing", settings(&[(2, 1)]), "invalid_setting"),
        ("to take extended CONNECT back", settings(&[(8, 1), (8, 0)]), "invalid_setting"),
        ("DATA on an idle stream", data(3, 0, b"x"), "frame_on_idle_stream"),
    ];
    for (name, input, code) in cases {
        let mut client = Watched::client();
        client.connection.send_request(&request("GET", &[]), true, 0).expect("a stream");
        let refusal = client.feed(&input).expect_err(name);
        assert_eq!(refusal.code, format!("http2.{code}"), "{name}");
    }
    let mut client = Watched::new(Role::Client, &Config::default());
    let refusal = client.feed(b"HTTP/1.1 400 Bad Request\r\n").expect_err("it is no HTTP/2");
    assert_eq!(refusal.code, "http2.settings_expected");
    let mut client = Watched::client();
    client.connection.send_request(&request("GET", &[]), true, 0).expect("a stream");
    client.feed(&data(1, 0, b"x")).expect("the stream's fault alone");
    assert_eq!(client.log, ["refused 1 http2.data_before_headers ProtocolError"]);
}
