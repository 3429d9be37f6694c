//! The run: threads that are started, asked how far they are, and added up.

use std::{
    any::Any,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use nix::sys::{
    prctl::set_timerslack,
    resource::{Resource, getrlimit, setrlimit},
};
use ring::{Driver, Epoll, Nanos, Uring, Which};
use tokio::{sync::oneshot, time};

use super::{
    Control, Counts, Error, LoadReport, LoadSpec, Progress,
    clock::now,
    engine::{Ended, Engine},
    plan::Plan,
};
use crate::hist;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Open files that the process needs besides the connections.
const OTHER_FILES: usize = 256;

/// Makes the load and returns what it met.
///
/// Ends when all requests are answered, when `duration` is over and what was due till then is
/// answered, or after [`Control::stop`]. Requests that were due but found every connection busy
/// until one `timeout` after the end count as failed. Dropping the future ends the run at once.
///
/// The threads that make the load are started by the calling one, so they are in its network
/// namespace; the calling one only waits for them.
pub async fn run(
    spec: &LoadSpec,
    control: &Control,
    mut progress: impl FnMut(&Progress),
) -> Result<LoadReport, Error> {
    let plan = Arc::new(Plan::new(spec, control)?);
    allow_files(spec.connections + OTHER_FILES)?;
    let _end = End(&plan);
    let mut crew = Vec::with_capacity(spec.threads);
    for thread in 0..spec.threads {
        crew.push(Worker::start(&plan, thread)?);
    }
    for worker in &mut crew {
        // Whoever dies before it is warm says why when it is joined.
        let _ = (&mut worker.warm).await;
    }
    let (started, start) = (SystemTime::now(), now());
    for worker in &crew {
        // One that has died is joined below.
        let _ = worker.go.send(start);
    }
    let mut ticks = time::interval(PROGRESS_EVERY);
    let mut ended = Vec::with_capacity(crew.len());
    for mut worker in crew {
        loop {
            tokio::select! {
                _ = ticks.tick() => progress(&progress_of(&plan, start)),
                _ = &mut worker.over => break,
            }
        }
        ended.push(worker.join()?);
    }
    progress(&progress_of(&plan, start));
    Ok(report(started, start, ended))
}

/// When this goes, so does the run.
struct End<'a>(&'a Plan);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
        self.0.control.wake();
        self.0.control.dismiss();
    }
}

/// A thread of the run as the caller sees it.
struct Worker {
    handle: JoinHandle<Result<Ended, Error>>,
    /// Answered when its connections are open.
    warm: oneshot::Receiver<()>,
    /// Tells it when the first request is due.
    go: mpsc::Sender<Nanos>,
    /// Closed when it ends, however it does.
    over: oneshot::Receiver<()>,
}

impl Worker {
    fn start(plan: &Arc<Plan>, thread: usize) -> Result<Self, Error> {
        let (is_warm, warm) = oneshot::channel();
        let (go, going) = mpsc::channel();
        let (is_over, over) = oneshot::channel();
        let plan = Arc::clone(plan);
        let work = move || {
            let _is_over: oneshot::Sender<()> = is_over;
            work(&plan, thread, is_warm, &going)
        };
        let handle = thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(work)
            .map_err(|error| Error::start("a thread", error))?;
        Ok(Self { handle, warm, go, over })
    }

    fn join(self) -> Result<Ended, Error> {
        self.handle.join().unwrap_or_else(|panic| Err(Error::Worker(words(panic.as_ref()))))
    }
}

/// A whole life of one thread.
fn work(
    plan: &Arc<Plan>,
    thread: usize,
    is_warm: oneshot::Sender<()>,
    going: &mpsc::Receiver<Nanos>,
) -> Result<Ended, Error> {
    let cpus = &plan.spec.cpus;
    if let Some(cpu) = thread.checked_rem(cpus.len()).and_then(|place| cpus.get(place)) {
        ring::machine::pin(*cpu)
            .map_err(|error| Error::start("pinning a thread to its CPU", error))?;
    }
    // Sleeping ends when it should, not up to 50 us later; without it the load is as right.
    let _ = set_timerslack(1);
    let limits = plan.limits(thread);
    let failed = |error| Error::start("a driver", error);
    match plan.driver {
        Which::Epoll => make(Epoll::new(&limits).map_err(failed)?, plan, thread, is_warm, going),
        _ => make(Uring::new(&limits).map_err(failed)?, plan, thread, is_warm, going),
    }
}

fn make<D: Driver>(
    driver: D,
    plan: &Arc<Plan>,
    thread: usize,
    is_warm: oneshot::Sender<()>,
    going: &mpsc::Receiver<Nanos>,
) -> Result<Ended, Error> {
    let mut engine = Engine::new(driver, plan, thread)?;
    engine.warm()?;
    let _ = is_warm.send(());
    // Nobody tells when the run is over before it began; then there is nothing to do.
    if let Ok(start) = going.recv() {
        engine.start(start);
        while engine.turn()? {}
    }
    Ok(engine.finish())
}

fn progress_of(plan: &Plan, start: Nanos) -> Progress {
    let mut sum = hist::histogram();
    let mut told = Progress {
        total: plan.spec.total(),
        elapsed: Duration::from_nanos(now().0.saturating_sub(start.0)),
        holding: plan.boards.iter().all(|board| board.holding.load(Ordering::Acquire)),
        ..Progress::default()
    };
    for board in &plan.boards {
        told.done += board.done.load(Ordering::Relaxed);
        told.failed += board.failed.load(Ordering::Relaxed);
        told.idle += board.idle.load(Ordering::Relaxed);
        // The same bounds everywhere.
        let _ = sum.add(&*board.copy());
    }
    let at = |quantile| Duration::from_nanos(sum.value_at_quantile(quantile));
    (told.p50, told.p99, told.p999) = (at(0.5), at(0.99), at(0.999));
    told
}

fn report(started: SystemTime, start: Nanos, ended: Vec<Ended>) -> LoadReport {
    let mut phases = vec![Counts::default()];
    let (mut finished, mut connects, mut held) = (start, 0, None);
    for worker in ended {
        finished = finished.max(worker.finished);
        connects += worker.connects;
        held = worker.held.map(|open| open + held.unwrap_or(0)).or(held);
        let more = worker.phases.len().saturating_sub(phases.len());
        phases.extend((0..more).map(|_| Counts::default()));
        for (sum, phase) in phases.iter_mut().zip(&worker.phases) {
            sum.add(phase);
        }
    }
    let elapsed = Duration::from_nanos(finished.0 - start.0);
    LoadReport { started, elapsed, phases, connects, held }
}

/// Raises the process' own limit of open files as far as the connections need it.
fn allow_files(needed: usize) -> Result<(), Error> {
    let needed = needed as u64;
    let failed = |error| Error::start("the limit of open files", error);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        let reason = format!("need {needed} open files, {hard} are allowed (ulimit -Hn)");
        return Err(Error::spec("connections", reason));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(failed)
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of a panic").to_owned()
}
