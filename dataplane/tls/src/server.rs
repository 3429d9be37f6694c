//! The side that is connected to.

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::context::{Parameters, compile_provider, protocol_versions};
use crate::error::{bad_context, refusal, secret_missing};
use crate::flow::Flow;
use crate::greeting::{Greeting, Heard};
use crate::handshake::Handshake;
use crate::identity::{Identity, Trust};
use crate::san::SanMatch;
use crate::session::{Opened, Peer, Sealed, Session, TlsError};
use crate::slot::Slot;
use crate::verify::{Rules, Verifier};

/// Application protocols in one list at most.
pub const ALPN_MAX: usize = 32;

/// `DownstreamTlsContext`, as far as it is understood.
#[derive(Debug)]
pub struct ServerSpec {
    /// What is shown to the client.
    pub identity: Arc<Slot<Identity>>,
    /// Whom a client's chain must lead to. `None`: it is not verified.
    pub trust: Option<Arc<Slot<Trust>>>,
    /// A client without a certificate is refused.
    pub require_client_certificate: bool,
    /// Names of which the client's certificate must have one; empty: the chain is enough.
    pub san: Vec<SanMatch>,
    /// The application protocols in order of preference. If the client offers none of them the
    /// handshake goes on without one, as in Envoy.
    pub alpn: Vec<Vec<u8>>,
    /// Versions, suites, resumption.
    pub parameters: Parameters,
}

/// One listener's TLS, compiled. New handshakes follow the slots; nothing has to be rebuilt.
#[derive(Debug)]
pub struct ServerContext {
    spec: ServerSpec,
    rules: Arc<Rules>,
    provider: Arc<rustls::crypto::CryptoProvider>,
    built: ArcSwapOption<Built>,
}

/// What was built from one generation of each secret.
#[derive(Debug)]
pub(crate) struct Built {
    generations: (u64, u64),
    verifier: Arc<Verifier>,
    /// With the application protocols of the specification.
    with_alpn: Arc<ServerConfig>,
    /// With none, for clients that offer only others.
    without_alpn: Arc<ServerConfig>,
}

impl ServerContext {
    /// Checks the specification. The secrets need not be there yet.
    pub fn new(spec: ServerSpec) -> Result<Self, TlsError> {
        Rules::check(&spec.san, spec.trust.is_some(), "client")?;
        if spec.alpn.len() > ALPN_MAX {
            return Err(bad_context(format!("more than {ALPN_MAX} application protocols")));
        }
        let provider = compile_provider(&spec.parameters)?;
        let rules = Arc::new(Rules::new(spec.san.clone(), spec.require_client_certificate));
        Ok(Self { spec, rules, provider, built: ArcSwapOption::empty() })
    }

    /// Whether the secrets that a handshake needs are there.
    pub fn ready(&self) -> bool {
        self.spec.identity.is_filled() && self.spec.trust.as_ref().is_none_or(|t| t.is_filled())
    }

    /// Our own SPIFFE id, as the next handshake shows it; empty if we have none.
    pub fn local_uri(&self) -> String {
        let identity = self.spec.identity.get();
        identity.and_then(|own| own.spiffe_id().map(str::to_owned)).unwrap_or_default()
    }

    /// Begins a handshake with the newest secrets. Refused with `tls.secret_missing` while one of
    /// them has not arrived.
    pub fn accept(&self) -> Result<Server, TlsError> {
        let built = self.current()?;
        Ok(Server { state: State::Hello(Box::new(Greeting::new(built))), peer: Peer::default() })
    }

    /// The configuration for the newest secrets, built once for each generation of them.
    fn current(&self) -> Result<Arc<Built>, TlsError> {
        let generations = (
            self.spec.identity.generation(),
            self.spec.trust.as_ref().map_or(0, |trust| trust.generation()),
        );
        if let Some(built) = self.built.load_full()
            && built.generations == generations
        {
            return Ok(built);
        }
        let built = Arc::new(self.build(generations)?);
        self.built.store(Some(built.clone()));
        Ok(built)
    }

