//! Who is connected, what each has, and when a change has reached everyone.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tracing::info;

use super::Counters;
use crate::ads::{Kind, Progress};

/// Generations whose convergence is still being measured; older ones are given up.
const PENDING_MAX: usize = 1_024;

/// The board. Its lock is held for short moments and never while something is translated.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: HashMap<u64, Row>,
    next_id: u64,
    /// Generations that not every stream has yet, and when their first change was seen.
    pending: BTreeMap<u64, Instant>,
    newest: u64,
    converged: Option<Convergence>,
}

/// What is known of a stream when it begins.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// `node.id`.
    pub node: String,
    /// `ads` or `sds`.
    pub service: &'static str,
    /// `sotw` or `delta`.
    pub protocol: &'static str,
    /// The client's address, if known.
    pub address: Option<SocketAddr>,
    /// The identity that the client has shown, if any.
    pub identity: Option<String>,
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who it is.
    pub info: StreamInfo,
    /// Since when.
    pub connected_since: SystemTime,
    /// The newest generation that it has fully.
    pub synced: u64,
    /// The state of each type.
    pub progress: Vec<(Kind, Progress)>,
}

/// The newest change that has reached every stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Convergence {
    /// Which generation.
    pub generation: u64,
    /// From the first change to the last answer, in milliseconds.
    pub convergence_ms: f64,
    /// How many streams there were.
    pub streams: usize,
}

/// A stream's place on the board; the row goes when this is dropped.
#[derive(Debug)]
pub struct Registration {
    board: Arc<Board>,
    id: u64,
}

impl Board {
    pub(super) fn new(counters: Arc<Counters>) -> Arc<Self> {
        let inner = Inner { newest: 1, ..Inner::default() };
        Arc::new(Self { inner: Mutex::new(inner), counters })
    }

    /// Adds a stream that begins with `generation`.
    pub fn register(
        self: &Arc<Self>,
        info: StreamInfo,
        generation: u64,
        now: SystemTime,
    ) -> Registration {
        let mut inner = self.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        let row = Row { info, connected_since: now, synced: generation, progress: Vec::new() };
        inner.rows.insert(id, row);
        Registration { board: Arc::clone(self), id }
    }

    /// Begins to measure a generation; returns how many streams there are.
    pub(super) fn announce(&self, generation: u64, changed_at: Instant) -> usize {
        let mut inner = self.lock();
        inner.newest = generation;
        inner.pending.insert(generation, changed_at);
        if inner.pending.len() > PENDING_MAX {
            inner.pending.pop_first();
        }
        inner.rows.len()
    }

    /// Ends the measurement of generations that every stream has.
    pub(super) fn settle(&self, now: Instant) {
        let mut inner = self.lock();
        let newest = inner.newest;
        let reached = inner.rows.values().map(|row| row.synced).min().unwrap_or(newest);
        while let Some(entry) = inner.pending.first_entry() {
            if *entry.key() > reached {
                return;
            }
            let (generation, changed_at) = entry.remove_entry();
            let streams = inner.rows.len();
            self.converged(&mut inner, generation, streams, now.duration_since(changed_at));
        }
    }

    fn converged(&self, inner: &mut Inner, generation: u64, streams: usize, took: Duration) {
        let convergence_ms = took.as_secs_f64() * 1e3;
        inner.converged = Some(Convergence { generation, convergence_ms, streams });
        self.counters.convergence.record(took);
        info!(generation, streams, convergence_ms, "convergence");
    }

    /// All rows in the order of their node ids.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.lock().rows.values().cloned().collect();
        rows.sort_by(|a, b| a.info.node.cmp(&b.info.node).then(a.info.service.cmp(b.info.service)));
        rows
    }

    /// The newest change that has reached everyone.
    pub fn convergence(&self) -> Option<Convergence> {
        self.lock().converged
    }

    /// A panic elsewhere leaves the board usable: each change to it is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Shows the stream's state; `synced` is the newest generation that the client has answered
    /// completely, if it is not behind.
    pub fn update(&self, progress: Vec<(Kind, Progress)>, synced: Option<u64>, now: Instant) {
        let mut grown = false;
        if let Some(row) = self.board.lock().rows.get_mut(&self.id) {
            row.progress = progress;
            if let Some(synced) = synced.filter(|synced| *synced > row.synced) {
                row.synced = synced;
                grown = true;
            }
        }
        if grown {
            self.board.settle(now);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.board.lock().rows.remove(&self.id);
        self.board.settle(Instant::now());
    }
}
