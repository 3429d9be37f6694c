//! `VirtualService`.

use std::collections::BTreeMap;

use source::kinds::networking::{
    HeaderOperations, HttpMatch, HttpRoute, HttpRouteDestination, Retries, StringMatch,
    VirtualService,
};

use super::{hosts, regex, unbuilt};
use crate::diagnostic::Report;

/// The longest body of a direct response, in bytes (`max_direct_response_body_size_bytes`).
const BODY_BYTES_MAX: usize = 1 << 20;
/// Routes of one object.
const ROUTES_MAX: usize = 4_096;

pub(super) fn virtual_service(service: &VirtualService, report: &mut Report<'_>) {
    if service.hosts.is_empty() {
        report.missing("spec.hosts", "at least one host");
    }
    for (index, host) in service.hosts.iter().enumerate() {
        hosts(report, &format!("spec.hosts[{index}]"), host);
    }
    unbuilt(report, "spec", &[("tls", &service.tls), ("tcp", &service.tcp)]);
    if service.http.is_empty() && service.tls.is_none() && service.tcp.is_none() {
        report.missing("spec.http", "at least one route");
    }
    if service.http.len() > ROUTES_MAX {
        report.too_many("spec.http", ROUTES_MAX);
    }
    if !service.gateways.is_empty() && !service.gateways.iter().any(|name| name == "mesh") {
        report.gateway_only("spec.gateways");
    }
    for (index, route) in service.http.iter().enumerate() {
        http(route, &format!("spec.http[{index}]"), report);
    }
}

fn http(route: &HttpRoute, at: &str, report: &mut Report<'_>) {
    let fields = [
        ("redirect", &route.redirect),
        ("delegate", &route.delegate),
        ("rewrite", &route.rewrite),
        ("fault", &route.fault),
        ("mirror", &route.mirror),
        ("mirrors", &route.mirrors),
        ("mirrorPercent", &route.mirror_percent),
        ("mirrorPercentage", &route.mirror_percentage),
        ("corsPolicy", &route.cors_policy),
    ];
    unbuilt(report, at, &fields);
    for (index, matches) in route.matches.iter().enumerate() {
        http_match(matches, &format!("{at}.match[{index}]"), report);
    }
    match &route.direct_response {
        Some(_) if !route.route.is_empty() => report.one_of(at, "`route` and `directResponse`"),
        Some(direct) => {
            let body = direct.body.clone().unwrap_or_default();
            unbuilt(report, &format!("{at}.directResponse.body"), &[("bytes", &body.bytes)]);
            if !(200..600).contains(&direct.status) {
                report.bad_status(&format!("{at}.directResponse.status"), direct.status);
            }
            if body.string.is_some_and(|body| body.len() > BODY_BYTES_MAX) {
                report.too_long(&format!("{at}.directResponse.body.string"), BODY_BYTES_MAX);
            }
        }
        None if route.redirect.is_none() && route.delegate.is_none() => {
            destinations(&route.route, at, report);
        }
        None => {}
    }
    if let Some(retries) = &route.retries {
        retry(retries, &format!("{at}.retries"), report);
    }
    if let Some(changes) = &route.headers {
        header_changes(&changes.request, &format!("{at}.headers.request"), report);
        header_changes(&changes.response, &format!("{at}.headers.response"), report);
    }
}

fn destinations(routes: &[HttpRouteDestination], at: &str, report: &mut Report<'_>) {
    if routes.is_empty() {
        return report.missing(at, "a `route` or a `directResponse`");
    }
    for (index, route) in routes.iter().enumerate() {
        let field = format!("{at}.route[{index}]");
        unbuilt(report, &field, &[("headers", &route.headers)]);
        let host = format!("{field}.destination.host");
        if route.destination.host.is_empty() {
            report.missing(&host, "a host");
        } else if route.destination.host.starts_with('*') {
            report.bad_host(&host, &route.destination.host);
        } else {
            hosts(report, &host, &route.destination.host);
        }
        if route.destination.port.as_ref().is_some_and(|port| port.number == 0) {
            report.bad_port(&format!("{field}.destination.port.number"), "0");
        }
    }
    let total: u64 = routes.iter().map(|route| u64::from(route.weight)).sum();
    if routes.len() > 1 && total == 0 {
        report.no_weight(&format!("{at}.route"));
    }
    if total > u64::from(u32::MAX) {
        report.heavy(&format!("{at}.route"));
    }
}

