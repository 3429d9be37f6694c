//! Real questions to a small name server on real sockets.

mod follow;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use config::dns::{Family, Resolver};

use super::resolve::spellings;
use super::system::{Conf, System};
use super::*;
use server::{Reply, Server};

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));

fn lookup(servers: &[SocketAddr], family: Family) -> Lookup {
    let timeout = Duration::from_millis(300);
    let resolver = Resolver { servers: servers.to_vec(), timeout, tries: 1, ..Default::default() };
    Lookup {
        logical: false,
        family,
        refresh: Duration::from_secs(5),
        failure_refresh: None,
        respect_ttl: true,
        ttl_least: Duration::ZERO,
        jitter: Duration::ZERO,
        resolver: Arc::new(resolver),
    }
}

/// A stub that knows a search list and a hosts file.
fn stub(folder: &tempfile::TempDir) -> Stub {
    let (resolv, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
    std::fs::write(&resolv, "search a.test b.test\noptions ndots:2 trust-ad\nnonsense\n").unwrap();
    std::fs::write(&hosts, "# none\n10.9.9.9 Fixed.Test other # 10.8.8.8\nfd00::9 fixed.test\n")
        .unwrap();
    Stub::with(System::new(resolv, hosts))
}

fn found(addresses: &[IpAddr], ttl_s: u64) -> Result<Found, NotFound> {
    let ttl = Some(Duration::from_secs(ttl_s));
    Ok(Found { addresses: addresses.to_vec(), ttl })
}

#[tokio::test]
async fn each_family_gets_the_addresses_that_it_asks_for() {
    let server = Server::start().await;
    server.set("both.test.", Reply::of(&[V4, V6], 30));
    server.set("four.test.", Reply::of(&[V4], 20));
    let folder = tempfile::tempdir().unwrap();
    let stub = stub(&folder);
    let cases = [
        ("both.test.", Family::V4Only, found(&[V4], 30)),
        ("both.test.", Family::V6Only, found(&[V6], 30)),
        ("both.test.", Family::Auto, found(&[V6], 30)),
        ("both.test.", Family::V4Preferred, found(&[V4], 30)),
        ("both.test.", Family::All, found(&[V4, V6], 30)),
        ("four.test.", Family::Auto, found(&[V4], 20)),
        ("four.test.", Family::V6Only, Ok(Found::default())),
        ("none.test.", Family::All, Ok(Found::default())),
    ];
    for (name, family, expected) in cases {
        let got = stub.find(name, &lookup(&[server.address], family)).await;
        assert_eq!(got, expected, "{name} {family:?}");
    }
}

#[tokio::test]
async fn names_lead_to_names_and_long_answers_come_by_tcp() {
    let server = Server::start().await;
    server.set(
        "alias.test.",
        Reply { alias: Some(("real.test.".into(), 3)), ..Reply::of(&[V4], 60) },
    );
    let many: Vec<IpAddr> = (0..200).map(|last| IpAddr::from([10, 1, 1, last])).collect();
    server.set("many.test.", Reply { by_tcp_alone: true, ..Reply::of(&many, 60) });
    let folder = tempfile::tempdir().unwrap();
    let stub = stub(&folder);
    let lookup = lookup(&[server.address], Family::V4Only);
    assert_eq!(stub.find("alias.test.", &lookup).await, found(&[V4], 3), "the shortest counts");
    assert_eq!(stub.find("many.test.", &lookup).await, found(&many, 60));
    let resolver = Resolver { tcp: true, ..(*lookup.resolver).clone() };
    let lookup = Lookup { resolver: Arc::new(resolver), ..lookup };
    assert_eq!(stub.find("many.test.", &lookup).await, found(&many, 60));
    assert_eq!(server.asked().await.iter().filter(|(_, tcp)| *tcp).count(), 2);
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails_or_is_silent() {
    let (broken, silent, good) =
        (Server::start().await, Server::start().await, Server::start().await);
    broken.set("x.test.", Reply { fails: true, ..Reply::default() });
    silent.set("x.test.", Reply { is_silent: true, ..Reply::default() });
    good.set("x.test.", Reply::of(&[V4], 1));
    let folder = tempfile::tempdir().unwrap();
    let stub = stub(&folder);
    let servers = [broken.address, silent.address, good.address];
    let got = stub.find("x.test.", &lookup(&servers, Family::V4Only)).await;
    assert_eq!(got, found(&[V4], 1));
    let begun = Instant::now();
    let error = stub.find("x.test.", &lookup(&servers[..2], Family::V4Only)).await.unwrap_err();
    assert!(error.0.contains(&silent.address.to_string()), "{error:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let error = stub.find("x.test.", &lookup(&servers[..1], Family::V4Only)).await.unwrap_err();
    assert!(error.0.contains("SERVFAIL"), "{error:?}");
    let bad = format!("{}.test.", "x".repeat(64));
    let error = stub.find(&bad, &lookup(&servers, Family::V4Only)).await.unwrap_err();
    assert!(error.0.contains("cannot be asked for"), "{error:?}");
}

#[tokio::test]
async fn the_hosts_file_and_localhost_need_no_server() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let stub = stub(&folder);
    let all = lookup(&[server.address], Family::All);
    let local = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Ok(Found { addresses, ttl: None })
    };
    assert_eq!(stub.find("fixed.test", &all).await, local(&["10.9.9.9", "fd00::9"]));
    assert_eq!(stub.find("localhost", &all).await, local(&["127.0.0.1", "::1"]));
    assert_eq!(stub.find("a.LocalHost.", &all).await, local(&["127.0.0.1", "::1"]));
    // Another file is seen at the next question.
    std::fs::write(folder.path().join("hosts"), "10.9.9.10 fixed.test\n").unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(2);
    let file = std::fs::File::options().append(true).open(folder.path().join("hosts")).unwrap();
    file.set_modified(later).unwrap();
    let v4 = lookup(&[server.address], Family::V4Only);
    assert_eq!(stub.find("fixed.test", &v4).await, local(&["10.9.9.10"]));
    assert_eq!(server.asked().await, []);
}

#[tokio::test]
async fn short_names_are_searched_for() {
    let server = Server::start().await;
    server.set("web.b.test.", Reply::of(&[V4], 1));
    let folder = tempfile::tempdir().unwrap();
    let stub = stub(&folder);
    let lookup = lookup(&[server.address], Family::V4Only);
    assert_eq!(stub.find("web", &lookup).await, found(&[V4], 1));
    let asked = server.asked().await;
    let asked: Vec<_> = asked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(asked, ["web.a.test.", "web.b.test."]);
}

#[test]
fn names_with_enough_dots_are_tried_as_they_are_first() {
    let conf = Conf { search: vec!["s".into(), "t".into()], ndots: 2, ..Conf::default() };
    let cases: [(&str, bool, &[&str]); 4] = [
        ("a", false, &["a.s", "a.t", "a"]),
        ("a.b.c", false, &["a.b.c", "a.b.c.s", "a.b.c.t"]),
        ("a.", false, &["a."]),
        ("a", true, &["a"]),
    ];
    for (name, no_search, expected) in cases {
        assert_eq!(spellings(name, &conf, no_search), expected, "{name}");
    }
}

#[test]
fn an_answer_is_good_for_its_time_to_live_or_as_configured() {
    let seconds = Duration::from_secs;
    let ttl = |ttl: u64| Found { addresses: vec![V4], ttl: Some(seconds(ttl)) };
    let usual = lookup(&[], Family::Auto);
    let jitter = Lookup { jitter: seconds(4), ..usual.clone() };
    let least = Lookup { ttl_least: seconds(10), ..usual.clone() };
    let not_by_ttl = Lookup { respect_ttl: false, ..usual.clone() };
    let cases = [
        (&usual, Some(ttl(30)), 30),
        (&usual, Some(ttl(0)), 5),
        (&usual, None, 5),
        (&jitter, Some(ttl(30)), 32),
        (&jitter, None, 5),
        (&least, Some(ttl(3)), 10),
        (&not_by_ttl, Some(ttl(30)), 5),
    ];
    for (lookup, found, expected) in cases {
        assert_eq!(wait(lookup, found.as_ref(), None, 0.5), seconds(expected), "{found:?}");
    }
    let mut backoff = Backoff::new(seconds(2), seconds(8));
    for longest in [2, 4, 8, 8] {
        let wait = wait(&usual, None, Some(&mut backoff), 0.5);
        assert!(wait <= seconds(longest) && wait * 2 >= seconds(longest), "{wait:?}");
    }
    wait(&usual, Some(&ttl(1)), Some(&mut backoff), 0.5);
    assert!(wait(&usual, None, Some(&mut backoff), 0.5) <= seconds(2), "it began anew");
}
