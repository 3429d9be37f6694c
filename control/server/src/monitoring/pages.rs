//! The content of the monitoring pages.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::ads::{Kind, Progress};
use crate::push::{DurationSum, Hub, Row};

/// How well the configuration could be read.
#[derive(Debug, Default)]
pub struct ConfigHealth {
    /// Objects in use.
    pub objects: AtomicU64,
    /// Errors told since the start; the last good versions stay in use.
    pub errors: AtomicU64,
    /// Warnings about the newest state.
    pub warnings: AtomicU64,
    /// The newest errors, oldest first.
    recent: Mutex<VecDeque<String>>,
}

/// The most errors that `/debug/syncz` shows.
const RECENT_MAX: usize = 32;

impl ConfigHealth {
    /// Counts an error and keeps its text for a while.
    pub fn error(&self, text: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(text.to_owned());
    }

    fn recent(&self) -> Vec<String> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }
}

pub(super) fn version() -> Value {
    json!({ "name": "ringwayd", "version": env!("CARGO_PKG_VERSION") })
}

pub(super) fn syncz(hub: &Hub, health: &ConfigHealth) -> Value {
    let rows: Vec<Value> = hub.board.rows().iter().map(row).collect();
    json!({
        "generation": hub.generation(),
        "last_convergence": hub.board.convergence(),
        "config": {
            "objects": health.objects.load(Ordering::Relaxed),
            "errors": health.errors.load(Ordering::Relaxed),
            "warnings": health.warnings.load(Ordering::Relaxed),
            "recent_errors": health.recent(),
        },
        "proxies": rows,
    })
}

fn row(row: &Row) -> Value {
    let types: Map<String, Value> = row
        .progress
        .iter()
        .map(|(kind, progress)| (kind.label().to_owned(), state(progress)))
        .collect();
    json!({
        "node": row.info.node,
        "service": row.info.service,
        "protocol": row.info.protocol,
        "address": row.info.address,
        "identity": row.info.identity,
        "connected_since_unix_s": unix_seconds(row.connected_since),
        "synced_generation": row.synced,
        "types": types,
    })
}

fn state(progress: &Progress) -> Value {
    let nacked = progress.nacked.as_ref().map(|rejection| {
        json!({
            "version": &*rejection.version,
            "code": rejection.code,
            "error": rejection.message,
        })
    });
    json!({
        "sent": &*progress.sent,
        "acked": &*progress.acked,
        "nacked": nacked,
        "resources": progress.resources,
        "in_flight": progress.in_flight,
    })
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(super) fn metrics(hub: &Hub, health: &ConfigHealth) -> String {
    let mut page = Page::default();
    let counters = &hub.counters;
    let rows = hub.board.rows();
    page.head("ringwayd_streams", "gauge", "Connected xDS streams.");
    for service in ["ads", "sds"] {
        let count = rows.iter().filter(|row| row.info.service == service).count();
        page.line(&format!("ringwayd_streams{{service=\"{service}\"}}"), count);
    }
    page.head("ringwayd_xds_responses_total", "counter", "Responses sent, by type.");
    for kind in Kind::ALL {
        let name = format!("ringwayd_xds_responses_total{{type=\"{kind}\"}}");
        page.line(&name, counters.of(kind).0);
    }
    page.head("ringwayd_xds_rejects_total", "counter", "Responses that clients refused.");
    for kind in Kind::ALL {
        page.line(&format!("ringwayd_xds_rejects_total{{type=\"{kind}\"}}"), counters.of(kind).1);
    }
    let simple = [
        ("ringwayd_xds_expired_nonce_total", "counter", &counters.stale_nonces),
        ("ringwayd_refused_streams_total", "counter", &counters.refused_streams),
        ("ringwayd_certificates_issued_total", "counter", &counters.certificates),
        ("ringwayd_config_objects", "gauge", &health.objects),
        ("ringwayd_config_errors_total", "counter", &health.errors),
        ("ringwayd_config_warnings", "gauge", &health.warnings),
    ];
    for (name, kind, cell) in simple {
        page.head(name, kind, "See docs/control-plane.md.");
        page.line(name, cell.load(Ordering::Relaxed));
    }
    page.head("ringwayd_generation", "gauge", "The number of the newest configuration.");
    page.line("ringwayd_generation", hub.generation());
    page.duration("ringwayd_push_seconds", "Computing one push.", &counters.pushes);
    let text = "From a change to the last acknowledgement.";
    page.duration("ringwayd_convergence_seconds", text, &counters.convergence);
    page.0
}

/// Prometheus' text format.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn duration(&mut self, name: &str, help: &str, duration: &DurationSum) {
        let (count, sum) = duration.read();
        self.head(name, "summary", help);
        self.line(&format!("{name}_sum"), sum.as_secs_f64());
        self.line(&format!("{name}_count"), count);
    }
}
