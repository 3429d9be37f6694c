//! What holds for any bytes: no panic, and the same result however the bytes are split.

use proptest::prelude::*;

use super::super::{lines, request, response};
use super::bodies::decode;
use super::*;

/// What a caller sees who gets the bytes in pieces: as soon as there is a result, it stands.
fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Option<(usize, String)>, Refusal> {
    let mut head = Head::default();
    for seen in (0..bytes.len()).step_by(piece.max(1)).chain([bytes.len()]) {
        let parsed = parse_request(&bytes[..seen], &Limits::default(), &mut head)?;
        if let Parsed::Complete { consumed } = parsed {
            return Ok(Some((consumed, format!("{head:?}"))));
        }
    }
    Ok(None)
}

/// Bytes that look like a message more often than not.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    #[rustfmt::skip]
    let words: Vec<&'static [u8]> = vec![
        b"GET ", b"POST ", b"CONNECT ", b"/", b"a", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: a",
        b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b"\0", b"\x80",
        b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"Connection: ", b"upgrade",
        b"Upgrade: ", b"5", b"0", b";", b"hello", b"http://", b"HTTP/1.1 ", b"200 OK", b"#",
        b"101 Switching\r\n", b"103 Hints\r\n", b"304 Not\r\n", b"x-trailer: t",
    ];
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_a_request_reads_the_same(bytes in soup(), piece in 1_usize..9) {
        let whole = read_in_pieces(&bytes, usize::MAX);
        let pieces = read_in_pieces(&bytes, piece);
        match (&whole, &pieces) {
            // What is refused whole may be refused sooner, and for what comes first.
            (Err(_), Err(_)) => {}
            _ => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn any_split_of_a_response_reads_the_same(
        bytes in soup(),
        piece in 1_usize..9,
        (head, connect, upgrade) in any::<(bool, bool, bool)>(),
    ) {
        let to = ResponseTo { head, connect, upgrade };
        let bytes = [b"HTTP/1.1 ".as_slice(), &bytes].concat();
        let read = |piece: usize| {
            let mut head = Head::default();
            for seen in (0..bytes.len()).step_by(piece).chain([bytes.len()]) {
                let parsed = parse_response(&bytes[..seen], to, &Limits::default(), &mut head)?;
                if let Parsed::Complete { consumed } = parsed {
                    return Ok(Some((consumed, format!("{head:?}"))));
                }
            }
            Ok::<_, Refusal>(None)
        };
        match (read(usize::MAX), read(piece)) {
            (Err(_), Err(_)) => {}
            (whole, pieces) => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn a_request_that_is_read_can_be_written_and_read_again(bytes in soup()) {
        let mut head = Head::default();
        if let Ok(Parsed::Complete { .. }) = parse_request(&bytes, &Limits::default(), &mut head) {
            strip_hop_by_hop(&mut head);
            let mut out = Vec::new();
            prop_assert!(encode_request(&head, head.framing, &mut out));
            let again = request(&out).expect("what we write can be read");
            prop_assert_eq!(again.authority(), head.authority());
            prop_assert_eq!(again.path(), head.path());
            let same = again.framing == head.framing
                || (again.framing, head.framing) == (Framing::Length(0), Framing::None);
            prop_assert!(same, "{:?} became {:?}", head.framing, again.framing);
        }
    }

    #[test]
    fn what_is_read_at_once_is_what_is_read_line_by_line(any in soup(), rest in soup()) {
        let whole = [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), &rest, b"\r\n\r\n"].concat();
        let limits = Limits::default();
        for bytes in [&any, &whole] {
            let (mut one, mut other) = (Head::default(), Head::default());
            let quick = parse_request(bytes, &limits, &mut one);
            let slow = request::line_by_line(bytes, &limits, &mut other);
            prop_assert_eq!(&quick, &slow);
            let same = format!("{one:?}") == format!("{other:?}");
            prop_assert!(quick.is_err() || same);
        }
        let bytes = [b"HTTP/1.1 200 OK\r\n".as_slice(), &rest, b"\r\n\r\n"].concat();
        let (mut one, mut other) = (Head::default(), Head::default());
        let to = ResponseTo::default();
        let quick = parse_response(&bytes, to, &limits, &mut one);
        let slow = response::line_by_line(&bytes, to, &limits, &mut other);
        prop_assert_eq!(&quick, &slow.map_err(Refusal::of_response));
        let same = format!("{one:?}") == format!("{other:?}");
        prop_assert!(quick.is_err() || same);
    }

    #[test]
    fn letters_are_lowered_and_nothing_else(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        (start, len) in (0_usize..40, 0_usize..40),
    ) {
        let (start, len) = (start.min(bytes.len()), len.min(bytes.len().saturating_sub(start)));
        let mut expected = bytes.clone();
        expected[start..start + len].make_ascii_lowercase();
        let mut head = Head::default();
        head.start(&bytes);
        head.lower(head.span(start, len));
        prop_assert_eq!(head.base(), expected);
    }

    #[test]
    fn lines_of_what_is_read_end_in_crlf(bytes in soup(), after in soup()) {
        let status = [b"HTTP/1.1 200 OK\r\n".as_slice(), &after, b"\r\n\r\n"].concat();
        let (limits, mut head) = (Limits::default(), Head::default());
        let read = [
            (&bytes, parse_request(&bytes, &limits, &mut head)),
            (&status, parse_response(&status, ResponseTo::default(), &limits, &mut head)),
        ];
        for (bytes, parsed) in read {
            let Ok(Parsed::Complete { consumed }) = parsed else { continue };
            prop_assert_eq!(lines::check_ends(&bytes[..consumed]), Ok(()));
        }
    }

    #[test]
    fn lines_are_written_as_one_or_each_by_itself(
        fields in prop::collection::vec("[a-c]{1,3}: ?[x-z ]{0,4}", 0..8),
        gone in any::<u8>(),
        added in any::<bool>(),
    ) {
        let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
        let mut head = request(&get(lines.as_bytes())).expect("a request");
        let mut at = 0;
        head.retain(|_| {
            at += 1;
            gone >> (at % 8) & 1 == 0
        });
        if added {
            head.append(b"x-added", b"1");
        }
        let each: String = fields_of(&head).lines().map(|line| format!("{line}\r\n")).collect();
        let mut out = Vec::new();
        prop_assert!(encode_request(&head, Framing::None, &mut out));
        let expected = format!("GET / HTTP/1.1\r\nhost: a\r\n{each}\r\n");
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn any_split_of_chunks_reads_the_same(bytes in soup(), piece in 1_usize..9) {
        let whole = decode(Framing::Chunked, &bytes, usize::MAX);
        prop_assert_eq!(whole, decode(Framing::Chunked, &bytes, piece));
    }

    #[test]
    fn chunks_carry_their_bytes_unchanged(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
        piece in 1_usize..60,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            let mut size = [0; 18];
            let len = chunk_head(chunk.len(), &mut size);
            wire.extend_from_slice(&size[..len]);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(CHUNK_END);
        }
        wire.extend_from_slice(LAST_CHUNK);
        let decoded = decode(Framing::Chunked, &wire, piece);
        prop_assert_eq!(decoded, Ok((chunks.concat(), wire.len(), true)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), words in soup()) {
        let (limits, mut head) = (Limits::default(), Head::default());
        for input in [bytes.as_slice(), &words] {
            let _ = parse_request(input, &limits, &mut head);
            strip_hop_by_hop(&mut head);
            let _ = encode_request(&head, head.framing, &mut Vec::new());
            let all = ResponseTo { head: true, connect: true, upgrade: true };
            for to in [ResponseTo::default(), all] {
                let _ = parse_response(input, to, &limits, &mut head);
                let _ = encode_response(&head, None, head.framing, &mut Vec::new());
            }
            let status = [b"HTTP/1.1 200 OK\r\n".as_slice(), input, b"\r\n\r\n"].concat();
            let _ = parse_response(&status, ResponseTo::default(), &limits, &mut head);
            let _ = decode(Framing::Chunked, input, 7);
            let _ = find_end(input, 5);
        }
    }
}
