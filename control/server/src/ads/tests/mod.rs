//! The state machines, driven message by message without a socket.
//!
//! A [`Shelf`] stands in for the mesh; each test changes it and looks at what a client is sent.

mod delta;
mod node;
mod sotw;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;

/// A catalogue whose content tests can change.
#[derive(Default)]
pub(super) struct Shelf(BTreeMap<(Kind, String), Arc<Resource>>);

impl Shelf {
    pub(super) fn with(entries: &[(Kind, &str, &str)]) -> Self {
        let mut shelf = Self::default();
        entries.iter().for_each(|(kind, name, body)| shelf.put(*kind, name, body));
        shelf
    }

    pub(super) fn put(&mut self, kind: Kind, name: &str, body: &str) {
        let resource = Resource::new(kind, name, body.as_bytes().to_vec());
        self.0.insert((kind, name.to_owned()), Arc::new(resource));
    }

    pub(super) fn remove(&mut self, kind: Kind, name: &str) {
        self.0.remove(&(kind, name.to_owned()));
    }
}

impl Catalogue for Shelf {
    fn resources(&self, kind: Kind, names: &Names) -> Vec<Arc<Resource>> {
        let wanted = |name: &str| names.wildcard || names.listed.contains(name);
        let all = self.0.iter().filter(|((k, name), _)| *k == kind && wanted(name));
        all.map(|(_, resource)| Arc::clone(resource)).collect()
    }
}

pub(super) fn scope() -> StreamScope {
    StreamScope::new(&Kind::ALL, 7)
}

/// The state of one type.
pub(super) fn progress(protocol: &impl Protocol, kind: Kind) -> Progress {
    let found = protocol.progress().into_iter().find(|(k, _)| *k == kind);
    found.map(|(_, progress)| progress).expect("the type is watched")
}

#[test]
fn versions_depend_on_content_alone() {
    let same = [
        Resource::new(Kind::Route, "a", b"x".to_vec()),
        Resource::new(Kind::Route, "b", b"x".to_vec()),
    ];
    assert_eq!(same[0].version, same[1].version);
    assert_eq!(same[0].version.len(), 32);
    let other = Resource::new(Kind::Route, "a", b"y".to_vec());
    assert_ne!(same[0].version, other.version);
    // Names and versions cannot run into one another.
    assert_ne!(set_version([("ab", "c")]), set_version([("a", "bc")]));
    assert_ne!(set_version([("a", "1"), ("b", "2")]), set_version([("a", "1")]));
}

#[test]
fn a_rejection_text_is_cut_at_a_whole_character() {
    let long = "é".repeat(REJECTION_TEXT_MAX);
    let rejection = Rejection::new("v".into(), 3, &long);
    assert_eq!(rejection.message.len(), REJECTION_TEXT_MAX);
    let odd = format!("x{long}");
    assert_eq!(Rejection::new("v".into(), 3, &odd).message.len(), REJECTION_TEXT_MAX - 1);
}

#[test]
fn type_urls_go_both_ways() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
    }
    assert_eq!(Kind::from_type_url("type.googleapis.com/envoy.Unknown"), None);
}
