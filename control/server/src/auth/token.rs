//! Join tokens: JWTs in compact form (RFC 7519), signed with Ed25519 (RFC 8037) by ringwayd.
//!
//! They stand in for Kubernetes' ServiceAccount tokens and carry the same subject and audience.
//! Only one algorithm, one issuer and one audience are ever accepted, so nothing in a token's
//! header can change how it is checked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The audience of every token, as Istio's sidecars ask for it.
pub const AUDIENCE: &str = "istio-ca";
/// The issuer of every token.
pub const ISSUER: &str = "ringwayd";
/// The most bytes of a token that are looked at.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// The longest life that a token can be given: 365 days.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// How far the clocks of two machines may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// Whom a valid token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's service account.
    pub service_account: String,
}

/// Why a token was refused or could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url, not JSON, or longer than [`TOKEN_BYTES_MAX`].
    #[error("it is not a token of ringwayd's form")]
    Malformed,
    /// Another algorithm than EdDSA.
    #[error("it is not signed with EdDSA")]
    Algorithm,
    /// Another key, or changed after signing.
    #[error("its signature is not from this control plane's token key")]
    Signature,
    /// Another issuer than [`ISSUER`].
    #[error("its issuer is not `{ISSUER}`")]
    Issuer,
    /// Not for [`AUDIENCE`].
    #[error("its audience is not `{AUDIENCE}`")]
    Audience,
    /// Past its end.
    #[error("it has expired")]
    Expired,
    /// Issued later than now.
    #[error("it is not valid yet: compare the clocks")]
    NotYet,
    /// Not `system:serviceaccount:<namespace>:<name>`.
    #[error("its subject is not a service account")]
    Subject,
    /// Longer than [`TOKEN_TTL_MAX`], or nothing.
    #[error("the lifetime must be between one second and 365 days")]
    Lifetime,
    /// The signing key could not be read.
    #[error("the token key is not an Ed25519 key in PKCS#8 form")]
    Key,
}

/// Makes tokens.
#[derive(Debug)]
pub struct TokenSigner {
    key: Ed25519KeyPair,
}

/// Checks tokens.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    public_key: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: Vec<String>,
    sub: String,
    iat: u64,
    exp: u64,
}

impl TokenSigner {
    /// A new random key, and its PKCS#8 form to keep.
    pub fn generate() -> Result<(Self, Vec<u8>), TokenError> {
        let key = Ed25519KeyPair::generate().map_err(|_| TokenError::Key)?;
        let document = key.to_pkcs8().map_err(|_| TokenError::Key)?;
        Ok((Self { key }, document.as_ref().to_vec()))
    }

    /// Reads a key that [`TokenSigner::generate`] made.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, TokenError> {
        let key = Ed25519KeyPair::from_pkcs8(document).map_err(|_| TokenError::Key)?;
        Ok(Self { key })
    }

    /// The other half.
    pub fn verifier(&self) -> TokenVerifier {
        TokenVerifier { public_key: self.key.public_key().as_ref().to_vec() }
    }

    /// A token for one workload, valid from `now` for `ttl`.
    pub fn mint(
        &self,
        claims: &Claims,
        now: SystemTime,
        ttl: Duration,
    ) -> Result<String, TokenError> {
        if ttl < Duration::from_secs(1) || ttl > TOKEN_TTL_MAX {
            return Err(TokenError::Lifetime);
        }
        let sub = format!("{SUBJECT_PREFIX}{}:{}", claims.namespace, claims.service_account);
        if subject(&sub).as_ref() != Some(claims) {
            return Err(TokenError::Subject);
        }
        let iat = seconds(now);
        let exp = iat.saturating_add(ttl.as_secs());
        let header = Header { alg: "EdDSA".into(), typ: "JWT".into() };
        let payload = Payload { iss: ISSUER.into(), aud: vec![AUDIENCE.into()], sub, iat, exp };
        let signed = format!("{}.{}", encode(&header)?, encode(&payload)?);
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).as_ref());
        Ok(format!("{signed}.{signature}"))
    }
}

impl TokenVerifier {
    /// Checks everything about a token; the signature comes before any claim is looked at.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if decode::<Header>(header)?.alg != "EdDSA" {
            return Err(TokenError::Algorithm);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        UnparsedPublicKey::new(&ED25519, &self.public_key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| TokenError::Signature)?;
        check(&decode::<Payload>(payload)?, now)
    }
}

fn check(payload: &Payload, now: SystemTime) -> Result<Claims, TokenError> {
    let now = seconds(now);
    if payload.iss != ISSUER {
        return Err(TokenError::Issuer);
    }
    if !payload.aud.iter().any(|audience| audience == AUDIENCE) {
        return Err(TokenError::Audience);
    }
    if now >= payload.exp {
        return Err(TokenError::Expired);
    }
    if payload.iat > now.saturating_add(CLOCK_SKEW.as_secs()) {
        return Err(TokenError::NotYet);
    }
    subject(&payload.sub).ok_or(TokenError::Subject)
}

fn subject(text: &str) -> Option<Claims> {
    let (namespace, account) = text.strip_prefix(SUBJECT_PREFIX)?.split_once(':')?;
    let name = |part: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        (1..=253).contains(&part.len()) && part.bytes().all(allowed) && !part.starts_with('.')
    };
    let (namespace, service_account) = (namespace.to_owned(), account.to_owned());
    (name(&namespace) && name(&service_account)).then_some(Claims { namespace, service_account })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn encode(value: &impl Serialize) -> Result<String, TokenError> {
    let text = serde_json::to_vec(value).map_err(|_| TokenError::Malformed)?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&text).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
impl TokenSigner {
    /// Signs any payload.
    pub(super) fn sign_for_test(&self, payload: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}
