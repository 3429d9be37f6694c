//! When the folder is looked at again.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Timing;
use super::scan::{Missing, State};
use crate::Batch;

/// News that wait to be looked at. They only say "look again", so losing some is harmless.
const NEWS_MAX: usize = 64;
/// How often an idle watcher looks whether anybody still listens.
const LISTENS: Duration = Duration::from_secs(1);

/// The kernel's news of the folder, or none.
pub(super) struct Watch {
    news: Receiver<()>,
    /// Held so that news keep coming.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    pub(super) fn begin(path: &Path, timing: Timing) -> Self {
        let (sender, news) = sync_channel(NEWS_MAX);
        if timing.poll_only {
            return Self { news, watcher: None };
        }
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            let _ = sender.try_send(());
        })
        .and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(path = %path.display(), %error, "no news of the folder: polling it");
        }
        Self { news, watcher: watcher.ok() }
    }

    /// Waits for news, then until it is quiet. `false`: nothing happened.
    fn wait(&self, timing: Timing, unsettled: bool) -> bool {
        let longest = match (&self.watcher, unsettled) {
            (_, true) => timing.grace,
            (None, false) => timing.poll,
            (Some(_), false) => LISTENS,
        };
        if self.watcher.is_none() {
            std::thread::sleep(longest);
            return true;
        }
        match self.news.recv_timeout(longest) {
            Ok(()) => self.settle(timing),
            // A watcher that is gone tells nothing any more: go on by polling.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(timing.poll),
            Err(RecvTimeoutError::Timeout) => return unsettled,
        }
        true
    }

    fn settle(&self, timing: Timing) {
        let begun = Instant::now();
        while begun.elapsed() < timing.busy_max && self.news.recv_timeout(timing.quiet).is_ok() {}
    }
}

/// The watching thread: tells `first`, then every change until nobody listens.
pub(super) fn run(
    mut state: State,
    watch: Watch,
    timing: Timing,
    first: Batch,
    sender: &mpsc::Sender<Batch>,
) {
    if sender.blocking_send(first).is_err() {
        return;
    }
    let mut since: Option<Instant> = None;
    while !sender.is_closed() {
        if !watch.wait(timing, since.is_some()) {
            continue;
        }
        let believe = since.is_some_and(|since| since.elapsed() >= timing.grace);
        let missing = if believe { Missing::Gone } else { Missing::Stays };
        let Ok(batch) = state.rescan(missing).inspect_err(|error| tracing::warn!(%error)) else {
            std::thread::sleep(timing.poll);
            continue;
        };
        since = state.unsettled.then(|| since.unwrap_or_else(Instant::now));
        let empty = batch.changes.is_empty() && batch.messages.is_empty();
        if !empty && sender.blocking_send(batch).is_err() {
            return;
        }
    }
}
