//! Two proxies with mutual TLS between them, as two sidecars.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use config::snapshot::{
    Action, Cluster, FilterKind, Forward, HttpFilter, HttpRbac, Permission, Policy, Principal,
    Route, RouteAction, Rules, StringKind, StringMatch, Terminal, UpstreamTransport,
};
use ring::start::Which;
use tls::{
    ClientContext, ClientSpec, Identity, Parameters, SanMatch, ServerContext, ServerSpec, Slot,
    Trust,
};

use super::fixture::{
    Proxy, answer, cluster, echo, forward, manager, on_both, read_message, route, tcp_proxy,
    upstream,
};
use crate::Counter;

const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/productpage";
pub(super) const SERVER: &str = "spiffe://cluster.local/ns/default/sa/reviews";

/// An authority and what it has issued.
pub(super) struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        Self(rcgen::CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    fn trust(&self) -> Arc<Slot<Trust>> {
        let trust = Trust::from_pem(self.0.pem().as_bytes()).expect("roots");
        Arc::new(Slot::filled("ROOTCA", Arc::new(trust)))
    }

    fn identity(&self, uri: &str) -> Arc<Slot<Identity>> {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().expect("a URI"))];
        let key = rcgen::KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.0).expect("a leaf");
        let identity = Identity::from_pem(leaf.pem().as_bytes(), key.serialize_pem().as_bytes());
        Arc::new(Slot::filled("default", Arc::new(identity.expect("an identity"))))
    }

    pub(super) fn server(&self) -> Arc<ServerContext> {
        self.server_of(&[b"http/1.1"])
    }

    /// One that agrees on these protocols.
    pub(super) fn server_of(&self, alpn: &[&[u8]]) -> Arc<ServerContext> {
        let spec = ServerSpec {
            identity: self.identity(SERVER),
            trust: Some(self.trust()),
            require_client_certificate: true,
            san: vec![SanMatch::uri_prefix("spiffe://cluster.local/")],
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
            parameters: Parameters::default(),
        };
        Arc::new(ServerContext::new(spec).expect("a context"))
    }

    pub(super) fn client(&self, wants: &str) -> UpstreamTransport {
        self.client_of(wants, &[b"http/1.1"])
    }

    /// One that offers these protocols.
    pub(super) fn client_of(&self, wants: &str, alpn: &[&[u8]]) -> UpstreamTransport {
        let spec = ClientSpec {
            identity: Some(self.identity(CLIENT)),
            trust: Some(self.trust()),
            san: vec![SanMatch::uri(wants)],
            sni: Some("reviews".to_owned()),
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
            parameters: Parameters::default(),
        };
        UpstreamTransport::Tls(Arc::new(ClientContext::new(spec).expect("a context")))
    }
}

fn to_upstream() -> Vec<Route> {
    vec![route("/", RouteAction::Forward(Forward { timeout: None, ..forward(&[(0, 1)]) }))]
}

/// A pair of sidecars: plaintext in front, TLS between them, plaintext behind.
pub(super) fn pair(
    which: Which,
    terminals: [Terminal; 2],
    to: Cluster,
    wants: &str,
) -> (Proxy, Proxy) {
    let authority = Authority::new();
    let [first, second] = terminals;
    let server = Proxy::start_with(which, second, vec![to], Some(authority.server()));
    let mut towards = cluster(0, &[server.address]);
    towards.transport = authority.client(wants);
    (Proxy::start(which, first, vec![towards]), server)
}

fn http_pair(which: Which, filters: Vec<HttpFilter>, wants: &str) -> (Proxy, Proxy) {
    let mut judging = manager(to_upstream());
    judging.filters = filters.into();
    let terminals =
        [manager(to_upstream()), judging].map(|manager| Terminal::Http(Arc::new(manager)));
    pair(which, terminals, cluster(0, &[upstream(answer("app"))]), wants)
}

