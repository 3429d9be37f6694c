//! Latency histograms: HDR logs, percentile tables, and plots for terminals and for pages.
//!
//! A [`Series`] is a histogram with a name. All of them count in one unit, nanoseconds if nothing
//! else is said; what is shown is microseconds or milliseconds, whichever fits.

mod hgrm;
mod image;
mod log;
mod text;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, time::Duration};

use hdrhistogram::Histogram;

pub use hgrm::hgrm;
pub use image::{draw, draw_png, draw_svg};
pub use log::{Interval, Log, decode, encode, merge, read_log, write_log};
pub use text::{compare, plot, summary};

/// The longest time that [`histogram`] tells apart.
pub const LATENCY_MAX: Duration = Duration::from_secs(120);

/// A histogram with the name it is shown by.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name in legends and logs.
    pub name: String,
    /// The values, in nanoseconds.
    pub histogram: Histogram<u64>,
}

impl Series {
    /// A named histogram.
    pub fn new(name: impl Into<String>, histogram: Histogram<u64>) -> Self {
        Self { name: name.into(), histogram }
    }

    /// The same with every value multiplied: 1,000 makes nanoseconds of microseconds.
    #[must_use]
    pub fn scaled(&self, factor: u64) -> Self {
        let mut histogram = histogram();
        histogram.auto(true);
        for step in self.histogram.iter_recorded() {
            let value = step.value_iterated_to().saturating_mul(factor);
            // It grows as it needs to; what does not fit into 64 bits is not a time.
            let _ = histogram.record_n(value, step.count_at_value());
        }
        Self { name: self.name.clone(), histogram }
    }
}

/// What can go wrong with logs and plots.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}; check that the folder exists and can be written to")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A log is not one.
    #[error("byte {offset} of the histogram log: {reason}; it must be an HDR log of version 1.3")]
    Log {
        /// Where in the log.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An encoded histogram is not one.
    #[error("not an encoded histogram: {0}; it begins with HISTF and is base64")]
    Encoded(String),
    /// A plot could not be drawn.
    #[error("cannot draw the plot: {0}")]
    Plot(String),
}

/// An empty histogram for latencies in nanoseconds, 1 ns to [`LATENCY_MAX`] at three digits
/// (about 220 KiB).
pub fn histogram() -> Histogram<u64> {
    let high = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, high, 3).unwrap_or_else(|_| {
        // The bounds are constants, and fine ones.
        Histogram::new(3).expect("three digits are within the limits of the format")
    })
}

/// A number of nanoseconds for people: `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`.
pub fn human(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(value / 1e3, "µs"),
        1_000_000..1_000_000_000 => scaled(value / 1e6, "ms"),
        _ => scaled(value / 1e9, "s"),
    }
}

fn scaled(value: f64, unit: &str) -> String {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}
