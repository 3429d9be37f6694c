//! The glue carries a request to the service and its answer back, without a socket.

use prost::Message;
use tonic::codegen::async_trait;
use tonic::{Request, Response, Status};

use super::*;

struct Echo;

#[async_trait]
impl CertificateService for Echo {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let request = request.into_inner();
        if request.csr.is_empty() {
            return Err(Status::invalid_argument("no csr"));
        }
        let cert_chain = vec![request.csr, request.validity_duration.to_string()];
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

#[tokio::test]
async fn a_request_reaches_the_service_and_its_answer_the_client() {
    let mut client = CertificateClient::new(CertificateServer::new(Echo));
    let request =
        IstioCertificateRequest { csr: "pem".into(), validity_duration: 86_400, metadata: None };
    let answer = client.create_certificate(request).await.unwrap().into_inner();
    assert_eq!(answer.cert_chain, ["pem", "86400"]);
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_text() {
    let mut client = CertificateClient::new(CertificateServer::new(Echo));
    let refusal = client.create_certificate(IstioCertificateRequest::default()).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
    assert_eq!(refusal.message(), "no csr");
}

#[test]
fn field_numbers_are_istios() {
    let request = IstioCertificateRequest { csr: "a".into(), validity_duration: 1, metadata: None };
    assert_eq!(request.encode_to_vec(), [0x0a, 1, b'a', 0x18, 1]);
}
