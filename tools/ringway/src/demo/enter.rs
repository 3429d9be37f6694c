//! `ringway demo enter POD COMMAND…`: a command inside a pod of a running demo.

use std::{
    ffi::OsString, fmt::Write as _, fs::File, os::unix::process::CommandExt, process::Command,
    process::ExitCode,
};

use kit::net::{Privilege, Record, privilege};
use nix::sched::{CloneFlags, setns};

use super::{folder, mesh::Mesh};
use crate::failure::{Context, Failure};

/// Runs a command inside a pod of a running demo.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The pod's name.
    pod: String,
    /// The command; a shell when left out.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the command, so its exit code is this program's. Returns only on failure.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = folder::record_path();
    let record = Record::load(&path).context(|| format!("cannot read {}", path.display()))?;
    if !record.owner.as_ref().is_some_and(kit::net::Recorded::is_alive) {
        return Err(Failure::new("no demo is running").hint("ringway demo --keep"));
    }
    let names = || record.pods.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>();
    let Some((_, _, namespace)) = record.pods.iter().find(|(name, ..)| *name == arguments.pod)
    else {
        return Err(Failure::new(format!("the demo has no pod named {}", arguments.pod))
            .hint(names().join(", ")));
    };
    let place = || format!("cannot enter {}", arguments.pod);
    if privilege() == Privilege::UserNamespace {
        let users = format!("/proc/{}/ns/user", record.owner.as_ref().map_or(0, |owner| owner.pid));
        let users = File::open(users).context(place)?;
        setns(users, CloneFlags::CLONE_NEWUSER).context(place)?;
    }
    let file = File::open(namespace).context(place)?;
    setns(file, CloneFlags::CLONE_NEWNET).context(place)?;
    let words = match arguments.command.is_empty() {
        true => vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())],
        false => arguments.command.clone(),
    };
    let (program, rest) = words.split_first().ok_or_else(|| Failure::new("no command"))?;
    let error = Command::new(program).args(rest).exec();
    Err(Failure::new(format!("cannot run {}: {error}", program.display())))
}

/// What `--keep` prints.
pub(crate) fn instructions(mesh: &Mesh) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "ringway".into());
    let mut text = String::from("\n  The mesh stays up until Ctrl-C. To enter a pod:\n");
    let _ = writeln!(text, "    {} demo enter productpage", program.display());
    text.push_str("  or with nsenter:\n");
    let users = match in_user_namespace() {
        true => format!("--user=/proc/{}/ns/user --preserve-credentials ", std::process::id()),
        false => String::new(),
    };
    for (name, pod) in mesh.network().pods() {
        let path = pod.namespace.path();
        let words = format!("nsenter {users}--net={}", path.display());
        let _ = writeln!(text, "    {name:<12} {:<14} {words}", pod.ip);
    }
    text
}

/// Only the first user namespace maps every id to itself.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<_> = map.split_whitespace().collect();
    words != ["0", "0", "4294967295"]
}
