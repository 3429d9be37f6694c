//! The few facts that are read out of an end-entity certificate.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::session::TlsError;
use crate::subject;

/// What is read of a certificate. Says nothing about whether it is to be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// URI names in order.
    pub(crate) uris: Vec<String>,
    /// DNS names in order.
    pub(crate) dns: Vec<String>,
    /// IP addresses in order.
    pub(crate) addresses: Vec<IpAddr>,
    /// RFC 2253 form of the subject.
    pub(crate) subject: String,
    /// Seconds since the epoch.
    pub(crate) not_before: i64,
    /// Seconds since the epoch.
    pub(crate) not_after: i64,
}

/// SHA-256 of the whole certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut sum = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    for (to, from) in sum.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    sum
}

impl Leaf {
    /// Reads the certificate.
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let end = webpki::EndEntityCert::try_from(der).map_err(|error| TlsError {
            code: "tls.bad_certificate",
            detail: format!("the certificate cannot be read: {error}"),
        })?;
        let (_, x509) = X509Certificate::from_der(der).map_err(|error| TlsError {
            code: "tls.bad_certificate",
            detail: format!("the certificate cannot be read: {error}"),
        })?;
        Ok(Self {
            uris: end.valid_uri_names().map(str::to_owned).collect(),
            dns: end.valid_dns_names().map(str::to_owned).collect(),
            addresses: addresses(&x509),
            subject: subject::rfc2253(x509.subject()),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
        })
    }
}

fn addresses(certificate: &X509Certificate<'_>) -> Vec<IpAddr> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let addresses = names.filter_map(|name| match name {
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(four.into()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
        },
        _ => None,
    });
    addresses.collect()
}
