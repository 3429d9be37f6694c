//! A control plane that knows one route configuration in many generations.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// What of a `DiscoveryRequest` is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Asked {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "4")]
    type_url: String,
    /// A `Status`, if something was refused.
    #[prost(bytes = "vec", optional, tag = "6")]
    error: Option<Vec<u8>>,
}

/// A `DiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Any>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// A server on threads of its own, gone when it is dropped.
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    runtime: Runtime,
    /// The generation that may be told of, and the one that has been acknowledged.
    allowed: watch::Sender<u32>,
    acknowledged: watch::Receiver<u32>,
    changes: u32,
}

#[derive(Clone)]
struct Discovery {
    allowed: watch::Receiver<u32>,
    acknowledged: Arc<watch::Sender<u32>>,
}

impl Control {
    /// Tells of the first generation, and waits.
    pub(crate) fn start(changes: u32) -> Self {
        let (allowed, may_tell) = watch::channel(1);
        let (told, acknowledged) = watch::channel(0);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let discovery = Discovery { allowed: may_tell, acknowledged: Arc::new(told) };
        runtime.spawn(async move {
            let router = tonic::transport::Server::builder().add_service(discovery);
            router.serve_with_incoming(TcpListenerStream::new(listener)).await
        });
        Self { address, runtime, allowed, acknowledged, changes }
    }

    /// One generation after the other, each when the one before has been taken.
    pub(crate) fn change_all(&self) {
        let mut acknowledged = self.acknowledged.clone();
        let all = async {
            for generation in 1..=self.changes {
                self.allowed.send_replace(generation);
                let taken = acknowledged.wait_for(|taken| *taken >= generation);
                let within = tokio::time::timeout(Duration::from_secs(20), taken).await;
                within
                    .unwrap_or_else(|_| panic!("{generation} is not taken in time"))
                    .expect("the server runs");
                // Some requests shall see each for a while.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        self.runtime.block_on(all);
    }
}

impl NamedService for Discovery {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<http::Request<Body>> for Discovery {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let discovery = self.clone();
        let stream = move |request: Request<Streaming<Asked>>| {
            let (to, answers) = mpsc::channel(4);
            tokio::spawn(discovery.clone().converse(request.into_inner(), to));
            async { Ok::<_, Status>(Response::new(ReceiverStream::new(answers))) }
        };
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.streaming(service_fn(stream), request).await)
        })
    }
}

impl Discovery {
    /// Tells of each generation once the one before is acknowledged.
    async fn converse(
        mut self,
        mut requests: Streaming<Asked>,
        to: mpsc::Sender<Result<Told, Status>>,
    ) {
        let mut generation = 0;
        while let Ok(Some(asked)) = requests.message().await {
            assert_eq!(asked.error, None, "generation {generation} is refused");
            if asked.type_url != ROUTES {
                // Clusters and listeners stand in the file; there are no others.
                let none = Told { version: "1".to_owned(), ..Told::default() };
                let none = Told { type_url: asked.type_url, nonce: "n".to_owned(), ..none };
                if asked.version.is_empty() && to.send(Ok(none)).await.is_err() {
                    return;
                }
                continue;
            }
            if !asked.version.is_empty() {
                assert_eq!(asked.version, generation.to_string());
                self.acknowledged.send_replace(generation);
            }
            generation += 1;
            if self.allowed.wait_for(|allowed| *allowed >= generation).await.is_err() {
                return;
            }
            let value = routes(generation).encode_to_vec();
            let told = Told {
                version: generation.to_string(),
                resources: vec![Any { type_url: ROUTES.to_owned(), value }],
                type_url: ROUTES.to_owned(),
                nonce: format!("n{generation}"),
            };
            if to.send(Ok(told)).await.is_err() {
                return;
            }
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RouteConfiguration {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    hosts: Vec<VirtualHost>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VirtualHost {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    domains: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    routes: Vec<Route>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Route {
    #[prost(message, optional, tag = "1")]
    matches: Option<Prefix>,
    #[prost(message, optional, tag = "2")]
    forward: Option<Forward>,
    #[prost(message, optional, tag = "7")]
    direct: Option<Direct>,
    #[prost(message, repeated, tag = "9")]
    request_headers: Vec<Added>,
    #[prost(message, repeated, tag = "10")]
    response_headers: Vec<Added>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Prefix {
    #[prost(string, tag = "1")]
    prefix: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Forward {
    #[prost(string, tag = "1")]
    cluster: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Direct {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(message, optional, tag = "2")]
    body: Option<Text>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "3")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Added {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The status of a generation's direct answer.
pub(crate) fn status(generation: u32) -> u32 {
    201 + generation % 3
}

/// One generation: it can be told by the request's head, the answer's head, status and body.
fn routes(generation: u32) -> RouteConfiguration {
    let header = Header { key: "x-generation".to_owned(), value: generation.to_string() };
    let added = vec![Added { header: Some(header) }];
    let prefix = |prefix: &str| Some(Prefix { prefix: prefix.to_owned() });
    let body = Some(Text { text: generation.to_string() });
    let direct = Route {
        matches: prefix("/direct"),
        direct: Some(Direct { status: status(generation), body }),
        response_headers: added.clone(),
        ..Route::default()
    };
    let forward = Route {
        matches: prefix("/"),
        forward: Some(Forward { cluster: "up".to_owned() }),
        request_headers: added.clone(),
        response_headers: added,
        ..Route::default()
    };
    let host = VirtualHost {
        name: "all".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![direct, forward],
    };
    RouteConfiguration { name: "routes".to_owned(), hosts: vec![host] }
}
