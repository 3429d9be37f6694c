//! Listening sockets: accepts, shakes hands, and hands connections with their peer to tonic.

mod conn;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

pub use conn::{Conn, Peer};
pub use tls::{OwnCertificate, acceptor};

/// The most connections of one listener at a time.
pub const CONNECTIONS_MAX: usize = 16_384;
/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `stopping` turns true or the receiver goes away.
pub fn incoming(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stopping: watch::Receiver<bool>,
) -> ReceiverStream<io::Result<Conn>> {
    let (outlet, connections) = mpsc::channel(64);
    tokio::spawn(accept(listener, tls, stopping, outlet));
    ReceiverStream::new(connections)
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stopping: watch::Receiver<bool>,
    outlet: mpsc::Sender<io::Result<Conn>>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = outlet.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "accepting a connection failed; pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, outlet) = (tls.clone(), outlet.clone());
        tokio::spawn(async move {
            match shake_hands(stream, address, tls).await {
                Ok(mut conn) => {
                    conn.hold(slot);
                    let _ = outlet.send(Ok(conn)).await;
                }
                Err(error) => debug!(%address, %error, "a connection was not taken"),
            }
        });
    }
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) -> io::Result<Conn> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Conn::plain(stream, address)) };
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Conn::secure(stream, address)
}
