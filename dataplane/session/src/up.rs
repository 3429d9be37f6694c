//! A connection to an upstream: made, kept, used, given back.

use std::net::SocketAddr;

use config::snapshot::{ClusterId, UpstreamTransport};
use policy::reply::Reason;
use ring::driver::{Connect, Driver, Failure, Nanos, Op, Socket, What};
use ring::{Buf, Key, Timer};
use upstream::{Lease, NoHost, Pick, Release};

use crate::counters::Counter;
use crate::keys::{Alarm, NOBODY, Owner};
use crate::response::Client;
use crate::transport::{Fault, Receiving, Side, Transport};
use crate::worker::Worker;

/// A connection to an upstream.
pub(crate) struct Up {
    pub(crate) io: Transport,
    pub(crate) state: UpState,
    /// The right to the connection, given back when it is closed.
    lease: Lease,
    /// What the socket will speak once it is connected.
    transport: UpstreamTransport,
    /// Connection and handshake must be done by then.
    deadline: Nanos,
    timer: Option<Timer>,
}

/// What a connection to an upstream is doing.
pub(crate) enum UpState {
    /// It is being made, for somebody.
    Connecting(For),
    /// TLS is being agreed on, for somebody.
    Handshaking(For),
    /// It waits in its pool.
    Idle,
    /// It serves a request.
    Http(Client),
    /// It is one half of a proxied connection; the other half's key.
    Tcp(Key),
}

/// Whom a connection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A request.
    Stream(Key),
    /// A client's proxied connection.
    Tcp(Key),
}

/// Why a connection to an upstream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// It could not be made.
    Connect(Failure),
    /// Its handshake failed.
    Tls,
    /// The peer closed it.
    Eof,
    /// The socket failed.
    Failed,
}

impl Up {
    /// It has served a request before: a failure may mean no more than an idle time-out there.
    pub(crate) fn is_reused(&self) -> bool {
        self.lease.requests > 1
    }
}

impl<D: Driver> Worker<D> {
    /// Chooses a host and begins to connect to it.
    pub(crate) fn open_up(
        &mut self,
        cluster: ClusterId,
        wanted: SocketAddr,
        purpose: For,
    ) -> Result<Key, Reason> {
        let random = self.io.random.next();
        let pick = self.clusters.pick(cluster, Some(wanted), random).map_err(reason_of)?;
        let lease = self.clusters.open(pick.host).map_err(reason_of)?;
        self.dial(&pick, lease, purpose)
    }

    /// Begins to connect to a host that was chosen, by the right to one connection there.
    pub(crate) fn dial(&mut self, pick: &Pick, lease: Lease, to: For) -> Result<Key, Reason> {
        let dialled = self.try_dial(pick, lease, to);
        if dialled.is_err() {
            self.give_back(lease, NOBODY);
        }
        dialled
    }

    fn try_dial(&mut self, pick: &Pick, lease: Lease, purpose: For) -> Result<Key, Reason> {
        let cluster = self.clusters.cluster(pick.host.cluster).ok_or(Reason::ClusterNotFound)?;
        let transport = self.clusters.transport(pick.host).ok_or(Reason::ClusterNotFound)?.clone();
        let deadline = self.io.driver.now().after(cluster.connect_timeout);
        let (to, from, keepalive_s) = (pick.address, pick.bind, cluster.keepalive_s);
        let connect = Connect { to, from, deadline, keepalive_s };
        let Ok(socket) = self.io.driver.connect(&connect, Owner::Up(NOBODY).tag()) else {
            self.io.counters.count(Counter::UpstreamConnectFail);
            return Err(Reason::ConnectionFailure);
        };
        let up = Up {
            io: Transport::plain(socket),
            state: UpState::Connecting(purpose),
            lease,
            transport,
            deadline,
            timer: None,
        };
        let Some(key) = self.ups.insert(up) else {
            self.io.driver.reset(socket);
            return Err(Reason::ConnectionOverflow);
        };
        self.io.counters.count(Counter::UpstreamTotal);
        self.io.driver.retag(socket, Owner::Up(key).tag());
        Ok(key)
    }

