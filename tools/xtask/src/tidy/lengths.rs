//! Functions, files and lines stay short.

use super::Finding;
use super::source::{Tree, functions};

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file.
const FILE_LINES_MAX: usize = 700;
/// Characters of a line.
const COLUMNS_MAX: usize = 100;

const WHY: &str = "what is short is read; what is long is skimmed";

/// Every function, file and line that is too long.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let path = &source.path;
        let count = source.text.lines().count();
        if count > FILE_LINES_MAX {
            findings.push(Finding {
                place: format!("{path}:1"),
                what: format!("{count} lines, {FILE_LINES_MAX} are allowed"),
                why: WHY,
                remedy: "split it where a reader would guess the seam",
            });
        }
        // A test may be one long table; what ships may not.
        for (name, first, last) in functions(&source.syntax()?) {
            let count = last - first + 1;
            if count > FUNCTION_LINES_MAX && !source.is_test {
                findings.push(Finding {
                    place: format!("{path}:{first}"),
                    what: format!("{name} has {count} lines, {FUNCTION_LINES_MAX} are allowed"),
                    why: WHY,
                    remedy: "give its steps names of their own",
                });
            }
        }
        findings.extend(long_lines(path, &source.text));
    }
    Ok(findings)
}

fn long_lines(path: &str, text: &str) -> Vec<Finding> {
    let numbered = (1..).zip(text.lines());
    let long = numbered.filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
    long.map(|(number, line)| Finding {
        place: format!("{path}:{number}"),
        what: format!("{} columns, {COLUMNS_MAX} are allowed", line.chars().count()),
        why: "two files stand side by side on one screen",
        remedy: "break the line; rustfmt does not break strings and comments",
    })
    .collect()
}

/// How long things are: the middle, the ninth tenth and the longest.
pub(crate) fn figures(tree: &Tree) -> Result<String, String> {
    let shipped = || tree.sources.iter().filter(|source| !source.is_test);
    let mut all = Vec::new();
    for source in shipped() {
        for (name, first, last) in functions(&source.syntax()?) {
            all.push((last - first + 1, format!("{name} in {}:{first}", source.path)));
        }
    }
    let files = shipped().map(|source| (source.text.lines().count(), source.path.clone()));
    let lines = |is_test: bool| -> usize {
        let some = tree.sources.iter().filter(|source| source.is_test == is_test);
        some.map(|source| source.text.lines().count()).sum()
    };
    let (code, tests) = (lines(false), lines(true));
    Ok(format!(
        "{}\n{}\nlines: {} of which {} % tests",
        summary("functions", all),
        summary("files", files.collect()),
        code + tests,
        (100 * tests).checked_div(code + tests).unwrap_or(0)
    ))
}

fn summary(name: &str, mut all: Vec<(usize, String)>) -> String {
    all.sort();
    let at = |share: usize| all.get(all.len() * share / 100).map_or(0, |(count, _)| *count);
    let (most, place) = all.last().map_or((0, ""), |(count, place)| (*count, place.as_str()));
    format!(
        "{name}: {} with p50 {}, p90 {}, p99 {}, at most {most} lines ({place})",
        all.len(),
        at(50),
        at(90),
        at(99)
    )
}