fn http_match(matches: &HttpMatch, at: &str, report: &mut Report<'_>) {
    unbuilt(report, at, &[("statPrefix", &matches.stat_prefix)]);
    let single = [
        ("uri", &matches.uri),
        ("scheme", &matches.scheme),
        ("method", &matches.method),
        ("authority", &matches.authority),
    ];
    for (name, value) in single {
        if let Some(value) = value {
            string(value, &format!("{at}.{name}"), true, report);
        }
    }
    let maps: [(&str, &BTreeMap<String, StringMatch>); 3] = [
        ("headers", &matches.headers),
        ("withoutHeaders", &matches.without_headers),
        ("queryParams", &matches.query_params),
    ];
    for (name, map) in maps {
        for (key, value) in map {
            let field = format!("{at}.{name}.{key}");
            if name != "queryParams" && !is_header(key.trim_start_matches(':')) {
                report.bad_header_name(&field, key);
            }
            string(value, &field, false, report);
        }
    }
    if matches.port == Some(0) {
        report.bad_port(&format!("{at}.port"), "0");
    }
}

fn string(value: &StringMatch, at: &str, required: bool, report: &mut Report<'_>) {
    let set = [value.exact.is_some(), value.prefix.is_some(), value.regex.is_some()];
    let count = set.into_iter().filter(|set| *set).count();
    if count > 1 {
        report.one_of(at, "`exact`, `prefix` and `regex`");
    }
    if required && count == 0 {
        report.missing(at, "one of `exact`, `prefix` and `regex`");
    }
    let blank = [("prefix", &value.prefix), ("regex", &value.regex)];
    let exact = ("exact", &value.exact);
    for (name, text) in blank.into_iter().chain(required.then_some(exact)) {
        if text.as_deref() == Some("") {
            report.empty_value(&format!("{at}.{name}"));
        }
    }
    if let Some(text) = &value.regex {
        regex(report, &format!("{at}.regex"), text);
    }
}

fn retry(retries: &Retries, at: &str, report: &mut Report<'_>) {
    let fields = [
        ("retryRemoteLocalities", &retries.retry_remote_localities),
        ("retryIgnorePreviousHosts", &retries.retry_ignore_previous_hosts),
        ("backoff", &retries.backoff),
    ];
    unbuilt(report, at, &fields);
    const WORDS: [&str; 14] = [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ];
    for word in retries.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let status = word.parse().is_ok_and(|status: u16| (100..600).contains(&status));
        if !status && !WORDS.contains(&word) {
            report.unknown_retry_word(&format!("{at}.retryOn"), word);
        }
    }
}

fn header_changes(changes: &HeaderOperations, at: &str, report: &mut Report<'_>) {
    for (list, map) in [("set", &changes.set), ("add", &changes.add)] {
        for (name, value) in map {
            let field = format!("{at}.{list}.{name}");
            header_name(name, &field, report);
            if value.contains('%') {
                report.header_format(&field);
            }
            if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                report.bad_header_value(&field);
            }
        }
    }
    for (index, name) in changes.remove.iter().enumerate() {
        header_name(name, &format!("{at}.remove[{index}]"), report);
    }
}

/// The request's own parts are changed by `rewrite`, not as headers.
fn header_name(name: &str, field: &str, report: &mut Report<'_>) {
    if name.eq_ignore_ascii_case("host") || name.starts_with(':') {
        let instead = "only true headers can be changed";
        report.not_built_value(field, name, instead);
    } else if !is_header(name) {
        report.bad_header_name(field, name);
    }
}

/// RFC 9110, section 5.1: a token.
fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 256 && name.bytes().all(token)
}
