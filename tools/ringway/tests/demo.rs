//! `ringway demo` as a user runs it: what it prints, twice in a row, and after a SIGKILL.
//!
//! It needs the other two programs beside this one (`cargo build`), and root.

use kit::around::skip;
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use kit::net::{Privilege, Record, privilege};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// The limit that the README promises, without building.
const SHOW_MAX: Duration = Duration::from_secs(60);
/// The control plane, five apps and five proxies.
const PROCESSES: usize = 11;
#[test]
fn the_demo_shows_what_it_promises_twice_in_a_row() {
    let name = "the_demo_shows_what_it_promises_twice_in_a_row";
    let Some(_guard) = ready(name) else { return };
    for _ in 0..2 {
        let started = Instant::now();
        let done = run(&["--json"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(started.elapsed() < SHOW_MAX);
        check(&serde_json::from_slice(&done.stdout).unwrap());
        nothing_is_left();
    }
}

#[test]
fn the_demo_runs_again_after_sigkill_half_way() {
    let Some(_guard) = ready("the_demo_runs_again_after_sigkill_half_way") else { return };
    let mut child = start(&["--json"]);
    let record = wait_for_record(1);
    thread::sleep(Duration::from_millis(700));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(record.processes.iter().all(|process| !process.is_alive()), "{record:?}");
    let done = run(&["--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    nothing_is_left();
}

#[test]
fn keep_lets_a_user_in_and_ctrl_c_takes_all_down() {
    let Some(_guard) = ready("keep_lets_a_user_in_and_ctrl_c_takes_all_down") else { return };
    let mut child = start(&["--keep"]);
    let record = wait_for_record(PROCESSES);
    let inside = run(&["enter", "reviews-v1", "cat", "/proc/net/fib_trie"]);
    assert!(String::from_utf8_lossy(&inside.stdout).contains("10.244.2.11"));
    let second = run(&["--json"]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("running already"));
    kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(130));
    assert!(record.processes.iter().all(|process| !process.is_alive()), "{record:?}");
    nothing_is_left();
}

/// The real Envoy as our control plane's client and our proxy's peer: as the server of v1 and as
/// the client of both, each beside a proxy of ours on the other side.
#[test]
fn envoy_takes_the_place_of_either_side() {
    let name = "envoy_takes_the_place_of_either_side";
    let Some(_guard) = ready(name) else { return };
    let Some(envoy) = envoy() else {
        return skip(name, "no Envoy: set RINGWAY_ENVOY or run `cargo xtask test`");
    };
    for pod in ["reviews-v1", "productpage"] {
        let done = run(&["--json", "--sidecar", &format!("{pod}={}", envoy.display())]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "Envoy beside {pod}: {said}");
        check(&serde_json::from_slice(&done.stdout).unwrap());
        let log = std::fs::read_to_string(folder().join("logs/ringwayd.log")).unwrap();
        let refused = log.lines().find(|line| line.to_lowercase().contains("nack"));
        assert_eq!(refused, None, "Envoy beside {pod}");
        let log = folder().join(format!("logs/{pod}-proxy.log"));
        assert!(std::fs::read_to_string(log).unwrap().contains("[source/server/server.cc"));
    }
    nothing_is_left();
}

fn envoy() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_ringway")).ancestors().nth(2)?;
    kit::around::envoy(target)
}

fn check(report: &Value) {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap();
    for key in ["before", "after"] {
        let total = number(&format!("/split_{key}/v1")) + number(&format!("/split_{key}/v2"));
        assert_eq!(total, 2000.0, "{report:#}");
    }
    assert!((100.0..300.0).contains(&number("/split_before/v2")), "{report:#}");
    assert!((850.0..1150.0).contains(&number("/split_after/v2")), "{report:#}");
    assert!((0.0..3000.0).contains(&number("/reload_ms")), "{report:#}");
    assert_eq!(report["failed_requests"], 0);
    assert_eq!(report["tls_version"], "TLSv1.3");
    assert_eq!(report["client_spiffe"], "spiffe://cluster.local/ns/default/sa/productpage");
    assert_eq!(report["server_spiffe"], "spiffe://cluster.local/ns/default/sa/reviews");
    assert_eq!(report["tcp_ok"], true);
    let cases = report["policy"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    assert!(cases.iter().all(|case| case["expected"] == case["got"]), "{report:#}");
    for way in ["direct", "mesh"] {
        let at = |quantile: &str| number(&format!("/latency_us/{way}/{quantile}"));
        assert!(at("p50") > 0.0 && at("p50") <= at("p90") && at("p90") <= at("p99"));
    }
    let files = report["files"].as_array().unwrap();
    assert!(files.iter().any(|file| file.as_str().unwrap().ends_with(".png")));
    assert!(files.iter().all(|file| Path::new(file.as_str().unwrap()).is_file()), "{report:#}");
}

/// No process of a pod, and no other namespace than before: every one of ours is another one than
/// this test's own.
fn nothing_is_left() {
    assert!(!folder().join("state.json").exists());
    let target = folder().parent().unwrap().to_string_lossy().into_owned();
    let ours = ["ringway-proxy", "ringwayd"].map(|name| format!("{target}/debug/{name}"));
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(words.split(|byte| *byte == 0).next()?).into_owned())
    });
    let left: Vec<_> = commands.filter(|command| ours.contains(command)).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn ready(name: &str) -> Option<File> {
    if privilege() != Privilege::Root {
        skip(name, "needs root");
        return None;
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_ringway")).parent().unwrap();
    for program in ["ringwayd", "ringway-proxy"] {
        if !beside.join(program).is_file() {
            skip(name, &format!("{program} is not built beside ringway"));
            return None;
        }
    }
    // One demo at a time, whether tests are threads or processes: there is one folder for it.
    let lock = File::create(folder().with_extension("lock")).unwrap();
    lock.lock().unwrap();
    Some(lock)
}

fn demo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("demo").args(words);
    if words.first() != Some(&"enter") {
        command.arg("--no-build");
    }
    command
}

fn run(words: &[&str]) -> Output {
    demo(words).output().unwrap()
}

/// A demo that does not outlive a failed test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(words: &[&str]) -> Running {
    Running(demo(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ringway")).ancestors().nth(2).unwrap().join("demo")
}

/// Waits until the running demo has noted so many processes.
fn wait_for_record(processes: usize) -> Record {
    let deadline = Instant::now() + SHOW_MAX;
    loop {
        let record = Record::load(&folder().join("state.json")).unwrap_or_default();
        if record.processes.len() >= processes {
            return record;
        }
        assert!(Instant::now() < deadline, "only {} processes", record.processes.len());
        thread::sleep(Duration::from_millis(50));
    }
}
