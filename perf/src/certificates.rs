//! A mesh's certificates for one pair of sidecars.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};

use crate::Outcome;

/// What one side shows, and what it trusts, as PEM.
pub(crate) struct Certificates {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) root: String,
}

/// The client's side and the server's, of one root.
pub(crate) fn pair() -> Outcome<[Certificates; 2]> {
    try_pair().map_err(|error| format!("cannot make certificates: {error}"))
}

fn try_pair() -> Result<[Certificates; 2], rcgen::Error> {
    let mut params = named("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let leaf = |account: &str| -> Result<Certificates, rcgen::Error> {
        let mut params = named(account);
        let id = format!("spiffe://cluster.local/ns/perf/sa/{account}");
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &root)?;
        Ok(Certificates { chain: leaf.pem(), key: key.serialize_pem(), root: root.pem() })
    };
    Ok([leaf("client")?, leaf("server")?])
}

/// A leaf that had its issuer's name would pass for self-signed.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
