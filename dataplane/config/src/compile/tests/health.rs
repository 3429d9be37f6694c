//! Active health checks: what is checked, and what becomes of the verdicts.

use std::time::Duration;

use super::*;
use crate::health::{CheckKind, HealthCheck, Probe, Verdict};
use crate::snapshot::Health;

const HTTP: &str = "http_health_check: {path: /ready}";

fn with_check(kind: &str, more: &str) -> String {
    let host = |last: u8, more: &str| {
        let address = format!("{{address: 10.0.0.{last}, port_value: 80}}");
        format!("    - endpoint: {{address: {{socket_address: {address}}}{more}}}\n")
    };
    let hosts = [
        host(1, ""),
        host(2, ", health_check_config: {port_value: 81, hostname: two.test}"),
        host(3, ", health_check_config: {disable_active_health_check: true}"),
    ];
    with_cluster(&format!(
        "type: STATIC\nhealth_checks: [{{timeout: 1s, interval: 10s, unhealthy_threshold: 2, \
         healthy_threshold: 3, {kind}}}]\n{more}\n\
         load_assignment:\n  endpoints:\n  - lb_endpoints:\n{}",
        hosts.concat()
    ))
}

fn probes(compiler: &Compiler) -> Vec<Probe> {
    let mut probes = compiler.probes();
    probes.sort_by_key(|probe| probe.host);
    probes
}

fn the_check(compiler: &Compiler) -> HealthCheck {
    HealthCheck::clone(&probes(compiler)[0].check)
}

fn told(compiler: &mut Compiler, last: u8, health: Health) -> bool {
    let host = SocketAddr::from(([10, 0, 0, last], 80));
    compiler.checked(&Verdict { cluster: "c".into(), host, health })
}

fn healths(snapshot: &Snapshot, compiler: &Compiler) -> Vec<Health> {
    let hosts = &cluster(snapshot, compiler, "c").endpoints.hosts;
    hosts.iter().map(|host| host.health).collect()
}

#[test]
fn hosts_are_checked_where_and_as_they_say() {
    let (_, compiler) = good(&with_check(HTTP, ""));
    let probes = probes(&compiler);
    let seen: Vec<_> =
        probes.iter().map(|probe| (probe.target.to_string(), &*probe.authority)).collect();
    assert_eq!(seen, [("10.0.0.1:80".into(), "c"), ("10.0.0.2:81".into(), "two.test")]);
    let check = the_check(&compiler);
    let second = Duration::from_secs(1);
    assert_eq!((check.timeout, check.unhealthy_threshold, check.healthy_threshold), (second, 2, 3));
    let times = check.intervals;
    assert_eq!(
        [times.usual, times.unhealthy, times.healthy_edge, times.unhealthy_edge],
        [10 * second; 4]
    );
    let CheckKind::Http(http) = check.kind else { panic!("HTTP") };
    assert_eq!((http.method.as_str(), http.http2), ("GET", false));
    assert!(http.expected.iter().eq([&(200..201)]));
    assert!(check.reuse_connection);

    let (_, compiler) = good(&with_check("tcp_health_check: {receive: [{text: 00fF}]}", ""));
    let CheckKind::Tcp(tcp) = the_check(&compiler).kind else { panic!("TCP") };
    assert_eq!(tcp.receive, [vec![0, 255]]);
}

#[test]
fn a_cluster_waits_for_its_first_checks_and_follows_what_they_find() {
    use Health::{Degraded, Healthy, Unhealthy};
    let (snapshot, mut compiler) = good(&with_check(HTTP, ""));
    assert!(snapshot.clusters.iter().flatten().next().is_none());
    assert!(told(&mut compiler, 1, Healthy));
    assert_eq!(compiler.build().clusters.iter().flatten().count(), 0, "one is not known yet");
    assert!(told(&mut compiler, 2, Unhealthy));
    let first = compiler.build();
    assert_eq!(healths(&first, &compiler), [Healthy, Unhealthy, Healthy]);
    assert!(!told(&mut compiler, 2, Unhealthy), "nothing new");
    assert!(told(&mut compiler, 2, Degraded));
    let second = compiler.build();
    assert_eq!(healths(&second, &compiler), [Healthy, Degraded, Healthy]);
    // What is not waited for is not healthy meanwhile.
    let (snapshot, compiler) = good(&with_check(HTTP, "wait_for_warm_on_init: false"));
    assert_eq!(healths(&snapshot, &compiler), [Unhealthy, Unhealthy, Healthy]);
}

#[test]
fn what_is_not_understood_is_refused() {
    let cases = [
        ("custom_health_check: {name: x}", "custom_health_check: the health check `x` is not"),
        ("http_health_check: {path: ''}", "http_health_check.path: a path"),
        ("http_health_check: {path: /, method: CONNECT}", "method: CONNECT"),
        ("http_health_check: {path: /, expected_statuses: [{start: 99, end: 200}]}", "from 100"),
        ("tcp_health_check: {send: {text: '0'}}", "send.text: pairs of hexadecimal digits"),
        ("unhealthy_interval: 0s, tcp_health_check: {}", "unhealthy_interval: longer than 0s"),
    ];
    for (kind, expected) in cases {
        let (_, refused, _) = apply(&with_check(kind, ""));
        let message = refused[0].to_string();
        assert!(message.contains(expected), "{message}");
    }
}
