//! Attacks, each stopped by its limit and not before.

use super::limits::*;
use super::*;

/// Feeds frames until the connection ends; how many it took, and why.
fn endure(
    server: &mut Watched,
    most: u32,
    mut next: impl FnMut(u32) -> Vec<u8>,
    mut after: impl FnMut(&mut Watched),
) -> (u32, &'static str) {
    for at in 0..most {
        if let Err(refusal) = server.feed(&next(at)) {
            assert_eq!(refusal.error, ErrorCode::EnhanceYourCalm);
            assert_eq!(refusal.scope, Scope::Connection);
            return (at, refusal.code);
        }
        after(server);
    }
    (most, "")
}

fn id(at: u32) -> u32 {
    1 + 2 * at
}

fn drains(server: &mut Watched) {
    server.connection.clear_output();
}

#[test]
fn rapid_reset() {
    let attack = |at: u32| [get(id(at)), reset(id(at))].concat();
    let stopped = endure(&mut Watched::server(), 10_000, attack, drains);
    assert_eq!(stopped, (RESETS_MAX, "http2.rapid_reset"));
    // A client that gives up as often as not is a client.
    let mixed = |at: u32| if at.is_multiple_of(2) { get(id(at)) } else { attack(at) };
    let answers = |server: &mut Watched| {
        let last = server.connection.open_streams();
        for at in 0..20_000 {
            if last > 0 && server.connection.user(id(at)).is_some() {
                server.connection.send_response(id(at), &answer(200), true).expect("an answer");
            }
        }
        server.clear();
    };
    assert_eq!(endure(&mut Watched::server(), 3_000, mixed, answers).1, "");
    // One that gives up after the answer has begun costs nothing more than it asked for.
    let mut server = Watched::server();
    for at in 0..3_000 {
        server.feed(&get(id(at))).expect("a request");
        server.connection.send_response(id(at), &answer(200), false).expect("an answer");
        server.feed(&reset(id(at))).expect("it may");
        server.clear();
    }
}

#[test]
fn resets_that_a_client_makes_the_server_send() {
    let ways: [fn(u32) -> Vec<u8>; 5] = [
        |at| [post(id(at)), window_update(id(at), 0)].concat(),
        |at| [post(id(at)), window_update(id(at), (1 << 31) - 1)].concat(),
        |at| headers(id(at), WHOLE, &[(":method", "GET")]),
        |at| headers(id(at), END_HEADERS, &[&POST[..], &[("te", "x")]].concat()),
        |at| [post(id(at)), headers(id(at), END_HEADERS, &[])].concat(),
    ];
    for way in ways {
        let stopped = endure(&mut Watched::server(), 10_000, way, drains);
        assert_eq!(stopped, (RESETS_MAX, "http2.rapid_reset"));
    }
    // More streams than allowed, each refused.
    let mut server = Watched::server();
    let (at, code) = endure(&mut server, 10_000, |at| post(id(at)), drains);
    assert_eq!((at, code), (100 + RESETS_MAX, "http2.rapid_reset"));
}

#[test]
fn continuations() {
    let mut server = Watched::server();
    server.feed(&headers(1, END_STREAM, &GET)).expect("a beginning");
    let more = |_| frame(Kind::Continuation, 0, 1, &block(&[("x", "y")]));
    let stopped = endure(&mut server, 10_000, more, drains);
    assert_eq!(stopped, (CONTINUATIONS_MAX, "http2.continuation_flood"));
    let mut server = Watched::server();
    server.feed(&headers(1, END_STREAM, &GET)).expect("a beginning");
    let more = |_| frame(Kind::Continuation, 0, 1, &[0; 16_384]);
    assert_eq!(endure(&mut server, 10_000, more, drains), (7, "http2.header_block_too_long"));
}

