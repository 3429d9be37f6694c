//! What becomes of a handshake: each case names the trouble, our code on either side, and with
//! that which alert went over the wire.

use std::sync::Arc;

use rcgen::{DnType, SanType};

use crate::flow::Flow;
use crate::leaf::Leaf;
use crate::tests::fixtures::{CLIENT_ID, Ca, End, Pair, SERVER_ID, Sides};
use crate::verify::{Rules, Verifier};
use crate::{ClientContext, Parameters, SanMatch, ServerContext, Session, Slot, Version, Versions};

#[test]
fn both_sides_know_each_other_after_a_good_handshake() {
    let mut pair = Sides::mutual(&Ca::new("root")).pair();
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    assert!(pair.established());
    let (client, server) = (pair.client.session.peer(), pair.server.session.peer());
    assert_eq!((client.uris.as_slice(), client.verified), (&[SERVER_ID.to_owned()][..], true));
    assert_eq!((server.uris.as_slice(), server.verified), (&[CLIENT_ID.to_owned()][..], true));
    assert_eq!((client.version, server.version), ("TLSv1.3", "TLSv1.3"));
    assert_eq!(
        (client.alpn.as_slice(), server.alpn.as_slice()),
        (&b"http/1.1"[..], &b"http/1.1"[..])
    );
    assert_eq!(server.sni, "outbound_.9080_.v1_.reviews.default.svc.cluster.local");
    assert_ne!(server.fingerprint, [0; 32]);
}

/// A change to the usual two sides.
type Change = fn(&mut Sides, &Ca, &Ca);

/// Name, change, code at the client, code at the server.
const OUTCOMES: &[(&str, Change, &str, &str)] = &[
    (
        "server has another name",
        |sides, _, _| sides.client.san = vec![SanMatch::uri("spiffe://cluster.local/ns/x/sa/y")],
        "tls.san_mismatch",
        "tls.peer_rejects_certificate",
    ),
    (
        "client has another trust domain",
        |sides, _, _| sides.server.san = vec![SanMatch::uri_prefix("spiffe://other.domain/")],
        "tls.peer_rejects_certificate",
        "tls.san_mismatch",
    ),
    (
        "server under another root",
        |sides, _, other| sides.server.identity.set(other.identity(SERVER_ID)),
        "tls.unknown_ca",
        "tls.peer_unknown_ca",
    ),
    (
        "client under another root",
        |sides, _, other| sides.client.identity.as_ref().unwrap().set(other.identity(CLIENT_ID)),
        "tls.peer_unknown_ca",
        "tls.unknown_ca",
    ),
    (
        "server's certificate has expired",
        |sides, ca, _| sides.server.identity.set(ca.expired(SERVER_ID)),
        "tls.expired",
        "tls.peer_certificate_expired",
    ),
    (
        "client's certificate has expired",
        |sides, ca, _| sides.client.identity.as_ref().unwrap().set(ca.expired(CLIENT_ID)),
        "tls.peer_certificate_expired",
        "tls.expired",
    ),
    (
        "client shows no certificate",
        |sides, _, _| sides.client.identity = None,
        "tls.peer_requires_certificate",
        "tls.no_certificate",
    ),
    (
        "no version in common",
        |sides, _, _| {
            sides.server.parameters.versions =
                Versions { min: Version::Tls13, max: Version::Tls13 };
            sides.client.parameters.versions =
                Versions { min: Version::Tls12, max: Version::Tls12 };
        },
        "tls.peer_version",
        "tls.version",
    ),
];

#[test]
fn every_refusal_has_its_code_on_both_sides() {
    let (ca, other) = (Ca::new("root"), Ca::new("other root"));
    for (name, change, client, server) in OUTCOMES {
        let mut sides = Sides::mutual(&ca);
        change(&mut sides, &ca, &other);
        let mut pair = sides.pair();
        pair.shake(usize::MAX);
        assert_eq!(pair.codes(), (*client, *server), "{name}");
        assert!(!pair.server.session.peer().verified, "{name}");
        let again = pair.server.session.open(&mut [22, 3, 3], &mut Vec::new());
        assert_eq!(again.map_err(|error| error.code), Err("tls.ended"), "{name}");
    }
}

#[test]
fn every_refusal_has_its_code_under_tls_1_2_too() {
    let (ca, other) = (Ca::new("root"), Ca::new("other root"));
    for (name, change, client, server) in OUTCOMES {
        let mut sides = Sides::mutual(&ca);
        sides.server.parameters.versions.max = Version::Tls12;
        change(&mut sides, &ca, &other);
        let mut pair = sides.pair();
        pair.shake(usize::MAX);
        // TLS 1.2 has no certificate_required; a client cannot tell that from other troubles.
        let client = match *client {
            "tls.peer_requires_certificate" => "tls.peer_alert",
            other => other,
        };
        assert_eq!(pair.codes().1, *server, "{name}");
        assert!(pair.codes().0 == client || pair.codes().0.starts_with("tls.peer_"), "{name}");
    }
}

