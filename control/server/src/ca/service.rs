//! `istio.v1.auth.IstioCertificateService` over the authority.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use api::ca::{CertificateService, IstioCertificateRequest, IstioCertificateResponse};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::{Authority, CaError, public_key_of_csr};
use crate::auth::Authenticator;
use crate::push::Counters;

/// Signs requests for the identity that the caller has shown, and for no other.
#[derive(Debug)]
pub struct CertificateAuthorityService {
    authority: Arc<Authority>,
    authenticator: Arc<Authenticator>,
    counters: Arc<Counters>,
}

impl CertificateAuthorityService {
    /// Serves `authority` to callers whom `authenticator` knows.
    pub fn new(
        authority: Arc<Authority>,
        authenticator: Arc<Authenticator>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { authority, authenticator, counters }
    }
}

#[tonic::async_trait]
impl CertificateService for CertificateAuthorityService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let identity = self.authenticator.identify(request.metadata(), request.extensions())?;
        let request = request.into_inner();
        let ttl = Duration::from_secs(request.validity_duration.max(0).unsigned_abs());
        let issued = public_key_of_csr(&request.csr)
            .and_then(|key| self.authority.sign(&identity, &key, SystemTime::now(), ttl))
            .map_err(|error| {
                warn!(%identity, %error, "certificate refused");
                status(&error)
            })?;
        self.counters.certificates.fetch_add(1, Ordering::Relaxed);
        info!(%identity, ttl_s = ttl.as_secs(), "certificate issued");
        let cert_chain = vec![issued.certificate_pem, self.authority.root_pem().to_owned()];
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

fn status(error: &CaError) -> Status {
    match error {
        CaError::Csr | CaError::CsrSignature | CaError::Key | CaError::Lifetime(_) => {
            Status::invalid_argument(error.to_string())
        }
        CaError::RootExpired => Status::failed_precondition(error.to_string()),
        CaError::Library(_) => Status::internal(error.to_string()),
    }
}
