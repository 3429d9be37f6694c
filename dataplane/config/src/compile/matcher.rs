//! `StringMatcher`, `HeaderMatcher`, `QueryParameterMatcher` and regular expressions.

use api::envoy::matcher::{
    PathMatcher, RegexMatchAndSubstitute, RegexMatcher, StringMatcher, path_matcher, string_matcher,
};
use api::envoy::route::{
    HeaderMatcher, QueryParameterMatcher, header_matcher, query_parameter_matcher,
};
use api::envoy::types::Int64Range;
use regex::bytes::{Regex, RegexBuilder};

use super::at::{At, Fault, decide};
use crate::limits::MAX_REGEX;
use crate::snapshot::{HeaderMatch, QueryMatch, StringKind, StringMatch, Substitution, ValueMatch};

/// A `StringMatcher`.
pub(crate) fn string(at: &At<'_>, matcher: &StringMatcher) -> Result<StringMatch, Fault> {
    decide!(at, matcher => StringMatcher {
        used: ignore_case, match_pattern;
    });
    use string_matcher::MatchPattern;
    let needs = |name: &str, text: &String| match text.is_empty() {
        true => Err(at.field(name).invalid("it may not be empty")),
        false => Ok(text.as_bytes().into()),
    };
    let kind = match match_pattern {
        Some(MatchPattern::Exact(text)) => StringKind::Exact(text.as_bytes().into()),
        Some(MatchPattern::Prefix(text)) => StringKind::Prefix(needs("prefix", text)?),
        Some(MatchPattern::Suffix(text)) => StringKind::Suffix(needs("suffix", text)?),
        Some(MatchPattern::Contains(text)) => StringKind::Contains(needs("contains", text)?),
        Some(MatchPattern::SafeRegex(pattern)) => {
            StringKind::Regex(regex(&at.field("safe_regex"), pattern)?)
        }
        Some(MatchPattern::Custom(_)) => {
            return Err(at.field("custom").unsupported("custom matchers are not supported"));
        }
        None => return Err(at.missing("nothing is said of what to compare with")),
    };
    let ignore_case = *ignore_case && !matches!(kind, StringKind::Regex(_));
    Ok(StringMatch { kind, ignore_case })
}

/// The pattern of a `RegexMatcher`.
pub(crate) fn pattern<'m>(at: &At<'_>, matcher: &'m RegexMatcher) -> Result<&'m str, Fault> {
    decide!(at, matcher => RegexMatcher {
        used: regex;
        // RE2 is the only engine there is, so naming it changes nothing.
        without_effect: engine_type;
    });
    match regex.as_str() {
        "" => Err(at.field("regex").missing("it may not be empty")),
        pattern => Ok(pattern),
    }
}

/// A regular expression that has to match as a whole, in linear time as RE2 does.
pub(crate) fn regex(at: &At<'_>, matcher: &RegexMatcher) -> Result<Regex, Fault> {
    let regex = pattern(at, matcher)?;
    let at = at.field("regex");
    let mut builder = RegexBuilder::new(&format!(r"\A(?:{regex})\z"));
    let built = builder.size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
    built.map_err(|error| {
        // The parser draws the pattern over several lines; the last one has the cause.
        let error = error.to_string();
        let cause = error.lines().last().unwrap_or_default();
        at.invalid(format!("`{regex}`: {}", cause.trim_start_matches("error: ")))
    })
}

/// A `RegexMatchAndSubstitute`.
pub(crate) fn substitution(
    at: &At<'_>,
    given: &RegexMatchAndSubstitute,
) -> Result<Substitution, Fault> {
    decide!(at, given => RegexMatchAndSubstitute {
        used: pattern, substitution;
    });
    let place = at.field("pattern");
    let Some(pattern) = pattern else { return Err(place.missing("it has to be given")) };
    let pattern = self::pattern(&place, pattern)?;
    Substitution::new(pattern, substitution)
        .map_err(|cause| at.invalid(format!("`{pattern}`: {cause}")))
}

/// A `HeaderMatcher`, its deprecated forms included.
pub(crate) fn header(at: &At<'_>, matcher: &HeaderMatcher) -> Result<HeaderMatch, Fault> {
    decide!(at, matcher => HeaderMatcher {
        used: name, invert_match, treat_missing_header_as_empty, header_match_specifier;
    });
    Ok(HeaderMatch {
        name: header_name(&at.field("name"), name)?,
        value: header_value(at, header_match_specifier)?,
        invert: *invert_match,
        missing_as_empty: *treat_missing_header_as_empty,
    })
}

/// A header's name in lower case; `:method` and its kin too.
pub(crate) fn header_name(at: &At<'_>, name: &str) -> Result<Box<[u8]>, Fault> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let bare = name.strip_prefix(':').unwrap_or(name);
    match !bare.is_empty() && bare.bytes().all(token) {
        true => Ok(name.to_ascii_lowercase().into_bytes().into()),
        false => Err(at.invalid(format!("`{name}` is no header name"))),
    }
}

fn header_value(
    at: &At<'_>,
    specifier: &Option<header_matcher::HeaderMatchSpecifier>,
) -> Result<ValueMatch, Fault> {
    use header_matcher::HeaderMatchSpecifier as Specifier;
    let plain = |kind| ValueMatch::String(StringMatch { kind, ignore_case: false });
    #[allow(deprecated)]
    Ok(match specifier {
        None => ValueMatch::Present(true),
        Some(Specifier::PresentMatch(present)) => ValueMatch::Present(*present),
        Some(Specifier::StringMatch(matcher)) => {
            ValueMatch::String(string(&at.field("string_match"), matcher)?)
        }
        Some(Specifier::RangeMatch(Int64Range { start, end })) => ValueMatch::Range(*start, *end),
        Some(Specifier::ExactMatch(text)) => plain(StringKind::Exact(text.as_bytes().into())),
        Some(Specifier::PrefixMatch(text)) => plain(StringKind::Prefix(text.as_bytes().into())),
        Some(Specifier::SuffixMatch(text)) => plain(StringKind::Suffix(text.as_bytes().into())),
        Some(Specifier::ContainsMatch(text)) => plain(StringKind::Contains(text.as_bytes().into())),
        Some(Specifier::SafeRegexMatch(pattern)) => {
            plain(StringKind::Regex(regex(&at.field("safe_regex_match"), pattern)?))
        }
    })
}

/// A `QueryParameterMatcher`. One that only says that the parameter is *not* there is refused.
pub(crate) fn query(at: &At<'_>, matcher: &QueryParameterMatcher) -> Result<QueryMatch, Fault> {
    decide!(at, matcher => QueryParameterMatcher {
        used: name, query_parameter_match_specifier;
    });
    use query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
    if name.is_empty() {
        return Err(at.field("name").missing("it may not be empty"));
    }
    let value = match query_parameter_match_specifier {
        None | Some(Specifier::PresentMatch(true)) => None,
        Some(Specifier::PresentMatch(false)) => {
            return Err(at.field("present_match").unsupported("only `true` is supported"));
        }
        Some(Specifier::StringMatch(matcher)) => Some(string(&at.field("string_match"), matcher)?),
    };
    Ok(QueryMatch { name: name.as_bytes().into(), value })
}

/// A `PathMatcher`.
pub(crate) fn path(at: &At<'_>, matcher: &PathMatcher) -> Result<StringMatch, Fault> {
    match &matcher.rule {
        Some(path_matcher::Rule::Path(matcher)) => string(&at.field("path"), matcher),
        None => Err(at.missing("nothing is said of what to compare with")),
    }
}
