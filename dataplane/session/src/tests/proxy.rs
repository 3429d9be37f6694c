//! A proxy of one worker on a thread of its own.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use config::snapshot::{Cluster, Snapshot, Terminal};
use config::swap::Published;
use ring::driver::Driver;
use ring::start::Which;
use ring::{Epoll, Limits, Uring, Waker};
use tls::ServerContext;

use super::fixture::{bound, listener_with, snapshot};
use crate::{Control, Counter, Counters, LogDrain, LogQueue, Worker, WorkerSpec, log_queues};

/// Longer than anything may take that is not broken, on a busy machine too.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a worker held when it was stopped.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) allocations: u64,
    pub(super) downs: usize,
    pub(super) ups: usize,
    pub(super) streams: usize,
    pub(super) timers: usize,
    /// Connections that the pools count, and those of them that lie idle.
    pub(super) counted: u64,
    pub(super) idle: usize,
    /// Sockets of the driver.
    pub(super) open: usize,
    /// Bytes of scratch and of receive buffers.
    pub(super) buffers: (usize, usize),
    /// The state of the clusters in words.
    pub(super) clusters: String,
}

/// A proxy of one worker, stopped when it is dropped.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    published: Mutex<Published>,
    pub(super) counters: Arc<Counters>,
    control: Arc<Control>,
    waker: Waker,
    thread: Option<JoinHandle<Left>>,
    /// Takes the lines of access logs until the worker has ended.
    taking: Option<JoinHandle<Vec<u8>>>,
}

impl Proxy {
    /// Starts with one listener whose only chain ends in this terminal.
    pub(super) fn start(which: Which, terminal: Terminal, clusters: Vec<Cluster>) -> Self {
        Self::start_with(which, terminal, clusters, None)
    }

    /// The same behind TLS.
    pub(super) fn start_with(
        which: Which,
        terminal: Terminal,
        clusters: Vec<Cluster>,
        tls: Option<Arc<ServerContext>>,
    ) -> Self {
        Self::start_limited(which, Limits::default(), terminal, clusters, tls)
    }

    /// The same with so much memory.
    pub(super) fn start_limited(
        which: Which,
        limits: Limits,
        terminal: Terminal,
        clusters: Vec<Cluster>,
        tls: Option<Arc<ServerContext>>,
    ) -> Self {
        let bound = bound();
        let address = bound.sockets[0].local_addr().expect("an address");
        let published =
            Published::new(snapshot(listener_with(address, bound, terminal, tls), clusters));
        let (control, counters) = (Arc::new(Control::default()), Arc::new(Counters::default()));
        let spec = WorkerSpec {
            index: 0,
            workers: 1,
            reader: published.reader(),
            control: Arc::clone(&control),
            counters: Arc::clone(&counters),
            wall: SystemTime::now(),
            seed: 7,
        };
        let (mut queues, drain) = log_queues(1);
        let queue = queues.pop().expect("one");
        let taking = thread::spawn(move || take(&drain));
        let (told, hears) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || match which {
            Which::Epoll | Which::Auto => serve(Epoll::new(&limits), spec, queue, &told),
            Which::Uring => serve(Uring::new(&limits), spec, queue, &told),
        });
        let waker = hears.recv().expect("the worker starts");
        Self {
            address,
            published: Mutex::new(published),
            counters,
            control,
            waker,
            thread: Some(thread),
            taking: Some(taking),
        }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the proxy accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Stops the worker and says how many allocations it has made.
    pub(super) fn stop(mut self) -> u64 {
        self.end().expect("the worker has panicked").allocations
    }

    /// Stops the worker and says what it held then.
    pub(super) fn finish(mut self) -> Left {
        self.end().expect("the worker has panicked")
    }

    /// Stops the worker and gives the lines of access logs that it has written.
    pub(super) fn logged(mut self) -> Vec<String> {
        self.end().expect("the worker has panicked");
        let taken = self.taking.take().expect("once").join().expect("taken");
        String::from_utf8_lossy(&taken).lines().map(str::to_owned).collect()
    }

    /// Begins to drain.
    pub(super) fn drain(&self) {
        self.control.drain();
        self.waker.wake();
    }

    /// The worker has left its loop by itself.
    pub(super) fn has_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn end(&mut self) -> Option<Left> {
        self.control.stop();
        self.waker.wake();
        self.thread.take().map_or_else(|| Some(Left::default()), |thread| thread.join().ok())
    }

    /// Publishes a changed snapshot with the same sockets.
    pub(super) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut published = self.published.lock().expect("published");
        let current = published.current();
        let mut next = Snapshot {
            generation: current.generation + 1,
            listeners: current.listeners.clone(),
            clusters: current.clusters.clone(),
            routes: current.routes.clone(),
        };
        change(&mut next);
        published.publish(next);
        self.waker.wake();
    }

    /// Connections to upstreams that are open now.
    pub(super) fn open_ups(&self) -> u64 {
        self.counters.get(Counter::UpstreamTotal) - self.counters.get(Counter::UpstreamClosed)
    }

    /// Waits until no more than so many connections to clients are there.
    pub(super) fn settles_down(&self, most: u64) {
        for _ in 0..PATIENCE.as_millis() / 10 {
            let total = self.counters.get(Counter::DownstreamTotal);
            if total - self.counters.get(Counter::DownstreamClosed) <= most {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("connections are left over: {:?}", self.counters);
    }

    /// Waits until connections to clients and upstreams are as many as expected.
    pub(super) fn settles(&self, down: u64, up: u64) {
        let open = |total, closed| self.counters.get(total) - self.counters.get(closed);
        for _ in 0..PATIENCE.as_millis() / 10 {
            let downs = open(Counter::DownstreamTotal, Counter::DownstreamClosed);
            let ups = open(Counter::UpstreamTotal, Counter::UpstreamClosed);
            if (downs, ups) == (down, up) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("connections are left over: {:?}", self.counters);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.end().is_none() && !thread::panicking() {
            panic!("the worker has panicked");
        }
    }
}

/// All that comes out of a worker's queue, until the worker has gone.
fn take(drain: &LogDrain) -> Vec<u8> {
    let mut taken = Vec::new();
    while let Some((worker, block)) = drain.next() {
        block.runs().for_each(|(_, bytes)| taken.extend_from_slice(bytes));
        drain.give_back(worker, block);
    }
    taken
}

fn serve<D: Driver>(
    driver: std::io::Result<D>,
    spec: WorkerSpec,
    queue: LogQueue,
    told: &std::sync::mpsc::Sender<Waker>,
) -> Left {
    let driver = driver.expect("a driver");
    told.send(driver.waker()).expect("the test listens");
    let mut worker = Worker::new(driver, spec);
    worker.log_to(queue);
    let allocations =
        allocation_counter::measure(|| worker.run().expect("the worker runs")).count_total;
    let pool = worker.io.driver.pool();
    Left {
        allocations,
        downs: worker.downs.len(),
        ups: worker.ups.len(),
        streams: worker.streams.len(),
        timers: worker.io.wheel.len(),
        counted: worker.clusters.connections(),
        idle: worker.clusters.idle_len(),
        open: worker.io.driver.open(),
        buffers: (pool.in_use_bytes(), pool.received_bytes()),
        clusters: format!("{:?}", worker.clusters),
    }
}
