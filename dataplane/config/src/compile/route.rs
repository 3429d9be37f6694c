//! `RouteConfiguration` and its virtual hosts.

use std::collections::HashMap;
use std::sync::Arc;

use api::envoy::route::virtual_host::TlsRequirementType;
use api::envoy::route::{RouteConfiguration, VirtualHost};

use super::action::{self, Defaults};
use super::at::{At, Fault, decide};
use super::headers::{self, Lists};
use super::scope::Scope;
use super::{http_filter, mirror, value};
use crate::limits::{MAX_DIRECT_BODY, MAX_ROUTES, MAX_VIRTUAL_HOSTS};
use crate::snapshot::{self, RequireTls, RouteAction, RouteTable};

/// A route configuration. `inline`: it stands in a listener, so that by default the clusters that
/// it names have to exist.
pub(crate) fn compile(
    at: &At<'_>,
    config: &RouteConfiguration,
    inline: bool,
    scope: &mut Scope<'_>,
) -> Result<RouteTable, Fault> {
    decide!(at, config => RouteConfiguration {
        used: name, virtual_hosts, response_headers_to_add, response_headers_to_remove,
            request_headers_to_add, request_headers_to_remove, most_specific_header_mutations_wins,
            validate_clusters, max_direct_response_body_size_bytes, ignore_port_in_host_matching,
            typed_per_filter_config, request_mirror_policies;
        refused: vhds, internal_only_headers, cluster_specifier_plugins, vhost_header,
            ignore_path_parameters_in_path_matching, route_specifiers;
        without_effect: metadata;
    });
    let mut defaults = Defaults {
        max_body: value::u32_or(max_direct_response_body_size_bytes, MAX_DIRECT_BODY),
        must_exist: value::bool_or(validate_clusters, inline),
        retry: None,
        mirrors: Arc::default(),
    };
    let place = at.field("request_mirror_policies");
    defaults.mirrors = mirror::compile(&place, request_mirror_policies, &defaults, scope)?;
    let lists = Lists {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let mut table = RouteTable {
        name: name.as_str().into(),
        ignore_port: *ignore_port_in_host_matching,
        headers: headers::changes(at, &lists)?,
        most_specific_wins: *most_specific_header_mutations_wins,
        overrides: http_filter::overrides(at, typed_per_filter_config)?,
        ..RouteTable::default()
    };
    let at = at.field("virtual_hosts");
    at.at_most(MAX_VIRTUAL_HOSTS, virtual_hosts.len())?;
    let routes = virtual_hosts.iter().map(|host| host.routes.len()).sum();
    at.at_most(MAX_ROUTES, routes)?;
    for (index, host) in virtual_hosts.iter().enumerate() {
        let at = at.item(index);
        table.hosts.push(Arc::new(virtual_host(&at, host, &defaults, scope)?));
        domains(&at.field("domains"), &host.domains, index, &mut table)?;
    }
    sort_longest_first(&at, &mut table.suffixes, '*', "")?;
    sort_longest_first(&at, &mut table.prefixes, ' ', "*")?;
    table.has_overrides = has_overrides(&table);
    Ok(table)
}

/// Whether anything is said of an HTTP filter at any level.
fn has_overrides(table: &RouteTable) -> bool {
    let clusters = |route: &snapshot::Route| match &route.action {
        RouteAction::Forward(forward) => forward.clusters.iter().any(|c| !c.overrides.is_empty()),
        RouteAction::Direct { .. } | RouteAction::Redirect(_) => false,
    };
    let route = |route: &Arc<snapshot::Route>| !route.overrides.is_empty() || clusters(route);
    !table.overrides.is_empty()
        || table
            .hosts
            .iter()
            .any(|host| !host.overrides.is_empty() || host.routes.iter().any(route))
}

fn virtual_host(
    at: &At<'_>,
    host: &VirtualHost,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<snapshot::VirtualHost, Fault> {
    decide!(at, host => VirtualHost {
        used: name, routes, request_headers_to_add, request_headers_to_remove,
            response_headers_to_add, response_headers_to_remove, include_request_attempt_count,
            retry_policy, require_tls, typed_per_filter_config,
            rate_limits, request_mirror_policies;
        used_elsewhere: domains;
        refused: matcher, cors,
            include_attempt_count_in_response, retry_policy_typed_config, hedge_policy,
            include_is_timeout_retry_header, route_specifiers;
        without_effect: virtual_clusters, metadata, per_request_buffer_limit_bytes,
            request_body_buffer_limit;
    });
    let lists = Lists {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let retry = retry_policy.as_ref();
    let retry = retry.map(|policy| super::retry::compile(&at.field("retry_policy"), policy));
    let place = at.field("request_mirror_policies");
    let mirrors = mirror::compile(&place, request_mirror_policies, defaults, scope)?;
    let defaults = Defaults { retry: retry.transpose()?, mirrors, ..defaults.clone() };
    let mut overrides = http_filter::overrides(at, typed_per_filter_config)?;
    overrides.rate_limits = http_filter::rate_limits(&at.field("rate_limits"), rate_limits)?;
    let place = at.field("routes");
    let routes = routes.iter().enumerate().map(|(index, route)| {
        action::route(&place.item(index), route, &defaults, scope).map(Arc::new)
    });
    Ok(snapshot::VirtualHost {
        name: name.as_str().into(),
        routes: routes.collect::<Result<_, _>>()?,
        require_tls: match value::enumeration(&at.field("require_tls"), *require_tls)? {
            TlsRequirementType::None => RequireTls::Never,
            TlsRequirementType::ExternalOnly => RequireTls::External,
            TlsRequirementType::All => RequireTls::Always,
        },
        attempt_count: *include_request_attempt_count,
        overrides,
        headers: headers::changes(at, &lists)?,
    })
}

/// Enters a host's domains into the table's four searches.
fn domains(
    at: &At<'_>,
    domains: &[String],
    host: usize,
    table: &mut RouteTable,
) -> Result<(), Fault> {
    if domains.is_empty() {
        return Err(at.missing("a virtual host needs at least one domain"));
    }
    for (index, domain) in domains.iter().enumerate() {
        let at = at.item(index);
        let lower = domain.to_ascii_lowercase();
        let twice = || Err(at.invalid(format!("the domain `{domain}` is there twice")));
        if lower.is_empty() {
            return Err(at.missing("a domain may not be empty"));
        }
        if lower == "*" {
            if table.any.replace(host).is_some() {
                return twice();
            }
        } else if let Some(suffix) = lower.strip_prefix('*') {
            no_star(&at, suffix, domain)?;
            table.suffixes.push((suffix.as_bytes().into(), host));
        } else if let Some(prefix) = lower.strip_suffix('*') {
            no_star(&at, prefix, domain)?;
            table.prefixes.push((prefix.as_bytes().into(), host));
        } else {
            no_star(&at, &lower, domain)?;
            if table.exact.insert(lower.into_bytes().into(), host).is_some() {
                return twice();
            }
        }
    }
    Ok(())
}

fn no_star(at: &At<'_>, rest: &str, domain: &str) -> Result<(), Fault> {
    match rest.contains('*') {
        true => Err(at.invalid(format!("`{domain}`: a star may stand at one end only"))),
        false => Ok(()),
    }
}

fn sort_longest_first(
    at: &At<'_>,
    wildcards: &mut [(Box<[u8]>, usize)],
    before: char,
    after: &str,
) -> Result<(), Fault> {
    let mut seen = HashMap::with_capacity(wildcards.len());
    for (text, host) in wildcards.iter() {
        if seen.insert(text, host).is_some() {
            let text = String::from_utf8_lossy(text);
            let domain = format!("{before}{text}{after}");
            return Err(at.invalid(format!("the domain `{}` is there twice", domain.trim())));
        }
    }
    wildcards.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    Ok(())
}
