//! `unsafe` stands in one crate, and how often is written here.

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use super::source::Tree;

/// The one crate.
const HOME: &str = "dataplane/ring/";

/// How often the word stands in the parts of that crate, tests left out. It changes together with
/// the code, in one commit that says why.
const PINNED: [(&str, usize); 2] = [
    ("dataplane/ring/src/", 49),
    // The bare ring, which what is built on the crate is measured against.
    ("dataplane/ring/examples/", 6),
];

const WHY: &str = "what the compiler does not check, a person must; they can do so in one place";

/// Every `unsafe` elsewhere, and a count that is not the pinned one.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    let mut counts = PINNED.map(|_| 0);
    for source in &tree.sources {
        let lines = words(source.tokens()?);
        let part = PINNED.iter().position(|(part, _)| source.path.starts_with(part));
        match (part, source.is_test) {
            (Some(part), false) => counts[part] += lines.len(),
            _ if source.is_test && source.path.starts_with(HOME) => {}
            _ => findings.extend(lines.iter().map(|line| Finding {
                place: format!("{}:{line}", source.path),
                what: "unsafe outside dataplane/ring".to_owned(),
                why: WHY,
                remedy: "use a safe crate, or put the call behind a safe function of ring",
            })),
        }
    }
    for ((part, pinned), count) in PINNED.iter().zip(counts) {
        if count == *pinned {
            continue;
        }
        findings.push(Finding {
            place: (*part).to_owned(),
            what: format!("{count} times unsafe, {pinned} are pinned"),
            why: WHY,
            remedy: "look at what came or went, then set PINNED in \
                     tools/xtask/src/tidy/unsafety.rs",
        });
    }
    Ok(findings)
}

/// The lines on which the word stands, also inside macros, not in strings and comments.
fn words(tokens: TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => lines.extend(words(group.stream())),
            TokenTree::Ident(word) if word == "unsafe" => lines.push(word.span().start().line),
            _ => {}
        }
    }
    lines
}
