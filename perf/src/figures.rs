//! What was measured.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use kit::hist;

use crate::peer::Make;

/// What a number says, in which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Metric {
    /// Microseconds of the proxy's CPU time for each request.
    CpuPerRequest,
    /// Milliseconds of the proxy's CPU time for each 10^9 bytes of bodies.
    CpuPerGb,
    /// Requests a second.
    Rate,
    /// Microseconds.
    P50,
    P99,
    P999,
    /// KiB that one connection adds to what is resident.
    KibPerConnection,
    /// MiB resident.
    Resident,
    /// Milliseconds until it listens.
    Ready,
}

impl Metric {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "CPU µs/request",
            Self::CpuPerGb => "CPU ms/GB",
            Self::Rate => "rate/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::KibPerConnection => "KiB/connection",
            Self::Resident => "resident MiB",
            Self::Ready => "ready ms",
        }
    }

    /// The first figure of a table: the one that ratios are made of.
    pub(crate) fn is_first(self) -> bool {
        matches!(
            self,
            Self::CpuPerRequest | Self::CpuPerGb | Self::KibPerConnection | Self::Resident
        )
    }
}

/// A table of a report: one load of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table {
    pub(crate) scenario: &'static str,
    pub(crate) load: String,
}

/// Everything that was measured, in the order of measuring.
#[derive(Default)]
pub(crate) struct Results {
    tables: Vec<Table>,
    samples: BTreeMap<(Table, Make, Metric), Vec<f64>>,
    histograms: BTreeMap<(Table, Make), Histogram<u64>>,
    failures: BTreeMap<(Table, Make), BTreeMap<String, u64>>,
    given_up: Vec<String>,
}

impl Results {
    pub(crate) fn add(&mut self, table: &Table, make: Make, metric: Metric, value: f64) {
        if !self.tables.contains(table) {
            self.tables.push(table.clone());
        }
        self.samples.entry((table.clone(), make, metric)).or_default().push(value);
    }

    pub(crate) fn add_latencies(&mut self, table: &Table, make: Make, more: &Histogram<u64>) {
        let key = (table.clone(), make);
        let sum = self.histograms.entry(key).or_insert_with(hist::histogram);
        // Both have the bounds of `hist::histogram`.
        let _ = sum.add(more);
    }

    pub(crate) fn add_failure(&mut self, table: &Table, make: Make, what: &str, count: u64) {
        let failures = self.failures.entry((table.clone(), make)).or_default();
        *failures.entry(what.to_owned()).or_default() += count;
    }

    /// A scenario could not be measured to its end, for this reason.
    pub(crate) fn give_up(&mut self, why: String) {
        self.given_up.push(why);
    }

    pub(crate) fn given_up(&self) -> &[String] {
        &self.given_up
    }

    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub(crate) fn makes(&self, table: &Table) -> Vec<Make> {
        let mut makes: Vec<Make> =
            self.samples.keys().filter(|(of, ..)| of == table).map(|(_, make, _)| *make).collect();
        makes.dedup();
        makes
    }

    pub(crate) fn metrics(&self, table: &Table) -> Vec<Metric> {
        let of = self.samples.keys().filter(|(of, ..)| of == table);
        let mut metrics: Vec<Metric> = of.map(|(.., metric)| *metric).collect();
        metrics.sort_unstable();
        metrics.dedup();
        metrics
    }

    /// Runs of one figure, lowest first.
    pub(crate) fn sorted(&self, table: &Table, make: Make, metric: Metric) -> Vec<f64> {
        let found = self.samples.get(&(table.clone(), make, metric));
        let mut samples = found.cloned().unwrap_or_default();
        samples.sort_by(f64::total_cmp);
        samples
    }

    pub(crate) fn median(&self, table: &Table, make: Make, metric: Metric) -> Option<f64> {
        let sorted = self.sorted(table, make, metric);
        let middle = sorted.get(sorted.len() / 2).copied()?;
        match sorted.len() % 2 {
            1 => Some(middle),
            _ => sorted.get(sorted.len() / 2 - 1).map(|lower| (lower + middle) / 2.0),
        }
    }

    pub(crate) fn latencies(&self, table: &Table) -> Vec<(Make, &Histogram<u64>)> {
        let of = self.histograms.iter().filter(|((of, _), _)| of == table);
        of.map(|((_, make), histogram)| (*make, histogram)).collect()
    }

    pub(crate) fn failures(&self, table: &Table, make: Make) -> u64 {
        self.failures.get(&(table.clone(), make)).map_or(0, |all| all.values().sum())
    }

    /// What went wrong, one line each.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.given_up.iter().map(|why| format!("not measured to the end: {why}")).collect();
        for ((table, make), failures) in &self.failures {
            for (what, count) in failures {
                let (scenario, load) = (table.scenario, &table.load);
                lines.push(format!("{scenario}, {load}, {}: {count} × {what}", make.name()));
            }
        }
        lines
    }
}
