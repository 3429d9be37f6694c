//! Logs that come back as they went, and plots that show what was counted.

use std::time::{Duration, SystemTime};

use super::*;

/// A latency distribution with a tail: so many values about `base` nanoseconds.
fn series(name: &str, base: u64, count: u64) -> Series {
    let mut histogram = histogram();
    for at in 0..count {
        let tail = if at % 1000 == 0 { 40 } else { 1 + at % 3 };
        histogram.saturating_record(base * tail + at * 17 % (base / 2));
    }
    Series::new(name, histogram)
}

fn interval(series: &Series, start_ms: u64) -> Interval {
    Interval {
        tag: series.name.clone(),
        start: Duration::from_millis(start_ms),
        len: Duration::from_millis(500),
        histogram: series.histogram.clone(),
    }
}

#[test]
fn a_log_comes_back_as_it_went() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("latency.hlog");
    let (direct, mesh) = (series("direct", 80_000, 3000), series("mesh", 190_000, 2000));
    let log = [interval(&direct, 0), interval(&mesh, 500), interval(&direct, 1000)];
    write_log(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1000), &log).expect("written");

    let text = std::fs::read_to_string(&path).expect("it is text");
    assert!(text.starts_with("#[Histogram log format version 1.3]\n#[StartTime: 1000.000"));
    assert_eq!(text.matches("#[MaxValueDivisor").count(), 1);
    assert!(text.contains("\"StartTimestamp\",\"Interval_Length\""));
    assert!(text.lines().last().is_some_and(|line| line.starts_with("Tag=direct,1.000,0.500,")));

    let read = read_log(&path).expect("read");
    assert_eq!(read.len(), 3);
    for (read, went) in read.iter().zip(&log) {
        assert_eq!((&read.tag, read.start, read.len), (&went.tag, went.start, went.len));
        assert_eq!(read.histogram, went.histogram);
    }
    let merged = merge(&read).expect("merged");
    let names: Vec<_> = merged.iter().map(|one| (one.name.as_str(), one.histogram.len())).collect();
    assert_eq!(names, [("direct", 6000), ("mesh", 2000)]);
    assert_eq!(merged[0].histogram.max(), direct.histogram.max());
}

#[test]
fn what_is_no_log_is_told() {
    let told = |text: &str| Log::parse(text.as_bytes()).map(|log| log.intervals.len());
    assert_eq!(told("").expect("an empty log"), 0);
    assert!(told("Tag=a,0.0,1.0,2.0,HISTFnonsense\n").is_err());
    assert!(told("whatever").is_err());
    assert!(decode("HISTFAAA").is_err());
    assert!(decode("").is_err());
    let missing = read_log(std::path::Path::new("/nowhere/at/all")).expect_err("not there");
    assert!(missing.to_string().starts_with("/nowhere/at/all: "), "{missing}");
}

/// Two lines as the Python package `hdrhistogram` wrote them, one given a tag: ten values from
/// 100 us on in steps of 10, ten from 2,000 us on in steps of 200.
const FOREIGN: &str = "\
#[Histogram log format version 1.2]
#[StartTime: 1700000000.000 (seconds since epoch), Tue Nov 14 22:13:20 UTC 2023]
\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"
1700000000.000000,1.000000,0.000000,\
HISTFAAAACR4nJNpmSzMwMAgygABTFCaEUzyOznYf4AIHGdkEsSAAJriBJQ=
Tag=west,1700000000.000000,1.000000,3.000000,\
HISTFAAAACh4nJNpmSzMwMAgygABTFCaEUzyOznYf4AIfOZkkmYSZxJFwQChQgT6
";

