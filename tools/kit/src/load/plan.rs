//! What all threads of a run know, worked out before the first of them starts.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};

use hdrhistogram::Histogram;
use ring::Which;
use tls::{ClientContext, ClientSpec, Identity, Parameters, SanMatch, Slot, TlsError, Trust};

use super::{
    Control, Error, LoadSpec, Protocol, TlsSpec,
    codec::{Question, http2},
    schedule::share,
    source::{PIECE_BYTES, Text},
};
use crate::hist;

/// Buffers that a connection needs when it sends more than fits into the socket, through TLS, or
/// many requests at once.
const LINK_BYTES: usize = 512 * 1024;
/// Buffers that every connection needs for a small request.
const LINK_BYTES_MIN: usize = 8 * 1024;
/// Address space of a thread's buffers at the most; only what is touched becomes memory.
const BUFFER_BYTES_MAX: usize = 8 << 30;
/// Sockets beyond the connections: those that are closing.
const CLOSING_MAX: usize = 8 * 1024;

/// The run, as every thread sees it.
pub(super) struct Plan {
    pub(super) spec: LoadSpec,
    pub(super) control: Control,
    pub(super) speech: Speech,
    pub(super) tls: Option<ClientContext>,
    /// io_uring or epoll.
    pub(super) driver: Which,
    /// Nobody waits for the run any more.
    pub(super) abandoned: AtomicBool,
    /// Where each thread tells how far it is.
    pub(super) boards: Vec<Board>,
}

/// What is said and expected.
pub(super) enum Speech {
    Http(Question),
    /// HTTP/2, or gRPC.
    Http2(Arc<http2::Question>),
    Echo(Arc<Text>),
}

/// How far one thread is. Each value has one writer; a histogram is copied only when asked for.
pub(super) struct Board {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) idle: AtomicUsize,
    pub(super) holding: AtomicBool,
    /// Somebody would like a copy of the histogram.
    pub(super) wanted: AtomicBool,
    pub(super) copy: Mutex<Histogram<u64>>,
}

impl Plan {
    /// Checks the load and prepares it.
    pub(super) fn new(spec: &LoadSpec, control: &Control) -> Result<Self, Error> {
        spec.check()?;
        let speech = match spec.protocol {
            Protocol::Tcp => {
                let len = spec.trip_bytes.unwrap_or(spec.body.len() as u64);
                Speech::Echo(Arc::new(Text::repeated(&spec.body, len)))
            }
            Protocol::Http => Speech::Http(Question::new(spec)?),
            Protocol::Http2 | Protocol::Grpc => {
                Speech::Http2(Arc::new(http2::Question::new(spec)?))
            }
        };
        let tls = spec.tls.as_ref().map(|tls| context(tls, spec.protocol)).transpose()?;
        let (driver, why_not) =
            spec.driver.resolve().map_err(|reason| Error::spec("driver", reason))?;
        if let Some(reason) = why_not {
            tracing::warn!(%reason, "load is made by epoll");
        }
        Ok(Self {
            spec: spec.clone(),
            control: control.clone(),
            speech,
            tls,
            driver,
            abandoned: AtomicBool::new(false),
            boards: (0..spec.threads).map(|_| Board::new()).collect(),
        })
    }

    /// What each request sends.
    pub(super) fn text(&self) -> &Text {
        match &self.speech {
            Speech::Http(question) => &question.text,
            Speech::Http2(question) => &question.text,
            Speech::Echo(text) => text,
        }
    }

    /// How many connections a thread has.
    pub(super) fn connections(&self, thread: usize) -> usize {
        let (all, threads) = (self.spec.connections as u64, self.spec.threads as u64);
        share(all, thread as u64, threads) as usize
    }

    /// What a thread's driver needs.
    pub(super) fn limits(&self, thread: usize) -> ring::Limits {
        let connections = self.connections(thread);
        let text = self.text();
        let is_one = !matches!(self.speech, Speech::Http2(_));
        let is_small = text.len <= PIECE_BYTES as u64 && self.tls.is_none() && is_one;
        let each = if is_small { LINK_BYTES_MIN } else { LINK_BYTES };
        let shared = text.cycle.len().next_multiple_of(PIECE_BYTES) + LINK_BYTES;
        ring::Limits {
            sockets: connections + CLOSING_MAX,
            scratch_bytes: (shared + connections * each).min(BUFFER_BYTES_MAX),
            pipes: 0,
            // What answers may have the same CPU: it must not wait for one that polls.
            spin: available_parallelism().is_ok_and(|cpus| cpus.get() > self.spec.threads),
            ..ring::Limits::default()
        }
    }
}

impl Board {
    fn new() -> Self {
        Self {
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            idle: AtomicUsize::new(0),
            holding: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            copy: Mutex::new(hist::histogram()),
        }
    }

    /// The last copy of the histogram, which is then asked for anew.
    pub(super) fn copy(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.wanted.store(true, Ordering::Release);
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLS of the client's side as the proxy has it too.
fn context(spec: &TlsSpec, protocol: Protocol) -> Result<ClientContext, Error> {
    let refused = |error: TlsError| Error::spec("tls", error.to_string());
    let trust = spec.roots.as_deref().map(Trust::from_pem).transpose().map_err(refused)?;
    let identity = spec.identity.as_ref().map(|(chain, key)| Identity::from_pem(chain, key));
    let identity = identity.transpose().map_err(refused)?;
    let name = spec.server_name.clone();
    let san = match (&trust, &name) {
        (None, _) => Vec::new(),
        (Some(_), Some(name)) if is_uri(name) => vec![SanMatch::uri(name)],
        (Some(_), Some(name)) => vec![SanMatch::dns(name)],
        (Some(_), None) => {
            let reason = "needs the server's name to verify its certificate: a DNS name, or a \
                          SPIFFE id; an address is not enough";
            return Err(Error::spec("tls", reason.into()));
        }
    };
    let alpn: &[&[u8]] = match protocol {
        Protocol::Http => &[b"http/1.1"],
        Protocol::Http2 | Protocol::Grpc => &[b"h2"],
        Protocol::Tcp => &[],
    };
    let alpn = alpn.iter().map(|name| name.to_vec()).collect();
    ClientContext::new(ClientSpec {
        identity: identity.map(|identity| Arc::new(Slot::filled("identity", Arc::new(identity)))),
        trust: trust.map(|trust| Arc::new(Slot::filled("roots", Arc::new(trust)))),
        san,
        sni: name.filter(|name| !is_uri(name)),
        alpn,
        parameters: Parameters { resumption: spec.resume, ..Parameters::default() },
    })
    .map_err(refused)
}

fn is_uri(name: &str) -> bool {
    name.contains("://")
}

/// A duration in the driver's unit.
pub(super) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
