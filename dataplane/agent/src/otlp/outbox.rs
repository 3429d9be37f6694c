//! Records on their way from the thread that takes them from the workers to the agent's, and what
//! has become of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::snapshot::LogCollector;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes of records that wait for one collector at most; beyond, new ones are dropped. All that
/// waits goes into one call, and servers of gRPC take 4 MiB where nobody has said otherwise.
pub(super) const WAITING_MAX: usize = 1 << 20;
/// So many do not wait for others, whatever the configuration says.
const ENOUGH: usize = WAITING_MAX / 2;
/// Collectors that are served at one time at most.
const COLLECTORS_MAX: usize = 64;
/// Names that figures are kept of.
const NAMES_MAX: usize = 1_024;
/// Records are so old already when they come: workers hand over once a second.
const AGE: Duration = Duration::from_secs(1);
/// Envoy's name of the figures.
const ROOT: &str = "access_logs.open_telemetry_access_log.";

/// Where records for collectors are put. All clones are the same. Nobody waits here: what has no
/// room is dropped and counted.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung for a collector that nobody serves yet.
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Arc<LogCollector>, Waiting>,
    /// By `log_name` and `stat_prefix`.
    figures: BTreeMap<(Box<str>, Box<str>), Arc<Figures>>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<u8>,
    /// Since when the oldest of them waits here.
    since: Option<Instant>,
    is_served: bool,
    bell: Arc<Notify>,
}

/// What became of records.
#[derive(Debug, Default)]
pub(super) struct Figures {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Figures {
    /// They have arrived.
    pub(super) fn add_sent(&self, records: u64) {
        self.sent.fetch_add(records, Ordering::Relaxed);
    }

    /// The call that had them failed, or the collector has refused them.
    pub(super) fn add_failed(&self, records: u64) {
        self.failed.fetch_add(records, Ordering::Relaxed);
    }

    fn add_dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }
}

impl Outbox {
    /// Takes whole records for a collector, as many as there is room for.
    pub fn put(&self, collector: &Arc<LogCollector>, records: &[u8]) {
        let mut state = self.lock();
        let figures = state.figures(collector);
        let is_full = state.waiting.len() >= COLLECTORS_MAX;
        let waiting = match state.waiting.get_mut(collector) {
            Some(waiting) => waiting,
            None if is_full => return figures.add_dropped(leading(records, usize::MAX).1),
            None => state.waiting.entry(Arc::clone(collector)).or_default(),
        };
        let room = WAITING_MAX.saturating_sub(waiting.records.len());
        let (end, _) = leading(records, room);
        let (fit, rest) = records.split_at_checked(end).unwrap_or_default();
        waiting.records.extend_from_slice(fit);
        waiting.since.get_or_insert_with(Instant::now);
        figures.add_dropped(leading(rest, usize::MAX).1);
        waiting.bell.notify_one();
        if !waiting.is_served {
            self.0.bell.notify_one();
        }
    }

    /// Records were dropped before they came here.
    pub fn dropped(&self, collector: &LogCollector, records: u64) {
        self.lock().figures(collector).add_dropped(records);
    }

