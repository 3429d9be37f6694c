//! Listening, and stopping without cutting anyone off.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time,
};

use super::{BODY_BYTES_MAX, DELAY_MAX, EchoSpec, Error, http, tcp};

/// The most connections of one listener; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4096;

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Echo {
    /// Where HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where TCP is served.
    pub tcp: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Tcp,
}

impl Echo {
    /// Listens and serves, on the runtime that this is called from.
    pub async fn start(spec: EchoSpec) -> Result<Self, Error> {
        check(&spec)?;
        let (stop, stopped) = watch::channel(false);
        let mut echo = Self { http: None, tcp: None, stop, listeners: Vec::new() };
        let spec = Arc::new(spec);
        for (kind, address) in [(Kind::Http, spec.http), (Kind::Tcp, spec.tcp)] {
            let Some(address) = address else { continue };
            let listener = bind(address).await?;
            let bound = listener.local_addr().unwrap_or(address);
            match kind {
                Kind::Http => echo.http = Some(bound),
                Kind::Tcp => echo.tcp = Some(bound),
            }
            let task = tokio::spawn(accept(listener, kind, Arc::clone(&spec), stopped.clone()));
            echo.listeners.push(Listener(task));
        }
        Ok(echo)
    }

    /// Accepts nothing more, lets what is under way finish for so long, then ends the rest. Says
    /// whether all of it finished.
    pub async fn stop(mut self, grace: Duration) -> bool {
        let _ = self.stop.send(true);
        let finish = async {
            for listener in &mut self.listeners {
                let _ = (&mut listener.0).await;
            }
        };
        time::timeout(grace, finish).await.is_ok()
    }
}

/// Returns when the server is to stop, or is gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn check(spec: &EchoSpec) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::Spec(reason.into()));
    match spec {
        _ if spec.http.is_none() && spec.tcp.is_none() => refuse("neither HTTP nor TCP"),
        _ if !(200..=999).contains(&spec.status) => refuse("the status must be 200 to 999"),
        _ if spec.delay > DELAY_MAX => refuse("the delay must be at most 60 s"),
        _ if spec.body_bytes.is_some_and(|bytes| bytes > BODY_BYTES_MAX) => {
            refuse("the body must be at most 64 MiB")
        }
        _ if !spec.version.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            refuse("the version must be plain ASCII")
        }
        _ => Ok(()),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

async fn accept(
    listener: TcpListener,
    kind: Kind,
    spec: Arc<EchoSpec>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut connections, watch) = (JoinSet::new(), stop.clone());
    loop {
        let has_room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    let serve = serve(stream, peer, kind, Arc::clone(&spec), watch.clone());
                    connections.spawn(serve);
                }
                // Out of file descriptors, most likely: some will be free in a moment.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    kind: Kind,
    spec: Arc<EchoSpec>,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    match kind {
        Kind::Http => http::serve(stream, peer, spec, stop).await,
        Kind::Tcp => tcp::echo(stream, stop).await,
    }
}
