//! What a record and an idle connection cost: nanoseconds of sealing and opening for three sizes,
//! handshakes, and resident bytes of connections that do nothing.
//!
//! `cargo run --release -p ringway-tls --example records`

use std::sync::Arc;
use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use ringway_tls::{
    Client, ClientContext, ClientSpec, Identity, Parameters, SanMatch, Server, ServerContext,
    ServerSpec, Session, Slot, Trust,
};

const IDLE: usize = 2_000;
const ROUNDS: usize = 15;

fn main() {
    let (server, client) = contexts();
    let start = Instant::now();
    let mut first = Pair::new(&server, &client);
    println!("first handshake of this process, both sides: {} us", start.elapsed().as_micros());
    for (size, times) in [(64, 20_000), (256, 20_000), (1_024, 20_000), (16 * 1_024, 2_000)] {
        let (mut seal, mut open) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            let (sealed, opened) = first.exchange(size, times);
            (seal, open) = (seal.min(sealed), open.min(opened));
        }
        println!("{size:>6} bytes: seal {seal:>7.0} ns, open {open:>7.0} ns");
    }
    for what in ["full or first resumed", "as before"] {
        let start = Instant::now();
        (0..200).for_each(|_| drop(Pair::new(&server, &client)));
        println!("handshake of both sides, {what}: {} us", start.elapsed().as_micros() / 200);
    }
    let before = resident();
    let idle: Vec<_> = (0..IDLE).map(|_| Pair::new(&server, &client)).collect();
    let each = (resident() - before) / IDLE / 2;
    println!("idle: {each} resident bytes a connection and side, {} inline", size_of::<Server>());
    drop(idle);
}

/// Two ends of a wire in memory.
struct Pair {
    server: Server,
    client: Client,
}

impl Pair {
    fn new(server: &ServerContext, client: &ClientContext) -> Self {
        let server = server.accept().expect("secrets are there");
        let client = client.connect(None, None).expect("secrets are there");
        let mut pair = Self { server, client };
        while deliver(&mut pair.client, &mut pair.server)
            | deliver(&mut pair.server, &mut pair.client)
        {}
        assert!(!pair.server.is_handshaking() && !pair.client.is_handshaking());
        pair
    }

    /// So many records up; nanoseconds of sealing and of opening one.
    fn exchange(&mut self, size: usize, times: usize) -> (f64, f64) {
        let plain = vec![7; size];
        let (mut out, mut ranges) = (vec![0; size + 64], Vec::with_capacity(4));
        let (mut sealing, mut opening) = (0, 0);
        for _ in 0..times {
            let start = Instant::now();
            let sealed = self.client.seal(&plain, &mut out).expect("sealed");
            let middle = Instant::now();
            let bytes = &mut out[..sealed.written];
            let opened = self.server.open(bytes, &mut ranges).expect("opened");
            opening += middle.elapsed().as_nanos();
            sealing += (middle - start).as_nanos();
            assert_eq!((opened.consumed, ranges.len(), sealed.read), (sealed.written, 1, size));
            ranges.clear();
        }
        (sealing as f64 / times as f64, opening as f64 / times as f64)
    }
}

fn deliver(from: &mut impl Session, to: &mut impl Session) -> bool {
    let mut bytes = Vec::new();
    from.output(&mut bytes);
    let opened = to.open(&mut bytes, &mut Vec::new()).expect("a good handshake");
    assert_eq!(opened.consumed, bytes.len());
    !bytes.is_empty()
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

fn contexts() -> (ServerContext, ClientContext) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("a certificate");
    let trust = Arc::new(Trust::from_pem(ca.pem().as_bytes()).expect("roots"));
    let trust = || Some(Arc::new(Slot::filled("ROOTCA", trust.clone())));
    let server = "spiffe://cluster.local/ns/default/sa/server";
    let client = "spiffe://cluster.local/ns/default/sa/client";
    let parameters = Parameters { resumption: true, ..Parameters::default() };
    let serving = ServerSpec {
        identity: Arc::new(Slot::filled("default", identity(&ca, server))),
        trust: trust(),
        require_client_certificate: true,
        san: vec![SanMatch::uri(client)],
        alpn: vec![b"http/1.1".to_vec()],
        parameters: parameters.clone(),
    };
    let asking = ClientSpec {
        identity: Some(Arc::new(Slot::filled("default", identity(&ca, client)))),
        trust: trust(),
        san: vec![SanMatch::uri(server)],
        sni: Some("reviews.default.svc.cluster.local".to_owned()),
        alpn: vec![b"http/1.1".to_vec()],
        parameters,
    };
    (
        ServerContext::new(serving).expect("a context"),
        ClientContext::new(asking).expect("a context"),
    )
}

fn identity(ca: &CertifiedIssuer<'_, KeyPair>, uri: &str) -> Arc<Identity> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a name"))];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    let chain = params.signed_by(&key, ca).expect("a certificate").pem();
    let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes());
    Arc::new(identity.expect("an identity"))
}
