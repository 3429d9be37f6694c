//! gRPC's interoperability cases by tonic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, IntoStreamingRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::messages::{
    EchoStatus, Empty, INITIAL, Input, MESSAGE_BYTES_MAX, Number, OutputRequest, Payload, SERVICE,
    SimpleRequest, SimpleResponse, TRAILING,
};
use crate::place::papers;

const SPECIAL: &str =
    "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";

/// All cases against the server of that name behind the proxy.
pub(crate) fn check(proxy: SocketAddr, tls: bool, to: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let all = async {
        let stub = Stub { channel: connect(proxy, tls).await, to };
        unary_calls(&stub).await;
        streams(&stub).await;
        metadata(&stub).await;
        statuses(&stub).await;
        cancellations(&stub).await;
    };
    let all = async { tokio::time::timeout(Duration::from_secs(60), all).await };
    runtime.expect("a runtime").block_on(all).expect("it takes less than a minute");
}

async fn connect(proxy: SocketAddr, tls: bool) -> Channel {
    if !tls {
        let endpoint = Endpoint::from_shared(format!("http://{proxy}")).expect("an address");
        return endpoint.connect().await.expect("the proxy accepts");
    }
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(&papers().authority).expect("a certificate");
    roots.add(root).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(proxy).await?;
            let name = ServerName::try_from("localhost").expect("a name");
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connect).await.expect("the proxy accepts")
}

struct Stub {
    channel: Channel,
    to: &'static str,
}

impl Stub {
    async fn grpc(&self) -> Grpc<Channel> {
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.expect("the connection stands");
        grpc
    }

    fn to<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-to", MetadataValue::from_static(self.to));
        request
    }

    async fn unary<T, U>(&self, path: &str, request: Request<T>) -> Result<Response<U>, Status>
    where
        T: prost::Message + Send + 'static,
        U: prost::Message + Default + Send + 'static,
    {
        self.grpc().await.unary(request, at(path), ProstCodec::default()).await
    }

    async fn call(&self, request: SimpleRequest) -> Result<Response<SimpleResponse>, Status> {
        self.unary("UnaryCall", self.to(request)).await
    }

    async fn duplex(
        &self,
        requests: Request<impl IntoRequests>,
    ) -> Result<Response<Streaming<SimpleResponse>>, Status> {
        let request = requests.map(IntoRequests::stream).into_streaming_request();
        self.grpc().await.streaming(request, at("FullDuplexCall"), ProstCodec::default()).await
    }

    async fn cancelled(&self) -> i32 {
        let so_many: Response<Number> =
            self.unary("Cancelled", self.to(Empty {})).await.expect("answered");
        so_many.into_inner().value
    }
}

/// What a stream of requests is made of.
trait IntoRequests {
    fn stream(self) -> ReceiverStream<OutputRequest>;
}

impl IntoRequests for Vec<OutputRequest> {
    fn stream(self) -> ReceiverStream<OutputRequest> {
        let (to, requests) = tokio::sync::mpsc::channel(self.len().max(1));
        for request in self {
            to.try_send(request).expect("room for all");
        }
        ReceiverStream::new(requests)
    }
}

impl IntoRequests for tokio::sync::mpsc::Receiver<OutputRequest> {
    fn stream(self) -> ReceiverStream<OutputRequest> {
        ReceiverStream::new(self)
    }
}

/// A path of the service, or one that is given whole.
fn at(path: &str) -> PathAndQuery {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{SERVICE}{path}") };
    PathAndQuery::try_from(path).expect("a path")
}

fn len(response: &SimpleResponse) -> usize {
    response.payload.as_ref().map_or(0, |payload| payload.body.len())
}

fn simple(asked: i32, sent: usize) -> SimpleRequest {
    SimpleRequest { response_size: asked, payload: Payload::of(sent), ..SimpleRequest::default() }
}

async fn unary_calls(stub: &Stub) {
    let empty: Response<Empty> = stub.unary("EmptyCall", stub.to(Empty {})).await.expect("empty");
    assert_eq!(empty.into_inner(), Empty {});
    for (asked, sent) in [(314_159, 271_828), (8_000_000, 8_000_000), (0, 0)] {
        let answer = stub.call(simple(asked, sent)).await.expect("answered").into_inner();
        assert_eq!(len(&answer), asked as usize);
    }
    let deadline = SimpleRequest { asks_deadline: Some(Vec::new()), ..SimpleRequest::default() };
    let mut request = stub.to(deadline);
    request.set_timeout(Duration::from_secs(50));
    let answer: Response<SimpleResponse> = stub.unary("UnaryCall", request).await.expect("left");
    let left = answer.into_inner().seconds_left.expect("a deadline");
    assert!((20..=50).contains(&left), "{left} s of the deadline are left");
    let mut calls = tokio::task::JoinSet::new();
    for size in 0..50 {
        let stub = Stub { channel: stub.channel.clone(), to: stub.to };
        calls.spawn(async move { (size, stub.call(simple(size, 9)).await) });
    }
    while let Some(call) = calls.join_next().await {
        let (size, answer) = call.expect("no panic");
        assert_eq!(len(&answer.expect("answered").into_inner()), size as usize);
    }
}

