//! RFC 9113, 8 by table: what heads say, and which are malformed.

use super::*;

/// What a server reads of these fields, without a body.
fn read(fields: &[(&str, &str)], config: &Config) -> String {
    let mut server = Watched::server_with(config);
    server.feed(&headers(1, WHOLE, fields)).expect("no end of the connection");
    server.log.join("\n")
}

/// What a client reads of this answer to such a request.
fn read_answer(head: &Head, flags: u8, fields: &[(&str, &str)]) -> String {
    let mut client = Watched::client();
    client.feed(&settings(&[(8, 1)])).expect("extended CONNECT");
    client.clear();
    client.connection.send_request(head, true, 0).expect("a stream");
    client.feed(&headers(1, flags, fields)).expect("no end of the connection");
    client.log.join("\n")
}

/// With other fields in place of those of the same names, or behind them; an empty name in front
/// takes one out.
fn changed<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields: Vec<(&str, &str)> = GET.to_vec();
    for (name, value) in changes {
        match (name.strip_prefix('-'), fields.iter_mut().find(|(known, _)| known == name)) {
            (Some(gone), _) => fields.retain(|(known, _)| *known != gone),
            (None, Some(field)) if name.starts_with(':') => field.1 = value,
            (None, _) => fields.push((name, value)),
        }
    }
    fields
}

#[test]
fn requests_as_they_are_understood() {
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[], "head 1 end GET http://a / None "),
        (
            &[(":scheme", "https"), ("te", "trailers")],
            "head 1 end GET https://a / None te: trailers",
        ),
        (&[("-:authority", ""), ("host", "b:1")], "head 1 end GET http://b:1 / None "),
        (&[("host", "a"), ("x", "")], "head 1 end GET http://a / None x: "),
        (&[(":method", "OPTIONS"), (":path", "*")], "head 1 end OPTIONS http://a * None "),
        (&[(":path", "/p?q=%00")], "head 1 end GET http://a /p?q=%00 None "),
        (
            &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d"), ("cookie", "e=f")],
            "head 1 end GET http://a / None cookie: a=b; c=d; e=f; x: y",
        ),
        (&[("content-length", "0")], "head 1 end GET http://a / None content-length: 0"),
        (&[("x", "\u{e9} z"), ("x", "2")], "head 1 end GET http://a / None x: \\xc3\\xa9 z; x: 2"),
    ];
    for (changes, expected) in cases {
        assert_eq!(read(&changed(changes), &Config::default()), expected);
    }
}

#[test]
fn bodies_and_tunnels() {
    let extended = Config { extended_connect: true, ..Config::default() };
    let web_socket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/c"),
        (":authority", "a"),
        ("x", "y"),
    ];
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&POST, "head 1 POST http://a / Chunked "),
        (
            &[POST[0], POST[1], POST[2], POST[3], ("content-length", "7")],
            "head 1 POST http://a / Length(7) content-length: 7",
        ),
        (&[(":method", "CONNECT"), (":authority", "a:1")], "head 1 CONNECT ://a:1  UntilClose "),
        (
            &web_socket,
            "head 1 GET https://a /c UntilClose to websocket \
            x: y; upgrade: websocket; connection: upgrade",
        ),
    ];
    for (fields, expected) in cases {
        let mut server = Watched::server_with(&extended);
        server.feed(&headers(1, END_HEADERS, fields)).expect("no end of the connection");
        assert_eq!(server.log, [expected]);
    }
    assert!(read(&web_socket, &Config::default()).contains("unexpected_pseudo_header"));
    // The answer 101 is 200 on the wire.
    let mut server = Watched::server_with(&extended);
    server.feed(&headers(1, END_HEADERS, &web_socket)).expect("a request");
    server.connection.send_response(1, &answer(101), false).expect("an answer");
    assert!(server.connection.output().ends_with(&[0x88]));
    assert_eq!(server.connection.send_data(1, 3, false), Ok(Sent { bytes: 3, end: false }));
}

