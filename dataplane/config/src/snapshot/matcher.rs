//! Small matchers that routes, policies and chains share.

use ipnet::IpNet;
use regex::bytes::Regex;

/// `StringMatcher`.
#[derive(Clone, Debug)]
pub struct StringMatch {
    /// What is compared.
    pub kind: StringKind,
    /// ASCII case does not matter (never set for a regex).
    pub ignore_case: bool,
}

/// How strings are compared.
#[derive(Clone, Debug)]
pub enum StringKind {
    /// Equal.
    Exact(Box<[u8]>),
    /// Begins with.
    Prefix(Box<[u8]>),
    /// Ends with.
    Suffix(Box<[u8]>),
    /// Has it somewhere.
    Contains(Box<[u8]>),
    /// The whole string matches (RE2 semantics; linear time).
    Regex(Regex),
}

/// `HeaderMatcher`.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// Lower-case name; `:method`, `:path`, `:authority`, `:scheme` mean the start line's parts.
    pub name: Box<[u8]>,
    /// What is asked of the value. Of several lines of one name it is enough that one has it, as in
    /// Envoy 1.40; only the names that Envoy itself folds are judged as one line, joined by `,`.
    pub value: ValueMatch,
    /// The result is turned round.
    pub invert: bool,
    /// A missing header is compared as an empty one.
    pub missing_as_empty: bool,
}

/// What a header's value is compared with.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// It is there (`true`) or not there (`false`).
    Present(bool),
    /// A string.
    String(StringMatch),
    /// A decimal number in `[start, end)`.
    Range(i64, i64),
}

/// `QueryParameterMatcher`.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// The parameter.
    pub name: Box<[u8]>,
    /// `None`: it is there.
    pub value: Option<StringMatch>,
}

/// A set of address ranges.
#[derive(Clone, Debug, Default)]
pub struct Cidrs(pub Vec<IpNet>);
