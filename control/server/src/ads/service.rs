//! The gRPC services: aggregated discovery, and secrets alone.

use std::pin::Pin;
use std::sync::Arc;

use api::names::SpiffeId;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server as ads;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server as sds;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::client::Caller;
use super::stream::{StreamContext, run};
use super::{Delta, Protocol, Sotw};
use crate::auth::Authenticator;
use crate::listen::Peer;

type Responses<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`.
#[derive(Debug)]
pub struct Discovery {
    context: StreamContext,
    /// `None` on the plaintext port, where nobody has an identity and no secret is served.
    authenticator: Option<Arc<Authenticator>>,
}

/// `envoy.service.secret.v3.SecretDiscoveryService`.
#[derive(Debug)]
pub struct SecretDiscovery {
    context: StreamContext,
    authenticator: Arc<Authenticator>,
}

impl Discovery {
    /// With an authenticator, only callers with credentials are served.
    pub fn new(context: StreamContext, authenticator: Option<Arc<Authenticator>>) -> Self {
        Self { context, authenticator }
    }

    fn open<P: Protocol>(
        &self,
        request: Request<Streaming<P::Request>>,
    ) -> Result<Response<Responses<P::Response>>, Status> {
        let identify =
            |a: &Arc<Authenticator>| a.identify(request.metadata(), request.extensions());
        let identity = self.authenticator.as_ref().map(identify).transpose()?;
        Ok(open::<P>(&self.context, identity, request))
    }
}

impl SecretDiscovery {
    /// Serves secrets to callers whom `authenticator` knows.
    pub fn new(context: StreamContext, authenticator: Arc<Authenticator>) -> Self {
        Self { context, authenticator }
    }

    fn open<P: Protocol>(
        &self,
        request: Request<Streaming<P::Request>>,
    ) -> Result<Response<Responses<P::Response>>, Status> {
        let identity = self.authenticator.identify(request.metadata(), request.extensions())?;
        Ok(open::<P>(&self.context, Some(identity), request))
    }
}

#[tonic::async_trait]
impl ads::AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses<DiscoveryResponse>>, Status> {
        self.open::<Sotw>(request)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses<DeltaDiscoveryResponse>>, Status> {
        self.open::<Delta>(request)
    }
}

#[tonic::async_trait]
impl sds::SecretDiscoveryService for SecretDiscovery {
    type StreamSecretsStream = Responses<DiscoveryResponse>;
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses<DiscoveryResponse>>, Status> {
        self.open::<Sotw>(request)
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses<DeltaDiscoveryResponse>>, Status> {
        self.open::<Delta>(request)
    }

    async fn fetch_secrets(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("polling for secrets is not served: use StreamSecrets"))
    }
}

fn open<P: Protocol>(
    context: &StreamContext,
    identity: Option<SpiffeId>,
    request: Request<Streaming<P::Request>>,
) -> Response<Responses<P::Response>> {
    let caller = Caller { peer: request.extensions().get::<Peer>().cloned(), identity };
    let (outlet, responses) = mpsc::channel(1);
    tokio::spawn(run::<P>(context.clone(), caller, request.into_inner(), outlet));
    Response::new(Box::pin(ReceiverStream::new(responses)))
}
