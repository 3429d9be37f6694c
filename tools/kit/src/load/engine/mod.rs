//! One thread of the generator: a driver, its connections, and the requests that it has to make.
//!
//! A turn sends what is due over whatever slots are idle, waits, and reads what has come. A slot
//! carries one request at a time: it is a connection, or with HTTP/2 one of a connection's streams.
//! Nothing in it takes a lock or allocates while requests succeed.

mod link;
mod streams;
mod traffic;

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use ring::{Driver, Event, Nanos, What};

use super::{
    Counts, Error,
    clock::now,
    codec::Codec,
    error::Failure,
    plan::{Plan, ns},
    schedule::Schedule,
    secure::Scratch,
    source::Source,
};
use link::{Flight, Link, State};

/// How long before a request is due the thread no longer sleeps.
const SPIN_NS: u64 = 50_000;
/// How often it is looked for requests that take too long, and for the end, at the least.
const LOOK_NS_MAX: u64 = 100_000_000;
const LOOK_NS_MIN: u64 = 1_000_000;
/// Connections on their way at a time before the first request.
const OPENING_MAX: usize = 64;
/// How long a closed loop leaves a connection alone that could not be made.
const REST: Duration = Duration::from_millis(10);

/// One thread's part of the load.
pub(super) struct Engine<D> {
    driver: D,
    plan: Arc<Plan>,
    thread: usize,
    links: Vec<Link>,
    /// The request of each slot. Slot number `n` is of link `n % links`, so that slots in turn are
    /// of connections in turn.
    flights: Vec<Option<Flight>>,
    /// Links with streams that are looked after before the thread waits.
    marked: Vec<usize>,
    codec: Codec,
    source: Source,
    schedule: Schedule,
    stage: Stage,
    /// Slots that can take a request, their connection open or not, the one that waits longest in
    /// front.
    idle: VecDeque<usize>,
    /// Slots of which no connection could be made, and until when they are left alone.
    resting: VecDeque<(Nanos, usize)>,
    /// Requests on their way.
    busy: usize,
    /// Connections on their way.
    opening: usize,
    phases: Vec<Counts>,
    totals: Totals,
    events: Vec<Event>,
    scratch: Scratch,
    next_look: Nanos,
    look_every_ns: u64,
}

/// Where in its life an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Connections are opened, so that the load starts warm.
    Warming,
    /// Requests are made.
    Running,
    /// Connections are held open.
    Holding(Nanos),
    Over,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    done: u64,
    failed: u64,
    connects: u64,
    /// When the last answer had come.
    finished: Nanos,
}

/// What one thread has met.
pub(super) struct Ended {
    pub(super) phases: Vec<Counts>,
    pub(super) connects: u64,
    /// Connections open at the end, if they were held.
    pub(super) held: Option<u64>,
    pub(super) finished: Nanos,
}

impl<D: Driver> Engine<D> {
    /// The engine of thread number `thread`, to be made and used on that thread.
    pub(super) fn new(driver: D, plan: &Arc<Plan>, thread: usize) -> Result<Self, Error> {
        let connections = plan.connections(thread);
        let slots = connections * plan.spec.streams;
        let source = Source::new(plan.text(), driver.pool())
            .map_err(|error| Error::start("buffers for the request", error))?;
        plan.control.enlist(driver.waker());
        let look_every_ns = (ns(plan.spec.timeout) / 8).clamp(LOOK_NS_MIN, LOOK_NS_MAX);
        Ok(Self {
            driver,
            thread,
            links: (0..connections).map(|_| Link::default()).collect(),
            flights: vec![None; slots],
            marked: Vec::with_capacity(connections),
            codec: Codec::new(plan, connections),
            source,
            schedule: Schedule::new(&plan.spec, thread, Nanos(0)),
            stage: Stage::Warming,
            idle: VecDeque::with_capacity(slots),
            resting: VecDeque::with_capacity(slots),
            busy: 0,
            opening: 0,
            phases: vec![Counts::default()],
            totals: Totals::default(),
            events: Vec::with_capacity(4 * connections),
            scratch: Scratch::default(),
            next_look: now(),
            look_every_ns,
            plan: Arc::clone(plan),
        })
    }

