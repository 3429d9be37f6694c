//! How long to wait before the next try.

use std::time::Duration;

/// Exponential with full jitter between half and the whole of the step, so that proxies which lost
/// the same control plane do not come back in the same moment.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    step: Duration,
}

impl Backoff {
    /// Begins with `first`, doubles up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, step: first }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.most);
        step.mul_f64(0.5 + 0.5 * chance())
    }

    /// It worked: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

/// A number from 0 to 1. Falls back on the middle if the system has no randomness to give.
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    match tls::provider().secure_random.fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_over() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        for whole in [100, 200, 400, 800, 1000, 1000] {
            let (wait, whole) = (backoff.wait(), Duration::from_millis(whole));
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
    }
}
