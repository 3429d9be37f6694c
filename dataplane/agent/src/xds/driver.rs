//! Carries the protocol over gRPC: one stream after the other, for as long as the program runs.

use std::time::Duration;

use api::envoy::ads_client::AggregatedDiscoveryServiceClient;
use api::envoy::core::Node;
use api::envoy::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{IntoRequest, Status, Streaming};

use super::{Apply, Kind, Mode, Protocol, Push, Request, Response};
use crate::backoff::Backoff;
use crate::error::AgentError;
use crate::target::{Rotation, Target};

/// Bytes of one response at most. A full push to one proxy of a mesh with thousands of services has
/// some tens of megabytes.
const MESSAGE_MAX: usize = 256 * 1024 * 1024;
/// Requests that wait to be sent at most; a stream that does not take them is given up.
const QUEUE_MAX: usize = 64;
/// How long the queue may be full.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What the client is told.
#[derive(Clone, Debug)]
pub struct XdsOptions {
    /// The form of the protocol.
    pub mode: Mode,
    /// Who we are.
    pub node: Node,
    /// The first wait before a new try.
    pub retry_first: Duration,
    /// The longest wait before a new try.
    pub retry_most: Duration,
}

impl XdsOptions {
    /// With waits of half a second up to half a minute.
    pub fn new(mode: Mode, node: Node) -> Self {
        let (retry_first, retry_most) = (Duration::from_millis(500), Duration::from_secs(30));
        Self { mode, node, retry_first, retry_most }
    }
}

/// The client of one control plane.
#[derive(Debug)]
pub struct XdsClient<A> {
    target: Target,
    rotation: Rotation,
    /// The present stream has brought something: the control plane works where it is.
    served: bool,
    protocol: Protocol,
    backoff: Backoff,
    apply: A,
}

impl<A: Apply> XdsClient<A> {
    /// Nothing is connected yet.
    pub fn new(target: Target, options: XdsOptions, apply: A) -> Self {
        let mut protocol = Protocol::new(options.mode, options.node);
        protocol.subscribe(Kind::Cluster);
        let backoff = Backoff::new(options.retry_first, options.retry_most);
        let rotation = Rotation::default();
        Self { target, rotation, served: false, protocol, backoff, apply }
    }

    /// Runs until `stop` becomes true or its sender is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let end = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                end = self.stream() => end,
            };
            self.apply.connected(false);
            if !std::mem::take(&mut self.served) {
                self.rotation.advance();
            }
            let wait = self.backoff.wait();
            let place = self.target.address.to_string();
            match end {
                Ok(()) => tracing::info!(%place, ?wait, "the control plane has ended the stream"),
                Err(error) => tracing::warn!(
                    place = %error.place, code = error.code, reason = %error.reason, ?wait,
                    "no configuration stream; the last good configuration stays in force"
                ),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One stream, from connecting to its end.
    async fn stream(&mut self) -> Result<(), AgentError> {
        let channel = self.target.connect(&mut self.rotation).await?;
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let mut metadata = self.target.metadata().await?;
        let first = self.protocol.open();
        let failed = |status: Status| stream_error(&self.target, &status);
        let (outbound, mut inbound) = match self.protocol.mode() {
            Mode::StateOfTheWorld => {
                let (sender, receiver) = mpsc::channel(QUEUE_MAX);
                let outbound = Outbound::World(sender);
                outbound.send_all(first, &self.target).await?;
                let mut request = ReceiverStream::new(receiver).into_request();
                std::mem::swap(request.metadata_mut(), &mut metadata);
                let response = client.stream_aggregated_resources(request).await;
                (outbound, Inbound::World(response.map_err(failed)?.into_inner()))
            }
            Mode::Delta => {
                let (sender, receiver) = mpsc::channel(QUEUE_MAX);
                let outbound = Outbound::Delta(sender);
                outbound.send_all(first, &self.target).await?;
                let mut request = ReceiverStream::new(receiver).into_request();
                std::mem::swap(request.metadata_mut(), &mut metadata);
                let response = client.delta_aggregated_resources(request).await;
                (outbound, Inbound::Delta(response.map_err(failed)?.into_inner()))
            }
        };
        self.apply.connected(true);
        while let Some(response) =
            inbound.next().await.map_err(|status| stream_error(&self.target, &status))?
        {
            self.served = true;
            self.backoff.reset();
            let requests = self.answer(response);
            outbound.send_all(requests, &self.target).await?;
        }
        Ok(())
    }

    /// Applies a response, and says what to send: first the answer, then changed subscriptions in
    /// the order of the kinds.
    fn answer(&mut self, response: Response) -> Vec<Request> {
        let push = match self.protocol.receive(response) {
            Ok(push) => push,
            Err(refusal) => {
                tracing::warn!("the control plane has sent resources of an unknown type");
                return vec![refusal];
            }
        };
        let mut applied = self.apply.apply(&push);
        applied.rejected.extend(push.broken.iter().cloned());
        report(&push, &applied.rejected);
        let mut requests = vec![self.protocol.settle(&push, &applied.rejected)];
        for kind in Kind::ALL {
            match applied.wants.of(kind) {
                Some(names) => requests.extend(self.protocol.want(kind, names)),
                // Listeners are asked for once the clusters that they refer to are known.
                None => requests.extend(self.protocol.subscribe(kind)),
            }
        }
        requests
    }
}

fn report(push: &Push, rejected: &[super::Rejection]) {
    let (kind, set, removed) = (push.kind, push.set.len(), push.removed.len());
    tracing::debug!(%kind, set, removed, version = push.version, "push");
    for rejection in rejected {
        tracing::warn!(
            %kind, name = rejection.name, field = rejection.field, reason = rejection.reason,
            "a resource is refused; its last good version stays in force"
        );
    }
}

fn stream_error(target: &Target, status: &Status) -> AgentError {
    let reason = format!("{:?}: {}", status.code(), status.message());
    AgentError::new("agent.stream", target.address.to_string(), reason)
}

/// The sending half.
enum Outbound {
    World(mpsc::Sender<DiscoveryRequest>),
    Delta(mpsc::Sender<DeltaDiscoveryRequest>),
}

impl Outbound {
    async fn send_all(&self, requests: Vec<Request>, target: &Target) -> Result<(), AgentError> {
        for request in requests {
            let sent = tokio::time::timeout(SEND_TIMEOUT, self.send(request)).await;
            if sent != Ok(true) {
                let reason = "the control plane does not take our requests";
                return Err(AgentError::new("agent.stream", target.address.to_string(), reason));
            }
        }
        Ok(())
    }

    async fn send(&self, request: Request) -> bool {
        match (self, request) {
            (Self::World(sender), Request::World(request)) => sender.send(*request).await.is_ok(),
            (Self::Delta(sender), Request::Delta(request)) => sender.send(*request).await.is_ok(),
            _ => false,
        }
    }
}

/// The receiving half.
enum Inbound {
    World(Streaming<DiscoveryResponse>),
    Delta(Streaming<DeltaDiscoveryResponse>),
}

impl Inbound {
    async fn next(&mut self) -> Result<Option<Response>, Status> {
        Ok(match self {
            Self::World(stream) => stream.message().await?.map(Response::World),
            Self::Delta(stream) => stream.message().await?.map(Response::Delta),
        })
    }
}

#[cfg(test)]
mod tests;
