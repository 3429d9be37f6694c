//! `unsafe` stands in one crate, and how often is written here.

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use super::source::Tree;

/// The one crate.
const HOME: &str = "dataplane/ring/";

/// How often the word stands in that crate, tests left out. It changes together with the code, in
/// one commit that says why.
const PINNED: usize = 47;

const WHY: &str = "what the compiler does not check, a person must; they can do so in one place";

/// Every `unsafe` elsewhere, and a count that is not the pinned one.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    let mut at_home = 0;
    for source in &tree.sources {
        let lines = words(source.tokens()?);
        match (source.path.starts_with(HOME), source.is_test) {
            (true, false) => at_home += lines.len(),
            (true, true) => {}
            (false, _) => findings.extend(lines.iter().map(|line| Finding {
                place: format!("{}:{line}", source.path),
                what: "unsafe outside dataplane/ring".to_owned(),
                why: WHY,
                remedy: "use a safe crate, or put the call behind a safe function of ring",
            })),
        }
    }
    if at_home != PINNED {
        findings.push(Finding {
            place: HOME.to_owned(),
            what: format!("{at_home} times unsafe, {PINNED} are pinned"),
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
