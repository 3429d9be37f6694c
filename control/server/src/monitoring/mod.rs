//! The monitoring port: `/ready`, `/version`, `/metrics` and `/debug/syncz`, plain HTTP/1.1.
//!
//! Only GET and HEAD, nothing that changes anything, no request body is read.

mod pages;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

use crate::push::Hub;
pub use pages::ConfigHealth;

/// The most connections at a time.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the pages show.
#[derive(Clone, Debug)]
pub struct Monitoring {
    hub: Arc<Hub>,
    health: Arc<ConfigHealth>,
}

impl Monitoring {
    /// Shows `hub` and `health`.
    pub fn new(hub: Arc<Hub>, health: Arc<ConfigHealth>) -> Self {
        Self { hub, health }
    }

    /// Serves until `stopping` turns true.
    pub async fn serve(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (pages, stopping) = (self.clone(), stopping.clone());
                    tokio::spawn(async move {
                        pages.connection(stream, stopping).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(%error, "accepting a monitoring connection failed; pausing");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = self.answer(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), answer);
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                debug!(%error, "a monitoring connection ended");
            },
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            response.headers_mut().insert(ALLOW, const { header("GET, HEAD") });
            return response;
        }
        match path {
            "/ready" => text(StatusCode::OK, "ready\n".to_owned()),
            "/version" => json(pages::version()),
            "/metrics" => text(StatusCode::OK, pages::metrics(&self.hub, &self.health)),
            "/debug/syncz" => json(pages::syncz(&self.hub, &self.health)),
            _ => text(
                StatusCode::NOT_FOUND,
                "no such page; there are /ready /version /metrics /debug/syncz\n".to_owned(),
            ),
        }
    }
}

const fn header(value: &'static str) -> hyper::header::HeaderValue {
    hyper::header::HeaderValue::from_static(value)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    // The type and version of Prometheus' text format; it is plain text for all else.
    let content_type = const { header("text/plain; version=0.0.4; charset=utf-8") };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn json(value: serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
    response.headers_mut().insert(CONTENT_TYPE, const { header("application/json") });
    response
}
