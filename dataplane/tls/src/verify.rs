//! Whether the other side is whom it should be: the chain against the roots, then the names.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::{SanMismatch, bad_context};
use crate::identity::{CHAIN_MAX, Trust};
use crate::leaf::Leaf;
use crate::san::SanMatch;
use crate::session::TlsError;

/// What a context asks of any peer, whatever the roots are.
#[derive(Debug)]
pub(crate) struct Rules {
    san: Vec<SanMatch>,
    /// A name that the certificate must have besides, whatever the roots are.
    server: Option<SanMatch>,
    certificate_required: bool,
}

impl Rules {
    pub(crate) fn new(san: Vec<SanMatch>, certificate_required: bool) -> Self {
        Self { san, server: None, certificate_required }
    }

    /// The same for a server whose certificate must have this name too.
    pub(crate) fn for_server(&self, name: &str) -> Self {
        Self {
            san: self.san.clone(),
            server: Some(SanMatch::server(name)),
            certificate_required: self.certificate_required,
        }
    }

    /// Names without roots prove nothing, so they are refused when a context is built.
    pub(crate) fn check(san: &[SanMatch], has_trust: bool, peer: &str) -> Result<(), TlsError> {
        if san.is_empty() || has_trust {
            return Ok(());
        }
        Err(TlsError {
            code: "tls.san_without_trust",
            detail: format!(
                "names are asked of the {peer}'s certificate but there are no roots to verify it \
                 against; add a trusted CA or take the names away"
            ),
        })
    }

    fn accept_names(&self, leaf: &Leaf) -> Result<(), Error> {
        let lists = [self.san.as_slice(), self.server.as_slice()];
        let is_refused =
            |list: &&[SanMatch]| !list.is_empty() && !list.iter().any(|san| san.accepts(leaf));
        let Some(wanted) = lists.into_iter().find(is_refused) else { return Ok(()) };
        let presented: Vec<_> = leaf.uris.iter().chain(&leaf.dns).map(String::as_str).collect();
        let wanted: Vec<_> = wanted.iter().map(|san| format!("{:?}", san.pattern)).collect();
        let mismatch = SanMismatch { presented: presented.join(", "), wanted: wanted.join(", ") };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(mismatch)))))
    }
}

/// Verifies peers under one generation of the roots.
#[derive(Debug)]
pub(crate) struct Verifier {
    rules: Arc<Rules>,
    trust: Option<Arc<Trust>>,
    /// The chain check for clients, built once.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(crate) fn of_servers(
        rules: Arc<Rules>,
        trust: Option<Arc<Trust>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self { rules, trust, clients: None, provider }
    }

    pub(crate) fn of_clients(
        rules: Arc<Rules>,
        trust: Option<Arc<Trust>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let clients = match &trust {
            Some(trust) => Some(
                // No hints: with many roots they only make the handshake longer.
                WebPkiClientVerifier::builder_with_provider(trust.roots(), provider.clone())
                    .clear_root_hint_subjects()
                    .build()
                    .map_err(|error| bad_context(error.to_string()))?,
            ),
            None => None,
        };
        Ok(Self { rules, trust, clients, provider })
    }

    /// As in Envoy: with roots a client is asked for its certificate, required or not.
    pub(crate) fn asks_for_certificate(&self) -> bool {
        self.trust.is_some() || self.rules.certificate_required
    }

    /// Whether a peer that passed was verified, not only let through.
    pub(crate) fn verifies(&self) -> bool {
        self.trust.is_some()
    }

    /// What is asked again of a peer whose session is resumed: the full check was made when the
    /// session began, under the same rules and roots.
    pub(crate) fn still_valid(&self, leaf: &Leaf) -> Result<(), Error> {
        if i64::try_from(UnixTime::now().as_secs()).is_ok_and(|now| now > leaf.not_after) {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        self.rules.accept_names(leaf)
    }

    fn leaf(&self, certificate: &CertificateDer<'_>, others: usize) -> Result<Leaf, Error> {
        if others >= CHAIN_MAX {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        Leaf::parse(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
    }

    fn tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trust) = &self.trust {
            let leaf = self.leaf(end_entity, intermediates.len())?;
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &trust.roots(),
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
            self.rules.accept_names(&leaf)?;
        } else if self.rules.server.is_some() {
            // As in Envoy: a name that nobody vouches for proves nothing.
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.rules.certificate_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chains) = &self.clients {
            let leaf = self.leaf(end_entity, intermediates.len())?;
            chains.verify_client_cert(end_entity, intermediates, now)?;
            self.rules.accept_names(&leaf)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
