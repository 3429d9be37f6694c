//! `tcp_proxy`: bytes pass as they are, both ways, by copy or by the kernel alone.

use std::sync::Arc;

use config::snapshot::{ClusterId, Flag, Flags, TcpProxy};
use policy::reply::Reason;
use policy::{hash, route};
use ring::driver::{Driver, Nanos, RelayEnd, Relayed};
use ring::{Buf, Key};
use upstream::Outcome;

use crate::bulk;
use crate::counters::Counter;
use crate::down::{Down, DownState};
use crate::transport::Receiving;
use crate::up::{For, UpState};
use crate::worker::Worker;

/// The client's half of a proxied connection.
pub(crate) struct TcpSide {
    pub(crate) up: Option<Key>,
    proxy: Arc<TcpProxy>,
    cluster: ClusterId,
    /// Which of the proxy's clusters it is.
    part: usize,
    attempts_left: u32,
    /// Bytes flow: set with the first event after the connection stands, cleared by the idle alarm.
    active: bool,
    /// It is closed then, whatever happens.
    ends_at: Option<Nanos>,
    /// What the relays had moved when the idle alarm last looked.
    relayed_seen: u64,
    /// The client has finished and the upstream was told.
    finished_up: bool,
    /// The upstream has finished and the client was told.
    finished_down: bool,
}

impl TcpSide {
    /// What the connection is proxied by.
    pub(crate) fn proxy(&self) -> &TcpProxy {
        &self.proxy
    }
}

impl<D: Driver> Worker<D> {
    pub(crate) fn begin_tcp(&mut self, key: Key, proxy: &Arc<TcpProxy>) {
        let Some(side) = self.tcp_side(key, proxy) else {
            self.note_refused(key, Reason::ClusterNotFound);
            return self.abort_down(key);
        };
        let Some(down) = self.downs.get_mut(key) else { return };
        down.state = DownState::Tcp(Box::new(side));
        self.arm_tcp_idle(key);
        self.connect_tcp(key);
    }

    /// What a connection is proxied by this proxy with; `None`: there is no cluster for it.
    pub(crate) fn tcp_side(&mut self, key: Key, proxy: &Arc<TcpProxy>) -> Option<TcpSide> {
        let random = self.io.random.next();
        let (cluster, part) = match self.cluster_by_sni(key) {
            // Nothing of its metadata is known here.
            Some(named) => (named?, usize::MAX),
            None => {
                let chosen = route::weighted(&proxy.clusters, proxy.total_weight, random)?;
                let part = proxy.clusters.iter().position(|one| std::ptr::eq(one, chosen));
                (chosen.cluster, part.unwrap_or_default())
            }
        };
        let now = self.io.driver.now();
        let ends_at = proxy.max_duration.map(|span| {
            let jitter = proxy.jitter_percent / 100.0;
            now.after(span.mul_f64(1.0 + self.io.random.share() * jitter))
        });
        let down = self.downs.get_mut(key)?;
        down.begin_record(&proxy.access_log, now);
        if let Some(record) = &mut down.record {
            record.cluster = Some(cluster);
        }
        Some(TcpSide {
            up: None,
            proxy: Arc::clone(proxy),
            cluster,
            part,
            attempts_left: proxy.max_connect_attempts.max(1),
            active: true,
            ends_at,
            relayed_seen: 0,
            finished_up: false,
            finished_down: false,
        })
    }

    /// The cluster that is named as the server that the client asks for. `None`: its chain does not
    /// go by that, or the client asks for none.
    fn cluster_by_sni(&self, key: Key) -> Option<Option<ClusterId>> {
        let down = self.downs.get(key)?;
        down.chain.as_ref().filter(|chain| chain.cluster_by_sni)?;
        let name = down.facts.hello.as_ref().map(|hello| &*hello.sni)?;
        (!name.is_empty()).then(|| self.view.cluster_named(name))
    }

