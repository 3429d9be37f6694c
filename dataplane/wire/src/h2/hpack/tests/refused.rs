//! Blocks that leave the two sides' tables apart: each ends the connection.

use super::*;
use crate::h2::{ErrorCode, Scope};

#[test]
fn blocks_that_are_none() {
    let cases: [(&str, &str); 28] = [
        ("80", "invalid_header_index"),
        ("be", "invalid_header_index"),
        ("ff00", "invalid_header_index"),
        ("7e 0161", "invalid_header_index"),
        ("0fff00 0161", "invalid_header_index"),
        ("ff", "truncated_header_block"),
        ("ff80", "truncated_header_block"),
        ("ff80808080", "invalid_header_integer"),
        ("ffffffffff0f", "invalid_header_integer"),
        ("ffffffff7f", "invalid_header_integer"),
        ("ff8080808000", "invalid_header_integer"),
        ("40", "truncated_header_block"),
        ("4001", "truncated_header_block"),
        ("400161", "truncated_header_block"),
        ("40016102", "truncated_header_block"),
        ("40 7fffff7f 61", "truncated_header_block"),
        ("40 7fffffff7f 61", "invalid_header_integer"),
        // The end of string within; padding of 8 bits; padding with a zero; part of a code.
        ("4001 61 84ffffffff", "invalid_huffman_code"),
        ("4001 61 821fff", "invalid_huffman_code"),
        ("4001 61 8118", "invalid_huffman_code"),
        ("4001 61 8100", "invalid_huffman_code"),
        ("4001 61 81ff", "invalid_huffman_code"),
        ("4001 61 83fffffb", "invalid_huffman_code"),
        // Size updates: above the limit, behind a field, three of them.
        ("3fe21f", "table_size_update_too_large"),
        ("82 20", "misplaced_table_size_update"),
        ("20 20 20", "misplaced_table_size_update"),
        ("20 82 3fe11f", "misplaced_table_size_update"),
        ("3f", "truncated_header_block"),
    ];
    for (bytes, code) in cases {
        match read(&mut Decoder::new(), &hex(bytes)) {
            Err(refusal) => {
                assert_eq!(refusal.code, format!("http2.{code}"), "{bytes}");
                assert_eq!(refusal.error, ErrorCode::CompressionError);
                assert_eq!(refusal.scope, Scope::Connection);
            }
            Ok(fields) => panic!("{bytes} was read as {}", text(&fields)),
        }
    }
}

#[test]
fn a_lowered_limit_must_be_followed() {
    let mut decoder = Decoder::new();
    decoder.set_size_limit(100);
    assert!(read(&mut decoder, &hex("82")).is_err());
    assert!(read(&mut decoder, &hex("3fe11f 82")).is_err());
    assert!(read(&mut decoder, &hex("3f45 82")).is_ok());
    assert!(read(&mut decoder, &hex("82")).is_ok());
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    read(&mut decoder, &hex("4001610162")).expect("an entry");
    assert!(read(&mut decoder, &hex("be")).is_ok());
    let mut block = hex("400161");
    integer::write(0, 7, 5000, &mut block);
    block.extend(vec![b'x'; 5000]);
    assert!(read(&mut decoder, &block).is_ok(), "it is no error");
    assert!(read(&mut decoder, &hex("be")).is_err(), "but nothing is left");
}
