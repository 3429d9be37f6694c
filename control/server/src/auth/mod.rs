//! Who a caller is: a signed join token, or a client certificate of this mesh.

mod token;

use std::sync::Arc;

use api::names::SpiffeId;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use crate::ads::ProxyNode;
use crate::listen::Peer;
pub use token::{
    AUDIENCE, Claims, ISSUER, TOKEN_BYTES_MAX, TOKEN_TTL_MAX, TokenError, TokenSigner,
    TokenVerifier,
};

/// Decides who a caller is.
#[derive(Debug)]
pub struct Authenticator {
    trust_domain: String,
    tokens: TokenVerifier,
}

impl Authenticator {
    /// Identities are made in `trust_domain`; tokens must come from `tokens`' signer.
    pub fn new(trust_domain: &str, tokens: TokenVerifier) -> Arc<Self> {
        Arc::new(Self { trust_domain: trust_domain.to_owned(), tokens })
    }

    /// The identity behind a call: that of the client certificate if there is one, else that of
    /// the bearer token. Without either the call is refused.
    pub fn identify(
        &self,
        metadata: &MetadataMap,
        extensions: &Extensions,
    ) -> Result<SpiffeId, Status> {
        let peer = extensions.get::<Peer>();
        if !peer.is_some_and(|peer| peer.secure) {
            let text = "identities are only taken over TLS: use the secure port (15012)";
            return Err(Status::unauthenticated(text));
        }
        if let Some(identity) = peer.and_then(|peer| peer.identity.clone()) {
            return self.in_trust_domain(identity);
        }
        let token = bearer(metadata).ok_or_else(|| {
            Status::unauthenticated(
                "no credentials: send `authorization: Bearer <token>`; mint one with \
                 `ringwayd token`",
            )
        })?;
        let claims = self.tokens.verify(token, std::time::SystemTime::now()).map_err(|error| {
            Status::unauthenticated(format!("the bearer token was refused: {error}"))
        })?;
        SpiffeId::new(&self.trust_domain, &claims.namespace, &claims.service_account)
            .map_err(|error| Status::unauthenticated(format!("the token's subject: {error}")))
    }

    fn in_trust_domain(&self, identity: SpiffeId) -> Result<SpiffeId, Status> {
        if identity.trust_domain == self.trust_domain {
            return Ok(identity);
        }
        let Self { trust_domain, .. } = self;
        Err(Status::unauthenticated(format!(
            "the client certificate is of trust domain `{}`, this mesh is `{trust_domain}`",
            identity.trust_domain
        )))
    }
}

/// Refuses a caller that claims to be another workload than its credentials say.
pub fn check_node(identity: &SpiffeId, node: &ProxyNode) -> Result<(), Status> {
    let account = node.service_account.as_ref();
    let same_account = account.is_none_or(|account| *account == identity.service_account);
    if node.namespace == identity.namespace && same_account {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "the credentials are of {identity}, but the node says namespace `{}` and service account \
         `{}`",
        node.namespace.escape_debug(),
        account.map_or("", String::as_str).escape_debug(),
    )))
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
