//! How hosts are judged by what they answer.

use std::time::Duration;

/// `OutlierDetection`. A percentage of 0 switches what it is about off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Answers of 5xx in a row (Envoy: 5).
    pub consecutive_5xx: u32,
    /// Of these ejections so many percent are done (100).
    pub enforcing_5xx: u8,
    /// Answers of 502, 503 and 504 in a row (5).
    pub consecutive_gateway: u32,
    /// Of these ejections so many percent are done (0).
    pub enforcing_gateway: u8,
    /// Failures of our own in a row, to connect for one (5). Counted where they are
    /// `split`; else they count as answers.
    pub consecutive_local: u32,
    /// Of these ejections so many percent are done (100).
    pub enforcing_local: u8,
    /// `split_external_local_origin_errors`
    pub split: bool,
    /// How often hosts are compared and let in again (10 s).
    pub interval: Duration,
    /// A host is ejected for this long, times how often it was lately (30 s).
    pub base_time: Duration,
    /// At the most (300 s, or the base if that is longer).
    pub max_time: Duration,
    /// And a random time below this (0).
    pub jitter: Duration,
    /// Of all hosts, so many percent at the most are ejected at one time (10).
    pub max_percent: u8,
    /// One is, however few that is (`always_eject_one_host`).
    pub always_one: bool,
    /// Hosts whose answers are better than those of others: the external ones, and our own.
    pub answers: Comparison,
    /// The same of our own failures, where they are split.
    pub local: Comparison,
    /// A host is only compared after so many requests in an interval (100), with so many hosts that
    /// have as many (5).
    pub success_volume: u64,
    /// See `success_volume`.
    pub success_hosts: usize,
    /// So many thousandths of the standard deviation below the mean (1900).
    pub success_deviation: u32,
    /// So many percent of failures are too many (85).
    pub failure_percent: u8,
    /// After so many requests in an interval (50), where so many hosts have as many (5).
    pub failure_volume: u64,
    /// See `failure_volume`.
    pub failure_hosts: usize,
}

/// Which comparisons are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Of ejections for a rate of success below the others', so many percent are done.
    pub enforcing_success: u8,
    /// Of ejections for too large a share of failures, so many percent are done.
    pub enforcing_failure: u8,
}

impl Comparison {
    /// Nothing is counted for it.
    pub fn is_off(&self) -> bool {
        self.enforcing_success == 0 && self.enforcing_failure == 0
    }
}
