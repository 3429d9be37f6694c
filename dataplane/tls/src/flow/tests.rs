//! Records in every cut: pieces of any size, many in one input, fragments, good-byes, and bytes
//! that were never TLS.

use std::io::{Read, Write};

use proptest::prelude::*;
use rustls::ClientConnection;

use crate::aead::{HEAD, TAG};
use crate::tests::fixtures::{Ca, End, Pair, Sides};
use crate::tests::foreign;
use crate::{SEAL_OVERHEAD, Session, Version, Versions, provider};

/// Every TLS 1.2 suite for an ECDSA certificate, and TLS 1.3.
const SUITES: &[Option<&str>] = &[
    None,
    Some("ECDHE-ECDSA-AES128-GCM-SHA256"),
    Some("ECDHE-ECDSA-AES256-GCM-SHA384"),
    Some("ECDHE-ECDSA-CHACHA20-POLY1305"),
];

fn sides(suite: Option<&str>) -> Sides {
    let mut sides = Sides::mutual(&Ca::new("root"));
    if let Some(suite) = suite {
        let versions = Versions { min: Version::Tls12, max: Version::Tls12 };
        sides.client.parameters.versions = versions;
        sides.client.parameters.cipher_suites = vec![suite.to_owned()];
    }
    sides
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn a_connection_survives_being_cut_into_pieces_of_any_size() {
    for suite in SUITES {
        let (server, client) = sides(*suite).contexts();
        for piece in (1..40).chain([100, 500, 1000, 4096, usize::MAX]) {
            let mut pair = Pair::new(&server, &client);
            assert_eq!(pair.shake(piece).codes(), ("", ""), "{suite:?} in pieces of {piece}");
            assert!(pair.established());
            let (up, down) = (bytes(3000), bytes(40_000));
            let sealed = pair.client.seal(&up, 1500);
            pair.server.feed(&sealed, piece);
            let sealed = pair.server.seal(&down, 70_000);
            pair.client.feed(&sealed, piece.max(9));
            assert!(pair.server.plain == up, "{suite:?} in pieces of {piece}");
            assert!(pair.client.plain == down, "{suite:?} in pieces of {piece}");
        }
    }
}

#[test]
fn data_on_the_heels_of_the_handshake_is_given_out() {
    for suite in SUITES {
        for piece in [1, 5, 64, usize::MAX] {
            let mut pair = sides(*suite).pair();
            // The client finishes first under TLS 1.3 and may speak in the same breath.
            while pair.client.session.is_handshaking() {
                let up = pair.client.output();
                pair.server.feed(&up, usize::MAX);
                let down = pair.server.output();
                pair.client.feed(&down, usize::MAX);
            }
            let mut up = pair.client.output();
            up.extend(pair.client.seal(b"early bird", 4096));
            up.extend(pair.client.seal(b" and more", 4096));
            pair.server.feed(&up, piece);
            assert_eq!(pair.server.plain, b"early bird and more", "{suite:?} {piece}");
        }
    }
}

#[test]
fn nothing_is_sealed_before_the_handshake_is_done() {
    let mut pair = sides(None).pair();
    let mut out = [0; 256];
    assert_eq!(pair.client.session.seal(b"secret", &mut out).unwrap().read, 0);
    assert_eq!(pair.server.session.seal(b"secret", &mut out).unwrap().read, 0);
    assert_eq!(out, [0; 256]);
}

#[test]
fn output_that_was_not_asked_for_goes_before_sealed_data() {
    let mut pair = sides(None).pair();
    let hello = pair.client.output();
    pair.server.feed(&hello, usize::MAX);
    let flight = pair.server.output();
    pair.client.feed(&flight, usize::MAX);
    // The client's Finished is still inside it.
    let sealed = pair.client.seal(b"data", 300);
    pair.server.feed(&sealed, usize::MAX);
    assert_eq!((pair.server.code(), pair.server.plain.as_slice()), ("", &b"data"[..]));
}

#[test]
fn each_side_says_goodbye_by_itself() {
    for suite in SUITES {
        let mut pair = sides(*suite).pair();
        pair.shake(usize::MAX);
        pair.client.session.close();
        let mut goodbye = pair.client.output();
        goodbye.extend_from_slice(b"what follows is ignored");
        pair.server.feed(&goodbye, 3);
        assert!(pair.server.closed && pair.server.error.is_none());
        assert!(pair.client.session.seal(b"x", &mut [0; 99]).is_err(), "nothing after goodbye");
        let sealed = pair.server.seal(b"half open", 999);
        pair.client.feed(&sealed, usize::MAX);
        assert_eq!(pair.client.plain, b"half open");
        pair.server.session.close();
        let goodbye = pair.server.output();
        pair.client.feed(&goodbye, usize::MAX);
        assert!(pair.client.closed && pair.client.error.is_none());
    }
}

#[test]
fn a_changed_byte_ends_the_connection_with_an_alert() {
    for suite in SUITES {
        let mut pair = sides(*suite).pair();
        pair.shake(usize::MAX);
        let mut sealed = pair.client.seal(b"to be changed", 999);
        *sealed.last_mut().unwrap() ^= 1;
        pair.server.feed(&sealed, usize::MAX);
        assert_eq!(pair.server.code(), "tls.bad_record");
        assert!(pair.server.plain.is_empty());
        let alert = pair.server.output();
        pair.client.feed(&alert, usize::MAX);
        assert_eq!(pair.client.code(), "tls.peer_alert");
    }
}

/// A foreign client that changes its keys in the middle of the data.
#[test]
fn keys_may_change_at_any_time() {
    let ca = Ca::new("root");
    let (context, _) = Sides::mutual(&ca).contexts();
    for piece in [1, 6, 23, usize::MAX] {
        let mut server = End::new(context.accept().unwrap());
        let mut client = foreign::client(&ca, provider());
        exchange_with_client(&mut client, &mut server, piece);
        for round in 0..4 {
            client.writer().write_all(b"before").unwrap();
            client.refresh_traffic_keys().unwrap();
            client.writer().write_all(b"after").unwrap();
            exchange_with_client(&mut client, &mut server, piece);
            let sealed = server.seal(b"answer", 999);
            client.read_tls(&mut sealed.as_slice()).unwrap();
            client.process_new_packets().unwrap();
            let mut answer = [0; 6];
            client.reader().read_exact(&mut answer).unwrap();
            assert_eq!((server.code(), &answer), ("", b"answer"), "round {round}");
        }
        assert_eq!(server.plain, b"beforeafter".repeat(4));
    }
}

/// New keys, and a question for ours, in one breath with the end of the handshake: rustls must not
/// have seen them when it gives the keys away.
#[test]
fn keys_may_change_on_the_heels_of_the_handshake() {
    let ca = Ca::new("root");
    let (context, _) = Sides::mutual(&ca).contexts();
    for piece in [1, 6, 23, 500, usize::MAX] {
        let mut server = End::new(context.accept().unwrap());
        let mut client = foreign::client(&ca, provider());
        let mut up = Vec::new();
        client.write_tls(&mut up).unwrap();
        server.feed(&up, piece);
        client.read_tls(&mut server.output().as_slice()).unwrap();
        client.process_new_packets().unwrap();
        assert!(!client.is_handshaking());
        client.writer().write_all(b"before").unwrap();
        for _ in 0..3 {
            client.refresh_traffic_keys().unwrap();
            client.writer().write_all(b"after").unwrap();
        }
        client.send_close_notify();
        exchange_with_client(&mut client, &mut server, piece);
        assert_eq!((server.code(), server.closed), ("", true), "in pieces of {piece}");
        assert_eq!(server.plain, b"beforeafterafterafter");
        let sealed = server.seal(b"answer", 999);
        client.read_tls(&mut sealed.as_slice()).unwrap();
        client.process_new_packets().unwrap();
        let mut answer = [0; 6];
        client.reader().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
}

/// A foreign server whose tickets come in fragments, followed at once by data.
#[test]
fn later_handshake_messages_may_be_fragmented() {
    let ca = Ca::new("root");
    let mut sides = Sides::mutual(&ca);
    sides.client.parameters.resumption = true;
    let (_, context) = sides.contexts();
    for piece in [1, 2, 7, 31, 64, 1000, usize::MAX] {
        let mut client = End::new(context.connect(None, None).unwrap());
        let mut server = foreign::server(&ca, provider());
        for _ in 0..6 {
            let up = client.output();
            server.read_tls(&mut up.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            if !server.is_handshaking() && client.plain.is_empty() {
                server.writer().write_all(&bytes(500)).unwrap();
            }
            let mut down = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut down).unwrap();
            }
            client.feed(&down, piece);
            // Between fragments there may be something to send.
            if !client.session.is_handshaking() {
                let sealed = client.seal(b"x", 999);
                server.read_tls(&mut sealed.as_slice()).unwrap();
            }
        }
        assert_eq!(client.code(), "", "{:?}", client.error);
        assert!(client.plain.starts_with(&bytes(500)), "in pieces of {piece}");
    }
}

fn exchange_with_client(
    client: &mut ClientConnection,
    server: &mut End<crate::Server>,
    piece: usize,
) {
    loop {
        let mut up = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        server.feed(&up, piece);
        let down = server.output();
        client.read_tls(&mut down.as_slice()).unwrap();
        client.process_new_packets().unwrap();
        if up.is_empty() && down.is_empty() {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_refused_and_never_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        kind in 20u8..24,
        piece in 1usize..300,
    ) {
        let (server, client) = sides(None).contexts();
        let mut framed = vec![kind, 3, 3, (noise.len() >> 8) as u8, noise.len() as u8];
        framed.extend_from_slice(&noise);
        for bytes in [&noise, &framed] {
            let mut end = End::new(server.accept().unwrap());
            end.feed(bytes, piece);
            prop_assert!(end.session.is_handshaking() && end.plain.is_empty());
            end.output();
            let mut end = End::new(client.connect(None, None).unwrap());
            end.output();
            end.feed(bytes, piece);
            prop_assert!(end.session.is_handshaking() && end.plain.is_empty());
        }
    }

    #[test]
    fn a_handshake_with_changed_bytes_never_panics(
        at in 0usize..3000,
        change in 1u8..=255,
        old in any::<bool>(),
        piece in 1usize..2000,
    ) {
        let mut pair = sides(old.then_some("ECDHE-ECDSA-AES128-GCM-SHA256")).pair();
        let mut left = at;
        for _ in 0..8 {
            for up in [true, false] {
                let mut bytes = if up { pair.client.output() } else { pair.server.output() };
                if let Some(byte) = bytes.get_mut(left) { *byte ^= change; }
                left = left.checked_sub(bytes.len()).unwrap_or(usize::MAX);
                if up { pair.server.feed(&bytes, piece) } else { pair.client.feed(&bytes, piece) }
            }
        }
        prop_assert!(pair.server.plain.is_empty() && pair.client.plain.is_empty());
    }

    #[test]
    fn changed_data_is_never_given_out(
        at in 0usize..2200,
        change in 1u8..=255,
        old in any::<bool>(),
        piece in 1usize..2500,
    ) {
        let mut pair = sides(old.then_some("ECDHE-ECDSA-AES256-GCM-SHA384")).pair();
        pair.shake(usize::MAX);
        let data = bytes(2000);
        let mut sealed = pair.client.seal(&data, 600);
        if let Some(byte) = sealed.get_mut(at) { *byte ^= change; }
        pair.server.feed(&sealed, piece);
        prop_assert!(data.starts_with(&pair.server.plain));
        // Under TLS 1.3 type and version in a record's head say nothing (RFC 8446 section 5.2), and
        // rustls pays no heed to them; the length is covered by the tag.
        let record = 600 - SEAL_OVERHEAD + HEAD + TAG + 1;
        let unprotected = !old && (0..3).contains(&(at % record));
        let all = pair.server.plain.len() == data.len();
        prop_assert!(!all || at >= sealed.len() || unprotected);
    }
}
