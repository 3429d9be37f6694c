//! What a context asks of the peer's subject alternative names.

use std::fmt;
use std::sync::Arc;

use crate::leaf::Leaf;

/// `SubjectAltNameMatcher`: one acceptable name. A peer is accepted if any matcher of the list
/// accepts any of its names.
#[derive(Clone, Debug)]
pub struct SanMatch {
    /// Which names are looked at.
    pub kind: SanKind,
    /// What such a name must look like.
    pub pattern: SanPattern,
    /// Compares without regard to ASCII case (`StringMatcher.ignore_case`).
    pub ignore_case: bool,
}

/// The kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// URI names, where a SPIFFE id stands.
    Uri,
    /// DNS names.
    Dns,
    /// URI and DNS names and IP addresses alike: the older, untyped `match_subject_alt_names`.
    Any,
}

/// `StringMatcher`, as far as it concerns names.
#[derive(Clone)]
pub enum SanPattern {
    /// The whole name. Of a DNS name in the certificate the leftmost label may be `*`.
    Exact(String),
    /// How it begins.
    Prefix(String),
    /// How it ends.
    Suffix(String),
    /// What stands somewhere in it.
    Contains(String),
    /// Whatever the function says: a compiled regular expression and its source for people.
    Custom(String, Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl SanMatch {
    /// A URI name that is exactly this one.
    pub fn uri(name: impl Into<String>) -> Self {
        Self { kind: SanKind::Uri, pattern: SanPattern::Exact(name.into()), ignore_case: false }
    }

    /// A URI name with this beginning, e.g. `spiffe://cluster.local/`.
    pub fn uri_prefix(prefix: impl Into<String>) -> Self {
        Self { kind: SanKind::Uri, pattern: SanPattern::Prefix(prefix.into()), ignore_case: false }
    }

    /// A DNS name that is exactly this one.
    pub fn dns(name: impl Into<String>) -> Self {
        Self { kind: SanKind::Dns, pattern: SanPattern::Exact(name.into()), ignore_case: true }
    }

    /// A name of any kind that is exactly this one: of a server, as a request names it.
    pub fn server(name: impl Into<String>) -> Self {
        Self { kind: SanKind::Any, pattern: SanPattern::Exact(name.into()), ignore_case: false }
    }

    /// Whether one of the certificate's names is accepted.
    pub(crate) fn accepts(&self, leaf: &Leaf) -> bool {
        let uri = || leaf.uris.iter().any(|name| self.accepts_uri(name));
        let dns = || leaf.dns.iter().any(|name| self.accepts_dns(name));
        let address = || leaf.addresses.iter().any(|ip| self.accepts_uri(&ip.to_string()));
        match self.kind {
            SanKind::Uri => uri(),
            SanKind::Dns => dns(),
            SanKind::Any => uri() || dns() || address(),
        }
    }

    fn accepts_uri(&self, name: &str) -> bool {
        self.pattern.accepts(name, self.ignore_case)
    }

    fn accepts_dns(&self, name: &str) -> bool {
        match &self.pattern {
            SanPattern::Exact(wanted) => dns_equal(name, wanted),
            other => other.accepts(name, self.ignore_case),
        }
    }
}

impl SanPattern {
    fn accepts(&self, name: &str, ignore_case: bool) -> bool {
        if let Self::Custom(_, accepts) = self {
            return accepts(name);
        }
        if ignore_case {
            return self.accepts_bytes(
                name.to_ascii_lowercase().as_bytes(),
                self.text().to_ascii_lowercase().as_bytes(),
            );
        }
        self.accepts_bytes(name.as_bytes(), self.text().as_bytes())
    }

    fn accepts_bytes(&self, name: &[u8], wanted: &[u8]) -> bool {
        match self {
            Self::Exact(_) => name == wanted,
            Self::Prefix(_) => name.starts_with(wanted),
            Self::Suffix(_) => name.ends_with(wanted),
            Self::Contains(_) => {
                wanted.is_empty() || name.windows(wanted.len()).any(|window| window == wanted)
            }
            Self::Custom(..) => false,
        }
    }

    /// The text of the pattern, for messages.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text,
            Self::Contains(text) | Self::Custom(text, _) => text,
        }
    }
}

impl fmt::Debug for SanPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Exact(_) => "exact",
            Self::Prefix(_) => "prefix",
            Self::Suffix(_) => "suffix",
            Self::Contains(_) => "contains",
            Self::Custom(..) => "regex",
        };
        write!(f, "{kind} \"{}\"", self.text())
    }
}

/// RFC 6125 section 6.4: without regard to case; a whole leftmost label may be `*`, and stands for
/// exactly one label.
fn dns_equal(presented: &str, wanted: &str) -> bool {
    if presented.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some(suffix), Some((label, rest))) =
        (presented.strip_prefix("*."), wanted.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && suffix.contains('.') && suffix.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests;
