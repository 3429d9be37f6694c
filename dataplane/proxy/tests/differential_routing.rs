//! Routing with real Envoy as the judge: redirects, rewrites, weights, mirrors, time-outs, retries.
//!
//! Every case of the tables is asked by HTTP/1.1 and by HTTP/2. One that is meant to differ names
//! the line of `docs/differences-from-envoy.md` that says why.

#[path = "differential_routing/cases.rs"]
mod cases;
mod common;
#[allow(dead_code)]
#[path = "differential/curl.rs"]
mod curl;
#[allow(dead_code)] // shared with another test, which uses the rest
#[path = "differential/harness.rs"]
mod harness;
#[allow(dead_code)]
#[path = "differential/logs.rs"]
mod logs;
#[path = "differential/upstream.rs"]
mod upstream;
#[allow(dead_code)]
#[path = "differential/wire.rs"]
mod wire;

use std::thread;

use cases::{Case, Setting};
use curl::Curled;
use harness::{Judge, Outcome, Pair};
use wire::Message;

#[test]
fn routing_is_envoys() {
    let Some(judge) = Judge::find("routing_is_envoys") else { return };
    // One after the other they would mostly wait: for starts, and for what does not come.
    let judged = thread::scope(|scope| {
        let each = cases::settings().into_iter().map(|setting| {
            let judge = &judge;
            scope.spawn(move || judge_setting(judge, setting))
        });
        let each: Vec<_> = each.collect();
        each.into_iter().map(|one| one.join().expect("judged")).collect::<Vec<_>>()
    });
    let count: usize = judged.iter().map(|(count, _)| count).sum();
    let failures: Vec<_> = judged.into_iter().flat_map(|(_, failures)| failures).collect();
    println!("{count} requests compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}

/// How many requests were compared, and which of them differ.
fn judge_setting(judge: &Judge, setting: &Setting) -> (usize, Vec<String>) {
    let pair = Pair::start(judge, setting.name, &setting.bootstrap());
    let (mut count, mut failures, mut asked) = (0, Vec::new(), Vec::new());
    for case in setting.cases {
        let name = |by| format!("{}/{:?} by {by}", setting.name, case.request);
        let (envoy, ours) = pair.ask(case.request);
        let (envoy, ours) = (steady(envoy), steady(ours));
        count += 1;
        note(&mut failures, &name("HTTP/1.1"), case, envoy == ours, (&envoy, &ours));
        asked.push(pair.asked(name("HTTP/1.1"), case.differs.is_none()));
        if !case.by_http2 {
            continue;
        }
        let (path, arguments) = curl::told(case.request);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let Some((envoy, ours)) = pair.curl(&path, &arguments) else {
            common::skip("routing_is_envoys", "no curl, so not by HTTP/2");
            continue;
        };
        if envoy.is_reset() {
            common::skip("routing_is_envoys", "Envoy's reset came before curl had its answer");
            continue;
        }
        let (envoy, ours) = (steady_curled(envoy), steady_curled(ours));
        count += 1;
        note(&mut failures, &name("HTTP/2"), case, envoy == ours, (&envoy, &ours));
        asked.push(pair.asked(name("HTTP/2"), case.differs.is_none()));
    }
    if !logs::is_left_out(setting.name) {
        failures.extend(pair.logs_differ(&asked));
    }
    (count, failures)
}

fn note<T: std::fmt::Debug>(
    failures: &mut Vec<String>,
    name: &str,
    case: &Case,
    is_same: bool,
    (envoy, ours): (&T, &T),
) {
    match (is_same, case.differs) {
        (true, None) | (false, Some(_)) => {}
        (true, Some(line)) => failures.push(format!("{name}: no longer differs ({line})")),
        (false, None) => failures.push(format!("{name}:\n  envoy {envoy:#?}\n  ours  {ours:#?}")),
    }
}

/// Without what depends on the moment: the order in which copies of a request arrive, and what is
/// left of the time after a retry's pause; and without the address that a copy tells, which is that
/// of the node in Envoy.
fn steady(mut outcome: Outcome) -> Outcome {
    steady_messages(&mut outcome.upstream);
    outcome
}

fn steady_curled(mut curled: Curled) -> Curled {
    steady_messages(&mut curled.upstream);
    curled
}

fn steady_messages(messages: &mut [Message]) {
    for message in messages.iter_mut() {
        if message.fields.contains_key("x-envoy-internal") {
            message.fields.insert("x-forwarded-for".to_owned(), vec!["of a copy".to_owned()]);
        }
        let left = message.fields.get_mut("x-envoy-expected-rq-timeout-ms");
        for value in left.into_iter().flatten() {
            if value.parse::<u32>().is_ok_and(|left| (14_000..=15_000).contains(&left)) {
                "about 15000".clone_into(value);
            }
        }
    }
    messages.sort_by_key(|message| format!("{message:?}"));
}

#[test]
fn listed_differences_are_documented() {
    let page = include_str!("../../../docs/differences-from-envoy.md");
    for setting in cases::settings() {
        for line in setting.cases.iter().filter_map(|case| case.differs) {
            assert!(page.contains(line), "{}: docs lack {line:?}", setting.name);
        }
    }
}
