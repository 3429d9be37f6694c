//! The way to a host of a cluster: TCP, and TLS where the cluster has it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::snapshot::{ProxyVersion, UpstreamTransport};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// Any byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A host, and how it is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'w> {
    /// Its address.
    pub(crate) target: SocketAddr,
    /// The local address to connect from.
    pub(crate) bind: Option<IpAddr>,
    /// TLS or none, and what stands before it.
    pub(crate) transport: &'w UpstreamTransport,
    /// The application protocols to offer; empty: the cluster's.
    pub(crate) alpn: &'w [Vec<u8>],
    /// Offered where neither says anything.
    pub(crate) usual: Option<&'w [u8]>,
}

impl Way<'_> {
    /// Connects. The caller has the deadline.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let Self { target, bind, transport, alpn, usual } = *self;
        let socket = match target.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        if let Some(bind) = bind.filter(|bind| bind.is_ipv4() == target.is_ipv4()) {
            socket.bind((bind, 0).into())?;
        }
        let mut stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        if let Some(version) = transport.proxy() {
            stream.write_all(&header(version, &stream)?).await?;
        }
        let Some(context) = transport.tls() else { return Ok(Box::new(stream)) };
        let (mut config, name) = context.settings().map_err(io::Error::other)?;
        if !alpn.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = alpn.to_vec();
        } else if config.alpn_protocols.is_empty() {
            let usual = usual.map(<[u8]>::to_vec);
            Arc::make_mut(&mut config).alpn_protocols.extend(usual);
        }
        Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
    }

    /// The scheme of requests.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.transport.tls().is_some() { "https" } else { "http" }
    }
}

/// The header of a proxy that speaks for itself: in version 1, as in Envoy, with its own addresses.
fn header(version: ProxyVersion, stream: &TcpStream) -> io::Result<Vec<u8>> {
    Ok(match version {
        ProxyVersion::V1 => {
            let (from, to) = (stream.local_addr()?, stream.peer_addr()?);
            let kind = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let ports = (from.port(), to.port());
            format!("PROXY {kind} {} {} {} {}\r\n", from.ip(), to.ip(), ports.0, ports.1).into()
        }
        ProxyVersion::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
    })
}
