//! Which core does what, and what the kernel says that it cost.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ring::machine;

use crate::Outcome;

/// The two cores of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// Load and origin.
    pub(crate) ours: usize,
    /// The proxies, of which one works at a time.
    pub(crate) theirs: usize,
}

impl Cores {
    /// The first two of those that this process may use, and the first one for itself.
    pub(crate) fn take() -> Outcome<Self> {
        let [ours, theirs, ..] = machine::cpus()[..] else {
            return Err("a measurement needs two CPUs, one of them for the proxy alone".into());
        };
        pin(ours)?;
        Ok(Self { ours, theirs })
    }
}

/// Binds the calling thread, and all that it starts from now on, to one CPU.
pub(crate) fn pin(cpu: usize) -> Outcome<()> {
    machine::pin(cpu).map_err(|error| format!("cannot use CPU {cpu}: {error}"))
}

/// Ten thousand idle connections are twenty thousand descriptors, here and in the proxies.
pub(crate) fn raise_descriptors() {
    const WANTED: u64 = 1 << 16;
    let wanted = |hard: u64| hard.max(WANTED);
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    // Only root may go above the hard limit; below it the scenario says what failed.
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted(hard), wanted(hard));
    let _ = raised.or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}

/// Nanoseconds that all threads of a process and of its children have been running, in the count
/// of the kernel's scheduler.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let own = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    own.sum::<u64>() + children(pid).into_iter().map(cpu_ns).sum::<u64>()
}

/// Processes that this one has started, such as nginx's worker.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// What a process and its children hold in memory now, in KiB: code, heap, stacks, rings. Pages
/// that they share count as often as they are mapped.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let own = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    own.unwrap_or_default() + children(pid).into_iter().map(resident_kib).sum::<u64>()
}
