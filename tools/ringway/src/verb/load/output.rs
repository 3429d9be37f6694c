//! What a load has met, for people, programs and files.

use std::{path::PathBuf, time::Duration};

use kit::{
    hist::{self, Interval, Series},
    load::{Counts, LoadReport},
};
use serde_json::{Value, json};

use super::{Arguments, PLOT};
use crate::failure::Failure;

/// Columns of the histogram.
const WIDTH: usize = 78;

pub(super) fn write_files(
    arguments: &Arguments,
    report: &LoadReport,
    total: &Counts,
) -> Result<(), Failure> {
    let failed = |error: hist::Error| Failure::new(error.to_string());
    if let Some(path) = &arguments.out {
        let interval = Interval {
            tag: "load".into(),
            start: Duration::ZERO,
            len: report.elapsed,
            histogram: total.histogram.clone(),
        };
        hist::write_log(path, report.started, &[interval]).map_err(failed)?;
    }
    if let Some(path) = plot_path(arguments) {
        let series = [Series::new("load", total.histogram.clone())];
        hist::draw(&path, &arguments.url, &series).map_err(failed)?;
    }
    Ok(())
}

fn plot_path(arguments: &Arguments) -> Option<PathBuf> {
    let beside = || arguments.out.as_ref().map(|out| out.with_extension("svg"));
    let named = arguments.plot.as_ref()?.clone();
    Some(named.or_else(beside).unwrap_or_else(|| PLOT.into()))
}

pub(super) fn to_json(report: &LoadReport, total: &Counts) -> Value {
    let us = |quantile| total.histogram.value_at_quantile(quantile) as f64 / 1e3;
    json!({
        "requests": total.requests(),
        "failed": total.failed(),
        "seconds": report.elapsed.as_secs_f64(),
        "rate": report.throughput(),
        "connects": report.connects,
        "held": report.held,
        "latency_us": { "p50": us(0.5), "p90": us(0.9), "p99": us(0.99), "p999": us(0.999),
            "max": total.histogram.max() as f64 / 1e3, "mean": total.histogram.mean() / 1e3 },
        "statuses": total.statuses,
        "grpc_statuses": total.grpc_statuses,
        "errors": total.errors,
        "headers": total.headers,
    })
}

pub(super) fn print(report: &LoadReport, total: &Counts) {
    println!(
        "{} requests in {:.2} s, {:.0} a second, {} failed",
        total.requests(),
        report.elapsed.as_secs_f64(),
        report.throughput(),
        total.failed()
    );
    total.statuses.iter().for_each(|(status, count)| println!("  status {status}: {count}"));
    total.grpc_statuses.iter().for_each(|(name, count)| println!("  grpc-status {name}: {count}"));
    total.errors.iter().for_each(|(error, count)| println!("  {error}: {count}"));
    for (name, values) in &total.headers {
        values.iter().for_each(|(value, count)| println!("  {name}: {value}: {count}"));
    }
    if let Some(held) = report.held {
        println!("  {held} of {} connections open to the end", report.connects);
    }
    println!("{}", hist::summary(&total.histogram));
    print!("{}", hist::plot(&[Series::new("load", total.histogram.clone())], WIDTH));
}
