//! The limit for small messages: a byte-forwarding proxy straight on io_uring, in one thread.
//!
//! All that the kernel gives and nothing in between: multishot accept, multishot receives into lent
//! buffers of 4 KiB, sends from those very buffers, one system call a turn, spinning for at most
//! 50 µs before sleeping. What a real proxy must have besides is left out: no timeouts, no limits,
//! and back-pressure only by running out of buffers. It is the yardstick of `benches/ladder`, whose
//! other rungs take the same arguments: `--listen IP:PORT --upstream IP:PORT`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;
const BUFFERS: u16 = 4096;
const BUFFER_BYTES: usize = 4096;
const GROUP: u16 = 0;
const BACKLOG: i32 = 4096;
const SPIN: Duration = Duration::from_micros(50);

/// What a completion is of, in the low bits of its `user_data`; the side stands above.
const ACCEPT: u64 = 0;
const CONNECT: u64 = 1;
const RECV: u64 = 2;
const SEND: u64 = 3;

/// A send that waits where the socket is full. The kernel goes on by itself where a socket takes a
/// part only.
const PATIENT: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
/// A send that does not: it is done when it is submitted, and only says so if it fell short.
const HASTY: i32 = PATIENT | libc::MSG_DONTWAIT;

/// Memory that is lent to the kernel, aligned to pages.
#[derive(Clone)]
#[repr(align(4096))]
struct Page([u8; BUFFER_BYTES]);

/// A part of a received buffer that waits to be sent.
struct Piece {
    buffer: u16,
    start: usize,
    end: usize,
}

/// One socket of a pair; the other has the number with the last bit turned round.
struct Side {
    fd: OwnedFd,
    queue: VecDeque<Piece>,
    sending: bool,
    /// That send may wait, and a completion tells of it.
    patient: bool,
    /// What a hasty send has done instead of taking all.
    fell_short: Option<i32>,
    receiving: bool,
    /// Its peer has finished.
    ended: bool,
    /// Its peer was told that the other side has finished.
    finished: bool,
}

struct Proxy {
    submitter: Submitter<'static>,
    submissions: SubmissionQueue<'static>,
    upstream: SockAddr,
    buffers: &'static mut [Page],
    lending: *mut BufRingEntry,
    tail: u16,
    /// Buffers in the kernel's hands.
    lent: u16,
    sides: Vec<Option<Side>>,
    free: Vec<usize>,
    /// Sides whose receives found no buffer.
    starved: Vec<usize>,
    /// Sides with a send in the next submission that is not to wait.
    flying: Vec<usize>,
    spins: bool,
}

fn main() -> io::Result<()> {
    let (listen, upstream) = addresses().ok_or_else(|| {
        io::Error::other("usage: bare --listen IP:PORT --upstream IP:PORT (and nothing else)")
    })?;
    let listener = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    // Accepted sockets have it from their listener.
    listener.set_tcp_nodelay(true)?;
    listener.bind(&listen.into())?;
    listener.listen(BACKLOG)?;
    let (mut proxy, mut completions) = start(upstream)?;
    let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
    proxy.push(accept.build().user_data(ACCEPT));
    println!("ready");
    io::stdout().flush()?;
    let mut flown = Vec::new();
    loop {
        std::mem::swap(&mut proxy.flying, &mut flown);
        proxy.enter(0)?;
        completions.sync();
        let is_quiet = cqueue::CompletionQueue::is_empty(&completions) && flown.is_empty();
        for completion in &mut completions {
            proxy.hear(&completion, listener.as_raw_fd());
        }
        proxy.land(&mut flown);
        proxy.publish();
        proxy.feed();
        if is_quiet {
            proxy.rest()?;
        }
    }
}

fn addresses() -> Option<(SocketAddr, SocketAddr)> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, at, upstream, to] = words.as_slice() else { return None };
    let named = listen == "--listen" && upstream == "--upstream";
    named.then(|| Some((at.parse().ok()?, to.parse().ok()?)))?
}

/// The ring with all that makes it fast, and its buffers lent out. Both live with the program.
fn start(upstream: SocketAddr) -> io::Result<(Proxy, cqueue::CompletionQueue<'static>)> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    builder.setup_no_sqarray().setup_submit_all().setup_cqsize(COMPLETIONS).dontfork();
    let ring = Box::leak(Box::new(builder.build(SUBMISSIONS)?));
    let (mut submitter, submissions, completions) = ring.split();
    submitter.register_ring_fd()?;
    let buffers = vec![Page([0; BUFFER_BYTES]); usize::from(BUFFERS)].leak();
    let places = usize::from(BUFFERS) * size_of::<BufRingEntry>() / size_of::<Page>();
    let lending: *mut BufRingEntry =
        vec![Page([0; BUFFER_BYTES]); places].leak().as_mut_ptr().cast();
    // SAFETY: the memory has room for `BUFFERS` entries, is aligned to a page and is never freed.
    unsafe { submitter.register_buf_ring_with_flags(lending as u64, BUFFERS, GROUP, 0)? };
    let mut proxy = Proxy {
        submitter,
        submissions,
        upstream: upstream.into(),
        buffers,
        lending,
        tail: 0,
        lent: 0,
        sides: Vec::new(),
        free: Vec::new(),
        starved: Vec::new(),
        flying: Vec::new(),
        spins: false,
    };
    (0..BUFFERS).for_each(|buffer| proxy.lend(buffer));
    proxy.publish();
    Ok((proxy, completions))
}

