//! The loop of one core: events in, operations out, and the tables between.

use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use config::swap::Reader;
use policy::reply::Reason;
use ring::driver::{Driver, Event, Nanos, What};
use ring::{Buf, Key, Slab, Timer, Waker, Wheel};
use upstream::{Clusters, Lease, Process};
use wire::head::Head;

use crate::accept::Accept;
use crate::counters::{Counter, Counters};
use crate::down::Down;
use crate::filters::Filtering;
use crate::gates::Places;
use crate::h2::Returning;
use crate::keys::{Alarm, Owner};
use crate::limits::{DOWNSTREAM_MAX, LISTENERS_MAX, STREAMS_MAX, TRIM_BYTES, UPSTREAM_MAX};
use crate::log::Lines;
use crate::names::Names;
use crate::record::Record;
use crate::stream::Stream;
use crate::transport::Scratch;
use crate::up::Up;
use crate::view::View;

/// What a worker is made of.
pub struct WorkerSpec {
    /// Its number, from 0: which of the listening sockets are its own.
    pub index: usize,
    /// How many there are: limits of the process are shared out among them.
    pub workers: usize,
    /// Where snapshots come from.
    pub reader: Reader,
    /// How the process talks to it.
    pub control: Arc<Control>,
    /// What it counts into.
    pub counters: Arc<Counters>,
    /// The time of day at the start; from then on the driver's clock goes on.
    pub wall: SystemTime,
    /// The beginning of its random numbers.
    pub seed: u64,
}

/// What the process asks of all workers. Set it, then wake them.
#[derive(Debug, Default)]
pub struct Control {
    draining: AtomicBool,
    stopped: AtomicBool,
    /// What the workers know and spend together.
    process: Arc<Process>,
}

impl Control {
    /// No new connections; those that are there end at their next request boundary.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Leave the loop now.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// The process is draining.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The workers are to stop.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// Everything of a worker that is not a table of connections.
pub(crate) struct Io<D: Driver> {
    pub(crate) driver: D,
    pub(crate) scratch: Scratch,
    pub(crate) wheel: Wheel<Alarm>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) random: Random,
    pub(crate) date: DateLine,
    /// The head that is being read or written; a request's and a response's never at once.
    pub(crate) head: Head,
    /// The client of the request in `head`, as it counts for policies.
    pub(crate) client: IpAddr,
    /// Bytes gathered where something must be looked at in one piece.
    pub(crate) gathered: Vec<u8>,
    /// A ClientHello that came in several records.
    pub(crate) hello: Vec<u8>,
    /// Memory that compressors use.
    pub(crate) squeezing: Rc<Cell<usize>>,
    /// Why a policy has just refused a request, where its reason has no fixed words for it.
    pub(crate) details: String,
}

/// One core's proxy.
pub struct Worker<D: Driver> {
    pub(crate) io: Io<D>,
    pub(crate) view: Rc<View>,
    pub(crate) accepts: Slab<Accept>,
    pub(crate) downs: Slab<Down>,
    pub(crate) ups: Slab<Up>,
    pub(crate) streams: Slab<Stream>,
    pub(crate) clusters: Clusters<Key>,
    /// Clients' connections that can go on with what they hold.
    pub(crate) ready: Vec<Key>,
    /// Connections to upstreams by HTTP/2 that have something to do.
    pub(crate) ready_ups: Vec<Key>,
    /// Requests whose connection could not be made.
    pub(crate) failed: Vec<(Key, Reason)>,
    /// Requests that waited and may now connect.
    pub(crate) granted: Vec<(Key, Lease)>,
    pub(crate) plain: Vec<Buf>,
    pub(crate) evicted: Vec<Key>,
    /// Streams whose turn it is.
    pub(crate) turns: Vec<Key>,
    /// Kept for the next requests by HTTP/2.
    #[allow(clippy::vec_box)] // the boxes themselves are what is used again
    pub(crate) spare_returning: Vec<Box<Returning>>,
    /// The same for requests that filters remember something of.
    #[allow(clippy::vec_box)] // as above
    pub(crate) spare_filtering: Vec<Box<Filtering>>,
    /// Kept for the next requests that have one.
    #[allow(clippy::vec_box)]
    pub(crate) spare_records: Vec<Box<Record>>,
    /// Streams that are copies of others.
    pub(crate) copies: usize,
    /// Connections to upstreams by HTTP/2 that are not read from for want of memory.
    pub(crate) held_ups: Vec<Key>,
    /// What connections have taken of limits on their number.
    pub(crate) places: Places,
    /// Servers that requests name.
    pub(crate) names: Names,
    /// Where lines of access logs go.
    pub(crate) lines: Option<Lines>,
    pub(crate) draining: bool,
    /// Counts the turns of the loop.
    pub(crate) turn: u64,
    pub(crate) index: usize,
    pub(crate) workers: usize,
    reader: Reader,
    control: Arc<Control>,
}

