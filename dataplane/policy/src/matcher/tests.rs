//! The header and query matchers against what Envoy 1.40 answered to the same requests.

use config::snapshot::{HeaderMatch, QueryMatch, StringKind, StringMatch, ValueMatch};

use super::{header, query, string};
use crate::fixture::{self, exact, head, regex};

fn asked(name: &str, value: ValueMatch) -> HeaderMatch {
    HeaderMatch { name: name.as_bytes().into(), value, invert: false, missing_as_empty: false }
}

fn inverted(asked: HeaderMatch) -> HeaderMatch {
    HeaderMatch { invert: true, ..asked }
}

fn empty_if_missing(asked: HeaderMatch) -> HeaderMatch {
    HeaderMatch { missing_as_empty: true, ..asked }
}

fn text(text: &str) -> ValueMatch {
    ValueMatch::String(exact(text))
}

#[test]
fn headers_match_as_in_envoy() {
    let one = || asked("x-a", text("1"));
    let present = |there| asked("x-a", ValueMatch::Present(there));
    let range = || asked("x-a", ValueMatch::Range(-5, 10));
    // none, 1, 2, empty, ab, -5, 10, +3, 3 3, 0x1
    let values = ["", "1", "2", " ", "ab", "-5", "10", "+3", "3 3", "0x1"];
    for (name, asked, expected) in [
        ("exact", one(), ".y........"),
        ("exact inverted", inverted(one()), "..yyyyyyyy"),
        ("present", present(true), ".yyyyyyyyy"),
        ("present inverted", inverted(present(true)), "y........."),
        ("absent", present(false), "y........."),
        ("absent inverted", inverted(present(false)), ".yyyyyyyyy"),
        ("range", range(), ".yy..y.y.."),
        ("range inverted", inverted(range()), "...yy.y.yy"),
        ("exact inverted, missing", inverted(empty_if_missing(one())), "y.yyyyyyyy"),
        ("empty, missing", empty_if_missing(asked("x-a", text(""))), "y..y......"),
        ("range, missing", empty_if_missing(range()), ".yy..y.y.."),
        ("present, missing", empty_if_missing(present(true)), "yyyyyyyyyy"),
        ("absent, missing", empty_if_missing(present(false)), ".........."),
        (
            "regex",
            asked("x-a", ValueMatch::String(fixture::string(StringKind::Regex(regex("a|ab"))))),
            "....y.....",
        ),
    ] {
        let found: String = values
            .iter()
            .map(|value| match *value {
                "" => head("GET / HTTP/1.1\nhost: a"),
                value => head(&format!("GET / HTTP/1.1\nx-a: {}\nhost: a", value.trim())),
            })
            .map(|head| if header(&asked, &head) { 'y' } else { '.' })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn each_of_several_lines_may_match() {
    // Matcher, lines, outcome, and the outcome turned round.
    for (name, value, lines, matches) in [
        ("x-a", "1", ["1", "2"], true),
        ("x-a", "1", ["2", "1"], true),
        ("x-a", "1,2", ["1", "2"], false),
        ("x-a", "3", ["1", "2"], false),
        // What Envoy folds into one line is judged as one line.
        ("user-agent", "1", ["1", "2"], false),
        ("user-agent", "1,2", ["1", "2"], true),
        ("authorization", "1", ["1", "2"], false),
        ("x-forwarded-for", "1,2", ["1", "2"], true),
        ("x-forwarded-for", "1,2", ["2", "1"], false),
        ("cookie", "1", ["1", "2"], true),
    ] {
        let [first, second] = lines;
        let request = format!("GET / HTTP/1.1\nhost: a\n{name}: {first}\n{name}: {second}");
        let head = head(&request);
        let asked = asked(name, text(value));
        assert_eq!(header(&asked, &head), matches, "{name} {value} {lines:?}");
        assert_eq!(header(&inverted(asked), &head), !matches, "not {name} {value} {lines:?}");
    }
}

#[test]
fn pseudo_headers_are_the_start_line() {
    let plain = head("POST /h?x=1 HTTP/1.1\nhost: A.b:1\nx-forwarded-proto: http");
    let secure = head("GET / HTTP/1.1\nhost: a\nx-forwarded-proto: HTTPS");
    for (name, value) in [
        (":method", "POST"),
        (":path", "/h?x=1"),
        (":authority", "A.b:1"),
        ("host", "A.b:1"),
        (":scheme", "http"),
    ] {
        assert!(header(&asked(name, text(value)), &plain), "{name}");
        assert!(!header(&asked(name, text(value)), &secure), "{name}");
    }
    assert!(header(&asked(":scheme", text("https")), &secure));
}

#[test]
fn query_parameters_match_as_in_envoy() {
    let asked = |name: &str, value| QueryMatch { name: name.as_bytes().into(), value };
    let one = asked("a", Some(exact("1")));
    let there = asked("a", None);
    let two = asked("b", Some(fixture::string(StringKind::Prefix(b"2".as_slice().into()))));
    for (path, expected) in [
        ("/?a=1", [true, true, false]),
        ("/?a=2", [false, true, false]),
        ("/?a", [false, true, false]),
        ("/?a=", [false, true, false]),
        ("/?b=1&a=1", [true, true, false]),
        ("/?a=2&a=1", [false, true, false]),
        ("/?A=1", [false, false, false]),
        ("/?c=1&b=2", [false, false, true]),
        ("/", [false, false, false]),
        ("/?b=2?a=1", [false, false, true]),
        ("/?a=1;b=2", [false, true, false]),
        ("/?&&b=2", [false, false, true]),
        ("/?=1&b=2", [false, false, true]),
        ("/?b=2=3", [false, false, true]),
    ] {
        let found = [&one, &there, &two].map(|asked| query(asked, path.as_bytes()));
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn strings_match_with_and_without_case() {
    let part = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
    for (kind, value, heeding, ignoring) in [
        (StringKind::Exact(part("Ab")), "Ab", true, true),
        (StringKind::Exact(part("Ab")), "aB", false, true),
        (StringKind::Prefix(part("Ab")), "abc", false, true),
        (StringKind::Prefix(part("Ab")), "a", false, false),
        (StringKind::Suffix(part("Bc")), "abc", false, true),
        (StringKind::Suffix(part("Bc")), "c", false, false),
        (StringKind::Contains(part("Bc")), "aBcd", true, true),
        (StringKind::Contains(part("Bc")), "abcd", false, true),
        (StringKind::Contains(part("")), "", true, true),
    ] {
        let matches = |ignore_case| {
            string(&StringMatch { kind: kind.clone(), ignore_case }, value.as_bytes())
        };
        assert_eq!((matches(false), matches(true)), (heeding, ignoring), "{kind:?} {value}");
    }
}
