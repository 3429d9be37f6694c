//! A client's connection: its states and what moves it from one to the next.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    Codec, FilterChain, ForwardClientCert, HttpManager, Listener, Terminal,
    Transport as ChainTransport,
};
use policy::chain;
use policy::facts::{ConnectionFacts, Protocols, RequestFacts};
use policy::rbac;
use policy::reply::Reason;
use ring::driver::{Driver, Nanos, Socket, What};
use ring::{Buf, Key, Timer};
use tls::session::Peer;

use crate::counters::Counter;
use crate::h2::Http2Side;
use crate::held::Held;
use crate::keys::Alarm;
use crate::limits::HANDSHAKE_MS_MAX;
use crate::log::ConnectionRecord;
use crate::request::{HttpSide, Phase};
use crate::serving::Serving;
use crate::stream::Stream;
use crate::tcp::TcpSide;
use crate::transport::{Fault, Receiving, Side, Transport};
use crate::worker::Worker;

/// A client's connection.
pub(crate) struct Down {
    pub(crate) io: Transport,
    pub(crate) listener: Arc<Listener>,
    pub(crate) chain: Option<Arc<FilterChain>>,
    pub(crate) facts: Facts,
    /// Plaintext that came and could not be used yet, in order.
    pub(crate) held: Held,
    pub(crate) state: DownState,
    pub(crate) timer: Option<Timer>,
    /// When the timer rings, while it is set for patience; when the inspectors give up.
    pub(crate) rings_at: Nanos,
    /// What logs want to know of it, where there are any.
    pub(crate) record: Option<Box<ConnectionRecord>>,
    /// A proxy in front is still to tell of the client.
    pub(crate) awaits_proxy: bool,
}

// Ten thousand clients may be idle: what few of them have stands behind a pointer.
const _: () = assert!(size_of::<Down>() <= 224);

/// What a client's connection is doing.
pub(crate) enum DownState {
    /// Its first bytes are being looked at.
    Inspecting,
    /// The same, and those of the upstream that a silent client gets: who speaks first decides.
    Ahead(Box<TcpSide>),
    /// TLS is being agreed on.
    Handshaking,
    /// It is one too many, and ends soon.
    Dismissed,
    /// Bytes pass as they are.
    Tcp(Box<TcpSide>),
    /// Requests are read.
    Http(Box<HttpSide>),
    /// Requests are read, many at a time.
    Http2(Box<Http2Side>),
}

/// What is known of a connection.
pub(crate) struct Facts {
    /// Where the client wanted to go.
    pub(crate) destination: SocketAddr,
    pub(crate) source: SocketAddr,
    pub(crate) transport: ChainTransport,
    /// What the inspectors have heard.
    pub(crate) hello: Option<Box<Hello>>,
}

/// What a client has said before it was answered.
#[derive(Default)]
pub(crate) struct Hello {
    /// The server name that it asks for.
    pub(crate) sni: String,
    /// Application protocols that the client offers, or that the inspector found.
    /// As a list on the wire: each name behind a byte of length.
    pub(crate) alpn: Vec<u8>,
    /// The other end of the socket, where a proxy there has named somebody else.
    pub(crate) direct: Option<SocketAddr>,
}

impl Facts {
    pub(crate) fn new(destination: SocketAddr, source: SocketAddr) -> Self {
        let transport = ChainTransport::Raw;
        Self { destination, source, transport, hello: None }
    }

    /// The other end of the socket, where that is not the client.
    pub(crate) fn direct(&self) -> Option<SocketAddr> {
        self.hello.as_ref()?.direct
    }

    /// The peer is a proxy that speaks for this client, or for itself.
    pub(crate) fn speak_for(&mut self, ends: Option<(SocketAddr, SocketAddr)>) {
        if let Some((source, destination)) = ends {
            self.hello.get_or_insert_default().direct = Some(self.source);
            (self.source, self.destination) = (source, destination);
        }
    }

    pub(crate) fn connection(&self) -> ConnectionFacts<'_> {
        let (sni, alpn) =
            self.hello.as_ref().map_or(("", &[][..]), |hello| (&*hello.sni, &*hello.alpn));
        ConnectionFacts {
            destination: self.destination,
            source: self.source,
            direct: self.direct(),
            transport: self.transport,
            sni,
            alpn: Protocols::Wire(alpn),
        }
    }
}

impl Down {
    pub(crate) fn new(io: Transport, listener: Arc<Listener>, facts: Facts) -> Self {
        let (held, state) = (Held::default(), DownState::Inspecting);
        Self {
            io,
            listener,
            chain: None,
            facts,
            held,
            state,
            timer: None,
            rings_at: Nanos(0),
            record: None,
            awaits_proxy: false,
        }
    }

