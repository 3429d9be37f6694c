use api::envoy::protobuf::Duration;
use api::envoy::route::retry_policy::RetryBackOff;
use api::envoy::route::{HeaderMatcher, RetryPolicy};

use super::compile;
use crate::compile::at::At;
use crate::snapshot::{BackOff, Retry};

fn compiled(policy: &RetryPolicy) -> Result<Retry, String> {
    compile(&At::root(), policy).map_err(|fault| format!("{}: {}", fault.field, fault.reason))
}

fn policy(retry_on: &str, back_off: Option<RetryBackOff>) -> RetryPolicy {
    RetryPolicy { retry_on: retry_on.into(), retry_back_off: back_off, ..RetryPolicy::default() }
}

/// Seconds and nanoseconds.
type Given = Option<(i64, i32)>;

fn back_off(base: Given, max: Given) -> Result<BackOff, String> {
    let duration = |given: Given| given.map(|(seconds, nanos)| Duration { seconds, nanos });
    let given = RetryBackOff { base_interval: duration(base), max_interval: duration(max) };
    compiled(&policy("5xx", Some(given))).map(|retry| retry.back_off)
}

/// Each of them was put to Envoy 1.40 (`--mode validate`).
#[test]
fn intervals_are_envoys() {
    let ms = |base_ms, max_ms| Ok(BackOff { base_ms, max_ms });
    let refused = |text: &str| Err(format!("retry_back_off.{text}"));
    let cases = [
        (Some((0, 200_000_000)), Some((0, 300_000_000)), ms(200, 300)),
        (Some((0, 40_000_000)), None, ms(40, 400)),
        (Some((0, 100_000)), None, ms(1, 10)),
        (Some((0, 900_000)), Some((0, 200_000)), ms(1, 1)),
        (Some((1, 500_000)), Some((1, 100_000)), ms(1_000, 1_000)),
        (Some((100_000_000, 0)), None, ms(100_000_000_000, 1_000_000_000_000)),
        (None, None, refused("base_interval: it has to be given")),
        (None, Some((1, 0)), refused("base_interval: it has to be given")),
        (Some((0, 0)), None, refused("base_interval: it has to be more than 0")),
        (Some((-1, 0)), None, refused("base_interval: a duration may not be negative")),
        (Some((1, 0)), Some((0, 0)), refused("max_interval: it has to be more than 0")),
        (
            Some((1, 0)),
            Some((0, 500_000_000)),
            refused("max_interval: 500 ms are less than base_interval, 1000 ms"),
        ),
    ];
    for (base, max, expected) in cases {
        assert_eq!(back_off(base, max), expected, "{base:?} to {max:?}");
    }
    let none = compiled(&policy("5xx", None)).expect("good");
    assert_eq!(none.back_off, BackOff { base_ms: 25, max_ms: 250 });
}

#[test]
fn an_interval_doubles_up_to_its_limit() {
    let of = |base_ms, max_ms| {
        let back_off = BackOff { base_ms, max_ms };
        [0, 1, 2, 3, 4, 63, 64, u32::MAX].map(|retries| back_off.interval_ms(retries))
    };
    assert_eq!(of(25, 250), [25, 50, 100, 200, 250, 250, 250, 250]);
    assert_eq!(of(200, 300), [200, 300, 300, 300, 300, 300, 300, 300]);
    assert_eq!(of(7, 7), [7; 8]);
    assert_eq!(of(1, u64::MAX), [1, 2, 4, 8, 16, 1 << 63, u64::MAX, u64::MAX]);
}

#[test]
fn being_rate_limited_is_a_reason_of_its_own() {
    let retry = |text| compiled(&policy(text, None)).expect("good");
    let only = retry("envoy-ratelimited");
    assert!(only.on_rate_limited && only.on_status.is_empty() && !only.on_reset);
    let both = retry("5xx, envoy-ratelimited");
    assert!(both.on_rate_limited && both.on_status == [(500, 599)]);
    assert!(!retry("5xx").on_rate_limited);
}

#[test]
fn statuses_and_headers_are_listed_beside_their_conditions() {
    let again = HeaderMatcher { name: "X-Again".into(), ..HeaderMatcher::default() };
    let listed = compiled(&RetryPolicy {
        retry_on: "retriable-headers".into(),
        retriable_status_codes: vec![404],
        retriable_headers: vec![again],
        ..RetryPolicy::default()
    })
    .expect("good");
    assert!(listed.on_headers && *listed.headers[0].name == *b"x-again");
    assert!(!listed.covers_status(404) && listed.statuses == [404], "nobody asks for it yet");
    assert!(Retry { on_listed: true, ..listed }.covers_status(404));
    let nothing = compiled(&policy("", None)).expect("good");
    assert!(!nothing.asks() && nothing.retries == 1);
}
