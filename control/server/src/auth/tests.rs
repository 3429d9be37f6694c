//! Tokens that are good, and every way in which one is not.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn reviews() -> Claims {
    Claims { namespace: "default".into(), service_account: "reviews".into() }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Replaces text in the payload of a token, without signing it again.
fn tampered(token: &str, from: &str, to: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    assert!(payload.contains(from));
    let payload = URL_SAFE_NO_PAD.encode(payload.replace(from, to));
    format!("{}.{payload}.{}", parts[0], parts[2])
}

#[test]
fn a_token_is_good_until_it_ends() {
    let (signer, document) = TokenSigner::generate().unwrap();
    let token = signer.mint(&reviews(), now(), HOUR).unwrap();
    let same_key = TokenSigner::from_pkcs8(&document).unwrap().verifier();
    assert_eq!(same_key.verify(&token, now()), Ok(reviews()));
    assert_eq!(same_key.verify(&token, now() + HOUR - Duration::from_secs(1)), Ok(reviews()));
    assert_eq!(same_key.verify(&token, now() + HOUR), Err(TokenError::Expired));
    assert_eq!(same_key.verify(&token, now() - Duration::from_secs(59)), Ok(reviews()));
    assert_eq!(same_key.verify(&token, now() - HOUR), Err(TokenError::NotYet));
}

#[test]
fn a_changed_or_foreign_token_is_refused() {
    let (signer, _) = TokenSigner::generate().unwrap();
    let (other, _) = TokenSigner::generate().unwrap();
    let token = signer.mint(&reviews(), now(), HOUR).unwrap();
    let verifier = signer.verifier();
    let signature = token.rsplit('.').next().unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let payload = token.split('.').nth(1).unwrap();
    let long = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
    let cases = [
        (tampered(&token, "reviews", "ratings"), TokenError::Signature),
        (tampered(&token, AUDIENCE, "kubernetes"), TokenError::Signature),
        (other.mint(&reviews(), now(), HOUR).unwrap(), TokenError::Signature),
        (format!("{none}.{payload}."), TokenError::Algorithm),
        (format!("{none}.{payload}.{signature}"), TokenError::Algorithm),
        (token.replace('.', ""), TokenError::Malformed),
        ("".to_owned(), TokenError::Malformed),
        ("a.b.c".to_owned(), TokenError::Malformed),
        (long, TokenError::Malformed),
    ];
    for (token, expected) in cases {
        assert_eq!(verifier.verify(&token, now()), Err(expected), "{token}");
    }
}

#[test]
fn a_rightly_signed_token_for_something_else_is_refused() {
    let (signer, _) = TokenSigner::generate().unwrap();
    let sub = "system:serviceaccount:a:b";
    let good = r#"{"iss":"ringwayd","aud":["istio-ca"],"sub":"SUB","iat":1,"exp":9999999999}"#;
    let good = good.replace("SUB", sub);
    assert!(signer.verifier().verify(&signer.sign_for_test(&good), now()).is_ok());
    let cases = [
        ("istio-ca", "vault", TokenError::Audience),
        ("ringwayd", "kubernetes", TokenError::Issuer),
        ("system:serviceaccount:a:b", "a:b", TokenError::Subject),
        ("system:serviceaccount:a:b", "system:serviceaccount:a:b:c", TokenError::Subject),
        ("system:serviceaccount:a:b", "system:serviceaccount:a/../x:b", TokenError::Subject),
        ("system:serviceaccount:a:b", "system:serviceaccount::b", TokenError::Subject),
        ("9999999999", "1", TokenError::Expired),
        (r#""exp":9999999999"#, r#""nbf":1"#, TokenError::Malformed),
    ];
    for (from, to, expected) in cases {
        let token = signer.sign_for_test(&good.replace(from, to));
        assert_eq!(signer.verifier().verify(&token, now()), Err(expected), "{to}");
    }
}

#[test]
fn tokens_that_make_no_sense_are_not_minted() {
    let (signer, _) = TokenSigner::generate().unwrap();
    let claims = |namespace: &str, account: &str| Claims {
        namespace: namespace.into(),
        service_account: account.into(),
    };
    assert_eq!(signer.mint(&claims("a", "b:c"), now(), HOUR), Err(TokenError::Subject));
    assert_eq!(signer.mint(&claims("", "b"), now(), HOUR), Err(TokenError::Subject));
    assert_eq!(signer.mint(&reviews(), now(), Duration::ZERO), Err(TokenError::Lifetime));
    let long = TOKEN_TTL_MAX + Duration::from_secs(1);
    assert_eq!(signer.mint(&reviews(), now(), long), Err(TokenError::Lifetime));
}

fn call(token: Option<&str>, secure: bool, identity: Option<&str>) -> (MetadataMap, Extensions) {
    let mut metadata = MetadataMap::new();
    if let Some(token) = token {
        metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut extensions = Extensions::new();
    let identity = identity.map(|id| id.parse().unwrap());
    extensions.insert(Peer { address: None, secure, identity });
    (metadata, extensions)
}

#[test]
fn callers_are_known_by_certificate_or_token_and_only_over_tls() {
    let (signer, _) = TokenSigner::generate().unwrap();
    let authenticator = Authenticator::new("cluster.local", signer.verifier());
    let token = signer.mint(&reviews(), SystemTime::now(), HOUR).unwrap();
    let expired = signer.mint(&reviews(), SystemTime::now() - 2 * HOUR, HOUR).unwrap();
    let (ours, other) = ("spiffe://cluster.local/ns/a/sa/b", "spiffe://other/ns/a/sa/b");
    let reviews = "spiffe://cluster.local/ns/default/sa/reviews";
    let cases = [
        (call(Some(&token), true, None), Ok(reviews)),
        (call(None, true, Some(ours)), Ok(ours)),
        (call(Some(&token), true, Some(ours)), Ok(ours)),
        (call(None, true, Some(other)), Err(Code::Unauthenticated)),
        (call(None, true, None), Err(Code::Unauthenticated)),
        (call(Some(&expired), true, None), Err(Code::Unauthenticated)),
        (call(Some("junk"), true, None), Err(Code::Unauthenticated)),
        (call(Some(&token), false, None), Err(Code::Unauthenticated)),
    ];
    for ((metadata, extensions), expected) in cases {
        let known = authenticator.identify(&metadata, &extensions);
        let known = known.map(|id| id.to_string()).map_err(|status| status.code());
        assert_eq!(known, expected.map(str::to_owned));
    }
}
