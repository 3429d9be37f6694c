//! Bodies: how much is framing, how much is data, and what is refused.

use super::*;

/// Decodes all of the input in pieces of a size: the data, and how many bytes the body took.
pub(super) fn decode(
    framing: Framing,
    input: &[u8],
    piece: usize,
) -> Result<(Vec<u8>, usize, bool), Refusal> {
    let (mut body, mut data, mut used) = (Body::new(framing), Vec::new(), 0);
    for mut rest in input.chunks(piece.max(1)) {
        loop {
            let step = body.step(rest)?;
            data.extend_from_slice(&rest[step.skip..step.skip + step.data]);
            used += step.skip + step.data;
            rest = &rest[step.skip + step.data..];
            assert_eq!(step.done, body.is_done());
            if step.done {
                return Ok((data, used, true));
            }
            if step.skip + step.data == 0 {
                assert!(rest.is_empty(), "a body that is not done takes what there is");
                break;
            }
        }
    }
    Ok((data, used, body.is_done()))
}

#[test]
fn lengths() {
    assert_eq!(decode(Framing::Length(3), b"abcdef", 9), Ok((b"abc".to_vec(), 3, true)));
    assert_eq!(decode(Framing::Length(3), b"ab", 1), Ok((b"ab".to_vec(), 2, false)));
    assert_eq!(decode(Framing::UntilClose, b"abc", 2), Ok((b"abc".to_vec(), 3, false)));
    for framing in [Framing::None, Framing::Length(0)] {
        let mut body = Body::new(framing);
        assert!(body.is_done());
        assert_eq!(body.step(b"next"), Ok(Step { skip: 0, data: 0, done: true }));
    }
    let mut body = Body::new(Framing::Length(u64::MAX));
    assert_eq!(body.step(b"abc"), Ok(Step { skip: 0, data: 3, done: false }));
}

#[test]
fn chunks() {
    for input in [
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n000\r\n\r\n",
        "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;x=y\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0\r\n\r\n",
        "5 ;a=b\r\nhello\r\n0 \t;x\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: b\r\n\r\n",
    ] {
        let whole = [input.as_bytes(), b"GET"].concat();
        for piece in 1..=whole.len() {
            let decoded = decode(Framing::Chunked, &whole, piece);
            assert_eq!(decoded, Ok((b"hello".to_vec(), input.len(), true)), "{input:?} {piece}");
        }
    }
    let (data, _, _) = decode(Framing::Chunked, b"aB\r\n0123456789", 99).expect("it begins well");
    assert_eq!(data, b"0123456789");
}

#[test]
fn broken_chunks() {
    let long = format!("5;{}\r\nhello", "a".repeat(5000));
    for (input, code) in [
        ("\r\nhello", "invalid_chunk_size"),
        ("0x5\r\nhello", "invalid_chunk_size"),
        ("+5\r\nhello", "invalid_chunk_size"),
        ("-1\r\nhello", "invalid_chunk_size"),
        ("1_0\r\nhello", "invalid_chunk_size"),
        (" 5\r\nhello", "invalid_chunk_size"),
        ("5 \r\nhello", "invalid_chunk_size"),
        ("5\t\r\nhello", "invalid_chunk_size"),
        ("5,\r\nhello", "invalid_chunk_size"),
        ("5\0\r\nhello", "invalid_chunk_size"),
        ("g\r\nhello", "invalid_chunk_size"),
        ("5\nhello", "invalid_chunk_size"),
        ("10000000000000005\r\nhello", "invalid_chunk_size"),
        ("5\rhello", "bare_cr_or_lf"),
        ("5;a=\rb\r\nhello", "bare_cr_or_lf"),
        ("5;a=b\nx\r\nhello", "invalid_chunk_extension"),
        ("5;\n\r\nhello", "invalid_chunk_extension"),
        ("5;a=b\0\r\nhello", "invalid_chunk_extension"),
        (&long, "chunk_line_too_long"),
        ("5\r\nhello\n0\r\n\r\n", "invalid_chunk_end"),
        ("5\r\nhello0\r\n\r\n", "invalid_chunk_end"),
        ("5\r\nhelloXX\r\n0\r\n\r\n", "invalid_chunk_end"),
        ("5\r\nhello\r\r\n", "invalid_chunk_end"),
        ("5\r\nhello\r\n\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("5\r\nhello\r\n0\n\r\n", "invalid_chunk_size"),
        ("5\r\nhello\r\n0\r\n\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\nnocolon\r\n\r\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\nX : y\r\n\r\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\n: y\r\n\r\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\n X: y\r\n\r\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\nX: y\0\r\n\r\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\nX: y\n\r\n", "invalid_trailer"),
        ("5\r\nhello\r\n0\r\nX: y\r\r\n", "invalid_trailer"),
    ] {
        for piece in [1, 2, 3, 9999] {
            let refusal = decode(Framing::Chunked, input.as_bytes(), piece).err();
            let refusal = refusal.unwrap_or_else(|| panic!("{input:?} was taken"));
            assert_eq!(refusal.code, format!("http1.{code}"), "{input:?}");
            assert_eq!(refusal.status, 400);
        }
    }
}

#[test]
fn trailers_have_a_limit() {
    let input = [b"0\r\nX: ".as_slice(), &vec![b'a'; 70_000]].concat();
    let refusal = decode(Framing::Chunked, &input, 1000).expect_err("it is too long");
    assert_eq!((refusal.code, refusal.status), ("http1.headers_too_large", 431));
}

#[test]
fn what_is_refused_once_stays_refused() {
    let mut body = Body::new(Framing::Chunked);
    let refusal = body.step(b"x").expect_err("no size");
    assert_eq!(body.step(b"5\r\nhello"), Err(refusal));
    assert_eq!(body.step(b""), Err(refusal));
    assert_eq!(body.eof(), Err(refusal));
}

#[test]
fn the_end_of_the_connection() {
    for (framing, input, fine) in [
        (Framing::None, b"".as_slice(), true),
        (Framing::UntilClose, b"", true),
        (Framing::UntilClose, b"abc", true),
        (Framing::Length(2), b"ab", true),
        (Framing::Length(2), b"a", false),
        (Framing::Chunked, b"", false),
        (Framing::Chunked, b"0\r\n", false),
        (Framing::Chunked, b"0\r\n\r\n", true),
    ] {
        let mut body = Body::new(framing);
        let _ = body.step(input).expect("nothing is wrong so far");
        assert_eq!(body.eof().is_ok(), fine, "{framing:?} {}", input.escape_ascii());
        assert_eq!(body.is_done(), fine);
    }
}
