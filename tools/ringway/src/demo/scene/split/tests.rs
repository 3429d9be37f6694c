//! The turning point is found where it is, among answers drawn by chance.

use std::time::{Duration, Instant};

use super::{SHARES, Sample, turning_point};

/// xorshift64: the tests need no better randomness, only the same one each time.
fn draw(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn the_turning_point_is_found_to_a_few_requests() {
    let start = Instant::now();
    let step = Duration::from_millis(1);
    for seed in 1..=200_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let turned = 400 + seed as u32;
        let samples: Vec<Sample> = (0..2_000)
            .map(|place| Sample {
                at: start + step * place,
                is_canary: draw(&mut state) < SHARES[usize::from(place >= turned)],
            })
            .collect();
        let found = turning_point(&samples, start + step * 300).unwrap();
        let off = found.duration_since(start).as_millis().abs_diff(turned.into());
        assert!(off < 40, "seed {seed}: {off} requests off");
    }
}

#[test]
fn no_change_has_no_turning_point() {
    let start = Instant::now();
    let old =
        |place| Sample { at: start + Duration::from_millis(place), is_canary: place % 10 == 0 };
    let samples: Vec<Sample> = (1..1_000).map(old).collect();
    assert_eq!(turning_point(&samples, start), None);
}
