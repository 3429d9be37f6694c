//! One accepted connection and who is at its other end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use api::names::SpiffeId;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Who is at the other end of a connection; it stands in the extensions of each call.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// The identity in its verified client certificate, if it has shown one.
    pub identity: Option<SpiffeId>,
}

/// A plain or encrypted connection.
#[derive(Debug)]
pub struct Conn {
    stream: Transport,
    peer: Peer,
    /// Its place among the listener's connections; given back when the connection ends.
    slot: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    pub(super) fn plain(stream: TcpStream, address: SocketAddr) -> Self {
        let peer = Peer { address: Some(address), secure: false, identity: None };
        Self { stream: Transport::Plain(stream), peer, slot: None }
    }

    /// Takes a connection after its handshake. A client certificate was verified by then; here its
    /// identity is read, and one without an identity of this mesh is refused.
    pub(super) fn secure(stream: TlsStream<TcpStream>, address: SocketAddr) -> io::Result<Self> {
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity = leaf.map(identity_of).transpose().map_err(io::Error::other)?;
        let peer = Peer { address: Some(address), secure: true, identity };
        Ok(Self { stream: Transport::Tls(Box::new(stream)), peer, slot: None })
    }

    pub(super) fn hold(&mut self, slot: OwnedSemaphorePermit) {
        self.slot = Some(slot);
    }
}

/// The one SPIFFE id of a certificate.
fn identity_of(certificate: &CertificateDer<'_>) -> Result<SpiffeId, String> {
    let unreadable = |_| "the client certificate cannot be read".to_owned();
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(unreadable)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err("the client certificate does not hold exactly one URI name".to_owned());
    };
    uri.parse().map_err(|error| format!("the client certificate's URI name: {error}"))
}

impl Connected for Conn {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
