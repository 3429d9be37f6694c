//! Requests from productpage to reviews, and who answered them.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::super::{
    cast::REVIEWS,
    http::{Answer, Connection, Question},
    report::Split,
};

/// Connections that the app keeps open to its proxy.
const CONNECTIONS: usize = 8;
/// A failed connection is opened again at once, but not for ever.
const FAILURES_MAX: u64 = 10_000;

/// The question that the policy allows.
pub(super) const ALLOWED: Question<'static> =
    Question { method: "GET", host: "reviews:9080", path: "/api/reviews/1" };

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) is_canary: bool,
}

/// What a stretch of traffic brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    /// In the order of their answers.
    pub(super) samples: Vec<Sample>,
    pub(super) failed: u64,
    /// What the first failure said.
    pub(super) first_failure: Option<String>,
}

impl Traffic {
    pub(super) fn split(&self) -> Split {
        let v2 = self.samples.iter().filter(|sample| sample.is_canary).count() as u64;
        Split { v1: self.samples.len() as u64 - v2, v2 }
    }

    fn failure(&mut self, why: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }

    fn join(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

/// Asks `count` times, eight at a time.
pub(super) async fn ask_many(count: usize) -> Traffic {
    let left = Rc::new(Cell::new(count));
    let take = move || match left.get() {
        0 => false,
        some => {
            left.set(some - 1);
            true
        }
    };
    together(take).await
}

/// Asks until told to stop.
pub(super) async fn ask_until(stop: Arc<AtomicBool>) -> Traffic {
    together(move || !stop.load(Ordering::Relaxed)).await
}

/// The version that answered, as the app says in its header.
pub(super) fn version(answer: &Answer) -> Option<&str> {
    answer.header(super::super::cast::VERSION_HEADER)
}

async fn together(more: impl Fn() -> bool + Clone + 'static) -> Traffic {
    let local = tokio::task::LocalSet::new();
    let workers: Vec<_> =
        (0..CONNECTIONS).map(|_| local.spawn_local(one_connection(more.clone()))).collect();
    local.await;
    let mut traffic = Traffic::default();
    for worker in workers {
        match worker.await {
            Ok(part) => traffic.join(part),
            Err(error) => traffic.failure(error.to_string()),
        }
    }
    traffic.samples.sort_by_key(|sample| sample.at);
    traffic
}

async fn one_connection(more: impl Fn() -> bool) -> Traffic {
    let mut traffic = Traffic::default();
    let mut connection = None;
    while traffic.failed < FAILURES_MAX && more() {
        if connection.is_none() {
            match open().await {
                Ok(opened) => connection = Some(opened),
                Err(error) => {
                    traffic.failure(error.to_string());
                    continue;
                }
            }
        }
        let Some(open) = connection.as_mut() else { continue };
        match open.ask(ALLOWED).await {
            Ok(answer) if answer.status == 200 => match version(&answer) {
                Some(version) => {
                    let is_canary = version == "v2";
                    traffic.samples.push(Sample { at: Instant::now(), is_canary });
                }
                None => traffic.failure("an answer without a version".into()),
            },
            Ok(answer) => traffic.failure(format!("status {}", answer.status)),
            Err(error) => {
                traffic.failure(error.to_string());
                connection = None;
            }
        }
    }
    traffic
}

async fn open() -> std::io::Result<Connection> {
    let address: SocketAddr = REVIEWS.parse().map_err(std::io::Error::other)?;
    Connection::open(address).await
}
