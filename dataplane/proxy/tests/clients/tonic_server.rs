//! `grpc.testing.TestService` by tonic.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::messages::{
    EchoStatus, Empty, INITIAL, Input, MESSAGE_BYTES_MAX, Number, OutputRequest, Payload, SERVICE,
    SimpleRequest, SimpleResponse, TRAILING,
};
use crate::place::papers;

type Answers = ReceiverStream<Result<SimpleResponse, Status>>;
type Sender = tokio::sync::mpsc::Sender<Result<SimpleResponse, Status>>;

/// A server on threads of its own, gone when it is dropped.
pub(crate) struct Server {
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start(address: SocketAddr, tls: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(2).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(address)).expect("a free port");
        runtime.spawn(async move {
            let router = tonic::transport::Server::builder().add_service(Tests::default());
            let incoming = TcpListenerStream::new(listener);
            match tls {
                false => router.serve_with_incoming(incoming).await,
                true => router.serve_with_incoming(secured(incoming)).await,
            }
        });
        Self { _runtime: runtime }
    }
}

/// Connections after their handshake, as pipes: tonic knows how to serve those.
fn secured(
    incoming: impl Stream<Item = std::io::Result<tokio::net::TcpStream>>,
) -> impl Stream<Item = std::io::Result<tokio::io::DuplexStream>> {
    let certificate = PemObject::from_pem_file(&papers().certificate).expect("a certificate");
    let key = PemObject::from_pem_file(&papers().key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    incoming.map(move |stream| {
        let (acceptor, stream) = (acceptor.clone(), stream?);
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut near).await;
            }
        });
        Ok(far)
    })
}

#[derive(Clone, Default)]
struct Tests {
    cancelled: Arc<AtomicI32>,
}

impl NamedService for Tests {
    const NAME: &'static str = "grpc.testing.TestService";
}

impl Service<http::Request<Body>> for Tests {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let name = request.uri().path().strip_prefix(SERVICE).unwrap_or_default().to_owned();
        let cancelled = Arc::clone(&self.cancelled);
        let count = move |_: Request<Empty>| {
            let value = cancelled.load(Ordering::Relaxed);
            async move { Ok(Response::new(Number { value })) }
        };
        let cancelled = Arc::clone(&self.cancelled);
        let duplex = move |request| duplex(request, Arc::clone(&cancelled));
        let cancelled = Arc::clone(&self.cancelled);
        let outputs = move |request| outputs(request, Arc::clone(&cancelled));
        let trailing = request.headers().get(TRAILING).cloned();
        Box::pin(async move {
            let response = match &*name {
                "EmptyCall" => grpc().unary(service_fn(empty), request).await,
                "UnaryCall" => grpc().unary(service_fn(unary), request).await,
                "Cancelled" => grpc().unary(service_fn(count), request).await,
                "StreamingInputCall" => grpc().client_streaming(service_fn(inputs), request).await,
                "StreamingOutputCall" => {
                    grpc().server_streaming(service_fn(outputs), request).await
                }
                "FullDuplexCall" => grpc().streaming(service_fn(duplex), request).await,
                _ => Status::unimplemented("").into_http(),
            };
            Ok(match trailing {
                Some(value) => response.map(|body| with_trailer(body, value)),
                None => response,
            })
        })
    }
}

/// The body with one more field in its trailers.
fn with_trailer(body: Body, value: http::HeaderValue) -> Body {
    Body::new(body.map_frame(move |frame| match frame.into_trailers() {
        Ok(mut trailers) => {
            trailers.insert(TRAILING, value.clone());
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }))
}

fn grpc<T, U>() -> Grpc<ProstCodec<T, U>>
where
    T: prost::Message + Send + 'static,
    U: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// An answer with the metadata that the request asks for.
fn with_echo<T>(metadata: &MetadataMap, answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    if let Some(value) = metadata.get(INITIAL) {
        response.metadata_mut().insert(INITIAL, value.clone());
    }
    response
}

/// The status that a request asks for, if it asks for one.
fn asked(status: Option<EchoStatus>) -> Result<(), Status> {
    status.map_or(Ok(()), |status| Err(Status::new(Code::from(status.code), status.message)))
}

async fn empty(_: Request<Empty>) -> Result<Response<Empty>, Status> {
    Ok(Response::new(Empty {}))
}

async fn unary(request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
    let (metadata, _, message) = request.into_parts();
    asked(message.response_status)?;
    let payload = Payload::of(message.response_size as usize);
    let seconds_left = message.asks_deadline.and_then(|_| seconds_left(&metadata));
    Ok(with_echo(&metadata, SimpleResponse { payload, seconds_left }))
}

/// The deadline as it came: digits and a unit.
fn seconds_left(metadata: &MetadataMap) -> Option<i32> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let per_second = match unit {
        "S" => 1,
        "m" => 1_000,
        "u" => 1_000_000,
        "n" => 1_000_000_000,
        _ => return None,
    };
    Some((digits.parse::<i64>().ok()? / per_second) as i32)
}

async fn inputs(request: Request<Streaming<Input>>) -> Result<Response<Number>, Status> {
    let (mut all, mut value) = (request.into_inner(), 0);
    while let Some(input) = all.message().await? {
        value += input.payload.map_or(0, |payload| payload.body.len() as i32);
    }
    Ok(Response::new(Number { value }))
}

/// Sends what one request asks for. False: nobody takes it any more.
async fn send(request: OutputRequest, to: &Sender) -> bool {
    for parameters in request.parameters {
        tokio::time::sleep(Duration::from_micros(parameters.interval_us as u64)).await;
        let payload = Payload::of(parameters.size as usize);
        if to.send(Ok(SimpleResponse { payload, seconds_left: None })).await.is_err() {
            return false;
        }
    }
    match asked(request.response_status) {
        Ok(()) => true,
        Err(status) => {
            let _ = to.send(Err(status)).await;
            false
        }
    }
}

async fn outputs(
    request: Request<OutputRequest>,
    cancelled: Arc<AtomicI32>,
) -> Result<Response<Answers>, Status> {
    let (to, answers) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        tokio::select! {
            _ = send(request.into_inner(), &to) => {}
            () = to.closed() => {
                cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    Ok(Response::new(ReceiverStream::new(answers)))
}

async fn duplex(
    request: Request<Streaming<OutputRequest>>,
    cancelled: Arc<AtomicI32>,
) -> Result<Response<Answers>, Status> {
    let (metadata, _, mut requests) = request.into_parts();
    let (to, answers) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            match requests.message().await {
                Ok(Some(request)) => {
                    if !send(request, &to).await {
                        return;
                    }
                }
                // The end of the requests, or of the stream: tonic tells them apart only by whether
                // the answers are still wanted.
                _ => {
                    let unwanted = tokio::time::timeout(Duration::from_millis(50), to.closed());
                    let is_cancelled = unwanted.await.is_ok();
                    cancelled.fetch_add(i32::from(is_cancelled), Ordering::Relaxed);
                    return;
                }
            }
        }
    });
    Ok(with_echo(&metadata, ReceiverStream::new(answers)))
}
