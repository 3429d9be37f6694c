//! Collectors by tonic: good ones, slow ones, and none at all.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use api::envoy::cluster;
use api::envoy::otlp::{AnyValue, KeyValue, any_value::Value};
use config::snapshot::Bound;
use config::{Origin, Update};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::outbox::WAITING_MAX;
use super::*;
use crate::run::Keep;
use crate::tests::fixtures::{Authority, serve_on, wait_for};
use crate::{Applier, Outbox};

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(string, tag = "3")]
    severity_text: String,
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
}

/// Records with these numbers, as workers write them.
fn records(numbers: std::ops::Range<u64>, padding: usize) -> Vec<u8> {
    let record = |number| LogRecord { time_unix_nano: number, severity_text: "x".repeat(padding) };
    ScopeLogs { log_records: numbers.map(record).collect() }.encode_to_vec()
}

/// A call: its head, its attributes, the numbers of its records.
struct Heard {
    authority: String,
    fields: http::HeaderMap,
    attributes: Vec<(String, Option<Value>)>,
    numbers: Vec<u64>,
}

/// Each call takes a permit, and is answered with the records that are refused, or not at all.
#[derive(Clone)]
struct Server {
    heard: mpsc::UnboundedSender<Heard>,
    permits: Arc<Semaphore>,
    answer: Result<i64, tonic::Code>,
}

impl NamedService for Server {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

impl Service<http::Request<Body>> for Server {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { heard, permits, answer } = self.clone();
        assert!(request.uri().path().ends_with("LogsService/Export"));
        let authority = request.uri().authority().expect("an authority").to_string();
        let fields = request.headers().clone();
        let take = move |request: Request<ExportLogsServiceRequest>| {
            let message = request.into_inner();
            let [logs] = &message.resource_logs[..] else { panic!("{message:?}") };
            let [scope] = &logs.scope_logs[..] else { panic!("{logs:?}") };
            let attributes = &logs.resource.as_ref().expect("a resource").attributes;
            let attributes = attributes.iter().cloned();
            let value = |value: Option<AnyValue>| value.and_then(|value| value.value);
            let heard = heard.send(Heard {
                authority: authority.clone(),
                fields: fields.clone(),
                attributes: attributes.map(|pair| (pair.key, value(pair.value))).collect(),
                numbers: scope.log_records.iter().map(|one| one.time_unix_nano).collect(),
            });
            heard.expect("the test listens");
            let rejected = answer.map_err(|code| Status::new(code, "no"));
            let partial_success =
                rejected.map(|rejected_log_records| PartialSuccess { rejected_log_records });
            let answer = partial_success.map(|partial| {
                Response::new(ExportLogsServiceResponse { partial_success: Some(partial) })
            });
            std::future::ready(answer)
        };
        Box::pin(async move {
            permits.acquire().await.expect("open").forget();
            let mut grpc = Grpc::new(ProstCodec::<
                ExportLogsServiceResponse,
                ExportLogsServiceRequest,
            >::default());
            type Answer = Ready<Result<Response<ExportLogsServiceResponse>, Status>>;
            let take = tower::service_fn(move |request| -> Answer { take(request) });
            Ok(grpc.unary(take, request).await)
        })
    }
}

/// A collector that may be called so many times.
struct Collecting {
    address: SocketAddr,
    permits: Arc<Semaphore>,
    calls: mpsc::UnboundedReceiver<Heard>,
}

impl Collecting {
    async fn start(permits: usize, answer: Result<i64, tonic::Code>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, permits, answer, None)
    }

    fn on(
        listener: TcpListener,
        permits: usize,
        answer: Result<i64, tonic::Code>,
        files: Option<(String, String)>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (heard, calls) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(permits));
        let server = Server { heard, permits: permits.clone(), answer };
        serve_on(listener, tonic::transport::Server::builder().add_service(server), files);
        Self { address, permits, calls }
    }

    async fn call(&mut self) -> Heard {
        let call = tokio::time::timeout(Duration::from_secs(20), self.calls.recv()).await;
        call.expect("no call").expect("the server runs")
    }
}

