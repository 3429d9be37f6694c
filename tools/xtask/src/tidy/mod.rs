//! The house rules as checks on the source itself.
//!
//! Each rule is a function from the tree to what it found; a finding says where, what, why and what
//! to do. `cargo test` runs them one by one, `cargo xtask tidy` all at once with the figures.

mod edges;
mod lengths;
mod panics;
mod promises;
mod source;
mod strangers;
mod unsafety;

use std::fmt;

use source::Tree;

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// File and line.
    place: String,
    what: String,
    /// The reason for the rule.
    why: &'static str,
    /// How to keep it.
    remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, why, remedy } = self;
        write!(out, "{place}: {what}\n    why: {why}\n    do:  {remedy}")
    }
}

type Rule = fn(&Tree) -> Result<Vec<Finding>, String>;

/// All rules by the names of the tests that hold them.
const RULES: [(&str, Rule); 6] = [
    ("crate_edges_are_allowed", edges::check),
    ("lengths_are_kept", lengths::check),
    ("no_panics_on_network_paths", panics::check),
    ("nothing_comes_from_strangers", strangers::check),
    ("promises_name_their_tests", promises::check),
    ("unsafe_only_in_ring", unsafety::check),
];

/// All rules and the figures.
pub(crate) fn run() -> Result<(), String> {
    let tree = Tree::read()?;
    let mut broken = 0;
    for (name, rule) in RULES {
        let findings = rule(&tree)?;
        println!("{name}: {}", if findings.is_empty() { "kept" } else { "broken" });
        findings.iter().for_each(|finding| println!("  {finding}"));
        broken += findings.len();
    }
    println!("{}", lengths::figures(&tree)?);
    if broken == 0 { Ok(()) } else { Err(format!("{broken} findings")) }
}

#[cfg(test)]
mod tests;
