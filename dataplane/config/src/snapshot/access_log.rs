//! Access logs: who writes a line of what, and when.

use std::sync::Arc;
use std::time::Duration;

use super::{AccessLogType, ClusterId, Flags, Format, HeaderMatch, JsonFormat, OtlpFormat};

/// `envoy.config.accesslog.v3.AccessLog`, compiled.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// A line is written where this holds; `None`: always.
    pub filter: Option<LogFilter>,
    /// What it says.
    pub format: LogFormat,
    /// Where it goes.
    pub target: LogTarget,
}

/// A line's format.
#[derive(Clone, Debug)]
pub enum LogFormat {
    /// Text as the format gives it, its line end included.
    Text {
        /// The format.
        format: Format,
        /// What is written for a value that is not there.
        empty: &'static str,
    },
    /// An object of JSON and a line end.
    Json(JsonFormat),
    /// A record of OTLP.
    Otlp(OtlpFormat),
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The process's standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// A file, by its path; lines are added at its end.
    File(Arc<str>),
    /// A server that takes records by OTLP. The same server is the same object.
    Collector(Arc<LogCollector>),
}

/// `OpenTelemetryAccessLogConfig`, but for what a record says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogCollector {
    /// `log_name`
    pub name: Box<str>,
    /// What stands before the names of its figures (`stat_prefix`); may be empty.
    pub stat_prefix: Box<str>,
    /// The cluster that it is one of the hosts of.
    pub cluster: ClusterId,
    /// That cluster's name.
    pub cluster_name: Arc<str>,
    /// What it is asked under (`authority`); empty: the cluster's name.
    pub authority: Box<str>,
    /// How long a call may take.
    pub timeout: Duration,
    /// What goes with each call (`initial_metadata`).
    pub metadata: Vec<(String, String)>,
    /// How long records wait for others (`buffer_flush_interval`).
    pub flush_interval: Duration,
    /// Records of so many bytes do not wait (`buffer_size_bytes`).
    pub buffer_bytes: u32,
    /// The resource says who this proxy is (unless `disable_builtin_labels`).
    pub has_labels: bool,
    /// `resource_attributes`: keys, and each as an encoded `KeyValue`.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// `AccessLogFilter`.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// `status_code_filter`; 0 where nobody was answered.
    Status(Threshold),
    /// `duration_filter`, in milliseconds.
    Duration(Threshold),
    /// `runtime_filter`: so many of so many.
    Sample {
        /// The share's numerator.
        of: u32,
        /// Its denominator.
        out_of: u32,
    },
    /// `and_filter`
    All(Vec<Self>),
    /// `or_filter`
    Any(Vec<Self>),
    /// `header_filter`, on the request.
    Header(HeaderMatch),
    /// `response_flag_filter`: one of these is set; `None`: any.
    Flags(Option<Flags>),
    /// `grpc_status_filter`: it is one of these, a bit each.
    GrpcStatus {
        /// A bit for each status.
        statuses: u32,
        /// It is none of them.
        excludes: bool,
    },
    /// `log_type_filter`
    Type {
        /// The types.
        types: Vec<AccessLogType>,
        /// It is none of them.
        excludes: bool,
    },
    /// `not_health_check_filter`
    NotHealthCheck,
}

/// `ComparisonFilter`.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// How a value is compared with the one here.
    pub how: Compare,
    /// The value here.
    pub with: u64,
}

/// `ComparisonFilter.Op`.
#[derive(Clone, Copy, Debug)]
pub enum Compare {
    /// Equal.
    Equal,
    /// Not less.
    AtLeast,
    /// Not more.
    AtMost,
    /// Not equal.
    Differs,
}

impl Threshold {
    /// Whether a value stands to the one here as it is meant to.
    pub const fn holds(&self, value: u64) -> bool {
        match self.how {
            Compare::Equal => value == self.with,
            Compare::AtLeast => value >= self.with,
            Compare::AtMost => value <= self.with,
            Compare::Differs => value != self.with,
        }
    }
}

impl LogTarget {
    /// Its name in messages and statistics.
    pub fn name(&self) -> &str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::File(path) => path,
            Self::Collector(collector) => collector.shown(),
        }
    }
}

impl LogCollector {
    /// Its name in messages and statistics.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { &self.cluster_name } else { &self.name }
    }
}
