//! REPORT.md.

use std::fmt::Write;

use super::{slug, table};
use crate::{figures::Results, scenario::Effort, target};

/// The whole report.
pub(super) fn report(results: &Results, facts: &[(String, String)], effort: &Effort) -> String {
    let mut out = String::from("# Ringway beside its peers\n\n");
    let (runs, seconds) = (effort.runs, effort.duration.as_secs_f64());
    let _ = writeln!(
        out,
        "{runs} interleaved runs of {seconds} s for each proxy and load: medians, least and most.\n\
         One worker each, alone on its core. Ratios within this run count; the figures\n\
         themselves are this machine's of that hour.\n"
    );
    if effort.is_smoke {
        out.push_str("**A smoke run: these figures mean nothing.**\n\n");
    }
    out.push_str("## Targets\n\n");
    out.push_str(&markdown(&table::verdict_cells(results)));
    losses(&mut out, results);
    for one in results.tables() {
        let _ = write!(out, "\n## {}: {}\n\n", one.scenario, one.load);
        out.push_str(&markdown(&table::cells(results, one)));
        if !results.latencies(one).is_empty() {
            let name = slug(one);
            let _ = writeln!(out, "\n![latencies]({name}.png)\n\n[{name}.hdr]({name}.hdr)");
        }
    }
    out.push_str("\n## Machine\n\n");
    for (name, value) in facts {
        let _ = writeln!(out, "- {name}: {value}");
    }
    out
}

fn losses(out: &mut String, results: &Results) {
    out.push_str("\n## Where we lose\n\n");
    let missed: Vec<_> =
        target::verdicts(results).into_iter().filter(|verdict| !verdict.is_reached).collect();
    for verdict in &missed {
        let _ =
            writeln!(out, "- {}: {:.2}, wanted {}", verdict.what, verdict.measured, verdict.wanted);
    }
    let complaints = results.complaints();
    for line in &complaints {
        let _ = writeln!(out, "- failed: {line}");
    }
    if missed.is_empty() && complaints.is_empty() {
        out.push_str("Nowhere among the targets, and no request failed.\n");
    }
}

fn markdown(lines: &[Vec<String>]) -> String {
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let _ = writeln!(out, "| {} |", line.join(" | "));
        if at == 0 {
            let _ = writeln!(out, "|{}", "---|".repeat(line.len()));
        }
    }
    out
}
