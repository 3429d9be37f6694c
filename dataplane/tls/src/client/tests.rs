//! See `server/tests.rs` for handshakes; here is what only a client decides.

use std::sync::Arc;

use rcgen::SanType;

use crate::tests::fixtures::{Ca, Pair, SERVER_ID, Sides};
use crate::{ClientContext, Session, Slot};

#[test]
fn overrides_take_the_place_of_the_specification() {
    let (server, client) = Sides::mutual(&Ca::new("root")).contexts();
    let mut pair = Pair::new(&server, &client);
    let alpn = [b"h2".to_vec()];
    pair.client.session = client.connect(Some(&alpn), Some("other.example")).unwrap();
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    assert_eq!(pair.client.session.peer().alpn, b"h2");
    assert_eq!(pair.server.session.peer().sni, "other.example");
}

#[test]
fn without_a_name_none_is_asked_for() {
    let mut sides = Sides::mutual(&Ca::new("root"));
    sides.client.sni = None;
    let mut pair = sides.pair();
    assert_eq!(pair.shake(usize::MAX).codes(), ("", ""));
    assert_eq!(pair.server.session.peer().sni, "");
}

#[test]
fn names_that_are_none_are_refused_when_built() {
    let ca = Ca::new("root");
    for name in ["a b", "a..b", &"x".repeat(300)] {
        let mut sides = Sides::mutual(&ca);
        sides.client.sni = Some(name.to_owned());
        let error = ClientContext::new(sides.client).unwrap_err();
        assert_eq!(error.code, "tls.bad_context", "{name}");
    }
}

/// A server whose certificate has its id, DNS names and an address.
fn named(ca: &Ca) -> Sides {
    let pem = ca.pem_with(SERVER_ID, |params| {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        params.subject_alt_names.extend([dns("a.example"), dns("*.wild.example")]);
        params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into()));
    });
    let mut sides = Sides::mutual(ca);
    sides.server.identity = Arc::new(Slot::filled("default", pem.identity()));
    sides
}

#[test]
fn the_context_of_one_server_asks_for_it_and_its_names() {
    let ca = Ca::new("root");
    let (server, client) = named(&ca).contexts();
    let own = "outbound_.9080_.v1_.reviews.default.svc.cluster.local";
    let good = [
        (Some("a.example"), Some("a.example"), "a.example"),
        (Some("other.example"), None, "other.example"),
        (None, Some("a.example"), own),
        (None, Some("A.Example"), own),
        (None, Some("x.wild.example"), own),
        (None, Some("10.0.0.1"), own),
        (None, Some(SERVER_ID), own),
    ];
    for (sni, san, asked) in good {
        let context = client.for_server(sni, san).unwrap();
        let mut pair = Pair::new(&server, &context);
        assert_eq!(pair.shake(usize::MAX).codes(), ("", ""), "{sni:?} {san:?}");
        assert_eq!(pair.server.session.peer().sni, asked);
    }
    for san in ["b.example", "x.y.wild.example", "10.0.0.2", ""] {
        let context = client.for_server(None, Some(san)).unwrap();
        let mut pair = Pair::new(&server, &context);
        assert_eq!(pair.shake(usize::MAX).client.code(), "tls.san_mismatch", "{san}");
    }
}

#[test]
fn a_servers_name_comes_besides_those_that_are_asked_for_anyway() {
    let ca = Ca::new("root");
    let mut sides = named(&ca);
    sides.client.san = vec![crate::SanMatch::uri("spiffe://cluster.local/ns/other/sa/server")];
    let (server, client) = sides.contexts();
    let context = client.for_server(None, Some("a.example")).unwrap();
    let mut pair = Pair::new(&server, &context);
    assert_eq!(pair.shake(usize::MAX).client.code(), "tls.san_mismatch");
}

#[test]
fn without_roots_no_name_is_good_enough() {
    let ca = Ca::new("root");
    let mut sides = named(&ca);
    (sides.client.san, sides.client.trust) = (Vec::new(), None);
    let (server, client) = sides.contexts();
    for (san, code) in [(None, ""), (Some("a.example"), "tls.unknown_ca")] {
        let context = client.for_server(None, san).unwrap();
        let mut pair = Pair::new(&server, &context);
        assert_eq!(pair.shake(usize::MAX).client.code(), code, "{san:?}");
    }
}

#[test]
fn a_server_by_no_name_is_refused() {
    let (_, client) = Sides::mutual(&Ca::new("root")).contexts();
    for name in ["a b", "a..b", &"x".repeat(300)] {
        assert_eq!(client.for_server(Some(name), None).unwrap_err().code, "tls.bad_context");
    }
}
