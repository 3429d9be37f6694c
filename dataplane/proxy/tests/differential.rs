//! Real Envoy as the judge: both proxies start on the same bootstrap file, get the same bytes, and
//! must answer alike and show the upstream the same request.
//!
//! A case is a line in `cases.rs`. One that is meant to differ names the line of
//! `docs/differences-from-envoy.md` that says why, and fails when it no longer differs.

#[path = "differential/cases.rs"]
mod cases;
mod common;
#[path = "differential/filters.rs"]
mod filters;
#[path = "differential/harness.rs"]
mod harness;
#[path = "differential/http2.rs"]
mod http2;
#[path = "differential/wire.rs"]
mod wire;

use harness::{Judge, Pair};

#[test]
fn answers_are_envoys() {
    let Some(judge) = Judge::find("answers_are_envoys") else { return };
    let mut failures = Vec::new();
    let mut count = 0;
    for setting in cases::SETTINGS {
        let pair = Pair::start(&judge, setting.name, &setting.bootstrap());
        for case in setting.cases {
            count += 1;
            let (envoy, ours) = pair.ask(case.request);
            match (envoy == ours, case.differs) {
                (true, None) | (false, Some(_)) => {}
                (true, Some(line)) => failures.push(format!(
                    "{}/{}: no longer differs, take it off the list ({line})",
                    setting.name, case.name
                )),
                (false, None) => failures.push(format!(
                    "{}/{}:\n  sent  {:?}\n  envoy {envoy:#?}\n  ours  {ours:#?}",
                    setting.name, case.name, case.request
                )),
            }
        }
    }
    println!("{count} cases compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn answers_by_http_2_are_envoys() {
    let Some(judge) = Judge::find("answers_by_http_2_are_envoys") else { return };
    let pair = Pair::start(&judge, "http2", &http2::bootstrap());
    let (mut failures, mut count) = (Vec::new(), 0);
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
        }
    }
    println!("{count} cases compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn listed_differences_are_documented() {
    let page = include_str!("../../../docs/differences-from-envoy.md");
    let old = cases::SETTINGS.iter().flat_map(|setting| setting.cases);
    let old = old.map(|case| (case.name, case.differs));
    let new = http2::CASES.iter().map(|case| (case.name, case.differs));
    for (name, line) in old.chain(new) {
        if let Some(line) = line {
            assert!(page.contains(line), "{name}: docs lack {line:?}");
        }
    }
}
