//! Secrets are made once, kept, and renewed at half of their life.

use std::time::Duration;

use super::*;

fn issuer(ttl: Duration) -> Arc<SecretIssuer> {
    let now = SystemTime::now();
    let material = Authority::generate_root("cluster.local", now).unwrap();
    let authority = Authority::new("cluster.local", &material).unwrap();
    SecretIssuer::new(authority, Arc::default(), ttl)
}

fn workload(account: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "default", account).unwrap()
}

fn both() -> Names {
    Names::listed([SDS_IDENTITY, SDS_ROOTS, "kubernetes://other"])
}

#[test]
fn a_workload_gets_its_certificate_and_the_roots() {
    let secrets = issuer(Duration::from_secs(3600)).for_workload(workload("reviews"), "n");
    assert_eq!(secrets.renewal(), None);
    let given = secrets.resources(Kind::Secret, &both());
    let names: Vec<&str> = given.iter().map(|resource| resource.name.as_ref()).collect();
    assert_eq!(names, ["ROOTCA", "default"], "an unknown name is left out");
    let secret = Secret::decode(given[1].body.value.as_slice()).unwrap();
    let Some(Type::TlsCertificate(certificate)) = secret.r#type else { panic!("a certificate") };
    let Some(Specifier::InlineBytes(chain)) = certificate.certificate_chain.unwrap().specifier
    else {
        panic!("inline bytes")
    };
    assert!(chain.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let due = secrets.renewal().unwrap().duration_since(Instant::now());
    assert!(due > Duration::from_secs(1790) && due <= Duration::from_secs(1800), "{due:?}");
    assert!(secrets.resources(Kind::Cluster, &Names::all()).is_empty());
}

#[test]
fn a_client_that_reconnects_gets_what_it_has_and_others_get_their_own() {
    let issuer = issuer(Duration::from_secs(3600));
    let version = |account: &str, node: &str| {
        let secrets = issuer.for_workload(workload(account), node);
        secrets.resources(Kind::Secret, &Names::listed([SDS_IDENTITY]))[0].version.clone()
    };
    let first = version("reviews", "pod-1");
    assert_eq!(version("reviews", "pod-1"), first);
    assert_ne!(version("reviews", "pod-2"), first);
    assert_ne!(version("ratings", "pod-1"), first);
}

#[test]
fn a_certificate_is_renewed_at_half_of_its_life() {
    let secrets = issuer(Duration::from_secs(2)).for_workload(workload("reviews"), "n");
    let version =
        || secrets.resources(Kind::Secret, &Names::listed([SDS_IDENTITY]))[0].version.clone();
    let first = version();
    assert_eq!(version(), first);
    std::thread::sleep(Duration::from_millis(1100));
    assert_ne!(version(), first);
    secrets.disarm();
    assert_eq!(secrets.renewal(), None);
}