    /// Connects, or tries again; gives up when there is nowhere to go.
    pub(crate) fn connect_tcp(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let ends = (down.facts.source, down.facts.destination);
        let Some(tcp) = down.tcp_mut() else { return };
        tcp.up = None;
        if tcp.attempts_left == 0 {
            if self.leave_ahead(key) {
                return;
            }
            if let Some(record) = self.downs.get_mut(key).and_then(|down| down.record.as_mut()) {
                record.exhausted();
            }
            return self.abort_down(key);
        }
        tcp.attempts_left -= 1;
        let cluster = tcp.cluster;
        let hashes = tcp.proxy.hash_source
            && self.clusters.cluster(cluster).is_some_and(|found| found.policy.is_hashing());
        let hash = hashes.then(|| hash::address(ends.0.ip()));
        let (part, proxy) = (tcp.part, Arc::clone(&tcp.proxy));
        let labels = || proxy.clusters.get(part).map(|chosen| &chosen.subset);
        match self.open_up((cluster, labels), ends, hash, For::Tcp(key)) {
            Ok(up) => {
                if let Some(tcp) = self.downs.get_mut(key).and_then(Down::tcp_mut) {
                    tcp.up = Some(up);
                }
                self.note_tcp_host(key, up);
            }
            Err(_) if self.leave_ahead(key) => {}
            Err(reason) => {
                tracing::debug!(?reason, "no upstream for a TCP connection");
                self.note_refused(key, reason);
                self.abort_down(key);
            }
        }
    }

    /// The upstream connection stands: what waited goes out, both sides are read.
    pub(crate) fn on_tcp_connected(&mut self, up: Key, down: Key) {
        if let Some(host) = self.ups.get(up).map(|up| up.lease.host) {
            self.observe_host(host, Outcome::Joined);
        }
        self.note_tcp_connected(down, up);
        self.pass_up(down);
        self.rearm_down(down);
        self.rearm_up(up);
        if self.downs.get(down).is_some_and(|d| d.io.receiving() == Receiving::Ended) {
            self.finish_up(down);
        }
    }

    /// The client's bytes to the upstream, once there is one.
    pub(crate) fn pass_up(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Tcp(tcp) = &mut down.state else { return };
        tcp.active = true;
        let Some(up) = tcp.up.and_then(|up| self.ups.get_mut(up)) else { return };
        if !matches!(up.state, UpState::Tcp(_)) {
            return;
        }
        while let Some(bytes) = down.held.pop() {
            if let Some(record) = &mut down.record {
                record.bytes_received += bytes.len() as u64;
            }
            if up.io.send(&mut self.io.driver, bytes).is_err() {
                return self.abort_down(key);
            }
        }
        self.rearm_down(key);
    }

    /// The upstream's bytes to the client.
    pub(crate) fn pass_down(&mut self, key: Key, bytes: &mut Vec<Buf>) {
        self.hear_server(key);
        let Some(down) = self.downs.get_mut(key) else { return };
        if let DownState::Tcp(tcp) = &mut down.state {
            tcp.active = true;
        }
        if let Some(record) = &mut down.record {
            record.bytes_sent += bytes.iter().map(|piece| piece.len() as u64).sum::<u64>();
        }
        let sent = bytes.drain(..).try_for_each(|piece| down.io.send(&mut self.io.driver, piece));
        if sent.is_err() {
            self.abort_down(key);
        }
    }

    /// The client has closed its side: the upstream hears of it after the last byte.
    pub(crate) fn finish_up(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Tcp(tcp) = &mut down.state else { return };
        let Some(up) = tcp.up.and_then(|up| self.ups.get_mut(up)) else { return };
        if !down.held.is_empty() || !matches!(up.state, UpState::Tcp(_)) || tcp.finished_up {
            // Still connecting: `on_tcp_connected` comes back to this.
            return;
        }
        tcp.finished_up = true;
        up.io.finish(&mut self.io.driver, &mut self.io.scratch);
        if tcp.finished_down {
            self.close_down(key);
        }
    }

    /// The upstream has closed its side: the client hears of it after the last byte.
    pub(crate) fn finish_down(&mut self, key: Key) {
        self.hear_server(key);
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Tcp(tcp) = &mut down.state else { return };
        if tcp.finished_down {
            return;
        }
        tcp.finished_down = true;
        down.io.finish(&mut self.io.driver, &mut self.io.scratch);
        if tcp.finished_up {
            self.close_down(key);
        }
    }