    pub(crate) fn on_up(&mut self, key: Key, socket: Socket, what: What) {
        let Some(up) = self.ups.get_mut(key).filter(|up| up.io.socket == socket) else { return };
        match what {
            What::Connected => self.on_connected(key),
            What::Data(bytes) => self.on_up_data(key, bytes),
            What::Paused => {
                up.io.paused();
                self.rearm_up(key);
            }
            What::Eof => {
                up.io.ended();
                self.on_up_eof(key);
            }
            What::Sent(_) => self.on_up_sent(key),
            What::Relayed(relayed) => {
                if let UpState::Tcp(down) = up.state {
                    self.on_relayed_down(key, down, relayed);
                }
            }
            What::Failed(failure) if failure.op == Op::Connect => {
                self.on_broken(key, Broken::Connect(failure));
            }
            What::Failed(_) => self.on_broken(key, Broken::Failed),
            What::Accepted(_) | What::Woken => {}
        }
    }

    fn on_connected(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let UpState::Connecting(purpose) = up.state else { return };
        let UpstreamTransport::Tls(context) = &up.transport else {
            return self.on_up_ready(key, purpose);
        };
        let begun = context.connect(None, None).map_err(Fault::Tls).and_then(|client| {
            up.io.secure(Side::Client(client));
            up.state = UpState::Handshaking(purpose);
            up.io.hello(&mut self.io.driver, &mut self.io.scratch)
        });
        match begun {
            Ok(()) => {
                up.io.arm(&mut self.io.driver);
                let at = Some(up.deadline);
                self.io.rearm(&mut up.timer, at, Alarm::Up(key));
            }
            Err(fault) => self.on_up_fault(key, &fault),
        }
    }

    /// The transport stands: whoever it was made for goes on.
    fn on_up_ready(&mut self, key: Key, purpose: For) {
        let Some(up) = self.ups.get_mut(key) else { return };
        self.io.rearm(&mut up.timer, None, Alarm::Up(key));
        match purpose {
            For::Stream(stream) => {
                up.io.arm(&mut self.io.driver);
                self.attach(stream, key);
            }
            For::Tcp(down) => {
                up.state = UpState::Tcp(down);
                self.on_tcp_connected(key, down);
            }
        }
    }