#[test]
fn malformed_requests() {
    let cases: [(&[(&str, &str)], &str); 50] = [
        // h2spec 8.1.2
        (&[("X-Test", "ok")], "invalid_header_name"),
        (&[("x y", "")], "invalid_header_name"),
        (&[("x:", "")], "invalid_header_name"),
        (&[("", "x")], "invalid_header_name"),
        (&[("x\u{e9}", "x")], "invalid_header_name"),
        (&[("x\0", "x")], "invalid_header_name"),
        (&[("x", "a\0b")], "invalid_header_value"),
        (&[("x", "a\rb")], "invalid_header_value"),
        (&[("x", "a\nb")], "invalid_header_value"),
        (&[("x", "a\r\nhost: b")], "invalid_header_value"),
        (&[("x", "a\x7f")], "invalid_header_value"),
        (&[("x", " a")], "invalid_header_value"),
        (&[("x", "a\t")], "invalid_header_value"),
        // h2spec 8.1.2.1
        (&[(":test", "ok")], "unexpected_pseudo_header"),
        (&[(":status", "200")], "unexpected_pseudo_header"),
        (&[("x", "y"), (":late", "")], "pseudo_header_after_header"),
        // h2spec 8.1.2.2
        (&[("connection", "keep-alive")], "connection_header_rejected"),
        (&[("keep-alive", "1")], "connection_header_rejected"),
        (&[("proxy-connection", "close")], "connection_header_rejected"),
        (&[("transfer-encoding", "chunked")], "connection_header_rejected"),
        (&[("upgrade", "h2c")], "connection_header_rejected"),
        (&[("te", "trailers, deflate")], "invalid_te"),
        (&[("te", "gzip")], "invalid_te"),
        // h2spec 8.1.2.3
        (&[(":path", "")], "invalid_path"),
        (&[("-:method", "")], "missing_pseudo_header"),
        (&[("-:scheme", "")], "missing_pseudo_header"),
        (&[("-:path", "")], "missing_pseudo_header"),
        (&[(":path", "p")], "invalid_path"),
        (&[(":path", "*")], "invalid_path"),
        (&[(":path", "http://a/")], "invalid_path"),
        (&[(":path", "/ HTTP/1.1")], "invalid_path"),
        (&[(":path", "/\u{e9}")], "invalid_path"),
        (&[(":path", "/a#b")], "fragment_in_path"),
        (&[(":method", "")], "invalid_method"),
        (&[(":method", "GET /x HTTP/1.1")], "invalid_method"),
        (&[(":scheme", "")], "invalid_scheme"),
        (&[(":scheme", "http ")], "invalid_header_value"),
        (&[(":scheme", "ftp")], "invalid_scheme"),
        (&[(":scheme", "http://b/")], "invalid_scheme"),
        (&[("-:authority", "")], "missing_authority"),
        (&[(":authority", "")], "invalid_authority"),
        (&[(":authority", "u@a")], "invalid_authority"),
        (&[(":authority", "a/b")], "invalid_authority"),
        (&[("host", "b")], "conflicting_host"),
        (&[("host", "a"), ("host", "a")], "duplicate_host"),
        (&[("content-length", "+0")], "invalid_content_length"),
        (&[("content-length", "0"), ("content-length", "0")], "duplicate_content_length"),
        (&[("content-length", "1")], "content_length_mismatch"),
        (&[(":method", "CONNECT")], "unexpected_pseudo_header"),
        (&[("-:scheme", ""), ("-:path", ""), (":method", "CONNECT")], "invalid_authority"),
    ];
    for (changes, code) in cases {
        let fields = changed(changes);
        let log = read(&fields, &Config::default());
        assert_eq!(log, format!("refused 1 http2.{code} ProtocolError"), "{fields:?}");
    }
    for twice in GET {
        let fields = [&[twice][..], &GET].concat();
        assert!(read(&fields, &Config::default()).contains("duplicate_pseudo_header"));
    }
    let strict = Config { malformed_ends_stream: false, ..Config::default() };
    let mut server = Watched::server_with(&strict);
    let refusal = server.feed(&headers(1, WHOLE, &changed(&[("te", "x")]))).expect_err("refused");
    assert_eq!((refusal.code, refusal.scope), ("http2.invalid_te", Scope::Connection));
}

