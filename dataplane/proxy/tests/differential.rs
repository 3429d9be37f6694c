//! Real Envoy as the judge: both proxies start on the same bootstrap file, get the same bytes, and
//! must answer alike and show the upstream the same request.
//!
//! A case is a line in `cases.rs`. One that is meant to differ names the line of
//! `docs/differences-from-envoy.md` that says why, and fails when it no longer differs.

#[path = "differential/balance.rs"]
mod balance;
#[path = "differential/cases.rs"]
mod cases;
#[path = "differential/checks.rs"]
mod checks;
#[path = "differential/collector.rs"]
mod collector;
mod common;
#[path = "differential/curl.rs"]
mod curl;
#[path = "differential/filters.rs"]
mod filters;
#[path = "differential/gates.rs"]
mod gates;
#[path = "differential/harness.rs"]
mod harness;
#[path = "differential/http2.rs"]
mod http2;
#[path = "differential/logs.rs"]
mod logs;
#[path = "differential/otlp.rs"]
mod otlp;
#[path = "differential/proxied.rs"]
mod proxied;
#[path = "differential/servers.rs"]
mod servers;
#[path = "differential/subsets.rs"]
mod subsets;
#[path = "differential/upstream.rs"]
mod upstream;
#[path = "differential/wire.rs"]
mod wire;

use std::fmt::Debug;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use cases::{Case, Setting};
use collector::Collector;
use harness::{Judge, Pair};

/// Configurations that are tried at one time: most of it is waiting.
const AT_ONCE: usize = 6;
/// What the table must not fall below.
const REQUESTS_MIN: usize = 600;
const CONFIGURATIONS_MIN: usize = 100;

#[test]
fn answers_are_envoys() {
    let Some(judge) = Judge::find("answers_are_envoys") else { return };
    let settings: Vec<&Setting> = cases::all().collect();
    let next = AtomicUsize::new(0);
    let judged = thread::scope(|scope| {
        let work = || {
            let mut judged = Judged::default();
            while let Some(setting) = settings.get(next.fetch_add(1, Ordering::Relaxed)) {
                let one = catch_unwind(|| judge_setting(&judge, setting));
                judged.add(one.unwrap_or_else(|_| Judged::failed(setting)));
            }
            judged
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let mut judged = Judged::default();
        workers.into_iter().for_each(|worker| judged.add(worker.join().expect("no panic")));
        judged
    });
    let Judged { by_http_1, by_http_2, lines, failures } = judged;
    let count = by_http_1 + by_http_2;
    println!(
        "{count} requests ({by_http_1} by HTTP/1, {by_http_2} by HTTP/2) and the log's lines of \
         {lines} of them over {} configurations",
        settings.len()
    );
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
    assert!(by_http_1 >= REQUESTS_MIN && settings.len() >= CONFIGURATIONS_MIN);
}

/// What was compared, and where the two answer otherwise than the table says.
#[derive(Default)]
struct Judged {
    by_http_1: usize,
    by_http_2: usize,
    lines: usize,
    failures: Vec<String>,
}

impl Judged {
    /// What has been said by a panic must not hide what is to be said of others.
    fn failed(setting: &Setting) -> Self {
        Self { failures: vec![format!("{}: see above", setting.name)], ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.by_http_1 += other.by_http_1;
        self.by_http_2 += other.by_http_2;
        self.lines += other.lines;
        self.failures.extend(other.failures);
    }

    /// Takes an answer in. `differs`: the line that says why it is meant to differ.
    fn answer<T: Debug + PartialEq>(
        &mut self,
        name: &str,
        sent: &str,
        differs: Option<&str>,
        (envoy, ours): (&T, &T),
    ) {
        match (envoy == ours, differs) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(line)) => {
                let failure = format!("{name}: no longer differs, take it off the list ({line})");
                self.failures.push(failure);
            }
            (false, None) => {
                let failure =
                    format!("{name}:\n  sent  {sent:?}\n  envoy {envoy:#?}\n  ours  {ours:#?}");
                self.failures.push(failure);
            }
        }
    }
}

