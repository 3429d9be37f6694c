//! One client's stream: drives its state machine with requests and new generations.
//!
//! A push is computed only when everything before it has been taken by the client's connection.
//! A slow client therefore has at most one pending push, and that one carries the newest state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tracing::warn;

use super::Kind;
use super::client::{Caller, Client};
use super::protocol::Protocol;
use crate::push::Hub;
use crate::sds::SecretIssuer;

/// How long a client may take to send its first message.
pub const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Responses that may wait for a client; with more, its requests are not read.
pub const OUTBOX_MAX: usize = 16;

/// What all streams of one service share.
#[derive(Clone, Debug)]
pub struct StreamContext {
    /// Where the state of the mesh comes from.
    pub hub: Arc<Hub>,
    /// Where secrets come from; `None` where none are served.
    pub secrets: Option<Arc<SecretIssuer>>,
    /// The types that are served.
    pub kinds: &'static [Kind],
    /// `ads` or `sds`.
    pub service: &'static str,
    /// Turns true when the program is to end.
    pub stopping: watch::Receiver<bool>,
}

/// The way to a client; its receiving half is the body of the response.
pub(super) type Outlet<R> = mpsc::Sender<Result<R, Status>>;

/// Runs a stream to its end; a refusal becomes the stream's status.
pub(super) async fn run<P: Protocol>(
    context: StreamContext,
    caller: Caller,
    mut requests: impl Stream<Item = Result<P::Request, Status>> + Unpin + Send,
    outlet: Outlet<P::Response>,
) {
    let counters = Arc::clone(&context.hub.counters);
    let Err(status) = follow::<P>(context, caller, &mut requests, &outlet).await else { return };
    if !matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Cancelled) {
        counters.refused_streams.fetch_add(1, Ordering::Relaxed);
        warn!(code = ?status.code(), reason = status.message(), "stream ended");
    }
    let _ = outlet.send(Err(status)).await;
}

async fn follow<P: Protocol>(
    mut context: StreamContext,
    caller: Caller,
    requests: &mut (impl Stream<Item = Result<P::Request, Status>> + Unpin + Send),
    outlet: &Outlet<P::Response>,
) -> Result<(), Status> {
    let late = |_| Status::deadline_exceeded("no request within 10 s of opening the stream");
    let first = tokio::time::timeout(FIRST_MESSAGE_TIMEOUT, requests.next()).await.map_err(late)?;
    let Some(first) = first.transpose()? else { return Ok(()) };
    let mut generations = context.hub.subscribe();
    let newest = Arc::clone(&generations.borrow_and_update());
    let mut client = Client::<P>::admit(&context, caller, &first, newest)?;
    client.request(first)?;
    loop {
        client.push_if_due();
        client.report(Instant::now());
        tokio::select! {
            biased;
            _ = context.stopping.wait_for(|stopping| *stopping) => {
                return Err(Status::unavailable("ringwayd is stopping"));
            }
            permit = outlet.reserve(), if client.has_output() => {
                let Ok(permit) = permit else { return Ok(()) };
                if let Some(response) = client.take_output() {
                    permit.send(Ok(response));
                }
            }
            request = requests.next(), if client.has_room() => match request {
                Some(request) => client.request(request?)?,
                None => return Ok(()),
            },
            changed = generations.changed() => match changed {
                Ok(()) => client.announce(Arc::clone(&generations.borrow_and_update())),
                Err(_) => return Ok(()),
            },
            () = until(client.renewal()) => client.renew(),
        }
    }
}

/// Sleeps until `deadline`; without one, for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
