//! `istio.v1.auth.IstioCertificateService`: a signing request in, a chain out.

mod client;
mod server;

use envoy_types::pb::google::protobuf::Struct;
use prost::{Message, Name};

pub use client::CertificateClient;
pub use server::{CertificateServer, CertificateService};

/// The gRPC service's full name.
pub const SERVICE: &str = "istio.v1.auth.IstioCertificateService";
/// The path of its one method.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// `istio.v1.auth.IstioCertificateRequest`
#[derive(Clone, PartialEq, Message)]
pub struct IstioCertificateRequest {
    /// The PKCS#10 request, PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// The lifetime that is asked for, in seconds.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// Such as `CertSigner`.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Struct>,
}

impl Name for IstioCertificateRequest {
    const NAME: &'static str = "IstioCertificateRequest";
    const PACKAGE: &'static str = "istio.v1.auth";
}

/// `istio.v1.auth.IstioCertificateResponse`
#[derive(Clone, PartialEq, Message)]
pub struct IstioCertificateResponse {
    /// PEM: the leaf, the intermediates, and as the last element the roots (there may be several
    /// certificates in it).
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}

impl Name for IstioCertificateResponse {
    const NAME: &'static str = "IstioCertificateResponse";
    const PACKAGE: &'static str = "istio.v1.auth";
}

#[cfg(test)]
mod tests;
