//! What the system says of names: `/etc/resolv.conf` and `/etc/hosts`, read again when they change.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use domain::resolv::stub::conf::ResolvConf;

use super::hosts;

/// Bytes of either file that are read.
const FILE_MAX: u64 = 1 << 20;
/// Suffixes that are tried, as in glibc.
const SEARCH_MAX: usize = 6;

/// The two files.
pub(crate) struct System {
    resolv: File<Arc<Conf>>,
    hosts: File<Arc<str>>,
}

/// What matters of `/etc/resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conf {
    /// Name servers, in the order in which they are asked.
    pub(crate) servers: Vec<SocketAddr>,
    /// They were named; else it is this machine's, for want of another.
    pub(crate) has_servers: bool,
    /// Suffixes for names with less than `ndots` dots.
    pub(crate) search: Vec<String>,
    pub(crate) ndots: usize,
}

impl System {
    pub(crate) fn new(resolv: impl Into<PathBuf>, hosts: impl Into<PathBuf>) -> Self {
        Self { resolv: File::new(resolv), hosts: File::new(hosts) }
    }

    pub(crate) fn conf(&self) -> Arc<Conf> {
        self.resolv.read(|text| Arc::new(conf(text)))
    }

    /// The addresses that the hosts file has for a name.
    pub(crate) fn hosts(&self, name: &str) -> Vec<IpAddr> {
        hosts::addresses(&self.hosts.read(|text| text.into()), name)
    }
}

/// A small file, and what was read out of it.
struct File<T> {
    path: PathBuf,
    known: Mutex<Option<(Option<SystemTime>, T)>>,
}

impl<T: Clone> File<T> {
    fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), known: Mutex::default() }
    }

    /// A file that is not there, or cannot be read, is an empty one.
    fn read(&self, parse: impl FnOnce(&str) -> T) -> T {
        let stamp = fs::metadata(&self.path).and_then(|data| data.modified()).ok();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*known
            && *at == stamp
        {
            return value.clone();
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&self.path);
        let read = file.and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
        if let Err(error) = read {
            tracing::warn!(path = %self.path.display(), %error, "cannot be read");
        }
        let value = parse(&String::from_utf8_lossy(&bytes));
        *known = Some((stamp, value.clone()));
        value
    }
}

/// A line that is not understood is left out alone.
fn conf(text: &str) -> Conf {
    let mut conf = ResolvConf::new();
    for line in text.lines() {
        if let Err(error) = conf.parse(&mut line.as_bytes()) {
            tracing::debug!(line, %error, "a line of resolv.conf is not understood");
        }
    }
    let has_servers = !conf.servers.is_empty();
    conf.finalize();
    let suffixes = conf.options.search.as_slice().iter().map(ToString::to_string);
    let suffixes = suffixes.filter(|suffix| !matches!(suffix.as_str(), "" | "."));
    Conf {
        servers: conf.servers.iter().map(|server| server.addr).collect(),
        has_servers,
        search: suffixes.take(SEARCH_MAX).collect(),
        ndots: conf.options.ndots,
    }
}
