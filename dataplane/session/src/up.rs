//! A connection to an upstream: its states and what moves it from one to the next.

use std::net::SocketAddr;

use config::snapshot::{Cluster, ProxyVersion, UpstreamTransport};
use policy::reply::Reason;
use ring::driver::{Driver, Failure, Nanos, Op, Socket, What};
use ring::{Buf, Key, Timer};
use tls::ClientContext;
use upstream::{Ends, Lease, Outcome};
use wire::h1::Limits;
use wire::head::NameForm;
use wire::proxy_protocol;

use crate::counters::Counter;
use crate::form::{kept, of_http1};
use crate::h2::Http2Up;
use crate::keys::Alarm;
use crate::limits::UNSENT_HIGH;
use crate::race::Race;
use crate::response::Client;
use crate::through::Asking;
use crate::transport::{Fault, Receiving, Side, Transport};
use crate::worker::Worker;

/// A connection to an upstream.
pub(crate) struct Up {
    pub(crate) io: Transport,
    pub(crate) state: UpState,
    /// The right to the connection, given back when it is closed.
    pub(crate) lease: Lease,
    /// What HTTP is spoken over it.
    pub(crate) speaks: Speaks,
    /// What the socket will speak once it is connected.
    pub(crate) transport: UpstreamTransport,
    /// The host's other addresses, while the connection is being made.
    pub(crate) race: Option<Box<Race>>,
    /// Whom it tells of before that.
    pub(crate) told: Option<Box<Ends>>,
    /// Connection and handshake must be done by then.
    pub(crate) deadline: Nanos,
    /// The host's address.
    pub(crate) address: SocketAddr,
    pub(crate) timer: Option<Timer>,
    /// The turn in which it was last given a request.
    pub(crate) attached: u64,
    /// From then on it takes no more requests.
    pub(crate) ends_at: Option<Nanos>,
    /// How answers are read.
    pub(crate) answers: Answers,
}

/// How answers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers {
    pub(crate) limits: Limits,
    /// How their names are written on.
    pub(crate) names: NameForm,
}

impl Answers {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let limits = Limits {
            head_bytes_max: cluster.max_head_kib as usize * 1024,
            fields_max: cluster.max_fields as usize,
            ..of_http1(&cluster.http1)
        };
        Self { limits, names: kept(cluster.http1.names).unwrap_or_default() }
    }
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
    /// It serves many requests.
    Http2(Box<Http2Up>),
    /// An HTTP proxy behind it is asked for a proxied connection.
    Asking(Box<Asking>),
    /// It is one half of a proxied connection; the other half's key.
    Tcp(Key),
}

/// What HTTP a connection to an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    /// What TLS agrees on.
    Negotiated,
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

    /// Says whom the connection is for.
    fn tell<D: Driver>(&mut self, version: ProxyVersion, driver: &mut D) -> Result<(), Fault> {
        let version = match version {
            ProxyVersion::V1 => proxy_protocol::Version::V1,
            ProxyVersion::V2 => proxy_protocol::Version::V2,
        };
        let mut header = Vec::new();
        proxy_protocol::write(version, self.told.as_deref().copied(), &mut header);
        let mut bytes = driver.pool().take(header.len()).ok_or(Fault::Memory)?;
        bytes.extend(&header);
        self.io.send(driver, bytes.freeze())
    }

    /// The transport stands, and HTTP/2 is what to speak over it.
    fn is_h2(&self) -> bool {
        match self.speaks {
            Speaks::Http1 => false,
            Speaks::Http2 => true,
            Speaks::Negotiated => self.io.peer().is_some_and(|peer| peer.alpn == b"h2"),
        }
    }
}