impl<D: Driver> Worker<D> {
    /// A worker with the snapshot that is in force now.
    pub fn new(driver: D, spec: WorkerSpec) -> Self {
        let WorkerSpec { index, workers, reader, control, counters, wall, seed } = spec;
        let now = driver.now();
        let io = Io {
            scratch: Scratch::default(),
            wheel: Wheel::new(),
            counters,
            random: Random(seed | 1),
            date: DateLine::new(wall, now),
            head: Head::default(),
            client: Ipv4Addr::UNSPECIFIED.into(),
            gathered: Vec::new(),
            hello: Vec::new(),
            squeezing: Rc::default(),
            details: String::new(),
            driver,
        };
        let mut worker = Self {
            io,
            view: Rc::new(View::new(reader.load())),
            accepts: Slab::new(LISTENERS_MAX),
            downs: Slab::new(DOWNSTREAM_MAX),
            ups: Slab::new(UPSTREAM_MAX),
            streams: Slab::new(STREAMS_MAX),
            clusters: Clusters::new(index, workers, Arc::clone(&control.process)),
            ready: Vec::new(),
            ready_ups: Vec::new(),
            failed: Vec::new(),
            granted: Vec::new(),
            plain: Vec::new(),
            evicted: Vec::new(),
            turns: Vec::new(),
            spare_returning: Vec::new(),
            spare_filtering: Vec::new(),
            spare_records: Vec::new(),
            copies: 0,
            held_ups: Vec::new(),
            places: Places::new(),
            names: Names::default(),
            lines: None,
            draining: false,
            turn: 0,
            index,
            workers,
            reader,
            control,
        };
        worker.take_over();
        worker
    }

    /// How another thread makes this worker look up.
    pub fn waker(&self) -> Waker {
        self.io.driver.waker()
    }

