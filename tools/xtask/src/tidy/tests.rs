//! The rules on the repository itself, and on small samples that they must not miss.

use std::collections::BTreeSet;

use super::source::Tree;
use super::{RULES, edges, panics, promises};

fn keeps(name: &str) {
    let (_, rule) = RULES.iter().find(|(rule, _)| *rule == name).expect("a rule of that name");
    let findings = rule(&Tree::read().expect("the repository")).expect("it can be checked");
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(text.is_empty(), "{} findings\n{}", text.len(), text.join("\n"));
}

#[test]
fn crate_edges_are_allowed() {
    keeps("crate_edges_are_allowed");
}

#[test]
fn lengths_are_kept() {
    keeps("lengths_are_kept");
}

#[test]
fn no_panics_on_network_paths() {
    keeps("no_panics_on_network_paths");
}

#[test]
fn nothing_comes_from_strangers() {
    keeps("nothing_comes_from_strangers");
}

#[test]
fn promises_name_their_tests() {
    keeps("promises_name_their_tests");
}

#[test]
fn unsafe_only_in_ring() {
    keeps("unsafe_only_in_ring");
}

#[test]
fn what_may_panic_is_found() {
    for (body, expected) in [
        ("let x = y.unwrap();", vec![".unwrap()"]),
        ("y.expect(\"z\")[0];", vec![".expect()"]),
        ("z.map(Option::unwrap);", vec!["unwrap"]),
        ("panic!(\"no\"); unreachable!()", vec!["panic!", "unreachable!"]),
        ("x[i]; x[0]; x[..]; &x[..2]; x[a..]", vec!["indexing", "indexing", "indexing"]),
        ("format!(\"{}\", x[i]);", vec!["indexing"]),
        ("vec![x.unwrap(), y[k]]", vec![".unwrap()", "indexing"]),
        ("select! { a = b.unwrap() => {} }", vec!["unwrap"]),
        ("matches!(x.get(1), Some(_) if y.unwrap())", vec!["unwrap"]),
        ("assert!(x); debug_assert!(y[i]);", vec!["assert!"]),
        ("const N: u8 = X[K]; const { assert!(A) }; x.unwrap_or(y)", vec![]),
        ("\"panic!() .unwrap()\"; // .unwrap()\n", vec![]),
        ("if let [a, b] = x {} let y: [u8; N] = [0; N];", vec![]),
    ] {
        let text = format!("fn f() {{ {body} }}");
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found: Vec<String> = panics::of(&syntax).into_iter().map(|found| found.what).collect();
        assert_eq!(found, expected, "{body}");
    }
    let tests = "#[cfg(test)] mod tests { fn f() { x.unwrap() } } #[test] fn g() { y.unwrap() }
                 impl A { fn new() { assert!(x) } fn other() { assert!(x) } }";
    let found = panics::of(&syn::parse_file(tests).expect("Rust"));
    let found: Vec<_> = found.iter().map(|found| (&*found.what, &*found.function)).collect();
    assert_eq!(found, [("assert!", "other")]);
}

#[test]
fn tests_are_found_by_name() {
    let text = "#[test] fn a() {} fn no() {} #[tokio::test(flavor = \"x\")] async fn b() {}
                proptest! { #[test] fn c(x in 0..9) {} } #[cfg(test)] fn neither() {}
                #[test] #[ignore] fn d() {} mod m { #[test] fn e() {} }";
    let mut names = BTreeSet::new();
    promises::collect(text.parse().expect("tokens"), &mut names);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn invariants_are_read_with_their_wrapped_lines() {
    let text =
        "x\n## Invariants\n\nText.\n\n1. One: `a`.\n2. Two\n   goes on:\n   `b`.\n## Next\n3. no\n";
    let expected = [(6, "1. One: `a`.".to_owned()), (7, "2. Two goes on: `b`.".to_owned())];
    assert_eq!(promises::items(text), expected);
}

#[test]
fn every_room_has_its_edges() {
    assert!(edges::is_allowed("session", "ring", false));
    assert!(!edges::is_allowed("ring", "session", false));
    assert!(!edges::is_allowed("wire", "config", true));
}
