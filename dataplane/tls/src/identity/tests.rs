use std::time::{Duration, SystemTime};

use rcgen::date_time_ymd;

use crate::tests::fixtures::{CLIENT_ID, Ca};
use crate::{Identity, Trust};

#[test]
fn an_identity_says_whose_it_is_and_until_when() {
    let pem = Ca::new("root").pem_with(CLIENT_ID, |params| {
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 2);
    });
    let identity = pem.identity();
    assert_eq!(identity.spiffe_id(), Some(CLIENT_ID));
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    assert_eq!(identity.not_before(), start);
    assert_eq!(identity.not_after(), start + Duration::from_secs(86_400));
    assert!(!format!("{identity:?}").contains("key"));
}

#[test]
fn secrets_that_do_not_fit_are_refused_with_the_reason() {
    let ca = Ca::new("root");
    let (one, two) = (ca.pem_with(CLIENT_ID, |_| {}), ca.pem_with(CLIENT_ID, |_| {}));
    let cases = [
        (one.chain.as_str(), two.key.as_str(), "does not serve"),
        ("", one.key.as_str(), "no certificate"),
        (one.chain.as_str(), "", "key is not PEM"),
        (one.chain.as_str(), one.chain.as_str(), "key is not PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", "not PEM"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n", one.key.as_str(), "not PEM"),
    ];
    for (chain, key, reason) in cases {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.code, "tls.bad_secret");
        assert!(error.detail.contains(reason), "{}", error.detail);
    }
    assert!(Trust::from_pem(b"").unwrap_err().detail.contains("no certificate"));
    let both = format!("{}{}", ca.pem(), Ca::new("second").pem());
    assert_eq!(Trust::from_pem(both.as_bytes()).unwrap().certificates().len(), 2);
}
