//! The HTTP side: HTTP/1.1, and HTTP/2 for whoever begins with its preface.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};

use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue, UPGRADE},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpStream, sync::watch, time};

use super::{
    EchoSpec,
    answer::{Received, Text, Wish, is_upgrade},
    server::stopped,
    tcp,
};

/// Serves one connection until it closes or the server stops; then what is being answered is
/// answered first.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    spec: Arc<EchoSpec>,
    mut stop: watch::Receiver<bool>,
) {
    let until = stop.clone();
    let service =
        service_fn(move |request| respond(request, peer, Arc::clone(&spec), until.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
            }
            return;
        }
        () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn respond(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    spec: Arc<EchoSpec>,
    stop: watch::Receiver<bool>,
) -> Result<Response<Text>, Infallible> {
    if is_upgrade(&request) {
        return Ok(switch(&mut request, stop));
    }
    let (parts, mut body) = request.into_parts();
    let mut received = Received::default();
    while let Some(frame) = body.frame().await {
        // A body that breaks off breaks its connection: the answer will not matter.
        let Ok(frame) = frame else { break };
        received.add(frame.data_ref().map_or(&[], |data| data));
    }
    let wish = Wish::of(&spec, &parts);
    if !wish.delay.is_zero() {
        time::sleep(wish.delay).await;
    }
    Ok(wish.answer(&spec, &parts, peer, received))
}

/// Agrees to whatever protocol is asked for and echoes its bytes.
fn switch(request: &mut Request<Incoming>, stop: watch::Receiver<bool>) -> Response<Text> {
    let protocol = request.headers().get(UPGRADE).cloned();
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => tcp::echo(TokioIo::new(stream), stop).await,
            Err(error) => tracing::debug!(%error, "no upgrade"),
        }
    });
    let mut response = Response::new(Text::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
    response
}
