//! A server in this process on free ports of the loopback address, and clients for it.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its own part")]

pub mod envoy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind as ValueKind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use hyper_util::rt::TokioIo;
use ringwayd::ads::{Catalogue, Kind, Names, ProxyNode, Resource};
use ringwayd::auth::{Claims, TokenSigner};
use ringwayd::ca::{Authority, ServerNames};
use ringwayd::feed::{Feed, Timing};
use ringwayd::monitoring::ConfigHealth;
use ringwayd::push::{Hub, World};
use ringwayd::serve::{Addresses, Running, Services};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A mesh made of plain texts, the same for every proxy.
#[derive(Clone, Default)]
pub struct Shelf(BTreeMap<(Kind, String), Arc<Resource>>);

impl Shelf {
    pub fn of(entries: &[(Kind, &str, &str)]) -> Arc<Self> {
        let entry = |(kind, name, body): &(Kind, &str, &str)| {
            let resource = Resource::new(*kind, *name, body.as_bytes().to_vec());
            ((*kind, name.to_string()), Arc::new(resource))
        };
        Arc::new(Self(entries.iter().map(entry).collect()))
    }
}

impl Catalogue for Shelf {
    fn resources(&self, kind: Kind, names: &Names) -> Vec<Arc<Resource>> {
        let wanted = |name: &str| names.wildcard || names.listed.contains(name);
        let all = self.0.iter().filter(|((k, name), _)| *k == kind && wanted(name));
        all.map(|(_, resource)| Arc::clone(resource)).collect()
    }
}

impl World for Shelf {
    fn catalogue(&self, _: &Arc<ProxyNode>) -> Box<dyn Catalogue> {
        Box::new(self.clone())
    }
}

pub struct Server {
    pub hub: Arc<Hub>,
    pub health: Arc<ConfigHealth>,
    pub authority: Arc<Authority>,
    pub signer: TokenSigner,
    pub running: Running,
}

impl Server {
    pub async fn start(world: Arc<dyn World>) -> Self {
        Self::with_ttl(world, Duration::from_secs(24 * 3600)).await
    }

    pub async fn with_ttl(world: Arc<dyn World>, workload_ttl: Duration) -> Self {
        Self::with(world, workload_ttl, Arc::default()).await
    }

