//! A certificate authority in the same process, over a real socket, with TLS and without.

use std::sync::atomic::Ordering;

use super::*;
use crate::target::{Address, TargetTls};
use crate::tests::fixtures::{Authority, serve, target, wait_for};

const ID: &str = "spiffe://cluster.local/ns/default/sa/reviews";

async fn ask(target: &Target) -> Result<Issued, AgentError> {
    fetch(target, &mut Rotation::default(), ID, Duration::from_secs(86_400)).await
}

#[tokio::test]
async fn a_signed_certificate_and_the_roots_fill_the_slots() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority { refusals: 2, ..Authority::new() };
    let (calls, root) = (authority.calls.clone(), authority.issuer.pem());
    let source = Source::Authority {
        target: target(serve(authority, None).await, directory.path()),
        spiffe_id: ID.to_owned(),
        lifetime: Duration::from_secs(86_400),
        retry_first: Duration::from_millis(5),
    };
    let (secrets, (stop, stopped)) = (Secrets::empty(), watch::channel(false));
    let running = tokio::spawn(run(source, secrets.clone(), stopped));
    wait_for(|| secrets.identity.is_filled()).await;
    assert_eq!(secrets.identity.get().unwrap().spiffe_id(), Some(ID));
    let roots = Trust::from_pem(root.as_bytes()).unwrap();
    assert_eq!(secrets.roots.get().unwrap().certificates(), roots.certificates());
    assert_eq!(calls.load(Ordering::Relaxed), 3, "two refusals, then one certificate");
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test]
async fn an_authority_that_refuses_is_left_for_the_next_place() {
    let directory = tempfile::tempdir().unwrap();
    let (deaf, good) = (Authority { refusals: usize::MAX, ..Authority::new() }, Authority::new());
    let (refused, granted) = (deaf.calls.clone(), good.calls.clone());
    let ports = [serve(deaf, None).await, serve(good, None).await];
    let place = |port| config::Target::Tcp { host: "127.0.0.1".into(), port };
    let mut target = target(ports[0], directory.path());
    target.address = Address::AnyOf(ports.map(place).into());
    let (secrets, (stop, stopped)) = (Secrets::empty(), watch::channel(false));
    let source = Source::Authority {
        target,
        spiffe_id: ID.to_owned(),
        lifetime: Duration::from_secs(86_400),
        retry_first: Duration::from_millis(5),
    };
    let running = tokio::spawn(run(source, secrets.clone(), stopped));
    wait_for(|| secrets.identity.is_filled()).await;
    assert_eq!((refused.load(Ordering::Relaxed), granted.load(Ordering::Relaxed)), (1, 1));
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test]
async fn the_authority_is_verified_by_root_and_name() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (good, other) = (directory.path().join("good.pem"), directory.path().join("other.pem"));
    std::fs::write(&good, authority.issuer.pem()).unwrap();
    std::fs::write(&other, Authority::new().issuer.pem()).unwrap();
    let files = authority.server_files();
    let mut target = target(serve(authority, Some(files)).await, directory.path());
    let cases = [
        ("ringwayd.test", &good, ""),
        ("other.test", &good, "agent.connect"),
        ("ringwayd.test", &other, "agent.connect"),
        ("ringwayd.test", &directory.path().join("missing.pem"), "agent.tls_files"),
    ];
    for (server_name, root_file, code) in cases {
        target.tls = Some(TargetTls {
            server_name: server_name.to_owned(),
            root_file: root_file.clone(),
            identity_files: None,
        });
        let issued = ask(&target).await;
        let got = issued.as_ref().map_or_else(|error| error.code, |_| "");
        assert_eq!(got, code, "{server_name}: {issued:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_passed_on_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut target = target(serve(Authority::new(), None).await, directory.path());
    target.token_file = None;
    let error = ask(&target).await.unwrap_err();
    assert_eq!(error.code, "agent.ca");
    assert!(error.reason.contains("who are you"), "{error}");
}

#[tokio::test]
async fn files_are_followed_and_half_written_ones_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::new();
    let write = |(chain, key): &(String, String)| {
        std::fs::write(path("chain.pem"), chain).unwrap();
        std::fs::write(path("key.pem"), key).unwrap();
    };
    std::fs::write(path("root.pem"), authority.issuer.pem()).unwrap();
    let (first, second) = (authority.server_files(), authority.server_files());
    let (secrets, mut seen) = (Secrets::empty(), None);
    let (chain, key, root) = (path("chain.pem"), path("key.pem"), path("root.pem"));
    files::follow(&chain, &key, &root, &secrets, &mut seen).await;
    assert!(!secrets.identity.is_filled(), "there is nothing yet");
    let steps = [
        (first.clone(), 1, "the first files"),
        (first.clone(), 1, "the same again"),
        ((second.0.clone(), first.1.clone()), 1, "a chain whose key is still the old one"),
        (second.clone(), 2, "both new"),
    ];
    for (files, generation, step) in steps {
        write(&files);
        files::follow(&chain, &key, &root, &secrets, &mut seen).await;
        assert_eq!(secrets.identity.generation(), generation, "{step}");
        assert_eq!(secrets.roots.generation(), 1, "{step}: the roots are the same");
    }
}
