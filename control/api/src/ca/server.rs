//! The answering side.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, BoxFuture, Service, StdError, async_trait, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse, SERVICE};

/// What a certificate authority has to answer.
#[async_trait]
pub trait CertificateService: Send + Sync + 'static {
    /// Signs the request for the identity that the caller has shown, or refuses.
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status>;
}

/// Makes a [`CertificateService`] a service of a tonic server.
#[derive(Debug)]
pub struct CertificateServer<S> {
    service: Arc<S>,
}

impl<S> CertificateServer<S> {
    /// Serves `service`.
    pub fn new(service: S) -> Self {
        Self { service: Arc::new(service) }
    }
}

impl<S> Clone for CertificateServer<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<S> NamedService for CertificateServer<S> {
    const NAME: &'static str = SERVICE;
}

impl<S, B> Service<http::Request<B>> for CertificateServer<S>
where
    S: CertificateService,
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != CREATE_CERTIFICATE {
            return Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) });
        }
        let method = CreateCertificate(Arc::clone(&self.service));
        Box::pin(async move {
            let codec: ProstCodec<IstioCertificateResponse, IstioCertificateRequest> =
                ProstCodec::default();
            Ok(Grpc::new(codec).unary(method, request).await)
        })
    }
}

struct CreateCertificate<S>(Arc<S>);

impl<S: CertificateService> UnaryService<IstioCertificateRequest> for CreateCertificate<S> {
    type Response = IstioCertificateResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<IstioCertificateRequest>) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.create_certificate(request).await })
    }
}