#[test]
fn logs_of_other_tools_are_read() {
    let log = Log::parse(FOREIGN.as_bytes()).expect("a log");
    assert_eq!(log.started, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    let series = merge(&log.intervals).expect("merged");
    let names: Vec<_> = series.iter().map(|one| (one.name.as_str(), one.histogram.len())).collect();
    assert_eq!(names, [("", 10), ("west", 10)]);
    let ns = series[1].scaled(1_000).histogram;
    assert_eq!(ns.len(), 10);
    let near = |value: u64, expected: f64| (value as f64 / expected - 1.0).abs() < 0.02;
    assert!(near(ns.min(), 2_000_000.0) && near(ns.max(), 3_800_000.0), "{ns:?}");
}

#[test]
fn two_are_compared_line_by_line() {
    let (one, double) = (series("a", 10_000, 5_000), series("b", 20_000, 5_000));
    let table = compare(&one, &double);
    let median = table.lines().find(|line| line.contains("p50")).expect("a median");
    let ratio = median.split_whitespace().last().and_then(|ratio| ratio.parse::<f64>().ok());
    assert!(ratio.is_some_and(|ratio| (1.95..2.05).contains(&ratio)), "{table}");
    assert!(table.contains("p99 ") && !table.contains("p99.99 "), "too few values:\n{table}");
    assert!(compare(&one, &Series::new("none", histogram())).contains("mean"));
}

#[test]
fn a_tag_cannot_break_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.hlog");
    let odd = Series::new("a, b\nc", series("", 1000, 10).histogram);
    write_log(&path, SystemTime::now(), &[interval(&odd, 0)]).expect("written");
    assert_eq!(read_log(&path).expect("read")[0].tag, "a__b_c");
}

#[test]
fn a_histogram_travels_as_text() {
    let one = series("a", 5_000, 500);
    let text = encode(&one.histogram).expect("encoded");
    assert!(text.starts_with("HISTF"), "{text}");
    assert_eq!(decode(&text).expect("decoded"), one.histogram);
}

#[test]
fn the_table_ends_at_the_maximum() {
    let one = series("a", 1_000_000, 1000);
    let table = hgrm(&one.histogram, 1e6);
    let last = table.lines().rfind(|line| !line.starts_with('#')).expect("rows");
    let words: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(words[1..], ["1.000000000000", "1000"]);
    let max = one.histogram.max() as f64 / 1e6;
    assert!((words[0].parse::<f64>().expect("a number") - max).abs() < 0.05, "{last}");
    assert!(table.contains("Total count    =         1000]"), "{table}");
}

#[test]
fn text_shows_each_series_within_its_width() {
    let both = [series("direct", 80_000, 3000), series("mesh", 190_000, 3000)];
    for width in [60, 72, 80] {
        let text = plot(&both, width);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert_eq!(longest, Some(width), "the slowest reaches the edge\n{text}");
        assert!(text.contains("p50") && text.contains("p99"), "{text}");
        assert!(!text.contains("p99.99"), "3,000 values say nothing of the slowest 0.01 %");
    }
    assert_eq!(plot(&[], 80), "no values\n");
    assert_eq!(plot(&[Series::new("a", histogram())], 80), "no values\n");
    let one = summary(&both[0].histogram);
    assert!(one.starts_with("3000 values: p50 ") && one.ends_with(" ms"), "{one}");
}

#[test]
fn times_for_people() {
    for (ns, text) in [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.50 µs"),
        (12_345, "12.3 µs"),
        (456_789, "457 µs"),
        (4_560_000, "4.56 ms"),
        (1_200_000_000, "1.20 s"),
    ] {
        assert_eq!(human(ns), text);
    }
}

#[test]
fn plots_are_drawn_with_and_without_a_font() {
    let folder = tempfile::tempdir().expect("a folder");
    let both = [series("direct", 80_000, 30_000), series("mesh", 190_000, 30_000)];
    let (png, svg) = (folder.path().join("a.png"), folder.path().join("a.svg"));
    draw_png(&png, "latency", &both).expect("drawn");
    draw_svg(&svg, "latency", &both).expect("drawn");
    let bytes = std::fs::read(&png).expect("there");
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 1_000, "{} bytes", bytes.len());
    let text = std::fs::read_to_string(&svg).expect("there");
    assert!(text.matches("<polyline").count() >= 2, "a line for each");

    use plotters::prelude::*;
    let mut bare = String::new();
    {
        let area = SVGBackend::with_string(&mut bare, (400, 300)).into_drawing_area();
        image::paint(&area, "latency", &both, false).expect("no font is needed");
    }
    assert!(bare.contains("<polyline") && !bare.contains("<text"));
    draw_png(&png, "nothing", &[]).expect("an empty plot is one too");
    let refused = draw_png(&folder.path().join("no/such/folder.png"), "x", &both);
    assert!(refused.is_err_and(|error| error.to_string().contains("no/such/folder.png")));
}
