//! The percentile table that HdrHistogram's plotter reads (`.hgrm`).

use std::fmt::Write;

use hdrhistogram::Histogram;

/// The table, its values divided by `scale`: 1e6 shows nanoseconds as milliseconds.
pub fn hgrm(histogram: &Histogram<u64>, scale: f64) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / scale;
        let quantile = step.quantile_iterated_to();
        let _ = write!(out, "{value:12.3} {quantile:14.12} {total:10}");
        let _ = if quantile < 1.0 {
            writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(out)
        };
    }
    let (mean, deviation) = (histogram.mean() / scale, histogram.stdev() / scale);
    let (max, count) = (histogram.max() as f64 / scale, histogram.len());
    let sub = (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two();
    let buckets = histogram.buckets();
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub:12}]");
    out
}
