//! Flow control both ways.

use super::*;

fn with_windows(stream: u32, connection: u32) -> Config {
    Config { stream_window_bytes: stream, connection_window_bytes: connection, ..Config::default() }
}

#[test]
fn a_reader_that_stops_stops_the_peer() {
    let mut server = Watched::server_with(&with_windows(70_000, 100_000));
    server.consumes = false;
    let chunk = data(1, 0, &[0; 10_000]);
    server.feed(&post(1)).expect("a request");
    for _ in 0..7 {
        server.feed(&chunk).expect("it fits");
    }
    assert_eq!(server.written(), [""; 0], "nothing was consumed");
    // Half of the window is worth a frame.
    server.connection.consumed(1, 34_999);
    assert_eq!(server.written(), [""; 0]);
    server.connection.consumed(1, 1);
    assert_eq!(server.written(), ["WindowUpdate 1 35000"]);
    server.connection.consumed(1, 35_000);
    let expected = ["WindowUpdate 0 70000", "WindowUpdate 1 35000"];
    assert_eq!(server.written(), expected);
    // More is told than was ever sent: nothing comes of it.
    server.connection.consumed(1, 1_000_000);
    assert_eq!(server.written(), [""; 0]);
    for _ in 0..7 {
        server.feed(&chunk).expect("it fits");
    }
    let refusal = server.feed(&data(1, 0, b"x")).expect_err("refused");
    assert_eq!(refusal.code, "http2.flow_control_window_exceeded");
    assert_eq!(refusal.error, ErrorCode::FlowControlError);
}

#[test]
fn the_connections_window_is_shared_and_never_lost() {
    let mut server = Watched::server_with(&with_windows(70_000, 100_000));
    server.consumes = false;
    let chunk = |id: u32| data(id, 0, &[0; 10_000]);
    server.feed(&[post(1), post(3)].concat()).expect("requests");
    for _ in 0..5 {
        server.feed(&[chunk(1), chunk(3)].concat()).expect("it fits");
    }
    // A reset stream's bytes that were handed on are still the caller's to tell.
    server.connection.reset(1, ErrorCode::Cancel);
    server.clear();
    server.connection.consumed(1, 50_000);
    assert_eq!(server.written(), ["WindowUpdate 0 50000"]);
    // What is ignored counts as consumed at once.
    for _ in 0..5 {
        server.feed(&chunk(1)).expect("it is ignored");
    }
    assert_eq!(server.written(), ["WindowUpdate 0 50000"]);
    server.connection.consumed(3, 50_000);
    assert_eq!(server.written(), ["WindowUpdate 0 50000", "WindowUpdate 3 50000"]);
}

#[test]
fn padding_is_consumed_by_itself() {
    let mut server = Watched::server_with(&with_windows(70_000, 70_000));
    server.feed(&post(1)).expect("a request");
    let mut padded = vec![255_u8];
    padded.extend([b'x'; 100]);
    padded.extend([0; 255]);
    for _ in 0..1000 {
        server.feed(&data(1, PADDED, &padded)).expect("it fits for ever");
        server.clear();
    }
}

#[test]
fn before_our_settings_are_known_the_default_window_holds() {
    let mut server = Watched::new(Role::Server, &with_windows(20_000, 65_535));
    let hello = [PREFACE, &settings(&[]), &post(1)].concat();
    server.feed(&hello).expect("a greeting");
    server.consumes = false;
    for _ in 0..4 {
        server.feed(&data(1, 0, &[0; 16_000])).expect("it fits");
    }
    server.feed(&ack()).expect("an acknowledgement");
    server.connection.consumed(1, 48_000);
    server.connection.consumed(1, 16_000);
    assert!(server.feed(&data(1, 0, &[0; 15_000])).is_ok());
    let mut server = Watched::server_with(&with_windows(20_000, 65_535));
    server.consumes = false;
    server.feed(&[post(1), data(1, 0, &[0; 16_000])].concat()).expect("it fits");
    assert!(server.feed(&data(1, 0, &[0; 4_001])).is_err());
}

