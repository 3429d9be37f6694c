//! Without root: a user namespace in which this program is root and uid 1337 exists.
//!
//! `unshare` of a user namespace needs a single thread and its id map must be written from
//! outside, so the program starts itself again: the inner one leaves the namespace of users, says
//! so on its standard output, waits for one line, and becomes the real program.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitStatus, Stdio},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal},
    },
    unistd::{Gid, Uid, getegid, geteuid},
};

use super::NetError;

/// Ids that must exist inside: 0 to 1337 for apps and proxies, with room.
const IDS_NEEDED: u32 = 2000;
/// Bit of CAP_SYS_ADMIN in the kernel's capability sets (capabilities(7)).
const CAP_SYS_ADMIN: u32 = 21;
const READY: &str = "ready";

/// How namespaces can be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// With what this process has.
    Root,
    /// Only inside a user namespace.
    UserNamespace,
}

/// What this process may do: CAP_SYS_ADMIN with uid 0, or not.
pub fn privilege() -> Privilege {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or_default();
    if geteuid().is_root() && effective >> CAP_SYS_ADMIN & 1 == 1 {
        Privilege::Root
    } else {
        Privilege::UserNamespace
    }
}

/// Starts `program __userns arguments…` in a new user namespace, maps the ids, and waits for its
/// end. The inner program must call [`finish_user_namespace`] before it starts any thread.
pub fn enter_user_namespace(
    program: &OsString,
    arguments: &[OsString],
) -> Result<ExitStatus, NetError> {
    let step = "cannot enter a user namespace";
    // Ctrl-C reaches both halves; the inner one cleans up, the outer one waits for it.
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    interrupt.thread_block().map_err(|e| NetError::new(step, e))?;
    let mut child = Command::new(program)
        .arg("__userns")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| NetError::new(step, e))?;
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().ok_or_else(|| NetError::other(step, "pipe"))?);
    out.read_line(&mut said).map_err(|e| NetError::new(step, e))?;
    if said.trim() != READY {
        let _ = child.wait();
        return Err(NetError::other(step, said.trim()));
    }
    let mapped = map_ids(child.id());
    let go = if mapped.is_ok() { "go\n" } else { "stop\n" };
    if let Some(mut input) = child.stdin.take() {
        input.write_all(go.as_bytes()).map_err(|e| NetError::new(step, e))?;
    }
    let relay = std::thread::spawn(move || io::copy(&mut out, &mut io::stdout()));
    let status = child.wait().map_err(|e| NetError::new(step, e))?;
    let _ = relay.join();
    mapped.map(|()| status)
}

/// The inner half: leaves the outer user namespace, waits for its ids, becomes `program`.
pub fn finish_user_namespace(program: &OsString, arguments: &[OsString]) -> io::Error {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWUSER) {
        println!("the kernel refuses unprivileged user namespaces ({error})");
        return error.into();
    }
    println!("{READY}");
    let mut word = String::new();
    match io::stdin().read_line(&mut word) {
        Ok(_) if word.trim() == "go" => {}
        // The outer half says why.
        Ok(_) => std::process::exit(1),
        Err(error) => return error,
    }
    let become_root = nix::unistd::setgid(Gid::from_raw(0))
        .and_then(|()| nix::unistd::setuid(Uid::from_raw(0)))
        .and_then(|()| prctl::set_pdeathsig(Signal::SIGTERM))
        .and_then(|()| SigSet::all().thread_unblock());
    match become_root {
        Ok(()) => Command::new(program).args(arguments).stdin(Stdio::null()).exec(),
        Err(error) => error.into(),
    }
}

/// Maps this user to root and a range of subordinate ids after it.
fn map_ids(pid: u32) -> Result<(), NetError> {
    let name = user_name();
    for (tool, own, file) in [
        ("newuidmap", geteuid().as_raw(), "/etc/subuid"),
        ("newgidmap", getegid().as_raw(), "/etc/subgid"),
    ] {
        let step = format!("cannot map ids with {tool}");
        let first = subordinate(file, &name, geteuid().as_raw()).ok_or_else(|| {
            NetError::other(&step, format!("{file} gives {name} no {IDS_NEEDED} ids"))
        })?;
        let words = [pid, 0, own, 1, 1, first, IDS_NEEDED - 1].map(|word| word.to_string());
        let done = Command::new(tool).args(words).output().map_err(|e| NetError::new(&step, e))?;
        if !done.status.success() {
            return Err(NetError::other(step, String::from_utf8_lossy(&done.stderr).trim()));
        }
    }
    Ok(())
}

fn user_name() -> String {
    let uid = geteuid();
    let known = nix::unistd::User::from_uid(uid).ok().flatten();
    known.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The first subordinate id of a range that is long enough (subuid(5): `name:first:count`).
fn subordinate(file: &str, name: &str, uid: u32) -> Option<u32> {
    let uid = uid.to_string();
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut parts = line.split(':');
        let owner = parts.next()?;
        let first: u32 = parts.next()?.parse().ok()?;
        let count: u32 = parts.next()?.parse().ok()?;
        ((owner == name || owner == uid) && count >= IDS_NEEDED - 1).then_some(first)
    })
}
