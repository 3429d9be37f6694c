//! The side that connects.

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{IpAddr, Ipv4Addr, ServerName};

use crate::context::{Parameters, compile_provider, protocol_versions};
use crate::error::{bad_context, refusal, secret_missing};
use crate::flow::Flow;
use crate::handshake::Handshake;
use crate::identity::{Identity, Trust};
use crate::san::SanMatch;
use crate::server::ALPN_MAX;
use crate::session::{Opened, Peer, Sealed, Session, TlsError};
use crate::slot::Slot;
use crate::verify::{Rules, Verifier};

/// Servers whose sessions one context remembers, if it resumes at all.
const SESSIONS_MAX: usize = 256;

/// The same for a context that knows one server only.
const SESSIONS_OF_ONE: usize = 8;

/// `UpstreamTlsContext`, as far as it is understood.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    /// What is shown to a server that asks. `None`: nothing.
    pub identity: Option<Arc<Slot<Identity>>>,
    /// Whom the server's chain must lead to. `None`: it is not verified, as in Envoy.
    pub trust: Option<Arc<Slot<Trust>>>,
    /// Names of which the server's certificate must have one; empty: the chain is enough.
    pub san: Vec<SanMatch>,
    /// The server name to ask for. `None`: the extension is left out.
    pub sni: Option<String>,
    /// The application protocols to offer, in order of preference.
    pub alpn: Vec<Vec<u8>>,
    /// Versions, suites, resumption.
    pub parameters: Parameters,
}

/// One cluster's TLS, compiled. New handshakes follow the slots; nothing has to be rebuilt.
#[derive(Debug)]
pub struct ClientContext {
    spec: ClientSpec,
    name: ServerName<'static>,
    rules: Arc<Rules>,
    provider: Arc<CryptoProvider>,
    /// Servers whose sessions it remembers.
    sessions: usize,
    built: ArcSwapOption<Built>,
}

/// What was built from one generation of each secret.
#[derive(Debug)]
struct Built {
    generations: (u64, u64),
    verifier: Arc<Verifier>,
    config: Arc<ClientConfig>,
}

impl ClientContext {
    /// Checks the specification. The secrets need not be there yet.
    pub fn new(spec: ClientSpec) -> Result<Self, TlsError> {
        Rules::check(&spec.san, spec.trust.is_some(), "server")?;
        if spec.alpn.len() > ALPN_MAX {
            return Err(bad_context(format!("more than {ALPN_MAX} application protocols")));
        }
        let name = server_name(spec.sni.as_deref())?;
        let provider = compile_provider(&spec.parameters)?;
        let rules = Arc::new(Rules::new(spec.san.clone(), true));
        let (sessions, built) = (SESSIONS_MAX, ArcSwapOption::empty());
        Ok(Self { spec, name, rules, provider, sessions, built })
    }

    /// The same for one server: it is asked for by the name `sni` if there is one, and its
    /// certificate must have the name `san` besides what is asked of it anyway. Sessions with it
    /// are resumed under these names alone.
    pub fn for_server(&self, sni: Option<&str>, san: Option<&str>) -> Result<Self, TlsError> {
        let mut spec = self.spec.clone();
        if let Some(sni) = sni {
            spec.sni = Some(sni.to_owned());
        }
        let name = server_name(spec.sni.as_deref())?;
        let rules = match san {
            Some(san) => Arc::new(self.rules.for_server(san)),
            None => self.rules.clone(),
        };
        let (provider, sessions) = (self.provider.clone(), SESSIONS_OF_ONE);
        Ok(Self { spec, name, rules, provider, sessions, built: ArcSwapOption::empty() })
    }

    /// Whether the secrets that a handshake needs are there.
    pub fn ready(&self) -> bool {
        self.spec.identity.as_ref().is_none_or(|identity| identity.is_filled())
            && self.spec.trust.as_ref().is_none_or(|trust| trust.is_filled())
    }

    /// Application protocols are offered without an override.
    pub fn offers_protocols(&self) -> bool {
        !self.spec.alpn.is_empty()
    }

