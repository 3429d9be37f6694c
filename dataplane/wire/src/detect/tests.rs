//! First bytes of every kind, whole, cut and split.

use proptest::prelude::*;

use super::*;

/// Length-prefixed bytes.
fn prefixed<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u64).to_be_bytes();
    [&len[8 - N..], bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().as_slice(), &prefixed::<2>(data)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &prefixed::<2>(&[&[0], prefixed::<2>(name).as_slice()].concat()))
}

fn protocols(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| prefixed::<1>(name)).collect();
    extension(16, &prefixed::<2>(&list))
}

/// A ClientHello's handshake message with these extensions.
fn message(extensions: &[u8]) -> Vec<u8> {
    let body = [
        [3, 3].as_slice(),
        &[7; 32],
        &prefixed::<1>(&[9; 32]),
        &prefixed::<2>(&[0x13, 0x01, 0x13, 0x02]),
        &prefixed::<1>(&[0]),
        &prefixed::<2>(extensions),
    ]
    .concat();
    [[1].as_slice(), &prefixed::<3>(&body)].concat()
}

/// The message in records of at most so many bytes.
fn records(message: &[u8], fragment: usize) -> Vec<u8> {
    message
        .chunks(fragment)
        .flat_map(|part| [[0x16, 3, 1].as_slice(), &prefixed::<2>(part)].concat())
        .collect()
}

fn usual() -> Vec<u8> {
    let grease = extension(0x0a0a, b"");
    [grease, server_name(b"reviews.default"), protocols(&[b"istio", b"h2"])].concat()
}

/// What the bytes are, in words.
fn told(bytes: &[u8]) -> String {
    match tls(bytes, &mut Vec::new()) {
        Detected::More => "more".into(),
        Detected::No => "no".into(),
        Detected::Yes(hello) => {
            let alpn: Vec<_> = hello.alpn.iter().map(String::from_utf8_lossy).collect();
            format!("{} {}", hello.sni.unwrap_or("-"), alpn.join(","))
        }
    }
}

#[test]
fn a_client_hello_is_read_however_it_comes() {
    for fragment in [9999, 100, 11, 5, 4, 3] {
        let hello = records(&message(&usual()), fragment);
        for seen in 0..hello.len() {
            assert_eq!(told(&hello[..seen]), "more", "{seen} bytes in records of {fragment}");
        }
        assert_eq!(told(&hello), "reviews.default istio,h2", "in records of {fragment}");
        // What follows it, such as early data, is not looked at.
        let more = [hello.as_slice(), b"\x17\x03\x03\x00\x01x"].concat();
        assert_eq!(told(&more), "reviews.default istio,h2");
    }
}

#[test]
fn extensions_that_are_absent() {
    assert_eq!(told(&records(&message(b""), 9999)), "- ");
    assert_eq!(told(&records(&message(&server_name(b"a")), 9999)), "a ");
    assert_eq!(told(&records(&message(&protocols(&[b"h2"])), 9999)), "- h2");
    // TLS 1.2 allows a hello without the extensions' length.
    let mut bare = message(b"");
    bare.truncate(bare.len() - 2);
    bare[3] -= 2;
    assert_eq!(told(&records(&bare, 9999)), "- ");
}

#[test]
fn what_is_no_client_hello() {
    let whole = |extensions: &[u8]| records(&message(extensions), 9999);
    let twice = [server_name(b"a"), server_name(b"b")].concat();
    let two_names = extension(0, &prefixed::<2>(&[0, 0, 1, b'a', 0, 0, 1, b'b']));
    for (case, bytes) in [
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an alert", vec![0x15, 3, 1, 0, 2, 1, 0]),
        ("SSL 2", vec![0x80, 0x2e, 1, 3, 1]),
        ("a version from nowhere", vec![0x16, 4, 0]),
        ("an empty record", vec![0x16, 3, 1, 0, 0]),
        ("a record too long", vec![0x16, 3, 1, 0x40, 0x01]),
        ("a ServerHello", vec![0x16, 3, 1, 0, 4, 2]),
        ("a hello too long", vec![0x16, 3, 1, 0, 9, 1, 0, 0x40, 0x01]),
        ("a second message behind it", records(&[message(b""), vec![1]].concat(), 9999)),
        ("two names", whole(&two_names)),
        ("the names twice", whole(&twice)),
        ("an empty name", whole(&server_name(b""))),
        ("NUL in the name", whole(&server_name(b"a\0b"))),
        ("a name too long", whole(&server_name(&[b'a'; 256]))),
        ("a name that is not ASCII", whole(&server_name("\u{e9}".as_bytes()))),
        ("an empty protocol", whole(&protocols(&[b"h2", b""]))),
        ("no protocol", whole(&protocols(&[]))),
        ("protocols twice", whole(&[protocols(&[b"a"]), protocols(&[b"b"])].concat())),
        ("an extension cut short", whole(&[0, 16, 0, 9, 1])),
        ("too many records", records(&message(&extension(99, &[0; 999])), 3)),
    ] {
        assert_eq!(told(&bytes), "no", "{case}");
    }
    assert!(matches!(tls(b"", &mut Vec::new()), Detected::More));
}

