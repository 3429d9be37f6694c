//! HDR logs of version 1.3 with V2 histograms, as HdrHistogram's other tools read and write them.

use std::{
    fs, io,
    io::Write,
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, Serializer, V2DeflateSerializer,
        interval_log::{
            IntervalLogIterator, IntervalLogWriterBuilder, IntervalLogWriterError, LogEntry,
            LogIteratorError, Tag,
        },
    },
};

use super::{Error, Series};

/// One line of a log.
#[derive(Clone, Debug)]
pub struct Interval {
    /// The name of what was measured. Empty if the line has none.
    pub tag: String,
    /// When it began, since the log's start (or since the epoch, if the log names no start).
    pub start: Duration,
    /// How long it lasted.
    pub len: Duration,
    /// The values.
    pub histogram: Histogram<u64>,
}

/// A whole log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// When it was begun, if it says so.
    pub started: Option<SystemTime>,
    /// Its lines.
    pub intervals: Vec<Interval>,
}

impl Log {
    /// Reads a log.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes =
            fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        Self::parse(&bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut log = Self::default();
        for entry in IntervalLogIterator::new(bytes) {
            let entry = entry.map_err(|LogIteratorError::ParseError { offset }| Error::Log {
                offset,
                reason: "this line cannot be read".into(),
            })?;
            match entry {
                LogEntry::StartTime(since) => {
                    log.started = SystemTime::UNIX_EPOCH.checked_add(since)
                }
                LogEntry::BaseTime(_) => {}
                LogEntry::Interval(line) => log.intervals.push(Interval {
                    tag: line.tag().map_or_else(String::new, |tag| tag.as_str().to_owned()),
                    start: line.start_timestamp(),
                    len: line.duration(),
                    histogram: decode(line.encoded_histogram())?,
                }),
            }
        }
        Ok(log)
    }
}

/// Writes a log. Maxima, which are there for people, are in milliseconds.
pub fn write_log(path: &Path, started: SystemTime, intervals: &[Interval]) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let file = fs::File::create(path).map_err(failed)?;
    let mut out = io::BufWriter::new(file);
    write_to(&mut out, started, intervals).and_then(|()| out.flush()).map_err(failed)
}

fn write_to(out: &mut impl Write, started: SystemTime, log: &[Interval]) -> io::Result<()> {
    const LEGEND: &[u8] = b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
        \"Interval_Compressed_Histogram\"\n";
    let mut serializer = V2DeflateSerializer::new();
    let mut head = IntervalLogWriterBuilder::new();
    head.add_comment("[Histogram log format version 1.3]");
    head.with_start_time(started).with_max_value_divisor(1e6);
    drop(head.begin_log_with(out, &mut serializer)?);
    out.write_all(LEGEND)?;
    let mut lines = IntervalLogWriterBuilder::new();
    lines.with_max_value_divisor(1e6);
    // The divisor's own comment belongs to the head: it is written once, above.
    let mut body = Vec::new();
    let mut writer = lines.begin_log_with(&mut body, &mut serializer)?;
    for interval in log {
        let tag = tag_text(&interval.tag);
        writer
            .write_histogram(&interval.histogram, interval.start, interval.len, Tag::new(&tag))
            .map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
        })?;
    }
    let first = body.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    out.write_all(body.get(first..).unwrap_or_default())
}

/// A tag ends at a comma and a line at its end, so neither may stand in one.
fn tag_text(tag: &str) -> String {
    tag.chars().map(|c| if c == ',' || c.is_whitespace() { '_' } else { c }).collect()
}

/// Reads the lines of a log.
pub fn read_log(path: &Path) -> Result<Vec<Interval>, Error> {
    Log::read(path).map(|log| log.intervals)
}

/// Adds up the lines of each tag, in the order in which the tags come first.
pub fn merge<'a>(log: impl IntoIterator<Item = &'a Interval>) -> Result<Vec<Series>, Error> {
    let mut series: Vec<Series> = Vec::new();
    for interval in log {
        match series.iter_mut().find(|found| found.name == interval.tag) {
            Some(found) => add(&mut found.histogram, &interval.histogram)?,
            None => series.push(Series::new(interval.tag.clone(), interval.histogram.clone())),
        }
    }
    Ok(series)
}

fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) -> Result<(), Error> {
    // Logs of other tools may have other bounds.
    sum.auto(true);
    sum.add(more).map_err(|error| Error::Encoded(error.to_string()))
}

/// A histogram as text (V2, deflated, base64), as it stands in logs.
pub fn encode(histogram: &Histogram<u64>) -> Result<String, Error> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| Error::Encoded(error.to_string()))?;
    Ok(STANDARD.encode(bytes))
}

/// The histogram that [`encode`] wrote.
pub fn decode(text: &str) -> Result<Histogram<u64>, Error> {
    let bytes = STANDARD.decode(text).map_err(|error| Error::Encoded(error.to_string()))?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| Error::Encoded(error.to_string()))
}
