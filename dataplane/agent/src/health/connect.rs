//! The way to a host: TCP, and TLS where its cluster has it.

use std::io;
use std::sync::Arc;

use config::health::Probe;
use config::snapshot::UpstreamTransport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// Any byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects. The caller has the deadline.
pub(super) async fn connect(probe: &Probe) -> io::Result<Box<dyn Stream>> {
    let socket = match probe.target.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    if let Some(bind) = probe.bind.filter(|bind| bind.is_ipv4() == probe.target.is_ipv4()) {
        socket.bind((bind, 0).into())?;
    }
    let stream = socket.connect(probe.target).await?;
    stream.set_nodelay(true)?;
    let UpstreamTransport::Tls(context) = &probe.transport else { return Ok(Box::new(stream)) };
    let (mut config, name) = context.settings().map_err(io::Error::other)?;
    if !probe.check.alpn.is_empty() {
        Arc::make_mut(&mut config).alpn_protocols = probe.check.alpn.clone();
    }
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}

/// Nothing of the protocol is offered by TLS beyond what the check or the cluster says.
pub(super) fn scheme(probe: &Probe) -> &'static str {
    match probe.transport {
        UpstreamTransport::Raw => "http",
        UpstreamTransport::Tls(_) => "https",
    }
}