#[test]
fn http_as_envoy_inspects_it() {
    use Http::{Http2, Http10, Http11};
    let long = [b"GET /".as_slice(), &[b'a'; 9000], b" HTTP/1.1\r\n"].concat();
    let endless = [b"GET /".as_slice(), &[b'a'; 70_000]].concat();
    let cases: [(&[u8], Detected<Http>); 40] = [
        (b"GET / HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"GET / HTTP/1.1\n", Detected::Yes(Http11)),
        (b"GET / HTTP/1.1", Detected::More),
        (b"GET / HTTP/1.1\r", Detected::More),
        (b"GET / HTTP/1.0\r\n", Detected::Yes(Http10)),
        (b"GET /\r\n", Detected::Yes(Http10)),
        (b"GET / HTTP/1.2\r\n", Detected::Yes(Http10)),
        (b"GET / HTTP/0.9\r\n", Detected::Yes(Http10)),
        (b"GET / HTTP/2.0\r\n", Detected::Yes(Http10)),
        (b"GET / HTTP/1.32\r\n", Detected::No),
        (b"GET / FOO\r\n", Detected::No),
        (b"FOO / HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"get / HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"\r\nGET / HTTP/1.1\r\n", Detected::No),
        (b"\nGET / HTTP/1.1\r\n", Detected::No),
        (b" GET / HTTP/1.1\r\n", Detected::No),
        (b"GET  /  HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"GET a HTTP/1.1\r\n", Detected::No),
        (b"GET / HTTP/1.1 \r\n", Detected::Yes(Http11)),
        (b"GET / a HTTP/1.1\r\n", Detected::No),
        (b"", Detected::More),
        (b"GET", Detected::More),
        (b"XYZ / ", Detected::More),
        (b"\x16\x03\x01", Detected::No),
        (b"\0", Detected::No),
        (b"GE\0", Detected::No),
        (PREFACE, Detected::Yes(Http2)),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Detected::Yes(Http10)),
        (b"PRI * HTTP/2.0\r\n\r\n", Detected::More),
        (b"P", Detected::More),
        (&long, Detected::Yes(Http11)),
        (&endless, Detected::No),
        (b"CONNECT a:80 HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"OPTIONS * HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"GET http://a/ HTTP/1.1\r\n", Detected::Yes(Http11)),
        (b"HELO x\r\n", Detected::No),
        (b"SSH-2.0-x\r\n", Detected::No),
        (b"GET /\xff HTTP/1.1\r\n", Detected::No),
        (b"HTTP/1.1 200 OK\r\n", Detected::No),
        (b"\r\n", Detected::No),
    ];
    for (bytes, expected) in cases {
        assert_eq!(http(bytes), expected, "{}", bytes[..bytes.len().min(60)].escape_ascii());
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Once there is an answer, more bytes do not change it, and no bytes panic.
    #[test]
    fn an_answer_stands(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        fragment in 1_usize..200,
    ) {
        let mut hello = records(&message(&usual()), fragment);
        let place = at.index(hello.len());
        hello[place] = value;
        for input in [bytes, hello, [PREFACE, &[value]].concat()] {
            let mut answers = (None, None);
            for seen in 0..=input.len() {
                let (first, second) = (told(&input[..seen]), http(&input[..seen]));
                if let Some(answer) = &answers.0 {
                    prop_assert_eq!(answer, &first);
                } else if first != "more" {
                    answers.0 = Some(first);
                }
                if let Some(answer) = answers.1 {
                    prop_assert_eq!(answer, second);
                } else if second != Detected::More {
                    answers.1 = Some(second);
                }
            }
        }
    }
}
