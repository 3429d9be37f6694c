//! Putting rules into the kernel, for the network namespace that the calling thread is in.

use std::{
    env, fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
};

use super::{
    netlink, nft,
    restore::removal,
    rules::{Family, OWN_CHAINS, Rules},
};

/// The way by which rules reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `iptables-restore` if it is there, else `nft`, else netlink.
    Auto,
    /// One `iptables-restore --noflush` call for each family.
    Iptables,
    /// One `nft -f -` call.
    Nft,
    /// One batch of netlink messages, no program.
    Netlink,
}

/// Why rules could not be put into the kernel or taken out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The program that was asked for is not there.
    #[error("{0} was not found in PATH")]
    Missing(&'static str),
    /// The program said no; nothing of its call was applied.
    #[error("{program} refused: {said}")]
    Refused {
        /// The program.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// The kernel said no; nothing was applied.
    #[error("nf_tables refused the rules: {0}")]
    Kernel(#[source] io::Error),
    /// A program could not be run.
    #[error("{program} could not be run: {source}")]
    Run {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Replaces what is installed by `rules`, and says by which way.
pub fn apply(rules: &Rules, via: Via) -> Result<Via, ApplyError> {
    let via = via.resolve();
    match via {
        Via::Iptables => families_here().try_for_each(|family| iptables(rules, family))?,
        Via::Nft => drop(run("nft", &["-f", "-"], &rules.to_nft())?),
        Via::Netlink | Via::Auto => netlink::apply(rules).map_err(ApplyError::Kernel)?,
    }
    Ok(via)
}

/// Takes our rules away; nothing there is no error. [`Via::Auto`] looks in every way that this
/// machine has, so rules are found whichever way they came.
pub fn remove(via: Via) -> Result<(), ApplyError> {
    match via {
        Via::Auto => [Via::Iptables, Via::Netlink]
            .into_iter()
            .filter(|via| via.is_present())
            .try_for_each(remove),
        Via::Iptables => families_here().try_for_each(|family| iptables(&Rules::none(), family)),
        Via::Nft => run("nft", &["-f", "-"], &nft::removal()).map(drop),
        Via::Netlink => netlink::remove().map_err(ApplyError::Kernel),
    }
}

/// How many rules of ours are installed, counted the way they came.
pub fn installed(via: Via) -> Result<usize, ApplyError> {
    match via.resolve() {
        Via::Iptables => {
            let count = |text: String| {
                let ours = |line: &&str| {
                    line.starts_with("-A ")
                        && OWN_CHAINS.iter().any(|chain| line.contains(chain.name()))
                };
                text.lines().filter(ours).count()
            };
            families_here().map(|family| saved(family).map(count)).sum()
        }
        // The same tables, so the same way to count.
        Via::Nft | Via::Netlink | Via::Auto => netlink::count_rules().map_err(ApplyError::Kernel),
    }
}

impl Via {
    /// The way that [`Via::Auto`] stands for on this machine.
    pub fn resolve(self) -> Self {
        let complete = ["iptables-restore", "ip6tables-restore", "iptables-save", "ip6tables-save"]
            .into_iter()
            .all(|program| find(program).is_some());
        match self {
            Self::Auto if complete => Self::Iptables,
            Self::Auto if find("nft").is_some() => Self::Nft,
            Self::Auto => Self::Netlink,
            named => named,
        }
    }

    /// Whether what it needs is on this machine.
    pub fn is_present(self) -> bool {
        match self {
            Self::Iptables => Self::Auto.resolve() == Self::Iptables,
            Self::Nft => find("nft").is_some(),
            Self::Netlink | Self::Auto => true,
        }
    }
}

impl FromStr for Via {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "iptables" => Ok(Self::Iptables),
            "nft" => Ok(Self::Nft),
            "netlink" => Ok(Self::Netlink),
            _ => Err(format!("\"{word}\" is none of auto, iptables, nft, netlink")),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Iptables => "iptables",
            Self::Nft => "nft",
            Self::Netlink => "netlink",
        })
    }
}

/// One call that takes the old rules of a family out and puts the new ones in.
fn iptables(rules: &Rules, family: Family) -> Result<(), ApplyError> {
    let old = removal(&saved(family)?);
    let text = match rules.of(family).is_empty() {
        false => rules.restore_after(family, &old),
        true if old.is_empty() => return Ok(()),
        true => format!("*nat\n{}\nCOMMIT\n", old.join("\n")),
    };
    run(restore(family), &["--noflush", "-w"], &text).map(drop)
}

/// IPv6 only where the kernel has it.
fn families_here() -> impl Iterator<Item = Family> {
    let has_v6 = Path::new("/proc/net/if_inet6").exists();
    [Some(Family::V4), has_v6.then_some(Family::V6)].into_iter().flatten()
}

fn restore(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables-restore",
        Family::V6 => "ip6tables-restore",
    }
}

fn saved(family: Family) -> Result<String, ApplyError> {
    let program = match family {
        Family::V4 => "iptables-save",
        Family::V6 => "ip6tables-save",
    };
    run(program, &["-t", "nat"], "")
}

/// Runs a program of the redirect rules with this text as its input.
fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<String, ApplyError> {
    let path = find(program).ok_or(ApplyError::Missing(program))?;
    let failed = |source| ApplyError::Run { program, source };
    let mut child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).map_err(failed)?;
    }
    let done = child.wait_with_output().map_err(failed)?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(ApplyError::Refused { program, said });
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The program in PATH, or where Debian keeps it for root.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