fn only_for(principal: &str) -> HttpFilter {
    let exact = StringKind::Exact(principal.as_bytes().into());
    let matcher = StringMatch { kind: exact, ignore_case: false };
    let policy = Policy {
        name: "caller".into(),
        permissions: vec![Permission::Any],
        principals: vec![Principal::Authenticated(Some(matcher))],
    };
    let rules = Rules { action: Action::Allow, policies: vec![policy] };
    let rbac = HttpRbac { name: "rbac".into(), rules: Some(rules) };
    HttpFilter::new("rbac", FilterKind::Rbac(Arc::new(rbac)))
}

fn get(client: &mut TcpStream, body: &str) -> (String, String) {
    let length = body.len();
    let head = format!("POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    client.write_all(head.as_bytes()).expect("sent");
    let (head, body) = read_message(client).expect("an answer");
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, String::from_utf8(body).expect("text"))
}

#[test]
fn requests_pass_between_two_sidecars() {
    on_both(|which| {
        let (first, second) = http_pair(which, vec![only_for(CLIENT)], SERVER);
        let mut client = first.connect();
        for length in [0, 1, 5_000, 200_000, 10] {
            let sent = "z".repeat(length);
            let (status, body) = get(&mut client, &sent);
            assert_eq!(status, "200");
            assert_eq!(body.strip_prefix("app|POST /api HTTP/1.1|"), Some(&*sent));
        }
        assert_eq!(second.counters.get(Counter::DownstreamTlsHandshakes), 1);
        drop(client);
        first.settles(0, 1);
    });
}

#[test]
fn a_caller_that_the_policy_does_not_name_is_refused() {
    on_both(|which| {
        let other = "spiffe://cluster.local/ns/default/sa/ratings";
        let (first, second) = http_pair(which, vec![only_for(other)], SERVER);
        let (status, body) = get(&mut first.connect(), "");
        assert_eq!((status.as_str(), body.as_str()), ("403", "RBAC: access denied"));
        assert_eq!(second.counters.get(Counter::RbacDenied), 1);
    });
}

#[test]
fn a_server_of_another_name_is_not_spoken_to() {
    on_both(|which| {
        let other = "spiffe://cluster.local/ns/default/sa/ratings";
        let (first, second) = http_pair(which, vec![], other);
        let (status, _) = get(&mut first.connect(), "");
        assert_eq!(status, "503");
        assert_eq!(first.counters.get(Counter::UpstreamTlsErrors), 1);
        assert_eq!(second.counters.get(Counter::RequestTotal), 0);
    });
}

#[test]
fn plaintext_is_refused_where_tls_is_asked_for() {
    on_both(|which| {
        let (_first, second) = http_pair(which, vec![], SERVER);
        let mut client = second.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let mut bytes = Vec::new();
        let _ = client.read_to_end(&mut bytes);
        assert!(!bytes.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(second.counters.get(Counter::DownstreamTlsErrors), 1);
        assert_eq!(second.counters.get(Counter::RequestTotal), 0);
        second.settles(0, 0);
    });
}

#[test]
fn bytes_pass_between_two_sidecars() {
    on_both(|which| {
        let terminals = [tcp_proxy(0), tcp_proxy(0)];
        let (first, second) = pair(which, terminals, cluster(0, &[upstream(echo)]), SERVER);
        let sent: Vec<u8> = (0..4 << 20).map(|at: u32| (at * 17 + at / 255) as u8).collect();
        let mut client = first.connect();
        let mut writer = client.try_clone().expect("a clone");
        let copy = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&copy).expect("sent");
            writer.shutdown(std::net::Shutdown::Write).expect("finished");
        });
        let mut back = Vec::new();
        client.read_to_end(&mut back).expect("echoed");
        writing.join().expect("written");
        assert!(back == sent, "{} of {} bytes, or changed ones", back.len(), sent.len());
        first.settles(0, 0);
        second.settles(0, 0);
        assert_eq!(second.counters.get(Counter::RelayedBytes), 0, "sealed bytes went unopened");
    });
}