    fn build(&self, generations: (u64, u64)) -> Result<Built, TlsError> {
        let identity =
            self.spec.identity.get().ok_or_else(|| secret_missing(self.spec.identity.name()))?;
        let trust = match &self.spec.trust {
            Some(slot) => Some(slot.get().ok_or_else(|| secret_missing(slot.name()))?),
            None => None,
        };
        let verifier =
            Arc::new(Verifier::of_clients(self.rules.clone(), trust, self.provider.clone())?);
        let base = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(protocol_versions(self.spec.parameters.versions)?)
            .map_err(|error| bad_context(error.to_string()))?;
        let base = match verifier.asks_for_certificate() {
            true => base.with_client_cert_verifier(verifier.clone()),
            false => base.with_no_client_auth(),
        };
        let key = CertifiedKey::clone(&identity.certified_key());
        let mut config = base.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.enable_secret_extraction = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if self.spec.parameters.resumption {
            config.ticketer = Ticketer::new().map_err(|error| bad_context(error.to_string()))?;
            config.send_tls13_tickets = 1;
        }
        let without_alpn = Arc::new(config.clone());
        config.alpn_protocols.clone_from(&self.spec.alpn);
        Ok(Built { generations, verifier, with_alpn: Arc::new(config), without_alpn })
    }
}

impl Built {
    /// Whether this is one of the application protocols of the specification.
    pub(crate) fn speaks(&self, protocol: &[u8]) -> bool {
        self.with_alpn.alpn_protocols.iter().any(|ours| ours == protocol)
    }
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct Server {
    state: State,
    peer: Peer,
}

/// Where it stands.
#[derive(Debug)]
enum State {
    /// Waits for the whole ClientHello.
    Hello(Box<Greeting>),
    /// Has seen it.
    Flow(Flow<UnbufferedServerConnection>),
}

impl Session for Server {
    fn open(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
    ) -> Result<Opened, TlsError> {
        match &mut self.state {
            State::Flow(flow) => flow.open(input, plain, &mut self.peer),
            State::Hello(greeting) => match greeting.hear(input)? {
                Heard::More => Ok(Opened { consumed: input.len(), closed: false }),
                Heard::Hello(hello) => {
                    self.peer.sni = hello.sni;
                    let config = match hello.speaks_ours {
                        true => hello.built.with_alpn.clone(),
                        false => hello.built.without_alpn.clone(),
                    };
                    let engine =
                        UnbufferedServerConnection::new(config).map_err(|error| refusal(&error))?;
                    let verifier = hello.built.verifier.clone();
                    let mut flow = Flow::new(Handshake::new(engine, verifier, hello.before));
                    let opened = flow.open(input, plain, &mut self.peer);
                    self.state = State::Flow(flow);
                    opened
                }
            },
        }
    }

    fn seal_pieces(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, TlsError> {
        match &mut self.state {
            State::Flow(flow) => flow.seal(plain, out),
            State::Hello(_) => Ok(Sealed::default()),
        }
    }

    fn output(&mut self, out: &mut Vec<u8>) {
        match &mut self.state {
            State::Flow(flow) => flow.output(out),
            State::Hello(greeting) => greeting.output(out),
        }
    }

    fn close(&mut self) {
        match &mut self.state {
            State::Flow(flow) => flow.close(),
            State::Hello(greeting) => greeting.close(),
        }
    }

    fn is_handshaking(&self) -> bool {
        match &self.state {
            State::Flow(flow) => flow.is_handshaking(),
            State::Hello(_) => true,
        }
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}

#[cfg(test)]
impl Server {
    pub(crate) fn flow(&mut self) -> &mut Flow<UnbufferedServerConnection> {
        match &mut self.state {
            State::Flow(flow) => flow,
            State::Hello(_) => panic!("it waits for the ClientHello"),
        }
    }
}

#[cfg(test)]
mod tests;
