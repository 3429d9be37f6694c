//! `ringway hist`: HDR logs of latencies, read, added up, compared and drawn.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::{Duration, SystemTime},
};

use kit::hist::{self, Interval, Log, Series};

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  ringway hist summary a.hdr b.hdr
  ringway hist merge run-*.hdr --out all.hdr
  ringway hist compare direct.hdr mesh.hdr
  ringway hist compare demo.hdr:direct demo.hdr:mesh   two tags of one log
  ringway hist percentiles a.hdr > a.hgrm
  ringway hist plot direct.hdr mesh.hdr --out both.svg
  ringway hist --unit us summary other-tool.hlog";

/// Shows, adds up, compares and draws latencies from HDR logs.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What the values of the logs are in: ns as in ours, us or ms.
    #[arg(long, default_value = "ns", global = true)]
    unit: Unit,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// A line for each tag: count, median, tail and maximum.
    Summary {
        /// Logs (FILE, or FILE:TAG for one tag of it).
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Source>,
    },
    /// Adds up all lines of each tag.
    Merge {
        /// Logs (FILE, or FILE:TAG for one tag of it).
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Source>,
        /// The log to write.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Percentiles side by side, with their ratio. Tags that both logs have are compared one by
    /// one; without such all of one with all of the other.
    Compare {
        /// The first log (FILE, or FILE:TAG).
        a: Source,
        /// The second, which is divided by the first.
        b: Source,
    },
    /// The percentile table that HdrHistogram's plotter reads (.hgrm), in milliseconds.
    Percentiles {
        /// A log (FILE, or FILE:TAG for one tag of it).
        file: Source,
    },
    /// Draws the percentiles of each tag.
    Plot {
        /// Logs (FILE, or FILE:TAG for one tag of it).
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Source>,
        /// The picture, .png or .svg; without it the plot goes to the terminal.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The line above the picture.
        #[arg(long, default_value = "latency")]
        title: String,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let unit = arguments.unit;
    match &arguments.verb {
        Verb::Summary { files } => {
            for series in read_named(files, unit)? {
                println!("{}: {}", series.name, hist::summary(&series.histogram));
            }
        }
        Verb::Merge { files, out } => merge(files, unit, out)?,
        Verb::Compare { a, b } => compare(&a.series(unit)?, &b.series(unit)?)?,
        Verb::Percentiles { file } => {
            let all = total("all", &file.series(unit)?)?;
            print!("{}", hist::hgrm(&all.histogram, 1e6));
        }
        Verb::Plot { files, out, title } => {
            let series = read_named(files, unit)?;
            match out {
                Some(path) => hist::draw(path, title, &series).map_err(told)?,
                None => print!("{}", hist::plot(&series, 78)),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the values of a log are in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Unit {
    Ns,
    Us,
    Ms,
}

impl Unit {
    fn ns(self) -> u64 {
        match self {
            Self::Ns => 1,
            Self::Us => 1_000,
            Self::Ms => 1_000_000,
        }
    }
}

/// A log, or one tag of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    path: PathBuf,
    tag: Option<String>,
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A colon may also be part of a file's name.
        let part = text.rsplit_once(':').filter(|_| !Path::new(text).exists());
        Ok(match part {
            Some((path, tag)) => Self { path: path.into(), tag: Some(tag.to_owned()) },
            None => Self { path: text.into(), tag: None },
        })
    }
}

impl Source {
    fn read(&self) -> Result<Log, Failure> {
        let mut log = Log::read(&self.path).map_err(|error| match error {
            hist::Error::File { .. } => told(error),
            other => Failure::new(format!("{}: {other}", self.path.display())),
        })?;
        if let Some(tag) = &self.tag {
            log.intervals.retain(|interval| interval.tag == *tag);
        }
        if log.intervals.is_empty() {
            let tag = self.tag.as_ref().map(|tag| format!(" with the tag {tag}"));
            let tag = tag.unwrap_or_default();
            return Err(Failure::new(format!("{} has no line{tag}", self.path.display())));
        }
        Ok(log)
    }

    /// The sum of each tag, in nanoseconds.
    fn series(&self, unit: Unit) -> Result<Vec<Series>, Failure> {
        let series = hist::merge(&self.read()?.intervals).map_err(told)?;
        Ok(series.into_iter().map(|one| in_ns(one, unit)).collect())
    }

    fn name(&self) -> String {
        self.path.file_stem().map_or_else(String::new, |stem| stem.display().to_string())
    }
}

fn in_ns(series: Series, unit: Unit) -> Series {
    if unit.ns() == 1 { series } else { series.scaled(unit.ns()) }
}

/// All tags of all logs. Where there are several logs their names tell them apart.
fn read_named(files: &[Source], unit: Unit) -> Result<Vec<Series>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let mut series = file.series(unit)?;
        let is_only = series.len() == 1;
        for one in &mut series {
            one.name = match (one.name.is_empty(), files.len()) {
                (true, _) => file.name(),
                (false, 1) => one.name.clone(),
                // One run a log: the tag says less than the file.
                (false, _) if is_only && file.tag.is_none() => file.name(),
                (false, _) => format!("{} {}", file.name(), one.name),
            };
        }
        all.append(&mut series);
    }
    Ok(all)
}

/// A line for each tag; it lasts as long as all of its lines together.
fn merge(files: &[Source], unit: Unit, out: &Path) -> Result<(), Failure> {
    let mut lines: Vec<Interval> = Vec::new();
    let mut started: Option<SystemTime> = None;
    for file in files {
        let log = file.read()?;
        started = started.into_iter().chain(log.started).min();
        lines.extend(log.intervals);
    }
    let len = |tag: &str| -> Duration {
        lines.iter().filter(|line| line.tag == tag).map(|line| line.len).sum()
    };
    let sums = hist::merge(&lines).map_err(told)?.into_iter().map(|sum| Interval {
        tag: sum.name.clone(),
        start: Duration::ZERO,
        len: len(&sum.name),
        histogram: in_ns(sum, unit).histogram,
    });
    let sums: Vec<Interval> = sums.collect();
    hist::write_log(out, started.unwrap_or_else(SystemTime::now), &sums).map_err(told)?;
    for sum in &sums {
        println!("{}: {}", sum.tag, hist::summary(&sum.histogram));
    }
    Ok(())
}

fn compare(a: &[Series], b: &[Series]) -> Result<(), Failure> {
    let same = |one: &Series| b.iter().find(|other| other.name == one.name);
    let pairs: Vec<_> = a.iter().filter_map(|one| Some((one, same(one)?))).collect();
    if pairs.is_empty() || (a.len(), b.len()) == (1, 1) {
        print!("{}", hist::compare(&total("A", a)?, &total("B", b)?));
        return Ok(());
    }
    for (one, other) in pairs {
        println!("{}", one.name);
        print!("{}", hist::compare(one, other));
    }
    Ok(())
}

fn total(name: &str, series: &[Series]) -> Result<Series, Failure> {
    let lines: Vec<Interval> = series
        .iter()
        .map(|one| Interval {
            tag: name.to_owned(),
            start: Duration::ZERO,
            len: Duration::ZERO,
            histogram: one.histogram.clone(),
        })
        .collect();
    let sum = hist::merge(&lines).map_err(told)?.pop();
    Ok(sum.unwrap_or_else(|| Series::new(name, hist::histogram())))
}

fn told(error: hist::Error) -> Failure {
    Failure::new(error.to_string())
}