    /// Opens all connections, as far as the target lets it: whichever cannot be opened now is
    /// tried again by its first request, which then counts.
    pub(super) fn warm(&mut self) -> Result<(), Error> {
        let mut next = if self.plan.spec.keep_alive { 0 } else { self.links.len() };
        while !self.is_abandoned() {
            while next < self.links.len() && self.opening < OPENING_MAX {
                self.open(next);
                next += 1;
            }
            if self.opening == 0 {
                break;
            }
            self.wait(Some(self.next_look))?;
        }
        self.idle.extend(0..self.flights.len());
        Ok(())
    }

    /// Begins the load; the first request is due at `start`.
    pub(super) fn start(&mut self, start: Nanos) {
        self.schedule = Schedule::new(&self.plan.spec, self.thread, start);
        self.totals.finished = start;
        self.stage = Stage::Running;
    }

    /// One turn. Says whether another one is wanted.
    pub(super) fn turn(&mut self) -> Result<bool, Error> {
        let now = now();
        self.dispatch(now);
        if self.settle(now) {
            return Ok(false);
        }
        let deadline = self.deadline(now);
        if self.schedule.is_open() && deadline.0 <= now.0 {
            // The next request is due within microseconds: nobody can sleep so little. Whoever
            // shares this CPU may have it meanwhile.
            self.wait(Some(now))?;
            std::thread::yield_now();
        } else {
            self.wait(Some(deadline))?;
        }
        self.publish();
        Ok(true)
    }

    /// Ends it and says what was met.
    pub(super) fn finish(mut self) -> Ended {
        self.publish();
        let open = self.open_links() as u64;
        for index in 0..self.links.len() {
            self.hang_up(index);
        }
        // Last words leave with the end of a turn. Whether they do is nobody's concern any more.
        let _ = self.driver.turn(Some(now()), &mut self.events);
        Ended {
            phases: std::mem::take(&mut self.phases),
            connects: self.totals.connects,
            held: self.plan.spec.hold.map(|_| open),
            finished: self.totals.finished,
        }
    }

    /// Waits until then for something to happen, and works it off.
    fn wait(&mut self, deadline: Option<Nanos>) -> Result<(), Error> {
        self.look_after_marked();
        let mut events = std::mem::take(&mut self.events);
        let waited = self.driver.turn(deadline, &mut events);
        for event in events.drain(..) {
            self.hear(event);
        }
        self.events = events;
        if self.driver.now() >= self.next_look {
            self.look();
        }
        waited.map_err(|error: io::Error| Error::start("waiting", error))
    }

    fn hear(&mut self, event: Event) {
        let index = event.tag.0 as usize;
        let is_ours = |link: &Link| link.socket == Some(event.socket);
        if !self.links.get(index).is_some_and(is_ours) {
            // Of a connection that is closed, or a call to look around.
            return;
        }
        match event.what {
            What::Data(bytes) => self.receive(index, bytes),
            What::Sent(_) if self.codec.streams().is_some() => self.mark(index),
            What::Sent(_) => self.push(index),
            What::Paused => self.arm(index),
            What::Connected => self.connected(index),
            What::Eof => self.ended(index),
            What::Failed(failure) => self.lose(index, &failure.into()),
            What::Accepted(_) | What::Relayed(_) | What::Woken => {}
        }
    }