/// Bytes that are no TLS that is spoken here, and what the server says and answers with.
#[test]
fn strangers_are_told_off() {
    let cases: &[(&str, &[u8], &str, &[u8])] = &[
        (
            "plain HTTP",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "tls.bad_message",
            &[21, 3, 3, 0, 2, 2],
        ),
        ("TLS 1.1", TLS11_HELLO, "tls.version", &[21, 3, 3, 0, 2, 2, 40]),
        ("zeros", &[0; 64], "tls.bad_message", &[21, 3, 3, 0, 2, 2]),
    ];
    for (name, bytes, code, alert) in cases {
        let (context, _) = Sides::mutual(&Ca::new("root")).contexts();
        for piece in [1, 7, 1000] {
            let mut server = End::new(context.accept().unwrap());
            server.feed(bytes, piece);
            assert_eq!(server.code(), *code, "{name} in pieces of {piece}: {:?}", server.error);
            assert!(server.output().starts_with(alert), "{name}");
            assert!(server.session.peer().uris.is_empty());
        }
    }
}

/// A ClientHello of a client that speaks nothing newer than TLS 1.1: no extensions.
const TLS11_HELLO: &[u8] = &[
    0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 4, 0xc0, 0x13, 0xc0,
    0x09, 1, 0,
];

#[test]
fn without_an_application_protocol_in_common_none_is_chosen() {
    let mut sides = Sides::mutual(&Ca::new("root"));
    sides.client.alpn = vec![b"istio".to_vec()];
    let mut pair = sides.pair();
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    assert_eq!(pair.client.session.peer().alpn, b"");
    assert_eq!(pair.server.session.peer().alpn, b"");
}

#[test]
fn a_certificate_is_optional_unless_required() {
    let ca = Ca::new("root");
    for with_certificate in [true, false] {
        let mut sides = Sides::mutual(&ca);
        sides.server.require_client_certificate = false;
        if !with_certificate {
            sides.client.identity = None;
        }
        let mut pair = sides.pair();
        assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
        assert_eq!(pair.server.session.peer().verified, with_certificate);
    }
}

#[test]
fn without_roots_nobody_is_verified() {
    let (ca, other) = (Ca::new("root"), Ca::new("other root"));
    let mut sides = Sides::mutual(&ca);
    (sides.server.trust, sides.client.trust) = (None, None);
    (sides.server.san, sides.client.san) = (Vec::new(), Vec::new());
    sides.server.identity.set(other.expired(SERVER_ID));
    let mut pair = sides.pair();
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    for peer in [pair.client.session.peer(), pair.server.session.peer()] {
        assert!(!peer.verified && peer.uris.is_empty() && peer.subject.is_empty());
    }
}

#[test]
fn names_without_roots_are_refused_when_built() {
    let mut sides = Sides::mutual(&Ca::new("root"));
    sides.server.trust = None;
    let error = ServerContext::new(sides.server).unwrap_err();
    assert_eq!(error.code, "tls.san_without_trust");
}

#[test]
fn a_handshake_waits_for_its_secrets() {
    let ca = Ca::new("root");
    let mut sides = Sides::mutual(&ca);
    let (identity, trust) = (Arc::new(Slot::empty("default")), Arc::new(Slot::empty("ROOTCA")));
    sides.server.identity = identity.clone();
    sides.server.trust = Some(trust.clone());
    let (server, client) = sides.contexts();
    let refused = |server: &ServerContext| server.accept().unwrap_err();
    assert!(refused(&server).detail.contains("\"default\""));
    identity.set(ca.identity(SERVER_ID));
    assert_eq!(refused(&server).code, "tls.secret_missing");
    assert!(refused(&server).detail.contains("\"ROOTCA\"") && !server.ready());
    trust.set(ca.trust());
    assert!(server.ready());
    assert_eq!(Pair::new(&server, &client).shake(usize::MAX).codes(), ("", ""));
    trust.clear();
    assert_eq!(refused(&server).code, "tls.secret_missing");
}

#[test]
fn rotation_reaches_new_handshakes_and_leaves_old_connections_alone() {
    let (old, new) = (Ca::new("old root"), Ca::new("new root"));
    let sides = Sides::mutual(&old);
    let (identity, trust) = (sides.server.identity.clone(), sides.server.trust.clone().unwrap());
    let (server, client) = sides.contexts();
    let mut before = Pair::new(&server, &client);
    assert_eq!(before.shake(usize::MAX).codes(), ("", ""));
    identity.set(new.identity(SERVER_ID));
    trust.set(new.trust());
    let mut after = Pair::new(&server, &client);
    assert_eq!(after.shake(usize::MAX).codes().0, "tls.unknown_ca");
    let sealed = before.client.seal(b"still here", 4096);
    before.server.feed(&sealed, usize::MAX);
    assert_eq!(before.server.plain, b"still here");
}

