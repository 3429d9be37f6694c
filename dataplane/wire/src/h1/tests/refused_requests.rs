//! The attack classes: every request here is refused before anything is forwarded.

use super::*;

fn check(cases: &[(&[u8], &str, u16)]) {
    let limits = Limits::default();
    for (bytes, code, status) in cases {
        let text = bytes.escape_ascii();
        match parse_request(bytes, &limits, &mut Head::default()) {
            Err(refusal) => {
                assert_eq!((refusal.code, refusal.status), (*code, *status), "{text}");
            }
            other => panic!("{other:?} instead of {code}: {text}"),
        }
    }
}

#[test]
fn framing_that_two_readers_could_read_in_two_ways() {
    let cases: [(&[u8], &str, u16); 34] = [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "conflicting_framing", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "conflicting_framing", 400),
        (b"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", "conflicting_framing", 400),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", "duplicate_content_length", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", "duplicate_content_length", 400),
        (b"Content-Length: 5, 5\r\n", "invalid_content_length", 400),
        (b"Content-Length: 1,1\r\n", "invalid_content_length", 400),
        (b"Content-Length: +5\r\n", "invalid_content_length", 400),
        (b"Content-Length: -5\r\n", "invalid_content_length", 400),
        (b"Content-Length: 0x5\r\n", "invalid_content_length", 400),
        (b"Content-Length: 1_0\r\n", "invalid_content_length", 400),
        (b"Content-Length: \r\n", "invalid_content_length", 400),
        (b"Content-Length:\r\n", "invalid_content_length", 400),
        (b"Content-Length: 5 5\r\n", "invalid_content_length", 400),
        (b"Content-Length: 5,\r\n", "invalid_content_length", 400),
        (b"Content-Length: 5.0\r\n", "invalid_content_length", 400),
        (b"Content-Length: 18446744073709551616\r\n", "invalid_content_length", 400),
        (b"Content-Length: \xef\xbc\x95\r\n", "invalid_content_length", 400),
        (b"Transfer-Encoding: chunked, identity\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: identity, chunked\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: identity\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: ,chunked\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: chunked,\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: chunked, chunked\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: xchunked\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: \"chunked\"\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: chunked;a=b\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: \r\n", "unsupported_transfer_encoding", 501),
        (b"Transfer-Encoding: \x0bchunked\r\n", "invalid_characters", 400),
        (b"Transfer-Encoding: chunked\0\r\n", "invalid_characters", 400),
        (b"Transfer-Encoding : chunked\r\n", "invalid_header", 400),
        (b"Content-Length : 5\r\n", "invalid_header", 400),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "unsupported_transfer_encoding",
            501,
        ),
    ];
    for (lines, code, status) in cases {
        check(&[(&post(lines), &format!("http1.{code}"), status)]);
    }
    let accept = Limits { accept_http_10: true, ..Limits::default() };
    let refusal = request_within(
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        &accept,
    );
    assert_eq!(refusal.map_err(|r| r.code).err(), Some("http1.transfer_encoding_in_http_10"));
}

#[test]
fn line_ends_that_are_not_crlf() {
    for bytes in [
        b"GET / HTTP/1.1\nHost: a\n\n".as_slice(),
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\n b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r: y\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        check(&[(bytes, "http1.bare_cr_or_lf", 400)]);
    }
}

