//! Substitution format strings: `text %OPERATOR(parameters):length% text`.

mod json;
mod operator;
mod time;

#[cfg(test)]
mod tests;

pub(crate) use json::json;

use super::at::{At, Fault};
use crate::limits::MAX_FORMAT;
use crate::snapshot::{Format, Operator, Part};
use operator::Compiled;

/// A command as it is written between two `%`.
#[derive(Clone, Copy, Debug)]
struct Command<'t> {
    /// With both `%`, for messages.
    whole: &'t str,
    name: &'t str,
    parameters: Option<&'t str>,
    length: Option<usize>,
}

/// A format string. `%%` stands for one `%`.
pub(crate) fn format(at: &At<'_>, text: &str) -> Result<Format, Fault> {
    at.at_most(MAX_FORMAT, text.len())?;
    let mut parts = Parts::default();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        let (before, command) = rest.split_at(percent);
        parts.text.extend_from_slice(before.as_bytes());
        if let Some(behind) = command.strip_prefix("%%") {
            parts.text.push(b'%');
            rest = behind;
            continue;
        }
        let Some(found) = command_of(command) else {
            let start: String = command.chars().take(24).collect();
            return Err(at.invalid(format!("`{start}`: no operator begins with this `%`")));
        };
        match operator::operator(at, &found)? {
            Compiled::Operator(operator) => parts.operator(operator),
            Compiled::Text(text) => parts.text.extend_from_slice(&text),
        }
        rest = command.get(found.whole.len()..).unwrap_or_default();
    }
    parts.text.extend_from_slice(rest.as_bytes());
    Ok(parts.finish())
}

/// The command that this text begins with, which begins with `%`.
fn command_of(text: &str) -> Option<Command<'_>> {
    let inner = text.strip_prefix('%')?;
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, behind) = inner.split_at(end);
    if name.is_empty() {
        return None;
    }
    let (parameters, length, behind) = match behind.strip_prefix('(') {
        None => tail(behind).map(|(length, behind)| (None, length, behind))?,
        // Parameters may hold parentheses: they end where an operator can end behind them.
        Some(list) => list.match_indices([')', '\n']).find_map(|(at, found)| {
            let (length, behind) = tail(list.get(at + found.len()..)?)?;
            Some((Some(list.get(..at)?), length, behind))
        })?,
    };
    if parameters.is_some_and(|parameters| parameters.contains('\n')) {
        return None;
    }
    let whole = text.get(..text.len() - behind.len())?;
    Some(Command { whole, name, parameters, length })
}

/// What may stand behind name and parameters: `:length` perhaps, and `%`. Gives the rest.
fn tail(text: &str) -> Option<(Option<usize>, &str)> {
    if let Some(behind) = text.strip_prefix('%') {
        return Some((None, behind));
    }
    let text = text.strip_prefix(':')?;
    let (digits, behind) = text.split_once('%')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some((Some(digits.parse().unwrap_or(usize::MAX)), behind))
}

/// Parts under way: text that is not a part yet, and the parts before it.
#[derive(Default)]
struct Parts {
    text: Vec<u8>,
    parts: Vec<Part>,
}

impl Parts {
    fn operator(&mut self, operator: Operator) {
        self.flush();
        self.parts.push(Part::Operator(operator));
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn finish(mut self) -> Format {
        self.flush();
        Format { parts: self.parts }
    }
}
