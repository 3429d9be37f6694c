//! The conformance tests of HTTP/2, strict ones included: none may fail that Envoy passes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::skip;
use crate::place::{Proxy, folder, program, run};

/// All cases of the pinned version, as its own list counts them.
const CASES: usize = 146;

/// Those that failed and how many there were.
struct Report {
    failed: BTreeSet<String>,
    cases: usize,
}

/// h2spec against one listener: all of it, or these sections.
fn judge(h2spec: &Path, name: &str, proxy: &Proxy, tls: bool, sections: &[&str]) -> Report {
    let file = folder().join(format!("h2spec-{name}-{tls}.xml"));
    let (port, report) = (proxy.address(tls).port().to_string(), file.display().to_string());
    let mut words = sections.to_vec();
    words.extend(["-S", "-o", "3", "-P", "/direct", "-p", &port, "-j", &report]);
    if tls {
        words.extend(["-t", "-k"]);
    }
    let output = run(120, h2spec, &words);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{name}: no report, {error}: {}", String::from_utf8_lossy(&output.stdout))
    });
    read(&text)
}

/// The report's cases: one a line, with lines for what is wrong between it and its end.
fn read(report: &str) -> Report {
    let (mut failed, mut cases) = (BTreeSet::new(), 0);
    for case in report.split("<testcase ").skip(1) {
        let attribute = |name: &str| {
            let from = case.split_once(&format!("{name}=\""))?.1;
            from.split_once('"').map(|(value, _)| value)
        };
        let (part, title) = (attribute("package"), attribute("classname"));
        let (part, title) = (part.expect("a section"), title.expect("a title"));
        let body = case.split("</testcase>").next().unwrap_or_default();
        if body.contains("<error") || body.contains("<failure") {
            failed.insert(format!("{part}: {title}"));
        }
        cases += 1;
    }
    Report { failed, cases }
}

#[test]
fn h2spec_finds_nothing_that_envoy_passes() {
    let test = "h2spec_finds_nothing_that_envoy_passes";
    let Some(h2spec) = program(test, "h2spec") else { return };
    let target = Path::new(env!("CARGO_BIN_EXE_ringway-proxy")).ancestors().nth(2);
    let envoy = target.and_then(kit::around::envoy);
    let envoy = envoy.map(|envoy| Proxy::envoy("h2spec-envoy", &envoy));
    if envoy.is_none() {
        skip(test, "no Envoy beside us: every case has to pass");
    }
    let ringway = Proxy::start("h2spec-ringway", &[]);
    for tls in [false, true] {
        let ours = judge(&h2spec, "ringway", &ringway, tls, &[]);
        assert_eq!(ours.cases, CASES);
        let sections: BTreeSet<&str> =
            ours.failed.iter().filter_map(|case| Some(case.split_once(": ")?.0)).collect();
        let sections: Vec<&str> = sections.into_iter().collect();
        // Envoy takes its time; what we pass need not be asked of it.
        let theirs = match &envoy {
            Some(envoy) if !sections.is_empty() => {
                judge(&h2spec, "envoy", envoy, tls, &sections).failed
            }
            _ => BTreeSet::new(),
        };
        println!("tls {tls}: of {CASES} fail {:?}, with Envoy too {theirs:?}", ours.failed);
        let worse: Vec<_> = ours.failed.difference(&theirs).collect();
        assert!(worse.is_empty(), "tls {tls}: {worse:#?}\nEnvoy fails {theirs:#?}");
    }
}

#[test]
fn a_report_is_read() {
    let report = read(
        "<testsuites><testsuite><testcase package=\"a/1\" classname=\"Good\" time=\"0\">\
         </testcase>\n<testcase package=\"a/1\" classname=\"Bad\" time=\"0\">\n<error>GOAWAY\n\
         </error>\n</testcase></testsuite></testsuites>",
    );
    assert_eq!(report.cases, 2);
    assert_eq!(report.failed, BTreeSet::from(["a/1: Bad".to_owned()]));
}
