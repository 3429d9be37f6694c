//! The proxies that are compared, each with a configuration that does the same.

mod haproxy;
mod nginx;
mod ours;
mod pods;
mod process;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

pub(crate) use ours::ASKED_HOST;
use pods::Pods;
use process::Process;

use crate::{Outcome, cores, place::Place, programs::Programs};

/// How long a proxy may take until it listens; ten thousand routes take some a while.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Whose proxy, or which variant of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Make {
    Ringway,
    /// Ringway where io_uring is forbidden.
    RingwayEpoll,
    /// Ringway whose local hops pass by TCP; here both of them are local.
    RingwayBypass,
    Envoy,
    Haproxy,
    Nginx,
    /// A proxy of a few lines on pingora's libraries.
    Pingora,
    /// A program of a few lines that only moves bytes: what the kernel allows. On the bare ring,
    /// or for bulk by splice(2).
    Limit,
    /// A byte proxy of a few lines on some runtime: what each of them costs.
    Rung(&'static str),
}

impl Make {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringway => "ringway",
            Self::RingwayEpoll => "ringway-epoll",
            Self::RingwayBypass => "ringway-bypass",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Pingora => "pingora",
            Self::Limit => "limit",
            Self::Rung(program) => program,
        }
    }

    /// Whether its program was found.
    pub(crate) fn is_there(self, programs: &Programs) -> bool {
        match self {
            Self::Ringway | Self::RingwayEpoll => true,
            // Where it is not to be had the proxy would go on without it, under a wrong name.
            Self::RingwayBypass => programs.has_bypass,
            Self::Limit => programs.bare.is_some() && programs.splice.is_some(),
            Self::Rung(program) => programs.rung(program).is_file(),
            Self::Envoy => programs.envoy.is_some(),
            Self::Haproxy => programs.haproxy.is_some(),
            Self::Nginx => programs.nginx.is_some(),
            Self::Pingora => programs.pingora.is_some(),
        }
    }
}

/// What a proxy does in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// HTTP/1.1 to one cluster.
    Http,
    /// HTTP/2 on both sides.
    Http2,
    /// The same beside ten thousand routes and two thousand clusters.
    Routes,
    /// Bytes, small ones.
    Tcp,
    /// Bytes of HTTP bodies, many of them.
    Bulk,
    /// HTTP/1.1 through two sidecars with mutual TLS and a policy between them.
    Pair,
    /// The same in two pods, by redirect rules.
    Redirected,
}

/// A proxy, or a pair, that serves.
pub(crate) struct Peer {
    pub(crate) make: Make,
    /// Where clients connect to.
    pub(crate) target: SocketAddr,
    /// From the start of its program to the first connection.
    pub(crate) ready: Duration,
    processes: Vec<Process>,
    pods: Option<Pods>,
}

impl Peer {
    /// Starts it on the proxies' core and waits until it listens.
    pub(crate) fn start(make: Make, front: Front, place: &Place) -> Outcome<Self> {
        let target = free_address()?;
        let begun = Instant::now();
        let mut peer =
            Self { make, target, ready: Duration::ZERO, processes: Vec::new(), pods: None };
        match make {
            Make::Haproxy => haproxy::start(&mut peer, front, place)?,
            Make::Nginx => nginx::start(&mut peer, place)?,
            Make::Ringway | Make::RingwayEpoll | Make::RingwayBypass | Make::Envoy => {
                ours::start(&mut peer, front, place)?;
            }
            Make::Pingora => {
                let program = place.programs.pingora.as_deref().unwrap_or_else(|| Path::new(""));
                rung(&mut peer, program, front, place)?;
            }
            Make::Limit => limit(&mut peer, front, place)?,
            Make::Rung(program) => rung(&mut peer, &place.programs.rung(program), front, place)?,
        }
        peer.wait()?;
        peer.ready = begun.elapsed();
        Ok(peer)
    }

    /// CPU time of all its processes so far.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.processes.iter().map(|process| cores::cpu_ns(process.id())).sum()
    }

    /// Memory of all its processes.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.processes.iter().map(|process| cores::resident_kib(process.id())).sum()
    }

    /// Does something where its clients are.
    pub(crate) fn among_clients<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Outcome<T> {
        match &self.pods {
            None => Ok(job()),
            Some(pods) => pods.client.run(job).map_err(|error| error.to_string()),
        }
    }

    fn spawn(&mut self, place: &Place, words: Vec<String>) -> Outcome<()> {
        let name = format!("{}-{}", self.make.name(), self.processes.len());
        let log = place.folder.path().join(format!("{name}.log"));
        self.processes.push(Process::start(&name, words, &log, place.cores)?);
        Ok(())
    }

    fn wait(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + PATIENCE;
        let target = self.target;
        while !self.among_clients(move || TcpStream::connect_timeout(&target, PATIENCE).is_ok())? {
            if let Some(ended) = self.processes.iter_mut().find_map(Process::ended) {
                return Err(ended);
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen on {}", self.make.name(), self.target));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn limit(peer: &mut Peer, front: Front, place: &Place) -> Outcome<()> {
    let program = match front {
        Front::Bulk => &place.programs.splice,
        _ => &place.programs.bare,
    };
    rung(peer, program.as_deref().unwrap_or_else(|| Path::new("")), front, place)
}

/// A program that passes bytes, or requests, to one upstream.
fn rung(peer: &mut Peer, program: &Path, front: Front, place: &Place) -> Outcome<()> {
    let upstream = match front {
        Front::Tcp => place.origin.tcp,
        Front::Http | Front::Http2 | Front::Bulk => place.origin.http,
        Front::Routes | Front::Pair | Front::Redirected => {
            return Err("a byte proxy takes no part in this".into());
        }
    };
    let (listen, upstream) = (peer.target.to_string(), upstream.to_string());
    let words = [&text(program), "--listen", &listen, "--upstream", &upstream];
    peer.spawn(place, words.map(str::to_owned).to_vec())
}

/// A loopback address that nobody listens on now.
fn free_address() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// Writes a configuration file for a peer.
fn write(place: &Place, name: &str, content: &str) -> Outcome<String> {
    let path = place.folder.path().join(name);
    std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text(&path))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
