//! One check: a request, a call, or a connection.

use std::fmt::Display;

use config::health::{CheckKind, GrpcCheck, HttpCheck, Probe, TcpCheck};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::track::Outcome;
use crate::connect::Way;

/// Bytes of an answer that are read; a longer one is a failure.
const ANSWER_MAX: usize = 1 << 20;
/// Who asks, as Envoy says it.
const USER_AGENT: &str = "Envoy/HC";
/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`
const SERVING: i32 = 1;

/// A connection that the next check may use. It ends with this.
pub(super) enum Kept {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Asks a host. To be ended by a deadline.
pub(super) async fn ask(probe: &Probe, kept: &mut Option<Kept>) -> Outcome {
    match &probe.check.kind {
        CheckKind::Http(check) => http(probe, check, kept).await,
        CheckKind::Tcp(check) => tcp(probe, check).await,
        CheckKind::Grpc(check) => grpc(probe, check, kept).await,
    }
}

fn failed(why: impl Display) -> Outcome {
    Outcome::Failed(why.to_string())
}

async fn http(probe: &Probe, check: &HttpCheck, kept: &mut Option<Kept>) -> Outcome {
    let request = match http_request(probe, check) {
        Ok(request) => request,
        Err(why) => return failed(why),
    };
    let answer = match exchange(probe, request, check.http2, kept).await {
        Ok(answer) => answer,
        Err(why) => return failed(why),
    };
    let status = answer.status().as_u16();
    let degraded = answer.headers().contains_key("x-envoy-degraded");
    if let Err(why) = read(answer.into_body()).await {
        return failed(why);
    }
    let is_in = |ranges: &[std::ops::Range<u16>]| ranges.iter().any(|one| one.contains(&status));
    match (is_in(&check.expected), is_in(&check.retriable)) {
        (true, _) => Outcome::Passed { degraded },
        (false, true) => failed(format!("status {status}")),
        (false, false) => Outcome::Refused(format!("status {status}")),
    }
}

fn http_request(probe: &Probe, check: &HttpCheck) -> Result<Request<Full<Bytes>>, String> {
    let builder = addressed(probe, &check.method, &check.path, check.http2);
    let mut request = builder.body(Full::default()).map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    for name in &check.remove {
        headers.remove(name.as_str());
    }
    for (name, value, replaces) in &check.add {
        let (name, value) = field(name, value)?;
        if *replaces {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    Ok(request)
}

fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
    Ok((name, HeaderValue::from_str(value).map_err(|error| error.to_string())?))
}

fn addressed(probe: &Probe, method: &str, path: &str, http2: bool) -> Builder {
    let builder = Request::builder().method(method).header("user-agent", USER_AGENT);
    match http2 {
        true => builder.uri(format!("{}://{}{path}", way(probe).scheme(), probe.authority)),
        false => builder.uri(path).header("host", &*probe.authority),
    }
}

/// Sends a request over the connection that is kept, or a new one that is kept from now on.
async fn exchange(
    probe: &Probe,
    request: Request<Full<Bytes>>,
    by_http2: bool,
    kept: &mut Option<Kept>,
) -> Result<Response<Incoming>, String> {
    let is_usable = match kept {
        Some(Kept::Http1(sender)) => sender.ready().await.is_ok(),
        Some(Kept::Http2(sender)) => sender.ready().await.is_ok(),
        None => false,
    };
    if !is_usable {
        *kept = Some(open(probe, by_http2).await?);
    }
    let answer = match kept {
        Some(Kept::Http1(sender)) => sender.send_request(request).await,
        Some(Kept::Http2(sender)) => sender.send_request(request).await,
        None => return Err("no connection".to_owned()),
    };
    answer.map_err(|error| crate::target::chain(&error))
}

async fn open(probe: &Probe, by_http2: bool) -> Result<Kept, String> {
    let stream = TokioIo::new(way(probe).connect().await.map_err(|error| error.to_string())?);
    let text = |error: hyper::Error| crate::target::chain(&error);
    // The connection runs until the half that sends is dropped.
    if by_http2 {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(text)?;
        tokio::spawn(connection);
        return Ok(Kept::Http2(sender));
    }
    let (sender, connection) = http1::handshake(stream).await.map_err(text)?;
    tokio::spawn(connection);
    Ok(Kept::Http1(sender))
}

/// Nothing of the protocol is offered by TLS beyond what the check or the cluster says.
fn way(probe: &Probe) -> Way<'_> {
    let Probe { target, bind, transport, check, .. } = probe;
    Way { target: *target, bind: *bind, transport, alpn: &check.alpn, usual: None }
}

/// The body and the trailers' `grpc-status`.
pub(crate) async fn read(mut body: Incoming) -> Result<(Vec<u8>, Option<String>), String> {
    let (mut bytes, mut status) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| crate::target::chain(&error))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if let Some(trailers) = frame.trailers_ref() {
            status = trailers.get("grpc-status").and_then(|v| v.to_str().ok()).map(str::to_owned);
        }
        if bytes.len() > ANSWER_MAX {
            return Err(format!("an answer of more than {ANSWER_MAX} bytes"));
        }
    }
    Ok((bytes, status))
}

async fn tcp(probe: &Probe, check: &TcpCheck) -> Outcome {
    let passed = Outcome::Passed { degraded: false };
    let mut stream = match way(probe).connect().await {
        Ok(stream) => stream,
        Err(error) => return failed(error),
    };
    if let Err(error) = stream.write_all(&check.send).await {
        return failed(error);
    }
    let mut bytes = Vec::new();
    while !has_all(&bytes, &check.receive) {
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return failed("it has closed the connection"),
            Ok(_) if bytes.len() > ANSWER_MAX => return failed("another answer"),
            Ok(_) => {}
            Err(error) => return failed(error),
        }
    }
    passed
}

/// All parts are there, one after the other, whatever stands between them.
fn has_all(bytes: &[u8], parts: &[Vec<u8>]) -> bool {
    let mut rest = bytes;
    parts.iter().filter(|part| !part.is_empty()).all(|part| {
        let at = rest.windows(part.len()).position(|window| window == part.as_slice());
        let behind = at.and_then(|at| rest.get(at + part.len()..));
        behind.is_some_and(|behind| {
            rest = behind;
            true
        })
    })
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

async fn grpc(probe: &Probe, check: &GrpcCheck, kept: &mut Option<Kept>) -> Outcome {
    let request = match grpc_request(probe, check) {
        Ok(request) => request,
        Err(why) => return failed(why),
    };
    let answer = match exchange(probe, request, true, kept).await {
        Ok(answer) => answer,
        Err(why) => return failed(why),
    };
    let status = answer.status();
    let in_head = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok());
    let in_head = in_head.map(str::to_owned);
    let (body, in_trailers) = match read(answer.into_body()).await {
        Ok(read) => read,
        Err(why) => return failed(why),
    };
    if !status.is_success() {
        return Outcome::Refused(format!("status {status}"));
    }
    match in_trailers.or(in_head).as_deref() {
        Some("0") => {}
        other => return Outcome::Refused(format!("grpc-status {other:?}")),
    }
    let message = body.get(5..).map(HealthCheckResponse::decode);
    match message {
        Some(Ok(HealthCheckResponse { status: SERVING })) => Outcome::Passed { degraded: false },
        Some(Ok(HealthCheckResponse { status })) => {
            Outcome::Refused(format!("serving status {status}"))
        }
        _ => Outcome::Refused("not an answer of grpc.health.v1".to_owned()),
    }
}

fn grpc_request(probe: &Probe, check: &GrpcCheck) -> Result<Request<Full<Bytes>>, String> {
    let message = HealthCheckRequest { service: check.service.clone() }.encode_to_vec();
    let length = u32::try_from(message.len()).map_err(|error| error.to_string())?;
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message);
    let mut builder = addressed(probe, "POST", "/grpc.health.v1.Health/Check", true);
    builder = builder.header("content-type", "application/grpc").header("te", "trailers");
    builder = builder.header("grpc-timeout", format!("{}m", probe.check.timeout.as_millis()));
    for (name, value) in &check.metadata {
        let (name, value) = field(name, value)?;
        builder = builder.header(name, value);
    }
    builder.body(Full::from(bytes)).map_err(|error| error.to_string())
}
