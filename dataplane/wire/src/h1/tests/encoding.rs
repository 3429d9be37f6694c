//! Heads and chunks as they are written.

use super::*;
use crate::head::{NameForm, Version};

fn written(head: &Head, framing: Framing) -> String {
    let mut out = Vec::new();
    assert!(encode_request(head, framing, &mut out));
    String::from_utf8(out).expect("it is ASCII")
}

fn answered(head: &Head, framing: Framing) -> String {
    let mut out = Vec::new();
    assert!(encode_response(head, None, framing, &mut out));
    String::from_utf8(out).expect("it is ASCII")
}

#[test]
fn requests_as_envoy_writes_them() {
    for (bytes, expected) in [
        (get(b"X-Foo: Bar\r\n"), "GET / HTTP/1.1\r\nhost: a\r\nx-foo: Bar\r\n\r\n"),
        (post(b""), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        (
            post(b"Content-Length: 005\r\nX: y\r\n"),
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nx: y\r\n\r\n",
        ),
        (
            post(b"Transfer-Encoding: Chunked\r\nX: y\r\n"),
            "POST / HTTP/1.1\r\nhost: a\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (
            b"GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            "GET /x?y HTTP/1.1\r\nhost: b:80\r\n\r\n",
        ),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n".to_vec(), "GET / HTTP/1.1\r\nhost: \r\n\r\n"),
        (
            b"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n",
        ),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "DELETE / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ] {
        let head = request(&bytes).expect("it is fine");
        assert_eq!(written(&head, head.framing), expected);
    }
}

#[test]
fn what_filters_set_cannot_break_the_message() {
    let mut head = request(&get(b"")).expect("it is fine");
    assert!(!head.append(b"x", b"a\r\nevil: b"));
    assert!(!head.append(b"x\n", b"a"));
    assert!(!head.append(b"", b"a"));
    assert!(!head.set(b"x", b"a\0"));
    assert!(head.append(b"x", b"fine"));
    assert_eq!(written(&head, Framing::None), "GET / HTTP/1.1\r\nhost: a\r\nx: fine\r\n\r\n");
    head.path = head.add_bytes(b"/ HTTP/1.1\r\nevil: b");
    assert!(!encode_request(&head, Framing::None, &mut Vec::new()));
    head.path = head.add_bytes(b"/a b");
    assert!(!encode_request(&head, Framing::None, &mut Vec::new()));
    head.path = head.add_bytes(b"");
    assert!(!encode_request(&head, Framing::None, &mut Vec::new()));
}

#[test]
fn responses_as_envoy_writes_them() {
    for (bytes, framing, expected) in [
        ("200 Yes\r\nContent-Length: 2", None, "200 OK\r\ncontent-length: 2"),
        ("200 OK", None, "200 OK"),
        ("200 OK", Some(Framing::Chunked), "200 OK\r\ntransfer-encoding: chunked"),
        ("200 OK\r\nX: y", Some(Framing::Length(0)), "200 OK\r\nx: y\r\ncontent-length: 0"),
        ("418 X\r\nContent-Length: 0", None, "418 Unknown\r\ncontent-length: 0"),
        ("204 X\r\nContent-Length: 0", None, "204 No Content"),
        ("103 X\r\nContent-Length: 0\r\nLink: x", None, "103 Early Hints\r\nlink: x"),
        ("304 X\r\nContent-Length: 2", None, "304 Not Modified\r\ncontent-length: 2"),
        ("304 X\r\nTransfer-Encoding: chunked", None, "304 Not Modified"),
    ] {
        let head = response(format!("HTTP/1.1 {bytes}\r\n\r\n").as_bytes()).expect(bytes);
        let framing = framing.unwrap_or(head.framing);
        assert_eq!(answered(&head, framing), format!("HTTP/1.1 {expected}\r\n\r\n"));
    }
    let to = ResponseTo { head: true, ..ResponseTo::default() };
    let head = response_to(to, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").expect("fine");
    assert_eq!(answered(&head, head.framing), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
}

#[test]
fn responses_of_our_own() {
    let mut head = Head::default();
    (head.status, head.version) = (404, Version::Http10);
    head.append(b"content-type", b"text/plain");
    let mut out = Vec::new();
    assert!(encode_response(&head, Some("Nothing here"), Framing::Length(3), &mut out));
    let text = "HTTP/1.0 404 Nothing here\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\n";
    assert_eq!(out, text.as_bytes());
    out.clear();
    assert!(encode_response(&head, Some("a\r\nb: c"), Framing::None, &mut out));
    assert!(out.starts_with(b"HTTP/1.0 404 Not Found\r\n"), "a reason cannot end its line");
}

#[test]
fn a_sink_without_room_is_told() {
    struct Small(usize);
    impl Sink for Small {
        fn put(&mut self, bytes: &[u8]) -> bool {
            self.0.checked_sub(bytes.len()).map(|left| self.0 = left).is_some()
        }
    }
    let head = request(&get(b"X: y\r\n")).expect("it is fine");
    let len = written(&head, Framing::Chunked).len();
    assert!(encode_request(&head, Framing::Chunked, &mut Small(len)));
    for room in 0..len {
        assert!(!encode_request(&head, Framing::Chunked, &mut Small(room)), "{room} of {len}");
    }
}

#[test]
fn chunk_heads() {
    for len in [0, 1, 9, 10, 15, 16, 255, 256, 65536, usize::MAX] {
        let mut out = [0; 18];
        let size = chunk_head(len, &mut out);
        assert_eq!(out[..size], *format!("{len:x}\r\n").as_bytes());
    }
}

/// A head whose names are kept as they came.
fn kept(bytes: &[u8]) -> Head {
    let limits = Limits { keeps_names: true, ..Limits::default() };
    let mut head = Head::default();
    let parsed = parse_request(bytes, &limits, &mut head);
    assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
    head
}

#[test]
fn names_are_written_as_they_are_asked_for() {
    let bytes = b"GET / HTTP/1.1\r\nHOst: a\r\nX-FoO: 1\r\nx-foo: 2\r\nCONTENT-length: 3\r\n\r\n";
    for (form, expected) in [
        (NameForm::Lower, "host: a\r\nx-foo: 1\r\nx-foo: 2\r\ncontent-length: 3\r\nx-own: o"),
        (NameForm::Proper, "Host: a\r\nX-Foo: 1\r\nX-Foo: 2\r\nContent-Length: 3\r\nX-Own: o"),
        // The first of a name speaks for all, and for what is set later; as Envoy.
        (NameForm::Kept, "HOst: a\r\nX-FoO: 1\r\nX-FoO: 2\r\nCONTENT-length: 3\r\nx-own: o"),
        (
            NameForm::KeptOrProper,
            "HOst: a\r\nX-FoO: 1\r\nX-FoO: 2\r\nCONTENT-length: 3\r\nX-Own: o",
        ),
    ] {
        let mut head = kept(bytes);
        head.name_form = form;
        head.append(b"x-own", b"o");
        let whole = format!("GET / HTTP/1.1\r\n{expected}\r\n\r\n");
        assert_eq!(written(&head, head.framing), whole, "{form:?}");
    }
}

#[test]
fn the_absolute_form_is_written_where_it_is_asked_for() {
    let mut head = request(b"GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n").expect("it is fine");
    head.absolute = Some("https");
    assert!(written(&head, Framing::None).starts_with("GET https://h:1/a?b HTTP/1.1\r\n"));
    let mut head = request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").expect("it is fine");
    head.absolute = Some("https");
    assert!(written(&head, Framing::None).starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn what_a_configuration_lets_through_is_read() {
    let read = |bytes: &[u8], limits: Limits| {
        let mut head = Head::default();
        parse_request(bytes, &limits, &mut head).map(|_| head)
    };
    let both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\
                 Transfer-Encoding: chunked\r\n\r\n";
    assert!(read(both, Limits::default()).is_err());
    let lenient = Limits { chunked_with_length: true, ..Limits::default() };
    let head = read(both, lenient).expect("it is let through");
    assert_eq!(head.framing, Framing::Chunked);
    assert!(head.values(b"content-length").next().is_none(), "one framing only");
    let twice = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Length: 9\r\n\
                  Transfer-Encoding: chunked\r\n\r\n";
    assert!(read(twice, lenient).is_err());

    let old = Limits { accept_http_10: true, ..Limits::default() };
    assert!(read(b"GET / HTTP/1.0\r\n\r\n", old).is_err());
    let homeless = Limits { no_host_in_10: true, ..old };
    assert!(read(b"GET / HTTP/1.0\r\n\r\n", homeless).expect("read").authority().is_empty());
    assert!(read(b"GET / HTTP/1.1\r\n\r\n", homeless).is_err());
}
