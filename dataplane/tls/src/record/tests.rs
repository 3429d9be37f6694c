//! Records against RFC 8448, and against every way to change them.

use rustls::{AlertDescription, Error};

use super::{Kind, Opener, PLAIN_MAX, RECORD_OVERHEAD, Sealer, first};
use crate::aead::tests::{ALGORITHMS, LIBRARIES};
use crate::aead::{Algorithm, HEAD, Library, Material, OpenKey, SealKey, TAG};

fn material(algorithm: Algorithm, key: &[u8]) -> Material<'_> {
    Material { algorithm, key, iv: [3; 12], count: 0 }
}

fn sealer(library: Library) -> Sealer {
    Sealer::new(library, &material(Algorithm::Aes128Gcm, &[4; 16])).unwrap()
}

fn opener(library: Library) -> Opener {
    Opener::new(library, &material(Algorithm::Aes128Gcm, &[4; 16])).unwrap()
}

fn sealed(sealer: &mut Sealer, kind: Kind, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plain.len() + RECORD_OVERHEAD];
    assert_eq!(sealer.seal(kind, plain, &mut out), Ok(out.len()));
    out
}

/// A body with any inside, padding and all.
fn raw(library: Library, inner: &[u8]) -> Vec<u8> {
    let mut key = SealKey::new(library, &material(Algorithm::Aes128Gcm, &[4; 16])).unwrap();
    let (last, plain) = inner.split_last().unwrap();
    let body = inner.len() + TAG;
    let head = [23, 3, 3, (body >> 8) as u8, body as u8];
    let mut record = vec![0; HEAD + body];
    record[..HEAD].copy_from_slice(&head);
    key.seal(head, plain, *last, &mut record[HEAD..]).unwrap();
    record
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.split_whitespace().collect::<String>();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// RFC 8448 section 3: key, nonce, number of the record, kind, content, record.
const TRACES: &[(&str, &str, u64, Kind, &str, &str)] = &[
    (
        "17422dda596ed5d9acd890e3c63f5051",
        "5b78923dee08579033e523d9",
        0,
        Kind::Data,
        DATA,
        "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc
         ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd
         1e 3d ea e6 3a ee bb 21 69 49 15 e4",
    ),
    (
        "9f02283b6c9c07efc26bb9f2ac92e356",
        "cf782b88dd83549aadf1e984",
        1,
        Kind::Data,
        DATA,
        "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa
         1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2
         ab f3 32 54 0d d0 32 e1 67 c2 95 5d",
    ),
    (
        "17422dda596ed5d9acd890e3c63f5051",
        "5b78923dee08579033e523d9",
        1,
        Kind::Alert,
        "01 00",
        "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3",
    ),
    (
        "9f02283b6c9c07efc26bb9f2ac92e356",
        "cf782b88dd83549aadf1e984",
        2,
        Kind::Alert,
        "01 00",
        "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9",
    ),
];

const DATA: &str = "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19
    1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31";

#[test]
fn records_are_those_of_rfc_8448() {
    for (key, iv, count, kind, content, record) in TRACES {
        for library in LIBRARIES {
            let (key, iv) = (hex(key), hex(iv).try_into().unwrap());
            let from = Material { algorithm: Algorithm::Aes128Gcm, key: &key, iv, count: *count };
            let (content, mut record) = (hex(content), hex(record));
            let mut sealer = Sealer::new(library, &from).unwrap();
            assert_eq!(sealed(&mut sealer, *kind, &content), record, "{library:?} {kind:?}");
            let mut opener = Opener::new(library, &from).unwrap();
            assert_eq!(opener.open(&mut record).unwrap(), (*kind, content.len()));
            assert_eq!(record[HEAD..HEAD + content.len()], content);
        }
    }
}

#[test]
fn every_changed_bit_is_refused() {
    for library in LIBRARIES {
        let good = sealed(&mut sealer(library), Kind::Data, b"content");
        for bit in 0..good.len() * 8 {
            let mut record = good.clone();
            record[bit / 8] ^= 1 << (bit % 8);
            if bit < 8 {
                let breach = first(&mut record).unwrap_err();
                assert_eq!(breach.alert, Some(AlertDescription::UnexpectedMessage));
                continue;
            }
            let breach = opener(library).open(&mut record).unwrap_err();
            assert_eq!(breach.alert, Some(AlertDescription::BadRecordMac), "bit {bit}");
            assert_eq!(breach.error, Error::DecryptError);
        }
    }
}

#[test]
fn a_record_opens_once_and_in_its_turn() {
    for library in LIBRARIES {
        let mut seal = sealer(library);
        let records = [b"one", b"two"].map(|plain| sealed(&mut seal, Kind::Data, plain));
        let [one, two] = &records;
        assert!(opener(library).open(&mut two.clone()).is_err(), "the second first");
        let mut open = opener(library);
        assert!(open.open(&mut one.clone()).is_ok());
        assert!(open.open(&mut one.clone()).is_err(), "the first again");
    }
}

#[test]
fn a_body_without_room_for_a_tag_is_refused() {
    for length in 0..TAG + 1 {
        let mut record = [vec![23, 3, 3, 0, length as u8], vec![0; length]].concat();
        let breach = opener(Library::Ring).open(&mut record).unwrap_err();
        assert_eq!(breach.alert, Some(AlertDescription::BadRecordMac), "{length} bytes");
    }
}

#[test]
fn what_is_inside_is_judged() {
    let longest = [vec![1; PLAIN_MAX], vec![23]].concat();
    let over = [vec![1; PLAIN_MAX + 1], vec![23]].concat();
    let padded_over = [vec![23], vec![0; PLAIN_MAX + 1]].concat();
    let padded = [vec![1, 0, 2, 0, 22], vec![0; PLAIN_MAX - 4]].concat();
    type Outcome = Result<(Kind, usize), AlertDescription>;
    let cases: &[(&str, &[u8], Outcome)] = &[
        ("plain", &[1, 23], Ok((Kind::Data, 1))),
        ("no content", &[21], Ok((Kind::Alert, 0))),
        ("padded", &padded, Ok((Kind::Handshake, 4))),
        ("the longest", &longest, Ok((Kind::Data, PLAIN_MAX))),
        ("too long", &over, Err(AlertDescription::RecordOverflow)),
        ("too long by padding", &padded_over, Err(AlertDescription::RecordOverflow)),
        ("only padding", &[0, 0, 0], Err(AlertDescription::UnexpectedMessage)),
        ("a change of ciphers", &[1, 20], Err(AlertDescription::UnexpectedMessage)),
        ("a heartbeat", &[1, 24], Err(AlertDescription::UnexpectedMessage)),
        ("nothing known", &[1, 99], Err(AlertDescription::UnexpectedMessage)),
    ];
    for (name, inner, expected) in cases {
        for library in LIBRARIES {
            let opened = opener(library).open(&mut raw(library, inner));
            assert_eq!(opened.map_err(|breach| breach.alert.unwrap()), *expected, "{name}");
        }
    }
}

#[test]
fn heads_are_judged_as_soon_as_they_can_be() {
    let most = PLAIN_MAX + 256;
    for (head, alert) in [
        (&[20][..], AlertDescription::UnexpectedMessage),
        (&[21, 3, 3, 0, 2, 2, 40], AlertDescription::UnexpectedMessage),
        (&[0x47], AlertDescription::UnexpectedMessage),
        (&[23, 3, 3, ((most + 1) >> 8) as u8, (most + 1) as u8], AlertDescription::RecordOverflow),
        (&[23, 3, 3, 0xff, 0xff], AlertDescription::RecordOverflow),
    ] {
        assert_eq!(first(&mut head.to_vec()).unwrap_err().alert, Some(alert), "{head:?}");
    }
    for partial in [&[][..], &[23], &[23, 3, 3, 0x41], &[23, 3, 3, 0x41, 0], &[23, 3, 3, 0, 2, 1]] {
        assert!(first(&mut partial.to_vec()).unwrap().is_none(), "{partial:?}");
    }
    assert_eq!(first(&mut [23, 3, 3, 0, 2, 1, 2, 3]).unwrap().unwrap().len(), 7);
}

#[test]
fn all_algorithms_open_what_they_sealed() {
    for (algorithm, length) in ALGORITHMS {
        for library in LIBRARIES {
            let key = vec![8; length];
            let mut seal = Sealer::new(library, &material(algorithm, &key)).unwrap();
            let mut open = OpenKey::new(library, &material(algorithm, &key)).map(Opener).unwrap();
            for size in [0, 1, 500, PLAIN_MAX] {
                let plain = vec![size as u8; size];
                let mut record = sealed(&mut seal, Kind::Data, &plain);
                assert_eq!(open.open(&mut record).unwrap(), (Kind::Data, size));
                assert_eq!(record[HEAD..HEAD + size], plain);
            }
        }
    }
}
