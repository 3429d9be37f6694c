//! A folder of YAML and JSON files, watched.

mod scan;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::{BATCHES_MAX, Batch, Source, SourceError};

/// The longest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 << 20;
/// The most files of one folder.
pub const FILES_MAX: usize = 4_096;
/// The most objects of one folder.
pub const OBJECTS_MAX: usize = 65_536;

/// All `*.yaml`, `*.yml` and `*.json` of one folder, not of folders in it. Names that begin with a
/// dot are passed over.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    timing: Timing,
}

/// How long the watcher waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// So long nothing must happen before files are read: editors write in several steps.
    pub quiet: Duration,
    /// After so long they are read even if things keep happening.
    pub busy_max: Duration,
    /// A file that is gone or empty counts as such only after so long: some programs truncate a
    /// file first and write it then.
    pub grace: Duration,
    /// Without news from the kernel the folder is looked at every so often.
    pub poll: Duration,
    /// Uses no news from the kernel even where there are some.
    pub poll_only: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(30),
            busy_max: Duration::from_millis(300),
            grace: Duration::from_millis(300),
            poll: Duration::from_secs(1),
            poll_only: false,
        }
    }
}

impl Folder {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with_timing(path, Timing::default())
    }

    /// The folder at `path`, with other waits.
    pub fn with_timing(path: impl Into<PathBuf>, timing: Timing) -> Self {
        Self { path: path.into(), timing }
    }

    /// Reads the folder once, without watching it.
    pub fn read(&self) -> Result<Batch, SourceError> {
        let mut state = scan::State::new(self.path.clone());
        state.rescan(scan::Missing::Gone)
    }
}

impl Source for Folder {
    fn start(self: Box<Self>) -> Result<mpsc::Receiver<Batch>, SourceError> {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let mut state = scan::State::new(self.path.clone());
        let watch = watch::Watch::begin(&self.path, self.timing);
        let first = state.rescan(scan::Missing::Gone)?;
        let timing = self.timing;
        let path = self.path.display().to_string();
        std::thread::Builder::new()
            .name("folder".to_owned())
            .spawn(move || watch::run(state, watch, timing, first, &sender))
            .map_err(|error| SourceError::Folder { path, reason: error.to_string() })?;
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests;
