//! What a run leaves behind: tables for people, logs and plots for those who look closer.

mod markdown;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use kit::hist::{self, Interval, Series};

use crate::{
    Outcome,
    figures::{Results, Table},
    scenario::Effort,
};

/// All tables and verdicts on standard output.
pub(crate) fn print(results: &Results) {
    for table in results.tables() {
        println!("\n{}: {}\n{}", table.scenario, table.load, table::text(results, table));
    }
    println!("{}", table::verdicts(results));
    results.complaints().iter().for_each(|line| println!("failed: {line}"));
}

/// Writes the folder of results and returns where it is.
pub(crate) fn write(
    results: &Results,
    facts: &[(String, String)],
    effort: &Effort,
    out: Option<&Path>,
) -> Outcome<PathBuf> {
    let folder = out.map_or_else(default_folder, Path::to_owned);
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    for table in results.tables() {
        latencies(results, table, &folder).map_err(|error| error.to_string())?;
    }
    let text = markdown::report(results, facts, effort);
    fs::write(folder.join("REPORT.md"), text).map_err(failed)?;
    Ok(folder)
}

/// `perf/results/DATE` in the source tree.
fn default_folder() -> PathBuf {
    let date = jiff::Zoned::now().date().to_string();
    // Asked when it runs: the program may have been built for another clone.
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("results").join(date)
}

/// One HDR log a table, a line for each peer, and both pictures.
fn latencies(results: &Results, table: &Table, folder: &Path) -> Result<(), hist::Error> {
    let latencies = results.latencies(table);
    if latencies.is_empty() {
        return Ok(());
    }
    let name = slug(table);
    let intervals: Vec<Interval> = latencies
        .iter()
        .map(|(make, histogram)| Interval {
            tag: make.name().into(),
            start: Duration::ZERO,
            len: Duration::from_secs(1),
            histogram: (*histogram).clone(),
        })
        .collect();
    hist::write_log(&folder.join(format!("{name}.hdr")), SystemTime::now(), &intervals)?;
    let series: Vec<Series> = latencies
        .into_iter()
        .map(|(make, histogram)| Series::new(make.name(), histogram.clone()))
        .collect();
    let title = format!("{}, {}", table.scenario, table.load);
    hist::draw_png(&folder.join(format!("{name}.png")), &title, &series)?;
    hist::draw_svg(&folder.join(format!("{name}.svg")), &title, &series)
}

/// A table's name as a file's: without its rate, which differs from run to run.
fn slug(table: &Table) -> String {
    let text = format!("{}-{}", table.scenario, table.load);
    let kept = text.split(" at ").next().unwrap_or_default();
    let words = kept.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
