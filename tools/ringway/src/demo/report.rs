//! What was seen: as one JSON object for programs, and as a page for people.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Requests answered by each version.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Split {
    pub(crate) v1: u64,
    pub(crate) v2: u64,
}

/// One question that a policy answers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) case: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
}

/// The same load without and with the mesh.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latencies {
    pub(crate) direct: Latency,
    pub(crate) mesh: Latency,
}

/// The whole demo in figures; the keys of `--json`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) split_before: Split,
    pub(crate) split_after: Split,
    pub(crate) reload_ms: f64,
    pub(crate) failed_requests: u64,
    pub(crate) tls_version: String,
    pub(crate) client_spiffe: String,
    pub(crate) server_spiffe: String,
    pub(crate) policy: Vec<Case>,
    pub(crate) tcp_ok: bool,
    pub(crate) latency_us: Latencies,
    pub(crate) files: Vec<PathBuf>,
    /// For the page only.
    #[serde(skip)]
    pub(crate) page: Page,
}

/// What people are told and programs are not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) cast: String,
    pub(crate) ready_ms: u128,
    pub(crate) requests_under_change: u64,
    pub(crate) tls_records: usize,
    pub(crate) wire_bytes: usize,
    pub(crate) wire_plaintext: usize,
    pub(crate) tcp_bytes: usize,
    pub(crate) histogram: String,
    pub(crate) load: String,
}

impl Split {
    pub(crate) fn total(self) -> u64 {
        self.v1 + self.v2
    }

    /// Share of v2, from 0 to 1.
    fn canary(self) -> f64 {
        self.v2 as f64 / self.total().max(1) as f64
    }

    /// Whether a share this far from `asked` happens by chance less than once in ten thousand
    /// runs (four standard deviations of a binomial).
    fn is_off(self, asked: f64) -> bool {
        let deviation = (asked * (1.0 - asked) / self.total().max(1) as f64).sqrt();
        (self.canary() - asked).abs() > 4.0 * deviation
    }
}

impl Report {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What is not as it was asked for, in words; empty when all is well.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (split, asked) in [(self.split_before, 0.1), (self.split_after, 0.5)] {
            if split.is_off(asked) {
                let (v1, v2) = (split.v1, split.v2);
                wrong.push(format!("the split {v1}/{v2} is not {:.0} % of v2", asked * 100.0));
            }
        }
        if self.failed_requests > 0 {
            wrong.push(format!("{} requests failed", self.failed_requests));
        }
        if self.tls_version != "TLSv1.3" {
            wrong.push(format!("the wire carries {}", self.tls_version));
        }
        if self.page.wire_plaintext > 0 {
            wrong.push("HTTP can be read on the wire".into());
        }
        for case in self.policy.iter().filter(|case| case.expected != case.got) {
            wrong.push(format!("{}: {} in place of {}", case.case, case.got, case.expected));
        }
        if !self.tcp_ok {
            wrong.push("raw TCP did not come back as it was sent".into());
        }
        wrong
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = &self.page;
        writeln!(f, "\n  Ringway  {}, ready in {} ms\n", page.cast, page.ready_ms)?;
        self.traffic(f)?;
        let clear = match page.wire_plaintext {
            0 => "no HTTP to be read".to_owned(),
            streams => format!("HTTP READABLE in {streams} streams"),
        };
        let (records, bytes) =
            (thousands(page.tls_records as u64), thousands(page.wire_bytes as u64));
        line(
            f,
            "Wire",
            &format!("{}, {records} records, {bytes} bytes, {clear}", self.tls_version),
        )?;
        line(f, "", &format!("client {}", self.client_spiffe))?;
        line(f, "", &format!("server {}", self.server_spiffe))?;
        for (place, case) in self.policy.iter().enumerate() {
            let name = if place == 0 { "Policy" } else { "" };
            let mark = if case.expected == case.got { "✓" } else { "✗" };
            line(f, name, &format!("{mark} {:<7} {}", case.got, case.case))?;
        }
        let sent = thousands(page.tcp_bytes as u64);
        let tcp = if self.tcp_ok { "came back as sent" } else { "DID NOT come back as sent" };
        line(f, "TCP", &format!("{sent} bytes through both proxies {tcp}"))?;
        self.latencies(f)?;
        for (place, file) in self.files.iter().enumerate() {
            line(f, if place == 0 { "Files" } else { "" }, &file.display().to_string())?;
        }
        Ok(())
    }
}

impl Report {
    fn traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.split_before, self.split_after);
        let shares = |split: Split| {
            format!("{:.1} / {:.1}", 100.0 - 100.0 * split.canary(), 100.0 * split.canary())
        };
        line(
            f,
            "Canary",
            &format!(
                "90 / 10 asked, {} measured ({} v1, {} v2)",
                shares(before),
                before.v1,
                before.v2
            ),
        )?;
        line(
            f,
            "Change",
            &format!(
                "50 / 50 asked, {} measured ({} v1, {} v2)",
                shares(after),
                after.v1,
                after.v2
            ),
        )?;
        let total = thousands(self.page.requests_under_change);
        let reload =
            format!("the proxies had it {:.0} ms after the file was written", self.reload_ms);
        line(f, "", &format!("{reload}; {} of {total} requests failed", self.failed_requests))
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latencies { direct, mesh } = self.latency_us;
        line(
            f,
            "Latency",
            &format!("{:<8}{:>9}{:>9}{:>9}   {}", "", "p50", "p90", "p99", self.page.load),
        )?;
        for (name, row) in [("direct", direct), ("mesh", mesh)] {
            let cells = [row.p50, row.p90, row.p99].map(|us| format!("{us} µs"));
            line(f, "", &format!("{name:<8}{:>9}{:>9}{:>9}", cells[0], cells[1], cells[2]))?;
        }
        for row in self.page.histogram.lines() {
            line(f, "", row)?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "{}", format!("  {name:<8} {text}").trim_end())
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
