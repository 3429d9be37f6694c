//! What holds for any fields and any bytes.

use proptest::prelude::*;

use super::*;

/// A few names and values that come again and again among others that do not.
fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "accept-encoding",
            "cookie",
            "content-type",
            "x-request-id",
            "te",
            "www-authenticate",
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
        prop::collection::vec(prop::sample::select(b"abcdefgh-0".to_vec()), 1..40),
    ];
    let value = prop_oneof![
        prop::sample::select(vec!["", "a", "gzip, deflate", "trailers", "application/grpc"])
            .prop_map(|value| value.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    (name, value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(
        blocks in prop::collection::vec(
            (prop::collection::vec(field(), 0..12), prop::option::of(0_usize..6000)), 1..12,
        ),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (fields, size) in &blocks {
            if let Some(size) = size {
                // Lowered and raised between two blocks, as settings may be.
                encoder.set_size_limit(size / 2);
                encoder.set_size_limit(*size);
                decoder.set_size_limit(*size);
            }
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for (name, value) in fields {
                encoder.field(name, value, value.len() == 7, &mut out);
            }
            let read = read(&mut decoder, &out);
            prop_assert_eq!(read.as_ref(), Ok(fields), "{:?}", out);
        }
    }

    #[test]
    fn huffman_codes_are_undone(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut code, mut back) = (Vec::new(), b"before".to_vec());
        huffman::encode(&bytes, &mut code);
        prop_assert_eq!(code.len(), huffman::encoded_len(&bytes));
        prop_assert!(huffman::decode(&code, &mut back));
        prop_assert_eq!(&back[6..], &bytes);
        // Every code has one spelling.
        let mut longer = code.clone();
        longer.push(0xff);
        prop_assert!(!huffman::decode(&longer, &mut Vec::new()));
    }

    #[test]
    fn a_huffman_code_that_is_read_is_the_only_one(
        bytes in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let (mut text, mut again) = (Vec::new(), Vec::new());
        if huffman::decode(&bytes, &mut text) {
            huffman::encode(&text, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn no_block_panics(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..5),
    ) {
        let mut decoder = Decoder::new();
        for block in &blocks {
            let _ = read(&mut decoder, block);
        }
    }
}
