//! `ringway load` against `ringway echo`, both as a user types them.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on free ports, and where it serves HTTP and TCP.
fn echo() -> (Echo, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["echo", "--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--label", "v7"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = |name: &str| {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(&format!("{name} ")).unwrap().to_owned()
    };
    let (http, tcp) = (address("http"), address("tcp"));
    (Echo(child), http, tcp)
}

fn load(words: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let done = command.args(["load", "--json"]).args(words).output().unwrap();
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)))
}

#[test]
fn load_counts_what_echo_answers() {
    let (_echo, http, tcp) = echo();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("load.hdr");
    let url = format!("http://{http}/some/path");
    let words = ["-n", "300", "-c", "4", "--tally", "x-version", "--hdr", log.to_str().unwrap()];
    let report = load(&[&[url.as_str()], &words[..]].concat());
    assert_eq!(report["requests"], 300);
    assert_eq!((&report["statuses"]["200"], &report["failed"]), (&300.into(), &0.into()));
    assert_eq!(report["headers"]["x-version"]["v7"], 300);
    assert!(report["latency_us"]["p50"].as_f64().unwrap() > 0.0);
    assert_eq!(kit::hist::read_log(&log).unwrap()[0].histogram.len(), 300);

    let failing = load(&[&format!("http://{http}/?status=503"), "-n", "10"]);
    assert_eq!(failing["statuses"]["503"], 10);
    let trips = load(&[&format!("tcp://{tcp}"), "-n", "50"]);
    assert_eq!((&trips["requests"], &trips["failed"]), (&50.into(), &0.into()));
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let (_echo, http, _) = echo();
    let report = load(&[&format!("http://{http}/"), "-r", "200", "-d", "1", "-c", "2"]);
    assert_eq!((&report["requests"], &report["failed"]), (&200.into(), &0.into()));
}

#[test]
fn what_is_no_url_is_refused() {
    for url in ["ftp://localhost/", "localhost:80", "http://no-such-host.invalid/"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        let done = command.args(["load", url]).output().unwrap();
        assert!(!done.status.success() && !done.stderr.is_empty(), "{url}");
    }
}
