//! Processes inside a namespace that cannot outlive the one that started them.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io,
    os::{fd::IntoRawFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
    },
    unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setuid},
};

use super::{Namespace, NetError};

/// How long a process has to obey SIGTERM before it gets SIGKILL.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
const STOP_POLL: Duration = Duration::from_millis(10);

/// What to start in a pod, and how.
#[derive(Clone, Debug, Default)]
pub struct Spawn {
    /// The name used in messages.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Environment added to this process's own.
    pub env: BTreeMap<String, String>,
    /// User and group to become; `None` keeps this process's.
    pub identity: Option<(u32, u32)>,
    /// Where standard output and error go; thrown away when `None`.
    pub log: Option<PathBuf>,
    /// A program that calls [`become_child`] when started with [`child_arguments`]. With it, the
    /// kernel kills the process when the namespace's home thread ends, even by SIGKILL.
    pub supervisor: Option<PathBuf>,
}

/// A running process; dropping it stops it.
pub struct Process {
    name: String,
    child: Child,
}

impl Spawn {
    /// Starts it inside `namespace`.
    pub fn start(self, namespace: &Namespace) -> Result<Process, NetError> {
        let name = self.name.clone();
        let step = format!("cannot start {name} in {}", namespace.name());
        let mut command = self.build().map_err(|e| NetError::new(step.clone(), e))?;
        let child = namespace.run(move || command.spawn())?;
        let child = child.map_err(|e| NetError::new(step, e))?;
        Ok(Process { name, child })
    }

    fn build(self) -> io::Result<Command> {
        let words = match (&self.supervisor, self.identity) {
            (Some(supervisor), identity) => {
                let mut words = vec![supervisor.clone().into_os_string()];
                words.extend(child_arguments(identity));
                words.extend(self.command);
                words
            }
            (None, _) => self.command,
        };
        let Some((program, rest)) = words.split_first() else {
            return Err(io::Error::other("the command is empty"));
        };
        let mut command = Command::new(program);
        command.args(rest).envs(self.env).stdin(Stdio::null()).process_group(0);
        if let (None, Some((uid, gid))) = (&self.supervisor, self.identity) {
            command.uid(uid).gid(gid);
        }
        let (out, err) = outputs(self.log)?;
        command.stdout(out).stderr(err);
        Ok(command)
    }
}

impl Process {
    /// Its name, as given to [`Spawn`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, waits two seconds, then kills it.
    pub fn stop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return;
            }
            thread::sleep(STOP_POLL);
        }
        // Both can only fail when it is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal; nothing happens when it is gone.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The first word of a command line that makes a supervisor call [`become_child`].
pub const CHILD: &str = "__child";

/// The words that make a supervisor call [`become_child`]: `__child PARENT UID GID --`.
pub fn child_arguments(identity: Option<(u32, u32)>) -> Vec<OsString> {
    let (uid, gid) = identity.map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |(uid, gid)| (uid.to_string(), gid.to_string()),
    );
    vec![CHILD.into(), std::process::id().to_string().into(), uid.into(), gid.into()]
}

/// Called in the new process: binds its life to the parent's, takes the identity, and becomes the
/// program. Returns only on failure. The kernel forgets the death signal when the user changes, so
/// it is set after that; and a parent that died before is seen by comparing its id.
pub fn become_child(words: &[OsString]) -> io::Error {
    match try_become(words) {
        Ok(error) | Err(error) => error,
    }
}

fn try_become(words: &[OsString]) -> io::Result<io::Error> {
    let [parent, uid, gid, program, rest @ ..] = words else {
        return Err(io::Error::other("usage: __child PARENT UID GID PROGRAM [ARGUMENT…]"));
    };
    // Opened while still root: the program may lie in a folder that the new user cannot enter.
    let identity = number(uid)?.zip(number(gid)?);
    let opened = identity.map(|_| File::open(program)).transpose()?;
    if let Some((uid, gid)) = identity {
        setgroups(&[])?;
        setgid(Gid::from_raw(gid))?;
        setuid(Uid::from_raw(uid))?;
    }
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // A parent that waits for signals has them blocked, and a child inherits that.
    SigSet::all().thread_unblock()?;
    let parent = number(parent)?;
    if parent.is_some_and(|parent| getppid() != Pid::from_raw(parent.cast_signed())) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    let error = Command::new(program).args(rest).exec();
    Ok(match opened {
        Some(file) if error.kind() == io::ErrorKind::PermissionDenied => {
            let path = format!("/proc/self/fd/{}", file.into_raw_fd());
            Command::new(path).arg0(program).args(rest).exec()
        }
        _ => error,
    })
}

/// `-` means "leave as it is".
fn number(word: &OsString) -> io::Result<Option<u32>> {
    let word = word.to_string_lossy();
    if word == "-" {
        return Ok(None);
    }
    word.parse().map(Some).map_err(|e| io::Error::other(format!("{word}: {e}")))
}

fn outputs(log: Option<PathBuf>) -> io::Result<(Stdio, Stdio)> {
    let Some(path) = log else {
        return Ok((Stdio::null(), Stdio::null()));
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(&path)?;
    Ok((file.try_clone()?.into(), file.into()))
}
