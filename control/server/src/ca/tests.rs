//! What the authority signs, for whom, and how it keeps its keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PublicKeyData, SanType};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;

const TD: &str = "cluster.local";

fn authority() -> Arc<Authority> {
    let material = Authority::generate_root(TD, SystemTime::now()).unwrap();
    Authority::new(TD, &material).unwrap()
}

fn reviews() -> SpiffeId {
    SpiffeId::new(TD, "default", "reviews").unwrap()
}

/// A signing request that asks for more than it will get.
fn greedy_csr(key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "root");
    let uri = "spiffe://cluster.local/ns/kube-system/sa/admin".to_owned();
    params.subject_alt_names = vec![
        SanType::URI(uri.try_into().unwrap()),
        SanType::DnsName("istiod.istio-system.svc".try_into().unwrap()),
    ];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serialize_request(key).unwrap().pem().unwrap()
}

#[test]
fn a_leaf_names_the_caller_and_nothing_else() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let public = public_key_of_csr(&greedy_csr(&key)).unwrap();
    let now = SystemTime::now();
    let issued = authority.sign(&reviews(), &public, now, Duration::ZERO).unwrap();
    let (_, leaf) = X509Certificate::from_der(&issued.certificate).unwrap();
    assert_eq!(leaf.public_key().raw, key.subject_public_key_info());
    assert!(leaf.subject().iter().next().is_none());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    let uri = GeneralName::URI("spiffe://cluster.local/ns/default/sa/reviews");
    assert_eq!(names.value.general_names, [uri]);
    assert!(!leaf.is_ca());
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    let lasts = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert_eq!(lasts, 24 * 3600 + 120);
    let (_, root) = X509Certificate::from_der(authority.root()).unwrap();
    leaf.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(leaf.issuer(), root.subject());
}

#[test]
fn lifetimes_are_bounded() {
    let authority = authority();
    let key = LeafKey::of_key_pair(&KeyPair::generate().unwrap()).unwrap();
    let sign = |ttl| authority.sign(&reviews(), &key, SystemTime::now(), ttl);
    let hour = Duration::from_secs(3600);
    let issued = sign(hour).unwrap();
    assert_eq!(issued.not_after.duration_since(issued.not_before).unwrap(), hour + CLOCK_SKEW);
    assert!(sign(LEAF_TTL_MAX).is_ok());
    let long = LEAF_TTL_MAX + Duration::from_secs(1);
    assert_eq!(sign(long).unwrap_err(), CaError::Lifetime(long.as_secs()));
    // A leaf ends with the root at the latest, and not after it.
    let ending = SystemTime::now() + ROOT_TTL - hour;
    let last = authority.sign(&reviews(), &key, ending, LEAF_TTL).unwrap();
    assert!(last.not_after <= ending + hour);
    let over = SystemTime::now() + ROOT_TTL + hour;
    assert_eq!(authority.sign(&reviews(), &key, over, hour).unwrap_err(), CaError::RootExpired);
}

#[test]
fn serial_numbers_differ_for_one_key() {
    let authority = authority();
    let key = LeafKey::of_key_pair(&KeyPair::generate().unwrap()).unwrap();
    let serial = || {
        let issued = authority.sign(&reviews(), &key, SystemTime::now(), LEAF_TTL).unwrap();
        let (_, leaf) = X509Certificate::from_der(&issued.certificate).unwrap();
        leaf.raw_serial().to_vec()
    };
    let (first, second) = (serial(), serial());
    assert_ne!(first, second);
    assert_eq!(first.len(), 16);
}

#[test]
fn requests_with_worthy_keys_are_read_and_others_refused() {
    for alg in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(alg).unwrap();
        assert!(public_key_of_csr(&greedy_csr(&key)).is_ok(), "{alg:?}");
    }
    let weak = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    assert_eq!(public_key_of_csr(&greedy_csr(&weak)).unwrap_err(), CaError::Key);
    let long = "A".repeat(CSR_BYTES_MAX + 1);
    for junk in [
        "",
        "junk",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        &long,
    ] {
        assert_eq!(public_key_of_csr(junk).unwrap_err(), CaError::Csr);
    }
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let (victim, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::default();
    let request = |key: &KeyPair| params.serialize_request(key).unwrap().der().to_vec();
    let (stolen, own) = (request(&victim), request(&thief));
    // The victim's request with the thief's signature: the same length, another signature.
    let mut forged = stolen.clone();
    let tail = forged.len().min(own.len()) - 40;
    forged[tail..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let pem = pem_of(&forged);
    assert_eq!(public_key_of_csr(&pem).unwrap_err(), CaError::CsrSignature);
    assert!(public_key_of_csr(&pem_of(&stolen)).is_ok());
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

#[test]
fn the_root_survives_a_restart_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    let first = Material::open_or_create(&dir, TD, SystemTime::now()).unwrap();
    let second = Material::open_or_create(&dir, TD, SystemTime::now()).unwrap();
    assert_eq!(first.key_pem, second.key_pem);
    assert_eq!(first.certificate_pem, second.certificate_pem);
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("root-key.pem"), mode("root-cert.pem"), mode("")), (0o600, 0o644, 0o700));
    let authority = Authority::new(TD, &second).unwrap();
    let (_, root) = X509Certificate::from_der(authority.root()).unwrap();
    assert!(root.is_ca());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "no drafts are left behind");
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    Material::open_or_create(folder.path(), TD, SystemTime::now()).unwrap();
    open_token_signer(folder.path()).unwrap();
    for name in ["root-key.pem", "token-key.pem"] {
        let path = folder.path().join(name);
        for mode in [0o640, 0o604, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = match name {
                "root-key.pem" => {
                    Material::open_or_create(folder.path(), TD, SystemTime::now()).unwrap_err()
                }
                _ => open_token_signer(folder.path()).unwrap_err(),
            };
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    open_token_signer(folder.path()).unwrap();
}

#[test]
fn a_lost_key_or_a_foreign_certificate_is_noticed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Material::open_or_create(one.path(), TD, SystemTime::now()).unwrap();
    Material::open_or_create(other.path(), TD, SystemTime::now()).unwrap();
    fs::copy(other.path().join("root-cert.pem"), one.path().join("root-cert.pem")).unwrap();
    let mixed = Material::open_or_create(one.path(), TD, SystemTime::now()).unwrap();
    assert!(Authority::new(TD, &mixed).is_err());
    fs::remove_file(one.path().join("root-key.pem")).unwrap();
    let lost = Material::open_or_create(one.path(), TD, SystemTime::now()).unwrap_err();
    assert!(matches!(lost, StoreError::KeyMissing(_)));
}

#[test]
fn the_token_key_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let claims =
        crate::auth::Claims { namespace: "default".into(), service_account: "reviews".into() };
    let now = SystemTime::now();
    let signer = open_token_signer(folder.path()).unwrap();
    let token = signer.mint(&claims, now, Duration::from_secs(60)).unwrap();
    let again = open_token_signer(folder.path()).unwrap();
    assert_eq!(again.verifier().verify(&token, now), Ok(claims));
}
