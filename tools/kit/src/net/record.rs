//! What runs, on disk: so that another command can enter a pod, and the next run can clean up.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// One process, known by its id and the moment it started, so that a reused id is not mistaken.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Recorded {
    /// The pod it runs in; empty for the command itself.
    pub pod: String,
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub start_time: u64,
}

/// All that a running command made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The command that holds the namespaces.
    pub owner: Option<Recorded>,
    /// Pods by name, with their addresses and the path of their namespace.
    pub pods: Vec<(String, Ipv4Addr, PathBuf)>,
    /// A folder of passing files, to be removed.
    pub scratch: Option<PathBuf>,
    /// The processes in them.
    pub processes: Vec<Recorded>,
}

impl Recorded {
    /// Notes a running process.
    pub fn new(pod: &str, name: &str, pid: u32) -> io::Result<Self> {
        Ok(Self { pod: pod.into(), name: name.into(), pid, start_time: start_time(pid)? })
    }

    /// Whether this very process, not a later one with its id, still runs.
    pub fn is_alive(&self) -> bool {
        let stat = stat_fields(self.pid);
        stat.is_ok_and(|(state, now)| now == self.start_time && !matches!(state, 'Z' | 'X'))
    }

    /// Sends it a signal if it is still the same process.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid.cast_signed()), signal);
        }
    }
}

impl Record {
    /// Reads a record; none there is an empty one.
    pub fn load(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it whole: a reader sees the old or the new one.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        let passing = path.with_extension("tmp");
        fs::write(&passing, serde_json::to_vec_pretty(self)?)?;
        fs::rename(passing, path)
    }

    /// Kills what a former run left running, and returns the names.
    pub fn sweep(&self) -> Vec<String> {
        let left: Vec<_> = self.processes.iter().filter(|process| process.is_alive()).collect();
        left.iter().for_each(|process| process.signal(Signal::SIGKILL));
        left.iter().map(|process| format!("{}/{}", process.pod, process.name)).collect()
    }
}

/// When a process started, in clock ticks since boot (proc(5), `/proc/PID/stat` field 22).
pub fn start_time(pid: u32) -> io::Result<u64> {
    stat_fields(pid).map(|(_, start_time)| start_time)
}

/// State and start time: fields 3 and 22.
fn stat_fields(pid: u32) -> io::Result<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces, so count from the last one.
    let mut words = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let state = words.next().and_then(|word| word.chars().next());
    let start = words.nth(18).and_then(|word| word.parse().ok());
    let both = state.zip(start);
    both.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no start time")))
}
