//! `DestinationRule`.

use source::kinds::networking::{
    ConsistentHash, DestinationRule, SimpleLb, TlsMode, TrafficPolicy,
};

use super::{hosts, unbuilt};
use crate::diagnostic::Report;

/// Subsets of one rule.
const SUBSETS_MAX: usize = 1_024;

pub(super) fn rule(rule: &DestinationRule, report: &mut Report<'_>) {
    if rule.host.is_empty() {
        report.missing("spec.host", "a host");
    } else {
        hosts(report, "spec.host", &rule.host);
    }
    unbuilt(report, "spec", &[("workloadSelector", &rule.workload_selector)]);
    if let Some(policy) = &rule.traffic_policy {
        traffic(policy, "spec.trafficPolicy", report);
    }
    if rule.subsets.len() > SUBSETS_MAX {
        report.too_many("spec.subsets", SUBSETS_MAX);
    }
    for (index, subset) in rule.subsets.iter().enumerate() {
        let at = format!("spec.subsets[{index}]");
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if subset.name.is_empty() || !subset.name.bytes().all(named) {
            report.missing(&format!("{at}.name"), "a name of letters, digits, `-`, `.` and `_`");
        }
        if rule.subsets.iter().take(index).any(|other| other.name == subset.name) {
            report.twice(&format!("{at}.name"), &subset.name);
        }
        if let Some(policy) = &subset.traffic_policy {
            traffic(policy, &format!("{at}.trafficPolicy"), report);
        }
    }
}

fn traffic(policy: &TrafficPolicy, at: &str, report: &mut Report<'_>) {
    let fields = [
        ("portLevelSettings", &policy.port_level_settings),
        ("tunnel", &policy.tunnel),
        ("proxyProtocol", &policy.proxy_protocol),
    ];
    unbuilt(report, at, &fields);
    if let Some(detection) = &policy.outlier_detection {
        let fields = [("consecutiveErrors", &detection.consecutive_errors)];
        unbuilt(report, &format!("{at}.outlierDetection"), &fields);
        let percents = [
            ("maxEjectionPercent", f64::from(detection.max_ejection_percent)),
            ("minHealthPercent", f64::from(detection.min_health_percent)),
        ];
        percents_are_such(&percents, &format!("{at}.outlierDetection"), report);
    }
    if let Some(percent) = policy.retry_budget.as_ref().and_then(|budget| budget.percent) {
        percents_are_such(&[("percent", percent)], &format!("{at}.retryBudget"), report);
    }
    load_balancer(policy, &format!("{at}.loadBalancer"), report);
    pool(policy, &format!("{at}.connectionPool"), report);
    tls(policy, &format!("{at}.tls"), report);
}

fn load_balancer(policy: &TrafficPolicy, at: &str, report: &mut Report<'_>) {
    let Some(balancer) = &policy.load_balancer else { return };
    let fields = [
        ("localityLbSetting", &balancer.locality_lb_setting),
        ("zoneAwareLbSetting", &balancer.zone_aware_lb_setting),
        ("warmupDurationSecs", &balancer.warmup_duration_secs),
    ];
    unbuilt(report, at, &fields);
    if let Some(hash) = &balancer.consistent_hash {
        consistent_hash(hash, &format!("{at}.consistentHash"), report);
    }
    if let Some(warmup) = &balancer.warmup {
        let at = format!("{at}.warmup");
        if warmup.duration.is_none_or(|duration| duration.nanos == 0) {
            report.missing(&format!("{at}.duration"), "a duration");
        }
        let percent = warmup.minimum_percent.unwrap_or_default();
        percents_are_such(&[("minimumPercent", percent)], &at, report);
    }
    if balancer.simple == SimpleLb::Passthrough {
        let instead = "use ROUND_ROBIN, LEAST_REQUEST or RANDOM";
        report.not_built_value(&format!("{at}.simple"), balancer.simple.name(), instead);
    }
}

fn consistent_hash(hash: &ConsistentHash, at: &str, report: &mut Report<'_>) {
    let keys = [
        hash.http_header_name.is_some(),
        hash.http_cookie.is_some(),
        hash.use_source_ip.is_some(),
        hash.http_query_parameter_name.is_some(),
    ];
    if keys.iter().filter(|is_set| **is_set).count() != 1 {
        report.missing(
            at,
            "one of `httpHeaderName`, `httpCookie`, `useSourceIp` and `httpQueryParameterName`",
        );
    }
    let names = [
        ("httpHeaderName", hash.http_header_name.as_deref()),
        ("httpCookie.name", hash.http_cookie.as_ref().map(|cookie| cookie.name.as_str())),
        ("httpQueryParameterName", hash.http_query_parameter_name.as_deref()),
    ];
    for (field, name) in names {
        if name.is_some_and(str::is_empty) {
            report.missing(&format!("{at}.{field}"), "a name");
        }
    }
    if let Some(cookie) = &hash.http_cookie {
        let fields = [("attributes", &cookie.attributes)];
        unbuilt(report, &format!("{at}.httpCookie"), &fields);
    }
}

fn percents_are_such(fields: &[(&str, f64)], at: &str, report: &mut Report<'_>) {
    for (field, percent) in fields {
        if !(0.0..=100.0).contains(percent) {
            report.bad_percent(&format!("{at}.{field}"), &percent.to_string());
        }
    }
}

fn pool(policy: &TrafficPolicy, at: &str, report: &mut Report<'_>) {
    let Some(pool) = &policy.connection_pool else { return };
    let tcp = [
        ("tcpKeepalive", &pool.tcp.tcp_keepalive),
        ("maxConnectionDuration", &pool.tcp.max_connection_duration),
        ("idleTimeout", &pool.tcp.idle_timeout),
    ];
    unbuilt(report, &format!("{at}.tcp"), &tcp);
    let http = [
        ("h2UpgradePolicy", &pool.http.h2_upgrade_policy),
        ("useClientProtocol", &pool.http.use_client_protocol),
        ("maxConcurrentStreams", &pool.http.max_concurrent_streams),
        ("http2KeepAlive", &pool.http.http2_keepalive),
    ];
    unbuilt(report, &format!("{at}.http"), &http);
}

fn tls(policy: &TrafficPolicy, at: &str, report: &mut Report<'_>) {
    let Some(tls) = &policy.tls else { return };
    if matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual) {
        let instead = "use ISTIO_MUTUAL or DISABLE";
        report.not_built_value(&format!("{at}.mode"), tls.mode.name(), instead);
    }
    let fields = [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("caCertificates", &tls.ca_certificates),
        ("credentialName", &tls.credential_name),
        ("subjectAltNames", &tls.subject_alt_names),
        ("sni", &tls.sni),
        ("insecureSkipVerify", &tls.insecure_skip_verify),
        ("caCrl", &tls.ca_crl),
    ];
    unbuilt(report, at, &fields);
}
