use super::*;

const BOTH: Allowed = Allowed { v1: true, v2: true };

fn v2(command: u8, kind: u8, told: &[u8]) -> Vec<u8> {
    let length = u16::try_from(told.len()).unwrap().to_be_bytes();
    [V2, &[command, kind], &length, told].concat()
}

fn ends(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
    Some((source.parse().unwrap(), destination.parse().unwrap()))
}

/// Reads it with something behind it, and with each beginning of it.
fn heard(bytes: &[u8]) -> Heard {
    let whole = read(&[bytes, b"GET / HTTP/1.1\r\n"].concat(), BOTH);
    for length in 0..bytes.len() {
        let part = read(&bytes[..length], BOTH);
        let is_early = part == whole && matches!(whole, Heard::Malformed(_) | Heard::Absent);
        assert!(part == Heard::More || is_early, "{length}: {part:?}, {whole:?}");
    }
    whole
}

#[test]
fn lines_are_read() {
    let cases = [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 9 65535\r\n", ends("1.2.3.4:9", "5.6.7.8:65535")),
        ("PROXY TCP6 ::1 fe80::2 0 1\r\n", ends("[::1]:0", "[fe80::2]:1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN anything at all\r\n", None),
    ];
    for (line, ends) in cases {
        let header = Header { length: line.len(), ends };
        assert_eq!(heard(line.as_bytes()), Heard::Header(header), "{line}");
    }
}

#[test]
fn lines_that_are_none_are_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX));
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +9 10\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 \r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY TCP4 ::1 ::2 9 10\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY TCP6 ::1 1.2.3.4 9 10\r\n",
        "PROXY TCP4 0.0.0.0 5.6.7.8 9 10\r\n",
        "PROXY TCP4 1.2.3.4 224.0.0.1 9 10\r\n",
        "PROXY TCP4 1.2.3.4 255.255.255.255 9 10\r\n",
        "PROXY TCP6 :: ::1 9 10\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\n",
        &long,
    ] {
        assert!(matches!(heard(line.as_bytes()), Heard::Malformed(_)), "{line}");
    }
}

#[test]
fn binary_headers_are_read() {
    let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 255, 255];
    let mut six = [0_u8; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
    let told = ends("1.2.3.4:9", "5.6.7.8:65535");
    let cases = [
        (v2(0x21, 0x11, &four), told),
        (v2(0x21, 0x12, &four), told),
        (v2(0x21, 0x21, &six), ends("[::1]:3", "[::2]:4")),
        // With TLVs.
        (v2(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat()), told),
        (v2(0x21, 0x11, &[&four[..], &[0; 5000]].concat()), told),
        // The proxy speaks for itself.
        (v2(0x20, 0, &[]), None),
        (v2(0x20, 0x11, &four), None),
        (v2(0x20, 0x31, &[7; 216]), None),
    ];
    for (bytes, ends) in cases {
        assert_eq!(heard(&bytes), Heard::Header(Header { length: bytes.len(), ends }));
    }
}

#[test]
fn binary_headers_that_are_none_are_refused() {
    let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 255, 255];
    for bytes in [
        v2(0x11, 0x11, &four),
        v2(0x22, 0x11, &four),
        v2(0x21, 0x11, &four[..11]),
        v2(0x21, 0x21, &[1; 35]),
        v2(0x21, 0x31, &[1; 216]),
        v2(0x21, 0x13, &four),
        v2(0x21, 0x11, &[0; 12]),
    ] {
        assert!(matches!(heard(&bytes), Heard::Malformed(_)), "{bytes:?}");
    }
}

#[test]
fn what_is_no_header_is_the_clients() {
    let only_v1 = Allowed { v1: true, v2: false };
    let only_v2 = Allowed { v1: false, v2: true };
    for (bytes, allowed, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], BOTH, Heard::Absent),
        (b"PRI * HTTP/2.0\r\n", BOTH, Heard::Absent),
        (b"PR", BOTH, Heard::More),
        (b"", BOTH, Heard::More),
        (b"PROXY", BOTH, Heard::More),
        (b"PROXY UNKNOWN\r\n", only_v2, Heard::Absent),
        (b"P", only_v2, Heard::Absent),
        (V2, only_v1, Heard::Absent),
        (b"\r\n", only_v1, Heard::Absent),
        (b"\r\n", only_v2, Heard::More),
    ] {
        assert_eq!(read(bytes, allowed), expected, "{bytes:?}");
    }
}

#[test]
fn what_is_written_is_read() {
    for (source, destination) in
        [("1.2.3.4:5", "6.7.8.9:10"), ("[::1]:5", "[::2]:6"), ("1.2.3.4:5", "[::2]:6")]
    {
        for version in [Version::V1, Version::V2] {
            let mut bytes = Vec::new();
            write(version, ends(source, destination), &mut bytes);
            let Heard::Header(header) = heard(&bytes) else { panic!("{bytes:?}") };
            assert_eq!(header.length, bytes.len());
            let (from, to) = header.ends.unwrap();
            let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
            assert_eq!((canonical(from), canonical(to)), ends(source, destination).unwrap());
        }
    }
    for version in [Version::V1, Version::V2] {
        let mut bytes = Vec::new();
        write(version, None, &mut bytes);
        assert_eq!(heard(&bytes), Heard::Header(Header { length: bytes.len(), ends: None }));
    }
}