    /// Between two requests, with nothing begun: may be closed without loss.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.state {
            DownState::Http(http) => http.is_idle() && self.held.is_empty(),
            DownState::Inspecting => self.held.is_empty(),
            // A handshake has its deadline, and a request right behind it.
            // HTTP/2 says good-bye before it goes.
            DownState::Ahead(_)
            | DownState::Handshaking
            | DownState::Dismissed
            | DownState::Tcp(_)
            | DownState::Http2(_) => false,
        }
    }

    /// It holds bytes that can only be used when something else has moved.
    fn is_waiting(&self) -> bool {
        let looks = match &self.state {
            DownState::Inspecting | DownState::Ahead(_) => true,
            DownState::Http(http) => matches!(http.phase, Phase::Preface),
            _ => false,
        };
        !looks && !self.held.is_empty()
    }

    /// The answer to this request has begun.
    pub(crate) fn has_answered(&self, stream: &Stream) -> bool {
        match (&stream.returning, self.http()) {
            (Some(returning), _) => returning.is_answered,
            (None, Some(http)) => http.has_answered(),
            (None, None) => true,
        }
    }
}

impl<D: Driver> Worker<D> {
    pub(crate) fn on_down(&mut self, key: Key, socket: Socket, what: What) {
        let Some(down) = self.downs.get_mut(key).filter(|down| down.io.socket == socket) else {
            return;
        };
        match what {
            What::Data(bytes) => self.on_down_data(key, bytes),
            What::Paused => {
                down.io.paused();
                self.rearm_down(key);
            }
            What::Eof => {
                down.io.ended();
                self.on_down_eof(key);
            }
            What::Sent(_) => match down.io.sent(&mut self.io.driver, &mut self.io.scratch) {
                Ok(()) => self.on_down_sent(key),
                Err(fault) => self.on_down_fault(key, &fault),
            },
            What::Relayed(relayed) => match down.state {
                DownState::Http(_) => self.on_relayed_request(key, relayed),
                _ => self.on_relayed_up(key, relayed),
            },
            What::Failed(_) => self.abort_down(key),
            What::Accepted(_) | What::Connected | What::Woken => {}
        }
    }