impl Proxy {
    /// Waits until there is something to hear of: a while awake if that was enough last time.
    fn rest(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while self.spins && start.elapsed() < SPIN {
            if self.submissions.taskrun() {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        self.enter(1)?;
        // Another wait as long as this one is worth spinning through, or is not.
        self.spins = start.elapsed() < 2 * SPIN;
        Ok(())
    }

    /// Submits all there is, and waits for so many completions.
    fn enter(&mut self, complete: u32) -> io::Result<()> {
        self.submissions.sync();
        let (submit, flags) = (self.submissions.len() as u32, EnterFlags::GETEVENTS.bits());
        // SAFETY: no argument is passed. What the submitted entries point to lives for ever (lent
        // buffers, this proxy's address).
        match unsafe { self.submitter.enter::<libc::sigset_t>(submit, complete, flags, None) } {
            Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
            _ => {
                self.submissions.sync();
                Ok(())
            }
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: entries point to lent buffers and to the upstream's address, neither of which is
        // freed or moved (the proxy stays in `main`), or to nothing.
        while unsafe { self.submissions.push(&entry) }.is_err() {
            if let Err(error) = self.enter(0) {
                eprintln!("the kernel takes no submissions: {error}");
                std::process::exit(1);
            }
        }
    }

    fn hear(&mut self, completion: &cqueue::Entry, listener: RawFd) {
        let (result, data) = (completion.result(), completion.user_data());
        let at = (data >> 2) as usize;
        let more = cqueue::more(completion.flags());
        match data & 3 {
            ACCEPT => {
                if result >= 0 {
                    self.open(result);
                }
                if !more {
                    let accept = opcode::AcceptMulti::new(Fd(listener)).flags(libc::SOCK_CLOEXEC);
                    self.push(accept.build().user_data(ACCEPT));
                }
            }
            CONNECT => {
                // The slot's `sending` stands for the connect.
                self.side(at, |side| side.sending = false);
                if result < 0 {
                    return self.abort(at);
                }
                self.receive(at);
                self.receive(at ^ 1);
            }
            RECV => {
                self.side(at, |side| side.receiving = more);
                let buffer = cqueue::buffer_select(completion.flags());
                self.received(at, result, buffer, more);
            }
            _ => self.told(at, result),
        }
    }

    fn open(&mut self, fd: RawFd) {
        // SAFETY: the kernel has just accepted this descriptor for us alone.
        let down = unsafe { OwnedFd::from_raw_fd(fd) };
        let domain = Domain::from(i32::from(self.upstream.family()));
        let Ok(up) = Socket::new(domain, Type::STREAM, None) else { return };
        let _ = up.set_tcp_nodelay(true);
        let at = self.free.pop().unwrap_or_else(|| {
            self.sides.extend([None, None]);
            self.sides.len() - 2
        });
        let side = |fd, sending| Side {
            fd,
            queue: VecDeque::new(),
            sending,
            patient: false,
            fell_short: None,
            receiving: false,
            ended: false,
            finished: false,
        };
        let connect = opcode::Connect::new(
            Fd(up.as_raw_fd()),
            self.upstream.as_ptr().cast(),
            self.upstream.len(),
        );
        self.push(connect.build().user_data(((at as u64 + 1) << 2) | CONNECT));
        self.sides[at] = Some(side(down, false));
        self.sides[at + 1] = Some(side(up.into(), true));
    }

    fn receive(&mut self, at: usize) {
        let Some(side) = &mut self.sides[at] else { return };
        side.receiving = true;
        let receive = opcode::RecvMulti::new(Fd(side.fd.as_raw_fd()), GROUP);
        self.push(receive.build().user_data(((at as u64) << 2) | RECV));
    }

    fn received(&mut self, at: usize, result: i32, buffer: Option<u16>, more: bool) {
        let taken = buffer.filter(|_| result > 0);
        self.lent -= u16::from(buffer.is_some());
        match (taken, result) {
            (Some(buffer), len) => {
                match self.sides[at ^ 1].as_mut().filter(|peer| !peer.finished) {
                    Some(peer) => {
                        peer.queue.push_back(Piece { buffer, start: 0, end: len as usize });
                    }
                    None => self.lend(buffer),
                }
                self.send(at ^ 1);
                if !more {
                    self.receive(at);
                }
            }
            (None, 0) => {
                if let Some(buffer) = buffer {
                    self.lend(buffer);
                }
                self.side(at, |side| side.ended = true);
                self.finish(at ^ 1);
            }
            (None, error) if -error == libc::ENOBUFS => self.starved.push(at),
            (None, _) => self.abort(at),
        }
    }

    /// Sends the next piece, unless one is under way: two could overtake each other.
    fn send(&mut self, at: usize) {
        let Some(side) = &mut self.sides[at] else { return };
        if side.sending || side.queue.is_empty() {
            return;
        }
        side.sending = true;
        self.flying.push(at);
        self.push_send(at, HASTY, squeue::Flags::SKIP_SUCCESS);
    }

    fn push_send(&mut self, at: usize, flags: i32, how: squeue::Flags) {
        let Some(side) = &self.sides[at] else { return };
        let Some(piece) = side.queue.front() else { return };
        let bytes = &self.buffers[usize::from(piece.buffer)].0[piece.start..piece.end];
        let fd = Fd(side.fd.as_raw_fd());
        let send = opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32).flags(flags);
        self.push(send.build().flags(how).user_data(((at as u64) << 2) | SEND));
    }

    /// A patient send is done, or a hasty one was not.
    fn told(&mut self, at: usize, result: i32) {
        let Some(side) = &mut self.sides[at] else { return };
        if std::mem::take(&mut side.patient) {
            self.sent(at, result);
        } else {
            side.fell_short = Some(result);
        }
    }

    /// The hasty sends of the last submission are done: those of which nothing was heard have sent
    /// all. The others go on with patience.
    fn land(&mut self, flown: &mut Vec<usize>) {
        for at in flown.drain(..) {
            let Some(side) = &mut self.sides[at] else { continue };
            let Some(piece) = side.queue.front_mut() else { continue };
            let whole = (piece.end - piece.start) as i32;
            match side.fell_short.take() {
                None => self.sent(at, whole),
                Some(result) if result >= 0 || -result == libc::EAGAIN => {
                    piece.start += result.max(0) as usize;
                    side.patient = true;
                    self.push_send(at, PATIENT, squeue::Flags::empty());
                }
                Some(error) => self.sent(at, error),
            }
        }
    }

    fn sent(&mut self, at: usize, result: i32) {
        let Some(side) = &mut self.sides[at] else { return };
        side.sending = false;
        let Some(piece) = side.queue.pop_front() else { return };
        self.lend(piece.buffer);
        if usize::try_from(result) != Ok(piece.end - piece.start) {
            return self.abort(at);
        }
        self.send(at);
        self.finish(at);
    }

    /// Tells a side's peer that the other side has finished, once all is sent, and closes the pair
    /// when both have.
    fn finish(&mut self, at: usize) {
        let other_ended = self.sides[at ^ 1].as_ref().is_none_or(|other| other.ended);
        let Some(side) = &mut self.sides[at] else { return };
        if !other_ended || side.sending || !side.queue.is_empty() {
            return;
        }
        if !std::mem::replace(&mut side.finished, true) {
            let _ = SockRef::from(&side.fd).shutdown(Shutdown::Write);
        }
        self.close(at);
    }

    /// Ends a pair: whatever of it is with the kernel comes back with an error.
    fn abort(&mut self, at: usize) {
        for at in [at, at ^ 1] {
            let Some(side) = &mut self.sides[at] else { continue };
            (side.ended, side.finished) = (true, true);
            let _ = SockRef::from(&side.fd).shutdown(Shutdown::Both);
            // The first piece may be with the kernel.
            let keeps = usize::from(side.sending).min(side.queue.len());
            for piece in side.queue.split_off(keeps) {
                self.lend(piece.buffer);
            }
        }
        self.close(at);
    }

    /// Frees a pair when both sides are done and nothing of theirs is with the kernel.
    fn close(&mut self, at: usize) {
        let is_done = |at: usize| {
            let side = self.sides[at].as_ref();
            side.is_some_and(|s| s.finished && s.ended && !s.sending && !s.receiving)
        };
        if is_done(at) && is_done(at ^ 1) {
            self.starved.retain(|starved| starved | 1 != at | 1);
            (self.sides[at], self.sides[at ^ 1]) = (None, None);
            self.free.push(at & !1);
        }
    }

    /// Gives a buffer back to the kernel, with the next [`Proxy::publish`].
    fn lend(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `place` is within the `BUFFERS` entries, and the kernel is done with it: no more
        // buffers are lent than there are.
        let entry = unsafe { &mut *self.lending.add(place) };
        entry.set_addr(self.buffers[usize::from(buffer)].0.as_ptr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.lent += 1;
    }

    fn publish(&self) {
        // SAFETY: the tail is within the first entry, aligned, and only read by the kernel.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.lending).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Lets those that found no buffer receive again.
    fn feed(&mut self) {
        if !self.starved.is_empty() && self.lent > BUFFERS / 8 {
            std::mem::take(&mut self.starved).into_iter().for_each(|at| self.receive(at));
        }
    }

    fn side(&mut self, at: usize, change: impl FnOnce(&mut Side)) {
        if let Some(side) = self.sides.get_mut(at).and_then(Option::as_mut) {
            change(side);
        }
    }
}
