//! `PeerAuthentication` and `AuthorizationPolicy`.

use std::net::IpAddr;

use ipnet::IpNet;
use source::kinds::security::{
    Action, AuthorizationPolicy, Condition, Operation, PeerAuthentication, Source,
};

use super::unbuilt;
use crate::diagnostic::Report;

/// Rules of one policy, and values of one list.
const RULES_MAX: usize = 4_096;

pub(super) fn peers(peers: &PeerAuthentication, report: &mut Report<'_>) {
    let selects = peers.selector.as_ref().is_some_and(|s| !s.match_labels.is_empty());
    if !peers.port_level_mtls.is_empty() && !selects {
        report.needs_selector("spec.portLevelMtls");
    }
}

pub(super) fn access(policy: &AuthorizationPolicy, report: &mut Report<'_>) {
    let fields = [
        ("targetRef", &policy.target_ref),
        ("targetRefs", &policy.target_refs),
        ("provider", &policy.provider),
    ];
    unbuilt(report, "spec", &fields);
    if matches!(policy.action, Action::Audit | Action::Custom) {
        let name = policy.action.name();
        report.not_built_value("spec.action", name, "use ALLOW or DENY");
    }
    if policy.rules.len() > RULES_MAX {
        report.too_many("spec.rules", RULES_MAX);
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        for (number, from) in rule.from.iter().enumerate() {
            source(&from.source, &format!("{at}.from[{number}].source"), report);
        }
        for (number, to) in rule.to.iter().enumerate() {
            operation(&to.operation, &format!("{at}.to[{number}].operation"), report);
        }
        for (number, when) in rule.when.iter().enumerate() {
            condition(when, &format!("{at}.when[{number}]"), report);
        }
    }
}

fn source(source: &Source, at: &str, report: &mut Report<'_>) {
    if *source == Source::default() {
        report.missing(at, "at least one of its lists; leave `from` out to mean anybody");
    }
    let domains =
        [("trustDomains", &source.trust_domains), ("notTrustDomains", &source.not_trust_domains)];
    unbuilt(report, at, &domains);
    let jwt = [
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
    ];
    for (name, values) in jwt {
        if !values.is_empty() {
            report.jwt_not_built(&format!("{at}.{name}"));
        }
    }
    each(report, at, "principals", &source.principals, nonempty);
    each(report, at, "notPrincipals", &source.not_principals, nonempty);
    each(report, at, "namespaces", &source.namespaces, nonempty);
    each(report, at, "notNamespaces", &source.not_namespaces, nonempty);
    each(report, at, "serviceAccounts", &source.service_accounts, nonempty);
    each(report, at, "notServiceAccounts", &source.not_service_accounts, nonempty);
    each(report, at, "ipBlocks", &source.ip_blocks, block);
    each(report, at, "notIpBlocks", &source.not_ip_blocks, block);
    each(report, at, "remoteIpBlocks", &source.remote_ip_blocks, block);
    each(report, at, "notRemoteIpBlocks", &source.not_remote_ip_blocks, block);
}

fn operation(operation: &Operation, at: &str, report: &mut Report<'_>) {
    if *operation == Operation::default() {
        report.missing(at, "at least one of its lists; leave `to` out to mean anything");
    }
    each(report, at, "hosts", &operation.hosts, nonempty);
    each(report, at, "notHosts", &operation.not_hosts, nonempty);
    each(report, at, "methods", &operation.methods, nonempty);
    each(report, at, "notMethods", &operation.not_methods, nonempty);
    each(report, at, "paths", &operation.paths, path);
    each(report, at, "notPaths", &operation.not_paths, path);
    each(report, at, "ports", &operation.ports, port);
    each(report, at, "notPorts", &operation.not_ports, port);
}

fn condition(when: &Condition, at: &str, report: &mut Report<'_>) {
    if when.values.is_empty() && when.not_values.is_empty() {
        report.missing(at, "`values` or `notValues`");
    }
    let check = match when.key.as_str() {
        "source.ip" | "remote.ip" | "destination.ip" => block,
        "destination.port" => port,
        "source.principal" | "source.namespace" | "source.serviceAccount" | "connection.sni" => {
            nonempty
        }
        key if key.starts_with("request.headers[") && key.ends_with(']') => nonempty,
        key if key.starts_with("request.auth.") => {
            return report.jwt_not_built(&format!("{at}.key"));
        }
        key if key.starts_with("experimental.envoy.filters.") => {
            let instead = "use a condition on source, destination or headers";
            return report.not_built_value(&format!("{at}.key"), key, instead);
        }
        key => return report.unknown_condition(&format!("{at}.key"), key),
    };
    if when.key == "request.headers[]" {
        report.unknown_condition(&format!("{at}.key"), &when.key);
    }
    each(report, at, "values", &when.values, check);
    each(report, at, "notValues", &when.not_values, check);
}

type Check = fn(&mut Report<'_>, &str, &str);

fn each(report: &mut Report<'_>, at: &str, name: &str, values: &[String], check: Check) {
    if values.len() > RULES_MAX {
        report.too_many(&format!("{at}.{name}"), RULES_MAX);
    }
    for (index, value) in values.iter().enumerate().take(RULES_MAX) {
        check(report, &format!("{at}.{name}[{index}]"), value);
    }
}

fn nonempty(report: &mut Report<'_>, field: &str, value: &str) {
    if value.is_empty() {
        report.empty_value(field);
    }
}

fn path(report: &mut Report<'_>, field: &str, value: &str) {
    nonempty(report, field, value);
    if value.contains(['{', '}']) {
        report.not_built_value(field, value, "use a prefix such as `/api/*`");
    }
}

fn block(report: &mut Report<'_>, field: &str, value: &str) {
    if value.parse::<IpNet>().is_err() && value.parse::<IpAddr>().is_err() {
        report.bad_cidr(field, value);
    }
}

fn port(report: &mut Report<'_>, field: &str, value: &str) {
    if !value.parse().is_ok_and(|port: u16| port > 0) {
        report.bad_port(field, value);
    }
}
