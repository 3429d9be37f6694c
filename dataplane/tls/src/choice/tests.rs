use std::time::{Duration, Instant};

use super::{Choice, Times, choice, trial};
use crate::aead::{Algorithm, Library};

fn times(aws_lc: u64, ring: Option<u64>, chacha: u64) -> Times {
    let micros = Duration::from_micros;
    Times { aws_lc: micros(aws_lc), ring: ring.map(micros), chacha: micros(chacha) }
}

#[test]
fn the_faster_one_is_taken() {
    for (measured, aes, prefers_aes) in [
        (times(100, Some(60), 200), Library::Ring, true),
        (times(100, Some(97), 200), Library::AwsLc, true),
        (times(100, Some(160), 200), Library::AwsLc, true),
        (times(100, None, 200), Library::AwsLc, true),
        (times(900, Some(800), 200), Library::Ring, false),
        (times(900, None, 200), Library::AwsLc, false),
    ] {
        let choice = Choice::of(measured);
        assert_eq!((choice.aes, choice.prefers_aes), (aes, prefers_aes), "{measured:?}");
        assert_eq!(choice.library(Algorithm::Aes256Gcm), aes);
        assert_eq!(choice.library(Algorithm::Chacha20Poly1305), Library::AwsLc);
    }
}

#[test]
fn the_trial_is_short_and_finds_both_libraries_in_agreement() {
    let start = Instant::now();
    let measured = trial();
    println!("{measured:?} in {:?}", start.elapsed());
    // Other programs may take the processor away in between; the libraries are not so slow.
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    assert!(measured.ring.is_some() && measured.aws_lc < Duration::from_millis(5), "{measured:?}");
    assert_eq!(choice(), choice(), "made once");
}

#[test]
fn the_order_of_suites_is_the_choice() {
    let provider = crate::provider();
    let first = provider.cipher_suites[0].suite();
    let expected = if choice().prefers_aes {
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
    } else {
        rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    };
    assert_eq!(first, expected);
    assert_eq!(provider.cipher_suites.len(), 9);
}
