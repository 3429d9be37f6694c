//! Protocols in which the server speaks first, on ports where the first bytes tell the protocol.
//!
//! A client that says nothing waits for its server, and its server would never hear of it while the
//! inspectors wait for the client. So after a short silence the upstream is connected that a silent
//! client would get at the end of the time-out, if that is a plain TCP proxy's; from then on
//! whoever speaks first decides. Where the client does and another chain is the right one, the
//! connection made ahead is closed without a byte having passed.

use std::sync::Arc;

use config::snapshot::{FilterChain, Terminal};
use policy::chain;
use ring::Key;
use ring::driver::{Driver, Nanos};

use crate::counters::Counter;
use crate::down::{Down, DownState, is_admitted};
use crate::keys::Alarm;
use crate::limits::HEAD_START;
use crate::tcp::TcpSide;
use crate::worker::Worker;

/// Who has spoken first, as logs tell it.
const SERVER: &str = "server";
const CLIENT: &str = "client";

impl Down {
    /// The client's half of a connection that passes as it is, or will if nobody says otherwise.
    pub(crate) fn tcp_mut(&mut self) -> Option<&mut TcpSide> {
        match &mut self.state {
            DownState::Tcp(tcp) | DownState::Ahead(tcp) => Some(tcp),
            _ => None,
        }
    }

    fn note_first(&mut self, who: &'static str) {
        if let Some(record) = &mut self.record {
            record.first = who;
        }
    }

    /// There was no upstream yet, as far as logs are concerned.
    fn forget_upstream(&mut self) {
        let is_wanted = !self.listener.access_log.is_empty();
        self.record = self.record.take().filter(|_| is_wanted);
        if let Some(record) = &mut self.record {
            (record.cluster, record.upstream, record.upstream_local) = (None, None, None);
            (record.attempts, record.failure) = (0, "");
        }
    }
}

impl<D: Driver> Worker<D> {
    /// The inspectors begin to wait: first for a client that speaks by itself.
    pub(crate) fn arm_inspect_timeout(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let limit = down.listener.inspect_timeout;
        down.rings_at = limit.map_or(Nanos(u64::MAX), |limit| now.after(limit));
        self.arm_head_start(key);
    }

    /// The client has its turn: it is waited for a little while, or to the end.
    pub(crate) fn arm_head_start(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let ends = down.rings_at;
        let first = if down.listener.continue_on_timeout { now.after(HEAD_START) } else { ends };
        let at = Some(first.min(ends)).filter(|at| *at < Nanos(u64::MAX));
        self.set_down_deadline(key, at);
    }

    pub(crate) fn on_inspect_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let ends = down.rings_at;
        if ends <= now {
            return self.on_inspect_timeout(key);
        }
        if ends < Nanos(u64::MAX) {
            self.io.rearm(&mut down.timer, Some(ends), Alarm::Down(key));
        }
        // Who has begun to speak will go on.
        if down.held.is_empty() && !down.awaits_proxy {
            self.connect_ahead(key);
        }
    }

    /// The client is silent.
    fn connect_ahead(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(chain) = chain::select(&down.listener, &down.facts.connection()) else { return };
        let FilterChain { tls: None, terminal: Terminal::Tcp(proxy), .. } = &**chain else {
            return;
        };
        // What counts connections, or goes by what the client says, is not to be anticipated.
        if !chain.gates.is_empty() || chain.cluster_by_sni {
            return;
        }
        let (chain, proxy) = (Arc::clone(chain), Arc::clone(proxy));
        if !is_admitted(down, &chain, &mut self.io.details) {
            return;
        }
        down.chain = Some(chain);
        if let Some(side) = self.tcp_side(key, &proxy)
            && let Some(down) = self.downs.get_mut(key)
        {
            down.state = DownState::Ahead(Box::new(side));
            self.connect_tcp(key);
        }
    }

    /// There is no upstream to be had for now: the client is listened to, and at the end of the
    /// time-out it is tried again. False: nothing was ahead.
    pub(crate) fn leave_ahead(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let DownState::Ahead(tcp) = &mut down.state else { return false };
        let up = tcp.up.take();
        (down.state, down.chain) = (DownState::Inspecting, None);
        down.forget_upstream();
        if let Some(up) = up {
            self.close_up(up);
        }
        true
    }

    /// The inspectors have seen enough. True: what was connected ahead is what is wanted.
    pub(crate) fn goes_on_ahead(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        if !matches!(down.state, DownState::Ahead(_)) {
            return false;
        }
        // At the end of the time-out nobody has spoken.
        let first = if down.held.is_empty() { "" } else { CLIENT };
        if first == CLIENT {
            self.io.counters.count(Counter::ClientFirst);
        }
        let chosen = chain::select(&down.listener, &down.facts.connection());
        let is_same = chosen.zip(down.chain.as_ref()).is_some_and(|(now, then)| {
            // Chains that have not changed are shared by all snapshots. What the client has said
            // may be what its policies refuse: then it goes the way of all others.
            Arc::ptr_eq(now, then) && is_admitted(down, now, &mut self.io.details)
        });
        if is_same {
            self.join_ahead(key, first);
        } else {
            self.leave_ahead(key);
            if let Some(down) = self.downs.get_mut(key) {
                down.note_first(first);
            }
        }
        is_same
    }

    /// The upstream has said something, or has closed its side: it is a server's turn.
    pub(crate) fn hear_server(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        if matches!(down.state, DownState::Ahead(_)) {
            self.io.counters.count(Counter::ServerFirst);
            self.join_ahead(key, SERVER);
        }
    }

    fn join_ahead(&mut self, key: Key, first: &'static str) {
        let Some(down) = self.downs.get_mut(key) else { return };
        down.note_first(first);
        match std::mem::replace(&mut down.state, DownState::Inspecting) {
            DownState::Ahead(tcp) => down.state = DownState::Tcp(tcp),
            state => down.state = state,
        }
        self.io.rearm(&mut down.timer, None, Alarm::Down(key));
        self.arm_tcp_idle(key);
        self.pass_up(key);
        self.rearm_down(key);
    }
}
