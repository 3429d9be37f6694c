//! The index finds what comparing one by one finds.

use std::sync::Arc;

use proptest::prelude::*;
use regex::bytes::Regex;

use super::{COMPARED_MAX, RouteList};
use crate::snapshot::{HeaderChanges, Overrides, PathMatch, Route, RouteAction, RouteMatch};

fn route(path: PathMatch, case_sensitive: bool) -> Arc<Route> {
    Arc::new(Route {
        name: "".into(),
        matches: RouteMatch { case_sensitive, ..RouteMatch::of(path) },
        action: RouteAction::Direct { status: 200, body: Arc::from([]) },
        headers: HeaderChanges::default(),
        overrides: Overrides::default(),
    })
}

/// As policy compares them, for what this test makes.
fn matches(route: &Route, path: &[u8]) -> bool {
    let fold = |bytes: &[u8]| match route.matches.case_sensitive {
        true => bytes.to_vec(),
        false => bytes.to_ascii_lowercase(),
    };
    let path = fold(path);
    match &route.matches.path {
        PathMatch::Prefix(text) => path.starts_with(&fold(text)),
        PathMatch::Exact(text) => path == fold(text),
        PathMatch::SeparatedPrefix(text) => {
            path.starts_with(&fold(text)) && matches!(path.get(text.len()), None | Some(b'/'))
        }
        PathMatch::Regex(regex) => regex.is_match(&path),
        PathMatch::Connect => false,
    }
}

/// Few letters, so that paths begin with one another.
fn path() -> impl Strategy<Value = String> {
    "/[aAb/]{0,5}"
}

fn any_route() -> impl Strategy<Value = Arc<Route>> {
    (path(), 0..6, any::<bool>()).prop_map(|(text, kind, case_sensitive)| {
        let bytes: Box<[u8]> = text.as_bytes().into();
        match kind {
            0 => route(PathMatch::Exact(bytes), case_sensitive),
            1 => route(PathMatch::SeparatedPrefix(bytes), case_sensitive),
            2 => route(PathMatch::Regex(Regex::new(&format!("^{text}.$")).unwrap()), true),
            _ => route(PathMatch::Prefix(bytes), case_sensitive),
        }
    })
}

proptest! {
    #[test]
    fn an_index_finds_what_comparing_finds(
        routes in prop::collection::vec(any_route(), 0..40),
        paths in prop::collection::vec(path(), 1..20),
        refused in any::<u64>(),
    ) {
        let list: RouteList = routes.iter().cloned().collect();
        // Some do not match for another reason than their path.
        let passes = |at: usize| refused >> (at % 64) & 1 == 0;
        for path in paths {
            let path = path.as_bytes();
            let expected = (0..routes.len()).find(|at| matches(&routes[*at], path) && passes(*at));
            let number = |asked: &Route| {
                list.iter().position(|route| std::ptr::eq(&**route, asked)).unwrap()
            };
            let found = list.find(path, |route| matches(route, path) && passes(number(route)));
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_path_is_compared_with_few_of_many() {
    let many = (0..10_000).map(|n| format!("/service/{n}").into_bytes().into());
    let list: RouteList = many.map(|text| route(PathMatch::Prefix(text), true)).collect();
    assert!(list.len() > COMPARED_MAX);
    let mut compared = 0;
    let found = list.find(b"/service/1234/x", |_| {
        compared += 1;
        false
    });
    // 1, 12, 123 and 1234.
    assert_eq!((found, compared), (None, 4));
}