    fn on_up_data(&mut self, key: Key, bytes: Buf) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let mut plain = std::mem::take(&mut self.plain);
        let received = up.io.receive(&mut self.io.driver, &mut self.io.scratch, bytes, &mut plain);
        let (ended, handshaking) = (up.io.is_closed_by_peer(), up.io.is_handshaking());
        let ready = match up.state {
            UpState::Handshaking(purpose) if received.is_ok() && !handshaking => Some(purpose),
            _ => None,
        };
        if let Some(purpose) = ready {
            self.on_up_ready(key, purpose);
        }
        // A server may close right behind its last bytes: these come first.
        self.take_plain(key, &mut plain);
        plain.clear();
        self.plain = plain;
        match received {
            Err(fault) => self.on_up_fault(key, &fault),
            Ok(()) if ended => {
                if let Some(up) = self.ups.get_mut(key) {
                    up.io.ended();
                    self.on_up_eof(key);
                }
            }
            Ok(()) => {}
        }
    }

    fn take_plain(&mut self, key: Key, plain: &mut Vec<Buf>) {
        if plain.is_empty() {
            return;
        }
        match self.ups.get(key).map(|up| &up.state) {
            Some(UpState::Tcp(down)) => {
                let down = *down;
                self.pass_down(down, plain);
                self.rearm_up(key);
            }
            Some(UpState::Http(_)) => {
                plain.drain(..).for_each(|bytes| self.on_response_bytes(key, bytes));
            }
            // Nobody has asked anything: whatever this is, the connection cannot be trusted.
            Some(UpState::Idle) => self.discard(key),
            Some(UpState::Connecting(_) | UpState::Handshaking(_)) | None => {}
        }
    }

    fn on_up_eof(&mut self, key: Key) {
        let Some(up) = self.ups.get(key) else { return };
        match &up.state {
            UpState::Connecting(_) => {}
            UpState::Handshaking(_) => self.on_broken(key, Broken::Tls),
            UpState::Idle => self.discard(key),
            UpState::Http(_) => self.on_broken(key, Broken::Eof),
            UpState::Tcp(down) => self.finish_down(*down),
        }
    }

    fn on_up_sent(&mut self, key: Key) {
        let Some(up) = self.ups.get(key) else { return };
        if !up.io.is_clear(&self.io.driver) {
            return;
        }
        let feeder = match &up.state {
            UpState::Tcp(down) => Some(*down),
            UpState::Http(client) => self.streams.get(client.stream).map(|stream| stream.down),
            UpState::Connecting(_) | UpState::Handshaking(_) | UpState::Idle => None,
        };
        if let Some(down) = feeder {
            self.ready.push(down);
            self.rearm_down(down);
        }
    }

    /// Reads from the upstream again if its bytes can be used.
    pub(crate) fn rearm_up(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let down = match &up.state {
            UpState::Tcp(down) => Some(*down),
            UpState::Http(client) => self.streams.get(client.stream).map(|stream| stream.down),
            UpState::Connecting(_) | UpState::Handshaking(_) | UpState::Idle => None,
        };
        let taker = down.and_then(|down| self.downs.get(down));
        if taker.is_some_and(|down| down.io.is_congested(&self.io.driver)) {
            return;
        }
        if let (UpState::Tcp(_), Some(down)) = (&up.state, down)
            && self.relay_down(key, down)
        {
            return;
        }
        if let Some(up) = self.ups.get_mut(key)
            && up.io.receiving() == Receiving::Paused
        {
            up.io.arm(&mut self.io.driver);
        }
    }

    fn on_up_fault(&mut self, key: Key, fault: &Fault) {
        let Some(up) = self.ups.get(key) else { return };
        if let Fault::Tls(error) = fault {
            self.io.counters.count(Counter::UpstreamTlsErrors);
            tracing::debug!(host = ?up.lease.host, code = error.code, %error, "TLS of an upstream");
        }
        self.on_broken(key, Broken::Tls);
    }

    pub(crate) fn on_up_alarm(&mut self, key: Key) {
        if let Some(up) = self.ups.get_mut(key) {
            up.timer = None;
            let failure = Failure { op: Op::Connect, errno: ETIMEDOUT };
            self.on_broken(key, Broken::Connect(failure));
        }
    }

    fn on_broken(&mut self, key: Key, broken: Broken) {
        let Some(up) = self.ups.get(key) else { return };
        match &up.state {
            UpState::Idle => self.discard(key),
            UpState::Tcp(down) => {
                // What had come before the failure still reaches the client.
                let down = *down;
                self.discard(key);
                self.close_down(down);
            }
            UpState::Http(_) => self.on_response_broken(key, broken == Broken::Eof),
            UpState::Connecting(purpose) | UpState::Handshaking(purpose) => {
                let purpose = *purpose;
                self.io.counters.count(Counter::UpstreamConnectFail);
                self.discard(key);
                match purpose {
                    For::Tcp(down) => self.connect_tcp(down),
                    For::Stream(stream) => self.on_connect_failed(stream, why(broken)),
                }
            }
        }
    }

    /// Gives a connection back to its pool, or closes it if it cannot be used again.
    pub(crate) fn release(&mut self, key: Key, reusable: bool) {
        let now = self.io.driver.now();
        let Some(up) = self.ups.get_mut(key) else { return };
        let open = up.io.receiving() != Receiving::Ended && !up.io.is_closed_by_peer();
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
        let (key, lease) = self.clusters.idle(pick.host, self.io.driver.now().0)?;
        let up = self.ups.get_mut(key)?;
        up.lease = lease;
        Some(key)
    }

    /// A connection is closed: whoever waits for the right to it may have it.
    pub(crate) fn give_back(&mut self, lease: Lease, key: Key) {
        self.granted.extend(self.clusters.closed(lease, key));
    }

    /// The cluster state has let go of these: they are closed.
    pub(crate) fn close_evicted(&mut self) {
        while let Some(key) = self.evicted.pop() {
            self.close_up(key);
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
        self.io.rearm(&mut up.timer, None, Alarm::Up(key));
        self.give_back(up.lease, key);
        Some(up)
    }
}

const ETIMEDOUT: i32 = 110;

/// What a client is told when there is no host to connect to.
pub(crate) fn reason_of(none: NoHost) -> Reason {
    match none {
        NoHost::UnknownCluster => Reason::ClusterNotFound,
        NoHost::NoHealthyHost | NoHost::NoOriginalDestination | NoHost::Gone => {
            Reason::NoHealthyUpstream
        }
        NoHost::Overflow => Reason::UpstreamOverflow,
    }
}

fn why(broken: Broken) -> Reason {
    match broken {
        Broken::Connect(Failure { errno: ETIMEDOUT, .. }) => Reason::ConnectionTimeout,
        Broken::Connect(_) | Broken::Eof | Broken::Failed => Reason::ConnectionFailure,
        Broken::Tls => Reason::UpstreamTlsFailure,
    }
}
