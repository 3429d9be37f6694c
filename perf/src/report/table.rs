//! Tables of aligned columns.

use crate::{
    figures::{Metric, Results, Table},
    peer::Make,
    target,
};

/// The columns and lines of one table; the first line is the heading.
pub(super) fn cells(results: &Results, table: &Table) -> Vec<Vec<String>> {
    let metrics = results.metrics(table);
    let mut heading = vec!["proxy".to_owned()];
    for metric in &metrics {
        heading.push(metric.title().to_owned());
        if metric.is_first() {
            let times = format!("times {}", base(results, table).name());
            heading.extend(["least to most".to_owned(), times]);
        }
    }
    heading.push("failed".to_owned());
    let lines = results.makes(table).into_iter().map(|make| line(results, table, make, &metrics));
    std::iter::once(heading).chain(lines).collect()
}

/// Whose figures the others are divided by.
fn base(results: &Results, table: &Table) -> Make {
    match results.makes(table).contains(&Make::Ringway) {
        true => Make::Ringway,
        false => Make::Limit,
    }
}

fn line(results: &Results, table: &Table, make: Make, metrics: &[Metric]) -> Vec<String> {
    let mut line = vec![make.name().to_owned()];
    for metric in metrics {
        let median = results.median(table, make, *metric);
        line.push(median.map_or_else(|| "–".to_owned(), number));
        if metric.is_first() {
            let sorted = results.sorted(table, make, *metric);
            let ends = sorted.first().zip(sorted.last());
            line.push(ends.map_or_else(String::new, |(least, most)| {
                format!("{} to {}", number(*least), number(*most))
            }));
            let ours = results.median(table, base(results, table), *metric);
            let ratio = median.zip(ours).map(|(theirs, ours)| format!("{:.2}", theirs / ours));
            line.push(ratio.unwrap_or_default());
        }
    }
    line.push(results.failures(table, make).to_string());
    line
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// For a terminal.
pub(super) fn text(results: &Results, table: &Table) -> String {
    aligned(&cells(results, table))
}

/// Every target with its figure, for a terminal.
pub(super) fn verdicts(results: &Results) -> String {
    let lines = verdict_cells(results);
    if lines.len() < 2 {
        return String::new();
    }
    format!("\ntargets\n{}", aligned(&lines))
}

/// The same as cells.
pub(super) fn verdict_cells(results: &Results) -> Vec<Vec<String>> {
    let heading = ["target", "wanted", "measured", ""].map(str::to_owned).to_vec();
    let lines = target::verdicts(results).into_iter().map(|verdict| {
        let mark = if verdict.is_reached { "reached" } else { "NOT REACHED" };
        vec![verdict.what, verdict.wanted, format!("{:.2}", verdict.measured), mark.to_owned()]
    });
    std::iter::once(heading).chain(lines).collect()
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| {
        lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or_default()).collect();
    let mut out = String::new();
    for line in lines {
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let padded = match at {
                0 => format!("  {cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
            out.push_str(&padded);
        }
        out.push('\n');
    }
    out
}
