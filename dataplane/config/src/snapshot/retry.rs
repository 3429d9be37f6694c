//! What is tried again.

use std::time::Duration;

use super::HeaderMatch;

/// `RetryPolicy`, as far as it is understood.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// Attempts beyond the first (Envoy: 1).
    pub retries: u32,
    /// `connect-failure`, `refused-stream`, `reset-before-request`: nothing had been sent.
    pub on_connect_failure: bool,
    /// `reset`, `reset-before-request`.
    pub on_reset: bool,
    /// `5xx`, `gateway-error` and `retriable-4xx` as a list of ranges.
    pub on_status: Vec<(u16, u16)>,
    /// `retriable-status-codes`: the statuses in `statuses`.
    pub on_listed: bool,
    /// See `on_listed`.
    pub statuses: Vec<u16>,
    /// `envoy-ratelimited`: answers with `x-envoy-ratelimited`, whatever their status. Without it
    /// such an answer is never a reason for a retry, as in Envoy.
    pub on_rate_limited: bool,
    /// `cancelled` and its sisters: these statuses of gRPC, a bit each, where a response's head
    /// says them.
    pub on_grpc: u32,
    /// `retriable-headers`: answers that one of `headers` matches.
    pub on_headers: bool,
    /// See `on_headers`.
    pub headers: Vec<HeaderMatch>,
    /// Only requests that one of these matches are tried again; all, where there is none.
    pub requests: Vec<HeaderMatch>,
    /// One attempt may take so long.
    pub per_try_timeout: Option<Duration>,
    /// How long each retry waits.
    pub back_off: BackOff,
}

impl Retry {
    /// Takes a condition of `retry_on` that is not gRPC's; false: there is none of that name.
    pub fn add(&mut self, condition: &str) -> bool {
        match condition {
            "connect-failure" | "refused-stream" | "reset-before-request" => {
                self.on_connect_failure = true;
            }
            "reset" => self.add_reset(),
            "5xx" => {
                self.add_reset();
                self.on_status.push((500, 599));
            }
            "gateway-error" => {
                self.add_reset();
                self.on_status.push((502, 504));
            }
            "retriable-4xx" => self.on_status.push((409, 409)),
            "retriable-status-codes" => self.on_listed = true,
            "retriable-headers" => self.on_headers = true,
            "envoy-ratelimited" => self.on_rate_limited = true,
            // HTTP/3 is not spoken.
            "http3-post-connect-failure" => {}
            _ => return false,
        }
        true
    }

    /// The same for one of gRPC's.
    pub fn add_grpc(&mut self, condition: &str) -> bool {
        self.on_grpc |= match condition {
            "cancelled" => 1 << 1,
            "deadline-exceeded" => 1 << 4,
            "resource-exhausted" => 1 << 8,
            "internal" => 1 << 13,
            "unavailable" => 1 << 14,
            _ => return false,
        };
        true
    }

    fn add_reset(&mut self) {
        self.on_connect_failure = true;
        self.on_reset = true;
    }

    /// There is something that is tried again.
    pub fn asks(&self) -> bool {
        self.on_connect_failure
            || self.on_reset
            || self.on_rate_limited
            || self.on_listed
            || self.on_headers
            || self.on_grpc != 0
            || !self.on_status.is_empty()
    }

    /// The same where nothing is tried again.
    pub fn asking_nothing(&self) -> Self {
        let Self { retries, per_try_timeout, back_off, .. } = *self;
        Self { retries, per_try_timeout, back_off, ..Self::default() }
    }

    /// An answer of this status is a reason.
    pub fn covers_status(&self, status: u16) -> bool {
        self.on_status.iter().any(|&(from, to)| (from..=to).contains(&status))
            || (self.on_listed && self.statuses.contains(&status))
    }
}

/// `retry_back_off`: a retry waits for a random time below the interval, which is the base for the
/// first and doubles with each. Both are whole milliseconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// `base_interval`, in milliseconds.
    pub base_ms: u64,
    /// `max_interval`, in milliseconds: the interval does not grow beyond it. Never below the base.
    pub max_ms: u64,
}

impl BackOff {
    /// Intervals between this base, in milliseconds, and ten times as much: Envoy's default.
    pub const fn from_base_ms(base_ms: u64) -> Self {
        Self { base_ms, max_ms: base_ms.saturating_mul(10) }
    }

    /// Below this a retry waits, in milliseconds; `retries`: how many there were before it.
    pub fn interval_ms(&self, retries: u32) -> u64 {
        let factor = 1_u64.checked_shl(retries).unwrap_or(u64::MAX);
        self.base_ms.saturating_mul(factor).min(self.max_ms)
    }
}

impl Default for BackOff {
    /// Envoy's, without runtime keys: 25 ms, at most 250 ms.
    fn default() -> Self {
        Self::from_base_ms(25)
    }
}