    fn on_down_data(&mut self, key: Key, bytes: Buf) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let was_handshaking = down.io.is_handshaking();
        let mut plain = std::mem::take(&mut self.plain);
        let received =
            down.io.receive(&mut self.io.driver, &mut self.io.scratch, bytes, &mut plain);
        let pool = self.io.driver.pool();
        let kept = plain.drain(..).try_for_each(|bytes| down.held.push(pool, bytes));
        self.plain = plain;
        if let Err(fault) = received.and(kept) {
            return self.on_down_fault(key, &fault);
        }
        let ended = down.io.is_closed_by_peer();
        if was_handshaking && !down.io.is_handshaking() {
            self.io.counters.count(Counter::DownstreamTlsHandshakes);
            self.begin_terminal(key);
        } else {
            self.use_held(key);
        }
        if ended {
            // What came in front of the good-bye comes first.
            self.serve(key);
            if let Some(down) = self.downs.get_mut(key) {
                down.io.ended();
                self.on_down_eof(key);
            }
        }
    }

    /// Does what the state allows with the bytes that are held.
    fn use_held(&mut self, key: Key) {
        let Some(down) = self.downs.get(key) else { return };
        match &down.state {
            DownState::Inspecting | DownState::Ahead(_) => self.inspect(key),
            DownState::Handshaking => {}
            DownState::Dismissed => self.drop_held(key),
            DownState::Tcp(_) => self.pass_up(key),
            DownState::Http(_) | DownState::Http2(_) => self.ready.push(key),
        }
    }

    fn on_down_eof(&mut self, key: Key) {
        let Some(down) = self.downs.get(key) else { return };
        match &down.state {
            // Nothing was said that could be answered.
            DownState::Inspecting | DownState::Handshaking | DownState::Dismissed => {
                self.close_down(key);
            }
            DownState::Ahead(_) => {
                self.leave_ahead(key);
                self.close_down(key);
            }
            DownState::Tcp(_) => self.finish_up(key),
            DownState::Http(_) | DownState::Http2(_) => self.on_request_eof(key),
        }
    }

    fn on_down_sent(&mut self, key: Key) {
        let Some(down) = self.downs.get(key) else { return };
        if !down.io.is_clear(&self.io.driver) {
            return;
        }
        // A pipelined request may have waited for the answers before it to leave.
        let has_waited = match &down.state {
            DownState::Http(_) => !down.held.is_empty() || down.io.receiving() == Receiving::Paused,
            DownState::Http2(_) => true,
            DownState::Inspecting
            | DownState::Ahead(_)
            | DownState::Handshaking
            | DownState::Dismissed
            | DownState::Tcp(_) => false,
        };
        if has_waited {
            self.ready.push(key);
        }
        if let DownState::Http(http) = &down.state
            && let Some(stream) = http.stream
        {
            self.settle_response(stream);
        }
        if let Some(up) = self.partner_of(key) {
            self.rearm_up(up);
        }
    }

    /// The upstream's connection that this one is joined to.
    fn partner_of(&self, key: Key) -> Option<Key> {
        match &self.downs.get(key)?.state {
            DownState::Inspecting
            | DownState::Ahead(_)
            | DownState::Handshaking
            | DownState::Dismissed
            | DownState::Http2(_) => None,
            DownState::Tcp(tcp) => tcp.up,
            DownState::Http(http) => self.streams.get(http.stream?)?.up,
        }
    }

    /// Reads from the client again if its bytes can be used.
    pub(crate) fn rearm_down(&mut self, key: Key) {
        let up = self.partner_of(key).and_then(|up| self.ups.get(up));
        let is_congested = up.is_some_and(|up| up.io.is_congested(&self.io.driver));
        let Some(down) = self.downs.get_mut(key) else { return };
        if is_congested || down.is_waiting() {
            return;
        }
        let is_relayed = match &down.state {
            DownState::Tcp(_) => self.relay_up(key),
            DownState::Http(_) => self.relay_request(key),
            _ => false,
        };
        if is_relayed {
            return;
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        down.io.arm(&mut self.io.driver);
    }

    /// Chooses the filter chain by what is known now, and begins it.
    pub(crate) fn choose_chain(&mut self, key: Key) {
        if self.goes_on_ahead(key) {
            return;
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(chain) = chain::select(&down.listener, &down.facts.connection()) else {
            self.io.counters.count(Counter::NoFilterChain);
            tracing::debug!(
                listener = %down.listener.name, destination = %down.facts.destination,
                source = %down.facts.source, "no filter chain matches, closing"
            );
            self.note_refused(key, Reason::ChainNotFound);
            return self.abort_down(key);
        };
        let chain = Arc::clone(chain);
        down.chain = Some(Arc::clone(&chain));
        if !self.comes_in(key, &chain) {
            return;
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        match &chain.tls {
            None => self.begin_terminal(key),
            Some(context) => match context.accept() {
                Ok(server) => {
                    down.io.secure(Side::Server(server));
                    self.begin_handshake(key, chain.tls_timeout);
                }
                Err(error) => self.on_down_fault(key, &Fault::Tls(error)),
            },
        }
    }

    fn begin_handshake(&mut self, key: Key, limit: Option<Duration>) {
        let Some(down) = self.downs.get_mut(key) else { return };
        down.state = DownState::Handshaking;
        let limit = limit.unwrap_or(Duration::from_millis(HANDSHAKE_MS_MAX));
        let at = Some(self.io.driver.now().after(limit));
        self.io.rearm(&mut down.timer, at, Alarm::Down(key));
        // What the inspectors have looked at is the beginning of the handshake.
        let mut looked_at = std::mem::take(&mut down.held);
        while let Some(bytes) = looked_at.pop() {
            self.on_down_data(key, bytes);
        }
        if let Some(down) = self.downs.get_mut(key) {
            down.io.arm(&mut self.io.driver);
        }
    }

    /// The transport stands: judges the connection and begins the chain's last filter.
    fn begin_terminal(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        self.io.rearm(&mut down.timer, None, Alarm::Down(key));
        let Some(chain) = down.chain.clone() else { return self.abort_down(key) };
        if !is_admitted(down, &chain, &mut self.io.details) {
            if let Some(record) = &mut down.record {
                record.termination.clone_from(&self.io.details);
            }
            self.io.counters.count(Counter::NetworkRbacDenied);
            return self.abort_down(key);
        }
        match &chain.terminal {
            Terminal::Tcp(proxy) => self.begin_tcp(key, proxy),
            Terminal::Http(manager) => {
                if tells_certificates(manager)
                    && let Some(context) = &chain.tls
                {
                    down.io.tell_local_uri(context.local_uri());
                }
                let (now, share) = (self.io.driver.now(), self.io.random.share());
                let generation = self.view.generation();
                let serving = Serving::new(Arc::clone(manager), generation, now, share);
                match first_codec(manager, down.io.peer()) {
                    Some(phase) => {
                        down.state = DownState::Http(Box::new(HttpSide::new(serving, phase)));
                    }
                    None => self.begin_h2(key, serving),
                }
                self.begin_phase(key);
                self.ready.push(key);
                self.rearm_down(key);
            }
        }
    }

    fn on_down_fault(&mut self, key: Key, fault: &Fault) {
        let Some(down) = self.downs.get(key) else { return };
        match fault {
            Fault::Tls(error) => {
                self.io.counters.count(Counter::DownstreamTlsErrors);
                let source = down.facts.source;
                tracing::debug!(%source, code = error.code, %error, "TLS of a client");
            }
            Fault::Memory => self.io.counters.count(Counter::DownstreamOverflow),
        }
        // Not a reset: the alert that says why must arrive.
        self.close_down(key);
    }

    pub(crate) fn on_down_alarm(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        down.timer = None;
        match &down.state {
            DownState::Inspecting => self.on_inspect_alarm(key),
            DownState::Ahead(_) => self.on_inspect_timeout(key),
            DownState::Handshaking => self.abort_down(key),
            DownState::Dismissed => self.close_down(key),
            DownState::Tcp(_) => self.on_tcp_alarm(key),
            DownState::Http(_) => self.on_patience_alarm(key),
            DownState::Http2(_) => self.on_h2_alarm(key),
        }
    }

    /// Closes once what is queued has left.
    pub(crate) fn close_down(&mut self, key: Key) {
        if let Some(mut down) = self.forget_down(key) {
            down.io.close(&mut self.io.driver, &mut self.io.scratch);
        }
    }

    /// The same for a client that has said that this was its last request (RFC 9112, 9.6).
    pub(crate) fn leave_down(&mut self, key: Key) {
        if let Some(mut down) = self.forget_down(key) {
            down.io.leave(&mut self.io.driver, &mut self.io.scratch);
        }
    }

    /// Closes at once; the client sees a reset.
    pub(crate) fn abort_down(&mut self, key: Key) {
        if let Some(down) = self.forget_down(key) {
            self.io.driver.reset(down.io.socket);
        }
    }

    fn forget_down(&mut self, key: Key) -> Option<Down> {
        self.log_connection(key);
        let mut down = self.downs.remove(key)?;
        // Its chain may be another one by now than the one that has counted it.
        if !self.places.is_empty() {
            self.places.remove(&key.pack());
        }
        self.io.counters.count(Counter::DownstreamClosed);
        self.io.rearm(&mut down.timer, None, Alarm::Down(key));
        match &mut down.state {
            DownState::Inspecting | DownState::Handshaking | DownState::Dismissed => {}
            DownState::Tcp(tcp) | DownState::Ahead(tcp) => {
                if let Some(up) = tcp.up.take() {
                    self.close_up(up);
                }
            }
            DownState::Http(http) => {
                if let Some(stream) = http.stream.take() {
                    self.abandon(stream);
                }
            }
            DownState::Http2(two) => self.abandon_all(two),
        }
        Some(down)
    }

    /// The deadline of a state that has one.
    pub(crate) fn set_down_deadline(&mut self, key: Key, at: Option<Nanos>) {
        if let Some(down) = self.downs.get_mut(key) {
            self.io.rearm(&mut down.timer, at, Alarm::Down(key));
        }
    }
}

/// The network policies of the chain let the connection pass.
/// `refusal` says why where they do not.
pub(crate) fn is_admitted(down: &Down, chain: &FilterChain, refusal: &mut String) -> bool {
    let facts = RequestFacts {
        head: None,
        connection: &down.facts.connection(),
        peer: down.io.peer(),
        remote: down.facts.source.ip(),
    };
    let mut rules = chain.rbac.iter().filter_map(|filter| filter.rules.as_ref());
    rules.all(|rules| {
        let verdict = rbac::network(rules, &facts);
        if !verdict.allowed {
            refusal.clear();
            // Writing to a string cannot fail.
            let _ = write!(refusal, "{}", verdict.details());
            tracing::debug!(details = %refusal, source = %down.facts.source, "refused");
        }
        verdict.allowed
    })
}

/// How a connection that HTTP is spoken on begins; `None`: with HTTP/2.
fn first_codec(manager: &HttpManager, peer: Option<&Peer>) -> Option<Phase> {
    let agreed = peer.map_or(&[][..], |peer| &peer.alpn);
    match (manager.codec, agreed) {
        (Codec::Http2, _) | (Codec::Auto, b"h2") => None,
        (Codec::Auto, b"") => Some(Phase::Preface),
        (Codec::Auto | Codec::Http1, _) => Some(Phase::Head),
    }
}

fn tells_certificates(manager: &HttpManager) -> bool {
    use ForwardClientCert::{AppendForward, SanitizeSet};
    matches!(manager.client_cert.forward, AppendForward | SanitizeSet)
}
