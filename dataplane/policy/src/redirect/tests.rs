//! Locations, as Envoy 1.40 gave them for the same requests.

use config::snapshot::{PathMatch, PathRewrite, Redirect, RedirectPath};

use super::{location, of_refusal, origin};
use crate::fixture::head;
use crate::reply::Reason;

fn text(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn sent(redirect: &Redirect, target: &str, host: &str, proto: &str) -> String {
    let head = head(&format!("GET {target} HTTP/1.1\nhost: {host}\nx-forwarded-proto: {proto}"));
    let mut out = Vec::new();
    location(&head, redirect, &PathMatch::Prefix(text("/p")), &mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn the_usual_port_goes_with_its_scheme() {
    let to = |scheme: &str| Redirect { scheme: Some(text(scheme)), ..Redirect::default() };
    for (scheme, host, proto, expected) in [
        ("https", "x:80", "http", "https://x/p"),
        ("https", "x:81", "http", "https://x:81/p"),
        ("https", "x:443", "http", "https://x:443/p"),
        ("https", "x:80", "https", "https://x:80/p"),
        ("http", "x:443", "https", "http://x/p"),
        ("http", "x:443", "http", "http://x:443/p"),
        ("ftp", "[::1]:80", "http", "ftp://[::1]/p"),
        ("ftp", "[::1]", "http", "ftp://[::1]/p"),
    ] {
        assert_eq!(sent(&to(scheme), "/p", host, proto), expected, "{scheme} {host} {proto}");
    }
    let port = Redirect { port: Some(text(":8080")), ..Redirect::default() };
    assert_eq!(sent(&port, "/p", "x:99", "https"), "https://x:8080/p");
    assert_eq!(sent(&port, "/p", "[::1]", "http"), "http://[::1]:8080/p");
    let host = Redirect { host: Some(text("new")), ..Redirect::default() };
    assert_eq!(sent(&host, "/p?q", "x:99", "http"), "http://new/p?q");
}

#[test]
fn queries_stay_unless_they_are_stripped_or_replaced() {
    let prefix = || RedirectPath::Rewritten(PathRewrite::Prefix(text("/n")));
    for (path, strip_query, expected) in [
        (RedirectPath::Same, false, "/pa?b"),
        (RedirectPath::Same, true, "/pa"),
        (RedirectPath::Whole(text("/w")), false, "/w?b"),
        (RedirectPath::Whole(text("w")), true, "/w"),
        (RedirectPath::WithQuery(text("/w?c")), false, "/w?c"),
        (RedirectPath::WithQuery(text("/w?c")), true, "/w?c"),
        (prefix(), false, "/na?b"),
        (prefix(), true, "/na"),
    ] {
        let redirect = Redirect { path, strip_query, ..Redirect::default() };
        assert_eq!(sent(&redirect, "/pa?b", "x", "http"), format!("http://x{expected}"));
    }
}

#[test]
fn refusals_and_direct_responses_point_somewhere() {
    let head = head("GET /a?b HTTP/1.1\nhost: x:80\nx-forwarded-proto: http");
    let write = |reason| {
        let mut out = Vec::new();
        of_refusal(reason, &head, &mut out).then(|| String::from_utf8(out).expect("text"))
    };
    assert_eq!(write(Reason::TlsRequired).as_deref(), Some("https://x:80/a?b"));
    assert_eq!(write(Reason::PathRedirect).as_deref(), Some("/a?b"));
    assert_eq!(write(Reason::RbacDenied), None);
    let mut out = Vec::new();
    origin(&head, &mut out);
    assert_eq!(out, b"http://x:80/a?b");
}