    /// Makes the requests that are due, as far as there are connections for them.
    fn dispatch(&mut self, now: Nanos) {
        if self.stage != Stage::Running {
            return;
        }
        if self.plan.control.is_stopped() {
            self.schedule.stop();
        }
        while let Some((until, slot)) = self.resting.front().copied() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.idle.push_back(slot);
        }
        let is_over = self.schedule.is_over(now, self.plan.spec.timeout);
        while let Some(due) = self.schedule.due(now).filter(|due| *due <= now) {
            if is_over {
                self.schedule.take();
                self.count_failed(self.phase(), &Failure::NotSent);
                continue;
            }
            let Some(slot) = self.idle.pop_front() else { break };
            self.schedule.take();
            self.begin(slot, due, now);
        }
    }

    /// Goes on to the next stage when this one is done. Says whether all are.
    fn settle(&mut self, now: Nanos) -> bool {
        if self.is_abandoned() {
            self.stage = Stage::Over;
        }
        if self.stage == Stage::Running && self.busy == 0 && self.schedule.due(now).is_none() {
            self.totals.finished = now;
            self.stage = match self.plan.spec.hold {
                Some(hold) => Stage::Holding(now.after(hold)),
                None => Stage::Over,
            };
        }
        if let Stage::Holding(until) = self.stage
            && (now >= until || self.plan.control.is_stopped())
        {
            self.stage = Stage::Over;
        }
        self.stage == Stage::Over
    }

    /// Until when there is nothing to do unless something happens.
    fn deadline(&self, now: Nanos) -> Nanos {
        let next = match self.stage {
            Stage::Running if !self.idle.is_empty() => {
                self.schedule.due(now).map(|due| Nanos(due.0.saturating_sub(SPIN_NS)))
            }
            Stage::Running => self.resting.front().map(|(until, _)| *until),
            Stage::Holding(until) => Some(until),
            Stage::Warming | Stage::Over => None,
        };
        next.unwrap_or(self.next_look).min(self.next_look)
    }

    /// Gives up what takes too long.
    fn look(&mut self) {
        let now = now();
        self.next_look = Nanos(now.0 + self.look_every_ns);
        for index in 0..self.links.len() {
            let Some(link) = self.links.get(index) else { return };
            let waits = matches!(link.state, State::Connecting | State::Securing | State::Busy);
            if waits && now >= link.since.after(self.plan.spec.timeout) {
                self.lose(index, &Failure::Timeout);
            }
        }
        if self.codec.streams().is_some() {
            self.look_at_streams(now);
        }
    }

    /// Tells how far it is.
    fn publish(&self) {
        let Some(board) = self.plan.boards.get(self.thread) else { return };
        board.done.store(self.totals.done, Ordering::Relaxed);
        board.failed.store(self.totals.failed, Ordering::Relaxed);
        if let Stage::Holding(_) = self.stage {
            board.idle.store(self.open_links(), Ordering::Relaxed);
            board.holding.store(true, Ordering::Release);
        }
        if board.wanted.load(Ordering::Acquire) {
            board.wanted.store(false, Ordering::Relaxed);
            let mut copy = board.copy.lock().unwrap_or_else(PoisonError::into_inner);
            copy.reset();
            for phase in &self.phases {
                // Both have the same bounds, so it cannot fail.
                let _ = copy.add(&phase.histogram);
            }
        }
    }

    fn open_links(&self) -> usize {
        self.links.iter().filter(|link| link.state == State::Ready).count()
    }

    fn phase(&self) -> usize {
        self.plan.control.phase()
    }

    fn count_failed(&mut self, phase: usize, failure: &Failure) {
        self.totals.failed += 1;
        if let Some(counts) = counts_of(&mut self.phases, phase) {
            counts.wrong(failure);
        }
    }

    fn is_abandoned(&self) -> bool {
        self.plan.abandoned.load(Ordering::Relaxed)
    }
}

/// The counts of a phase, which are there from its first request on.
fn counts_of(phases: &mut Vec<Counts>, phase: usize) -> Option<&mut Counts> {
    if phases.len() <= phase {
        phases.resize_with(phase + 1, Counts::default);
    }
    phases.get_mut(phase)
}