#[test]
fn frames_with_nothing_in_them() {
    let mut server = Watched::server();
    server.feed(&post(1)).expect("a request");
    let empty = "http2.inbound_empty_frames_flood";
    assert_eq!(endure(&mut server, 10, |_| data(1, 0, b""), drains), (1, empty));
    let mut server = Watched::server();
    server.feed(&post(1)).expect("a request");
    let padded = |_| data(1, PADDED, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(endure(&mut server, 10, padded, drains), (1, empty));
    let mut server = Watched::server();
    let next = |at| match at {
        0 => frame(Kind::Headers, END_STREAM, 1, b""),
        _ => frame(Kind::Continuation, 0, 1, b""),
    };
    assert_eq!(endure(&mut server, 10, next, drains), (2, empty));
}

#[test]
fn questions_whose_answers_nobody_reads() {
    type Question = (fn(u32) -> Vec<u8>, &'static str);
    let questions: [Question; 3] = [
        (|_| frame(Kind::Ping, 0, 0, &[0; 8]), "http2.outbound_control_frames_flood"),
        (|_| frame(Kind::Settings, 0, 0, b""), "http2.outbound_control_frames_flood"),
        (|at| headers(id(at), WHOLE, &[("x", "y")]), "http2.rapid_reset"),
    ];
    for (question, code) in questions {
        let (at, found) = endure(&mut Watched::server(), 10_000, question, |_| {});
        assert_eq!(found, code);
        assert!(at <= ANSWERS_MAX);
    }
    // They may ask as often as they like if they listen.
    let ping = |_| frame(Kind::Ping, 0, 0, &[0; 8]);
    assert_eq!(endure(&mut Watched::server(), 10_000, ping, drains).1, "");
    let many = settings(&[(0xff, 0); 65]);
    let refusal = Watched::server().feed(&many).expect_err("refused");
    assert_eq!(refusal.code, "http2.inbound_settings_flood");
}

#[test]
fn priorities_and_window_updates() {
    let priority = |_| frame(Kind::Priority, 0, 1, &[0, 0, 0, 0, 1]);
    let stopped = endure(&mut Watched::server(), 10_000, priority, drains);
    assert_eq!(stopped, (PRIORITIES_PER_STREAM_MAX, "http2.inbound_priority_frames_flood"));
    let mut server = Watched::server();
    server.feed(&post(1)).expect("a request");
    let stopped = endure(&mut server, 10_000, |_| window_update(1, 1), drains);
    assert_eq!(stopped, (7, "http2.inbound_window_update_frames_flood"));
    // Whoever is sent something may open the window for it.
    let mut server = Watched::server();
    server.feed(&post(1)).expect("a request");
    server.connection.send_response(1, &answer(200), false).expect("an answer");
    for _ in 0..100 {
        server.connection.send_data(1, 10, false).expect("a body");
        for _ in 0..10 {
            server.feed(&window_update(1, 1)).expect("it may");
        }
    }
}

#[test]
fn identifiers_are_used_up() {
    let mut server = Watched::server();
    server.feed(&get((1 << 31) - 1)).expect("the last one");
    server.connection.send_response((1 << 31) - 1, &answer(200), true).expect("an answer");
    let refusal = server.feed(&get(1)).expect_err("there is none left");
    assert_eq!(refusal.code, "http2.invalid_stream_id");
    let mut client = Watched::client();
    client.connection.next_of_ours_for_tests((1 << 31) - 1);
    let head = request("GET", &[]);
    assert_eq!(client.connection.send_request(&head, true, 0), Ok((1 << 31) - 1));
    assert_eq!(client.connection.send_request(&head, true, 0), Err(Unsent::IdsUsedUp));
}

#[test]
fn what_was_under_way_when_a_stream_was_reset_is_ignored() {
    let mut server = Watched::server();
    server.consumes = false;
    server.feed(&[post(1), data(1, 0, b"abc")].concat()).expect("a request");
    assert!(server.connection.reset(1, ErrorCode::Cancel));
    server.clear();
    let under_way = [
        data(1, 0, b"def"),
        window_update(1, 5),
        headers(1, WHOLE, &[("x", "y")]),
        reset(1),
        get(3),
    ];
    server.feed(&under_way.concat()).expect("it is ignored");
    assert_eq!(server.log, ["head 3 end GET http://a / None "]);
    // In the middle of a frame as well.
    let mut server = Watched::server();
    let frame = data(1, 0, b"abcdef");
    server.feed(&[post(1), frame[..12].to_vec()].concat()).expect("a request");
    assert!(server.connection.reset(1, ErrorCode::Cancel));
    server.clear();
    server.feed(&[frame[12..].to_vec(), get(3)].concat()).expect("it is ignored");
    assert_eq!(server.log, ["head 3 end GET http://a / None "]);
    // What is forgotten resets the stream, at the budget's cost.
    let mut server = Watched::server();
    for at in 0..RESETS_REMEMBERED as u32 + 1 {
        server.feed(&post(id(at))).expect("a request");
        server.connection.reset(id(at), ErrorCode::Cancel);
    }
    server.clear();
    server.feed(&data(1, 0, b"x")).expect("no end of the connection");
    assert_eq!(server.log, ["refused 1 http2.frame_on_closed_stream StreamClosed"]);
}
