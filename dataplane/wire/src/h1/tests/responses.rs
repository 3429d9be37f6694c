//! Responses, read and refused.

use super::*;
use crate::head::Version;

const HEAD: ResponseTo = ResponseTo { head: true, connect: false, upgrade: false };
const CONNECT: ResponseTo = ResponseTo { head: false, connect: true, upgrade: false };
const UPGRADE: ResponseTo = ResponseTo { head: false, connect: false, upgrade: true };
const GET: ResponseTo = ResponseTo { head: false, connect: false, upgrade: false };

fn bytes(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\n{fields}\r\n").into_bytes()
}

#[test]
fn framing_follows_status_and_request() {
    const LENGTH: &str = "Content-Length: 2\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    const SWITCH: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    for (to, status, fields, framing) in [
        (GET, 200, LENGTH, Framing::Length(2)),
        (GET, 200, CHUNKED, Framing::Chunked),
        (GET, 200, "", Framing::UntilClose),
        (GET, 205, "", Framing::UntilClose),
        (GET, 204, "", Framing::None),
        (GET, 204, "Content-Length: 0\r\n", Framing::None),
        (GET, 304, "", Framing::None),
        (GET, 304, LENGTH, Framing::None),
        (GET, 304, CHUNKED, Framing::None),
        (GET, 100, "", Framing::None),
        (GET, 103, "Content-Length: 0\r\nLink: x\r\n", Framing::None),
        (HEAD, 200, LENGTH, Framing::None),
        (HEAD, 200, CHUNKED, Framing::None),
        (HEAD, 200, "", Framing::None),
        (CONNECT, 200, "", Framing::UntilClose),
        (CONNECT, 403, LENGTH, Framing::Length(2)),
        (UPGRADE, 101, SWITCH, Framing::UntilClose),
        (UPGRADE, 200, LENGTH, Framing::Length(2)),
        (UPGRADE, 200, SWITCH, Framing::UntilClose),
    ] {
        let head = response_to(to, &bytes(&format!("HTTP/1.1 {status} X"), fields));
        let head = head.unwrap_or_else(|refusal| panic!("{to:?} {status} {fields:?}: {refusal:?}"));
        assert_eq!(head.framing, framing, "{to:?} {status} {fields:?}");
        assert_eq!(head.upgrade.is_some(), status == 101);
        assert_eq!(head.keep_alive, framing != Framing::UntilClose);
    }
    let head = response_to(HEAD, &bytes("HTTP/1.1 200 OK", LENGTH)).expect("it is fine");
    assert_eq!(fields_of(&head), "content-length: 2\n", "what the body would have been stays");
}

#[test]
fn status_lines() {
    for (line, status, version) in [
        ("HTTP/1.1 200 OK", 200, Version::Http11),
        ("HTTP/1.1 200", 200, Version::Http11),
        ("HTTP/1.1 200 ", 200, Version::Http11),
        ("HTTP/1.1 404 A Reason\tof its own", 404, Version::Http11),
        ("HTTP/1.0 200 OK", 200, Version::Http10),
        ("HTTP/1.1 999 X", 999, Version::Http11),
    ] {
        let head = response(&bytes(line, "Content-Length: 0\r\n")).expect(line);
        assert_eq!((head.status, head.version), (status, version), "{line}");
        assert_eq!(head.keep_alive, version == Version::Http11, "{line}");
    }
    for line in [
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "ICY 200 OK",
        "http/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 O\0K",
    ] {
        let refusal = response(&bytes(line, "")).map_err(|refusal| refusal.status);
        assert_eq!(refusal.err(), Some(502), "{line:?}");
    }
}

#[test]
fn what_a_server_may_not_send() {
    for (to, line, fields, code) in [
        (GET, "200", "Content-Length: 2\r\nTransfer-Encoding: chunked", "conflicting_framing"),
        (HEAD, "200", "Content-Length: 2\r\nTransfer-Encoding: chunked", "conflicting_framing"),
        (GET, "200", "Content-Length: 2\r\nContent-Length: 2", "duplicate_content_length"),
        (GET, "200", "Content-Length: 2, 2", "invalid_content_length"),
        (GET, "200", "Content-Length: +2", "invalid_content_length"),
        (GET, "200", "Transfer-Encoding: gzip", "unsupported_transfer_encoding"),
        (GET, "200", "Transfer-Encoding: gzip, chunked", "unsupported_transfer_encoding"),
        (GET, "200", "Transfer-Encoding: identity", "unsupported_transfer_encoding"),
        (GET, "204", "Content-Length: 2", "body_disallowed_by_status"),
        (GET, "204", "Transfer-Encoding: chunked", "body_disallowed_by_status"),
        (GET, "100", "Content-Length: 2", "body_disallowed_by_status"),
        (UPGRADE, "101", "Transfer-Encoding: chunked", "body_disallowed_by_status"),
        (GET, "101", "Connection: upgrade\r\nUpgrade: websocket", "unasked_upgrade"),
        (UPGRADE, "101", "Connection: upgrade", "unasked_upgrade"),
        (UPGRADE, "101", "Upgrade: websocket", "unasked_upgrade"),
        (GET, "200", "X : y", "invalid_header"),
        (GET, "200", "X: a\r\n b", "invalid_header"),
        (GET, "200", "X: a\nb: c", "bare_cr_or_lf"),
        (GET, "200", "X: a\0", "invalid_header"),
    ] {
        let bytes = bytes(&format!("HTTP/1.1 {line} X"), &format!("{fields}\r\n"));
        match response_to(to, &bytes) {
            Err(refusal) => {
                assert_eq!(refusal.code, format!("http1.{code}"), "{line} {fields:?}");
                assert_eq!(refusal.status, 502);
            }
            Ok(_) => panic!("{line} {fields:?} was taken"),
        }
    }
    let old = response(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.err().map(|r| r.code), Some("http1.transfer_encoding_in_http_10"));
    let many = bytes("HTTP/1.1 200 OK", &"X: y\r\n".repeat(101));
    assert_eq!(response(&many).err().map(|r| (r.code, r.status)).unwrap_or_default().1, 502);
}

#[test]
fn garbage_is_refused_at_its_first_byte() {
    for bytes in [b"\0".as_slice(), b"\x15\x03", b"SSH-", b"HTTP/2", b"HTTQ"] {
        let parsed = parse_response(bytes, GET, &Limits::default(), &mut Head::default())
            .map_err(|r| r.code);
        assert_eq!(parsed, Err("http1.invalid_start_line"));
    }
}

#[test]
fn a_request_tells_what_its_response_may_be() {
    let facts = |bytes: &[u8]| ResponseTo::of(&request(bytes).expect("it is fine"));
    assert_eq!(facts(&get(b"")), GET);
    assert_eq!(facts(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), HEAD);
    assert_eq!(facts(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), CONNECT);
    assert_eq!(facts(&get(b"Connection: upgrade\r\nUpgrade: websocket\r\n")), UPGRADE);
}
