//! Targets rewritten as Envoy 1.40 rewrote the same ones.

use config::snapshot::{HostRewrite, PathMatch, PathRewrite, Rewrite, Substitution};

use super::{apply, to_endpoint};
use crate::fixture::{head, lines, regex};
use crate::reply::Reason;

fn text(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn substitution(pattern: &str, substitution: &str) -> Substitution {
    Substitution::new(pattern, substitution).expect("it compiles")
}

/// The path after a rewrite, and what is told of it.
fn path(
    asked: &PathMatch,
    path: PathRewrite,
    target: &str,
) -> Result<(String, Vec<String>), Reason> {
    let rewrite = Rewrite { path: Some(path), ..Rewrite::default() };
    let mut head = head(&format!("GET {target} HTTP/1.1\nhost: a"));
    apply(&mut head, &rewrite, asked, true)?;
    Ok((String::from_utf8_lossy(head.path()).into_owned(), lines(&head)))
}

#[test]
fn a_prefix_takes_the_place_of_what_matched() {
    let prefix = PathMatch::Prefix(text("/p"));
    let whole = PathMatch::Regex(regex("/re/.*"));
    for (asked, new, target, expected) in [
        (&prefix, "/", "/p/a?b", "//a?b"),
        (&prefix, "/", "/p", "/"),
        (&prefix, "/n", "/P?q", "/n?q"),
        (&PathMatch::Exact(text("/e")), "/x", "/e?q", "/x?q"),
        (&PathMatch::SeparatedPrefix(text("/s")), "/x", "/s/a", "/x/a"),
        (&whole, "/all", "/re/a?b", "/all?b"),
    ] {
        let (path, told) = path(asked, PathRewrite::Prefix(text(new)), target).expect("a path");
        assert_eq!((path.as_str(), told), (expected, vec![told_path(target)]), "{target}");
    }
}

fn told_path(path: &str) -> String {
    format!("x-envoy-original-path: {path}")
}

#[test]
fn a_regex_rewrites_the_path_alone() {
    let any = PathMatch::Prefix(text("/"));
    let rewrite = |pattern, new| PathRewrite::Regex(substitution(pattern, new));
    let swapped = path(&any, rewrite("/([a-z]+)/([0-9]+)", r"/\2/\1"), "/ab/12?x=/c/3");
    assert_eq!(swapped.expect("a path").0, "/12/ab?x=/c/3");
    // Nothing is no path: it stays, and nobody is told.
    assert_eq!(path(&any, rewrite(".*", ""), "/a?b"), Ok(("/a?b".to_owned(), Vec::new())));
    for (pattern, new) in [("^/a/", ""), ("/", "http://x/"), ("b", " ")] {
        let refused = path(&any, rewrite(pattern, new), "/a/b");
        assert_eq!(refused, Err(Reason::RewriteInvalid), "{pattern}");
    }
}

/// The authority after a rewrite, and the fields.
fn host(rewrite: &Rewrite, fields: &str, tells: bool) -> Result<(String, Vec<String>), Reason> {
    let mut head = head(&format!("GET /p/x?y HTTP/1.1\nhost: old:1\n{fields}"));
    apply(&mut head, rewrite, &PathMatch::Prefix(text("/")), tells)?;
    Ok((String::from_utf8_lossy(head.authority()).into_owned(), lines(&head)))
}

fn to(host: HostRewrite, append_forwarded_host: bool) -> Rewrite {
    Rewrite { host: Some(host), append_forwarded_host, path: None }
}

#[test]
fn authorities_are_replaced_and_told() {
    let literal = to(HostRewrite::Literal(text("new:2")), true);
    let told = "x-envoy-original-host: old:1".to_owned();
    for (given, forwarded) in [
        ("", "old:1"),
        ("x-forwarded-host: a", "a,old:1"),
        ("x-forwarded-host: a\nx-forwarded-host: b", "a,b,old:1"),
        ("x-forwarded-host: a,old:1", "a,old:1"),
        ("x-forwarded-host: a, old:1", "a, old:1,old:1"),
        ("x-forwarded-host: ,", ",,old:1"),
    ] {
        let (name, mut fields) = host(&literal, given, true).expect("a host");
        fields.sort();
        let forwarded = format!("x-forwarded-host: {forwarded}");
        assert_eq!((&*name, fields), ("new:2", vec![told.clone(), forwarded]), "{given}");
    }
    let silent = to(HostRewrite::Literal(text("new")), false);
    assert_eq!(host(&silent, "", false), Ok(("new".to_owned(), Vec::new())));
    let asked = to(HostRewrite::Header(text("x-host")), false);
    for (given, expected) in [
        ("x-host: h1\nx-host: h2", Ok("h1")),
        ("x-other: h", Ok("old:1")),
        ("x-host:", Ok("old:1")),
        ("x-host: a b", Err(Reason::RewriteInvalid)),
        ("x-host: a/b", Err(Reason::RewriteInvalid)),
        ("x-host: a:b", Err(Reason::RewriteInvalid)),
    ] {
        let name = host(&asked, given, false).map(|(name, _)| name);
        assert_eq!(name.as_deref().map_err(|reason| *reason), expected, "{given}");
    }
    let by_path = to(HostRewrite::PathRegex(substitution("^/p/([a-z]+)$", r"\1.example")), false);
    assert_eq!(host(&by_path, "", false).expect("a host").0, "x.example");
}

#[test]
fn each_attempt_tells_of_the_endpoint_before() {
    let rewrite = to(HostRewrite::Endpoint, true);
    let mut head = head("GET / HTTP/1.1\nhost: old");
    apply(&mut head, &rewrite, &PathMatch::Prefix(text("/")), true).expect("nothing yet");
    assert_eq!((head.authority(), lines(&head).len()), (&b"old"[..], 0));
    for (name, told, forwarded) in [("h2", "old", "old"), ("h3", "h2", "old,h2")] {
        to_endpoint(&mut head, &rewrite, name.as_bytes(), true).expect("a host");
        let mut fields = lines(&head);
        fields.sort();
        let expected =
            [format!("x-envoy-original-host: {told}"), format!("x-forwarded-host: {forwarded}")];
        assert_eq!((head.authority(), &*fields), (name.as_bytes(), &expected[..]));
    }
}
