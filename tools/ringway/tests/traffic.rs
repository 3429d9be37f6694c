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
fn load_speaks_http2() {
    let (_echo, http, _) = echo();
    let url = format!("http://{http}/some/path");
    let words = ["--http2", "-n", "300", "-c", "2", "--streams", "8", "--tally", "x-version"];
    let report = load(&[&[url.as_str()], &words[..]].concat());
    assert_eq!((&report["requests"], &report["failed"]), (&300.into(), &0.into()));
    assert_eq!(
        (&report["connects"], &report["headers"]["x-version"]["v7"]),
        (&2.into(), &300.into())
    );
    // Who answers something else is no server of gRPC, and the program says so.
    let call = format!("grpc://{http}/pkg.Service/Call");
    for words in [&[call.as_str(), "--data", "message"][..], &[url.as_str(), "--grpc"]] {
        let (content, said) = ringway(&[&["load", "-n", "4"], words].concat());
        assert!(!content && said.contains("4 failed"), "{said}");
        assert!(said.contains("answer is not gRPC: its content-type is another: 4"), "{said}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let (_echo, http, _) = echo();
    let report = load(&[&format!("http://{http}/"), "-r", "200", "-d", "1", "-c", "2"]);
    assert_eq!((&report["requests"], &report["failed"]), (&200.into(), &0.into()));
}

/// What the program says, and whether it is content.
fn ringway(words: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let done = command.args(words).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.success(), told.into_owned())
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    for (words, told) in [
        (&["ftp://localhost/"][..], "no scheme that is known"),
        (&["localhost:80"], "no scheme that is known"),
        (&["http://no-such-host.invalid/"], "cannot resolve"),
        (&["tcp://localhost"], "has no port"),
        (&["http://127.0.0.1:1/", "--streams", "2"], "--http2 or --grpc beside it"),
        (&["tcp://127.0.0.1:1", "--http2"], "neither HTTP/2 nor gRPC"),
        (&["grpc://127.0.0.1:1/", "-X", "GET"], "leave out --method"),
        (&["grpc://127.0.0.1:1/", "--streams", "0"], "streams must be 1 to 1000"),
        (
            &["http://127.0.0.1:1/", "--http2", "--streams", "2", "--no-keep-alive"],
            "leave out --streams or --no-keep-alive",
        ),
        (&["http://127.0.0.1:1/", "--body-file", "/none"], "/none"),
        (&["https://127.0.0.1:1/", "--cacert", "/dev/null"], "--server-name"),
        (&["http://127.0.0.1:1/", "-d", "5 parsecs"], "no unit of time"),
    ] {
        let (content, said) = ringway(&[&["load"], words].concat());
        assert!(!content && said.contains(told), "{words:?}: {said}");
    }
    // Whoever is not there makes requests fail, and the program with them.
    let (content, said) = ringway(&["load", "http://127.0.0.1:1/", "-n", "1"]);
    assert!(!content && said.contains("connection refused"), "{said}");
}

#[test]
fn connections_can_be_held() {
    let (_echo, http, _) = echo();
    let words = ["load", &format!("http://{http}/"), "-c", "20", "-n", "20", "--hold", "600ms"];
    let (content, said) = ringway(&words);
    assert!(content && said.contains("holding 20 connections"), "{said}");
    assert!(said.contains("20 of 20 connections open to the end"), "{said}");
}

#[test]
fn logs_are_added_up_compared_and_drawn() {
    let (_echo, _, tcp) = echo();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, sum, plot) = (path("a.hdr"), path("b.hdr"), path("sum.hdr"), path("b.svg"));
    let url = format!("tcp://{tcp}");
    assert!(ringway(&["load", &url, "-n", "100", "--out", &a]).0);
    assert!(ringway(&["load", &url, "-n", "50", "--bytes", "1M", "--out", &b, "--plot"]).0);
    assert!(std::fs::read_to_string(plot).unwrap().starts_with("<svg"));

    let (content, said) = ringway(&["hist", "summary", &a, &b]);
    assert!(content && said.contains("a: 100 values") && said.contains("b: 50 values"), "{said}");
    assert!(ringway(&["hist", "merge", &a, &b, "--out", &sum]).0);
    let merged = kit::hist::read_log(sum.as_ref()).unwrap();
    assert_eq!((merged.len(), merged[0].histogram.len()), (1, 150));
    assert_eq!(merged[0].tag, "load");
    let (content, said) = ringway(&["hist", "compare", &format!("{a}:load"), &b]);
    assert!(content && said.contains("p50") && said.contains("B/A"), "{said}");
    let (content, said) = ringway(&["hist", "percentiles", &a]);
    assert!(content && said.contains("1/(1-Percentile)") && said.contains("#[Mean"), "{said}");
    let picture = path("both.png");
    assert!(ringway(&["hist", "plot", &a, &b, "--out", &picture]).0);
    assert!(std::fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    for words in [
        &["hist", "plot", &a, "--out", &path("x.gif")][..],
        &["hist", "summary", &path("none.hdr")],
        &["hist", "summary", &format!("{a}:other")],
        &["hist", "summary", "/dev/null"],
    ] {
        let (content, said) = ringway(words);
        assert!(!content && said.starts_with("ringway: "), "{words:?}: {said}");
    }
}
