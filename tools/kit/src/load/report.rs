//! What a load met.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::error::Failure;
use crate::hist;

/// How many different values of a header field are told apart; further ones count as `(other)`.
const VALUES_MAX: usize = 256;

/// How many different errors are told apart; TLS and the system have many words.
const ERRORS_MAX: usize = 64;

/// A whole run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LoadReport {
    /// When the first request became due.
    pub started: SystemTime,
    /// From then to the last answer.
    pub elapsed: Duration,
    /// The counts of each phase; there is always one.
    pub phases: Vec<Counts>,
    /// Connections that were opened, those before the first request included.
    #[serde(default)]
    pub connects: u64,
    /// Connections that were still open when they had been held for as long as was asked.
    #[serde(default)]
    pub held: Option<u64>,
}

/// What the requests of one phase met.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Counts {
    /// Latencies in nanoseconds of the requests that got a right answer, whatever its status.
    #[serde(with = "encoded")]
    pub histogram: Histogram<u64>,
    /// How often each status came. TCP has none.
    pub statuses: BTreeMap<u16, u64>,
    /// How often each status of gRPC came, by its name.
    #[serde(default)]
    pub grpc_statuses: BTreeMap<String, u64>,
    /// How often what went wrong.
    pub errors: BTreeMap<String, u64>,
    /// Of each header field that was asked for, how often each value came. An answer without the
    /// field counts as `(none)`.
    pub headers: BTreeMap<String, BTreeMap<String, u64>>,
}

impl LoadReport {
    /// All phases together.
    pub fn total(&self) -> Counts {
        self.phases.iter().fold(Counts::default(), |mut sum, phase| {
            sum.add(phase);
            sum
        })
    }

    /// Right answers a second.
    pub fn throughput(&self) -> f64 {
        self.total().histogram.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            histogram: hist::histogram(),
            statuses: BTreeMap::new(),
            grpc_statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            headers: BTreeMap::new(),
        }
    }
}

impl Counts {
    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.histogram.len() + self.failed()
    }

    /// How many of them had no right answer.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// How many answers had a status outside of these.
    pub fn unexpected(&self, statuses: std::ops::RangeInclusive<u16>) -> u64 {
        self.statuses.iter().filter(|(status, _)| !statuses.contains(status)).map(|(_, n)| n).sum()
    }

    /// How many calls of gRPC had a status other than `OK`.
    pub fn not_ok(&self) -> u64 {
        self.grpc_statuses.iter().filter(|(name, _)| *name != "OK").map(|(_, n)| n).sum()
    }

    /// How often the field had the value.
    pub fn header(&self, name: &str, value: &str) -> u64 {
        self.headers.get(name).and_then(|values| values.get(value)).copied().unwrap_or_default()
    }

    pub(super) fn right(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    pub(super) fn wrong(&mut self, failure: &Failure) {
        let told = failure.to_string();
        let known = self.errors.len() < ERRORS_MAX || self.errors.contains_key(&told);
        *self.errors.entry(if known { told } else { "(other)".to_owned() }).or_default() += 1;
    }

    pub(super) fn status(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    pub(super) fn grpc_status(&mut self, name: &'static str) {
        match self.grpc_statuses.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.grpc_statuses.insert(name.to_owned(), 1)),
        }
    }

    pub(super) fn value(&mut self, name: &str, value: Option<&[u8]>) {
        // Most answers have a value that came before: it is found without a copy.
        let text = value.map_or_else(|| "(none)".into(), String::from_utf8_lossy);
        if !self.headers.contains_key(name) {
            self.headers.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(values) = self.headers.get_mut(name) else { return };
        if let Some(count) = values.get_mut(text.as_ref()) {
            *count += 1;
        } else if values.len() < VALUES_MAX {
            values.insert(text.into_owned(), 1);
        } else {
            *values.entry("(other)".to_owned()).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, more: &Self) {
        // Both have the bounds of `hist::histogram`, or those of a report that was read.
        self.histogram.auto(true);
        let _ = self.histogram.add(&more.histogram);
        for (status, count) in &more.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (name, count) in &more.grpc_statuses {
            *self.grpc_statuses.entry(name.clone()).or_default() += count;
        }
        for (error, count) in &more.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        for (name, values) in &more.headers {
            let sums = self.headers.entry(name.clone()).or_default();
            for (value, count) in values {
                *sums.entry(value.clone()).or_default() += count;
            }
        }
    }
}

/// A histogram inside a report: the text that stands in HDR logs.
mod encoded {
    use hdrhistogram::Histogram;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use crate::hist;

    pub(super) fn serialize<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        hist::encode(histogram).map_err(ser::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        hist::decode(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
