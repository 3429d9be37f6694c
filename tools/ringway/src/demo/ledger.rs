//! What the demo has started, and how it is taken down in every case.

use std::{
    fs,
    path::PathBuf,
    process,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use kit::net::{Process, Record, Recorded};
use nix::sys::signal::{SigSet, Signal};

use super::folder::Folder;
use crate::failure::{Context, Failure};

/// How long processes have to obey SIGTERM when all are stopped at once.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);
/// Exit code of a command that a signal ended: 128 and the signal's number.
const SIGNAL_BASE: i32 = 128;

/// Everything that must be taken down; shared with the thread that waits for signals.
#[derive(Clone)]
pub(crate) struct Ledger {
    path: PathBuf,
    record: Arc<Mutex<Record>>,
}

impl Ledger {
    pub(crate) fn new(folder: &Folder) -> Self {
        let record = Record {
            owner: Recorded::new("", "ringway demo", process::id()).ok(),
            scratch: Some(folder.run().to_owned()),
            ..Record::default()
        };
        let ledger = Self { path: folder.record(), record: Arc::new(Mutex::new(record)) };
        ledger.change(|_| {});
        ledger
    }

    /// Notes a process in a pod.
    pub(crate) fn add(&self, pod: &str, process: &Process) {
        if let Ok(recorded) = Recorded::new(pod, process.name(), process.id()) {
            self.change(|record| record.processes.push(recorded));
        }
    }

    /// Changes the record and writes it. That a record cannot be written only means that `demo
    /// enter` finds nothing; the kernel cleans up all the same.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut record);
        let _ = record.store(&self.path);
    }

    /// Stops every process and removes the files that are of no use afterwards.
    pub(crate) fn clean_up(&self) {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.processes.iter().for_each(|process| process.signal(Signal::SIGTERM));
        let deadline = Instant::now() + PATIENCE;
        while record.processes.iter().any(Recorded::is_alive) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        record.processes.iter().for_each(|process| process.signal(Signal::SIGKILL));
        if let Some(scratch) = &record.scratch {
            let _ = fs::remove_dir_all(scratch);
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes everything down when the user or the system ends the command. Must be called before any
/// other thread starts, because only then do all of them leave the signals to this one.
pub(crate) fn clean_up_on_signal(ledger: &Ledger) -> Result<(), Failure> {
    let place = || "cannot wait for signals".to_owned();
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context(place)?;
    let ledger = ledger.clone();
    let waiter = thread::Builder::new().name("signals".into());
    let started = waiter.spawn(move || {
        if let Ok(signal) = signals.wait() {
            ledger.clean_up();
            process::exit(SIGNAL_BASE + signal as i32);
        }
    });
    started.map(drop).context(place)
}
