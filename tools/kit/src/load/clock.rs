//! The clock of the driver, read at any moment.

use nix::time::{ClockId, clock_gettime};
use ring::Nanos;

/// The time now, on the clock of [`ring::Driver::now`].
pub(super) fn now() -> Nanos {
    // The monotonic clock is there on every Linux.
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return Nanos(0) };
    Nanos(time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs())
}
