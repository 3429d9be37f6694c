//! Asks the mesh's certificate authority.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::ca::{CertificateClient, IstioCertificateRequest};
use api::envoy::protobuf::{Struct, Value, value};
use tls::{Identity, Trust};
use tonic::Request;

use super::{Issued, signing_request};
use crate::error::AgentError;
use crate::target::{Rotation, Target};

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Elements of a chain in an answer at most.
const CHAIN_MAX: usize = 16;

/// Makes a key, has it signed, and checks what came: that the key fits, that it is for the id that
/// was asked for if there is one, and that there are roots.
pub async fn fetch(
    target: &Target,
    rotation: &mut Rotation,
    spiffe_id: &str,
    lifetime: Duration,
) -> Result<Issued, AgentError> {
    let signing = signing_request(spiffe_id)?;
    let mut request = Request::new(IstioCertificateRequest {
        csr: signing.request,
        validity_duration: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
        metadata: Some(signer()),
    });
    *request.metadata_mut() = target.metadata().await?;
    let mut client = CertificateClient::new(target.connect(rotation).await?);
    let place = || target.address.to_string();
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.create_certificate(request))
        .await
        .map_err(|_| {
            AgentError::new("agent.ca", place(), format!("no answer within {ANSWER_TIMEOUT:?}"))
        })?
        .map_err(|status| {
            let reason = format!("{:?}: {}", status.code(), status.message());
            AgentError::new("agent.ca", place(), reason)
        })?;
    let chain = answer.into_inner().cert_chain;
    read_answer(&chain, &signing.key).map_err(|reason| AgentError::new("agent.ca", place(), reason))
}

/// Leaf, intermediates, and as the last element the roots.
fn read_answer(chain: &[String], key: &str) -> Result<Issued, String> {
    let (roots, chain) = match chain.split_last() {
        Some((roots, chain)) if !chain.is_empty() && chain.len() <= CHAIN_MAX => (roots, chain),
        _ => return Err(format!("an answer of {} elements holds no chain and root", chain.len())),
    };
    let mut pem = String::new();
    for element in chain {
        pem.push_str(element);
        // An element may or may not end in a line break, and PEM needs one.
        pem.push('\n');
    }
    let identity =
        Identity::from_pem(pem.as_bytes(), key.as_bytes()).map_err(|error| error.detail)?;
    let roots = Trust::from_pem(roots.as_bytes()).map_err(|error| error.detail)?;
    Ok(Issued { identity: Arc::new(identity), roots: Arc::new(roots) })
}

/// Istio's agents always send the signer's name; empty means the default one.
fn signer() -> Struct {
    let name = Value { kind: Some(value::Kind::StringValue(String::new())) };
    Struct { fields: HashMap::from([("CertSigner".to_owned(), name)]) }
}
