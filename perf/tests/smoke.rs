//! Each scenario once and briefly, as `perf/run --smoke` does it: it works, the answers are right,
//! and nothing is left behind. Its figures mean nothing and gate nothing.

use std::{
    fs,
    process::{Command, Stdio},
};

use kit::around::skip;

/// Scenarios by what they need; together they are all.
const SCENARIOS: [&str; 17] = [
    "http1",
    "http1-16k",
    "http1-bulk",
    "tcp-small",
    "tcp-bulk",
    "connect",
    "sidecar-pair",
    "redirected-pair",
    "routes-10k",
    "routes-10k-start",
    "ladder",
    "ladder-bulk",
    "churn",
    "idle",
    "start",
    "http2",
    "grpc",
];

#[test]
fn every_scenario_works() {
    let name = "every_scenario_works";
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return skip(name, "a measurement needs two CPUs");
    }
    let out = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_ringway-perf"))
        .args(["--smoke", "--no-build", "--out"])
        .arg(out.path())
        .args(SCENARIOS)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}\n{complained}");
    let report = fs::read_to_string(out.path().join("REPORT.md")).unwrap();
    for scenario in SCENARIOS {
        assert!(report.contains(&format!("\n## {scenario}: ")), "{scenario}:\n{report}");
    }
    assert!(!report.contains("failed: "), "{report}");
    assert!(report.contains("| ringway |"), "{report}");
    for file in ["http1-64-connections.hdr", "http1-64-connections.png", "http1-64-connections.svg"]
    {
        assert!(out.path().join(file).metadata().is_ok_and(|found| found.len() > 0), "{file}");
    }
}

#[test]
fn the_list_of_scenarios_is_whole() {
    let help = Command::new(env!("CARGO_BIN_EXE_ringway-perf")).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let listed = help.split("Scenarios:").nth(1).unwrap_or_default().lines();
    let listed: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, SCENARIOS);
}

#[test]
fn an_unknown_scenario_is_refused_with_those_that_are() {
    let done = Command::new(env!("CARGO_BIN_EXE_ringway-perf")).arg("http9").output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("http1-16k"), "{said}");
}
