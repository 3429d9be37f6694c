//! See `server/tests.rs` for handshakes; here is what only a client decides.

use crate::tests::fixtures::{Ca, Pair, Sides};
use crate::{ClientContext, Session};

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
