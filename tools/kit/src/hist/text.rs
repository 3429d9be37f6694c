//! Histograms for terminals.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::{Series, human};

/// The rows of the plot: a percentile a row, each about the next order of rareness.
const PERCENTILES: [f64; 9] = [0.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];

/// The narrowest plot that can be read.
const WIDTH_MIN: usize = 60;

/// The bar of each series, in order.
const BARS: [char; 4] = ['█', '▒', '░', '▪'];

/// Percentiles as bars on a logarithmic scale, at least 60 columns wide.
///
/// A row that too few values stand behind (fewer than ten beyond it) is left out, but for the
/// maximum.
pub fn plot(series: &[Series], width: usize) -> String {
    let series: Vec<&Series> = series.iter().filter(|one| !one.histogram.is_empty()).collect();
    if series.is_empty() {
        return "no values\n".into();
    }
    let mut out = String::new();
    for (one, bar) in series.iter().zip(BARS.iter().cycle()) {
        let _ = writeln!(out, "{bar} {} ({} values)", one.name, one.histogram.len());
    }
    let scale = Scale::of(&series, width.max(WIDTH_MIN));
    for percentile in PERCENTILES {
        let mut label = name(percentile);
        for (one, bar) in series.iter().zip(BARS.iter().cycle()) {
            if !is_backed(&one.histogram, percentile) {
                continue;
            }
            let value = one.histogram.value_at_percentile(percentile);
            let bars: String = std::iter::repeat_n(bar, scale.len(value)).collect();
            let _ = writeln!(out, "{label:>7} {:>8} {bars}", human(value));
            label.clear();
        }
    }
    out
}

/// One line: count, median, tail and maximum.
pub fn summary(histogram: &Histogram<u64>) -> String {
    if histogram.is_empty() {
        return "no values".into();
    }
    let at = |percentile| human(histogram.value_at_percentile(percentile));
    format!(
        "{} values: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        histogram.len(),
        at(50.0),
        at(90.0),
        at(99.0),
        at(99.9),
        human(histogram.max()),
    )
}

/// Two series side by side, a percentile a line, and how many times the second is the first.
pub fn compare(first: &Series, second: &Series) -> String {
    let (a, b) = (&first.histogram, &second.histogram);
    let mut out = format!("{:>8} {:>10} {:>10} {:>7}\n", "", "A", "B", "B/A");
    let mut line = |label: &str, from: u64, to: u64| {
        let ratio = match from {
            0 => "-".to_owned(),
            _ => format!("{:.2}", to as f64 / from as f64),
        };
        let _ = writeln!(out, "{label:>8} {:>10} {:>10} {ratio:>7}", human(from), human(to));
    };
    line("mean", a.mean().round() as u64, b.mean().round() as u64);
    let common = PERCENTILES.into_iter().filter(|at| is_backed(a, *at) && is_backed(b, *at));
    for at in common {
        line(&name(at), a.value_at_percentile(at), b.value_at_percentile(at));
    }
    let _ = writeln!(out, "{:>8} {:>10} {:>10}", "values", a.len(), b.len());
    out
}

fn name(percentile: f64) -> String {
    match percentile {
        0.0 => "min".into(),
        100.0 => "max".into(),
        between => format!("p{between}"),
    }
}

fn is_backed(histogram: &Histogram<u64>, percentile: f64) -> bool {
    let beyond = histogram.len() as f64 * (1.0 - percentile / 100.0);
    percentile == 100.0 || beyond >= 10.0 || percentile <= 50.0
}

/// Lengths of bars: equal steps for equal ratios.
struct Scale {
    low: f64,
    high: f64,
    columns: f64,
}

impl Scale {
    fn of(series: &[&Series], width: usize) -> Self {
        let low = series.iter().map(|one| one.histogram.min()).min().unwrap_or(1).max(1);
        let high = series.iter().map(|one| one.histogram.max()).max().unwrap_or(1).max(low + 1);
        // The label, the value and a space each stand before the bar.
        Self { low: (low as f64).ln(), high: (high as f64).ln(), columns: (width - 17) as f64 }
    }

    fn len(&self, value: u64) -> usize {
        let share = ((value.max(1) as f64).ln() - self.low) / (self.high - self.low);
        1 + (share.clamp(0.0, 1.0) * (self.columns - 1.0)).round() as usize
    }
}
