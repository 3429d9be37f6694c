use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::{Cancel, Core, Engine, Kernel, News, Patience, Received, Side, Step};
use crate::bind::{Bind, listener};
use crate::driver::{Size, Socket, Tag};
use crate::sockets::Life;
use crate::start::Limits;

/// A kernel that says what it is told to say, when it is told to.
#[derive(Default)]
struct Scripted {
    news: Vec<(Socket, News)>,
    /// How often it was asked to accept.
    accepts: usize,
}

impl Kernel for Scripted {
    fn attach(&mut self, _: &mut Core, _: Socket) -> io::Result<()> {
        Ok(())
    }

    fn detach(&mut self, _: &mut Core, _: Socket) {}

    fn accept(&mut self, _: &mut Core, _: Socket) -> Step<OwnedFd> {
        self.accepts += 1;
        Step::Pending
    }

    fn recv(&mut self, _: &mut Core, _: Socket) -> Step<Received> {
        Step::Done(Received::NoBuffers)
    }

    fn send(&mut self, _: &mut Core, _: Socket, _: bool) -> Step<usize> {
        Step::Pending
    }

    fn watch(&mut self, _: &mut Core, _: Socket, _: Side) {}

    fn cancel(&mut self, _: &mut Core, _: Socket, _: Cancel) {}

    fn buffers(&self, _: &Core, _: Size) -> usize {
        0
    }

    fn wait(
        &mut self,
        _: &mut Core,
        patience: Patience,
        news: &mut Vec<(Socket, News)>,
    ) -> io::Result<()> {
        if let (true, Patience::Ns(ns)) = (self.news.is_empty(), patience) {
            std::thread::sleep(Duration::from_nanos(ns));
        }
        news.append(&mut self.news);
        Ok(())
    }

    fn shut_down(&mut self, _: &mut Core) {}
}

/// A listener pauses, and the kernel lets go of the cancelled accept only after the pause.
#[test]
fn a_listener_goes_on_though_cancelling_takes_longer_than_its_pause() {
    let mut engine = Engine::new(&Limits::default(), |_| Ok(Scripted::default())).unwrap();
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let front = engine.listen(bound.as_fd(), Tag(0)).unwrap();
    let mut events = Vec::new();
    engine.kernel.news.push((front, News::AcceptEnded(libc::EMFILE)));
    while engine.core.sockets.get(front).unwrap().alarm.is_none() {
        engine.turn(None, &mut events).unwrap();
    }
    while engine.core.sockets.get(front).unwrap().alarm.is_some() {
        engine.turn(None, &mut events).unwrap();
    }
    // Asks again, which does nothing: the kernel still has the first one.
    let now = engine.now();
    engine.turn(Some(now), &mut events).unwrap();
    let asked = engine.kernel.accepts;
    engine.kernel.news.push((front, News::AcceptEnded(libc::ECANCELED)));
    for _ in 0..2 {
        engine.turn(Some(now), &mut events).unwrap();
    }
    assert!(engine.kernel.accepts > asked, "the listener is deaf");
}

#[test]
fn sockets_closed_while_waiting_for_buffers_are_forgotten() {
    const SOCKETS: usize = 8;
    let limits = Limits { sockets: SOCKETS, ..Limits::default() };
    let mut engine = Engine::new(&limits, |_| Ok(Scripted::default())).unwrap();
    let mut events = Vec::new();
    let mut open = |engine: &mut Engine<Scripted>| {
        let fd = OwnedFd::from(File::open("/dev/null").unwrap());
        let socket = engine.core.sockets.insert(fd, Life::Stream, Tag(0)).unwrap();
        engine.recv(socket, 100, Size::Small);
        engine.turn(Some(engine.now()), &mut events).unwrap();
        socket
    };
    let kept = open(&mut engine);
    for _ in 0..20 * SOCKETS {
        let socket = open(&mut engine);
        engine.reset(socket);
    }
    let parked = engine.core.parked(Size::Small);
    assert!(parked.len() <= 2 * SOCKETS, "{} wait", parked.len());
    assert!(parked.contains(&kept), "the one that is open still waits");
}
