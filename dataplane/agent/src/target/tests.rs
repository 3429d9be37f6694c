use super::*;

fn target(address: Address) -> Target {
    Target { address, tls: None, token_file: None, metadata: Vec::new() }
}

fn place(host: &str, port: u16) -> Place {
    Place::Tcp { host: host.to_owned(), port }
}

#[test]
fn addresses_are_read_and_printed() {
    let cases = [
        ("istiod.istio-system.svc:15012", Some(("istiod.istio-system.svc", 15012))),
        ("[::1]:15010", Some(("::1", 15010))),
        ("127.0.0.1:1", Some(("127.0.0.1", 1))),
        ("nohost", None),
        (":15010", None),
        ("host:99999", None),
        ("[::1:15010", None),
    ];
    for (text, expected) in cases {
        let address = Address::parse(text);
        let expected = expected.map(|(host, port)| Address::Tcp(host.to_owned(), port));
        assert_eq!(address, expected, "{text}");
        if let Some(address) = address {
            assert_eq!(address.to_string(), text);
        }
    }
}

#[tokio::test]
async fn a_token_is_not_sent_over_plaintext_to_another_machine() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "secret").unwrap();
    let cases = [
        (Address::Tcp("10.96.0.10".into(), 15010), false),
        (Address::Tcp("127.0.0.1".into(), 15010), true),
        (Address::AnyOf(vec![Place::Unix("/run/xds".into())]), true),
        (Address::AnyOf(vec![Place::Unix("/run/xds".into()), place("10.96.0.10", 15010)]), false),
    ];
    for (address, sent) in cases {
        let mut target = target(address);
        target.token_file = Some(path.clone());
        let metadata = target.metadata().await;
        assert_eq!(metadata.is_ok(), sent, "{}", target.address);
        if let Err(error) = metadata {
            assert!(error.code == "agent.token" && !error.to_string().contains("secret"));
        }
    }
}

#[tokio::test]
async fn failures_say_what_was_tried() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut target = target(Address::Tcp("127.0.0.1".into(), dead.port()));
    let error = target.connect(&mut Rotation::default()).await.unwrap_err();
    assert_eq!((error.code, error.place), ("agent.connect", dead.to_string()));
    target.token_file = Some("/nonexistent/token".into());
    assert_eq!(target.metadata().await.unwrap_err().place, "/nonexistent/token");
    target.token_file = None;
    target.metadata = vec![("bad name".into(), "x".into())];
    assert!(target.metadata().await.unwrap_err().reason.contains("bad name"));
}

#[tokio::test]
async fn places_are_tried_in_turn() {
    let (port, _streams) = crate::tests::fixtures::ads_server().await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut rotation = Rotation::default();
    let mut places = vec![Place::Unix("/nonexistent/xds".into()), place("127.0.0.1", dead.port())];
    let error = target(Address::AnyOf(places.clone())).connect(&mut rotation).await.unwrap_err();
    assert_eq!((error.code, error.place.as_str()), ("agent.connect", "unix:/nonexistent/xds"));
    assert!(error.reason.contains(&format!("; {dead}: ")), "{error}");
    places.push(place("127.0.0.1", port));
    target(Address::AnyOf(places)).connect(&mut rotation).await.unwrap();
    let nowhere = target(Address::AnyOf(Vec::new())).connect(&mut rotation).await.unwrap_err();
    assert_eq!(nowhere.reason, "there is no place to connect to");
}

#[tokio::test]
async fn the_place_that_worked_comes_first_until_it_fails() {
    let listeners = [0; 3].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let places = listeners.iter().map(|one| place("127.0.0.1", one.local_addr().unwrap().port()));
    let target = target(Address::AnyOf(places.collect()));
    let mut rotation = Rotation::default();
    let [first, second, third] = listeners;
    drop(first);
    target.connect(&mut rotation).await.unwrap();
    assert_eq!(rotation.first, 1, "the first is dead");
    target.connect(&mut rotation).await.unwrap();
    assert_eq!(rotation.first, 1, "it worked before");
    rotation.advance();
    target.connect(&mut rotation).await.unwrap();
    assert_eq!(rotation.first, 2);
    rotation.advance();
    target.connect(&mut rotation).await.unwrap();
    assert_eq!(rotation.first, 1, "round, and past the dead one");
    drop((second, third));
    target.connect(&mut rotation).await.unwrap_err();
}
