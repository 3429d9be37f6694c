//! A gRPC server of the mesh: where it is, how it is verified, and what is shown to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Target as Place;
pub use config::bootstrap::TargetTls;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::error::AgentError;

/// How long a connection may take to be made, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 pings find a peer that has silently gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a ping may stay unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a token file at most.
const TOKEN_MAX: usize = 64 * 1024;

/// A server that gRPC is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub address: Address,
    /// How it is verified. `None`: plaintext, and then no token is sent beyond this machine.
    pub tls: Option<TargetTls>,
    /// A file whose content is sent as `authorization: Bearer …`, read anew for each stream.
    pub token_file: Option<PathBuf>,
    /// Sent with each call.
    pub metadata: Vec<(String, String)>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host (name or address) and a port.
    Tcp(String, u16),
    /// One server at several places, to be tried in turn (see [`Rotation`]).
    AnyOf(Vec<Place>),
}

/// With which of a target's places connecting begins. A place that was connected to stays the first
/// until it is said to have failed, as Envoy's round robin goes on behind a stream that broke.
#[derive(Debug, Default)]
pub struct Rotation {
    first: usize,
}

impl Rotation {
    /// The place that was connected to has not served us: the next one is tried first.
    pub fn advance(&mut self) {
        self.first = self.first.wrapping_add(1);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.places().iter().map(Place::to_string).collect();
        f.write_str(&places.join(", "))
    }
}

impl Address {
    /// Reads `host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').map_or(Some(host), |h| h.strip_suffix(']'))?;
        (!host.is_empty()).then_some(Self::Tcp(host.to_owned(), port.parse().ok()?))
    }

    fn places(&self) -> Vec<Place> {
        match self {
            Self::Tcp(host, port) => vec![Place::Tcp { host: host.clone(), port: *port }],
            Self::AnyOf(places) => places.clone(),
        }
    }
}

impl Target {
    /// Connects to the first place that answers, beginning with that of `rotation` and trying each
    /// once, and says on failure what was tried.
    pub async fn connect(&self, rotation: &mut Rotation) -> Result<Channel, AgentError> {
        let places = self.address.places();
        let begin = rotation.first.checked_rem(places.len()).unwrap_or_default();
        let mut tried: Option<AgentError> = None;
        for (at, place) in places.iter().enumerate().cycle().skip(begin).take(places.len()) {
            let error = match self.connect_to(place).await {
                Ok(channel) => {
                    rotation.first = at;
                    return Ok(channel);
                }
                Err(error) => error,
            };
            tried = Some(match tried {
                None => error,
                Some(first) => AgentError { reason: format!("{}; {error}", first.reason), ..first },
            });
        }
        Err(tried.unwrap_or_else(|| self.error("there is no place to connect to")))
    }

    async fn connect_to(&self, place: &Place) -> Result<Channel, AgentError> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.authority(place)))
            .map_err(|error| failed(place, error))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, self.dial(place))
            .await
            .map_err(|_| failed(place, format!("no connection within {CONNECT_TIMEOUT:?}")))??;
        // One connection a channel: when it breaks the caller begins anew, with fresh secrets.
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| std::io::Error::other("connection lost"));
            async move { stream }
        });
        let connected = endpoint.connect_with_connector(connector).await;
        connected.map_err(|error| failed(place, chain(&error)))
    }

    /// What goes with a call: metadata and the token as it is now.
    pub async fn metadata(&self) -> Result<MetadataMap, AgentError> {
        let mut map = MetadataMap::new();
        for (name, value) in &self.metadata {
            let key = name.to_ascii_lowercase().parse::<tonic::metadata::MetadataKey<Ascii>>();
            let pair = key.ok().zip(value.parse::<MetadataValue<Ascii>>().ok());
            let (key, value) =
                pair.ok_or_else(|| self.error(format!("metadata \"{name}\" cannot be sent")))?;
            map.append(key, value);
        }
        if let Some(path) = &self.token_file {
            map.insert("authorization", self.bearer(path).await?);
        }
        Ok(map)
    }

    async fn bearer(&self, path: &Path) -> Result<MetadataValue<Ascii>, AgentError> {
        let refused =
            |reason: String| AgentError::new("agent.token", path.display().to_string(), reason);
        if self.tls.is_none() && !self.is_local() {
            return Err(refused(format!(
                "a token is not sent to {} without TLS; configure TLS or take the token away",
                self.address
            )));
        }
        let token =
            tokio::fs::read_to_string(path).await.map_err(|error| refused(error.to_string()))?;
        let token = token.trim();
        if token.is_empty() || token.len() > TOKEN_MAX {
            return Err(refused(format!("{} bytes are no token", token.len())));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| refused("it holds characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// On this machine, where nobody listens in between.
    pub(crate) fn is_local(&self) -> bool {
        self.address.places().iter().all(|place| match place {
            Place::Unix(_) => true,
            Place::Tcp { host, .. } => {
                host == "localhost"
                    || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        })
    }

    fn authority(&self, place: &Place) -> String {
        match (&self.tls, place) {
            (Some(tls), Place::Tcp { port, .. }) => format!("{}:{port}", tls.server_name),
            (_, Place::Unix(_)) => "localhost".to_owned(),
            (None, place) => place.to_string(),
        }
    }

    async fn dial(&self, place: &Place) -> Result<Box<dyn Stream>, AgentError> {
        let stream: Box<dyn Stream> = match place {
            Place::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(|error| failed(place, error))?;
                stream.set_nodelay(true).map_err(|error| failed(place, error))?;
                Box::new(stream)
            }
            Place::Unix(path) => {
                Box::new(UnixStream::connect(path).await.map_err(|error| failed(place, error))?)
            }
        };
        let Some(tls) = &self.tls else { return Ok(stream) };
        let connector = TlsConnector::from(Arc::new(client_config(tls).await?));
        let name = ServerName::try_from(tls.server_name.clone())
            .map_err(|_| failed(place, format!("\"{}\" is not a server name", tls.server_name)))?;
        let stream = connector.connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| failed(place, format!("TLS: {error}")))?))
    }

    fn error(&self, reason: impl ToString) -> AgentError {
        failed(&self.address, reason)
    }
}

fn failed(place: &impl fmt::Display, reason: impl ToString) -> AgentError {
    AgentError::new("agent.connect", place.to_string(), reason)
}

/// Reads the files and builds a configuration that speaks HTTP/2 only.
async fn client_config(target: &TargetTls) -> Result<ClientConfig, AgentError> {
    let TargetTls { server_name: _, root_file, identity_files } = target;
    let bad = |path: &Path, reason: String| {
        AgentError::new("agent.tls_files", path.display().to_string(), reason)
    };
    let trust = tls::Trust::from_pem(&read(root_file).await?)
        .map_err(|error| bad(root_file, error.detail))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trust.certificates().iter().cloned());
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(root_file, error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match identity_files {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let identity = tls::Identity::from_pem(&read(chain).await?, &read(key).await?)
                .map_err(|error| bad(chain, error.detail))?;
            builder.with_client_cert_resolver(identity.client_resolver())
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn read(path: &Path) -> Result<Vec<u8>, AgentError> {
    tokio::fs::read(path)
        .await
        .map_err(|error| AgentError::new("agent.tls_files", path.display().to_string(), error))
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// Any byte stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

#[cfg(test)]
mod tests;
