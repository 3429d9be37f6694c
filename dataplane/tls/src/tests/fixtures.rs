//! Certificates and in-memory wires for the tests of this crate.

use std::ops::Range;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::{
    Client, ClientContext, ClientSpec, Identity, Parameters, SanMatch, Server, ServerContext,
    ServerSpec, Session, Slot, TlsError, Trust,
};

/// The id that test clients have unless they are given another.
pub(crate) const CLIENT_ID: &str = "spiffe://cluster.local/ns/default/sa/client";
/// The id that test servers have unless they are given another.
pub(crate) const SERVER_ID: &str = "spiffe://cluster.local/ns/default/sa/server";

/// A certificate authority.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A chain and a key in PEM.
pub(crate) struct Pem {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::new(Trust::from_pem(self.pem().as_bytes()).unwrap())
    }

    /// A leaf with one URI name, changed as the closure says.
    pub(crate) fn pem_with(&self, uri: &str, change: impl FnOnce(&mut CertificateParams)) -> Pem {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pem { chain: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn identity(&self, uri: &str) -> Arc<Identity> {
        self.pem_with(uri, |_| {}).identity()
    }

    pub(crate) fn expired(&self, uri: &str) -> Arc<Identity> {
        let change = |params: &mut CertificateParams| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        };
        self.pem_with(uri, change).identity()
    }
}

impl Pem {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::new(Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap())
    }
}

/// The two sides as a mesh has them: mutual, each asks for the other's id.
pub(crate) struct Sides {
    pub(crate) server: ServerSpec,
    pub(crate) client: ClientSpec,
}

impl Sides {
    pub(crate) fn mutual(ca: &Ca) -> Self {
        let trust = || Some(Arc::new(Slot::filled("ROOTCA", ca.trust())));
        Self {
            server: ServerSpec {
                identity: Arc::new(Slot::filled("default", ca.identity(SERVER_ID))),
                trust: trust(),
                require_client_certificate: true,
                san: vec![SanMatch::uri_prefix("spiffe://cluster.local/")],
                alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
                parameters: Parameters::default(),
            },
            client: ClientSpec {
                identity: Some(Arc::new(Slot::filled("default", ca.identity(CLIENT_ID)))),
                trust: trust(),
                san: vec![SanMatch::uri(SERVER_ID)],
                sni: Some("outbound_.9080_.v1_.reviews.default.svc.cluster.local".to_owned()),
                alpn: vec![b"istio-http/1.1".to_vec(), b"http/1.1".to_vec()],
                parameters: Parameters::default(),
            },
        }
    }

    pub(crate) fn contexts(self) -> (ServerContext, ClientContext) {
        (ServerContext::new(self.server).unwrap(), ClientContext::new(self.client).unwrap())
    }

    pub(crate) fn pair(self) -> Pair {
        let (server, client) = self.contexts();
        Pair::new(&server, &client)
    }
}

/// One session and what it has not consumed yet.
pub(crate) struct End<S> {
    pub(crate) session: S,
    carry: Vec<u8>,
    pub(crate) plain: Vec<u8>,
    pub(crate) closed: bool,
    pub(crate) error: Option<TlsError>,
}

impl<S: Session> End<S> {
    pub(crate) fn new(session: S) -> Self {
        Self { session, carry: Vec::new(), plain: Vec::new(), closed: false, error: None }
    }

    /// What it wants to send.
    pub(crate) fn output(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.output(&mut out);
        out
    }

    /// Feeds bytes in pieces of `piece` at most, until it fails.
    pub(crate) fn feed(&mut self, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            if self.error.is_some() {
                return;
            }
            self.carry.extend_from_slice(part);
            let mut plain: Vec<Range<usize>> = Vec::new();
            match self.session.open(&mut self.carry, &mut plain) {
                Ok(opened) => {
                    for range in plain {
                        assert!(range.end <= opened.consumed, "plaintext that is not consumed");
                        self.plain.extend_from_slice(&self.carry[range]);
                    }
                    self.closed |= opened.closed;
                    self.carry.drain(..opened.consumed);
                }
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Seals everything, through an output buffer of `room` bytes.
    pub(crate) fn seal(&mut self, mut bytes: &[u8], room: usize) -> Vec<u8> {
        let mut sealed = Vec::new();
        let mut buffer = vec![0; room];
        while !bytes.is_empty() {
            let did = self.session.seal(bytes, &mut buffer).unwrap();
            assert!(did.written > 0, "no progress");
            sealed.extend_from_slice(&buffer[..did.written]);
            bytes = &bytes[did.read..];
        }
        sealed
    }

    pub(crate) fn code(&self) -> &'static str {
        self.error.as_ref().map_or("", |error| error.code)
    }
}

/// Two ends of one wire.
pub(crate) struct Pair {
    pub(crate) server: End<Server>,
    pub(crate) client: End<Client>,
}

impl Pair {
    pub(crate) fn new(server: &ServerContext, client: &ClientContext) -> Self {
        Self {
            server: End::new(server.accept().unwrap()),
            client: End::new(client.connect(None, None).unwrap()),
        }
    }

    /// Carries bytes to and fro, in pieces, until neither side has more to say.
    pub(crate) fn shake(&mut self, piece: usize) -> &mut Self {
        loop {
            let up = self.client.output();
            self.server.feed(&up, piece);
            let down = self.server.output();
            self.client.feed(&down, piece);
            if up.is_empty() && down.is_empty() {
                return self;
            }
        }
    }

    pub(crate) fn codes(&self) -> (&'static str, &'static str) {
        (self.client.code(), self.server.code())
    }

    pub(crate) fn established(&self) -> bool {
        !self.client.session.is_handshaking() && !self.server.session.is_handshaking()
    }
}
