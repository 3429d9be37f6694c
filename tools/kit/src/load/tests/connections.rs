//! Connections that are refused, closed, opened for each request, and held.

use std::sync::{Arc, Mutex};

use super::{super::run, *};
use crate::net::{Namespace, Privilege, privilege};

on_both!(
    a_server_that_closes_costs_a_connection,
    an_idle_connection_that_was_closed_is_opened_again,
    nobody_there,
    a_connection_for_each_request,
    connections_are_held,
    the_load_is_in_the_callers_network_namespace,
);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Two answers, then an end that nobody announced: whether the next request is on its way already
/// is a matter of microseconds, but none is lost without being told.
async fn a_server_that_closes_costs_a_connection(driver: Which) {
    let mut spec = http(driver, canned(OK, 2).await, "/");
    spec.requests = Some(9);
    let report = measure(&spec).await;
    let total = report.total();
    assert_eq!(total.requests(), 9);
    assert!((6..=9).contains(&total.histogram.len()), "{total:?}");
    assert!((3..=5).contains(&report.connects), "{} connections", report.connects);
    let known = |error: &String| error.starts_with("connection ");
    assert!(total.errors.keys().all(known), "{:?}", total.errors);
}

async fn an_idle_connection_that_was_closed_is_opened_again(driver: Which) {
    let mut spec = http(driver, canned(OK, 1).await, "/");
    (spec.requests, spec.rate) = (Some(5), Some(20.0));
    assert_eq!(all_right(&spec).await.connects, 5);
}

async fn nobody_there(driver: Which) {
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let mut spec = http(driver, address, "/");
    spec.requests = Some(2);
    let total = measure(&spec).await.total();
    assert_eq!(total.errors.get("cannot connect: connection refused"), Some(&2));
    // A closed loop does not turn into a storm of refused connections.
    (spec.requests, spec.duration) = (None, Some(Duration::from_millis(200)));
    let total = measure(&spec).await.total();
    assert!((5..=25).contains(&total.failed()), "{total:?}");
}

async fn a_connection_for_each_request(driver: Which) {
    let address = canned(OK, 9).await;
    let mut spec = http(driver, address, "/");
    (spec.keep_alive, spec.connections, spec.requests) = (false, 16, Some(5_000));
    spec.reset = true;
    spec.expected_body = Some(b"ok".to_vec());
    assert_eq!(all_right(&spec).await.connects, 5_000);
    // A reset leaves no port waiting. Other tests' connections may have the same number in the
    // same place of the table, but not thousands of them.
    assert!(waiting(address) < 50, "{} of 5,000 wait", waiting(address));
    (spec.reset, spec.requests) = (false, Some(200));
    assert_eq!(all_right(&spec).await.connects, 200);
}

/// Connections to that address in the state TIME_WAIT.
fn waiting(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let remote = format!(":{:04X} 06 ", address.port());
    table.lines().filter(|line| line.contains(&remote)).count()
}

async fn connections_are_held(driver: Which) {
    const CONNECTIONS: usize = 1_000;
    let echo = echo().await;
    let mut spec = http(driver, echo.http, "/?size=1");
    (spec.connections, spec.requests) = (CONNECTIONS, Some(CONNECTIONS as u64));
    spec.threads = 2;
    spec.hold = Some(Duration::from_secs(60));
    let control = Control::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let report = run(&spec, &control, |progress| {
        if progress.holding {
            seen.lock().unwrap().push(progress.idle);
            control.stop();
        }
    });
    let report = report.await.expect("a fine load");
    assert_eq!(seen.lock().unwrap().first(), Some(&CONNECTIONS));
    assert_eq!(report.held, Some(CONNECTIONS as u64));
    assert_eq!(report.connects, CONNECTIONS as u64, "one request each");
    assert_eq!(report.total().histogram.len(), CONNECTIONS as u64);
    assert!(report.elapsed < Duration::from_secs(30), "holding is not part of the run");
}

async fn the_load_is_in_the_callers_network_namespace(driver: Which) {
    if privilege() != Privilege::Root {
        eprintln!("SKIPPED the_load_is_in_the_callers_network_namespace: needs root");
        return;
    }
    let echo = echo().await;
    let mut spec = http(driver, echo.http, "/?size=1");
    (spec.requests, spec.connections, spec.threads) = (Some(2), 2, 2);
    all_right(&spec).await;
    // A new namespace has nobody in it, and not even loopback is up.
    let elsewhere = Namespace::create("elsewhere").expect("a namespace");
    let there = elsewhere.drive(move || async move { measure(&spec).await }).expect("driven");
    let total = there.total();
    let unreachable = "cannot connect: network unreachable";
    assert_eq!(total.errors.get(unreachable), Some(&2), "{total:?}");
}
