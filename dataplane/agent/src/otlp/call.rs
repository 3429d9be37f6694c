//! A collector's host: the connection to it, and one call of `LogsService/Export`.

use std::net::SocketAddr;
use std::sync::Arc;

use api::envoy::otlp::{AnyValue, KeyValue, any_value::Value};
use config::snapshot::{Cluster, Endpoint, Health, LogCollector};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::http::uri::Authority;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::backoff::chance;
use crate::connect::Way;

const PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// Hosts that are tried in one go at most.
const TRIES_MAX: usize = 4;
/// `ExportLogsServiceRequest.resource_logs`, `ResourceLogs.resource` and `.scope_logs`
const RESOURCE_LOGS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_LOGS: u32 = 2;

/// A connection to one host.
pub(super) struct Line {
    /// The host.
    pub(super) host: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    /// Scheme and authority.
    root: String,
}

impl Line {
    /// Connects to the first host that answers: healthy ones first, by priority, among equals by
    /// chance.
    pub(super) async fn open(cluster: &Cluster, collector: &LogCollector) -> Result<Self, String> {
        let mut why = "the cluster has no hosts".to_owned();
        for endpoint in hosts(cluster).into_iter().take(TRIES_MAX) {
            let attempt = Self::open_to(cluster, endpoint, collector);
            why = match tokio::time::timeout(cluster.connect_timeout, attempt).await {
                Ok(Ok(line)) => return Ok(line),
                Ok(Err(why)) => format!("{}: {why}", endpoint.address),
                Err(_) => format!("{}: no connection in time", endpoint.address),
            };
        }
        Err(why)
    }

    async fn open_to(
        cluster: &Cluster,
        endpoint: &Endpoint,
        collector: &LogCollector,
    ) -> Result<Self, String> {
        let transport = cluster.transport_of(endpoint.transport);
        let host = endpoint.address;
        // As Envoy's pools of HTTP/2 do.
        let usual = Some(&b"h2"[..]);
        let way = Way { target: host, bind: cluster.bind, transport, alpn: &[], usual };
        let stream = way.connect().await.map_err(|error| error.to_string())?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| crate::target::chain(&error))?;
        // It runs until the half that sends is dropped.
        tokio::spawn(connection);
        let root = format!("{}://{}", way.scheme(), authority(collector, host));
        Ok(Self { host, sender, root })
    }

    /// It may carry another call.
    pub(super) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a message and gives the number of records in it that were refused. To be ended by a
    /// deadline.
    pub(super) async fn export(
        &mut self,
        message: Bytes,
        collector: &LogCollector,
    ) -> Result<u64, String> {
        let mut builder = Request::post(format!("{}{PATH}", self.root))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in &collector.metadata {
            builder = builder.header(name, value);
        }
        let request = builder.body(Full::from(message)).map_err(|error| error.to_string())?;
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|error| crate::target::chain(&error))?;
        let status = answer.status();
        let in_head = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok());
        let in_head = in_head.map(str::to_owned);
        let (body, in_trailers) = crate::health::read(answer.into_body()).await?;
        if !status.is_success() {
            return Err(format!("status {status}"));
        }
        match in_trailers.or(in_head).as_deref() {
            Some("0") => {}
            other => return Err(format!("grpc-status {other:?}")),
        }
        let response = body.get(FRAME_BYTES..).map(ExportLogsServiceResponse::decode);
        match response {
            Some(Ok(ExportLogsServiceResponse { partial_success })) => {
                let refused = partial_success.unwrap_or_default().rejected_log_records;
                Ok(u64::try_from(refused).unwrap_or_default())
            }
            _ => Err("not an answer of the collector's service".to_owned()),
        }
    }
}

/// All hosts in the order in which they are tried.
fn hosts(cluster: &Cluster) -> Vec<&Endpoint> {
    let mut hosts: Vec<_> = cluster.endpoints.hosts.iter().collect();
    // A whole number of hosts is far below what a float holds exactly.
    let first = (chance() * hosts.len() as f64) as usize;
    let first = first.min(hosts.len());
    hosts.rotate_left(first);
    let worth = |health| match health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Unhealthy => 2,
    };
    hosts.sort_by_key(|host| (worth(host.health), host.priority));
    hosts
}

/// What the collector is asked under: as in Envoy the cluster's name where nothing is said. One
/// that no authority looks like would be refused by any server, so that the host is named then.
fn authority(collector: &LogCollector, host: SocketAddr) -> String {
    let said = match &*collector.authority {
        "" => &*collector.cluster_name,
        said => said,
    };
    match said.parse::<Authority>() {
        Ok(authority) => authority.to_string(),
        Err(_) => host.to_string(),
    }
}

/// What stands before a message of gRPC: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportLogsPartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogsPartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

/// Who we are, in the words of the built-in labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    /// `node.locality.zone`
    pub(crate) zone: String,
    /// `node.cluster`
    pub(crate) cluster: String,
    /// `node.id`
    pub(crate) node: String,
}

/// The resource of all calls, encoded. An attribute of the configuration takes the place of a
/// label of the same name.
pub(super) fn resource(collector: &LogCollector, labels: &Labels) -> Vec<u8> {
    let Labels { zone, cluster, node } = labels;
    let labels = [
        ("log_name", &*collector.name),
        ("zone_name", zone),
        ("cluster_name", cluster),
        ("node_name", node),
    ];
    let mut attributes: Vec<KeyValue> = Vec::new();
    for (key, text) in labels.into_iter().filter(|_| collector.has_labels) {
        let value = Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
        attributes.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }
    for (key, encoded) in &collector.attributes {
        // They were encoded by us.
        let Ok(pair) = KeyValue::decode(&encoded[..]) else { continue };
        match attributes.iter_mut().find(|known| known.key == *key) {
            Some(before) => *before = pair,
            None => attributes.push(pair),
        }
    }
    Resource { attributes }.encode_to_vec()
}

/// The message of a call, with what stands before it: the resource, and records that are fields of
/// a `ScopeLogs` already. `None`: it is too long.
pub(super) fn message(resource: &[u8], records: &[u8]) -> Option<Bytes> {
    let sized = |tag, length: usize| key_len(tag) + encoded_len_varint(length as u64) + length;
    let logs = sized(RESOURCE, resource.len()) + sized(SCOPE_LOGS, records.len());
    let whole = sized(RESOURCE_LOGS, logs);
    let mut out = Vec::with_capacity(FRAME_BYTES + whole);
    out.push(0);
    out.extend_from_slice(&u32::try_from(whole).ok()?.to_be_bytes());
    let field = |out: &mut Vec<u8>, tag, length: usize| {
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(length as u64, out);
    };
    field(&mut out, RESOURCE_LOGS, logs);
    field(&mut out, RESOURCE, resource.len());
    out.extend_from_slice(resource);
    field(&mut out, SCOPE_LOGS, records.len());
    out.extend_from_slice(records);
    Some(out.into())
}

/// Looks up a cluster as it is now.
pub(crate) type Clusters =
    Arc<dyn Fn(config::snapshot::ClusterId) -> Option<Arc<Cluster>> + Send + Sync>;
