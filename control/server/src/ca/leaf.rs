//! What stands in a certificate, and which public keys are worth one.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use api::names::SpiffeId;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo as ParsedKey;

use super::{Authority, CLOCK_SKEW, CSR_BYTES_MAX, CaError, LEAF_TTL};

/// A fresh certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The leaf, PEM.
    pub certificate_pem: String,
    /// The leaf.
    pub certificate: CertificateDer<'static>,
    /// From when it is valid; [`CLOCK_SKEW`] in the past.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
}

/// A public key that may be certified.
#[derive(Clone, Debug)]
pub struct LeafKey(SubjectPublicKeyInfo);

/// The names of ringwayd's own certificate.
#[derive(Clone, Debug, Default)]
pub struct ServerNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

impl LeafKey {
    /// The public half of a key of ours.
    pub fn of_key_pair(key: &KeyPair) -> Result<Self, CaError> {
        Self::from_spki(&key.subject_public_key_info())
    }

    fn from_spki(der: &[u8]) -> Result<Self, CaError> {
        let (_, parsed) = ParsedKey::from_der(der).map_err(|_| CaError::Key)?;
        let worthy = match parsed.parsed().map_err(|_| CaError::Key)? {
            PublicKey::RSA(rsa) => (2048..=8192).contains(&rsa.key_size()),
            PublicKey::EC(point) => matches!(point.key_size(), 256 | 384),
            PublicKey::Unknown(bytes) => parsed.algorithm.algorithm == ED25519 && bytes.len() == 32,
            _ => false,
        };
        if !worthy {
            return Err(CaError::Key);
        }
        SubjectPublicKeyInfo::from_der(der).map(Self).map_err(|_| CaError::Key)
    }
}

/// `id-Ed25519` (RFC 8410).
const ED25519: x509_parser::asn1_rs::Oid<'static> = x509_parser::asn1_rs::oid!(1.3.101.112);

/// The key of a signing request, once its signature is checked. Everything else that the request
/// asks for, names above all, is ignored: the caller's credentials decide.
pub fn public_key_of_csr(pem: &str) -> Result<LeafKey, CaError> {
    if pem.len() > CSR_BYTES_MAX {
        return Err(CaError::Csr);
    }
    let der =
        CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| CaError::Csr)?;
    let (rest, csr) = X509CertificationRequest::from_der(&der).map_err(|_| CaError::Csr)?;
    if !rest.is_empty() {
        return Err(CaError::Csr);
    }
    let key = LeafKey::from_spki(csr.certification_request_info.subject_pki.raw)?;
    csr.verify_signature().map_err(|_| CaError::CsrSignature)?;
    Ok(key)
}

pub(super) fn workload(
    authority: &Authority,
    identity: &SpiffeId,
    key: &LeafKey,
    now: SystemTime,
    ttl: Duration,
) -> Result<Issued, CaError> {
    let uri = identity.to_string().try_into().map_err(CaError::from)?;
    let mut params = params(vec![SanType::URI(uri)])?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    sign(authority, params, &key.0, now, ttl)
}

pub(super) fn server(
    authority: &Authority,
    names: &ServerNames,
    key: &KeyPair,
    now: SystemTime,
) -> Result<Issued, CaError> {
    let mut alternatives: Vec<SanType> =
        names.ips.iter().copied().map(SanType::IpAddress).collect();
    for name in &names.dns {
        alternatives.push(SanType::DnsName(name.as_str().try_into().map_err(CaError::from)?));
    }
    let mut params = params(alternatives)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(authority, params, key, now, LEAF_TTL)
}

/// Empty subject, so that RFC 5280 makes the subject alternative name critical.
fn params(alternatives: Vec<SanType>) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = alternatives;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn sign(
    authority: &Authority,
    mut params: CertificateParams,
    key: &impl PublicKeyData,
    now: SystemTime,
    ttl: Duration,
) -> Result<Issued, CaError> {
    let (not_before, not_after) = (now - CLOCK_SKEW, (now + ttl).min(authority.root_not_after));
    if not_after <= now {
        return Err(CaError::RootExpired);
    }
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    let leaf = params.signed_by(key, &authority.issuer)?;
    let certificate = leaf.der().clone();
    Ok(Issued { certificate_pem: leaf.pem(), certificate, not_before, not_after })
}

/// 126 random bits after `01`: positive, and within the 20 bytes of RFC 5280.
pub(super) fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| CaError::Library("no random numbers".to_owned()))?;
    let [first, ..] = &mut bytes;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// Checks that a root certificate is an authority's and of this key; returns when it ends.
pub(super) fn check_root(root: &CertificateDer<'_>, key: &KeyPair) -> Result<SystemTime, CaError> {
    let refuse = |text: &str| CaError::Library(format!("the root certificate {text}"));
    let (_, parsed) = X509Certificate::from_der(root).map_err(|_| refuse("cannot be read"))?;
    if !parsed.is_ca() {
        return Err(refuse("is not a certificate authority's"));
    }
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(refuse("does not belong to the root key"));
    }
    let end = parsed.validity().not_after.timestamp();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(end.max(0).unsigned_abs()))
}
