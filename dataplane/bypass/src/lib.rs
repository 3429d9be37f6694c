//! The local hop without TCP: what an application sends to its own sidecar, and the sidecar to its
//! application, goes from one socket's send into the other's receive queue (eBPF, `sk_msg`).
//!
//! In: the control group in which both run. Out: a [`Bypass`] that works for as long as it is
//! held, or a reason why there is none. Programs and tables belong to the process and to the
//! connections that it has paired: when it has ended, in whatever way, and the last of them is
//! closed, nothing stays behind.
//!
//! What is paired, and why no byte changes places: `bypass.bpf.c`. What an application may not do
//! on such a connection: `docs/local-bypass.md`.

#![forbid(unsafe_code)]

mod cgroup;
mod trial;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, Map, MapData, SockHash};
use aya::programs::{CgroupAttachMode, SkMsg, SockOps};
use aya::{Ebpf, EbpfLoader};

/// Connections that can be paired at a time; more go by TCP.
pub const PAIRS_MAX: u32 = 16_384;

/// The key of a connection, and of one of its ends: `struct key` of the program.
type Key = [u32; 4];

/// Which control group, and how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The folder of the control group (version 2) in which application and sidecar run. `None`:
    /// the root of what is mounted here.
    pub cgroup: Option<PathBuf>,
    /// Connections that can be paired at a time.
    pub pairs_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { cgroup: None, pairs_max: PAIRS_MAX }
    }
}

/// Why there is no bypass: everything goes by TCP, as without it.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Built without the programs.
    #[error("this binary was built without clang ({0})")]
    NotBuilt(&'static str),
    /// No control group to attach to.
    #[error("no control group of version 2: {0}")]
    NoCgroup(String),
    /// The kernel refuses a program, a table or the right to them.
    #[error("the kernel refuses {what}: {why}")]
    Refused {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// All is in place, but a connection to ourselves did not go as it must.
    #[error("a trial connection failed: {0}")]
    Trial(String),
}

impl Unavailable {
    fn refused(what: &'static str, why: impl fmt::Debug) -> Self {
        // The errors of `aya` show their causes by `Debug` alone. The kernel's words may be a log
        // of many lines, and the last of them says why.
        let why: Vec<char> = format!("{why:?}").chars().collect();
        let last = why.iter().skip(why.len().saturating_sub(400));
        let line = last.map(|c| if c.is_control() { ' ' } else { *c });
        Self::Refused { what, why: line.collect() }
    }
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections whose two ends were paired. The trial's own is not among them.
    pub paired: u64,
    /// Connections that were not because a table was full.
    pub full: u64,
    /// Ends of connections from which something was sent past TCP.
    pub diverted: u64,
}

/// The bypass in force. Sockets that begin to listen or to connect from now on take part.
pub struct Bypass {
    counts: Array<MapData, u64>,
    pairs: HashMap<MapData, Key, [u64; 3]>,
    sockets: SockHash<MapData, Key>,
    before: Counts,
    cgroup: PathBuf,
    /// Holds programs and links.
    _ebpf: Ebpf,
}

impl fmt::Debug for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bypass").field("cgroup", &self.cgroup).finish_non_exhaustive()
    }
}

impl Bypass {
    /// Loads the programs, attaches them to the control group and tries them on a connection of
    /// our own. Rights needed: `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN`. Takes some
    /// milliseconds.
    ///
    /// # Errors
    /// Why there can be none; nothing of it stays.
    pub fn start(options: &Options) -> Result<Self, Unavailable> {
        let program = program()?;
        let (cgroup, folder) = cgroup::open(options.cgroup.as_deref())?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("pairs", options.pairs_max)
            .map_max_entries("sockets", options.pairs_max.saturating_mul(2))
            .load(program)
            .map_err(|why| Unavailable::refused("its tables", why))?;
        let counts = Array::try_from(take(&mut ebpf, "counts")?);
        let counts = counts.map_err(|why| Unavailable::refused("a table", why))?;
        let pairs = HashMap::try_from(take(&mut ebpf, "pairs")?);
        let pairs = pairs.map_err(|why| Unavailable::refused("a table", why))?;
        let sockets = SockHash::try_from(take(&mut ebpf, "sockets")?);
        let sockets = sockets.map_err(|why| Unavailable::refused("a table", why))?;
        let identity = Array::try_from(take(&mut ebpf, "identity")?);
        let mut identity = identity.map_err(|why| Unavailable::refused("a table", why))?;
        attach(&mut ebpf, &sockets, &folder)?;
        let before = Counts::default();
        let mut bypass = Self { counts, pairs, sockets, before, cgroup, _ebpf: ebpf };
        trial::run(&mut identity, &bypass).map_err(Unavailable::Trial)?;
        bypass.before = bypass.counts();
        Ok(bypass)
    }

    /// The control group that it is attached to.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// What has happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |at: u32| self.counts.get(&at, 0).unwrap_or_default();
        Counts {
            paired: count(0).saturating_sub(self.before.paired),
            full: count(1).saturating_sub(self.before.full),
            diverted: count(2).saturating_sub(self.before.diverted),
        }
    }

    /// Connections that have not ended, and sockets that have not been closed.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.pairs.keys().flatten().count(), self.sockets.keys().flatten().count())
    }
}

#[cfg(has_programs)]
fn program() -> Result<&'static [u8], Unavailable> {
    Ok(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bypass.o")))
}

#[cfg(not(has_programs))]
fn program() -> Result<&'static [u8], Unavailable> {
    Err(Unavailable::NotBuilt(env!("RINGWAY_BYPASS_MISSING")))
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, Unavailable> {
    ebpf.take_map(name).ok_or_else(|| Unavailable::refused("a table", name))
}

/// `divert` first: no socket may be in the table without it.
fn attach(
    ebpf: &mut Ebpf,
    sockets: &SockHash<MapData, Key>,
    cgroup: &File,
) -> Result<(), Unavailable> {
    let divert: &mut SkMsg = find(ebpf, "divert")?;
    divert.load().map_err(|why| Unavailable::refused("the sk_msg program", why))?;
    let attached = divert.attach(sockets.fd());
    attached.map_err(|why| Unavailable::refused("attaching the sk_msg program", why))?;
    let watch: &mut SockOps = find(ebpf, "watch")?;
    watch.load().map_err(|why| Unavailable::refused("the sockops program", why))?;
    // A link stands beside what others attach; the mode is for the older call without links.
    let attached = watch.attach(cgroup, CgroupAttachMode::Single);
    attached.map_err(|why| Unavailable::refused("attaching to the control group", why))?;
    Ok(())
}

fn find<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<P, Unavailable>
where
    P: TryFrom<&'a mut aya::programs::Program, Error: fmt::Debug>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| Unavailable::refused("a program", name))?;
    P::try_from(program).map_err(|why| Unavailable::refused("a program", why))
}
