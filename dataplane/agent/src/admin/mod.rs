//! The loopback admin port: whether we are ready, what we are, what we have counted.

mod clusters;
mod guard;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::error::AgentError;

pub use clusters::clusters_text;

/// Admin connections at once at most.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Text made on request, such as the counters of all workers.
pub type Report = Arc<dyn Fn() -> String + Send + Sync>;

/// What the admin port shows and does.
#[derive(Clone)]
pub struct Admin {
    /// The program's version.
    pub version: &'static str,
    /// `node.id` and `node.cluster`.
    pub node: (String, String),
    /// Whether configuration is in force.
    pub live: Arc<Live>,
    /// Optional features and their state.
    pub features: Vec<(&'static str, String)>,
    /// `/stats`, in Envoy's `name: value` lines.
    pub stats: Report,
    /// `/clusters`.
    pub clusters: Report,
    /// `/quitquitquit` sets it.
    pub quit: watch::Sender<bool>,
    /// When the program began.
    pub started: Instant,
}

/// Whether a first whole configuration is in force.
#[derive(Debug, Default)]
pub struct Live(AtomicBool);

impl Live {
    /// It is, from now on.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Binds the port. Addresses other than loopback are refused: the port can end the program.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, AgentError> {
    let place = format!("admin address {address}");
    if !address.ip().is_loopback() {
        let reason = "the admin port has no authentication and is opened on loopback only; \
                      use 127.0.0.1 or ::1";
        return Err(AgentError::new("agent.admin_address", place, reason));
    }
    TcpListener::bind(address)
        .await
        .map_err(|error| AgentError::new("agent.admin_address", place, error))
}

/// Serves until `stop` becomes true.
pub async fn serve(listener: TcpListener, admin: Admin, mut stop: watch::Receiver<bool>) {
    let admin = Arc::new(admin);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: a moment's rest instead of a busy loop.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let admin = admin.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(admin.answer(&request)) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended early");
            }
            drop(place);
        });
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err(reason) = guard::check(request.headers()) {
            return text(StatusCode::FORBIDDEN, format!("{reason}\n"));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/ready") => self.ready(),
            (&Method::GET, "/server_info") => self.server_info(),
            (&Method::GET, "/stats") => text(StatusCode::OK, (self.stats)()),
            (&Method::GET, "/clusters") => text(StatusCode::OK, (self.clusters)()),
            (&Method::GET, "/config_dump") => text(
                StatusCode::NOT_IMPLEMENTED,
                "config_dump is not built yet: what was applied is compiled and the messages are \
                 not kept\n"
                    .to_owned(),
            ),
            (&Method::GET, "/") => text(StatusCode::OK, INDEX.to_owned()),
            (&Method::POST, "/quitquitquit") => {
                tracing::info!("asked to quit over the admin port");
                self.quit.send_replace(true);
                text(StatusCode::OK, "OK\n".to_owned())
            }
            (_, path) if PATHS.contains(&path) => {
                let mut response = text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "Method Not Allowed: /quitquitquit takes POST, all others GET\n".to_owned(),
                );
                let allow = if path == "/quitquitquit" { "POST" } else { "GET" };
                response.headers_mut().insert("allow", HeaderValue::from_static(allow));
                response
            }
            _ => text(StatusCode::NOT_FOUND, format!("there is no such page here\n{INDEX}")),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        match self.live.get() {
            true => text(StatusCode::OK, "LIVE\n".to_owned()),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "PRE_INITIALIZING\n".to_owned()),
        }
    }

    /// `envoy.admin.v3.ServerInfo`, as far as it is known.
    fn server_info(&self) -> Response<Full<Bytes>> {
        let state = if self.live.get() { "LIVE" } else { "PRE_INITIALIZING" };
        let uptime = format!("{}s", self.started.elapsed().as_secs());
        let (id, cluster) = &self.node;
        let features = self.features.iter().map(|(name, state)| (*name, state.as_str()));
        let features: BTreeMap<&str, &str> = features.collect();
        let info = serde_json::json!({
            "version": format!("ringway/{}", self.version),
            "state": state,
            "uptime_current_epoch": uptime,
            "uptime_all_epochs": uptime,
            "node": { "id": id, "cluster": cluster },
            // Envoy has no such field.
            "ringway_features": features,
        });
        let mut response = text(StatusCode::OK, format!("{info:#}\n"));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

const PATHS: [&str; 7] =
    ["/", "/ready", "/server_info", "/stats", "/clusters", "/config_dump", "/quitquitquit"];

const INDEX: &str = "GET /ready         200 once a configuration is in force, else 503
GET /server_info   version, state, node
GET /stats         counters
GET /clusters      clusters and their endpoints
POST /quitquitquit ends the program
";

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache, max-age=0"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