    /// A line a figure, `name: value`, as `/stats` shows them; those of Envoy too.
    pub fn report(&self) -> String {
        let state = self.lock();
        let mut text = String::new();
        let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for ((name, prefix), figures) in &state.figures {
            let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
            let (sent, dropped) = (read(&figures.sent), read(&figures.dropped));
            let failed = read(&figures.failed);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "access_log.{name}.records_sent: {sent}\n\
                 access_log.{name}.lines_dropped: {dropped}\n\
                 access_log.{name}.records_failed: {failed}\n"
            );
            let sum = sums.entry(prefix).or_default();
            sum.0 = sum.0.saturating_add(sent);
            sum.1 = sum.1.saturating_add(dropped).saturating_add(failed);
        }
        for (prefix, (written, dropped)) in sums {
            let root = match prefix {
                "" => ROOT.to_owned(),
                prefix => format!("{ROOT}{prefix}."),
            };
            let _ = write!(text, "{root}logs_written: {written}\n{root}logs_dropped: {dropped}\n");
        }
        text
    }

    /// Collectors that nobody serves yet. Each is given once.
    pub(super) fn unserved(&self) -> Vec<Arc<LogCollector>> {
        let mut state = self.lock();
        let new = state.waiting.iter_mut().filter(|(_, waiting)| !waiting.is_served);
        let new = new.map(|(collector, waiting)| {
            waiting.is_served = true;
            Arc::clone(collector)
        });
        new.collect()
    }

    /// The same, once there are any.
    pub(super) async fn new_collectors(&self) -> Vec<Arc<LogCollector>> {
        loop {
            let new = self.unserved();
            if !new.is_empty() {
                return new;
            }
            self.0.bell.notified().await;
        }
    }

    /// Waits until a collector's records have waited as long as they should, or are as many.
    pub(super) async fn ready(&self, collector: &LogCollector) {
        let enough = usize::try_from(collector.buffer_bytes).unwrap_or(usize::MAX).min(ENOUGH);
        let wait = collector.flush_interval.saturating_sub(AGE);
        loop {
            let Some((bytes, since, bell)) = self.waiting(collector) else { return };
            let due = match since {
                Some(_) if bytes >= enough => return,
                Some(since) => since.checked_add(wait),
                None => None,
            };
            let bell = bell.notified();
            match due {
                None => bell.await,
                Some(due) if due <= Instant::now() => return,
                Some(due) => drop(tokio::time::timeout_at(due, bell).await),
            }
        }
    }

    /// Takes all records that wait, and says how many they are.
    pub(super) fn take(&self, collector: &LogCollector) -> Option<(Vec<u8>, u64)> {
        let mut state = self.lock();
        let waiting = state.waiting.get_mut(collector)?;
        waiting.since = None;
        let records = std::mem::take(&mut waiting.records);
        drop(state);
        let (_, count) = leading(&records, usize::MAX);
        (count > 0).then_some((records, count))
    }

    /// Nothing waits for the collector: it is forgotten until something does.
    pub(super) fn close(&self, collector: &LogCollector) -> bool {
        let mut state = self.lock();
        let is_idle = state.waiting.get(collector).is_none_or(|it| it.records.is_empty());
        if is_idle {
            state.waiting.remove(collector);
        }
        is_idle
    }

    pub(super) fn figures(&self, collector: &LogCollector) -> Arc<Figures> {
        self.lock().figures(collector)
    }

    fn waiting(&self, collector: &LogCollector) -> Option<(usize, Option<Instant>, Arc<Notify>)> {
        let state = self.lock();
        let waiting = state.waiting.get(collector)?;
        Some((waiting.records.len(), waiting.since, Arc::clone(&waiting.bell)))
    }

    #[cfg(test)]
    pub(super) fn waiting_bytes(&self, collector: &LogCollector) -> usize {
        self.waiting(collector).map_or(0, |(bytes, ..)| bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn figures(&mut self, collector: &LogCollector) -> Arc<Figures> {
        let is_full = self.figures.len() >= NAMES_MAX;
        let key = (collector.shown().into(), collector.stat_prefix.clone());
        match self.figures.get(&key) {
            Some(figures) => Arc::clone(figures),
            None if is_full => Arc::default(),
            None => Arc::clone(self.figures.entry(key).or_default()),
        }
    }
}

/// Where the records end that are whole within so many bytes, and how many they are. A record is a
/// field of protobuf with its length before it.
fn leading(records: &[u8], most: usize) -> (usize, u64) {
    let (mut end, mut count) = (0_usize, 0);
    while let Some(length) = records.get(end..).and_then(first) {
        let next = end.saturating_add(length);
        if next > most.min(records.len()) {
            break;
        }
        (end, count) = (next, count + 1);
    }
    (end, count)
}

/// The bytes of the first record.
fn first(records: &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for (at, byte) in records.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(length.saturating_add(at + 2));
        }
    }
    None
}
