use super::take;
use crate::fixture::{head, lines};

#[test]
fn what_steers_is_taken_out() {
    let mut plain = head("GET / HTTP/1.1\nhost: a\nx-envoy-foo: 1\nx-a: 1");
    assert_eq!(take(&mut plain), None);
    let mut steered = head(
        "GET / HTTP/1.1\nhost: a\nx-envoy-foo: 1\nx-envoy-max-retries:  7 \n\
         x-envoy-retry-on: 5xx\nx-envoy-retry-on: reset\nx-envoy-upstream-alt-stat-name: b\n\
         x-envoy-upstream-rq-timeout-alt-response: 1\nx-envoy-upstream-rq-timeout-ms: 0\n\
         x-envoy-upstream-rq-per-try-timeout-ms: soon\nx-envoy-expected-rq-timeout-ms: 5",
    );
    let steering = take(&mut steered).expect("it steers");
    assert_eq!((steering.timeout, steering.per_try_timeout), (Some(None), None));
    assert_eq!((steering.max_retries, steering.answers_204), (Some(7), true));
    assert_eq!(steering.retry_on.as_deref(), Some(&b"5xx"[..]), "the first");
    assert_eq!(lines(&steered), ["x-envoy-foo: 1", "x-envoy-expected-rq-timeout-ms: 5"]);
    assert_eq!(take(&mut steered), None);
}
