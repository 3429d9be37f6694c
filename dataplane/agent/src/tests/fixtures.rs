//! A control plane and a certificate authority in the test's own process.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::ca::{
    CertificateServer, CertificateService, IstioCertificateRequest, IstioCertificateResponse,
};
use api::envoy::Any;
use api::envoy::ads_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer};
use api::envoy::cluster::Cluster;
use api::envoy::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use api::envoy::listener::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use crate::target::{Address, Target};
use crate::xds::Kind;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream as the test sees it: what the client said, and a way to answer.
pub(crate) struct Conversation {
    heard: mpsc::Receiver<Heard>,
    pub(crate) say: Say,
    pub(crate) metadata: tonic::metadata::MetadataMap,
}

/// Either form of a request, reduced to what tests look at.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) kind: Option<Kind>,
    pub(crate) names: Vec<String>,
    pub(crate) nonce: String,
    pub(crate) error: String,
    pub(crate) known: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) enum Say {
    World(mpsc::Sender<Result<DiscoveryResponse, Status>>),
    Delta(mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>),
}

struct Server(mpsc::Sender<Conversation>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Server {
    type StreamAggregatedResourcesStream = Out<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Out<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (say, answers) = mpsc::channel(16);
        let metadata = request.metadata().clone();
        let mut stream = request.into_inner();
        let (tell, heard) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok(Some(request)) = stream.message().await {
                let heard = Heard {
                    kind: Kind::of(&request.type_url),
                    names: request.resource_names,
                    nonce: request.response_nonce,
                    error: request.error_detail.map(|e| e.message).unwrap_or_default(),
                    known: BTreeMap::from([("".into(), request.version_info)]),
                };
                let _ = tell.send(heard).await;
            }
        });
        let _ = self.0.send(Conversation { heard, say: Say::World(say), metadata }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (say, answers) = mpsc::channel(16);
        let metadata = request.metadata().clone();
        let mut stream = request.into_inner();
        let (tell, heard) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok(Some(request)) = stream.message().await {
                let gone = request.resource_names_unsubscribe.iter().map(|name| format!("-{name}"));
                let heard = Heard {
                    kind: Kind::of(&request.type_url),
                    names: request.resource_names_subscribe.into_iter().chain(gone).collect(),
                    nonce: request.response_nonce,
                    error: request.error_detail.map(|e| e.message).unwrap_or_default(),
                    known: request.initial_resource_versions.into_iter().collect(),
                };
                let _ = tell.send(heard).await;
            }
        });
        let _ = self.0.send(Conversation { heard, say: Say::Delta(say), metadata }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

impl Conversation {
    pub(crate) async fn hear(&mut self) -> Heard {
        let heard = tokio::time::timeout(Duration::from_secs(10), self.heard.recv()).await;
        heard.expect("the client is silent").expect("the client has gone")
    }

    /// Sends resources by name, all as the kind's own message; `!name` in delta removes.
    pub(crate) async fn push(&self, kind: Kind, nonce: &str, names: &[&str]) {
        let body = |name: &str| match kind {
            Kind::Listener => api::pack(&Listener { name: name.into(), ..Default::default() }),
            _ => api::pack(&Cluster { name: name.into(), ..Default::default() }),
        };
        let all = names.iter().map(|name| match name.strip_prefix('!') {
            Some(gone) => (gone.to_owned(), None),
            None => ((*name).to_owned(), Some(body(name))),
        });
        self.push_bodies(kind, nonce, all.collect()).await;
    }

    /// Sends resources; those without a body are removed.
    pub(crate) async fn push_bodies(
        &self,
        kind: Kind,
        nonce: &str,
        all: Vec<(String, Option<Any>)>,
    ) {
        let type_url = kind.type_url().to_owned();
        match &self.say {
            Say::World(say) => {
                let resources = all.into_iter().filter_map(|(_, body)| body).collect();
                let (nonce, version_info) = (nonce.into(), format!("v-{nonce}"));
                let response = DiscoveryResponse {
                    type_url,
                    nonce,
                    version_info,
                    resources,
                    ..Default::default()
                };
                say.send(Ok(response)).await.unwrap();
            }
            Say::Delta(say) => {
                let (set, gone): (Vec<_>, Vec<_>) =
                    all.into_iter().partition(|(_, body)| body.is_some());
                let resource = |(name, resource): (String, Option<Any>)| Resource {
                    name,
                    version: nonce.into(),
                    resource,
                    ..Default::default()
                };
                let response = DeltaDiscoveryResponse {
                    type_url,
                    nonce: nonce.into(),
                    resources: set.into_iter().map(resource).collect(),
                    removed_resources: gone.into_iter().map(|(name, _)| name).collect(),
                    ..Default::default()
                };
                say.send(Ok(response)).await.unwrap();
            }
        }
    }
}

/// An ADS server on loopback: its port, and each stream as it comes.
pub(crate) async fn ads_server() -> (u16, mpsc::Receiver<Conversation>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, conversations) = mpsc::channel(4);
    let service = AggregatedDiscoveryServiceServer::new(Server(sender));
    let serve = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(serve.serve_with_incoming(TcpListenerStream::new(listener)));
    (port, conversations)
}