/// Asks everything by HTTP/1, then by HTTP/2 what can be asked so, then looks into the logs.
fn judge_setting(judge: &Judge, setting: &Setting) -> Judged {
    let pair = Pair::start(judge, setting.name, &setting.bootstrap());
    let (mut judged, mut asked) = (Judged::default(), Vec::new());
    for case in setting.cases {
        let name = format!("{}/{}", setting.name, case.name);
        let (envoy, ours) = pair.ask(case.request);
        judged.by_http_1 += 1;
        judged.answer(&name, case.request, case.differs, (&envoy, &ours));
        asked.push(pair.asked(name, case.differs.is_none()));
    }
    let is_asked = |case: &&Case| setting.takes_http_2() && curl::can_ask(case.request);
    for case in setting.cases.iter().filter(is_asked) {
        let name = format!("{}/{} by HTTP/2", setting.name, case.name);
        let (path, arguments) = curl::told(case.request);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let Some((mut envoy, mut ours)) = pair.curl(&path, &arguments) else {
            common::skip("answers_are_envoys", "no curl, so not by HTTP/2");
            break;
        };
        if envoy.is_reset() && ours.is_reset() {
            // How much of an answer curl has seen before its reset is chance.
            (envoy.answer, ours.answer) = (Vec::new(), Vec::new());
        }
        judged.by_http_2 += 1;
        let differs = cases::by_http_2(&name, case.differs);
        judged.answer(&name, case.request, differs, (&envoy, &ours));
        asked.push(pair.asked(name, differs.is_none()));
    }
    if logs::is_left_out(setting.name) {
        return judged;
    }
    judged.lines = asked.iter().filter(|case| case.compared).count();
    judged.failures.extend(pair.logs_differ(&asked));
    judged
}