    pub async fn with(
        world: Arc<dyn World>,
        workload_ttl: Duration,
        health: Arc<ConfigHealth>,
    ) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { xds: any, secure: any, monitoring: any };
        let material = Authority::generate_root("cluster.local", SystemTime::now()).unwrap();
        let authority = Authority::new("cluster.local", &material).unwrap();
        let (signer, _) = TokenSigner::generate().unwrap();
        Self::bind(world, workload_ttl, health, authority, signer, addresses).await
    }

    /// Stops and starts anew on the same ports with the same keys, as after an update.
    pub async fn restart(self, world: Arc<dyn World>) -> Self {
        let addresses = self.running.addresses;
        self.running.stop().await;
        let (authority, signer) = (self.authority, self.signer);
        let ttl = Duration::from_secs(24 * 3600);
        Self::bind(world, ttl, self.health, authority, signer, addresses).await
    }

    async fn bind(
        world: Arc<dyn World>,
        workload_ttl: Duration,
        health: Arc<ConfigHealth>,
        authority: Arc<Authority>,
        signer: TokenSigner,
        addresses: Addresses,
    ) -> Self {
        let hub = Hub::new(world, Instant::now());
        let services = Services {
            hub: Arc::clone(&hub),
            health: Arc::clone(&health),
            authority: Arc::clone(&authority),
            tokens: signer.verifier(),
            names: ServerNames {
                dns: vec!["istiod.istio-system.svc".into()],
                ips: vec![[127, 0, 0, 1].into()],
            },
            workload_ttl,
        };
        let running = services.start(addresses).await.unwrap();
        Self { hub, health, authority, signer, running }
    }

    pub fn token(&self, account: &str) -> String {
        let claims = Claims { namespace: "default".into(), service_account: account.into() };
        self.signer.mint(&claims, SystemTime::now(), Duration::from_secs(600)).unwrap()
    }

    pub async fn plain(&self) -> Channel {
        let uri = format!("http://{}", self.running.addresses.xds);
        Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
    }

    /// A channel over TLS; with a certificate of its own if one is given.
    pub async fn tls(
        &self,
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Channel {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.root().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let address = self.running.addresses.secure;
        let connect = tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move {
                let tcp = TcpStream::connect(address).await?;
                let name = ServerName::try_from("istiod.istio-system.svc").unwrap();
                connector.connect(name, tcp).await.map(TokioIo::new)
            }
        });
        let endpoint = Endpoint::from_static("http://istiod.istio-system.svc");
        endpoint.connect_with_connector(connect).await.unwrap()
    }

    /// The body of a page of the monitoring port.
    pub async fn page(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.running.addresses.monitoring).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    pub async fn syncz(&self) -> serde_json::Value {
        serde_json::from_str(&self.page("/debug/syncz").await.1).unwrap()
    }

    /// Looks at `/debug/syncz` until it holds.
    pub async fn until(&self, holds: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let end = Instant::now() + TIMEOUT;
        loop {
            let page = self.syncz().await;
            if holds(&page) {
                return page;
            }
            assert!(Instant::now() < end, "it never held: {page:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The node of a sidecar in the namespace `default`.
pub fn node(account: &str) -> Option<Node> {
    let text = |value: &str| Value { kind: Some(ValueKind::StringValue(value.into())) };
    let fields = [("NAMESPACE", "default"), ("SERVICE_ACCOUNT", account)];
    let fields = fields.map(|(key, value)| (key.to_owned(), text(value)));
    Some(Node {
        id: format!("sidecar~10.244.1.5~{account}-v1.default~default.svc.cluster.local"),
        metadata: Some(Struct { fields: fields.into() }),
        ..Default::default()
    })
}

/// Adds a bearer token to a request.
pub fn bearer<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// The folder of the demo.
pub fn demo_dir() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo")
}

/// A server on a copy of the demo's folder.
pub struct Mesh {
    pub server: Server,
    pub folder: tempfile::TempDir,
    feeding: tokio::task::JoinHandle<()>,
}

impl Mesh {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(demo_dir()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let health = Arc::new(ConfigHealth::default());
        let source = Box::new(source::Folder::new(folder.path()));
        let started = Feed::start(source, model::Mesh::default(), Arc::clone(&health)).await;
        let (feed, world) = started.unwrap();
        let server = Server::with(Arc::new(world), Duration::from_secs(24 * 3600), health).await;
        let timing = Timing { quiet: Duration::from_millis(20), max: Duration::from_secs(1) };
        let feeding = tokio::spawn(feed.run(Arc::clone(&server.hub), timing));
        Self { server, folder, feeding }
    }

    /// Changes a file as an editor does: a new file in its place.
    pub fn replace(&self, file: &str, changes: &[(&str, &str)]) {
        let path = self.folder.path().join(file);
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} in {text}");
            text = text.replacen(from, to, 1);
        }
        let draft = self.folder.path().join(".draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, path).unwrap();
    }

    /// The control plane goes away and comes back with the same folder; what changed in
    /// between is what clients are sent.
    pub async fn restart(self) -> Self {
        self.feeding.abort();
        let source = Box::new(source::Folder::new(self.folder.path()));
        let health = Arc::clone(&self.server.health);
        let started = Feed::start(source, model::Mesh::default(), health).await;
        let (feed, world) = started.unwrap();
        let server = self.server.restart(Arc::new(world)).await;
        let timing = Timing { quiet: Duration::from_millis(20), max: Duration::from_secs(1) };
        let feeding = tokio::spawn(feed.run(Arc::clone(&server.hub), timing));
        Self { server, folder: self.folder, feeding }
    }

    pub async fn stop(self) {
        self.feeding.abort();
        self.server.running.stop().await;
    }
}
