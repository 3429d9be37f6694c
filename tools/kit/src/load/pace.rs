//! Waiting for a moment to the microsecond: the runtime's own timer counts milliseconds.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A kernel timer of one worker.
pub(super) struct Pace {
    timer: AsyncFd<Timer>,
}

/// Owns one descriptor for as long as it lives, and always names that one.
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Moments nearer than this are not waited for.
const NEAR: Duration = Duration::from_micros(5);

impl Pace {
    // The way without this warning is `unsafe`, for descriptors that may change under the runtime;
    // a `Timer`'s does not.
    #[allow(deprecated)]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        Ok(Self { timer: AsyncFd::with_interest(timer, Interest::READABLE)? })
    }

    /// Returns at that moment, or at once if it has passed.
    pub(super) async fn until(&self, moment: Instant) -> io::Result<()> {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left <= NEAR {
                return Ok(());
            }
            let once = Expiration::OneShot(TimeSpec::from_duration(left));
            self.timer.get_ref().0.set(once, TimerSetTimeFlags::empty())?;
            let mut ready = self.timer.readable().await?;
            // The moment itself is looked at above; this empties the timer.
            let _ = self.timer.get_ref().0.wait();
            ready.clear_ready();
        }
    }
}
