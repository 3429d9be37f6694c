//! TCP round trips, small and large.

use super::*;
use crate::echo::pattern;

on_both!(round_trips, bulk_streams_through_little_memory, echoes_of_something_else_are_failures);

async fn round_trips(driver: Which) {
    let echo = echo().await;
    let mut spec = tcp(driver, echo.tcp);
    spec.requests = Some(200);
    spec.connections = 2;
    all_right(&spec).await;
    spec.body = pattern(1_000_000);
    spec.requests = Some(4);
    all_right(&spec).await;
    spec.keep_alive = false;
    assert_eq!(all_right(&spec).await.connects, 4);
    for bytes in [1, 7, 8, 9] {
        spec.trip_bytes = Some(bytes);
        all_right(&spec).await;
    }
}

async fn bulk_streams_through_little_memory(driver: Which) {
    let echo = echo().await;
    let mut spec = tcp(driver, echo.tcp);
    spec.body = pattern(65_521);
    spec.trip_bytes = Some(16 << 20);
    spec.connections = 4;
    spec.requests = Some(8);
    let before = ring::machine::resident_bytes();
    all_right(&spec).await;
    // Both ends, and whatever other tests do meanwhile: still less than one trip a connection.
    let grown = ring::machine::resident_bytes().saturating_sub(before);
    assert!(grown < 4 * (16 << 20), "{} MiB more", grown >> 20);
}

async fn echoes_of_something_else_are_failures(driver: Which) {
    let mut spec = tcp(driver, canned(&[7; 64], 9).await);
    spec.requests = Some(2);
    let total = measure(&spec).await.total();
    assert_eq!(total.errors.get("body differs from what was expected"), Some(&2));
    // The right bytes, but those of the first trip each time.
    let mut first = [0x5a; 64];
    first[..8].copy_from_slice(&1_u64.to_le_bytes());
    let mut spec = tcp(driver, canned(first.to_vec().leak(), 9).await);
    spec.requests = Some(2);
    let total = measure(&spec).await.total();
    assert_eq!((total.histogram.len(), total.failed()), (1, 1), "{total:?}");
}
