//! When a certificate is renewed.

use std::time::{Duration, SystemTime};

/// The shortest wait, so that a certificate of no lifetime does not make us ask without end.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// Half of the lifetime, as Istio's `SECRET_GRACE_PERIOD_RATIO`.
const RATIO: f64 = 0.5;
/// Up to this part of the lifetime to either side (`SECRET_GRACE_PERIOD_RATIO_JITTER`).
const JITTER: f64 = 0.01;

/// How long to wait from `now` until a certificate is renewed. `chance` from 0 to 1 spreads the
/// moment, so that a fleet that was started together does not ask together.
pub fn renewal(from: SystemTime, until: SystemTime, now: SystemTime, chance: f64) -> Duration {
    let lifetime = until.duration_since(from).unwrap_or_default();
    let age = lifetime.mul_f64(RATIO + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
    let moment = from + age;
    moment.duration_since(now).unwrap_or_default().max(WAIT_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_at_half_of_the_lifetime_give_or_take() {
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |s: u64| from + Duration::from_secs(s);
        let cases = [
            (86_400, 0, 0.5, 43_200),
            (86_400, 0, 0.0, 42_336),
            (86_400, 0, 1.0, 44_064),
            (86_400, 40_000, 0.5, 3_200),
            (86_400, 80_000, 0.5, 1),
            (0, 0, 0.5, 1),
        ];
        for (lifetime, now, chance, wait) in cases {
            let got = renewal(from, at(lifetime), at(now), chance);
            assert_eq!(got.as_secs(), wait, "{lifetime} s old {now} s, chance {chance}");
        }
    }
}
