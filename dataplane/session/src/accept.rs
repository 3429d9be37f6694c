//! Listening sockets and new connections.

use std::sync::Arc;

use config::snapshot::{Bound, Listener};
use ring::Key;
use ring::driver::{Driver, Socket, What};

use crate::counters::Counter;
use crate::down::{Down, DownState, Facts};
use crate::keys::{NOBODY, Owner};
use crate::transport::Transport;
use crate::worker::Worker;

/// A listening socket of this worker.
pub(crate) struct Accept {
    socket: Socket,
    name: Arc<str>,
    /// Keeps the descriptor alive, and tells whether the configuration still means the same socket.
    bound: Arc<Bound>,
}

impl<D: Driver> Worker<D> {
    /// Makes the listening sockets those of the snapshot in force.
    pub(crate) fn listen(&mut self) {
        self.stop_listening_to_the_gone();
        let view = std::rc::Rc::clone(&self.view);
        for listener in &view.snapshot.listeners {
            if let Some(bound) = &listener.bound
                && !self.draining
                && !self.accepts.iter().any(|(_, accept)| Arc::ptr_eq(&accept.bound, bound))
            {
                self.listen_on(listener, bound);
            }
        }
    }

    /// No new connections, and idle ones end.
    pub(crate) fn drain(&mut self) {
        let accepts: Vec<Key> = self.accepts.iter().map(|(key, _)| key).collect();
        accepts.into_iter().for_each(|key| self.stop_listening(key));
        let downs: Vec<Key> = self.downs.iter().map(|(key, _)| key).collect();
        for key in downs {
            match self.downs.get(key) {
                Some(down) if down.is_idle() => self.close_down(key),
                Some(Down { state: DownState::Http2(_), .. }) => self.ready.push(key),
                _ => {}
            }
        }
    }

    fn listen_on(&mut self, listener: &Listener, bound: &Arc<Bound>) {
        let Some(own) = bound.sockets.get(self.index) else { return };
        let accept =
            |socket| Accept { socket, name: Arc::clone(&listener.name), bound: Arc::clone(bound) };
        // The tag needs the key and the entry needs the socket: listen first, then retag.
        let nobody = Owner::Listener(NOBODY).tag();
        let socket = match self.io.driver.listen(std::os::fd::AsFd::as_fd(own), nobody) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(listener = %listener.name, %error, "cannot accept");
                return;
            }
        };
        match self.accepts.insert(accept(socket)) {
            Some(key) => self.io.driver.retag(socket, Owner::Listener(key).tag()),
            None => self.io.driver.close(socket),
        }
    }

    fn stop_listening_to_the_gone(&mut self) {
        let view = std::rc::Rc::clone(&self.view);
        let is_meant = |bound: &Arc<Bound>| {
            let mut listeners = view.snapshot.listeners.iter();
            listeners.any(|l| l.bound.as_ref().is_some_and(|own| Arc::ptr_eq(own, bound)))
        };
        let gone: Vec<Key> = (self.accepts.iter())
            .filter(|(_, accept)| !is_meant(&accept.bound))
            .map(|(key, _)| key)
            .collect();
        gone.into_iter().for_each(|key| self.stop_listening(key));
    }

    fn stop_listening(&mut self, key: Key) {
        if let Some(accept) = self.accepts.remove(key) {
            self.io.driver.close(accept.socket);
        }
    }

    pub(crate) fn on_listener(&mut self, key: Key, what: What) {
        match what {
            What::Accepted(socket) => self.on_accepted(key, socket),
            What::Failed(failure) => {
                // The driver pauses the listener by itself; this is for people.
                tracing::warn!(errno = failure.errno, "accepting fails, trying again shortly");
                self.io.counters.count(Counter::DownstreamOverflow);
            }
            _ => {}
        }
    }

    fn on_accepted(&mut self, key: Key, socket: Socket) {
        let listener = self.accepts.get(key).and_then(|accept| self.view.listener(&accept.name));
        let Some(listener) = listener.cloned() else {
            self.io.driver.reset(socket);
            return;
        };
        self.io.counters.count(Counter::DownstreamTotal);
        let Some(facts) = self.facts(&listener, socket) else {
            // The peer has gone before we could ask who it was.
            self.io.counters.count(Counter::DownstreamClosed);
            self.io.driver.reset(socket);
            return;
        };
        let listener = match self.view.owner_of(facts.destination) {
            Some(owner) if listener.use_original_dst => Arc::clone(owner),
            _ => listener,
        };
        let mut down = Down::new(Transport::plain(socket), Arc::clone(&listener), facts);
        down.begin_record(&listener.access_log, self.io.driver.now());
        match self.downs.insert(down) {
            Some(key) => {
                self.io.driver.retag(socket, Owner::Down(key).tag());
                self.begin(key);
            }
            None => {
                self.io.counters.count(Counter::DownstreamOverflow);
                self.io.counters.count(Counter::DownstreamClosed);
                self.io.driver.reset(socket);
            }
        }
    }

    fn facts(&self, listener: &Listener, socket: Socket) -> Option<Facts> {
        let redirected = listener.use_original_dst || listener.original_dst;
        let driver = &self.io.driver;
        let destination =
            if redirected { driver.original(socket) } else { driver.local(socket) }.ok()?;
        let source = driver.peer(socket).ok()?;
        Some(Facts::new(destination, source))
    }

    /// The first step of a connection: inspect, or choose the chain at once.
    fn begin(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let port = down.facts.destination.port();
        let (tls, http) = (&down.listener.tls_inspector, &down.listener.http_inspector);
        let runs = |rule: &Option<_>| rule.as_ref().is_some_and(|rule| runs_on(rule, port));
        let proxied = down.listener.proxy_protocol.as_ref();
        down.awaits_proxy = proxied.is_some_and(|rules| runs_on(&rules.rule, port));
        let inspects = runs(tls) || runs(http) || down.awaits_proxy;
        if inspects {
            down.state = DownState::Inspecting;
            down.io.arm(&mut self.io.driver);
            self.arm_inspect_timeout(key);
        } else {
            self.choose_chain(key);
        }
    }
}

/// An inspector runs unless its rule disables it for the port.
pub(crate) fn runs_on(rule: &config::snapshot::PortRule, port: u16) -> bool {
    let port = u32::from(port);
    let listed = rule.disabled.iter().any(|&(start, end)| (start..end).contains(&port));
    listed == rule.inverted
}