/// A certificate authority that signs what a token asks for.
pub(crate) struct Authority {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) calls: Arc<AtomicUsize>,
    /// The first so many calls are refused.
    pub(crate) refusals: usize,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, calls: Arc::default(), refusals: 0 }
    }

    /// Chain and key in PEM for a DNS name.
    pub(crate) fn server_files(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["ringwayd.test".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[tonic::async_trait]
impl CertificateService for Authority {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if request.metadata().get("authorization").is_none_or(|token| token != "Bearer token") {
            return Err(Status::unauthenticated("who are you"));
        }
        if call < self.refusals {
            return Err(Status::unavailable("not yet"));
        }
        let request = request.into_inner();
        let csr = CertificateSigningRequestParams::from_pem(&request.csr)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        assert_eq!(request.validity_duration, 86_400);
        let leaf = csr.signed_by(&self.issuer).unwrap();
        // Istio's authority ends its elements without a line break.
        let leaf = leaf.pem().trim_end().to_owned();
        Ok(Response::new(IstioCertificateResponse { cert_chain: vec![leaf, self.issuer.pem()] }))
    }
}

/// Serves the authority; TLS if it is given a chain and a key.
pub(crate) async fn serve(authority: Authority, files: Option<(String, String)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tonic::transport::Server::builder().add_service(CertificateServer::new(authority));
    serve_on(listener, server, files);
    port
}

/// Serves anything; TLS if it is given a chain and a key.
pub(crate) fn serve_on(listener: TcpListener, server: Router, files: Option<(String, String)>) {
    let incoming = TcpListenerStream::new(listener);
    match files {
        None => drop(tokio::spawn(server.serve_with_incoming(incoming))),
        Some((chain, key)) => {
            let identity = tls::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
            let mut config = ServerConfig::builder_with_provider(tls::provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    identity.chain().to_vec(),
                    rustls_pki_types::pem::PemObject::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap();
            config.alpn_protocols = vec![b"h2".to_vec()];
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let streams = incoming.then(move |stream| {
                let acceptor = acceptor.clone();
                async move {
                    // tonic knows how to serve a pipe, but not this TLS stream.
                    let mut stream = acceptor.accept(stream?).await?;
                    let (mut near, far) = tokio::io::duplex(64 * 1024);
                    tokio::spawn(async move {
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut near).await;
                    });
                    Ok::<_, std::io::Error>(far)
                }
            });
            let streams = streams.filter(Result::is_ok);
            drop(tokio::spawn(server.serve_with_incoming(streams)));
        }
    }
}

/// A plaintext target on loopback with a token.
pub(crate) fn target(port: u16, directory: &std::path::Path) -> Target {
    let token_file = directory.join("token");
    std::fs::write(&token_file, "token\n").unwrap();
    Target {
        address: Address::Tcp("127.0.0.1".into(), port),
        tls: None,
        token_file: Some(token_file),
        metadata: Vec::new(),
    }
}

/// Waits up to ten seconds.
pub(crate) async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen within 10 s");
}
