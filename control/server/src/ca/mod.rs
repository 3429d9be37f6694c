//! The certificate authority: one self-signed root, leaves for workloads and for ringwayd itself.

mod leaf;
mod service;
mod store;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::names::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub use leaf::{Issued, LeafKey, ServerNames, public_key_of_csr};
pub use service::CertificateAuthorityService;
pub use store::{Material, StoreError, open_token_signer};

/// The life of the root.
pub const ROOT_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The life of a workload's certificate when the request does not say.
pub const LEAF_TTL: Duration = Duration::from_secs(24 * 3600);
/// The longest life of a workload's certificate.
pub const LEAF_TTL_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// How far certificates are dated back, so that a client whose clock is behind accepts them.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// The most bytes of a signing request.
pub const CSR_BYTES_MAX: usize = 64 * 1024;

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// The request is not a PKCS#10 request in PEM form, or longer than [`CSR_BYTES_MAX`].
    #[error("the signing request is not one PKCS#10 request in PEM form of at most 64 KiB")]
    Csr,
    /// The request is not signed with the key that it holds.
    #[error("the signing request's own signature is wrong")]
    CsrSignature,
    /// The key is of a kind that is not certified.
    #[error("the public key is not ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits")]
    Key,
    /// Longer than [`LEAF_TTL_MAX`].
    #[error("a certificate lives at most 90 days; {0} s were asked for")]
    Lifetime(u64),
    /// The root has expired or is about to.
    #[error("the root certificate has expired: replace it")]
    RootExpired,
    /// The library refused.
    #[error("the certificate could not be made: {0}")]
    Library(String),
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Library(error.to_string())
    }
}

/// The root and everything that is signed with it.
pub struct Authority {
    trust_domain: String,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
    root_not_after: SystemTime,
}

impl Authority {
    /// A fresh root for a trust domain, valid from `now`; returns its key and certificate, PEM.
    pub fn generate_root(trust_domain: &str, now: SystemTime) -> Result<Material, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Self::certify_root(trust_domain, &key, now)
    }

    fn certify_root(
        trust_domain: &str,
        key: &KeyPair,
        now: SystemTime,
    ) -> Result<Material, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, trust_domain);
        params.distinguished_name.push(DnType::CommonName, "Ringway root CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + ROOT_TTL).into();
        params.serial_number = Some(leaf::random_serial()?);
        let certificate = params.self_signed(key)?;
        Ok(Material { key_pem: key.serialize_pem(), certificate_pem: certificate.pem() })
    }

    /// Takes a root into use.
    pub fn new(trust_domain: &str, material: &Material) -> Result<Arc<Self>, CaError> {
        let key = KeyPair::from_pem(&material.key_pem)?;
        let root = CertificateDer::from_pem_slice(material.certificate_pem.as_bytes())
            .map_err(|error| CaError::Library(format!("the root certificate: {error}")))?;
        let root_not_after = leaf::check_root(&root, &key)?;
        Ok(Arc::new(Self {
            trust_domain: trust_domain.to_owned(),
            issuer: Issuer::from_ca_cert_der(&root, key)?,
            root_pem: material.certificate_pem.clone(),
            root,
            root_not_after,
        }))
    }

    /// The trust domain of all identities.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The root certificate, PEM: what workloads verify each other with.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// A certificate for a workload over the public key of its own request. `ttl` of zero means
    /// [`LEAF_TTL`].
    pub fn sign(
        &self,
        identity: &SpiffeId,
        key: &LeafKey,
        now: SystemTime,
        ttl: Duration,
    ) -> Result<Issued, CaError> {
        if ttl > LEAF_TTL_MAX {
            return Err(CaError::Lifetime(ttl.as_secs()));
        }
        let ttl = if ttl.is_zero() { LEAF_TTL } else { ttl };
        leaf::workload(self, identity, key, now, ttl)
    }

    /// A key and certificate for a workload that cannot make its own; the key is PEM.
    pub fn issue(
        &self,
        identity: &SpiffeId,
        now: SystemTime,
        ttl: Duration,
    ) -> Result<(Issued, String), CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issued = self.sign(identity, &LeafKey::of_key_pair(&key)?, now, ttl)?;
        Ok((issued, key.serialize_pem()))
    }

    /// A key and certificate for ringwayd's own TLS listener; the key is PEM.
    pub fn issue_server(
        &self,
        names: &ServerNames,
        now: SystemTime,
    ) -> Result<(Issued, String), CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issued = leaf::server(self, names, &key, now)?;
        Ok((issued, key.serialize_pem()))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("trust_domain", &self.trust_domain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
