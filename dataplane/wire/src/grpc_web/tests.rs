use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::head::Head;

fn read(pieces: &[&[u8]]) -> Result<Vec<u8>, NotBase64> {
    let (mut reader, mut out) = (TextReader::default(), Vec::new());
    for piece in pieces {
        reader.read(piece, &mut out)?;
    }
    reader.finish().map(|()| out)
}

fn written(pieces: &[&[u8]]) -> String {
    let (mut writer, mut out) = (TextWriter::default(), Vec::new());
    pieces.iter().for_each(|piece| writer.write(piece, &mut out));
    writer.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

#[test]
fn what_is_no_base64_is_refused() {
    for text in [
        "A", "AB", "ABC", "ABCDE", "A===", "====", "AB=C", "A=BC", "AB*D", "AB==C", "AA\n=", "AB==",
    ] {
        assert_eq!(read(&[text.as_bytes()]), Err(NotBase64), "{text}");
    }
    // Each message of a client may be padded by itself.
    assert_eq!(read(&[b"QQ==QUI=QUJD"]), Ok(b"AABABC".to_vec()));
    assert_eq!(read(&[]), Ok(Vec::new()));
}

#[test]
fn each_frame_is_padded_by_itself() {
    let two = [frame(b"a"), frame(b""), frame(b"bcd")].concat();
    let expected: String =
        [frame(b"a"), frame(b""), frame(b"bcd")].iter().map(|one| STANDARD.encode(one)).collect();
    assert_eq!(written(&[&two]), expected);
    // What breaks off is written as far as it came.
    assert_eq!(written(&[&two[..3]]), STANDARD.encode(&two[..3]));
}

#[test]
fn trailers_are_lines_in_a_frame() {
    let mut trailers = Head::default();
    trailers.append(b"grpc-status", b"0");
    trailers.append(b"x-a", b"b: c");
    let mut out = b"before".to_vec();
    trailer_frame(&trailers, &mut out);
    assert_eq!(out, b"before\x80\0\0\0\x19grpc-status:0\r\nx-a:b: c\r\n");
}

proptest! {
    #[test]
    fn text_is_read_however_it_is_torn(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(0..300_usize, 0..8),
    ) {
        let text = STANDARD.encode(&bytes).into_bytes();
        let pieces = torn(&text, &cuts);
        prop_assert_eq!(read(&pieces), Ok(bytes));
    }

    #[test]
    fn frames_are_written_however_they_are_torn(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
        cuts in prop::collection::vec(0..300_usize, 0..8),
    ) {
        let all: Vec<u8> = frames.iter().flat_map(|one| frame(one)).collect();
        let expected: String = frames.iter().map(|one| STANDARD.encode(frame(one))).collect();
        prop_assert_eq!(written(&torn(&all, &cuts)), expected);
    }

    #[test]
    fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut out = Vec::new();
        let _ = TextReader::default().read(&text, &mut out);
    }
}

fn torn<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let (mut pieces, mut start) = (Vec::new(), 0);
    for cut in cuts {
        pieces.push(&bytes[start..cut]);
        start = cut;
    }
    pieces.push(&bytes[start..]);
    pieces
}