#[test]
fn subject_and_dns_names_are_reported() {
    let ca = Ca::new("root");
    let mut sides = Sides::mutual(&ca);
    let pem = ca.pem_with(SERVER_ID, |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "reviews");
        let name = "*.reviews.svc".try_into().unwrap();
        params.subject_alt_names.push(SanType::DnsName(name));
    });
    sides.server.identity.set(pem.identity());
    sides.client.san = vec![SanMatch::dns("v1.reviews.svc")];
    let mut pair = sides.pair();
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    let peer = pair.client.session.peer();
    assert_eq!(peer.subject, "CN=reviews,O=Acme\\, Inc.");
    assert_eq!(peer.dns, ["*.reviews.svc"]);
}

/// Both sides with resumption.
fn resuming(ca: &Ca) -> Sides {
    let mut sides = Sides::mutual(ca);
    sides.server.parameters = Parameters { resumption: true, ..Parameters::default() };
    sides.client.parameters = Parameters { resumption: true, ..Parameters::default() };
    sides
}

/// Whether a handshake takes up an earlier session. Both sides know each other either way.
fn resumes(server: &ServerContext, client: &ClientContext) -> bool {
    let mut pair = Pair::new(server, client);
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    let (by_client, by_server) = (pair.client.session.peer(), pair.server.session.peer());
    assert_eq!((by_client.verified, by_server.verified), (true, true));
    assert_eq!(by_client.uris, [SERVER_ID]);
    assert!(by_server.uris.iter().all(|uri| uri.starts_with(CLIENT_ID)));
    assert_ne!((by_client.fingerprint, by_server.fingerprint), ([0; 32], [0; 32]));
    assert_eq!(by_client.is_resumed, by_server.is_resumed);
    by_client.is_resumed
}

#[test]
fn a_session_is_resumed_but_not_across_a_rotation() {
    let (ca, versions) = (Ca::new("root"), [Version::Tls12, Version::Tls13]);
    for version in versions {
        let mut sides = resuming(&ca);
        sides.client.parameters.versions = Versions { min: version, max: version };
        let identities = [sides.server.identity.clone(), sides.client.identity.clone().unwrap()];
        let trusts = [&sides.server.trust, &sides.client.trust].map(|t| t.clone().unwrap());
        let (server, client) = sides.contexts();
        let settled = |name: &str| {
            assert!(!resumes(&server, &client), "{name} ends old sessions, {version}");
            assert!(resumes(&server, &client) && resumes(&server, &client), "{name}, {version}");
        };
        settled("nothing yet");
        for (slot, id) in identities.iter().zip([SERVER_ID, CLIENT_ID]) {
            slot.set(ca.identity(id));
            settled("a new identity");
        }
        for slot in &trusts {
            slot.set(ca.trust());
            settled("new roots");
        }
    }
}

#[test]
fn a_session_is_not_resumed_elsewhere() {
    let ca = Ca::new("root");
    let (server, client) = resuming(&ca).contexts();
    assert!(!resumes(&server, &client) && resumes(&server, &client));
    // Other contexts of the very same making.
    let (other_server, other_client) = resuming(&ca).contexts();
    assert!(!resumes(&other_server, &client), "a ticket of another listener");
    assert!(!resumes(&server, &other_client), "a cluster that has none");
    let mut named = Pair::new(&server, &client);
    named.client.session = client.connect(None, Some("other.example")).unwrap();
    assert_eq!(named.shake(usize::MAX).codes(), ("", ""));
    assert!(!named.client.session.peer().is_resumed, "a ticket for another name");
}

#[test]
fn one_ticket_is_sent_and_none_without_resumption() {
    let ca = Ca::new("root");
    for (sides, tickets) in [(resuming(&ca), 1), (Sides::mutual(&ca), 0)] {
        let mut pair = sides.pair();
        pair.shake(usize::MAX);
        match pair.client.session.flow() {
            Flow::Traffic(traffic) => assert_eq!(traffic.tickets(), tickets),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn names_are_asked_again_when_a_session_is_resumed() {
    let (ca, rules) = (Ca::new("root"), |san| Arc::new(Rules::new(vec![san], true)));
    let trust = || Some(ca.trust());
    let leaf = Leaf::parse(&ca.identity(CLIENT_ID).chain()[0]).unwrap();
    let verifier = |san| Verifier::of_clients(rules(san), trust(), crate::provider()).unwrap();
    assert!(verifier(SanMatch::uri(CLIENT_ID)).still_valid(&leaf).is_ok());
    assert!(verifier(SanMatch::uri(SERVER_ID)).still_valid(&leaf).is_err());
    let expired = Leaf::parse(&ca.expired(CLIENT_ID).chain()[0]).unwrap();
    assert!(verifier(SanMatch::uri(CLIENT_ID)).still_valid(&expired).is_err());
}