/// What exports to a cluster of one host.
struct Exporting {
    outbox: Outbox,
    collector: Arc<LogCollector>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporting {
    fn start(host: SocketAddr, more: &str, change: impl FnOnce(&mut LogCollector)) -> Self {
        let bind = |_, _: &_| Ok(Arc::new(Bound::default()));
        let mut apply = Applier::new(Box::new(bind), Box::new(|| {}), false);
        let mut update = Update { origin: Origin::File, ..Update::default() };
        let (ip, port) = (host.ip(), host.port());
        let yaml = format!(
            "{{ name: logs|grpc, connect_timeout: 5s, load_assignment: {{ cluster_name: c, \
             endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: \
             {{ address: {ip}, port_value: {port} }} }} }} }}] }}] }}{more} }}"
        );
        update.clusters.push(api::text::parse::<cluster::Cluster>(&yaml).unwrap());
        assert_eq!(apply.load_file(update), []);
        let snapshot = apply.reader().load();
        let known = snapshot.clusters.iter().flatten().next().expect("the cluster").clone();
        let mut collector = LogCollector {
            name: "log".into(),
            stat_prefix: "own".into(),
            cluster: known.id,
            cluster_name: known.name.clone(),
            authority: "".into(),
            timeout: Duration::from_secs(20),
            metadata: Vec::new(),
            flush_interval: Duration::from_secs(1),
            buffer_bytes: 16_384,
            has_labels: true,
            attributes: Vec::new(),
        };
        change(&mut collector);
        let (stop, stopped) = watch::channel(false);
        let outbox = Outbox::default();
        let labels = Labels { zone: "z".into(), cluster: "c".into(), node: "n".into() };
        let lookup: Clusters = {
            let apply = std::sync::Mutex::new(apply);
            Arc::new(move |id| apply.lock().expect("applied").cluster(id))
        };
        let task = tokio::spawn(run(outbox.clone(), lookup, labels, stopped));
        Self { outbox, collector: Arc::new(collector), stop, task }
    }

    fn put(&self, numbers: std::ops::Range<u64>) {
        self.outbox.put(&self.collector, &records(numbers, 0));
    }

    /// The figures by their names.
    fn figures(&self) -> BTreeMap<String, u64> {
        let report = self.outbox.report();
        let pairs = report.lines().filter_map(|line| line.split_once(": "));
        pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
    }

    /// Sent, dropped, failed.
    fn fates(&self) -> [u64; 3] {
        let figures = self.figures();
        let of = |name| figures.get(&format!("access_log.log.{name}")).copied().unwrap_or_default();
        ["records_sent", "lines_dropped", "records_failed"].map(of)
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

#[tokio::test]
async fn records_arrive_with_what_is_said_of_them() {
    let mut collecting = Collecting::start(usize::MAX >> 4, Ok(0)).await;
    let pair = |key: &str, value| {
        let value = Some(AnyValue { value: Some(value) });
        let pair = KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
        (key.to_owned(), pair.encode_to_vec())
    };
    let exporting = Exporting::start(collecting.address, "", |collector| {
        collector.authority = "otel.test:4317".into();
        collector.metadata = vec![("X-Token".to_owned(), "t".to_owned())];
        let own = Value::StringValue("own".to_owned());
        collector.attributes = vec![pair("zone_name", own), pair("n", Value::IntValue(7))];
    });
    exporting.put(1..4);
    let call = collecting.call().await;
    assert_eq!((&*call.authority, call.numbers), ("otel.test:4317", vec![1, 2, 3]));
    assert_eq!(call.fields["x-token"], "t");
    let expected = [
        ("log_name", text("log")),
        ("zone_name", text("own")),
        ("cluster_name", text("c")),
        ("node_name", text("n")),
        ("n", Some(Value::IntValue(7))),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(call.attributes, expected);
    wait_for(|| exporting.fates() == [3, 0, 0]).await;
    let figures = exporting.figures();
    assert_eq!(figures["access_logs.open_telemetry_access_log.own.logs_written"], 3);
    assert_eq!(figures["access_logs.open_telemetry_access_log.own.logs_dropped"], 0);
    exporting.end().await;
}

#[tokio::test]
async fn what_comes_during_a_call_goes_with_the_next() {
    let mut collecting = Collecting::start(0, Ok(0)).await;
    let exporting = Exporting::start(collecting.address, "", |collector| {
        collector.buffer_bytes = 0;
        collector.has_labels = false;
    });
    exporting.put(0..1);
    // The call is under way once nothing waits any more.
    wait_for(|| exporting.outbox.waiting_bytes(&exporting.collector) == 0).await;
    for number in 1..50 {
        exporting.put(number..number + 1);
        tokio::task::yield_now().await;
    }
    collecting.permits.add_permits(2);
    assert_eq!(collecting.call().await.numbers, [0]);
    let second = collecting.call().await;
    assert_eq!(second.numbers, (1..50).collect::<Vec<_>>());
    assert!(second.attributes.is_empty());
    // A name that no authority looks like is not sent as one.
    assert_eq!(second.authority, collecting.address.to_string());
    wait_for(|| exporting.fates() == [50, 0, 0]).await;
    exporting.end().await;
}

/// Nobody is there: what waits is limited, all else is dropped and counted, and whoever puts it
/// there goes on. Once somebody is there, what has waited arrives.
#[tokio::test]
async fn a_dead_collector_costs_a_limited_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let exporting = Exporting::start(address, "", |_| {});
    let lines = records(0..40, 1_000);
    let rounds = (8 * WAITING_MAX / lines.len()) as u64;
    for round in 0..rounds {
        exporting.outbox.put(&exporting.collector, &lines);
        let waiting = exporting.outbox.waiting_bytes(&exporting.collector);
        assert!(waiting <= WAITING_MAX, "{waiting}");
        if round % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let [sent, dropped, failed] = exporting.fates();
    assert_eq!((sent, failed), (0, 0), "what was not sent waits");
    let kept = 40 * rounds - dropped;
    let each = lines.len() / 40;
    assert!(kept as usize * each <= WAITING_MAX && (kept as usize + 2) * each >= WAITING_MAX);
    let listener = TcpListener::bind(address).await.unwrap();
    let mut collecting = Collecting::on(listener, usize::MAX >> 4, Ok(0), None);
    assert_eq!(collecting.call().await.numbers.len() as u64, kept);
    wait_for(|| exporting.fates() == [kept, dropped, 0]).await;
    exporting.end().await;
}

/// It takes calls and never answers: each is given up, and its records are lost and counted.
#[tokio::test]
async fn a_silent_collector_is_not_waited_for() {
    let collecting = Collecting::start(0, Ok(0)).await;
    let exporting = Exporting::start(collecting.address, "", |collector| {
        collector.timeout = Duration::from_millis(100);
    });
    exporting.put(0..7);
    wait_for(|| exporting.fates() == [0, 0, 7]).await;
    exporting.put(0..2);
    wait_for(|| exporting.fates() == [0, 0, 9]).await;
    exporting.end().await;
}

#[tokio::test]
async fn what_is_refused_is_counted() {
    for (answer, expected) in
        [(Ok(2), [3, 0, 2]), (Ok(-1), [5, 0, 0]), (Err(tonic::Code::Unavailable), [0, 0, 5])]
    {
        let mut collecting = Collecting::start(usize::MAX >> 4, answer).await;
        let exporting = Exporting::start(collecting.address, "", |_| {});
        exporting.put(0..5);
        assert_eq!(collecting.call().await.numbers.len(), 5);
        wait_for(|| exporting.fates() == expected).await;
        exporting.end().await;
    }
}

#[tokio::test]
async fn records_wait_for_others_and_the_last_do_not() {
    let mut collecting = Collecting::start(usize::MAX >> 4, Ok(0)).await;
    let exporting = Exporting::start(collecting.address, "", |collector| {
        collector.flush_interval = Duration::from_secs(3_600);
        collector.buffer_bytes = 1_000;
    });
    exporting.put(0..1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(collecting.calls.try_recv().is_err(), "it waits");
    exporting.put(1..100);
    assert_eq!(collecting.call().await.numbers.len(), 100);
    exporting.put(100..102);
    exporting.end().await;
    assert_eq!(collecting.call().await.numbers, [100, 101]);
}

#[tokio::test]
async fn a_collector_is_reached_by_tls_as_its_cluster_says() {
    let authority = Authority::new();
    let root = authority.issuer.pem();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = Some(authority.server_files());
    let mut collecting = Collecting::on(listener, usize::MAX >> 4, Ok(0), files);
    let more = format!(
        ", transport_socket: {{ name: tls, typed_config: {{ \"@type\": type.googleapis.com/envoy.\
         extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: ringwayd.test, \
         common_tls_context: {{ validation_context: {{ trusted_ca: {{ inline_string: {} }} }} }} \
         }} }}",
        serde_json::to_string(&root).unwrap()
    );
    let exporting = Exporting::start(collecting.address, &more, |_| {});
    exporting.put(0..3);
    assert_eq!(collecting.call().await.numbers, [0, 1, 2]);
    exporting.end().await;
    // The same without roots that know the server: nothing is sent.
    let other = more.replace(
        &serde_json::to_string(&root).unwrap(),
        &serde_json::to_string(&Authority::new().issuer.pem()).unwrap(),
    );
    let exporting = Exporting::start(collecting.address, &other, |_| {});
    exporting.put(0..3);
    exporting.end().await;
    assert!(collecting.calls.try_recv().is_err());
}

/// A collector that nothing comes for any more is forgotten, and served again when something does.
#[tokio::test]
async fn an_idle_collector_is_let_go() {
    let outbox = Outbox::default();
    let exporting = Exporting::start(([127, 0, 0, 1], 1).into(), "", |_| {});
    let collector = exporting.collector.clone();
    outbox.put(&collector, &records(0..1, 0));
    assert_eq!(outbox.unserved().len(), 1);
    assert!(outbox.unserved().is_empty());
    assert!(!outbox.close(&collector), "something waits");
    assert_eq!(outbox.take(&collector).map(|(_, count)| count), Some(1));
    assert!(outbox.take(&collector).is_none());
    assert!(outbox.close(&collector));
    outbox.put(&collector, &records(0..1, 0));
    assert_eq!(outbox.unserved().len(), 1);
    exporting.end().await;
}
