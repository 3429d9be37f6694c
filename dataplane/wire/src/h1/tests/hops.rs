//! Fields that belong to one connection.

use super::*;

#[test]
fn fields_of_one_connection_do_not_go_on() {
    for (lines, left) in [
        ("Connection: close\r\nX-A: 1", "x-a: 1\n"),
        ("Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3", "x-c: 3\n"),
        ("X-A: 1\r\nConnection: x-a\r\nConnection: close\r\nX-A: 2", ""),
        ("Connection: ,, \r\nCookie: c", "cookie: c\n"),
        ("Connection: cookie\r\nCookie: c", ""),
        ("Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive", ""),
        ("HTTP2-Settings: AAA", ""),
        ("TE: trailers", "te: trailers\n"),
        ("TE: gzip, Trailers\r\nConnection: te", "te: trailers\n"),
        ("TE: gzip", ""),
        ("TE: trailers;q=0.5", ""),
        ("Trailer: X", "trailer: X\n"),
        ("Transfer-Encoding: chunked", ""),
        ("Upgrade: websocket", ""),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A", ""),
        (
            "Connection: keep-alive, Upgrade, x-a\r\nUpgrade: websocket\r\nX-A: 1",
            "upgrade: websocket\nconnection: Upgrade\n",
        ),
    ] {
        let mut head = request(&get(format!("{lines}\r\n").as_bytes())).expect(lines);
        strip_hop_by_hop(&mut head);
        assert_eq!(fields_of(&head), left, "{lines:?}");
    }
}

#[test]
fn an_upgrade_that_is_not_allowed_does_not_go_on() {
    let mut head = request(&get(b"Connection: upgrade\r\nUpgrade: foo\r\nX: y\r\n")).expect("fine");
    head.upgrade = None;
    strip_hop_by_hop(&mut head);
    assert_eq!(fields_of(&head), "x: y\n");
}
