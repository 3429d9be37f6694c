//! Hashes against xxHash's own test values and Envoy's rules.

use std::net::{IpAddr, SocketAddr};

use config::snapshot::{HashMethod, HashPolicy, Substitution};

use super::{Origin, request, xxh64};
use crate::fixture::{get, head};

const ORIGIN: Origin = Origin {
    client: IpAddr::V4(std::net::Ipv4Addr::new(1, 2, 3, 4)),
    peer: SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 5000)),
    local: SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 80)),
};

fn of(method: HashMethod) -> HashPolicy {
    HashPolicy { method, terminal: false }
}

fn header(name: &str) -> HashPolicy {
    of(HashMethod::Header { name: name.as_bytes().into(), rewrite: None })
}

fn cookie(generate: Option<&str>) -> HashPolicy {
    let generate = generate.map(|text| text.as_bytes().into());
    of(HashMethod::Cookie { name: b"c".as_slice().into(), generate })
}

fn hash(policies: &[HashPolicy], head: &wire::head::Head) -> Option<u64> {
    request(policies, head, &ORIGIN, |cookie| panic!("{cookie:?}"))
}

#[test]
fn a_header_is_hashed_as_xxhash_does() {
    let with = head("GET / HTTP/1.1\nhost: a\nx-k: abc");
    assert_eq!(hash(&[header("x-k")], &with), Some(0x44bc_2cf5_ad77_0999), "xxHash's own value");
    assert_eq!(hash(&[header("x-k")], &get("/")), None);
    assert_eq!(hash(&[], &with), None);
    assert_eq!(hash(&[header(":path")], &get("/p?q")), Some(xxh64(b"/p?q", 0)));
    assert_eq!(hash(&[header("host")], &get("/")), Some(xxh64(b"a", 0)));
}

#[test]
fn lines_of_one_name_count_whatever_their_order_is() {
    let one = head("GET / HTTP/1.1\nhost: a\nx-k: 1\nx-k: 2");
    let other = head("GET / HTTP/1.1\nhost: a\nx-k: 2\nx-k: 1");
    let found = hash(&[header("x-k")], &one);
    assert_eq!(found, Some(xxh64(b"2", xxh64(b"1", 0))));
    assert_eq!(found, hash(&[header("x-k")], &other));
}

#[test]
fn values_may_be_rewritten_first() {
    let rewrite = Substitution::new("([a-z]+)-[0-9]+", r"\1!").unwrap();
    let name = b"x-k".as_slice().into();
    let policy = of(HashMethod::Header { name, rewrite: Some(rewrite) });
    let with = head("GET / HTTP/1.1\nhost: a\nx-k: ab-1, cd-22");
    assert_eq!(hash(&[policy], &with), Some(xxh64(b"ab!, cd!", 0)));
}

#[test]
fn cookies_are_found_or_made() {
    let cases: [(&str, Option<&[u8]>); 6] = [
        ("c=v", Some(b"v")),
        ("a=b; c=\"v w\"; c=x", Some(b"v w")),
        ("a=b;c=", None),
        ("xc=v; cx=v; c", None),
        ("c=a=b", Some(b"a=b")),
        ("c=\"", Some(b"\"")),
    ];
    for (line, value) in cases {
        let with = head(&format!("GET / HTTP/1.1\nhost: a\ncookie: {line}"));
        assert_eq!(hash(&[cookie(None)], &with), value.map(|value| xxh64(value, 0)), "{line}");
    }
    let mut made = Vec::new();
    let policy = [cookie(Some("; Max-Age=9; HttpOnly"))];
    let found = request(&policy, &get("/"), &ORIGIN, |cookie| made.push(cookie));
    let value = format!("{:016x}", xxh64(b"127.0.0.1:5000127.0.0.1:80", 0));
    assert_eq!(found, Some(xxh64(value.as_bytes(), 0)));
    assert_eq!(made, [format!("c=\"{value}\"; Max-Age=9; HttpOnly").into_bytes()]);
}

#[test]
fn policies_are_turned_into_one_hash_until_a_terminal_one() {
    let source = || of(HashMethod::SourceIp);
    let query = || of(HashMethod::QueryParameter(b"q".as_slice().into()));
    let (address, value) = (xxh64(b"1.2.3.4", 0), xxh64(b"v", 0));
    assert_eq!(hash(&[source(), query()], &get("/?q=v")), Some(address.rotate_left(1) ^ value));
    assert_eq!(hash(&[query(), source()], &get("/?p=v")), Some(address));
    let last = HashPolicy { terminal: true, ..source() };
    assert_eq!(hash(&[last, query()], &get("/?q=v")), Some(address));
    let missing = HashPolicy { terminal: true, ..query() };
    assert_eq!(hash(&[missing, source()], &get("/")), Some(address), "it has found nothing");
}
