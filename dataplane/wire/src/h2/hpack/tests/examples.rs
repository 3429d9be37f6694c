//! RFC 7541, appendix C.

use super::*;

/// Reads the blocks one after the other with a table of this size.
fn check(size: usize, blocks: &[(&str, &str)]) {
    let mut decoder = Decoder::new();
    decoder.set_size_limit(size);
    if size < TABLE_BYTES_DEFAULT {
        let mut update = Vec::new();
        integer::write(0x20, 5, size, &mut update);
        read(&mut decoder, &update).expect("an update");
    }
    for (bytes, expected) in blocks {
        let fields = read(&mut decoder, &hex(bytes)).expect(bytes);
        assert_eq!(text(&fields), *expected);
    }
}

#[test]
fn integers() {
    let cases: [(u32, usize, &str); 6] = [
        (5, 10, "0a"),
        (5, 1337, "1f9a0a"),
        (8, 42, "2a"),
        (5, 30, "1e"),
        (5, 31, "1f00"),
        (7, 255, "7f8001"),
    ];
    for (prefix, value, bytes) in cases {
        let (mut out, bytes) = (Vec::new(), hex(bytes));
        integer::write(0, prefix, value, &mut out);
        assert_eq!(out, bytes);
        let (first, mut rest) = bytes.split_first().expect("a byte");
        assert_eq!(integer::read(*first, prefix, &mut rest), Ok(value));
        assert!(rest.is_empty());
    }
}

#[test]
fn single_fields() {
    let name = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(4096, &[(name, "custom-key: custom-header\n")]);
    check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n")]);
    check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n")]);
    check(4096, &[("82", ":method: GET\n")]);
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
     custom-key: custom-value\n",
];

#[test]
fn requests() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let cases: Vec<(&str, &str)> = blocks.into_iter().zip(REQUESTS).collect();
        check(4096, &cases);
    }
}

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
     location: https://www.example.com\n",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
     location: https://www.example.com\n",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
     location: https://www.example.com\ncontent-encoding: gzip\n\
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
];

#[test]
fn responses_with_eviction() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
         4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let cases: Vec<(&str, &str)> = blocks.into_iter().zip(RESPONSES).collect();
        check(256, &cases);
    }
}

#[test]
fn what_repeats_is_indexed_and_what_is_secret_never() {
    let (mut encoder, mut sizes) = (Encoder::new(), Vec::new());
    for at in 0..4 {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.method(b"POST", &mut out);
        encoder.path(b"/package.Service/Method", &mut out);
        encoder.field(b"te", b"trailers", false, &mut out);
        encoder.field(b"x-request-id", format!("id-{at}-{at}").as_bytes(), false, &mut out);
        sizes.push(out.len());
    }
    assert_eq!(sizes, [48, 29, 11, 11], "the path from the third on, the id never");
    for (name, is_secret) in [("authorization", false), ("set-cookie", false), ("x-key", true)] {
        let mut blocks = [Vec::new(), Vec::new(), Vec::new()];
        for out in &mut blocks {
            encoder.field(name.as_bytes(), b"s", is_secret, out);
        }
        assert!(blocks.iter().all(|block| *block == blocks[0] && block[0] & 0xf0 == 0x10));
    }
}

#[test]
fn names_that_are_looked_for_in_one_place_do_not_push_each_other_out() {
    let mut encoder = Encoder::new();
    let mut inserted = Vec::new();
    for round in 0..20 {
        // Values that are new each time; more names than would ever have places of their own.
        let mut count = 0;
        for name in 0..40 {
            let mut out = Vec::new();
            let (name, value) = (format!("x-name-{name}"), format!("{name} in {round}"));
            encoder.field(name.as_bytes(), value.as_bytes(), false, &mut out);
            count += usize::from(out[0] & 0xc0 == 0x40);
        }
        inserted.push(count);
    }
    assert!((20..=40).contains(&inserted[0]), "{inserted:?}");
    assert_eq!(inserted[5..], [0; 15], "each name once");
}

#[test]
fn what_repeats_is_indexed_whatever_else_does() {
    let mut literals = 0;
    for connection in 0..200 {
        let mut encoder = Encoder::new();
        for round in 0..6 {
            for field in 0..12 {
                let mut out = Vec::new();
                let (name, value) = (format!("x-{field}"), format!("{connection} {field}"));
                encoder.field(name.as_bytes(), value.as_bytes(), false, &mut out);
                assert!(round < 2 || out[0] & 0xc0 != 0x40, "nothing is put in time and again");
                literals += usize::from(round == 5 && out[0] & 0x80 == 0);
            }
        }
    }
    assert!(literals < 24, "{literals} of 2,400 fields found no place");
}