impl Speaks {
    /// What to offer TLS where the configuration does not say it.
    fn offer(self, context: &ClientContext) -> Option<Vec<Vec<u8>>> {
        match (self, context.offers_protocols()) {
            (Self::Http1, _) | (_, true) => None,
            (Self::Http2, false) => Some(vec![b"h2".to_vec()]),
            (Self::Negotiated, false) => Some(vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
        }
    }
}

impl<D: Driver> Worker<D> {
    pub(crate) fn on_up(&mut self, key: Key, socket: Socket, what: What) {
        let Some(up) = self.ups.get_mut(key) else { return };
        if up.io.socket != socket {
            if self.wins_race(key, socket, matches!(what, What::Connected)) {
                self.on_connected(key);
            }
            return;
        }
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
            What::Sent(_) => match up.io.sent(&mut self.io.driver, &mut self.io.scratch) {
                Ok(()) => self.on_up_sent(key),
                Err(fault) => self.on_up_fault(key, &fault),
            },
            What::Relayed(relayed) => match up.state {
                UpState::Tcp(down) => self.on_relayed_down(key, down, relayed),
                _ => self.on_relayed_response(key, relayed),
            },
            What::Failed(failure) if self.goes_on_racing(key, failure) => {}
            What::Failed(failure) if failure.op == Op::Connect => {
                self.on_broken(key, Broken::Connect(failure));
            }
            What::Failed(_) => self.on_broken(key, Broken::Failed),
            What::Accepted(_) | What::Woken => {}
        }
    }

