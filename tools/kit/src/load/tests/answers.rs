//! HTTP answers: counted if they are right, and only then.

use super::{super::run, *};
use crate::echo::pattern;

on_both!(
    as_many_requests_as_asked_for,
    bodies_go_whole_both_ways,
    wrong_answers_are_failures,
    an_answer_before_the_whole_request_ends_the_connection,
);

async fn as_many_requests_as_asked_for(driver: Which) {
    let echo = echo().await;
    let mut spec = http(driver, echo.http, "/?size=500");
    spec.requests = Some(300);
    spec.connections = 4;
    spec.threads = 2;
    spec.expected_body = Some(pattern(500));
    spec.tally = vec!["x-version".into(), "x-none".into()];
    let mut last = None;
    let report = run(&spec, &Control::new(), |progress| last = Some(*progress)).await;
    let report = report.expect("a fine load");
    let total = report.total();
    assert_eq!((total.requests(), total.failed()), (300, 0), "{:?}", total.errors);
    assert_eq!(total.statuses.get(&200), Some(&300));
    assert_eq!(total.header("x-version", "v1"), 300);
    assert_eq!(total.header("x-none", "(none)"), 300);
    assert_eq!(total.unexpected(200..=299), 0);
    assert!(report.throughput() > 0.0 && total.histogram.min() > 1_000);
    assert_eq!((report.connects, report.held), (4, None));
    let last = last.expect("progress was told");
    assert_eq!((last.done, last.failed, last.total), (300, 0, Some(300)));
}

async fn bodies_go_whole_both_ways(driver: Which) {
    let echo = echo().await;
    let mut spec = http(driver, echo.http, "/?size=300000&chunked");
    spec.method = "POST".into();
    spec.body = pattern(2_000_000);
    spec.expected_body = Some(pattern(300_000));
    spec.requests = Some(5);
    all_right(&spec).await;
    spec.keep_alive = false;
    assert_eq!(all_right(&spec).await.connects, 5);
}

async fn wrong_answers_are_failures(driver: Which) {
    const CASES: [(&[u8], &str); 8] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""),
        (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nok", ""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", "connection closed before"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", "body differs"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\no", "body differs"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!", "bytes behind the answer"),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", "answer is not HTTP/1.1: http1.bare_cr"),
    ];
    for (answer, error) in CASES {
        let mut spec = http(driver, canned(answer, 1).await, "/");
        spec.requests = Some(3);
        spec.expected_body = Some(b"ok".to_vec());
        spec.keep_alive = false;
        let total = measure(&spec).await.total();
        let text = answer.escape_ascii().to_string();
        if error.is_empty() {
            assert_eq!((total.histogram.len(), total.failed()), (3, 0), "{text}: {total:?}");
        } else {
            assert_eq!((total.histogram.len(), total.failed()), (0, 3), "{text}");
            assert!(total.errors.keys().all(|met| met.starts_with(error)), "{:?}", total.errors);
        }
    }
}

async fn an_answer_before_the_whole_request_ends_the_connection(driver: Which) {
    // It never reads more than the head, so that the body cannot leave.
    let address = canned(b"HTTP/1.1 413 Much\r\ncontent-length: 0\r\n\r\n", 1).await;
    let mut spec = http(driver, address, "/");
    spec.method = "POST".into();
    spec.body = pattern(30_000_000);
    spec.requests = Some(2);
    let report = measure(&spec).await;
    let total = report.total();
    assert_eq!(total.requests(), 2);
    // The server's reset may overtake its answer.
    assert_eq!(total.statuses.get(&413).copied().unwrap_or(0) + total.failed(), 2, "{total:?}");
    assert_eq!(report.connects, 2);
}
