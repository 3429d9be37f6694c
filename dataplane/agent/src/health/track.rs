//! From the outcomes of checks to a host's health, by Envoy's thresholds.

use std::time::Duration;

use config::health::{HealthCheck, Intervals};
use config::snapshot::Health;

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The host is healthy, or says that it is degraded.
    Passed {
        /// `x-envoy-degraded`
        degraded: bool,
    },
    /// It counts as one failure of several.
    Failed(String),
    /// The host says itself that it is not healthy.
    Refused(String),
}

/// What a host's checks have come to so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// `None`: not checked yet, which is not healthy.
    pub(crate) health: Option<Health>,
    passed: u32,
    failed: u32,
}

impl Track {
    /// Takes an outcome in. Gives the time until the next check; the chances from 0 to 1 spread it.
    pub(crate) fn take(
        &mut self,
        outcome: &Outcome,
        check: &HealthCheck,
        chances: [f64; 2],
    ) -> Duration {
        let is_healthy = self.health.is_some_and(|health| health != Health::Unhealthy);
        let Intervals { usual, unhealthy, healthy_edge, unhealthy_edge, .. } = check.intervals;
        let base = match outcome {
            Outcome::Passed { degraded } => {
                self.failed = 0;
                let is_first = self.health.is_none();
                self.passed = if is_healthy { 0 } else { self.passed.saturating_add(1) };
                if is_healthy || is_first || self.passed >= check.healthy_threshold {
                    self.passed = 0;
                    let now = if *degraded { Health::Degraded } else { Health::Healthy };
                    self.health = Some(now);
                    usual
                } else {
                    healthy_edge
                }
            }
            Outcome::Failed(_) | Outcome::Refused(_) => {
                self.passed = 0;
                let at_once = matches!(outcome, Outcome::Refused(_));
                self.failed = if is_healthy { self.failed.saturating_add(1) } else { 0 };
                if !is_healthy || at_once || self.failed >= check.unhealthy_threshold {
                    self.failed = 0;
                    self.health = Some(Health::Unhealthy);
                    unhealthy
                } else {
                    unhealthy_edge
                }
            }
        };
        spread(base, &check.intervals, chances)
    }
}

fn spread(base: Duration, intervals: &Intervals, [one, other]: [f64; 2]) -> Duration {
    let percent = f64::from(intervals.jitter_percent) / 100.0;
    base.saturating_add(base.mul_f64((percent * one).min(100.0)))
        .saturating_add(intervals.jitter.mul_f64(other))
}
