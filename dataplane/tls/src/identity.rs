//! What one side shows, and whom it believes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::leaf::Leaf;
use crate::provider::provider;
use crate::session::TlsError;

/// Certificates in one chain at most: a leaf, intermediates and a root that some send along.
pub const CHAIN_MAX: usize = 16;
/// Roots in one bundle at most; the bundle of a public operating system has about 150.
pub const ROOTS_MAX: usize = 1024;

/// A certificate chain with the key of its leaf.
pub struct Identity {
    key: Arc<CertifiedKey>,
    leaf: Leaf,
}

impl Identity {
    /// From PEM: the leaf first, then intermediates; the key as PKCS#8, PKCS#1 or SEC1.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_secret(format!("the certificate chain is not PEM: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| bad_secret(format!("the private key is not PEM: {error}")))?;
        Self::from_der(chain, key)
    }

    /// From DER, the leaf first.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        if chain.len() > CHAIN_MAX {
            return Err(bad_secret(format!("more than {CHAIN_MAX} certificates in one chain")));
        }
        let Some(first) = chain.first() else {
            return Err(bad_secret("the certificate chain holds no certificate".to_owned()));
        };
        let leaf = Leaf::parse(first)?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            bad_secret(format!("the private key does not serve the certificate: {error}"))
        })?;
        Ok(Self { key: Arc::new(key), leaf })
    }

    /// The first URI name of the leaf if it is a SPIFFE id.
    pub fn spiffe_id(&self) -> Option<&str> {
        self.leaf.uris.first().map(String::as_str).filter(|uri| uri.starts_with("spiffe://"))
    }

    /// From when the leaf is valid.
    pub fn not_before(&self) -> SystemTime {
        moment(self.leaf.not_before)
    }

    /// Until when the leaf is valid.
    pub fn not_after(&self) -> SystemTime {
        moment(self.leaf.not_after)
    }

    /// The chain in DER, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// For a rustls client outside this crate, such as the one that reaches the control plane.
    pub fn client_resolver(&self) -> Arc<dyn rustls::client::ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&self.key)))
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

/// Shows whose it is, never the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("uris", &self.leaf.uris)
            .field("subject", &self.leaf.subject)
            .field("not_after", &self.leaf.not_after)
            .finish_non_exhaustive()
    }
}

/// The roots that a peer's chain must lead to.
pub struct Trust {
    roots: Arc<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// From PEM: one root or many.
    pub fn from_pem(bundle: &[u8]) -> Result<Self, TlsError> {
        let roots = CertificateDer::pem_slice_iter(bundle)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_secret(format!("the root bundle is not PEM: {error}")))?;
        Self::from_der(roots)
    }

    /// From DER.
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        if certificates.is_empty() {
            return Err(bad_secret("the root bundle holds no certificate".to_owned()));
        }
        if certificates.len() > ROOTS_MAX {
            return Err(bad_secret(format!("more than {ROOTS_MAX} roots in one bundle")));
        }
        let mut roots = RootCertStore::empty();
        for (index, root) in certificates.iter().enumerate() {
            roots.add(root.clone()).map_err(|error| {
                bad_secret(format!("root {index} of the bundle cannot be read: {error}"))
            })?;
        }
        Ok(Self { roots: Arc::new(roots), certificates })
    }

    /// The roots in DER.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("roots", &self.certificates.len()).finish()
    }
}

fn bad_secret(detail: String) -> TlsError {
    TlsError { code: "tls.bad_secret", detail }
}

/// Seconds since the epoch as a moment; before the epoch counts as the epoch.
fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
