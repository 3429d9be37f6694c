//! HTTP and TCP under TLS, one-sided and mutual, against a server of another make.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::*;

on_both!(https, mutual_tls, trips_under_tls, who_is_not_trusted_is_refused, http2_is_agreed_on,);

const SPIFFE: &str = "spiffe://cluster.local/ns/default/sa/reviews";

/// An authority and what it has signed, in PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A chain and its key.
    fn sign(&self) -> (Vec<u8>, Vec<u8>) {
        let mut params = CertificateParams::new(vec!["reviews.test".to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::URI(SPIFFE.try_into().expect("a URI")));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.0).expect("signed");
        (leaf.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    fn roots(&self) -> Option<Vec<u8>> {
        Some(self.0.pem().into_bytes())
    }

    /// A TLS server in front of another one; `is_mutual` asks clients who they are.
    async fn serve(&self, behind: Option<SocketAddr>, is_mutual: bool) -> SocketAddr {
        self.serve_as(behind, is_mutual, b"http/1.1").await
    }

    async fn serve_as(
        &self,
        behind: Option<SocketAddr>,
        is_mutual: bool,
        alpn: &[u8],
    ) -> SocketAddr {
        let mut config = self.config(is_mutual);
        config.alpn_protocols = Vec::from_iter((!alpn.is_empty()).then(|| alpn.to_vec()));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(ANY).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let behind = behind.expect("served");
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inner = tokio::net::TcpStream::connect(behind).await?;
                    let mut outer = acceptor.accept(stream).await?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
        address
    }

    fn config(&self, is_mutual: bool) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = if is_mutual {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).expect("a root");
            let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(clients.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = self.sign();
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(&chain);
        let chain = chain.collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(&key).expect("PEM");
        builder.with_single_cert(chain, key).expect("a certificate")
    }
}

fn verified(authority: &Authority, name: &str) -> TlsSpec {
    TlsSpec { roots: authority.roots(), server_name: Some(name.to_owned()), ..TlsSpec::default() }
}

async fn https(driver: Which) {
    let (echo, authority) = (echo().await, Authority::new());
    let front = authority.serve(echo.http, false).await;
    // Answers of a part of a record, of one, and of many.
    for size in [1, 1_000, 16_384, 300_000] {
        let mut spec = http(driver, front, &format!("/?size={size}"));
        spec.tls = Some(verified(&authority, "reviews.test"));
        spec.expected_body = Some(crate::echo::pattern(size));
        (spec.connections, spec.requests) = (3, Some(30));
        assert_eq!(all_right(&spec).await.connects, 3);
    }
    let mut spec = http(driver, front, "/?size=10");
    spec.tls = Some(TlsSpec { resume: true, ..TlsSpec::default() });
    (spec.keep_alive, spec.requests, spec.connections) = (false, Some(40), 4);
    assert_eq!(all_right(&spec).await.connects, 40, "unverified, as was asked");
}

async fn mutual_tls(driver: Which) {
    let (echo, authority) = (echo().await, Authority::new());
    let front = authority.serve(echo.http, true).await;
    let mut spec = http(driver, front, "/?size=100");
    spec.requests = Some(20);
    spec.tls = Some(TlsSpec { identity: Some(authority.sign()), ..verified(&authority, SPIFFE) });
    all_right(&spec).await;
    spec.tls = Some(verified(&authority, SPIFFE));
    spec.requests = Some(2);
    let total = measure(&spec).await.total();
    assert_eq!((total.histogram.len(), total.failed()), (0, 2), "{total:?}");
}

async fn trips_under_tls(driver: Which) {
    let (echo, authority) = (echo().await, Authority::new());
    let front = authority.serve(echo.tcp, false).await;
    let mut spec = tcp(driver, front);
    spec.tls = Some(verified(&authority, "reviews.test"));
    (spec.connections, spec.requests) = (2, Some(50));
    all_right(&spec).await;
    spec.body = crate::echo::pattern(65_521);
    (spec.trip_bytes, spec.requests) = (Some(3 << 20), Some(4));
    all_right(&spec).await;
}

async fn who_is_not_trusted_is_refused(driver: Which) {
    let (echo, authority) = (echo().await, Authority::new());
    let front = authority.serve(echo.http, false).await;
    let mut spec = http(driver, front, "/");
    spec.requests = Some(2);
    for (tls, reason) in [
        (verified(&Authority::named("another"), "reviews.test"), "no TLS: tls.unknown_ca"),
        (verified(&authority, "ratings.test"), "no TLS: tls.san_mismatch"),
    ] {
        spec.tls = Some(tls);
        let total = measure(&spec).await.total();
        assert_eq!(total.failed(), 2);
        assert!(total.errors.keys().all(|met| met.starts_with(reason)), "{:?}", total.errors);
    }
    // Nobody there speaks TLS.
    let mut plain = http(driver, echo.http, "/");
    plain.tls = Some(verified(&authority, "reviews.test"));
    plain.requests = Some(1);
    let total = measure(&plain).await.total();
    assert!(total.errors.keys().all(|met| met.starts_with("no TLS: ")), "{:?}", total.errors);
    let mut nameless = spec;
    nameless.tls = Some(TlsSpec { server_name: None, ..verified(&authority, "") });
    let error = run(&nameless, &Control::new(), |_| {}).await.expect_err("whose certificate?");
    assert!(error.to_string().contains("the server's name"), "{error}");
}

async fn http2_is_agreed_on(driver: Which) {
    let (echo, authority) = (echo().await, Authority::new());
    let front = authority.serve_as(echo.http, true, b"h2").await;
    let identity = Some(authority.sign());
    let tls = Some(TlsSpec { identity, ..verified(&authority, SPIFFE) });
    for size in [1, 1_000, 16_384, 300_000] {
        let mut spec = http(driver, front, &format!("/?size={size}"));
        (spec.protocol, spec.tls) = (Protocol::Http2, tls.clone());
        spec.expected_body = Some(crate::echo::pattern(size));
        (spec.method, spec.body) = ("POST".into(), crate::echo::pattern(size));
        (spec.connections, spec.streams, spec.requests) = (2, 8, Some(48));
        assert_eq!(all_right(&spec).await.connects, 2);
    }
    // One that does not know ALPN, and one that knows only HTTP/1.1.
    for (alpn, error) in [(&b""[..], "server does not agree to HTTP/2"), (b"http/1.1", "no TLS: ")]
    {
        let front = authority.serve_as(echo.http, false, alpn).await;
        let mut spec = http(driver, front, "/");
        (spec.protocol, spec.requests, spec.streams) = (Protocol::Http2, Some(4), 2);
        spec.tls = Some(verified(&authority, "reviews.test"));
        let total = measure(&spec).await.total();
        assert_eq!((total.histogram.len(), total.failed()), (0, 4), "{error}: {total:?}");
        assert!(total.errors.keys().all(|met| met.starts_with(error)), "{:?}", total.errors);
    }
}
