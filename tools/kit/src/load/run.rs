//! The run: workers that share one sequence of requests, a connection each.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{net::TcpStream, task::JoinSet, time};

use super::{
    Control, Counts, Error, LoadReport, LoadSpec, Progress, Protocol, error::Failure, http,
    pace::Pace, tcp,
};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Makes the load and returns what it met.
///
/// Ends when all requests are answered, when `duration` is over and what was due till then is
/// answered, or after [`Control::stop`]. Requests that were due but found every connection busy
/// until one `timeout` after the end count as failed. Dropping the future ends the run at once.
pub async fn run(
    spec: &LoadSpec,
    control: &Control,
    mut progress: impl FnMut(&Progress),
) -> Result<LoadReport, Error> {
    spec.check()?;
    let mut workers = Worker::all(spec).await?;
    let (started, start) = (SystemTime::now(), Instant::now());
    let plan = Arc::new(Plan {
        spec: spec.clone(),
        control: control.clone(),
        start,
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        phases: Mutex::new(vec![Counts::default()]),
    });
    let mut tasks = JoinSet::new();
    for worker in workers.drain(..) {
        tasks.spawn(worker.work(Arc::clone(&plan)));
    }
    let mut ticks = time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => progress(&plan.progress()),
            ended = tasks.join_next() => match ended {
                Some(Ok(worked)) => worked?,
                Some(Err(died)) => return Err(Error::Worker(died.to_string())),
                None => break,
            },
        }
    }
    progress(&plan.progress());
    let phases = std::mem::take(&mut *plan.phases());
    Ok(LoadReport { started, elapsed: start.elapsed(), phases })
}

/// What all workers share.
struct Plan {
    spec: LoadSpec,
    control: Control,
    start: Instant,
    /// The number of the next request.
    next: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    phases: Mutex<Vec<Counts>>,
}

impl Plan {
    /// The number of a request that is still to be made, and when it is due.
    fn take(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.control.is_stopped() || self.spec.requests.is_some_and(|all| number >= all) {
            return None;
        }
        let due = match self.spec.rate {
            Some(rate) => self.start + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        };
        Some(due).filter(|due| self.end().is_none_or(|end| *due < end))
    }

    fn end(&self) -> Option<Instant> {
        self.spec.duration.map(|duration| self.start + duration)
    }

    /// So late after the end that what is still unsent never will be.
    fn is_over(&self) -> bool {
        self.end().is_some_and(|end| Instant::now() > end + self.spec.timeout)
    }

    fn phases(&self) -> std::sync::MutexGuard<'_, Vec<Counts>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, phase: usize, met: Result<Duration, Failure>, link: Option<&Link>) {
        let counter = if met.is_ok() { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut phases = self.phases();
        while phases.len() <= phase {
            phases.push(Counts::default());
        }
        let Some(counts) = phases.get_mut(phase) else { return };
        match met {
            Ok(latency) => counts.right(latency),
            Err(failure) => return counts.wrong(failure),
        }
        if let Some(Link::Http(link)) = link {
            *counts.statuses.entry(link.head.status).or_default() += 1;
            for name in &self.spec.tally {
                let value = link.head.values(name.as_bytes()).next();
                counts.value(name, value);
            }
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            total: self.spec.total(),
            elapsed: self.start.elapsed(),
        }
    }
}

/// One connection's part of the work.
struct Worker {
    pace: Pace,
    request: Arc<Option<http::Request>>,
    link: Option<Link>,
}

enum Link {
    Http(Box<http::Connection>),
    Tcp(tcp::Connection),
}

impl Worker {
    /// All workers, connected as far as the target lets them: the load starts warm.
    async fn all(spec: &LoadSpec) -> Result<Vec<Self>, Error> {
        let request = match spec.protocol {
            Protocol::Http => Some(http::Request::new(spec)?),
            Protocol::Tcp => None,
        };
        let request = Arc::new(request);
        let mut workers = Vec::with_capacity(spec.connections);
        for _ in 0..spec.connections {
            let pace = Pace::new().map_err(Error::Timer)?;
            // Whoever cannot connect now will try again with its first request, and count it.
            let first = if spec.keep_alive { connect(spec).await.ok() } else { None };
            workers.push(Self { pace, request: Arc::clone(&request), link: first });
        }
        Ok(workers)
    }

    async fn work(mut self, plan: Arc<Plan>) -> Result<(), Error> {
        while let Some(due) = plan.take() {
            tokio::select! {
                waited = self.pace.until(due) => waited.map_err(Error::Timer)?,
                () = plan.control.stopped() => break,
            }
            let phase = plan.control.phase();
            if plan.is_over() {
                plan.count(phase, Err(Failure::NotSent), None);
                continue;
            }
            let begun = if plan.spec.rate.is_some() { due } else { Instant::now() };
            let (met, keep) =
                match time::timeout(plan.spec.timeout, self.exchange(&plan.spec)).await {
                    Ok(Ok(keep)) => (Ok(begun.elapsed()), keep),
                    Ok(Err(failure)) => (Err(failure), false),
                    Err(_) => (Err(Failure::Timeout), false),
                };
            plan.count(phase, met, self.link.as_ref());
            if !keep {
                self.link = None;
            }
        }
        Ok(())
    }

    /// One request; says whether the connection can be used again.
    async fn exchange(&mut self, spec: &LoadSpec) -> Result<bool, Failure> {
        let link = match self.link.take() {
            Some(link) => link,
            None => connect(spec).await?,
        };
        match (self.link.insert(link), self.request.as_ref()) {
            (Link::Http(connection), Some(request)) => connection.exchange(request).await,
            (Link::Tcp(connection), _) => connection.exchange().await.map(|()| spec.keep_alive),
            (Link::Http(_), None) => Err(Failure::NotSent),
        }
    }
}

async fn connect(spec: &LoadSpec) -> Result<Link, Failure> {
    let stream = time::timeout(spec.timeout, TcpStream::connect(spec.target))
        .await
        .map_err(|_| Failure::Timeout)?
        .map_err(|error| Failure::Connect(error.kind()))?;
    stream.set_nodelay(true)?;
    Ok(match spec.protocol {
        Protocol::Http => Link::Http(Box::new(http::Connection::new(stream))),
        Protocol::Tcp => Link::Tcp(tcp::Connection::new(stream, &spec.body)),
    })
}
