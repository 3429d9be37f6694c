use std::sync::Arc;

use crate::leaf::Leaf;
use crate::{SanKind, SanMatch, SanPattern};

#[test]
fn names_are_matched_as_envoy_does() {
    let exact = |text: &str| SanPattern::Exact(text.to_owned());
    let custom = SanPattern::Custom("a|b".to_owned(), Arc::new(|name| name.ends_with('b')));
    let cases: Vec<(SanKind, SanPattern, bool, &str, bool)> = vec![
        (SanKind::Uri, exact("spiffe://a/b"), false, "spiffe://a/b", true),
        (SanKind::Uri, exact("spiffe://a/b"), false, "spiffe://a/B", false),
        (SanKind::Uri, exact("spiffe://a/b"), true, "spiffe://a/B", true),
        (SanKind::Uri, exact("spiffe://a/b"), false, "spiffe://a/bc", false),
        (SanKind::Uri, SanPattern::Prefix("spiffe://a/".into()), false, "spiffe://a/b", true),
        (SanKind::Uri, SanPattern::Prefix("spiffe://a/".into()), false, "spiffe://ab/b", false),
        (SanKind::Uri, SanPattern::Suffix("/b".into()), false, "spiffe://a/b", true),
        (SanKind::Uri, SanPattern::Contains("//a".into()), false, "spiffe://a/b", true),
        (SanKind::Uri, SanPattern::Contains("//c".into()), false, "spiffe://a/b", false),
        (SanKind::Uri, custom.clone(), false, "spiffe://a/b", true),
        (SanKind::Uri, custom, false, "spiffe://a/c", false),
        (SanKind::Any, exact("spiffe://a/b"), false, "spiffe://a/b", true),
        (SanKind::Dns, exact("spiffe://a/b"), false, "spiffe://a/b", false),
        (SanKind::Dns, exact("a.example.com"), false, "A.example.com", true),
        (SanKind::Dns, exact("a.example.com"), false, "*.example.com", true),
        (SanKind::Dns, exact("a.b.example.com"), false, "*.example.com", false),
        (SanKind::Dns, exact("example.com"), false, "*.com", false),
        (SanKind::Dns, exact(".example.com"), false, "*.example.com", false),
        (SanKind::Any, SanPattern::Suffix(".example.com".into()), false, "a.example.com", true),
        (SanKind::Uri, exact("a.example.com"), false, "a.example.com", false),
    ];
    for (kind, pattern, ignore_case, name, accepted) in cases {
        let mut leaf = Leaf::default();
        match name.contains("://") {
            true => leaf.uris.push(name.to_owned()),
            false => leaf.dns.push(name.to_owned()),
        }
        let san = SanMatch { kind, pattern, ignore_case };
        assert_eq!(san.accepts(&leaf), accepted, "{san:?} against {name}");
    }
}
