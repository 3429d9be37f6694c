//! Binds the three ports and serves them until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::ca::CertificateServer;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server as ads;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server as sds;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tracing::{error, warn};

use crate::ads::{Discovery, Kind, SecretDiscovery, StreamContext};
use crate::auth::{Authenticator, TokenVerifier};
use crate::ca::{Authority, CaError, CertificateAuthorityService, ServerNames};
use crate::listen::{OwnCertificate, acceptor, incoming};
use crate::monitoring::{ConfigHealth, Monitoring};
use crate::push::Hub;
use crate::sds::SecretIssuer;

/// The most bytes of one message from a client.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The most calls at a time on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// How long a stop waits for streams to end.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to listen; port 0 lets the system choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// xDS without TLS and without secrets (15010).
    pub xds: SocketAddr,
    /// xDS, secrets and certificates over TLS (15012).
    pub secure: SocketAddr,
    /// Monitoring over HTTP (15014).
    pub monitoring: SocketAddr,
}

/// What is served.
#[derive(Debug)]
pub struct Services {
    /// The state of the mesh.
    pub hub: Arc<Hub>,
    /// How well the configuration was read.
    pub health: Arc<ConfigHealth>,
    /// Signs certificates.
    pub authority: Arc<Authority>,
    /// Checks tokens.
    pub tokens: TokenVerifier,
    /// The names in ringwayd's own certificate.
    pub names: ServerNames,
    /// The life of certificates that are served as secrets.
    pub workload_ttl: Duration,
}

/// Why serving could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port is taken or not allowed.
    #[error("cannot listen on {address} ({flag}): {source}; try: another address with {flag}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No certificate for ringwayd itself.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] CaError),
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Services {
    /// Binds all ports, then serves on them.
    pub async fn start(self, addresses: Addresses) -> Result<Running, ServeError> {
        let (xds, xds_at) = bind(addresses.xds, "--xds-address").await?;
        let (secure, secure_at) = bind(addresses.secure, "--secure-address").await?;
        let (http, monitoring_at) = bind(addresses.monitoring, "--monitoring-address").await?;
        let (own, due) = OwnCertificate::issue(
            Arc::clone(&self.authority),
            self.names.clone(),
            SystemTime::now(),
        )?;
        let tls = acceptor(&own)?;
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&own).keep_fresh(due));
        let monitoring = Monitoring::new(Arc::clone(&self.hub), Arc::clone(&self.health));
        tasks.spawn(monitoring.serve(http, stopping.clone()));
        tasks.spawn(self.plain(xds, stopping.clone()));
        tasks.spawn(self.secure(secure, tls, stopping));
        let addresses = Addresses { xds: xds_at, secure: secure_at, monitoring: monitoring_at };
        Ok(Running { addresses, stop, tasks })
    }

    fn context(
        &self,
        service: &'static str,
        kinds: &'static [Kind],
        stopping: &watch::Receiver<bool>,
    ) -> StreamContext {
        let (hub, stopping) = (Arc::clone(&self.hub), stopping.clone());
        StreamContext { hub, secrets: None, kinds, service, stopping }
    }

    /// The plaintext port: no identity, and never a secret.
    fn plain(
        &self,
        listener: TcpListener,
        stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        const KINDS: &[Kind] = &[Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];
        let discovery = Discovery::new(self.context("ads", KINDS, &stopping), None);
        let router = builder().add_service(limit(discovery));
        let connections = incoming(listener, None, stopping.clone());
        async move {
            let served = router.serve_with_incoming_shutdown(connections, stopped(stopping)).await;
            log_end("xds", served);
        }
    }

    /// The secure port: every call needs credentials.
    fn secure(
        &self,
        listener: TcpListener,
        tls: tokio_rustls::TlsAcceptor,
        stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let (hub, authority) = (&self.hub, &self.authority);
        let authenticator = Authenticator::new(authority.trust_domain(), self.tokens.clone());
        let counters = Arc::clone(&hub.counters);
        let secrets = Some(SecretIssuer::new(
            Arc::clone(authority),
            Arc::clone(&counters),
            self.workload_ttl,
        ));
        let mesh = self.context("ads", &Kind::ALL, &stopping);
        let mesh = StreamContext { secrets: secrets.clone(), ..mesh };
        let alone = self.context("sds", &[Kind::Secret], &stopping);
        let alone = StreamContext { secrets, ..alone };
        let certificates = CertificateAuthorityService::new(
            Arc::clone(authority),
            Arc::clone(&authenticator),
            counters,
        );
        let router = builder()
            .add_service(limit(Discovery::new(mesh, Some(Arc::clone(&authenticator)))))
            .add_service(
                sds::SecretDiscoveryServiceServer::new(SecretDiscovery::new(alone, authenticator))
                    .max_decoding_message_size(MESSAGE_BYTES_MAX),
            )
            .add_service(CertificateServer::new(certificates));
        let connections = incoming(listener, Some(tls), stopping.clone());
        async move {
            let served = router.serve_with_incoming_shutdown(connections, stopped(stopping)).await;
            log_end("secure", served);
        }
    }
}

impl Running {
    /// Ends streams and listeners; what has not ended after [`STOP_TIMEOUT`] is cut.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(STOP_TIMEOUT, async {
            // The renewal of the certificate runs for ever: all but one task end by themselves.
            while self.tasks.len() > 1 && self.tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            warn!("not every stream has ended in 5 s; the rest is cut");
        }
        self.tasks.shutdown().await;
    }
}

async fn bind(
    address: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { address, flag, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
}

fn limit(discovery: Discovery) -> ads::AggregatedDiscoveryServiceServer<Discovery> {
    ads::AggregatedDiscoveryServiceServer::new(discovery)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn log_end(port: &str, served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        error!(port, %error, "serving ended");
    }
}