    /// Serves until it is told to stop, or until it drains and nothing is left.
    ///
    /// # Errors
    /// The kernel refuses to wait for events: the worker cannot go on.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        let mut alarms = Vec::new();
        self.alarm_in(Duration::from_secs(1), Alarm::Second);
        while !self.is_finished() {
            self.io.driver.turn(self.io.wheel.next(), &mut events)?;
            self.turn = self.turn.wrapping_add(1);
            if self.reader.changed() {
                self.view = Rc::new(View::new(self.reader.load()));
                self.take_over();
                self.go_on();
            }
            for event in events.drain(..) {
                self.on_event(event);
                self.go_on();
            }
            self.io.wheel.expire(self.io.driver.now(), &mut alarms);
            for alarm in alarms.drain(..) {
                self.on_alarm(alarm);
                self.go_on();
            }
        }
        self.log_the_rest();
        Ok(())
    }

    /// A drained worker is finished when the last bytes of its last answer have left.
    fn is_finished(&mut self) -> bool {
        if self.control.is_stopped() {
            return true;
        }
        if !self.draining || !self.downs.is_empty() {
            return false;
        }
        self.evicted.extend(self.ups.iter().map(|(key, _)| key));
        self.close_evicted();
        self.io.driver.open() == 0
    }

    /// Takes over the snapshot in force: clusters, listening sockets.
    fn take_over(&mut self) {
        self.io.counters.count(Counter::Snapshots);
        self.clusters.update(&self.view.snapshot, &mut self.evicted);
        self.close_evicted();
        self.listen();
    }

    fn on_event(&mut self, event: Event) {
        let Event { tag, socket, what } = event;
        match (Owner::of(tag), what) {
            (_, What::Woken) => self.on_wake(),
            (Some(Owner::Listener(key)), what) => self.on_listener(key, what),
            (Some(Owner::Down(key)), what) => self.on_down(key, socket, what),
            (Some(Owner::Up(key)), what) => self.on_up(key, socket, what),
            (None, what) => debug_assert!(false, "an event for nobody: {what:?}"),
        }
    }

    fn on_alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Down(key) => self.on_down_alarm(key),
            Alarm::Up(key) => self.on_up_alarm(key),
            Alarm::Stream(key) => self.on_stream_alarm(key),
            Alarm::Second => self.on_second(),
        }
    }

    fn on_wake(&mut self) {
        if self.control.is_draining() && !self.draining {
            self.draining = true;
            self.drain();
        }
    }

    pub(crate) fn on_second(&mut self) {
        let now = self.io.driver.now();
        self.clusters.expire(now.0, &mut self.evicted);
        let ejected = self.clusters.judge(now.0, self.io.random.next());
        self.io.counters.add(Counter::OutlierEjections, ejected.into());
        self.close_evicted();
        if let Some(lines) = &mut self.lines {
            lines.hand_over();
        }
        self.io.driver.pool().trim(TRIM_BYTES);
        if !self.held_ups.is_empty() {
            self.look_at_held_back();
        }
        self.alarm_in(Duration::from_secs(1), Alarm::Second);
    }

    /// Goes on with connections that hold bytes and may use them now. A list instead of recursion:
    /// a client that pipelines a thousand requests must not grow the stack.
    fn go_on(&mut self) {
        loop {
            if let Some(key) = self.ready.pop() {
                self.serve(key);
            } else if let Some((stream, lease)) = self.granted.pop() {
                self.connect_granted(stream, lease);
            } else if let Some(key) = self.ready_ups.pop() {
                self.serve_up_h2(key);
            } else {
                return;
            }
        }
    }

    fn alarm_in(&mut self, after: Duration, alarm: Alarm) {
        let at = self.io.driver.now().after(after);
        self.io.wheel.arm(at, alarm);
    }
}

impl<D: Driver> Io<D> {
    /// Moves a timer: away with the old one, and a new one if there is a deadline.
    pub(crate) fn rearm(&mut self, timer: &mut Option<Timer>, at: Option<Nanos>, alarm: Alarm) {
        if let Some(old) = timer.take() {
            self.wheel.cancel(old);
        }
        *timer = at.map(|at| self.wheel.arm(at, alarm));
    }

    /// Moves a timer only where its time comes nearer; one that rings too early is set again.
    pub(crate) fn rearm_sooner(
        &mut self,
        timer: &mut Option<Timer>,
        rings_at: &mut Nanos,
        at: Nanos,
        alarm: Alarm,
    ) {
        if timer.is_none() || at < *rings_at {
            *rings_at = at;
            self.rearm(timer, Some(at), alarm);
        }
    }
}

/// The smaller one of those that there are.
pub(crate) fn sooner<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A worker's random numbers (SplitMix64): for shares and ids, never for secrets.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As many bits as a UUID has.
    pub(crate) fn wide(&mut self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }

    /// A random part of 1.
    pub(crate) fn share(&mut self) -> f64 {
        // A share of 2^32 is even enough.
        f64::from((self.next() >> 32) as u32) / f64::from(u32::MAX)
    }
}

/// The `date` header's value, made once a second.
pub(crate) struct DateLine {
    /// When the driver's clock stood at zero, in nanoseconds since 1970.
    epoch: u64,
    /// The text holds until then, by the driver's clock.
    until: u64,
    text: String,
}

impl DateLine {
    fn new(wall: SystemTime, start: Nanos) -> Self {
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Self { epoch: wall.saturating_sub(start.0), until: 0, text: String::new() }
    }

    /// When the driver's clock stood at zero, in nanoseconds since 1970.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn at(&mut self, now: Nanos) -> &[u8] {
        if now.0 >= self.until {
            self.renew(now);
        }
        self.text.as_bytes()
    }

    #[cold]
    fn renew(&mut self, now: Nanos) {
        const SECOND: u64 = 1_000_000_000;
        let second = self.epoch.saturating_add(now.0) / SECOND;
        self.until = ((second + 1) * SECOND).saturating_sub(self.epoch);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        self.text.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{}", httpdate::HttpDate::from(time));
    }
}