async fn streams(stub: &Stub) {
    let sizes = [27_182, 8, 1_828, 45_904];
    let inputs = sizes.map(|size| Input { payload: Payload::of(size) });
    let request = stub.to(tokio_stream::iter(inputs));
    let path = at("StreamingInputCall");
    let codec: ProstCodec<Input, Number> = ProstCodec::default();
    let sum = stub.grpc().await.client_streaming(request, path, codec).await.expect("a sum");
    assert_eq!(sum.into_inner().value, 74_922);
    let sizes = [31_415, 9, 2_653, 58_979];
    let request = stub.to(OutputRequest::of(&sizes));
    let codec: ProstCodec<OutputRequest, SimpleResponse> = ProstCodec::default();
    let path = at("StreamingOutputCall");
    let outputs = stub.grpc().await.server_streaming(request, path, codec).await;
    let mut outputs = outputs.expect("a stream").into_inner();
    for size in sizes {
        let answer = outputs.message().await.expect("goes on").expect("one more");
        assert_eq!(len(&answer), size as usize);
    }
    assert!(outputs.message().await.expect("ends well").is_none());
    let (to, requests) = tokio::sync::mpsc::channel(1);
    to.send(OutputRequest::of(&[1])).await.expect("room");
    let mut answers = stub.duplex(stub.to(requests)).await.expect("a stream").into_inner();
    for size in sizes {
        assert!(len(&answers.message().await.expect("goes on").expect("one more")) > 0);
        to.send(OutputRequest::of(&[size])).await.expect("room");
    }
    drop(to);
    assert_eq!(len(&answers.message().await.expect("goes on").expect("the last")), 58_979);
    assert!(answers.message().await.expect("ends well").is_none());
    let none = stub.duplex(stub.to(Vec::new())).await.expect("a stream");
    assert!(none.into_inner().message().await.expect("ends well").is_none());
}

async fn metadata(stub: &Stub) {
    let (value, trailing) = ("test_initial_metadata_value", &b"\xab\xab\xab"[..]);
    let mut request = stub.to(vec![OutputRequest::of(&[314_159])]);
    request.metadata_mut().insert(INITIAL, MetadataValue::from_static(value));
    request.metadata_mut().insert_bin(TRAILING, MetadataValue::from_bytes(trailing));
    let answers = stub.duplex(request).await.expect("a stream");
    assert_eq!(answers.metadata().get(INITIAL).expect("echoed"), value);
    let mut answers = answers.into_inner();
    assert_eq!(len(&answers.message().await.expect("goes on").expect("one")), 314_159);
    assert!(answers.message().await.expect("ends well").is_none());
    let trailers = answers.trailers().await.expect("ends well").expect("trailers");
    assert_eq!(trailers.get_bin(TRAILING).expect("echoed").to_bytes().expect("bytes"), trailing);
}

async fn statuses(stub: &Stub) {
    for message in ["test status message", SPECIAL] {
        let status = Some(EchoStatus { code: 2, message: message.to_owned() });
        let request = SimpleRequest { response_status: status.clone(), ..SimpleRequest::default() };
        let failed = stub.call(request).await.expect_err("a failure");
        assert_eq!((failed.code(), failed.message()), (Code::Unknown, message));
        let request = OutputRequest { response_status: status, ..OutputRequest::default() };
        let failed = match stub.duplex(stub.to(vec![request])).await {
            Ok(answers) => answers.into_inner().message().await.expect_err("a failure"),
            Err(status) => status,
        };
        assert_eq!((failed.code(), failed.message()), (Code::Unknown, message));
    }
    for path in ["UnimplementedCall", "/grpc.testing.UnimplementedService/UnimplementedCall"] {
        let failed = stub.unary::<_, Empty>(path, stub.to(Empty {})).await;
        assert_eq!(failed.expect_err("a failure").code(), Code::Unimplemented, "{path}");
    }
    let lonely = Stub { channel: stub.channel.clone(), to: "dead" };
    let failed = lonely.unary::<_, Empty>("EmptyCall", lonely.to(Empty {})).await;
    assert_eq!(failed.expect_err("a failure").code(), Code::Unavailable);
}

async fn cancellations(stub: &Stub) {
    let before = stub.cancelled().await;
    let mut request = OutputRequest::of(&[31_415, 1]);
    request.parameters[1].interval_us = 30_000_000;
    let (path, codec) = (at("StreamingOutputCall"), ProstCodec::default());
    let answers = stub.grpc().await.server_streaming(stub.to(request), path, codec).await;
    let mut answers: Streaming<SimpleResponse> = answers.expect("a stream").into_inner();
    assert_eq!(len(&answers.message().await.expect("goes on").expect("one")), 31_415);
    drop(answers);
    let told = async {
        while stub.cancelled().await == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("the server is told");
    let (_to, requests) = tokio::sync::mpsc::channel(1);
    let mut request = stub.to(requests);
    request.set_timeout(Duration::from_millis(100));
    let failed = match stub.duplex(request).await {
        Ok(answers) => answers.into_inner().message().await.expect_err("a failure"),
        Err(status) => status,
    };
    assert!(matches!(failed.code(), Code::DeadlineExceeded | Code::Cancelled), "{failed}");
}
