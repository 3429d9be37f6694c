//! What was set out to be reached, and whether it was.

use crate::{
    figures::{Metric, Results, Table},
    peer::Make,
};

/// A ratio of two makes' medians.
pub(crate) struct Target {
    scenario: &'static str,
    load: &'static str,
    metric: Metric,
    than: Make,
    bound: Bound,
}

enum Bound {
    /// The peer's figure is at least so many times ours.
    AtLeast(f64),
    /// Ours is at most so many times the peer's.
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};
use Make::{Envoy, Haproxy, Limit};
use Metric::{CpuPerGb, CpuPerRequest, KibPerConnection, P50, Resident};

const TARGETS: &[Target] = &[
    target("http1", "64 connections", CpuPerRequest, Envoy, AtLeast(7.0)),
    target("http1", "64 connections", CpuPerRequest, Haproxy, AtLeast(2.0)),
    target("http1", "64 connections", CpuPerRequest, Limit, AtMost(1.25)),
    target("tcp-small", "64 connections", CpuPerRequest, Envoy, AtLeast(1.9)),
    target("tcp-small", "64 connections", CpuPerRequest, Haproxy, AtLeast(1.5)),
    target("tcp-small", "64 connections", CpuPerRequest, Limit, AtMost(1.15)),
    target("tcp-bulk", "64 streams", CpuPerGb, Envoy, AtLeast(2.3)),
    target("tcp-bulk", "64 streams", CpuPerGb, Haproxy, AtLeast(2.8)),
    target("tcp-bulk", "64 streams", CpuPerGb, Limit, AtMost(1.15)),
    target("connect", "64 at once", CpuPerRequest, Envoy, AtLeast(3.3)),
    target("connect", "64 at once", CpuPerRequest, Haproxy, AtLeast(1.7)),
    target("sidecar-pair", "64 connections", CpuPerRequest, Envoy, AtLeast(7.0)),
    target("idle", "10000 connections", KibPerConnection, Envoy, AtLeast(16.0)),
    target("idle", "10000 connections", KibPerConnection, Haproxy, AtLeast(2.0)),
    target("start", "at start", Resident, Envoy, AtLeast(8.0)),
    target("start", "at start", Resident, Haproxy, AtLeast(2.0)),
    target("http1", "1 connection", P50, Envoy, AtLeast(2.0)),
    target("http1", "1 connection", P50, Haproxy, AtLeast(1.5)),
];

const fn target(
    scenario: &'static str,
    load: &'static str,
    metric: Metric,
    than: Make,
    bound: Bound,
) -> Target {
    Target { scenario, load, metric, than, bound }
}

/// A target with what was measured, in words.
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: f64,
    pub(crate) is_reached: bool,
}

/// Every target of the scenarios that were run.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    TARGETS.iter().filter_map(|target| target.judge(results)).collect()
}

impl Target {
    fn judge(&self, results: &Results) -> Option<Verdict> {
        let table = Table { scenario: self.scenario, load: self.load.to_owned() };
        let ours = results.median(&table, Make::Ringway, self.metric)?;
        let theirs = results.median(&table, self.than, self.metric)?;
        let failed = [Make::Ringway, self.than].map(|make| results.failures(&table, make));
        let (name, title) = (self.than.name(), self.metric.title());
        let (scenario, load) = (self.scenario, self.load);
        let (pair, wanted, measured, is_reached) = match self.bound {
            AtLeast(times) => {
                let ratio = theirs / ours;
                (format!("{name} / ringway"), format!("at least {times}"), ratio, ratio >= times)
            }
            AtMost(times) => {
                let ratio = ours / theirs;
                (format!("ringway / {name}"), format!("at most {times}"), ratio, ratio <= times)
            }
        };
        let what = format!("{scenario}, {load}: {title}, {pair}");
        // What failed was cheap for whoever failed it.
        let is_reached = is_reached && failed == [0, 0];
        Some(Verdict { what, wanted, measured, is_reached })
    }
}
