//! What a peer may do with a connection that stands, and what it is told when it does more.

use std::sync::Arc;

use proptest::prelude::*;

use crate::aead::RECORDS_MAX;
use crate::flow::Flow;
use crate::record::{Kind, PLAIN_MAX, RECORD_OVERHEAD};
use crate::tests::fixtures::{Ca, End, Pair, Sides};
use crate::{Client, Server, Session};

use super::{KEY_UPDATE, Traffic};

mod foreign;

const ASKS: [u8; 5] = [24, 0, 0, 1, 1];

/// Records that a peer seals.
type Forged<'a> = &'a [(Kind, &'a [u8])];

fn pair() -> Pair {
    let mut pair = Sides::mutual(&Ca::new("root")).pair();
    pair.shake(usize::MAX);
    assert!(pair.established());
    pair
}

fn of_client(end: &mut End<Client>) -> &mut Traffic<rustls::client::ClientConnectionData> {
    match end.session.flow() {
        Flow::Traffic(traffic) => traffic,
        other => panic!("{other:?}"),
    }
}

fn of_server(end: &mut End<Server>) -> &mut Traffic<rustls::server::ServerConnectionData> {
    match end.session.flow() {
        Flow::Traffic(traffic) => traffic,
        other => panic!("{other:?}"),
    }
}

/// A record that a well-behaved peer would not send.
fn forged<R>(traffic: &mut Traffic<R>, kind: Kind, content: &[u8]) -> Vec<u8> {
    let mut record = vec![0; content.len() + RECORD_OVERHEAD];
    traffic.sealer.as_mut().unwrap().seal(kind, content, &mut record).unwrap();
    record
}

/// Feeds the server these records and says what became of it: its reason, and the alert that the
/// client heard.
fn judged(records: Forged<'_>) -> (&'static str, String) {
    let mut pair = pair();
    for (kind, content) in records {
        let record = forged(of_client(&mut pair.client), *kind, content);
        pair.server.feed(&record, usize::MAX);
    }
    let answer = pair.server.output();
    pair.client.feed(&answer, usize::MAX);
    let heard = pair.client.error.as_ref().map_or_else(String::new, |error| error.detail.clone());
    if pair.server.error.is_some() {
        assert!(matches!(pair.server.session.flow(), Flow::Ended(_)), "the keys are gone");
        assert!(pair.server.session.seal(b"x", &mut [0; 99]).is_err());
        assert_eq!(pair.server.output(), b"", "said once");
    }
    (pair.server.code(), heard)
}

#[test]
fn what_breaks_the_rules_is_refused_with_its_alert() {
    let (data, alert, hand) = (Kind::Data, Kind::Alert, Kind::Handshake);
    let over = vec![1; PLAIN_MAX + 1];
    let update_and_more = [KEY_UPDATE, KEY_UPDATE].concat();
    let cases: &[(&str, Forged<'_>, &str, &str)] = &[
        ("handshake without content", &[(hand, &[])], "tls.bad_message", "UnexpectedMessage"),
        ("alert without content", &[(alert, &[])], "tls.bad_message", "UnexpectedMessage"),
        ("half an alert", &[(alert, &[1])], "tls.bad_message", "DecodeError"),
        ("more than an alert", &[(alert, &[1, 0, 1])], "tls.bad_message", "DecodeError"),
        ("an unknown level", &[(alert, &[3, 0])], "tls.peer_alert", "IllegalParameter"),
        ("a ClientHello", &[(hand, &[1, 0, 0, 9])], "tls.bad_message", "UnexpectedMessage"),
        ("a ticket for a server", &[(hand, &[4])], "tls.bad_message", "UnexpectedMessage"),
        ("a long KeyUpdate", &[(hand, &[24, 0, 0, 2])], "tls.bad_message", "DecodeError"),
        ("an odd KeyUpdate", &[(hand, &[24, 0, 0, 1, 7])], "tls.bad_message", "IllegalParameter"),
        ("old keys after", &[(hand, &update_and_more)], "tls.misbehaved", "UnexpectedMessage"),
        ("data amid", &[(hand, &[24]), (data, b"x")], "tls.misbehaved", "UnexpectedMessage"),
        ("alert amid", &[(hand, &[24]), (alert, &[1, 0])], "tls.misbehaved", "UnexpectedMessage"),
        ("a record too long", &[(data, &over)], "tls.bad_message", "RecordOverflow"),
        ("an error", &[(alert, &[2, 20])], "tls.peer_alert", ""),
        ("an error as a warning", &[(alert, &[1, 80])], "tls.peer_alert", ""),
        ("cancelled, and meant", &[(alert, &[2, 90])], "tls.peer_alert", ""),
    ];
    for (name, records, code, heard) in cases {
        let (ours, theirs) = judged(records);
        assert_eq!(ours, *code, "{name}");
        assert!(
            theirs.contains(heard) && theirs.is_empty() == heard.is_empty(),
            "{name}: {theirs}"
        );
    }
}

#[test]
fn what_costs_and_brings_nothing_is_counted() {
    let (data, alert) = (Kind::Data, Kind::Alert);
    let cases: &[(&str, Kind, &[u8], usize)] =
        &[("empty data", data, &[], 32), ("cancellations", alert, &[1, 90], 4)];
    for (name, kind, content, most) in cases {
        let mut records = vec![(*kind, *content); *most];
        assert_eq!(judged(&records), ("", String::new()), "{name}: {most}");
        records.push((*kind, *content));
        let (ours, theirs) = judged(&records);
        assert_eq!(ours, "tls.misbehaved", "{name}");
        assert!(theirs.contains("UnexpectedMessage"), "{name}: {theirs}");
    }
    let spread = [vec![(data, &b""[..]); 32], vec![(data, &b"x"[..])], vec![(data, &b""[..]); 32]];
    assert_eq!(judged(&spread.concat()).0, "", "with data between them");
}

/// Seals a KeyUpdate of this client and goes on with the new key.
fn update(end: &mut End<Client>, content: &[u8; 5]) -> Vec<u8> {
    let traffic = of_client(end);
    let mut record = vec![0; KEY_UPDATE.len() + RECORD_OVERHEAD];
    traffic.change_key(&mut record).unwrap();
    assert_eq!(content.len(), KEY_UPDATE.len());
    record
}

#[test]
fn storms_of_key_updates_end() {
    let mut pair = pair();
    for round in 0..3 {
        for _ in 0..32 {
            let record = update(&mut pair.client, &KEY_UPDATE);
            pair.server.feed(&record, usize::MAX);
        }
        assert_eq!(pair.server.code(), "", "round {round}");
        let sealed = pair.client.seal(b"data", 99);
        pair.server.feed(&sealed, usize::MAX);
    }
    assert_eq!(pair.server.plain, b"datadatadata");
    for _ in 0..33 {
        let record = update(&mut pair.client, &KEY_UPDATE);
        pair.server.feed(&record, usize::MAX);
    }
    assert_eq!(pair.server.code(), "tls.misbehaved");
}

#[test]
fn many_questions_for_new_keys_have_one_answer() {
    let mut pair = pair();
    for _ in 0..5 {
        // The question by hand, then the new key that follows it.
        let traffic = of_client(&mut pair.client);
        let record = forged(traffic, Kind::Handshake, &ASKS);
        let mut unsent = vec![0; KEY_UPDATE.len() + RECORD_OVERHEAD];
        traffic.change_key(&mut unsent).unwrap();
        pair.server.feed(&record, 7);
    }
    assert_eq!(pair.server.code(), "");
    assert_eq!(pair.server.output(), b"", "the answer waits for data");
    let sealed = pair.server.seal(b"answer", 199);
    assert_eq!(sealed.len(), 2 * RECORD_OVERHEAD + KEY_UPDATE.len() + 6, "one KeyUpdate");
    pair.client.feed(&sealed, usize::MAX);
    let next = pair.server.seal(b"s", 199);
    assert_eq!(next.len(), RECORD_OVERHEAD + 1);
    pair.client.feed(&next, usize::MAX);
    assert_eq!(pair.client.plain, b"answers");
}

#[test]
fn a_worn_key_is_changed_in_time() {
    let mut pair = pair();
    for round in 0..3 {
        of_client(&mut pair.client).sealer.as_mut().unwrap().skip_to(RECORDS_MAX - 9);
        of_server(&mut pair.server).opener.as_mut().unwrap().skip_to(RECORDS_MAX - 9);
        let sizes: Vec<_> = (0..4).map(|_| pair.client.seal(b"data", 99)).collect();
        let lengths: Vec<_> = sizes.iter().map(Vec::len).collect();
        let record = RECORD_OVERHEAD + 4;
        let update = RECORD_OVERHEAD + KEY_UPDATE.len();
        assert_eq!(lengths, [record, update + record, record, record], "round {round}");
        pair.server.feed(&sizes.concat(), 11);
        assert_eq!((pair.server.code(), pair.server.plain.len()), ("", 16 * (round + 1)));
    }
}

#[test]
fn a_key_at_its_end_seals_nothing_and_ends_the_connection() {
    let mut pair = pair();
    of_client(&mut pair.client).sealer.as_mut().unwrap().skip_to(RECORDS_MAX);
    let error = pair.client.session.seal(b"data", &mut [0; 199]).unwrap_err();
    assert_eq!(error.code, "tls.seal_failed");
    assert!(matches!(pair.client.session.flow(), Flow::Ended(_)));
    assert!(!pair.client.session.is_handshaking());
}

#[test]
fn without_room_nothing_is_used_up() {
    let mut pair = pair();
    for room in 0..=super::SEAL_OVERHEAD {
        let sealed = pair.client.session.seal(b"data", &mut vec![0; room]).unwrap();
        assert_eq!((sealed.read, sealed.written), (0, 0), "{room}");
    }
    let sealed = pair.client.seal(b"data", super::SEAL_OVERHEAD + 1);
    pair.server.feed(&sealed, usize::MAX);
    assert_eq!(pair.server.plain, b"data");
}

#[test]
fn tickets_that_are_none_are_refused_and_too_many_passed_over() {
    let mut pair = pair();
    let empty = forged(of_server(&mut pair.server), Kind::Handshake, &[4, 0, 0, 1, 0]);
    pair.client.feed(&empty, usize::MAX);
    assert_eq!(pair.client.code(), "tls.bad_message");

    let mut pair = self::pair();
    // lifetime, age_add, nonce, ticket, no extensions
    let payload = [&[0, 0, 1, 0, 1, 2, 3, 4, 1, 7, 0, 4, 9, 9, 9, 9, 0, 0][..]].concat();
    let ticket = [&[4, 0, 0, payload.len() as u8][..], &payload].concat();
    for _ in 0..100 {
        let record = forged(of_server(&mut pair.server), Kind::Handshake, &ticket);
        pair.client.feed(&record, usize::MAX);
    }
    assert_eq!(pair.client.code(), "");
    assert_eq!(of_client(&mut pair.client).tickets, super::TICKETS_MAX);
    // Beyond their number they are not even read.
    let record = forged(of_server(&mut pair.server), Kind::Handshake, &[4, 0, 0, 1, 0]);
    pair.client.feed(&record, usize::MAX);
    let sealed = pair.server.seal(b"data", 99);
    pair.client.feed(&sealed, usize::MAX);
    assert_eq!((pair.client.code(), pair.client.plain.as_slice()), ("", &b"data"[..]));
}

#[test]
fn after_goodbye_the_key_is_gone() {
    let mut pair = pair();
    pair.client.session.close();
    assert!(of_client(&mut pair.client).sealer.is_none());
    let goodbye = pair.client.output();
    pair.client.session.close();
    assert_eq!(pair.client.output(), b"", "said once");
    pair.server.feed(&goodbye, usize::MAX);
    assert!(pair.server.closed && of_server(&mut pair.server).opener.is_none());
}

#[test]
fn a_goodbye_before_the_handshake_is_done_ends_sending_after_it() {
    let mut pair = Sides::mutual(&Ca::new("root")).pair();
    pair.client.session.close();
    pair.shake(usize::MAX);
    assert!(!pair.client.session.is_handshaking());
    assert_eq!(pair.client.session.seal(b"x", &mut [0; 199]).unwrap_err().code, "tls.ended");
}

#[test]
fn pieces_go_in_as_few_records_as_there_can_be() {
    let mut pair = pair();
    let sizes = [0, 300, 0, 20_000, 1, 17_000, 5];
    let pieces: Vec<Vec<u8>> = (0..7).map(|at| vec![at as u8 + 1; sizes[at]]).collect();
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let mut out = vec![0; 50_000];
    let sealed = pair.client.session.seal_pieces(&slices, &mut out).unwrap();
    let total = sizes.iter().sum::<usize>();
    assert_eq!((sealed.read, sealed.written), (total, total + 3 * RECORD_OVERHEAD));
    pair.server.feed(&out[..sealed.written], 4096);
    assert!(pair.server.plain == pieces.concat());
    // As much as fits of them.
    let sealed = pair.client.session.seal_pieces(&slices, &mut out[..1000]).unwrap();
    assert_eq!(sealed.read, 1000 - super::SEAL_OVERHEAD);
    pair.server.feed(&out[..sealed.written], usize::MAX);
    assert!(pair.server.plain.ends_with(&pieces.concat()[..sealed.read]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever a peer that holds the keys may seal: no panic, and no data that was none.
    #[test]
    fn any_content_is_read_or_refused(
        records in proptest::collection::vec(
            (0usize..3, proptest::collection::vec(prop_oneof![Just(0u8), Just(4), Just(24), Just(1),
                any::<u8>()], 0..40)),
            1..20,
        ),
        piece in prop_oneof![1usize..30, Just(usize::MAX)],
        to_client in any::<bool>(),
    ) {
        let mut pair = pair();
        let mut data = Vec::new();
        for (kind, content) in &records {
            let kind = [Kind::Data, Kind::Handshake, Kind::Alert][*kind];
            if kind == Kind::Data {
                data.extend_from_slice(content);
            }
            if to_client {
                let record = forged(of_server(&mut pair.server), kind, content);
                pair.client.feed(&record, piece);
            } else {
                let record = forged(of_client(&mut pair.client), kind, content);
                pair.server.feed(&record, piece);
            }
        }
        prop_assert!(data.starts_with(&pair.client.plain) || data.starts_with(&pair.server.plain));
        for code in [pair.client.code(), pair.server.code()] {
            let ours = ["", "tls.bad_message", "tls.misbehaved", "tls.bad_record"];
            // An alert is one of the peer's, whatever it says.
            prop_assert!(ours.contains(&code) || code.starts_with("tls.peer_"), "{}", code);
        }
    }
}

/// Neither a record nor what carries it takes memory from the heap.
#[test]
fn a_record_allocates_nothing() {
    let mut pair = pair();
    let (mut sealed, mut ranges) = (vec![0; 2 * PLAIN_MAX], Vec::with_capacity(8));
    let plain = vec![7; PLAIN_MAX];
    for size in [1, 256, PLAIN_MAX] {
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                let did = pair.client.session.seal(&plain[..size], &mut sealed).unwrap();
                let opened =
                    pair.server.session.open(&mut sealed[..did.written], &mut ranges).unwrap();
                assert_eq!((opened.consumed, ranges.len()), (did.written, 1));
                ranges.clear();
            }
        });
        assert_eq!(counted.count_total, 0, "{size} bytes");
    }
}

/// What a connection that stands holds of the heap, with its session.
#[test]
fn an_idle_connection_holds_little() {
    let (server, client) = Sides::mutual(&Ca::new("root")).contexts();
    Pair::new(&server, &client).shake(usize::MAX);
    let mut kept = Vec::with_capacity(1);
    let counted = allocation_counter::measure(|| {
        let mut pair = Pair::new(&server, &client);
        pair.shake(usize::MAX);
        kept.push((Arc::new(()), pair.client.session, pair.server.session));
    });
    println!(
        "held by both sides: {} bytes; Client {}, Server {} bytes inline",
        counted.bytes_current,
        size_of::<Client>(),
        size_of::<Server>()
    );
    assert!(counted.bytes_current < 9 * 1024, "{} bytes", counted.bytes_current);
}
