//! The workers: a thread each, a CPU each, a driver each.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use agent::Applier;
use ring::driver::Driver;
use ring::{Epoll, Limits, Uring, Waker, Which, machine};
use session::{Control, Counter, Counters, LogQueue, Worker, WorkerSpec};

use crate::failure::Failure;
use crate::signals;

/// All workers of the process.
pub(crate) struct Crew {
    control: Arc<Control>,
    wakers: Wakers,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// How every worker speaks to the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    pub(crate) which: Which,
    pub(crate) limits: Limits,
}

/// How every worker is made to look up.
#[derive(Clone, Default)]
pub(crate) struct Wakers(Arc<Mutex<Vec<Waker>>>);

impl Wakers {
    pub(crate) fn wake(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Waker::wake);
    }

    fn push(&self, waker: Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }
}

impl Crew {
    /// Starts so many workers; each has its driver when this returns.
    pub(crate) fn start(
        kernel: Kernel,
        applier: &Applier,
        wakers: Wakers,
        counters: &[Arc<Counters>],
        queues: Vec<LogQueue>,
    ) -> Result<Self, Failure> {
        let workers = queues.len();
        let control = Arc::new(Control::default());
        let cpus = machine::cpus();
        let mut crew = Self { control, wakers, threads: Vec::new() };
        for (index, queue) in queues.into_iter().enumerate() {
            let cpu = cpus.get(index % cpus.len().max(1)).copied();
            let counters = counters.get(index).cloned().unwrap_or_default();
            let (wall, seed, control) = (SystemTime::now(), seed(index), Arc::clone(&crew.control));
            let reader = applier.reader();
            let spec = WorkerSpec { index, workers, reader, control, counters, wall, seed };
            crew.start_one(kernel, cpu, spec, queue)?;
        }
        Ok(crew)
    }

    fn start_one(
        &mut self,
        kernel: Kernel,
        cpu: Option<usize>,
        spec: WorkerSpec,
        queue: LogQueue,
    ) -> Result<(), Failure> {
        let index = spec.index;
        let (told, hears) = channel();
        let body = move || {
            let _ends = signals::EndsProcess;
            if let Some(cpu) = cpu
                && let Err(error) = machine::pin(cpu)
            {
                tracing::warn!(cpu, %error, "a worker is not pinned");
            }
            match kernel.which {
                Which::Uring => run(Uring::new(&kernel.limits), spec, queue, &told),
                Which::Epoll | Which::Auto => run(Epoll::new(&kernel.limits), spec, queue, &told),
            }
        };
        let hint = "check the limits of threads, memory and open files";
        let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(body);
        self.threads.push(thread.map_err(|e| Failure::start("a worker's thread", e, hint))?);
        match hears.recv() {
            Ok(Ok(waker)) => self.wakers.push(waker),
            Ok(Err(error)) => return Err(Failure::start("a worker's driver", error, hint)),
            Err(_) => return Err(Failure::Broken("a worker has ended at its start".into())),
        }
        Ok(())
    }

    /// Lets connections end for a while, then ends the workers.
    pub(crate) fn drain(self, patience: Duration) -> Result<(), Failure> {
        self.control.drain();
        self.wakers.wake();
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && self.threads.iter().any(|t| !t.is_finished()) {
            thread::sleep(Duration::from_millis(20));
        }
        self.stop()
    }

    fn stop(self) -> Result<(), Failure> {
        self.control.stop();
        self.wakers.wake();
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Failure::Broken(format!("a worker: {error}"))),
                Err(_) => return Err(Failure::Broken("a worker has panicked".into())),
            }
        }
        Ok(())
    }

    /// A worker has ended without being asked to.
    pub(crate) fn has_lost_one(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

fn run<D: Driver>(
    driver: io::Result<D>,
    spec: WorkerSpec,
    queue: LogQueue,
    told: &Sender<io::Result<Waker>>,
) -> io::Result<()> {
    let driver = match driver {
        Ok(driver) => driver,
        Err(error) => {
            let _ = told.send(Err(error));
            return Ok(());
        }
    };
    let mut worker = Worker::new(driver, spec);
    worker.log_to(queue);
    let _ = told.send(Ok(worker.waker()));
    worker.run()
}

/// Chance for shares and ids, different for each worker and each start.
fn seed(index: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(index)
}

/// The counters of all workers added up, as text: a line each, `name: value`.
pub(crate) fn report(counters: &[Arc<Counters>]) -> String {
    let sum = |counter| counters.iter().map(|own| own.get(counter)).sum::<u64>();
    let line = |counter: &Counter| format!("{}: {}\n", counter.name(), sum(*counter));
    Counter::ALL.iter().map(line).collect()
}
