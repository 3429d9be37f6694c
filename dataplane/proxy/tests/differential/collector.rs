//! A collector of OTLP's logs, by tonic: it keeps what it was sent.

// Each test program takes what it needs.
#![allow(dead_code)]

use std::convert::Infallible;
use std::future::Ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scope_logs: Vec<ScopeLogs>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "2")]
    pub(crate) dropped_attributes_count: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ScopeLogs {
    /// An `InstrumentationScope`, if there is one.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(crate) scope: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) log_records: Vec<LogRecord>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub(crate) time_unix_nano: u64,
    #[prost(fixed64, tag = "11")]
    pub(crate) observed_time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub(crate) severity_number: i32,
    #[prost(string, tag = "3")]
    pub(crate) severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "7")]
    pub(crate) dropped_attributes_count: u32,
    #[prost(fixed32, tag = "8")]
    pub(crate) flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) span_id: Vec<u8>,
    #[prost(string, tag = "12")]
    pub(crate) event_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
    #[prost(double, tag = "4")]
    Real(f64),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Map(Map),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct List {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Map {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExportLogsServiceResponse {}

/// A call: its path, its head, its message.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) uri: http::Uri,
    pub(crate) fields: http::HeaderMap,
    pub(crate) message: ExportLogsServiceRequest,
}

/// A server on a thread of its own, gone when it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    _runtime: Runtime,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::default();
        let logs = Logs { calls: Arc::clone(&calls) };
        runtime.spawn(async move {
            let router = tonic::transport::Server::builder().add_service(logs);
            router.serve_with_incoming(TcpListenerStream::new(listener)).await
        });
        Self { address, calls, _runtime: runtime }
    }

    /// What it was sent so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("kept").clone()
    }
}

#[derive(Clone)]
struct Logs {
    calls: Arc<Mutex<Vec<Call>>>,
}

impl NamedService for Logs {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

impl Service<http::Request<Body>> for Logs {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        type Answer = Ready<Result<Response<ExportLogsServiceResponse>, Status>>;
        let (calls, uri) = (Arc::clone(&self.calls), request.uri().clone());
        let fields = request.headers().clone();
        let take = tower::service_fn(move |request: Request<_>| -> Answer {
            let (uri, fields) = (uri.clone(), fields.clone());
            calls.lock().expect("kept").push(Call { uri, fields, message: request.into_inner() });
            std::future::ready(Ok(Response::new(ExportLogsServiceResponse {})))
        });
        Box::pin(async move {
            let codec =
                ProstCodec::<ExportLogsServiceResponse, ExportLogsServiceRequest>::default();
            Ok(Grpc::new(codec).unary(take, request).await)
        })
    }
}
