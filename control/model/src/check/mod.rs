//! Whether one object can be used, looked at alone.

mod destination;
mod kubernetes;
mod policy;
mod route;

use source::{Object, Spec};

use crate::diagnostic::Report;

/// Says what speaks against the object.
pub(crate) fn object(object: &Object, report: &mut Report<'_>) {
    match &object.spec {
        Spec::Namespace(_) | Spec::ServiceAccount(_) => {}
        Spec::Service(service) => kubernetes::service(service, report),
        Spec::EndpointSlice(slice) => kubernetes::slice(slice, report),
        Spec::Pod(_) => {}
        Spec::VirtualService(service) => route::virtual_service(service, report),
        Spec::DestinationRule(rule) => destination::rule(rule, report),
        Spec::PeerAuthentication(peers) => policy::peers(peers, report),
        Spec::AuthorizationPolicy(access) => policy::access(access, report),
    }
}

/// Says "not built" for each field that was written.
fn unbuilt<T>(report: &mut Report<'_>, place: &str, fields: &[(&str, &Option<T>)]) {
    for (name, field) in fields {
        if field.is_some() {
            report.not_built(&format!("{place}.{name}"));
        }
    }
}

/// A host name, or one with a `*` at its beginning.
fn is_host(host: &str) -> bool {
    let rest = match host {
        "*" => return true,
        host => host.strip_prefix("*.").unwrap_or(host),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !rest.is_empty()
        && rest.len() <= 253
        && rest.bytes().all(allowed)
        && !rest.starts_with(['.', '-'])
}

fn hosts(report: &mut Report<'_>, field: &str, host: &str) {
    if !is_host(host) {
        report.bad_host(field, host);
    }
}

/// The whole text must match, in linear time, as in RE2.
fn regex(report: &mut Report<'_>, field: &str, text: &str) {
    const SIZE_MAX: usize = 1 << 20;
    let whole = format!("^(?:{text})$");
    if let Err(error) = regex::RegexBuilder::new(&whole).size_limit(SIZE_MAX).build() {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        report.bad_regex(field, last.trim_start_matches("error: "));
    }
}