#[test]
fn no_more_is_sent_than_may_be() {
    let mut server = Watched::server();
    server.feed(&[settings(&[(4, 20_000)]), post(1), get(3)].concat()).expect("requests");
    for id in [1, 3] {
        server.connection.set_user(id, u64::from(id) * 10);
        server.connection.send_response(id, &answer(200), false).expect("an answer");
    }
    server.clear();
    let sent = |bytes, end| Ok(Sent { bytes, end });
    assert_eq!(server.connection.capacity(1), 20_000);
    assert_eq!(server.connection.send_data(1, 50_000, true), sent(16_384, false), "a frame");
    assert_eq!(server.connection.send_data(1, 33_616, true), sent(3_616, false), "the window");
    assert_eq!(server.connection.send_data(1, 30_000, true), sent(0, false));
    assert_eq!(server.connection.output().len(), 18, "two heads of frames");
    server.clear();
    server.feed(&window_update(1, 5)).expect("it may");
    assert_eq!(server.log, ["window 1"]);
    assert_eq!(server.connection.send_data(1, 5, false), sent(5, false));
    // A setting takes more than there is, and gives it back.
    server.feed(&settings(&[(4, 10_000)])).expect("it may");
    assert_eq!(server.connection.send_data(3, 10_000, false), sent(10_000, false));
    assert_eq!(server.connection.send_data(1, 1, false), sent(0, false));
    server.feed(&settings(&[(4, 20_000)])).expect("it may");
    assert_eq!(server.connection.send_data(1, 1, false), sent(0, false), "it was below zero");
    server.feed(&settings(&[(4, 20_001)])).expect("it may");
    assert_eq!(server.connection.next_ready(), Some(Handle { id: 1, user: 10 }));
    assert_eq!(server.connection.next_ready(), None);
    assert_eq!(server.connection.send_data(1, 1, true), sent(1, true));
    assert_eq!(server.connection.send_data(1, 1, true), Err(Unsent::Closed));
    assert_eq!(server.connection.send_data(3, 0, true), sent(0, true), "an end needs no window");
    assert_eq!(server.connection.output().len(), 9 * 7, "three acknowledgements, four heads");
}

#[test]
fn streams_that_wait_for_the_connections_window_take_turns() {
    let mut server = Watched::server();
    server.feed(&[get(1), get(3), get(5)].concat()).expect("requests");
    let mut left = 65_535;
    for id in [1, 3, 5] {
        server.connection.send_response(id, &answer(200), false).expect("an answer");
        while left > 0 {
            left -= server.connection.send_data(id, left, false).expect("a body").bytes;
        }
        assert_eq!(server.connection.send_data(id, 10, false), Ok(Sent::default()));
    }
    server.clear();
    // The first stream has used up its own window besides.
    server.feed(&window_update(3, 1)).expect("it may");
    assert_eq!(server.log, [""; 0], "there is no room for it");
    server.feed(&window_update(0, 25)).expect("it may");
    assert_eq!(server.log, ["WindowsOpened"]);
    let mut order = Vec::new();
    while let Some(stream) = server.connection.next_ready() {
        let sent = server.connection.send_data(stream.id, 10, false).expect("a body");
        order.push((stream.id, sent.bytes));
    }
    assert_eq!(order, [(3, 10), (5, 10)]);
    for id in [3, 5] {
        server.connection.send_data(id, 100, false).expect("a body");
    }
    server.feed(&window_update(0, 3)).expect("it may");
    assert_eq!(server.connection.next_ready().map(|stream| stream.id), Some(3));
    server.connection.send_data(3, 1, false).expect("a body");
    server.connection.send_data(3, 100, false).expect("a body");
    server.feed(&window_update(0, 1)).expect("it may");
    assert_eq!(server.connection.next_ready().map(|stream| stream.id), Some(5), "its turn");
}
