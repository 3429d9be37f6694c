//! A configuration change every tenth of a second, under load: what does it cost the requests?
//!
//! The demo's mesh is the stage: `ringwayd` reads a folder, three proxies are driven by it, and the
//! canary's weights are turned round and round while a client asks from inside its pod.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    Outcome,
    figures::{Metric, Results, Table},
    peer::Make,
    place::Place,
    scenario::Effort,
};

/// How often the weights change.
const EVERY: Duration = Duration::from_millis(100);
/// Requests a second, well below what two cores with four programs in the path can do.
const RATE: &str = "300";
const CONNECTIONS: &str = "16";
/// The service as the client's pod knows it.
const URL: &str = "http://10.96.0.20:9080/api/reviews/1";
/// The pods whose proxies take part.
const PODS: [&str; 3] = ["productpage", "reviews-v1", "reviews-v2"];
const ROUTE: &str = "reviews-route.yaml";

/// Each make in turn: first left alone, then changed.
pub(crate) fn run(
    scenario: &'static str,
    makes: &[Make],
    place: &Place,
    effort: &Effort,
    results: &mut Results,
) -> Outcome<()> {
    for make in place.present(makes) {
        place.say(scenario, format!("{}: starting the demo's mesh", make.name()));
        let stage = Stage::start(make, place)?;
        for (load, changes) in [("left alone", false), ("a change every 100 ms", true)] {
            place.say(scenario, format!("{}: {load}", make.name()));
            let table = Table { scenario, load: load.to_owned() };
            let report = match changes {
                true => stage.while_changing(|| stage.load(effort.duration))?,
                false => stage.load(effort.duration),
            };
            count(&table, make, &report?, results)?;
        }
    }
    Ok(())
}

/// The demo, running.
struct Stage {
    child: Child,
    ringway: PathBuf,
    /// `target/demo`.
    folder: PathBuf,
}

impl Stage {
    /// Returns when the demo's own show is over and the mesh is left running.
    fn start(make: Make, place: &Place) -> Outcome<Self> {
        let ringway = place.programs.ringway.clone();
        let target = ringway.parent().and_then(Path::parent).unwrap_or_else(|| Path::new("target"));
        let mut command = Command::new(&ringway);
        command.args(["demo", "--keep", "--json", "--no-build"]);
        if let (Make::Envoy, Some(envoy)) = (make, &place.programs.envoy) {
            for pod in PODS {
                command.arg("--sidecar").arg(format!("{pod}={}", envoy.display()));
            }
        }
        if make == Make::RingwayEpoll {
            command.env("RINGWAY_DRIVER", "epoll");
        }
        let said = place.folder.path().join("demo.log");
        let log = fs::File::create(&said).map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let child = command.spawn().map_err(|error| format!("ringway demo: {error}"))?;
        let mut stage = Self { folder: target.join("demo"), child, ringway };
        stage.wait_for_report().map_err(|why| {
            let said = fs::read_to_string(said).unwrap_or_default();
            format!("{why}; it said: {}", said.trim())
        })?;
        Ok(stage)
    }

    /// The report is one JSON object; its last line is the end of the show.
    fn wait_for_report(&mut self) -> Outcome<()> {
        let Some(out) = self.child.stdout.take() else { return Err("no output".into()) };
        let mut text = String::new();
        for line in BufReader::new(out).lines() {
            text.push_str(&line.map_err(|error| error.to_string())?);
            if serde_json::from_str::<Value>(&text).is_ok() {
                return Ok(());
            }
        }
        Err(format!("the demo did not come to its end; see {}", self.folder.join("logs").display()))
    }

    /// Load from inside the client's pod, as `ringway load` reports it.
    fn load(&self, duration: Duration) -> Outcome<Value> {
        let seconds = duration.as_secs_f64().to_string();
        let log = self.log();
        let words: Vec<OsString> = vec![
            "demo".into(),
            "enter".into(),
            "productpage".into(),
            self.ringway.clone().into(),
            "load".into(),
            URL.into(),
            "-H".into(),
            "host: reviews:9080".into(),
            "--rate".into(),
            RATE.into(),
            "--connections".into(),
            CONNECTIONS.into(),
            "--duration".into(),
            seconds.into(),
            "--out".into(),
            log.into(),
            "--json".into(),
        ];
        let done = Command::new(&self.ringway).args(words).output();
        let done = done.map_err(|error| format!("ringway load: {error}"))?;
        serde_json::from_slice(&done.stdout).map_err(|error| {
            format!("ringway load: {error}: {}", String::from_utf8_lossy(&done.stderr).trim())
        })
    }

    fn log(&self) -> PathBuf {
        env::temp_dir().join(format!("ringway-churn-{}.hdr", std::process::id()))
    }

    /// Turns the weights round while `work` is done.
    fn while_changing<T>(&self, work: impl FnOnce() -> T) -> Outcome<T> {
        let path = self.folder.join("config").join(ROUTE);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let changing = scope.spawn(|| -> std::io::Result<()> {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let weights = if turn % 2 == 0 { (10, 90) } else { (90, 10) };
                    // As an editor does it: no reader ever sees half a file.
                    let new = path.with_extension("new");
                    fs::write(&new, route(weights))?;
                    fs::rename(&new, &path)?;
                    thread::sleep(EVERY);
                }
                Ok(())
            });
            let done = work();
            over.store(true, Ordering::Relaxed);
            let changed = changing.join().map_err(|_| "the changing thread died".to_owned())?;
            changed.map(|()| done).map_err(|error| format!("{}: {error}", path.display()))
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
        let _ = fs::remove_file(self.log());
    }
}

fn count(table: &Table, make: Make, report: &Value, results: &mut Results) -> Outcome<()> {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
    let fields = [
        (Metric::Rate, "/rate"),
        (Metric::P50, "/latency_us/p50"),
        (Metric::P99, "/latency_us/p99"),
        (Metric::P999, "/latency_us/p999"),
    ];
    for (metric, path) in fields {
        let value = number(path).ok_or_else(|| format!("ringway load reports no {path}"))?;
        results.add(table, make, metric, value);
    }
    let failed = number("/failed").unwrap_or_default() as u64;
    let statuses = report["statuses"].as_object().into_iter().flatten();
    let strange: u64 =
        statuses.filter(|(status, _)| *status != "200").filter_map(|(_, n)| n.as_u64()).sum();
    for (what, number) in [("no right answer", failed), ("a status other than 200", strange)] {
        if number > 0 {
            results.add_failure(table, make, what, number);
        }
    }
    Ok(())
}

fn route((v1, v2): (u32, u32)) -> String {
    format!(
        "apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\n\
         metadata:\n  name: reviews-route\nspec:\n  hosts: [reviews]\n  http:\n  - route:\n\
         \x20   - destination: {{ host: reviews, subset: v1 }}\n      weight: {v1}\n\
         \x20   - destination: {{ host: reviews, subset: v2 }}\n      weight: {v2}\n"
    )
}
