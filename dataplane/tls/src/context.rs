//! What a listener or a cluster asks of TLS, compiled.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedProtocolVersion};

use crate::error::bad_context;
use crate::provider::provider;
use crate::session::TlsError;

/// The protocol versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub min: Version,
    /// The newest.
    pub max: Version,
}

/// A protocol version. Older ones are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

impl Default for Versions {
    /// Both; Envoy's default on a client is the same, on a server too.
    fn default() -> Self {
        Self { min: Version::Tls12, max: Version::Tls13 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

/// What is asked of the handshake on either side.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// The protocol versions.
    pub versions: Versions,
    /// TLS 1.2 cipher suites by their OpenSSL names in order of preference, as Envoy's
    /// `cipher_suites` has them; empty: all that are built in. TLS 1.3 has no such choice.
    pub cipher_suites: Vec<String>,
    /// Whether sessions may be resumed. What was agreed under one identity or one set of roots is
    /// never resumed under another.
    pub resumption: bool,
}

/// The versions as rustls wants them.
pub(crate) fn protocol_versions(
    versions: Versions,
) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
    static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    match (versions.min, versions.max) {
        (Version::Tls12, Version::Tls12) => Ok(&OLD),
        (Version::Tls12, Version::Tls13) => Ok(&BOTH),
        (Version::Tls13, Version::Tls13) => Ok(&NEW),
        (Version::Tls13, Version::Tls12) => {
            Err(bad_context("the oldest TLS version is newer than the newest".to_owned()))
        }
    }
}

/// The provider with only the asked TLS 1.2 suites, in that order.
pub(crate) fn compile_provider(parameters: &Parameters) -> Result<Arc<CryptoProvider>, TlsError> {
    protocol_versions(parameters.versions)?;
    if parameters.cipher_suites.is_empty() {
        return Ok(provider());
    }
    let mut narrowed = CryptoProvider::clone(&provider());
    let mut suites: Vec<_> =
        narrowed.cipher_suites.iter().copied().filter(|suite| suite.tls13().is_some()).collect();
    for name in parameters.cipher_suites.iter().flat_map(|entry| group(entry)) {
        let Some(wanted) = openssl_suite(name)? else { continue };
        suites.extend(narrowed.cipher_suites.iter().filter(|suite| suite.suite() == wanted));
    }
    if parameters.versions.max == Version::Tls12 && suites.iter().all(|s| s.tls13().is_some()) {
        return Err(bad_context(format!(
            "none of the cipher suites {} is built in; use one with ECDHE and GCM or ChaCha20",
            parameters.cipher_suites.join(", ")
        )));
    }
    narrowed.cipher_suites = suites;
    Ok(Arc::new(narrowed))
}

/// BoringSSL's group of equal preference, `[A|B]`, as its members in order.
fn group(entry: &str) -> impl Iterator<Item = &str> {
    entry.trim_start_matches('[').trim_end_matches(']').split('|')
}

/// A suite by its OpenSSL name. `None`: known, but without forward secrecy or with CBC, so never
/// negotiated here; leaving it out of a list that has others changes nothing for good peers.
fn openssl_suite(name: &str) -> Result<Option<CipherSuite>, TlsError> {
    Ok(Some(match name {
        "ECDHE-ECDSA-AES128-GCM-SHA256" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES256-GCM-SHA384" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-CHACHA20-POLY1305" => {
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        "ECDHE-RSA-AES128-GCM-SHA256" => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES256-GCM-SHA384" => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-CHACHA20-POLY1305" => CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "AES128-GCM-SHA256"
        | "AES256-GCM-SHA384"
        | "AES128-SHA"
        | "AES256-SHA"
        | "ECDHE-ECDSA-AES128-SHA"
        | "ECDHE-ECDSA-AES256-SHA"
        | "ECDHE-RSA-AES128-SHA"
        | "ECDHE-RSA-AES256-SHA"
        | "DES-CBC3-SHA" => return Ok(None),
        _ => return Err(bad_context(format!("the cipher suite {name} is not known"))),
    }))
}

#[cfg(test)]
mod tests;