    /// Hands the client's direction over to the kernel if it is worth it. `true`: it is done.
    pub(crate) fn relay_up(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let DownState::Tcp(tcp) = &down.state else { return false };
        let Some(up) = tcp.up.and_then(|up| self.ups.get(up)) else { return false };
        bulk::flows(&down.io)
            && down.held.is_empty()
            && bulk::begin(&mut self.io.driver, &mut down.io, &up.io, u64::MAX)
    }

    /// The same for the upstream's direction.
    pub(crate) fn relay_down(&mut self, key: Key, down: Key) -> bool {
        let (Some(up), Some(down)) = (self.ups.get_mut(key), self.downs.get(down)) else {
            return false;
        };
        bulk::flows(&up.io) && bulk::begin(&mut self.io.driver, &mut up.io, &down.io, u64::MAX)
    }

    /// A relay from the client has ended or run dry.
    pub(crate) fn on_relayed_up(&mut self, key: Key, relayed: Relayed) {
        self.io.counters.add(Counter::RelayedBytes, relayed.bytes);
        let Some(down) = self.downs.get_mut(key) else { return };
        if let Some(record) = &mut down.record {
            record.bytes_received += relayed.bytes;
        }
        if let DownState::Tcp(tcp) = &mut down.state {
            tcp.active = true;
        }
        match relayed.end {
            RelayEnd::Drained | RelayEnd::Whole => {
                down.io.begin_anew();
                down.io.arm(&mut self.io.driver);
            }
            RelayEnd::Eof => {
                down.io.ended();
                self.finish_up(key);
            }
        }
    }

    /// A relay from the upstream has ended or run dry.
    pub(crate) fn on_relayed_down(&mut self, key: Key, down: Key, relayed: Relayed) {
        self.io.counters.add(Counter::RelayedBytes, relayed.bytes);
        if let Some(down) = self.downs.get_mut(down) {
            if let Some(record) = &mut down.record {
                record.bytes_sent += relayed.bytes;
            }
            if let DownState::Tcp(tcp) = &mut down.state {
                tcp.active = true;
            }
        }
        let Some(up) = self.ups.get_mut(key) else { return };
        match relayed.end {
            RelayEnd::Drained | RelayEnd::Whole => {
                up.io.begin_anew();
                up.io.arm(&mut self.io.driver);
            }
            RelayEnd::Eof => {
                up.io.ended();
                self.finish_down(down);
            }
        }
    }

    pub(crate) fn arm_tcp_idle(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get(key) else { return };
        let DownState::Tcp(tcp) = &down.state else { return };
        let idle = tcp.proxy.idle_timeout.map(|limit| now.after(limit));
        let at = [idle, tcp.ends_at].into_iter().flatten().min();
        self.set_down_deadline(key, at);
    }

    /// Looks whether anything has moved since the last look; if not, the connection is dead. A
    /// look a period, instead of a timer moved with each byte.
    pub(crate) fn on_tcp_alarm(&mut self, key: Key) {
        let now = self.io.driver.now();
        let Some(down) = self.downs.get_mut(key) else { return };
        let DownState::Tcp(tcp) = &mut down.state else { return };
        if tcp.ends_at.is_some_and(|at| at <= now) {
            if let Some(record) = &mut down.record {
                record.flags = record.flags.with(Flags::of(Flag::DurationTimeout));
            }
            return self.close_down(key);
        }
        let upward = self.io.driver.relayed(down.io.socket);
        let up = tcp.up.and_then(|up| self.ups.get(up));
        let downward = up.map_or(0, |up| self.io.driver.relayed(up.io.socket));
        let relayed = upward.wrapping_add(downward);
        let moved = std::mem::take(&mut tcp.active) || relayed != tcp.relayed_seen;
        tcp.relayed_seen = relayed;
        if moved {
            self.arm_tcp_idle(key);
        } else {
            self.close_down(key);
        }
    }
}
