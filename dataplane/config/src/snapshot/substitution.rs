//! `RegexMatchAndSubstitute`: every match of a regular expression replaced by a text that may name
//! what its groups have matched.

use regex_automata::meta::Regex;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Input, Span};

use crate::limits::MAX_REGEX;

/// Groups that a substitution can name (`\0` to `\9`).
const GROUPS: usize = 10;

/// A regular expression and what its matches are replaced by.
#[derive(Clone, Debug)]
pub struct Substitution {
    regex: Regex,
    pieces: Vec<Piece>,
}

/// A part of the text that takes a match's place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    /// What the group of this number has matched; 0: the whole match.
    Group(usize),
}

impl Substitution {
    /// Compiles both. The substitution is RE2's: `\1` is a group, `\\` a backslash.
    ///
    /// # Errors
    /// The pattern is none, or too large; the substitution names a group that the pattern does not
    /// have, or ends a backslash in something else. (Envoy 1.40 takes such a substitution and
    /// replaces nothing, or half.)
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, String> {
        let bytes = syntax::Config::new().utf8(false);
        let limits = Regex::config()
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_REGEX))
            .hybrid_cache_capacity(MAX_REGEX);
        let built = Regex::builder().syntax(bytes).configure(limits).build(pattern);
        let regex = built.map_err(|error| match error.syntax_error() {
            // The parser draws the pattern over several lines; the last one has the cause.
            Some(error) => error.to_string().lines().last().unwrap_or_default().to_owned(),
            None => "it is none, or too large".to_owned(),
        })?;
        let pieces = pieces(substitution)?;
        let known = regex.captures_len();
        for piece in &pieces {
            if let Piece::Group(number) = piece
                && *number >= known
            {
                return Err(format!("the substitution names the group {number}; there is none"));
            }
        }
        Ok(Self { regex, pieces })
    }

    /// Writes the text to `out`, every match replaced, as RE2's `GlobalReplace` does.
    pub fn replace_all(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut slots = [None; 2 * GROUPS];
        let (mut at, mut copied, mut last_end) = (0, 0, None);
        while at <= text.len() {
            slots.fill(None);
            let input = Input::new(text).range(at..);
            if self.regex.search_slots(&input, &mut slots).is_none() {
                break;
            }
            let Some(found) = group(&slots, 0) else { break };
            if found.is_empty() && last_end == Some(found.end) {
                // A match of nothing right behind another one does not count.
                at += 1;
                continue;
            }
            out.extend_from_slice(text.get(copied..found.start).unwrap_or_default());
            self.write(text, &slots, out);
            (at, copied, last_end) = (found.end, found.end, Some(found.end));
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
    }

    fn write(&self, text: &[u8], slots: &[Option<NonMaxUsize>], out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => out.extend_from_slice(literal),
                Piece::Group(number) => {
                    let found = group(slots, *number);
                    let found = found.and_then(|span| text.get(span.range()));
                    out.extend_from_slice(found.unwrap_or_default());
                }
            }
        }
    }
}

/// What the group has matched, if it took part.
fn group(slots: &[Option<NonMaxUsize>], number: usize) -> Option<Span> {
    let start = slots.get(2 * number).copied().flatten()?.get();
    let end = slots.get(2 * number + 1).copied().flatten()?.get();
    Some(Span { start, end })
}

fn pieces(substitution: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut text) = (Vec::new(), Vec::new());
    let mut bytes = substitution.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => text.push(b'\\'),
            Some(digit @ b'0'..=b'9') => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                }
                pieces.push(Piece::Group(usize::from(digit - b'0')));
            }
            _ => return Err(r"a `\` is followed by a digit or by another `\`".to_owned()),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, substitution: &str, text: &str) -> String {
        let substitution = Substitution::new(pattern, substitution).expect("it compiles");
        let mut out = Vec::new();
        substitution.replace_all(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn matches_are_replaced_as_re2_replaces_them() {
        // What Envoy 1.40 sent to its upstream for these.
        for (pattern, substitution, text, expected) in [
            (
                "/([a-z]+)/([0-9]+)",
                r"/\2/\1-\0",
                "/rx/ab/12/cd/34",
                "/rx/12/ab-/ab/12/34/cd-/cd/34",
            ),
            ("a*", "-", "/starbaac", "-/-s-t-r-b-c-"),
            ("b", r"x\\y", "/bsb", r"/x\ysx\y"),
            ("^/hpx/([a-z]*)/.*$", r"\1.example", "/hpx//d", ".example"),
            ("^/hpx/([a-z]*)/.*$", r"\1.example", "/hpxno", "/hpxno"),
            (".*", "", "/empty/x", ""),
            ("(x)|(y)", r"<\1|\2>", "xy", "<x|><|y>"),
            ("^", "/a", "/b", "/a/b"),
            ("$", "/a", "/b", "/b/a"),
            ("", "-", "", "-"),
        ] {
            assert_eq!(replaced(pattern, substitution, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn what_cannot_be_substituted_is_refused() {
        for (pattern, substitution, cause) in [
            ("(", "", "unclosed group"),
            ("a", r"\1", "the group 1"),
            ("(a)", r"\9", "the group 9"),
            ("a", r"\x", "followed by a digit"),
            ("a", r"x\", "followed by a digit"),
            (r"\w{1000}{10}", "", "too large"),
        ] {
            let error = Substitution::new(pattern, substitution).expect_err("refused");
            assert!(error.contains(cause), "{pattern} {substitution}: {error}");
        }
    }
}