#[test]
fn answers_as_they_are_understood() {
    let (get, head) = (request("GET", &[]), request("HEAD", &[]));
    let connect = request("CONNECT", &[]);
    let mut upgrade = request("GET", &[]);
    upgrade.upgrade = Some(upgrade.add_bytes(b"websocket"));
    type Case<'a> = (&'a Head, u8, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 20] = [
        (&get, WHOLE, &[(":status", "200")], "head 1 end 200 Length(0) "),
        (&get, END_HEADERS, &[(":status", "200")], "head 1 200 Chunked "),
        (
            &get,
            END_HEADERS,
            &[(":status", "404"), ("content-length", "3")],
            "head 1 404 Length(3) content-length: 3",
        ),
        (
            &head,
            WHOLE,
            &[(":status", "200"), ("content-length", "3")],
            "head 1 end 200 None content-length: 3",
        ),
        (
            &get,
            WHOLE,
            &[(":status", "304"), ("content-length", "3")],
            "head 1 end 304 None content-length: 3",
        ),
        (&get, END_HEADERS, &[(":status", "103"), ("link", "x")], "head 1 103 None link: x"),
        (&connect, END_HEADERS, &[(":status", "200")], "head 1 200 UntilClose "),
        (&connect, END_HEADERS, &[(":status", "500")], "head 1 500 Chunked "),
        (&upgrade, END_HEADERS, &[(":status", "200")], "head 1 101 UntilClose connection: upgrade"),
        (&upgrade, WHOLE, &[(":status", "403")], "head 1 end 403 Length(0) "),
        (&get, WHOLE, &[("x", "y")], "refused 1 http2.missing_pseudo_header ProtocolError"),
        (
            &get,
            WHOLE,
            &[(":status", "200"), (":status", "200")],
            "refused 1 http2.duplicate_pseudo_header ProtocolError",
        ),
        (
            &get,
            WHOLE,
            &[(":status", "200"), (":path", "/")],
            "refused 1 http2.unexpected_pseudo_header ProtocolError",
        ),
        (&get, WHOLE, &[(":status", "99")], "refused 1 http2.invalid_status ProtocolError"),
        (&get, WHOLE, &[(":status", "0200")], "refused 1 http2.invalid_status ProtocolError"),
        (&get, WHOLE, &[(":status", "101")], "refused 1 http2.invalid_status ProtocolError"),
        (
            &get,
            WHOLE,
            &[(":status", "100")],
            "refused 1 http2.interim_response_ends_stream ProtocolError",
        ),
        (
            &get,
            WHOLE,
            &[(":status", "204"), ("content-length", "1")],
            "refused 1 http2.body_disallowed_by_status ProtocolError",
        ),
        (
            &get,
            WHOLE,
            &[(":status", "200"), ("content-length", "1")],
            "refused 1 http2.content_length_mismatch ProtocolError",
        ),
        (
            &get,
            WHOLE,
            &[(":status", "200"), ("connection", "close")],
            "refused 1 http2.connection_header_rejected ProtocolError",
        ),
    ];
    for (request, flags, fields, expected) in cases {
        assert_eq!(read_answer(request, flags, fields), expected);
    }
    let mut client = Watched::client();
    client.connection.send_request(&head, true, 0).expect("a stream");
    let answer = [headers(1, END_HEADERS, &[(":status", "200")]), data(1, 0, b"x")].concat();
    client.feed(&answer).expect("no end of the connection");
    assert!(client.log[1].contains("content_length_mismatch"), "HEAD has no body");
}

