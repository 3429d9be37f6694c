//! Two proxies on one bootstrap, each with an upstream of its own that remembers what it was sent.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::running::{self, Running};
use crate::common::{free_address, skip};
use crate::curl::{self, Curled};
use crate::logs::{self, Asked, Log};
use crate::upstream;
use crate::wire::{self, Answer, Message};

/// The real Envoy.
pub(crate) struct Judge {
    envoy: PathBuf,
}

impl Judge {
    /// Envoy by `RINGWAY_ENVOY`, or where `cargo xtask test` has put it; says so if there is none.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_ringway-proxy")).ancestors().nth(2);
        let installed = target.map(|target| target.join("venv/bin/envoy"));
        let named = std::env::var_os("RINGWAY_ENVOY").map(PathBuf::from);
        let found = named.or(installed).filter(|path| path.exists());
        if found.is_none() {
            skip(test, "no Envoy: set RINGWAY_ENVOY or run `cargo xtask test`");
        }
        found.map(|envoy| Self { envoy })
    }
}

/// Envoy and Ringway side by side.
pub(crate) struct Pair {
    envoy: Side,
    ours: Side,
}

/// What a request led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) upstream: Vec<Message>,
}

struct Side {
    running: Running,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
    log: Log,
    /// The port that the last request came from.
    port: AtomicU16,
}

impl Pair {
    /// Starts both on one bootstrap.
    pub(crate) fn start(judge: &Judge, name: &str, template: &str) -> Self {
        Self::start_each(judge, name, [template; 2])
    }

    /// Starts Envoy on one bootstrap and Ringway on another.
    pub(crate) fn start_each(judge: &Judge, name: &str, [theirs, own]: [&str; 2]) -> Self {
        let envoy = Side::start(name, "envoy", theirs, |file| {
            let mut command = Command::new(&judge.envoy);
            command.args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]);
            command.args(["--file-flush-interval-msec", "100", "-c"]);
            command.arg(file);
            command
        });
        let ours = Side::start(name, "ringway", own, |file| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-proxy"));
            command.args(["--concurrency", "1", "--drain-time-s", "1", "-c"]).arg(file);
            command
        });
        Self { envoy, ours }
    }

    /// Where Envoy listens, and where we do.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        [self.envoy.address, self.ours.address]
    }

    /// What to know of the last request to find its lines in the logs.
    pub(crate) fn asked(&self, name: String, compared: bool) -> Asked {
        let port = |side: &Side| side.port.load(Ordering::Relaxed);
        Asked { name, compared, envoy: port(&self.envoy), ours: port(&self.ours) }
    }

    /// What the two logs say differently of these, which is all that was asked.
    pub(crate) fn logs_differ(mut self, asked: &[Asked]) -> Vec<String> {
        self.ours.end();
        logs::compare(&self.envoy.log, &self.ours.log, asked)
    }

    /// The same bytes to both.
    pub(crate) fn ask(&self, request: &str) -> (Outcome, Outcome) {
        thread::scope(|scope| {
            let envoy = scope.spawn(|| self.envoy.ask(request));
            let ours = self.ours.ask(request);
            (envoy.join().expect("asked"), ours)
        })
    }
}

impl Pair {
    /// The same request by HTTP/2 to both. `None`: there is no curl.
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> Option<(Curled, Curled)> {
        thread::scope(|scope| {
            let envoy = scope.spawn(|| self.envoy.curl(path, arguments));
            let ours = self.ours.curl(path, arguments);
            envoy.join().expect("asked").zip(ours)
        })
    }
}

impl Side {
    fn curl(&self, path: &str, arguments: &[&str]) -> Option<Curled> {
        // An answer before the request has come whole may end with a reset, which curl takes for an
        // error: whether it comes to that is a race.
        let once = || self.curl_once(path, arguments);
        let mut curled = once()?;
        for _ in 0..10 {
            if !curled.is_reset() {
                break;
            }
            curled = once()?;
        }
        Some(curled)
    }

    fn curl_once(&self, path: &str, arguments: &[&str]) -> Option<Curled> {
        self.seen.lock().expect("seen").clear();
        let (answer, from) = curl::run(self.address, path, arguments)?;
        self.port.store(from, Ordering::Relaxed);
        // Copies of a request may come later than its answer.
        thread::sleep(Duration::from_millis(60));
        Some(Curled { answer, upstream: self.take_seen() })
    }

    fn start(
        name: &str,
        who: &str,
        template: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let upstream = upstream::start(Arc::clone(&seen));
        let (address, dead) = (free_address(), free_address());
        let text = template
            .replace("@LISTEN@", &address.port().to_string())
            .replace("@UPSTREAM@", &upstream.port().to_string())
            .replace("@DEAD@", &dead.port().to_string())
            .replace("@INNER@", &free_address().port().to_string());
        let file = folder().join(format!("{name}-{who}.yaml"));
        let access = file.with_extension("access");
        let text = text
            .replace("@ACCESS_LOG@", logs::ACCESS_LOG)
            .replace("@LOG@", &access.display().to_string());
        fs::write(&file, text).expect("the bootstrap");
        let mut command = command(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let running = running::start(&mut command, &[address], &file.with_extension("log"));
        let log = Log { path: access, listens: address.port() };
        Self { running, address, seen, log, port: AtomicU16::new(0) }
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) {
        let pid = i32::try_from(self.running.0.id()).expect("a process");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
        self.running.0.wait().expect("it ends");
    }

    fn ask(&self, request: &str) -> Outcome {
        self.seen.lock().expect("seen").clear();
        let listens = self.address.port().to_string();
        let request = request.replace("@PORT@", &listens);
        let (answer, port) = wire::exchange(self.address, request.as_bytes());
        self.port.store(port, Ordering::Relaxed);
        Outcome { answer: portless(answer, self.address), upstream: self.take_seen() }
    }

    /// What the upstream has seen, without the proxy's port.
    fn take_seen(&self) -> Vec<Message> {
        let port = self.address.port().to_string();
        let mut seen = std::mem::take(&mut *self.seen.lock().expect("seen"));
        let fields = seen.iter_mut().flat_map(|message| message.fields.values_mut());
        fields.flatten().for_each(|value| *value = value.replace(&port, "PORT"));
        seen
    }
}

/// Where this run keeps its files.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| running::fresh_folder(env!("CARGO_CRATE_NAME")))
}

/// The proxies listen on different ports, which must not count as a difference.
fn portless(mut answer: Answer, address: SocketAddr) -> Answer {
    let port = address.port().to_string();
    for message in &mut answer.responses {
        message.body = message.body.replace(&port, "PORT");
        message
            .fields
            .values_mut()
            .flatten()
            .for_each(|value| *value = value.replace(&port, "PORT"));
    }
    answer
}
