//! rustls' buffered connections as peers: the same handshakes, records that are not ours.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::fixtures::{CLIENT_ID, Ca, SERVER_ID};

/// A client of rustls.
pub(crate) fn client(ca: &Ca, provider: Arc<CryptoProvider>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let (chain, key) = identity(ca, CLIENT_ID);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.dangerous().set_certificate_verifier(Arc::new(Anyone));
    ClientConnection::new(Arc::new(config), "server.test".try_into().unwrap()).unwrap()
}

/// A server of rustls whose messages come in fragments.
pub(crate) fn server(ca: &Ca, provider: Arc<CryptoProvider>) -> ServerConnection {
    let (chain, key) = identity(ca, SERVER_ID);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.max_fragment_size = Some(40);
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn identity(ca: &Ca, uri: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let pem = ca.pem_with(uri, |_| {});
    let chain = CertificateDer::pem_slice_iter(pem.chain.as_bytes());
    (
        chain.collect::<Result<_, _>>().unwrap(),
        PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap(),
    )
}

/// Lets any server through: what is under test here are the records.
#[derive(Debug)]
struct Anyone;

mod anyone {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    impl ServerCertVerifier for super::Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            crate::provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
