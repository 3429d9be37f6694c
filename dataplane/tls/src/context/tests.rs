use super::{Parameters, Version, Versions, compile_provider};

fn suites(names: &[&str], max: Version) -> Result<Vec<String>, String> {
    let parameters = Parameters {
        versions: Versions { min: Version::Tls12, max },
        cipher_suites: names.iter().map(|name| (*name).to_owned()).collect(),
        resumption: false,
    };
    let provider = compile_provider(&parameters).map_err(|error| error.detail)?;
    let old = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none());
    Ok(old.map(|suite| format!("{:?}", suite.suite())).collect())
}

#[test]
fn suites_come_in_the_asked_order_and_weak_ones_are_left_out() {
    let istio = [
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "[ECDHE-RSA-AES256-GCM-SHA384|ECDHE-RSA-AES128-GCM-SHA256]",
        "AES256-GCM-SHA384",
    ];
    let expected = [
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ];
    assert_eq!(suites(&istio, Version::Tls13).unwrap(), expected);
    assert_eq!(suites(&[], Version::Tls13).unwrap().len(), 6);
    assert!(suites(&["RC4-MD5"], Version::Tls13).unwrap_err().contains("RC4-MD5"));
    assert!(suites(&["AES128-SHA"], Version::Tls12).unwrap_err().contains("none of"));
}

#[test]
fn versions_that_exclude_each_other_are_refused() {
    let versions = Versions { min: Version::Tls13, max: Version::Tls12 };
    let error = compile_provider(&Parameters { versions, ..Parameters::default() }).unwrap_err();
    assert_eq!(error.code, "tls.bad_context");
}
