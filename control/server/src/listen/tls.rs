//! TLS of the secure port: our certificate, renewed in place, and optional client certificates.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::ca::{Authority, CaError, ServerNames};

/// After a failure to renew, how long until the next try.
const RETRY: Duration = Duration::from_secs(60);

/// ringwayd's own certificate.
#[derive(Debug)]
pub struct OwnCertificate {
    authority: Arc<Authority>,
    names: ServerNames,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

impl OwnCertificate {
    /// Issues the first one; returns it with the time at which it is due for renewal.
    pub fn issue(
        authority: Arc<Authority>,
        names: ServerNames,
        now: SystemTime,
    ) -> Result<(Arc<Self>, Duration), CaError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (key, due) = make(&authority, &names, &provider, now)?;
        let current = ArcSwap::from_pointee(key);
        Ok((Arc::new(Self { authority, names, provider, current }), due))
    }

    /// Renews the certificate at half of its life, for ever.
    pub async fn keep_fresh(self: Arc<Self>, mut due: Duration) {
        loop {
            tokio::time::sleep(due).await;
            match make(&self.authority, &self.names, &self.provider, SystemTime::now()) {
                Ok((key, next)) => {
                    self.current.store(Arc::new(key));
                    due = next;
                    info!("ringwayd's own certificate was renewed");
                }
                Err(error) => {
                    error!(%error, "ringwayd's own certificate was not renewed; trying again");
                    due = RETRY;
                }
            }
        }
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// TLS 1.2 and 1.3 with HTTP/2. A client certificate is verified if it is given; who gives none
/// has to show a token in each call.
pub fn acceptor(own: &Arc<OwnCertificate>) -> Result<TlsAcceptor, CaError> {
    let library = |error: &dyn std::fmt::Display| CaError::Library(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(own.authority.root().clone()).map_err(|error| library(&error))?;
    let provider = Arc::clone(&own.provider);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| library(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| library(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(own) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn make(
    authority: &Authority,
    names: &ServerNames,
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<(CertifiedKey, Duration), CaError> {
    let (issued, key) = authority.issue_server(names, now)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| CaError::Library(error.to_string()))?;
    let chain = vec![issued.certificate, authority.root().clone()];
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| CaError::Library(error.to_string()))?;
    Ok((key, issued.not_after.duration_since(now).unwrap_or_default() / 2))
}
