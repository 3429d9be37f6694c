//! The thread that writes access logs: files, standard output and standard error. Records for
//! collectors it hands to the agent.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::Outbox;
use config::snapshot::LogTarget;
use session::LogDrain;

use crate::failure::Failure;

/// How long the end of the program waits for the last lines to be taken.
const PATIENCE: Duration = Duration::from_secs(2);
/// Files that are open at once at most: those of configurations that have gone are closed by it.
const FILES_MAX: usize = 256;
/// Targets that figures are kept of.
const TARGETS_MAX: usize = 1_024;

/// The thread, and what it shares.
pub(crate) struct Writer {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// What others see of the writer, and ask of it.
#[derive(Default)]
pub(crate) struct Shared {
    reopen: AtomicBool,
    totals: Mutex<BTreeMap<String, Totals>>,
}

/// What became of the lines of one target.
#[derive(Clone, Copy, Default)]
struct Totals {
    bytes_written: u64,
    lines_dropped: u64,
    bytes_failed: u64,
}

impl Writer {
    /// Starts the thread; it ends when all workers have.
    pub(crate) fn start(drain: LogDrain, outbox: Outbox) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let body = move || write_all(&drain, &seen, &outbox);
        let thread = thread::Builder::new().name("access-log".into()).spawn(body);
        let hint = "check the limit of threads";
        let thread = thread.map_err(|e| Failure::start("the access log's thread", e, hint))?;
        Ok(Self { thread, shared })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Waits for the last lines, after the workers have ended; not for ever, because nobody may be
    /// reading them.
    pub(crate) fn finish(self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                tracing::warn!("the last lines of access logs are not taken: giving them up");
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    /// Files are opened anew before the next lines (SIGUSR1, as in Envoy).
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// A line a figure, `name: value`, as `/stats` shows them.
    pub(crate) fn report(&self) -> String {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = totals.iter().map(|(name, totals)| {
            let Totals { bytes_written, lines_dropped, bytes_failed } = totals;
            format!(
                "access_log.{name}.bytes_written: {bytes_written}\n\
                 access_log.{name}.lines_dropped: {lines_dropped}\n\
                 access_log.{name}.bytes_failed: {bytes_failed}\n"
            )
        });
        lines.collect()
    }

    fn count(&self, target: &LogTarget, by: impl FnOnce(&mut Totals)) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = totals.len() >= TARGETS_MAX;
        match totals.get_mut(target.name()) {
            Some(totals) => by(totals),
            None if is_full => {}
            None => by(totals.entry(target.name().to_owned()).or_default()),
        }
    }
}

fn write_all(drain: &LogDrain, shared: &Shared, outbox: &Outbox) {
    let mut files = Files::default();
    while let Some((worker, block)) = drain.next() {
        if shared.reopen.swap(false, Ordering::AcqRel) {
            files.0.clear();
        }
        for (target, lines) in block.dropped() {
            match target {
                LogTarget::Collector(collector) => outbox.dropped(collector, lines),
                _ => shared.count(target, |totals| totals.lines_dropped += lines),
            }
        }
        for (target, bytes) in block.runs() {
            match target {
                LogTarget::Collector(collector) => outbox.put(collector, bytes),
                _ => write(target, bytes, &mut files, shared),
            }
        }
        drain.give_back(worker, block);
    }
}

fn write(target: &LogTarget, bytes: &[u8], files: &mut Files, shared: &Shared) {
    let written = files.write(target, bytes);
    let bytes = bytes.len() as u64;
    match written {
        Ok(()) => shared.count(target, |totals| totals.bytes_written += bytes),
        Err(error) => {
            shared.count(target, |totals| totals.bytes_failed += bytes);
            tracing::debug!(target = target.name(), %error, "an access log is not written");
        }
    }
}

/// Files that are open. One that cannot be opened is tried again with the next lines.
#[derive(Default)]
struct Files(BTreeMap<Arc<str>, File>);

impl Files {
    fn write(&mut self, target: &LogTarget, bytes: &[u8]) -> io::Result<()> {
        match target {
            LogTarget::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            LogTarget::Stderr => io::stderr().lock().write_all(bytes),
            LogTarget::Collector(_) => Err(io::ErrorKind::Unsupported.into()),
            LogTarget::File(path) => {
                if !self.0.contains_key(path) {
                    if self.0.len() >= FILES_MAX {
                        self.0.clear();
                    }
                    let file =
                        OpenOptions::new().create(true).append(true).mode(0o644).open(&**path)?;
                    self.0.insert(Arc::clone(path), file);
                }
                let file = self.0.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
                file.write_all(bytes)
            }
        }
    }
}
