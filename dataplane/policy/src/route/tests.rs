//! Hosts and routes against what Envoy 1.40 answered to the same requests.

use std::collections::HashMap;

use config::snapshot::{
    ClusterId, CookieMatch, Forward, HeaderMatch, MoreMatches, PathMatch, Route, RouteAction,
    RouteTable, Share, TlsMatch, ValueMatch, Weighted,
};

use tls::session::Peer;
use wire::head::Head;

use super::{Found, NotFound, find, find_for, named, weighted};
use crate::fixture::{exact, get, head, regex, route, virtual_host};

fn any_path() -> PathMatch {
    PathMatch::Prefix(b"/".as_slice().into())
}

fn path(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

/// One host `*` of these routes.
fn table(routes: Vec<Route>) -> RouteTable {
    let hosts = vec![virtual_host("any", routes)];
    RouteTable { hosts, any: Some(0), ..RouteTable::default() }
}

fn domains(ignore_port: bool) -> RouteTable {
    let names = ["exact", "suf", "suf2", "suf3", "pre", "pre2", "any", "v6"];
    let hosts = names.map(|name| virtual_host(name, vec![route(name, any_path())]));
    let exact: [(&str, usize); 3] = [("foo.com", 0), ("foo.com:81", 0), ("[::1]", 7)];
    RouteTable {
        hosts: hosts.into(),
        exact: exact.iter().map(|(name, at)| (path(name), *at)).collect(),
        suffixes: vec![(path("-bar.foo.com"), 2), (path(".b.foo.com"), 3), (path(".foo.com"), 1)],
        prefixes: vec![(path("foo.org."), 5), (path("foo."), 4)],
        any: Some(6),
        ignore_port,
        ..RouteTable::default()
    }
}

#[test]
fn hosts_are_found_in_envoys_order() {
    let (heeding, ignoring) = (domains(false), domains(true));
    for (authority, with_port, without_port) in [
        ("foo.com", "exact", "exact"),
        ("FOO.com", "exact", "exact"),
        ("foo.com:80", "pre", "exact"),
        ("foo.com:81", "exact", "exact"),
        ("a.foo.com", "suf", "suf"),
        (".foo.com", "any", "any"),
        ("x-bar.foo.com", "suf2", "suf2"),
        ("X-BAR.foo.com", "suf2", "suf2"),
        ("-bar.foo.com", "suf", "suf"),
        ("a.b.foo.com", "suf3", "suf3"),
        ("foo.net", "pre", "pre"),
        ("foo.", "any", "any"),
        ("foo.org.x", "pre2", "pre2"),
        ("foo.org.", "pre", "pre"),
        ("other", "any", "any"),
        ("[::1]", "v6", "v6"),
        ("[::1]:80", "any", "v6"),
        ("a.foo.com:80", "any", "suf"),
        ("foo.com.", "pre", "pre"),
    ] {
        let head = head(&format!("GET / HTTP/1.1\nhost: {authority}"));
        let host = |table| find(table, &head, 0).unwrap().host.name.to_string();
        assert_eq!(host(&heeding), with_port, "{authority}");
        assert_eq!(host(&ignoring), without_port, "{authority} without port");
    }
}

#[test]
fn no_host_or_no_route_is_not_found() {
    let nobody = RouteTable { any: None, ..domains(false) };
    let request = head("GET / HTTP/1.1\nhost: other");
    assert_eq!(find(&nobody, &request, 0).unwrap_err(), NotFound::Host);
    let empty = table(Vec::new());
    assert_eq!(find(&empty, &request, 0).unwrap_err(), NotFound::Route);
}

#[test]
fn paths_match_as_in_envoy() {
    let without_case = |name, path| {
        let mut route = route(name, path);
        route.matches.case_sensitive = false;
        route
    };
    let table = table(vec![
        route("sep", PathMatch::SeparatedPrefix(path("/api"))),
        route("exact", PathMatch::Exact(path("/x"))),
        without_case("iexact", PathMatch::Exact(path("/Y"))),
        without_case("iprefix", PathMatch::Prefix(path("/Pre"))),
        without_case("isep", PathMatch::SeparatedPrefix(path("/Sep"))),
        route("regex", PathMatch::Regex(regex("/r(a|ab)"))),
        route("regex2", PathMatch::Regex(regex("/q.*x=1"))),
        route("prefix", PathMatch::Prefix(path("/p"))),
    ]);
    for (path, expected) in [
        ("/api", "sep"),
        ("/api/", "sep"),
        ("/apix", ""),
        ("/api?x", "sep"),
        ("/api/x?y", "sep"),
        ("/x", "exact"),
        ("/x/", ""),
        ("/x?1", "exact"),
        ("/X", ""),
        ("/y", "iexact"),
        ("/Y?z", "iexact"),
        ("/pre", "iprefix"),
        ("/PREfix", "iprefix"),
        ("/sep", "isep"),
        ("/SEP/a", "isep"),
        ("/sepa", ""),
        ("/ra", "regex"),
        ("/rab", "regex"),
        ("/rabc", ""),
        ("/rab?z", "regex"),
        ("/q?x=1", ""),
        ("/qqx=1", "regex2"),
        ("/p", "prefix"),
        ("/P", ""),
        ("/", ""),
    ] {
        let head = get(path);
        let found = find(&table, &head, 0).map_or("", |found| &*found.route.name);
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn the_first_route_whose_headers_match_wins() {
    let mut canary = route("canary", any_path());
    canary.matches.headers.push(HeaderMatch {
        name: path("x-canary"),
        value: ValueMatch::String(exact("yes")),
        invert: false,
        missing_as_empty: false,
    });
    let table = table(vec![canary, route("stable", any_path()), route("never", any_path())]);
    let name = |text: &str| find(&table, &head(text), 0).unwrap().route.name.to_string();
    assert_eq!(name("GET / HTTP/1.1\nhost: a\nx-canary: yes"), "canary");
    assert_eq!(name("GET / HTTP/1.1\nhost: a\nx-canary: no"), "stable");
}

#[test]
fn weights_divide_the_random_numbers() {
    let clusters = canary();
    let mut counts = HashMap::new();
    for random in 0..1000 {
        *counts.entry(&*weighted(&clusters, 100, random).unwrap().name).or_insert(0) += 1;
    }
    assert_eq!(counts, HashMap::from([("v1", 900), ("v2", 100)]));
    assert!(weighted(&[], 0, 7).is_none());
    let table = table(vec![route("only", any_path())]);
    let found = find(&table, &get("/"), u64::MAX).unwrap();
    assert_eq!(&*found.cluster.unwrap().name, "only");
}

fn canary() -> [Weighted; 3] {
    let cluster = |name: &str, weight| Weighted::plain(name.into(), ClusterId(0), weight);
    [cluster("v1", 90), cluster("none", 0), cluster("v2", 10)]
}

#[test]
fn a_request_may_bring_the_number_that_chooses() {
    let told = Forward {
        clusters: canary().into(),
        total_weight: 100,
        random_header: Some(path("x-rnd")),
        ..Forward::nowhere()
    };
    let action = RouteAction::Forward(told);
    let table = table(vec![Route { action, ..route("r", any_path()) }]);
    for (fields, expected, place) in [
        ("x-rnd: 89", "v1", 0),
        ("x-rnd: 90", "v2", 2),
        ("x-rnd: 189", "v1", 0),
        ("x-rnd: 18446744073709551615", "v1", 0),
        ("x-rnd: 18446744073709551616", "v2", 2),
        ("x-rnd: -1", "v2", 2),
        ("x-rnd: 0\nx-rnd: 0", "v2", 2),
        ("x-other: 0", "v2", 2),
    ] {
        let request = head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
        let found = find(&table, &request, 99).unwrap();
        let name = |found: Found<'_>| found.cluster.unwrap().name.to_string();
        assert_eq!((name(found), found.at.cluster), (expected.to_owned(), place), "{fields}");
        assert_eq!(name(Found::at(&table, found.at).unwrap()), expected, "it is found again");
    }
}

#[test]
fn a_request_may_name_its_cluster() {
    let request = head("GET /p HTTP/1.1\nhost: a\nx-to: b\nx-to: c");
    assert_eq!(named(&request, b"x-to"), Some("b"), "the first");
    assert_eq!(named(&request, b":path"), Some("/p"));
    assert_eq!(named(&request, b"x-none"), None);
}

/// The route that asks for more than its path is found for this request.
fn asks(more: MoreMatches, head: &Head, random: u64, peer: Option<&Peer>) -> bool {
    let mut asking = route("asking", any_path());
    asking.matches.more = Some(Box::new(more));
    let table = table(vec![asking]);
    find_for(&table, head, random, peer).is_ok()
}

#[test]
fn cookies_are_asked_for() {
    let cookie = |invert| CookieMatch { name: path("k"), value: exact("v"), invert };
    let more = |invert| MoreMatches { cookies: vec![cookie(invert)], ..MoreMatches::default() };
    for (line, expected) in [
        ("cookie: k=v", true),
        ("cookie: a=b; k=\"v\"", true),
        ("cookie: k=w; k=v", false),
        ("cookie: a=b\ncookie: k=v", true),
        ("cookie: k=v ", true),
        ("cookie: K=v", false),
        ("cookie: k", false),
        ("x-other: k=v", false),
    ] {
        let request = head(&format!("GET / HTTP/1.1\nhost: a\n{line}"));
        assert_eq!(asks(more(false), &request, 0, None), expected, "{line}");
        assert_eq!(asks(more(true), &request, 0, None), !expected, "{line}, inverted");
    }
}

#[test]
fn shares_calls_and_certificates_are_asked_for() {
    let share =
        || MoreMatches { share: Some(Share { some: 30, of: 100 }), ..MoreMatches::default() };
    assert!(asks(share(), &get("/"), 129, None) && !asks(share(), &get("/"), 130, None));
    let grpc = || MoreMatches { grpc: true, ..MoreMatches::default() };
    let call = head("POST / HTTP/1.1\nhost: a\ncontent-type: application/grpc+proto");
    assert!(asks(grpc(), &call, 0, None) && !asks(grpc(), &get("/"), 0, None));
    let known = Peer { verified: true, ..Peer::default() };
    let resumed = Peer { verified: true, is_resumed: true, ..Peer::default() };
    for (peer, presented, validated) in [
        (None, false, false),
        (Some(&Peer::default()), false, false),
        (Some(&known), true, true),
        (Some(&resumed), true, false),
    ] {
        let tls = |presented, validated| {
            let tls = TlsMatch { presented, validated };
            asks(MoreMatches { tls, ..MoreMatches::default() }, &get("/"), 0, peer)
        };
        assert!(tls(Some(presented), None) && !tls(Some(!presented), None), "{peer:?}");
        assert!(tls(None, Some(validated)) && !tls(None, Some(!validated)), "{peer:?}");
        assert!(tls(Some(presented), Some(validated)) && tls(None, None), "{peer:?}");
    }
}