#[test]
fn answers_by_http_2_are_envoys() {
    let Some(judge) = Judge::find("answers_by_http_2_are_envoys") else { return };
    let pair = Pair::start(&judge, "http2", &http2::bootstrap());
    let (mut failures, mut count, mut asked) = (Vec::new(), 0, Vec::new());
    for case in http2::CASES {
        for way in ["", "/h2"] {
            count += 1;
            let Some((envoy, ours)) = pair.curl(&format!("{way}{}", case.path), case.arguments)
            else {
                return common::skip("answers_by_http_2_are_envoys", "no curl");
            };
            let is_meant = case.differs.is_some() && way.is_empty();
            if (envoy == ours) == is_meant {
                let name = case.name;
                failures.push(format!("{way} {name}:\n  envoy {envoy:#?}\n  ours  {ours:#?}"));
            }
            let compared = !is_meant && !case.is_race();
            asked.push(pair.asked(format!("http2{way}/{}", case.name), compared));
        }
    }
    failures.extend(pair.logs_differ(&asked));
    println!("{count} cases compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn requests_are_hashed_as_envoy_does() {
    let Some(judge) = Judge::find("requests_are_hashed_as_envoy_does") else { return };
    let backends = balance::backends();
    let pair = Pair::start(&judge, "hashing", &balance::hashing(&backends));
    let mut failures = Vec::new();
    for case in balance::HASHED {
        let requests: Vec<_> = (0..case.count).map(|number| case.request(number)).collect();
        let (envoy, ours) = pair.ask(&requests.concat());
        let (envoy, ours) = (balance::bodies(&envoy), balance::bodies(&ours));
        assert_eq!(envoy.len(), requests.len(), "{}: {envoy:?}", case.path);
        if envoy != ours {
            failures.push(format!("{}:\n  envoy {envoy:?}\n  ours  {ours:?}", case.path));
        }
    }
    let count = balance::HASHED.len();
    println!("{count} cases compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
    for case in balance::HASHED.iter().filter(|case| case.count > 1) {
        let way = format!("/h2{}?q=three", case.path);
        let Some((envoy, ours)) = pair.curl(&way, &["-H", "x-k: one", "-H", "cookie: c=two"])
        else {
            return common::skip("requests_are_hashed_as_envoy_does", "no curl");
        };
        assert_eq!(balance::masked(&envoy.answer), balance::masked(&ours.answer), "{way}");
    }
}

#[test]
fn hosts_are_chosen_from_as_envoy_does() {
    let Some(judge) = Judge::find("hosts_are_chosen_from_as_envoy_does") else { return };
    let backends = balance::backends();
    let pair = Pair::start(&judge, "levels", &balance::levels(&backends));
    for (path, most) in balance::LEVELS {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (envoy, ours) = pair.ask(&request.repeat(120));
        let of = |outcome| balance::counts(&balance::bodies(outcome));
        let (envoy, ours) = (of(&envoy), of(&ours));
        assert!(envoy.keys().eq(ours.keys()), "{path}: envoy {envoy:?}, ours {ours:?}");
        for (host, count) in &envoy {
            let ours = ours.get(host).copied().unwrap_or_default();
            assert!(count.abs_diff(ours) <= *most, "{path} {host}: envoy {count}, ours {ours}");
        }
    }
    println!("{} cases compared", balance::LEVELS.len());
}

#[test]
fn hosts_are_found_by_metadata_as_envoy_does() {
    let Some(judge) = Judge::find("hosts_are_found_by_metadata_as_envoy_does") else { return };
    let backends = balance::backends();
    let pair = Pair::start(&judge, "subsets", &subsets::configuration(&backends));
    let (count, different) = subsets::differences(&pair);
    println!("{count} cases compared");
    assert!(
        different.is_empty(),
        "{} of {count} differ\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
fn hosts_are_ejected_as_envoy_does() {
    let Some(judge) = Judge::find("hosts_are_ejected_as_envoy_does") else { return };
    let backends = balance::backends();
    let pair = Pair::start(&judge, "outlier", &balance::outliers(&backends));
    for (name, request, _) in balance::EJECTED {
        let request = format!("GET /{name}{request} HTTP/1.1\r\nHost: x\r\n\r\n");
        let asked: Vec<_> = (0..12).map(|_| pair.ask(&request)).collect();
        let envoy = balance::starts(asked.iter().map(|(envoy, _)| envoy));
        let ours = balance::starts(asked.iter().map(|(_, ours)| ours));
        assert_eq!(envoy, ours, "{name}");
    }
    println!("{} cases compared", balance::EJECTED.len());
}

#[test]
fn records_by_otlp_are_envoys() {
    let Some(judge) = Judge::find("records_by_otlp_are_envoys") else { return };
    let (collector, since) = (Collector::start(), SystemTime::now());
    let pair = Pair::start(&judge, "otlp", &otlp::bootstrap(&collector));
    let mut asked = Vec::new();
    for (name, request, _) in otlp::CASES {
        let (envoy, ours) = pair.ask(request);
        assert_eq!(envoy, ours, "{name}");
        asked.push(pair.asked((*name).to_owned(), true));
    }
    let many = otlp::CASES.iter().map(|(.., many)| many).sum();
    let [envoy, ours] = otlp::whose(&pair, otlp::sent(&collector, many, since));
    for (case, (.., many)) in asked.iter().zip(otlp::CASES) {
        let (theirs, own) = (envoy.records.get(&case.envoy), ours.records.get(&case.ours));
        assert_eq!(theirs, own, "{}", case.name);
        assert_eq!(own.map(Vec::len), Some(*many), "{}", case.name);
    }
    assert_eq!(envoy.heads, ours.heads);
    println!("{} cases compared, {many} records", asked.len());
}

#[test]
fn servers_are_asked_for_as_envoy_does() {
    let Some(judge) = Judge::find("servers_are_asked_for_as_envoy_does") else { return };
    let pair = Pair::start(&judge, "servers", &servers::bootstrap());
    for case in servers::CASES {
        let (envoy, ours) = servers::ask(&pair, case);
        assert_eq!(envoy, ours, "{case:?}");
    }
    println!("{} cases compared", servers::CASES.len());
}

#[test]
fn proxies_are_believed_and_told_as_envoy_does() {
    let Some(judge) = Judge::find("proxies_are_believed_and_told_as_envoy_does") else { return };
    let (mut failures, mut count) = (Vec::new(), 0);
    for setting in proxied::SETTINGS {
        let pair = Pair::start(&judge, setting.name, &setting.bootstrap());
        for case in setting.cases {
            count += 1;
            let (envoy, ours) = pair.ask(case);
            if envoy != ours {
                let name = setting.name;
                failures.push(format!("{name} {case:?}:\n  envoy {envoy:#?}\n  ours  {ours:#?}"));
            }
        }
    }
    println!("{count} cases compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn listed_differences_are_documented() {
    let page = include_str!("../../../docs/differences-from-envoy.md");
    let old = cases::all().flat_map(|setting| setting.cases);
    let old = old.map(|case| (case.name, case.differs));
    let new = http2::CASES.iter().map(|case| (case.name, case.differs));
    let logs = logs::reasons().map(|(name, line)| (name, Some(line)));
    let by_http_2 = cases::BY_HTTP_2.iter().map(|(name, line)| (*name, Some(*line)));
    for (name, line) in old.chain(new).chain(by_http_2).chain(logs) {
        if let Some(line) = line {
            assert!(page.contains(line), "{name}: docs lack {line:?}");
        }
    }
}
