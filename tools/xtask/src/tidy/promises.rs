//! What the documents promise is there: tests by their names, one command for all.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Finding;
use super::source::Tree;

/// The one command.
const COMMAND: &str = "cargo xtask test";

/// Invariants without a test that exists, and documents that name another command than CI runs.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, String> {
    let mut findings = invariants(tree)?;
    for path in ["README.md", "CONTRIBUTING.md", ".ci/run"] {
        let text = tree.text(path)?;
        let quoted = format!("`{COMMAND}`");
        let runs = |line: &str| line.trim() == COMMAND || line.contains(&quoted);
        if !text.lines().any(runs) {
            findings.push(Finding {
                place: format!("{path}:1"),
                what: format!("does not name `{COMMAND}`"),
                why: "what a newcomer runs and what CI runs is one command",
                remedy: "name it on a line of its own",
            });
        }
    }
    Ok(findings)
}

fn invariants(tree: &Tree) -> Result<Vec<Finding>, String> {
    let text = tree.text("ARCHITECTURE.md")?;
    let tests = tests(tree)?;
    let items = items(text);
    let finding = |line: usize, what: String| Finding {
        place: format!("ARCHITECTURE.md:{line}"),
        what,
        why: "an invariant that no test holds is a wish",
        remedy: "end the item with the name of the test function, in backticks",
    };
    if items.is_empty() {
        return Ok(vec![finding(1, "there are no numbered invariants".to_owned())]);
    }
    let mut findings = Vec::new();
    for (line, item) in items {
        // The name follows the last colon.
        let names = item.rsplit_once(':').map_or("", |(_, names)| names);
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            findings.push(finding(line, format!("no test is named: {item}")));
        }
        for name in names.into_iter().filter(|name| !tests.contains(*name)) {
            findings.push(finding(line, format!("there is no test {name}")));
        }
    }
    Ok(findings)
}

/// The numbered items under the heading, each with its line, wrapped lines joined.
pub(super) fn items(text: &str) -> Vec<(usize, String)> {
    let section = (1..).zip(text.lines()).skip_while(|(_, line)| *line != "## Invariants").skip(1);
    let mut items: Vec<(usize, String)> = Vec::new();
    for (number, line) in section.take_while(|(_, line)| !line.starts_with("## ")) {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        if digits > 0 && line[digits..].starts_with(". ") {
            items.push((number, line.to_owned()));
        } else if let Some((_, item)) = items.last_mut().filter(|_| line.starts_with(' ')) {
            item.push(' ');
            item.push_str(line.trim());
        }
    }
    items
}

/// The names of all test functions, also of those inside `proptest!` and of whole test files'
/// modules.
fn tests(tree: &Tree) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for source in &tree.sources {
        collect(source.tokens()?, &mut names);
    }
    Ok(names)
}

/// After an attribute that ends in `test`, the next `fn` names a test.
pub(super) fn collect(tokens: TokenStream, names: &mut BTreeSet<String>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut marked = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(point) if point.as_char() == '#' => {
                if let Some(TokenTree::Group(group)) = tokens.peek()
                    && group.delimiter() == Delimiter::Bracket
                {
                    marked |= is_test(group.stream());
                    tokens.next();
                }
            }
            TokenTree::Ident(word) if word == "fn" => {
                if let Some(TokenTree::Ident(name)) = tokens.peek()
                    && std::mem::take(&mut marked)
                {
                    names.insert(name.to_string());
                }
            }
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Punct(point) if point.as_char() == ';' => marked = false,
            _ => {}
        }
    }
}

fn is_test(attribute: TokenStream) -> bool {
    let words = attribute.into_iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    let words = words.filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    });
    words.last().is_some_and(|last| last == "test")
}
