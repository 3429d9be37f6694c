//! Requests that are read, and how.

use super::*;
use crate::head::{Known, Version};

#[test]
fn a_request_is_read() {
    let head = request(
        b"POST /a/b?c=d HTTP/1.1\r\nHost: Reviews:9080\r\nX-Foo:  Bar \t\r\n\
        content-length: 012\r\nEmpty:\r\n\r\n",
    );
    let head = head.expect("it is a fine request");
    assert_eq!(head.method(), b"POST");
    assert_eq!(head.path(), b"/a/b?c=d");
    assert_eq!(head.authority(), b"Reviews:9080");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(12));
    assert!(head.keep_alive);
    assert_eq!(head.upgrade, None);
    assert_eq!(fields_of(&head), "x-foo: Bar\ncontent-length: 012\nempty: \n");
    assert_eq!(head.value(Known::ContentLength), Some(b"012".as_slice()));
    assert_eq!(head.value(Known::Host), None);
}

#[test]
fn targets() {
    for (line, authority, path) in [
        ("GET / HTTP/1.1", "a", "/"),
        ("GET //b/../c HTTP/1.1", "a", "//b/../c"),
        ("GET /a\\b HTTP/1.1", "a", "/a\\b"),
        ("GET /<>|^`{}\"%zz%00 HTTP/1.1", "a", "/<>|^`{}\"%zz%00"),
        ("OPTIONS * HTTP/1.1", "a", "*"),
        ("GET http://b/x HTTP/1.1", "b", "/x"),
        ("GET HTTP://B:80/x?y HTTP/1.1", "B:80", "/x?y"),
        ("GET https://b HTTP/1.1", "b", "/"),
        ("OPTIONS http://b HTTP/1.1", "b", "/"),
        ("GET http://[::1]:80/x HTTP/1.1", "[::1]:80", "/x"),
        ("CONNECT b:443 HTTP/1.1", "b:443", ""),
        ("CONNECT [::1]:443 HTTP/1.1", "[::1]:443", ""),
    ] {
        let head = request(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).expect(line);
        assert_eq!(head.authority(), authority.as_bytes(), "{line}");
        assert_eq!(head.path(), path.as_bytes(), "{line}");
    }
    // The absolute and authority forms say for themselves where they want to go.
    for line in ["GET http://b/ HTTP/1.1", "CONNECT b:80 HTTP/1.1"] {
        assert!(request(format!("{line}\r\n\r\n").as_bytes()).is_ok(), "{line}");
    }
}

#[test]
fn hosts() {
    for host in ["", "a", "A.b.", "a_b", "a:80", "a:0", "[::1]", "[::1]:80", "1.2.3.4", "a!$&'()*"]
    {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let head = request(bytes.as_bytes()).expect(host);
        assert_eq!(head.authority(), host.as_bytes());
    }
}

#[test]
fn framings() {
    for (lines, framing) in [
        (b"".as_slice(), Framing::None),
        (b"Content-Length: 0\r\n", Framing::Length(0)),
        (b"Content-Length: 5\t\r\n", Framing::Length(5)),
        (b"Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
        (b"Transfer-Encoding: chunked\r\n", Framing::Chunked),
        (b"Transfer-Encoding: CHUNKED \r\n", Framing::Chunked),
        (b"Transfer_Encoding: chunked\r\n", Framing::None),
    ] {
        for bytes in [get(lines), post(lines)] {
            let head = request(&bytes).expect("its framing is clear");
            assert_eq!(head.framing, framing, "{}", lines.escape_ascii());
        }
    }
    let head = request(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let head = head.expect("an empty body is none");
    assert_eq!((head.framing, head.fields().len()), (Framing::None, 0));
}

#[test]
fn persistence() {
    let accept = Limits { accept_http_10: true, ..Limits::default() };
    for (minor, line, keeps) in [
        (1, "X: y", true),
        (1, "Connection: close", false),
        (1, "Connection: Close", false),
        (1, "Connection: x, close, keep-alive", false),
        (1, "Connection: close\r\nConnection: keep-alive", false),
        (1, "Connection: closed", true),
        (1, "Proxy-Connection: close", false),
        (0, "X: y", false),
        (0, "Connection: keep-alive", true),
        (0, "Connection: x, Keep-Alive", true),
        (0, "Connection: keep-alive, close", false),
        (0, "Proxy-Connection: keep-alive", false),
    ] {
        let bytes = format!("GET / HTTP/1.{minor}\r\nHost: a\r\n{line}\r\n\r\n");
        let head = request_within(bytes.as_bytes(), &accept).expect(line);
        assert_eq!(head.keep_alive, keeps, "{bytes}");
    }
}

#[test]
fn upgrades() {
    for (lines, upgrade) in [
        ("Connection: Upgrade\r\nUpgrade: websocket", Some("websocket")),
        ("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket", Some("WebSocket")),
        ("Connection: upgrade\r\nUpgrade: websocket, foo", Some("websocket, foo")),
        ("Upgrade: websocket", None),
        ("Upgrade: websocket\r\nUpgrade: foo", None),
        ("Connection: upgrade", None),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA", None),
    ] {
        let head = request(&get(format!("{lines}\r\n").as_bytes())).expect(lines);
        let found = head.upgrade.map(|span| String::from_utf8_lossy(head.get(span)).into_owned());
        assert_eq!(found.as_deref(), upgrade, "{lines}");
        let h2c = head.iter().any(|(_, value)| value == b"h2c");
        assert!(!h2c, "a server may not be led to switch to h2c");
    }
    // A request that asks for an upgrade may have a body: it comes first.
    let head = request(&post(b"Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\n"));
    assert_eq!(head.map(|head| head.framing), Ok(Framing::Length(5)));
}

#[test]
fn methods_beyond_the_usual_are_a_choice() {
    let bytes = b"FOO-bar / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(request(bytes).is_err());
    let any = Limits { custom_methods: true, ..Limits::default() };
    assert!(request_within(bytes, &any).is_ok());
    for method in ["GET", "QUERY", "MSEARCH", "UNSUBSCRIBE", "PATCH"] {
        assert!(request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).is_ok());
    }
}

#[test]
fn what_follows_is_left_alone() {
    let two = b"\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    let (limits, mut head) = (Limits::default(), Head::default());
    let first = parse_request(two, &limits, &mut head).expect("the first is fine");
    let Parsed::Complete { consumed } = first else { panic!("the first is whole") };
    assert_eq!((head.path(), consumed), (b"/1".as_slice(), 32));
    let second = parse_request(&two[consumed..], &limits, &mut head).expect("so is the second");
    assert_eq!(second, Parsed::Complete { consumed: two.len() - consumed });
    assert_eq!((head.path(), head.authority()), (b"/2".as_slice(), b"b".as_slice()));
}

#[test]
fn the_end_is_found_from_where_the_last_search_stopped() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let mut from = 0;
    for seen in 0..=bytes.len() {
        let end = find_end(&bytes[..seen], from);
        assert_eq!(end, (seen >= 29).then_some(29), "{seen} seen");
        if end.is_none() {
            from = seen;
        }
    }
}
