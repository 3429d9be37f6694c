//! Limits as Envoy 1.40 had them for the same requests.

use std::time::Duration;

use config::snapshot::{Forward, GrpcTimeout, Retry, StreamDuration};
use wire::head::Head;

use super::{Limits, limits, stream};
use crate::fixture::head;
use crate::{reply, steer};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn request(fields: &str) -> Head {
    head(&format!("POST / HTTP/1.1\nhost: a\n{fields}"))
}

fn told(head: &Head) -> String {
    let told = head.values(b"grpc-timeout").next().unwrap_or_default();
    String::from_utf8_lossy(told).into_owned()
}

/// The limits of a request with these fields, what the upstream is told that it has, and its
/// `grpc-timeout`.
fn found(forward: &Forward, fields: &str) -> (Limits, Option<u128>, String) {
    let mut head = request(fields);
    let is_grpc = reply::is_grpc(&head);
    let steering = steer::take(&mut head);
    let limits = limits(&mut head, forward, steering.as_deref(), is_grpc);
    (limits, limits.expected().map(|limit| limit.as_millis()), told(&head))
}

#[test]
fn clients_that_may_steer_are_heeded() {
    let half = Forward { timeout: Some(ms(500)), ..Forward::nowhere() };
    let none = Forward::nowhere();
    let (whole, per_try) =
        ("x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms");
    for (forward, fields, expected) in [
        (&half, String::new(), Some(500)),
        (&half, format!("{whole}: 1200"), Some(1200)),
        (&half, format!("{whole}: 0"), None),
        (&half, format!("{whole}: abc"), Some(500)),
        (&half, format!("{per_try}: 300"), Some(300)),
        (&half, format!("{per_try}: 600"), Some(500)),
        (&half, format!("{whole}: 200\n{per_try}: 300"), Some(200)),
        (&none, String::new(), None),
        (&none, format!("{per_try}: 300"), Some(300)),
    ] {
        assert_eq!(found(forward, &fields).1, expected, "{fields}");
    }
    let retry = Some(Retry { per_try_timeout: Some(ms(100)), ..Retry::default() });
    let tries = Forward { retry, ..half };
    assert_eq!(found(&tries, "").0.per_try, Some(ms(100)));
    assert_eq!(found(&tries, &format!("{whole}: 50")).0.per_try, None, "no longer than all");
}

#[test]
fn a_calls_own_timeout_is_cut() {
    let grpc = |max: u64, offset: u64| {
        let max = Some(ms(max)).filter(|max| !max.is_zero());
        let grpc = Some(Box::new(GrpcTimeout { max, offset: ms(offset) }));
        Forward { grpc, timeout: Some(ms(15_000)), ..Forward::nowhere() }
    };
    for (max, offset, asked, expected, told) in [
        (1_000, 0, "500m", Some(500), "500m"),
        (1_000, 0, "5S", Some(1_000), "1000m"),
        (1_000, 0, "", Some(1_000), "1000m"),
        (1_000, 0, "5x", Some(1_000), "1000m"),
        (1_000, 0, "123456789m", Some(1_000), "1000m"),
        (0, 0, "500m", Some(500), "500m"),
        (0, 0, "1500u", Some(2), "2m"),
        (0, 0, "1n", Some(1), "1m"),
        (0, 0, "", None, ""),
        (0, 0, "99999999H", Some(359_999_996_400_000_u128), "99999999H"),
        (1_000, 100, "500m", Some(400), "400m"),
        (1_000, 100, "50m", Some(50), "50m"),
    ] {
        let asked = if asked.is_empty() { String::new() } else { format!("grpc-timeout: {asked}") };
        let call = format!("content-type: application/grpc\n{asked}");
        let (_, limit, header) = found(&grpc(max, offset), &call);
        assert_eq!((limit, &*header), (expected, told), "{max} {offset} {asked}");
    }
    let (_, limit, header) = found(&grpc(1_000, 0), "grpc-timeout: 500m");
    assert_eq!((limit, &*header), (Some(15_000), "500m"), "no call");
}

#[test]
fn durations_take_the_place_of_timeouts() {
    let with = |max, grpc_max, offset| StreamDuration { max, grpc_max, grpc_offset: ms(offset) };
    let of_manager = Some(ms(1_500));
    let call = "content-type: application/grpc\ngrpc-timeout: 200m";
    let plain = with(Some(Some(ms(400))), None, 0);
    let header = with(None, Some(Some(ms(500))), 0);
    for (duration, fields, limit, told) in [
        (&plain, "", Some(400), ""),
        (&plain, call, Some(400), "400m"),
        (&header, call, Some(200), "200m"),
        (&header, "grpc-timeout: 5S", Some(500), "5S"),
        (&header, "content-type: application/grpc", Some(1_500), "1500m"),
        (&with(None, Some(None), 100), call, Some(100), "100m"),
        (&with(None, Some(None), 300), call, Some(0), "0m"),
        (&with(Some(None), None, 0), call, None, ""),
        (&with(None, None, 0), "", Some(1_500), ""),
    ] {
        let mut head = request(fields);
        let is_grpc = reply::is_grpc(&head);
        let found = stream(&mut head, duration, of_manager, is_grpc);
        let found = found.map(|limit| limit.as_millis());
        assert_eq!((found, &*self::told(&head)), (limit, told), "{duration:?} {fields}");
    }
    let mut head = request(call);
    assert_eq!(stream(&mut head, &with(Some(None), None, 0), None, true), None);
    assert_eq!(told(&head), "200m", "nothing was taken away");
}
