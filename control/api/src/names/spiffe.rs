//! `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::fmt;
use std::str::FromStr;

/// The identity of a workload in the form that Istio gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// Such as `cluster.local`.
    pub trust_domain: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
}

/// The text is not such an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpiffeError {
    /// It does not begin with `spiffe://`.
    #[error("`{0}` does not begin with spiffe://")]
    Scheme(String),
    /// It is a SPIFFE id, but not of a service account.
    #[error("`{0}` is not of the form spiffe://trust-domain/ns/namespace/sa/service-account")]
    Form(String),
    /// The SPIFFE standard allows at most 2048 bytes.
    #[error("{0} bytes are more than the 2048 that a SPIFFE id may have")]
    Length(usize),
}

impl SpiffeId {
    /// The longest id, in bytes (SPIFFE-ID, section 2.3).
    pub const MAX: usize = 2048;

    /// Puts an id together. The parts are checked as [`str::parse`] does.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeError> {
        format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}").parse()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, namespace, service_account } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > Self::MAX {
            return Err(SpiffeError::Length(text.len()));
        }
        let rest =
            text.strip_prefix("spiffe://").ok_or_else(|| SpiffeError::Scheme(text.to_owned()))?;
        parts(rest).ok_or_else(|| SpiffeError::Form(text.to_owned()))
    }
}

fn parts(rest: &str) -> Option<SpiffeId> {
    let mut parts = rest.split('/');
    let trust_domain = parts.next().filter(|part| is_trust_domain(part))?;
    let namespace = (parts.next()? == "ns").then(|| parts.next())?.filter(|p| is_segment(p))?;
    let account = (parts.next()? == "sa").then(|| parts.next())?.filter(|p| is_segment(p))?;
    parts.next().is_none().then(|| SpiffeId {
        trust_domain: trust_domain.to_owned(),
        namespace: namespace.to_owned(),
        service_account: account.to_owned(),
    })
}

/// SPIFFE-ID section 2.1: lower case letters, digits, `.`, `-`, `_`; at most 255 bytes.
fn is_trust_domain(part: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    !part.is_empty() && part.len() <= 255 && part.bytes().all(allowed)
}

/// SPIFFE-ID section 2.2: letters, digits, `.`, `-`, `_`; neither `.` nor `..`.
fn is_segment(part: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    !matches!(part, "" | "." | "..") && part.bytes().all(allowed)
}