    /// Begins a handshake with the newest secrets; `output` has the ClientHello. The overrides
    /// take the place of the specification's `alpn` and `sni` for this connection. Refused with
    /// `tls.secret_missing` while a secret has not arrived.
    pub fn connect(
        &self,
        alpn_override: Option<&[Vec<u8>]>,
        sni_override: Option<&str>,
    ) -> Result<Client, TlsError> {
        let built = self.current()?;
        let name = match sni_override {
            Some(name) => server_name(Some(name))?,
            None => self.name.clone(),
        };
        let alpn = alpn_override.unwrap_or(&self.spec.alpn).to_vec();
        let engine = UnbufferedClientConnection::new_with_alpn(built.config.clone(), name, alpn)
            .map_err(|error| refusal(&error))?;
        let handshake = Handshake::new(engine, built.verifier.clone(), Vec::new());
        let mut flow = Flow::new(handshake);
        let mut peer = Peer::default();
        flow.open(&mut [], &mut Vec::new(), &mut peer)?;
        Ok(Client { flow, peer })
    }

    /// The newest configuration, for a handshake by rustls itself off the byte path, and the name
    /// to ask for. Refused as [`Self::connect`] is.
    pub fn settings(&self) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
        let built = self.current()?;
        let mut config = ClientConfig::clone(&built.config);
        config.alpn_protocols = self.spec.alpn.clone();
        Ok((Arc::new(config), self.name.clone()))
    }

    /// The configuration for the newest secrets, built once for each generation of them.
    fn current(&self) -> Result<Arc<Built>, TlsError> {
        let generations = (
            self.spec.identity.as_ref().map_or(0, |identity| identity.generation()),
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
        let identity = filled(self.spec.identity.as_ref())?;
        let trust = filled(self.spec.trust.as_ref())?;
        let verifier =
            Arc::new(Verifier::of_servers(self.rules.clone(), trust, self.provider.clone()));
        let base = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(protocol_versions(self.spec.parameters.versions)?)
            .map_err(|error| bad_context(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let mut config = match identity {
            Some(identity) => {
                let key = CertifiedKey::clone(&identity.certified_key());
                base.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
            None => base.with_no_client_auth(),
        };
        config.enable_secret_extraction = true;
        // A server that selects what was not offered is still refused.
        config.resumption = match self.spec.parameters.resumption {
            true => Resumption::in_memory_sessions(self.sessions),
            false => Resumption::disabled(),
        };
        Ok(Built { generations, verifier, config: Arc::new(config) })
    }
}

/// The value of a slot that is asked for.
fn filled<T>(slot: Option<&Arc<Slot<T>>>) -> Result<Option<Arc<T>>, TlsError> {
    match slot {
        Some(slot) => Ok(Some(slot.get().ok_or_else(|| secret_missing(slot.name()))?)),
        None => Ok(None),
    }
}

/// A name to ask for. rustls sends none for an address, so the unspecified address stands for none.
fn server_name(sni: Option<&str>) -> Result<ServerName<'static>, TlsError> {
    match sni {
        None | Some("") => Ok(ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4])))),
        Some(name) => ServerName::try_from(name.to_owned())
            .map_err(|_| bad_context(format!("\"{name}\" is not a server name"))),
    }
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct Client {
    flow: Flow<UnbufferedClientConnection>,
    peer: Peer,
}

impl Session for Client {
    fn open(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
    ) -> Result<Opened, TlsError> {
        self.flow.open(input, plain, &mut self.peer)
    }

    fn seal_pieces(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, TlsError> {
        self.flow.seal(plain, out)
    }

    fn output(&mut self, out: &mut Vec<u8>) {
        self.flow.output(out);
    }

    fn close(&mut self) {
        self.flow.close();
    }

    fn is_handshaking(&self) -> bool {
        self.flow.is_handshaking()
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}

#[cfg(test)]
impl Client {
    pub(crate) fn flow(&mut self) -> &mut Flow<UnbufferedClientConnection> {
        &mut self.flow
    }
}

#[cfg(test)]
mod tests;