#[test]
fn heads_beyond_a_limit_are_answered_and_leave_the_tables_in_step() {
    let config = Config { head_bytes_max: 1000, fields_max: 10, ..Config::default() };
    let mut server = Watched::server_with(&config);
    // Indexed, so that whoever stops reading would be out of step.
    let mut large = block(&GET);
    for at in 0..8 {
        large.extend(hpack_literal(&format!("x-{at}"), &"v".repeat(100)));
    }
    server.feed(&frame(Kind::Headers, WHOLE, 1, &large)).expect("no end of the connection");
    assert_eq!(server.log, ["too large 1 end http2.headers_too_large"]);
    server.connection.send_response(1, &answer(431), true).expect("an answer");
    let many: Vec<u8> = [block(&GET), block(&[("x", "y"); 11])].concat();
    server.feed(&frame(Kind::Headers, END_HEADERS, 3, &many)).expect("no end of the connection");
    server.connection.send_response(3, &answer(431), true).expect("an answer");
    server.connection.reset(3, ErrorCode::NoError);
    let next = [block(&GET), vec![0xbe]].concat();
    server.feed(&frame(Kind::Headers, WHOLE, 5, &next)).expect("the tables are in step");
    assert_eq!(server.log[1], "too large 3 http2.too_many_headers");
    assert_eq!(server.log[2], format!("head 5 end GET http://a / None x-7: {}", "v".repeat(100)));
    // Far beyond it is an attack: one byte for each 132.
    let bomb = [block(&GET), vec![0xbe; 100]].concat();
    let refusal = server.feed(&frame(Kind::Headers, WHOLE, 7, &bomb)).expect_err("refused");
    assert_eq!(refusal.code, "http2.header_list_far_too_large");
    // Crumbs that would be one field are counted one by one.
    let mut server = Watched::server_with(&config);
    let crumbs: Vec<u8> = [block(&GET), block(&[("cookie", ""); 11])].concat();
    server.feed(&frame(Kind::Headers, WHOLE, 1, &crumbs)).expect("no end of the connection");
    assert_eq!(server.log, ["too large 1 end http2.too_many_headers"]);
    // The same for answers and trailers, which nobody can be told of but the stream.
    let mut client = Watched::client();
    client.connection.send_request(&request("GET", &[]), true, 0).expect("a stream");
    let answer = [&[(":status", "200")][..], &[("x", "y"); 101]].concat();
    client.feed(&headers(1, WHOLE, &answer)).expect("no end of the connection");
    assert_eq!(client.log, ["refused 1 http2.too_many_headers InternalError"]);
}

/// A literal that goes into the table.
fn hpack_literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = block(&[(name, value)]);
    bytes[0] = 0x40;
    bytes
}

#[test]
fn the_smallest_table_within_a_frame_is_told_of() {
    // As nghttp asks for a table by `-c 10 -c 4096` (RFC 7541, 4.2).
    let mut server = Watched::server();
    server.feed(&settings(&[(1, 10), (1, 4096)])).expect("settings");
    server.feed(&get(1)).expect("a request");
    server.clear();
    server.connection.send_response(1, &answer(200), true).expect("an answer");
    let block = server.connection.output().get(9..).expect("a frame").to_vec();
    assert_eq!(block.get(..4), Some(&[0x2a, 0x3f, 0xe1, 0x1f][..]), "{block:02x?}");
}

#[test]
fn an_empty_crumb_leaves_no_space_at_an_end() {
    let mut server = Watched::server();
    let crumbs =
        [("cookie", ""), ("cookie", "a=b"), ("cookie", ""), ("cookie", "c"), ("cookie", "")];
    let head = [block(&GET), block(&crumbs)].concat();
    server.feed(&frame(Kind::Headers, WHOLE, 1, &head)).expect("a request");
    assert_eq!(server.log, ["head 1 end GET http://a / None cookie: a=b; c"]);
}
