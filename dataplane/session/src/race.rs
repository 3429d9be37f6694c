//! A host with several addresses (RFC 8305): where the first does not answer soon the next is tried
//! beside it, and the first that stands is the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use ring::Key;
use ring::driver::{Connect, Driver, Failure, Op, Socket};

use crate::keys::{Alarm, Owner};
use crate::limits::ATTEMPT_DELAY;
use crate::transport::Transport;
use crate::up::UpState;
use crate::worker::Worker;

/// The attempts besides the one that the connection has as its own.
pub(crate) struct Race {
    others: Arc<[SocketAddr]>,
    next: usize,
    running: Vec<(Socket, SocketAddr)>,
    connect: Connect,
}

impl Race {
    pub(crate) fn new(others: &Arc<[SocketAddr]>, connect: Connect) -> Box<Self> {
        Box::new(Self { others: Arc::clone(others), next: 0, running: Vec::new(), connect })
    }

    /// Sockets that have not won.
    pub(crate) fn sockets(self) -> impl Iterator<Item = Socket> {
        self.running.into_iter().map(|(socket, _)| socket)
    }
}

impl<D: Driver> Worker<D> {
    /// The next address has its turn when the last has had some time.
    pub(crate) fn arm_race(&mut self, key: Key) {
        let at = self.io.driver.now().after(ATTEMPT_DELAY);
        if let Some(up) = self.ups.get_mut(key) {
            let has_next = up.race.as_ref().is_some_and(|race| race.next < race.others.len());
            self.io.rearm(&mut up.timer, has_next.then_some(at), Alarm::Up(key));
        }
    }

    /// Tries the next address. False: there is none.
    pub(crate) fn try_next_address(&mut self, key: Key) -> bool {
        let Some(up) = self.ups.get_mut(key) else { return false };
        let Some(race) = &mut up.race else { return false };
        let now = self.io.driver.now();
        while let Some(address) = race.others.get(race.next).copied() {
            race.next += 1;
            let from = race.connect.from.filter(|from| from.is_ipv4() == address.is_ipv4());
            let connect = Connect { to: address, from, ..race.connect };
            if connect.deadline <= now {
                return false;
            }
            if let Ok(socket) = self.io.driver.connect(&connect, Owner::Up(key).tag()) {
                race.running.push((socket, address));
                self.arm_race(key);
                return true;
            }
        }
        false
    }

    /// Something has happened to a socket that is not the connection's own. True: it stands, and is
    /// the connection's own from here on.
    pub(crate) fn wins_race(&mut self, key: Key, socket: Socket, has_connected: bool) -> bool {
        let Some(up) = self.ups.get_mut(key) else { return false };
        let Some(race) = &mut up.race else { return false };
        let Some(at) = race.running.iter().position(|(other, _)| *other == socket) else {
            return false;
        };
        let (socket, address) = race.running.swap_remove(at);
        if !has_connected {
            self.io.driver.reset(socket);
            self.try_next_address(key);
            return false;
        }
        let before = std::mem::replace(&mut up.io, Transport::plain(socket));
        up.address = address;
        self.io.driver.reset(before.socket);
        true
    }

    /// The connection stands: all others are given up.
    pub(crate) fn end_race(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        if let Some(race) = up.race.take() {
            race.sockets().for_each(|socket| self.io.driver.reset(socket));
            self.io.rearm(&mut up.timer, None, Alarm::Up(key));
        }
    }

    /// The connection's own socket could not connect. True: another address is being tried.
    pub(crate) fn goes_on_racing(&mut self, key: Key, failure: Failure) -> bool {
        if failure.op != Op::Connect {
            return false;
        }
        let is_tried = self.try_next_address(key);
        let Some(up) = self.ups.get_mut(key) else { return false };
        let Some((socket, address)) = up.race.as_mut().and_then(|race| race.running.pop()) else {
            debug_assert!(!is_tried, "it runs");
            return false;
        };
        let before = std::mem::replace(&mut up.io, Transport::plain(socket));
        up.address = address;
        self.io.driver.reset(before.socket);
        true
    }

    /// Time for the next address.
    pub(crate) fn on_race_alarm(&mut self, key: Key) -> bool {
        let is_racing = self
            .ups
            .get(key)
            .is_some_and(|up| up.race.is_some() && matches!(up.state, UpState::Connecting(_)));
        is_racing && {
            self.try_next_address(key);
            true
        }
    }
}
