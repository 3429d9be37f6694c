//! The asking side.

use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{IntoRequest, Response, Status};
use tonic_prost::ProstCodec;

use super::{CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse};

/// A client of the certificate service over any gRPC channel.
#[derive(Clone, Debug)]
pub struct CertificateClient<T> {
    inner: Grpc<T>,
}

impl<T> CertificateClient<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// Speaks over `channel`.
    pub fn new(channel: T) -> Self {
        Self { inner: Grpc::new(channel) }
    }

    /// Asks for a certificate. Credentials go into the request's metadata.
    pub async fn create_certificate(
        &mut self,
        request: impl IntoRequest<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.inner.ready().await.map_err(|error| {
            let cause: StdError = error.into();
            Status::unavailable(format!("the certificate service is not ready: {cause}"))
        })?;
        let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
        let codec: ProstCodec<IstioCertificateRequest, IstioCertificateResponse> =
            ProstCodec::default();
        self.inner.unary(request.into_request(), path, codec).await
    }
}