    fn on_connected(&mut self, key: Key) {
        self.end_race(key);
        let Some(up) = self.ups.get_mut(key) else { return };
        let UpState::Connecting(purpose) = up.state else { return };
        if let Some(version) = up.transport.proxy()
            && let Err(fault) = up.tell(version, &mut self.io.driver)
        {
            return self.on_up_fault(key, &fault);
        }
        let Some(context) = up.transport.tls() else {
            return self.on_up_ready(key, purpose);
        };
        let offer = up.speaks.offer(context);
        let begun =
            context.connect(offer.as_deref(), None).map_err(Fault::Tls).and_then(|client| {
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
            For::Stream(stream) if up.is_h2() => self.begin_up_h2(key, stream),
            For::Stream(stream) => {
                up.io.arm(&mut self.io.driver);
                self.attach(stream, key);
            }
            For::Tcp(down) if self.ask_through(key, down) => {}
            For::Tcp(down) => {
                if let Some(up) = self.ups.get_mut(key) {
                    up.state = UpState::Tcp(down);
                }
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
            Some(UpState::Http(_)) if self.is_fresh(key) => {
                // It was sent before the request was: an answer to nothing.
                self.on_response_broken(key, false);
            }
            Some(UpState::Http2(_)) => {
                plain.drain(..).for_each(|bytes| self.on_up_h2_bytes(key, bytes));
            }
            Some(UpState::Http(_)) => {
                let mut left = plain.len();
                plain.drain(..).for_each(|bytes| {
                    left = left.saturating_sub(1);
                    self.on_response_bytes(key, bytes, left > 0);
                });
            }
            Some(UpState::Asking(_)) => self.on_asked(key, plain),
            // Nobody has asked anything: whatever this is, the connection cannot be trusted.
            Some(UpState::Idle) => self.discard(key),
            Some(UpState::Connecting(_) | UpState::Handshaking(_)) | None => {}
        }
    }

    /// It was given its request in this very turn, whose events are older than that.
    fn is_fresh(&self, key: Key) -> bool {
        self.ups.get(key).is_some_and(|up| up.attached == self.turn)
    }

    pub(crate) fn on_up_eof(&mut self, key: Key) {
        let Some(up) = self.ups.get(key) else { return };
        match &up.state {
            UpState::Connecting(_) => {}
            UpState::Handshaking(_) => self.on_broken(key, Broken::Tls),
            UpState::Idle => self.discard(key),
            UpState::Http(_) | UpState::Http2(_) | UpState::Asking(_) => {
                self.on_broken(key, Broken::Eof);
            }
            UpState::Tcp(down) => self.finish_down(*down),
        }
    }

    fn on_up_sent(&mut self, key: Key) {
        let Some(up) = self.ups.get(key) else { return };
        if !up.io.is_clear(&self.io.driver) {
            return;
        }
        match &up.state {
            UpState::Tcp(down) => {
                let down = *down;
                self.ready.push(down);
                self.rearm_down(down);
            }
            UpState::Http(client) => {
                let key = client.stream;
                let Some(stream) = self.streams.get(key) else { return };
                let down = stream.down;
                // What has left whole frees nobody but a client by HTTP/2, of its debt.
                if !stream.is_request_done || stream.returning.is_some() {
                    self.wake(down, key);
                }
                self.rearm_down(down);
            }
            UpState::Http2(_) => self.ready_ups.push(key),
            UpState::Connecting(_)
            | UpState::Handshaking(_)
            | UpState::Asking(_)
            | UpState::Idle => {}
        }
    }

    /// Reads from the upstream again if its bytes can be used.
    pub(crate) fn rearm_up(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let down = match &up.state {
            UpState::Tcp(down) => Some(*down),
            UpState::Http(client) => self.streams.get(client.stream).map(|stream| stream.down),
            UpState::Http2(_)
            | UpState::Connecting(_)
            | UpState::Handshaking(_)
            | UpState::Asking(_)
            | UpState::Idle => None,
        };
        let taker = down.and_then(|down| self.downs.get(down));
        if taker.is_some_and(|down| down.io.is_congested(&self.io.driver)) {
            if let UpState::Http(client) = &up.state {
                let stream = client.stream;
                self.starve(stream);
            }
            return;
        }
        if let UpState::Http(client) = &up.state
            && let Some(stream) = self.streams.get_mut(client.stream)
        {
            if let Some(returning) = &mut stream.returning
                && returning.is_full(self.io.driver.pool())
            {
                returning.is_starving = true;
                return;
            }
            if stream.slowed_bytes() > UNSENT_HIGH {
                // It is read from again when a filter has let some of it go.
                return;
            }
        }
        let is_relayed = match (&up.state, down) {
            (UpState::Tcp(_), Some(down)) => self.relay_down(key, down),
            (UpState::Http(_), _) => self.relay_response(key),
            _ => false,
        };
        if is_relayed {
            return;
        }
        if self.holds_back(key) {
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
        let Some(up) = self.ups.get_mut(key) else { return };
        up.timer = None;
        if self.on_race_alarm(key) {
            return;
        }
        let Some(up) = self.ups.get_mut(key) else { return };
        if matches!(up.state, UpState::Connecting(_) | UpState::Handshaking(_)) {
            let failure = Failure { op: Op::Connect, errno: ETIMEDOUT };
            self.on_broken(key, Broken::Connect(failure));
        } else {
            self.on_up_h2_alarm(key);
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
            UpState::Http2(_) => self.end_up_h2(key, Reason::ConnectionTermination),
            UpState::Connecting(purpose) | UpState::Handshaking(purpose) => {
                let purpose = *purpose;
                self.on_unconnected(key, purpose, broken);
            }
            UpState::Asking(asking) => {
                let purpose = For::Tcp(asking.down);
                self.on_unconnected(key, purpose, broken);
            }
        }
    }

    /// The HTTP proxy behind it does not let the bytes pass.
    pub(crate) fn on_unasked(&mut self, key: Key) {
        self.on_broken(key, Broken::Failed);
    }

    fn on_unconnected(&mut self, key: Key, purpose: For, broken: Broken) {
        let Some(host) = self.ups.get(key).map(|up| up.lease.host) else { return };
        self.note_unconnected(purpose, words_of(broken));
        self.io.counters.count(Counter::UpstreamConnectFail);
        self.fail_waiters(key, why(broken));
        self.discard(key);
        match purpose {
            For::Tcp(down) => {
                self.observe_host(host, Outcome::Failed);
                self.connect_tcp(down);
            }
            For::Stream(stream) => self.on_connect_failed(stream, why(broken)),
        }
        self.fail_failed();
    }

    /// Whoever the connection was made for is told why it could not be.
    fn note_unconnected(&mut self, purpose: For, failure: &'static str) {
        match purpose {
            For::Stream(key) => {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.note_failure(failure);
                }
            }
            For::Tcp(key) => {
                if let Some(record) = self.downs.get_mut(key).and_then(|down| down.record.as_mut())
                {
                    record.failure = failure;
                }
            }
        }
    }
}

const ETIMEDOUT: i32 = 110;

/// Why a connection could not be made, in Envoy's words; empty where it has none.
fn words_of(broken: Broken) -> &'static str {
    let Broken::Connect(Failure { errno, .. }) = broken else { return "" };
    match errno {
        101 => "delayed connect error: Network is unreachable",
        104 => "delayed connect error: Connection reset by peer",
        111 => "delayed connect error: Connection refused",
        113 => "delayed connect error: No route to host",
        _ => "",
    }
}

fn why(broken: Broken) -> Reason {
    match broken {
        Broken::Connect(Failure { errno: ETIMEDOUT, .. }) => Reason::ConnectionTimeout,
        Broken::Connect(_) | Broken::Eof | Broken::Failed => Reason::ConnectionFailure,
        Broken::Tls => Reason::UpstreamTlsFailure,
    }
}
