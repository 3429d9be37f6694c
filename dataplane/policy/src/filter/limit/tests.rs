//! Buckets and descriptions.

use std::time::Duration;

use config::snapshot::{BucketState, Share};
use wire::head::Head;

use super::*;
use crate::fixture::{get, head, lines};

const SECOND: u64 = 1_000_000_000;

fn bucket(most: u32, fill: u32, seconds: u64) -> Bucket {
    Bucket::new(most, fill, Duration::from_secs(seconds))
}

fn limit(bucket: Option<Bucket>, descriptors: Vec<LimitDescriptor>) -> LocalRateLimit {
    LocalRateLimit {
        status: 429,
        bucket,
        enabled: Share::ALL,
        enforced: Share::ALL,
        response: Vec::new(),
        request: Vec::new(),
        descriptors,
        rate_limits: Vec::new(),
        stage: 0,
        of_host: HostLimits::Override,
        always_takes: true,
        tells: true,
        says_when: true,
        exhausts: false,
    }
}

#[test]
fn a_bucket_is_full_at_first_and_fills_evenly() {
    let bucket = bucket(3, 2, 10);
    let start = 77 * SECOND;
    assert_eq!(bucket.state(start), BucketState { most: 3, left: 3, next_s: 0 });
    assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
    assert_eq!(bucket.state(start), BucketState { most: 3, left: 0, next_s: 5 });
    assert!(!bucket.take(start + 5 * SECOND - 1_000));
    assert!(bucket.take(start + 5 * SECOND));
    assert!(!bucket.take(start + 5 * SECOND));
    assert_eq!(bucket.state(start + 12 * SECOND).left, 1);
    // However long nobody comes, it holds no more than it may.
    let later = start + 100_000 * SECOND;
    assert_eq!((0..9).filter(|_| bucket.take(later)).count(), 3);
    // A clock that lags behind on another core gives nothing away.
    assert!(!bucket.take(start));
}

#[test]
fn an_empty_bucket_gives_nothing() {
    let bucket = bucket(0, 1, 1);
    assert!(!bucket.take(0) && !bucket.take(u64::MAX));
    assert_eq!(bucket.state(9).left, 0);
}

