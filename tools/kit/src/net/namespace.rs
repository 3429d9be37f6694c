//! One network namespace, held open by the thread that made it.

use std::{
    fs::File,
    future::Future,
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use nix::sched::{CloneFlags, unshare};

use super::{NetError, link};

/// The file that stands for the calling thread's network namespace.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace without a name. It lives as long as this value, or a process in it, does.
///
/// Work is done in it by a thread of its own, its home thread: a thread that entered a namespace
/// never goes back, so no other thread is ever at risk of staying in the wrong one.
#[derive(Clone)]
pub struct Namespace {
    name: Arc<str>,
    file: Arc<File>,
    jobs: mpsc::Sender<Job>,
}

impl Namespace {
    /// Makes an empty namespace; `name` is used for messages and the thread's name only.
    pub fn create(name: &str) -> Result<Self, NetError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (made, answer) = mpsc::channel();
        let step = format!("cannot make a network namespace for {name}");
        thread::Builder::new()
            .name(format!("ns-{name}"))
            .spawn(move || {
                let file = unshare(CloneFlags::CLONE_NEWNET)
                    .map_err(std::io::Error::from)
                    .and_then(|()| File::open(OWN_NAMESPACE));
                let failed = file.is_err();
                if made.send(file).is_err() || failed {
                    return;
                }
                inbox.into_iter().for_each(|job| job());
            })
            .map_err(|e| NetError::new(step.clone(), e))?;
        let file = answer.recv().map_err(|e| NetError::other(step.clone(), e))?;
        let file = file.map_err(|e| NetError::new(step, e))?;
        Ok(Self { name: name.into(), file: Arc::new(file), jobs })
    }

    /// The name given to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that `nsenter --net=PATH` or `setns` of another process can open.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// The descriptor by which netlink moves a link here.
    pub(super) fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// Runs `job` on the home thread and waits for its answer, blocking the caller.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NetError> {
        let (answer, result) = mpsc::channel();
        self.post(Box::new(move || drop(answer.send(job()))))?;
        result.recv().map_err(|_| self.lost())
    }

    /// Starts a new thread inside the namespace; for work that lasts.
    pub fn thread<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, NetError> {
        let name = format!("in-{}", self.name);
        let started = self.run(move || thread::Builder::new().name(name).spawn(job))?;
        started.map_err(|e| NetError::new(format!("cannot start a thread in {}", self.name), e))
    }

    /// Starts a future on a runtime of its own, on a new thread inside the namespace.
    pub fn start<T, F>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<JoinHandle<Result<T, NetError>>, NetError>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        self.thread(move || on_own_runtime(make))
    }

    /// As [`Namespace::start`], and waits for its end, blocking the caller.
    pub fn drive<T, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Result<T, NetError>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        self.start(make)?.join().map_err(|_| self.lost())?
    }

    fn post(&self, job: Job) -> Result<(), NetError> {
        self.jobs.send(job).map_err(|_| self.lost())
    }

    fn lost(&self) -> NetError {
        NetError::other(format!("the thread of {} is gone", self.name), "its work panicked")
    }
}

/// Moves the calling thread, and all threads and processes that it starts from now on, to a network
/// namespace of its own: nothing is in it but the loopback interface, which is up.
///
/// # Errors
/// It needs root (`CAP_SYS_ADMIN`); then nothing has changed.
pub fn leave_for_own_namespace() -> Result<(), NetError> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|e| NetError::new("cannot make a network namespace", e))?;
    on_own_runtime(|| async { link::Links::open()?.up("lo").await })?
}

/// Sets the congestion control of the calling thread's namespace, for sockets made from now on.
///
/// # Errors
/// The kernel does not have it, or `/proc/sys` cannot be written to.
pub fn set_congestion_control(name: &str) -> Result<(), NetError> {
    link::sysctl("ipv4/tcp_congestion_control", name)
}

fn on_own_runtime<T, F: Future<Output = T>>(make: impl FnOnce() -> F) -> Result<T, NetError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| NetError::new("cannot start a runtime", e))?;
    Ok(runtime.block_on(async { make().await }))
}
