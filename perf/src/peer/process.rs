//! A peer's process: on its own core, gone with us.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kit::net::{Namespace, child_arguments};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Outcome,
    cores::{Cores, pin},
};

/// How long it may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A running process; dropping it stops it.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it on the proxies' core.
    pub(super) fn start(name: &str, words: Vec<String>, log: &Path, cores: Cores) -> Outcome<Self> {
        let child = spawn(command(words, log, None), cores);
        Self::new(name, log, child)
    }

    /// The same in a pod, as another user.
    pub(super) fn start_in(
        pod: &Namespace,
        name: &str,
        words: Vec<String>,
        log: &Path,
        cores: Cores,
        user: u32,
    ) -> Outcome<Self> {
        let command = command(words, log, Some(user));
        let child = pod.run(move || spawn(command, cores)).map_err(|error| error.to_string())?;
        Self::new(name, log, child)
    }

    fn new(name: &str, log: &Path, child: Outcome<Child>) -> Outcome<Self> {
        let child = child.map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has, with its last words.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Some(format!("{} ended ({status}): {}", self.name, last.join(" | ")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Through this program, which binds the child's life to ours.
fn command(words: Vec<String>, log: &Path, user: Option<u32>) -> Outcome<Command> {
    let file = File::create(log).map_err(|error| error.to_string())?;
    let mut command = Command::new(env::current_exe().map_err(|error| error.to_string())?);
    command.args(child_arguments(user.map(|id| (id, id)))).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    Ok(command)
}

/// A child begins on the CPU of the thread that starts it.
fn spawn(command: Outcome<Command>, cores: Cores) -> Outcome<Child> {
    let mut command = command?;
    pin(cores.theirs)?;
    let child = command.spawn().map_err(|error| error.to_string());
    pin(cores.ours)?;
    child
}
