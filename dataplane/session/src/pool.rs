//! Connections to upstreams: opened by right, lent, given back, closed.

use config::snapshot::{ClusterId, Labels, TcpProbes};
use policy::reply::Reason;
use ring::Key;
use ring::driver::{Connect, Driver, Keepalive};
use upstream::{Ends, Lease, NoHost, Pick, Release};

use crate::counters::Counter;
use crate::keys::{Alarm, NOBODY, Owner};
use crate::race::Race;
use crate::transport::{Receiving, Transport};
use crate::up::{Answers, For, Speaks, Up, UpState};
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// Chooses a host for a client between these ends, by the hash if there is one, and begins to
    /// connect to it.
    pub(crate) fn open_up<'l>(
        &mut self,
        (cluster, labels): (ClusterId, impl FnOnce() -> Option<&'l Labels>),
        ends: Ends,
        hash: Option<u64>,
        purpose: For,
    ) -> Result<Key, Reason> {
        let random = self.io.random.next();
        let random = hash.unwrap_or(random);
        let pick = self.clusters.pick_among(cluster, Some(ends.1), random, labels);
        let pick = pick.map_err(reason_of)?;
        let pick = self.clusters.set_apart(pick, None, ends).map_err(reason_of)?;
        let lease = self.clusters.open(pick.host).map_err(reason_of)?;
        self.dial(&pick, lease, purpose, Speaks::Http1)
    }

    /// Begins to connect to a host that was chosen, by the right to one connection there.
    pub(crate) fn dial(
        &mut self,
        pick: &Pick,
        lease: Lease,
        to: For,
        speaks: Speaks,
    ) -> Result<Key, Reason> {
        let dialled = self.try_dial(pick, lease, to, speaks);
        if dialled.is_err() {
            self.give_back(lease, NOBODY);
        }
        dialled
    }

    fn try_dial(
        &mut self,
        pick: &Pick,
        lease: Lease,
        purpose: For,
        speaks: Speaks,
    ) -> Result<Key, Reason> {
        let cluster = self.clusters.cluster(pick.host.cluster).ok_or(Reason::ClusterNotFound)?;
        let transport = self.clusters.transport(pick.host).ok_or(Reason::ClusterNotFound)?.clone();
        let now = self.io.driver.now();
        let deadline = now.after(cluster.connect_timeout);
        let ends_at = cluster.max_connection_duration.map(|limit| now.after(limit));
        let answers = Answers::of(cluster);
        let (to, from) = (pick.address, pick.bind);
        let keepalive = cluster.tcp_probes.map(|probes| {
            let TcpProbes { idle_s, interval_s, probes } = probes;
            Keepalive { idle_s, interval_s, probes }
        });
        let connect = Connect { to, from, deadline, keepalive };
        let Ok(socket) = self.io.driver.connect(&connect, Owner::Up(NOBODY).tag()) else {
            self.io.counters.count(Counter::UpstreamConnectFail);
            return Err(Reason::ConnectionFailure);
        };
        let up = Up {
            io: Transport::plain(socket),
            state: UpState::Connecting(purpose),
            lease,
            speaks,
            transport,
            race: self.clusters.others(pick.host).map(|others| Race::new(others, connect)),
            told: self.clusters.told(pick.host).map(Box::new),
            deadline,
            address: to,
            timer: None,
            attached: 0,
            ends_at,
            answers,
        };
        let Some(key) = self.ups.insert(up) else {
            self.io.driver.reset(socket);
            return Err(Reason::ConnectionOverflow);
        };
        self.io.counters.count(Counter::UpstreamTotal);
        self.io.driver.retag(socket, Owner::Up(key).tag());
        self.arm_race(key);
        Ok(key)
    }

    /// Gives a connection back to its pool, or closes it if it cannot be used again.
    pub(crate) fn release(&mut self, key: Key, reusable: bool) {
        let now = self.io.driver.now();
        let Some(up) = self.ups.get_mut(key) else { return };
        let is_old = up.ends_at.is_some_and(|at| at <= now);
        let open = up.io.receiving() != Receiving::Ended && !up.io.is_closed_by_peer() && !is_old;
        up.state = UpState::Idle;
        match self.clusters.release(up.lease, key, now.0, reusable && open) {
            Release::Kept => self.rearm_up(key),
            Release::Close => self.discard(key),
            Release::Handed(stream, lease) => {
                up.lease = lease;
                self.rearm_up(key);
                self.attach(stream, key);
            }
        }
    }

    /// A connection from the pool, if one lies there.
    pub(crate) fn idle_up(&mut self, pick: &Pick) -> Option<Key> {
        let now = self.io.driver.now();
        loop {
            let (key, lease) = self.clusters.idle(pick.host, now.0)?;
            let Some(up) = self.ups.get_mut(key) else {
                self.give_back(lease, key);
                return None;
            };
            up.lease = lease;
            if up.ends_at.is_none_or(|at| at > now) {
                return Some(key);
            }
            self.discard(key);
        }
    }

    /// A connection is closed: whoever waits for the right to it may have it.
    pub(crate) fn give_back(&mut self, lease: Lease, key: Key) {
        self.granted.extend(self.clusters.closed(lease, key));
    }

    /// The cluster state has let go of these: they are closed. Each has been idle since its last
    /// answer came whole, so there are no last words to protect.
    pub(crate) fn close_evicted(&mut self) {
        while let Some(key) = self.evicted.pop() {
            if let Some(Up { state: UpState::Http2(two), .. }) = self.ups.get_mut(key)
                && two.is_busy()
            {
                two.leave();
                continue;
            }
            if let Some(mut up) = self.forget_up(key) {
                up.io.leave(&mut self.io.driver, &mut self.io.scratch);
            }
        }
    }

    /// Closes once what is queued has left.
    pub(crate) fn close_up(&mut self, key: Key) {
        if let Some(mut up) = self.forget_up(key) {
            up.io.close(&mut self.io.driver, &mut self.io.scratch);
        }
    }

    /// Closes at once.
    pub(crate) fn discard(&mut self, key: Key) {
        if let Some(up) = self.forget_up(key) {
            self.io.driver.reset(up.io.socket);
        }
    }

    fn forget_up(&mut self, key: Key) -> Option<Up> {
        let mut up = self.ups.remove(key)?;
        self.io.counters.count(Counter::UpstreamClosed);
        for socket in up.race.take().into_iter().flat_map(|race| race.sockets()) {
            self.io.driver.reset(socket);
        }
        self.io.rearm(&mut up.timer, None, Alarm::Up(key));
        self.give_back(up.lease, key);
        Some(up)
    }
}

/// What a client is told when there is no host to connect to.
pub(crate) fn reason_of(none: NoHost) -> Reason {
    match none {
        NoHost::UnknownCluster => Reason::ClusterNotFound,
        NoHost::NoHealthyHost | NoHost::NoOriginalDestination | NoHost::Gone => {
            Reason::NoHealthyUpstream
        }
        NoHost::Overflow => Reason::UpstreamOverflow,
        NoHost::BadName => Reason::ConnectionFailure,
    }
}