#[test]
fn fields_that_are_not_fields() {
    for line in [
        b"X : y".as_slice(),
        b": y",
        b"no colon",
        b"nocolon",
        b" X: y",
        b"\tX: y",
        b"X(: y",
        b"X@: y",
        b"X/: y",
        b"X{: y",
        b"X,: y",
        b"\"X\": y",
        b"X\x85: y",
        b"X\xa0: y",
        b"X\xff: y",
        b"X\xc3\xa9: y",
        b":authority: b",
        b":path: /x",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b"X: a\r\n ",
    ] {
        check(&[(&get(&[line, b"\r\n"].concat()), "http1.invalid_header", 400)]);
    }
    for line in [
        b"X\0: y".as_slice(),
        b"X\x7f: y",
        b"X: a\0b",
        b"X: a\x01b",
        b"X: a\x7fb",
        b"X: \x0ba",
        b"X: a\x0c",
    ] {
        check(&[(&get(&[line, b"\r\n"].concat()), "http1.invalid_characters", 400)]);
    }
    // The first line of all cannot be folded onto the start line either.
    check(&[
        (b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", "http1.invalid_header", 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "http1.invalid_header", 400),
    ]);
}

#[test]
fn start_lines() {
    let cases: [(&[u8], &str, u16); 44] = [
        (b"FOO / HTTP/1.1", "invalid_method", 400),
        (b"get / HTTP/1.1", "invalid_method", 400),
        (b"M-SEARCH / HTTP/1.1", "invalid_method", 400),
        (b"PRI * HTTP/2.0", "unsupported_version", 426),
        (b"G(T / HTTP/1.1", "invalid_start_line", 400),
        (b"G\x01T / HTTP/1.1", "invalid_characters", 400),
        (b" GET / HTTP/1.1", "invalid_start_line", 400),
        (b"GET  / HTTP/1.1", "invalid_start_line", 400),
        (b"GET /  HTTP/1.1", "invalid_start_line", 400),
        (b"GET\t/ HTTP/1.1", "invalid_start_line", 400),
        (b"GET /\tHTTP/1.1", "invalid_start_line", 400),
        (b"GET / a HTTP/1.1", "invalid_start_line", 400),
        (b"GET / HTTP/1.1 ", "invalid_start_line", 400),
        (b"GET / HTTP/1.1x", "invalid_start_line", 400),
        (b"GET / HTTP/1.1 x", "invalid_start_line", 400),
        (b"GET / HTTP/1.32", "invalid_start_line", 400),
        (b"GET / HTTP/1.0", "unsupported_version", 426),
        (b"GET / HTTP/0.9", "unsupported_version", 426),
        (b"GET / HTTP/1.2", "unsupported_version", 426),
        (b"GET / HTTP/2.0", "unsupported_version", 426),
        (b"GET / HTTP/3", "invalid_start_line", 400),
        (b"GET / HTTP/4294967295.255", "invalid_start_line", 400),
        (b"GET / http/1.1", "invalid_start_line", 400),
        (b"GET / HTTP/01.1", "invalid_start_line", 400),
        (b"GET / HTTPS/1.1", "invalid_start_line", 400),
        (b"GET /", "invalid_start_line", 400),
        (b"GET", "invalid_start_line", 400),
        (b"GET a HTTP/1.1", "invalid_url", 400),
        (b"GET * HTTP/1.1", "invalid_url", 400),
        (b"GET ?a HTTP/1.1", "invalid_url", 400),
        (b"GET \\a HTTP/1.1", "invalid_url", 400),
        (b"GET /a#b HTTP/1.1", "fragment_in_path", 400),
        (b"GET /a\x7f HTTP/1.1", "invalid_characters", 400),
        (b"GET /a\xff HTTP/1.1", "invalid_start_line", 400),
        (b"GET ftp://b/x HTTP/1.1", "invalid_scheme", 400),
        (b"GET ws://b/x HTTP/1.1", "invalid_scheme", 400),
        (b"GET http:///x HTTP/1.1", "invalid_url", 400),
        (b"GET http:/x HTTP/1.1", "invalid_url", 400),
        (b"GET http://b?q HTTP/1.1", "invalid_url", 400),
        (b"GET http://b:/x HTTP/1.1", "invalid_url", 400),
        (b"GET http://b:x/ HTTP/1.1", "invalid_url", 400),
        (b"GET http://u:p@b/x HTTP/1.1", "invalid_url", 400),
        (b"GET http://b\\c/x HTTP/1.1", "invalid_url", 400),
        (b"GET http://[::1%25eth0]/x HTTP/1.1", "invalid_url", 400),
    ];
    for (line, code, status) in cases {
        let bytes = [line, b"\r\nHost: a\r\n\r\n"].concat();
        check(&[(&bytes, &format!("http1.{code}"), status)]);
    }
    check(&[(b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_start_line", 400)]);
}

#[test]
fn hosts() {
    check(&[
        (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", "http1.missing_host", 400),
        (&get(b"Host: a\r\n"), "http1.duplicate_host", 400),
        (&get(b"host: b\r\n"), "http1.duplicate_host", 400),
    ]);
    for host in [
        "a b",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a:x",
        "a:",
        "a:-1",
        "a:+1",
        "a:80:80",
        "a:99999",
        ":80",
        "::1",
        "[::1",
        "a]",
        "[]",
        "[::1]x",
        "[::1%eth0]",
        "[::1%25eth0]",
        "a%2fb",
        "<a>",
        "\"a\"",
        "a|b",
        "a^b",
        "a`b",
        "a{b}",
        "http://a",
        "a\tb",
        "\u{e9}",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check(&[(bytes.as_bytes(), "http1.invalid_authority", 400)]);
        // What would stand behind the target's authority is no better.
        let bytes = format!("GET http://b/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check(&[(bytes.as_bytes(), "http1.invalid_authority", 400)]);
    }
}

#[test]
fn connect() {
    for target in ["a", "a:x", "/", "http://a:80", "a:80/x", "*", ":80", "u@a:80", "a:99999"] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        check(&[(bytes.as_bytes(), "http1.invalid_url", 400)]);
    }
    let lines = |line: &str| format!("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    check(&[
        (lines("Content-Length: 5").as_bytes(), "http1.body_disallowed", 400),
        (
            lines("Transfer-Encoding: chunked").as_bytes(),
            "http1.unsupported_transfer_encoding",
            501,
        ),
    ]);
}

#[test]
fn connection_lists_what_it_must_not() {
    for name in ["host", "Content-Length", "transfer-encoding", "x-forwarded-for", ":path"] {
        let bytes = get(format!("Connection: close, {name}\r\n").as_bytes());
        check(&[(&bytes, "http1.connection_header_rejected", 400)]);
    }
    let ten = get(b"Connection: a, b, c, d, e\r\nConnection: f, g, h, i, j\r\n");
    check(&[(&ten, "http1.connection_header_rejected", 400)]);
    let two = get(b"Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: foo\r\n");
    check(&[(&two, "http1.duplicate_upgrade", 400)]);
}

#[test]
fn heads_beyond_the_limits() {
    let sized = |size: usize| {
        let lines = |value: &[u8]| get(&[b"X: ", value, b"\r\n"].concat());
        lines(&vec![b'a'; size - lines(b"").len()])
    };
    assert!(request(&sized(60 * 1024)).is_ok(), "60 KiB are within the limit");
    check(&[(&sized(60 * 1024 + 1), "http1.headers_too_large", 431)]);
    // Nobody has to wait for the end of what is too large already.
    let endless = sized(70_000);
    check(&[(&endless[..61_441], "http1.headers_too_large", 431)]);
    check(&[(&b"\r\n".repeat(40_000), "http1.headers_too_large", 431)]);

    assert!(request(&get(&b"X: y\r\n".repeat(99))).is_ok(), "100 fields are within the limit");
    check(&[(&get(&b"X: y\r\n".repeat(100)), "http1.too_many_headers", 431)]);
}

#[test]
fn what_cannot_become_a_request_is_refused_before_it_ends() {
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".as_slice(),
        b"\0",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"GET\r",
        b"FOO ",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        check(&[(bytes, "http1.invalid_method", 400)]);
    }
    check(&[(b"\n", "http1.bare_cr_or_lf", 400), (b"\r\rG", "http1.bare_cr_or_lf", 400)]);
}
