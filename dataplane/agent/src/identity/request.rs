//! A fresh key and the request to sign it.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};

use crate::error::AgentError;

/// A key that has not left this process, and the request for its certificate.
pub struct Signing {
    /// The private key, PEM (PKCS#8, ECDSA P-256).
    pub key: String,
    /// The PKCS#10 request, PEM.
    pub request: String,
}

/// Makes an ECDSA P-256 key and a request with the SPIFFE id as its only name and no subject.
pub fn signing_request(spiffe_id: &str) -> Result<Signing, AgentError> {
    let failed = |error: rcgen::Error| AgentError::new("agent.csr", spiffe_id, error);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(spiffe_id.try_into().map_err(failed)?)];
    let key = KeyPair::generate().map_err(failed)?;
    let request = params.serialize_request(&key).and_then(|request| request.pem());
    Ok(Signing { key: key.serialize_pem(), request: request.map_err(failed)? })
}