/// The limit is of the process: all threads together take what there is, one alone no less.
#[test]
fn threads_never_take_more_than_there_is_and_one_may_take_all() {
    let alone = bucket(5_000, 1, 1_000_000);
    assert_eq!((0..6_000).filter(|_| alone.take(SECOND)).count(), 5_000);
    let shared = bucket(5_000, 1, 1_000_000);
    let taken: usize = std::thread::scope(|scope| {
        let take = || (0..3_000).filter(|_| shared.take(SECOND)).count();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(taken, 5_000);
}

fn text(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn descriptor(entries: &[(&str, &str)], bucket: Bucket) -> LimitDescriptor {
    let entries = entries.iter().map(|(key, value)| (text(key), text(value))).collect();
    LimitDescriptor { entries, bucket }
}

fn way(actions: Vec<LimitAction>) -> RateLimit {
    RateLimit { stage: 0, is_off: false, actions }
}

fn of_header(name: &str, skips: bool) -> LimitAction {
    LimitAction::Value { of: ValueOf::Header(text(name)), key: text(name), skips }
}

fn fixed(value: &str) -> LimitAction {
    LimitAction::Fixed { when: None, key: text("generic_key"), value: text(value) }
}

fn asked<'r>(head: &'r Head, of_route: &'r [RateLimit], of_host: &'r [RateLimit]) -> Described<'r> {
    let remote = "10.1.2.3".parse().unwrap();
    Described { head, remote, cluster: Some("c"), said: (of_route, of_host, false) }
}

#[test]
fn who_is_described_takes_from_its_own_bucket_too() {
    let limit =
        limit(Some(bucket(3, 1, 100)), vec![descriptor(&[("x-a", "1")], bucket(1, 1, 100))]);
    let ways = [way(vec![of_header("x-a", false)])];
    let (one, other) = (head("GET / HTTP/1.1\nhost: a\nx-a: 1"), get("/"));
    let count = |head: &Head| count(&limit, &asked(head, &ways, &[]), SECOND);
    let own = Some(Which::Of(0));
    assert_eq!(count(&one), Verdict { allowed: true, bucket: own });
    // It has not taken from the common one this time.
    assert_eq!(count(&one), Verdict { allowed: false, bucket: own });
    let common = Some(Which::Common);
    assert_eq!(count(&other), Verdict { allowed: true, bucket: common });
    assert_eq!(count(&other), Verdict { allowed: true, bucket: common });
    assert_eq!(count(&other), Verdict { allowed: false, bucket: common });
}

#[test]
fn all_entries_in_their_order_or_none() {
    let wanted = descriptor(&[("x-a", "1"), ("generic_key", "g")], bucket(0, 1, 1));
    let limit = limit(None, vec![wanted]);
    let one = head("GET / HTTP/1.1\nhost: a\nx-a: 1");
    let refused =
        |actions: Vec<LimitAction>| !count(&limit, &asked(&one, &[way(actions)], &[]), 0).allowed;
    assert!(refused(vec![of_header("x-a", false), fixed("g")]));
    assert!(refused(vec![of_header("x-b", true), of_header("x-a", false), fixed("g")]));
    assert!(!refused(vec![of_header("x-b", false), of_header("x-a", false), fixed("g")]));
    assert!(!refused(vec![fixed("g"), of_header("x-a", false)]));
    assert!(!refused(vec![of_header("x-a", false)]));
    assert!(!refused(vec![of_header("x-a", false), fixed("g"), fixed("g")]));
}

#[test]
fn the_hosts_word_counts_as_the_options_say() {
    let refused = |of_host, wants_both, has_route| {
        let wanted = descriptor(&[("generic_key", "host")], bucket(0, 1, 1));
        let limit = LocalRateLimit { of_host, ..limit(None, vec![wanted]) };
        let of_route = if has_route { vec![way(vec![fixed("route")])] } else { Vec::new() };
        let head = get("/");
        let said = asked(&head, &of_route, &[]);
        let ways = [way(vec![fixed("host")])];
        let said = Described { said: (said.said.0, &ways, wants_both), ..said };
        !count(&limit, &said, 0).allowed
    };
    assert!(refused(HostLimits::Override, false, false));
    assert!(!refused(HostLimits::Override, false, true));
    assert!(refused(HostLimits::Override, true, true));
    assert!(refused(HostLimits::Include, false, true));
    assert!(!refused(HostLimits::Ignore, false, false));
}

#[test]
fn other_stages_do_not_count() {
    let limit = limit(None, vec![descriptor(&[("generic_key", "g")], bucket(0, 1, 1))]);
    let way = RateLimit { stage: 1, ..way(vec![fixed("g")]) };
    assert!(count(&limit, &asked(&get("/"), &[way], &[]), 0).allowed);
}

#[test]
fn a_refusal_says_when_to_come_again() {
    let limit = limit(Some(bucket(1, 1, 90)), Vec::new());
    let bucket = limit.bucket.as_ref().unwrap();
    assert!(bucket.take(SECOND));
    let mut answer = Head::default();
    headers::local(&mut answer, 429, b"");
    explain(&limit, &mut answer, Some(bucket), 31 * SECOND);
    tell(&mut answer, bucket, 31 * SECOND);
    assert_eq!(
        lines(&answer),
        [
            "retry-after: 60",
            "x-ratelimit-limit: 1",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 60",
        ]
    );
    answer.set(b"retry-after", b"7");
    explain(&limit, &mut answer, Some(bucket), SECOND);
    assert_eq!(answer.values(b"retry-after").collect::<Vec<_>>(), [b"7"]);
}
