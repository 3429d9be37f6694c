//! `envoy.config.rbac.v3.RBAC` and the two filters that carry it.

use std::sync::Arc;

use api::envoy::rbac::{Permission, Policy, Principal, Rbac, permission, principal, rbac};
use api::envoy::types::Int32Range;
use api::envoy::{http_rbac, network_rbac};

use super::at::{At, Fault, decide};
use super::{matcher, value};
use crate::limits::{MAX_POLICIES, MAX_RULES};
use crate::snapshot::{self, Action, HttpRbac, NetworkRbac, Rules};

/// The HTTP filter.
pub(crate) fn http(at: &At<'_>, name: &str, filter: &http_rbac::Rbac) -> Result<HttpRbac, Fault> {
    decide!(at, filter => http_rbac::Rbac {
        used: rules;
        refused: matcher;
        without_effect: rules_stat_prefix, shadow_rules, shadow_matcher,
            shadow_rules_stat_prefix, track_per_rule_stats;
    });
    let rules = rules.as_ref().map(|rules| compile(&at.field("rules"), rules)).transpose()?;
    Ok(HttpRbac { name: name.into(), rules })
}

/// The network filter.
pub(crate) fn network(at: &At<'_>, filter: &network_rbac::Rbac) -> Result<NetworkRbac, Fault> {
    decide!(at, filter => network_rbac::Rbac {
        used: rules, stat_prefix;
        refused: matcher, delay_deny;
        // Nothing that a rule can ask about changes while a connection lives, so judging it once
        // and judging it again and again come to the same.
        without_effect: shadow_rules, shadow_matcher, shadow_rules_stat_prefix,
            enforcement_type;
    });
    let rules = rules.as_ref().map(|rules| compile(&at.field("rules"), rules)).transpose()?;
    Ok(NetworkRbac { stat_prefix: stat_prefix.as_str().into(), rules })
}

fn compile(at: &At<'_>, rules: &Rbac) -> Result<Rules, Fault> {
    decide!(at, rules => Rbac {
        used: action, policies, audit_logging_options;
    });
    if let Some(audit) = audit_logging_options {
        let at = at.field("audit_logging_options");
        decide!(at, audit => rbac::AuditLoggingOptions {
            refused: logger_configs;
            without_effect: audit_condition;
        });
    }
    let action = match value::enumeration(&at.field("action"), *action)? {
        rbac::Action::Allow => Action::Allow,
        rbac::Action::Deny => Action::Deny,
        rbac::Action::Log => Action::Log,
    };
    let at = at.field("policies");
    at.at_most(MAX_POLICIES, policies.len())?;
    let mut sorted: Vec<_> = policies.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let mut budget = MAX_RULES;
    let policies = sorted.into_iter().map(|(name, policy)| {
        let place = at.key(name);
        compile_policy(&place, name, policy, &mut budget)
    });
    Ok(Rules { action, policies: policies.collect::<Result<_, _>>()? })
}

fn compile_policy(
    at: &At<'_>,
    name: &str,
    policy: &Policy,
    budget: &mut usize,
) -> Result<snapshot::Policy, Fault> {
    decide!(at, policy => Policy {
        used: permissions, principals;
        refused: condition, checked_condition, cel_config;
    });
    if permissions.is_empty() || principals.is_empty() {
        return Err(at.missing("a policy needs at least one permission and one principal"));
    }
    Ok(snapshot::Policy {
        name: Arc::from(name),
        permissions: all(&at.field("permissions"), permissions, budget, compile_permission)?,
        principals: all(&at.field("principals"), principals, budget, compile_principal)?,
    })
}

fn all<M, T>(
    at: &At<'_>,
    messages: &[M],
    budget: &mut usize,
    compile: fn(&At<'_>, &M, &mut usize) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    at.at_most(*budget, messages.len())?;
    *budget -= messages.len();
    let each = messages.iter().enumerate();
    each.map(|(index, message)| compile(&at.item(index), message, budget)).collect()
}

fn compile_permission(
    at: &At<'_>,
    message: &Permission,
    budget: &mut usize,
) -> Result<snapshot::Permission, Fault> {
    use permission::Rule;
    use snapshot::Permission as To;
    let Some(rule) = &message.rule else { return Err(at.missing("a permission without a rule")) };
    let mut set = |name: &str, set: &permission::Set| {
        let at = at.field(name);
        all(&at.field("rules"), &set.rules, budget, compile_permission)
    };
    #[allow(deprecated)]
    Ok(match rule {
        Rule::AndRules(rules) => To::And(set("and_rules", rules)?),
        Rule::OrRules(rules) => To::Or(set("or_rules", rules)?),
        Rule::Any(_) => To::Any,
        Rule::Header(header) => To::Header(matcher::header(&at.field("header"), header)?),
        Rule::UrlPath(path) => To::Path(matcher::path(&at.field("url_path"), path)?),
        Rule::DestinationIp(range) => {
            To::DestinationIp(value::cidr(&at.field("destination_ip"), range)?)
        }
        Rule::DestinationPort(port) => {
            To::DestinationPort(value::port(&at.field("destination_port"), *port)?)
        }
        Rule::DestinationPortRange(range) => {
            port_range(&at.field("destination_port_range"), range)?
        }
        Rule::NotRule(rule) => {
            To::Not(Box::new(compile_permission(&at.field("not_rule"), rule, budget)?))
        }
        Rule::RequestedServerName(name) => {
            To::ServerName(matcher::string(&at.field("requested_server_name"), name)?)
        }
        Rule::Metadata(_) => return unsupported(at, "metadata"),
        Rule::SourcedMetadata(_) => return unsupported(at, "sourced_metadata"),
        Rule::Matcher(_) => return unsupported(at, "matcher"),
        Rule::UriTemplate(_) => return unsupported(at, "uri_template"),
    })
}

fn port_range(at: &At<'_>, range: &Int32Range) -> Result<snapshot::Permission, Fault> {
    let Int32Range { start, end } = range;
    match (u32::try_from(*start), u32::try_from(*end)) {
        (Ok(start), Ok(end)) if start < end && end <= 65_536 => {
            Ok(snapshot::Permission::DestinationPorts(start, end))
        }
        _ => Err(at.invalid(format!("{start} to {end} is no range of ports"))),
    }
}

fn compile_principal(
    at: &At<'_>,
    message: &Principal,
    budget: &mut usize,
) -> Result<snapshot::Principal, Fault> {
    use principal::Identifier;
    use snapshot::Principal as To;
    let Some(identifier) = &message.identifier else {
        return Err(at.missing("a principal without an identifier"));
    };
    let mut set = |name: &str, set: &principal::Set| {
        let at = at.field(name);
        all(&at.field("ids"), &set.ids, budget, compile_principal)
    };
    #[allow(deprecated)]
    Ok(match identifier {
        Identifier::AndIds(ids) => To::And(set("and_ids", ids)?),
        Identifier::OrIds(ids) => To::Or(set("or_ids", ids)?),
        Identifier::Any(_) => To::Any,
        Identifier::Authenticated(principal::Authenticated { principal_name }) => {
            let at = at.field("authenticated");
            let at = at.field("principal_name");
            let name = principal_name.as_ref().map(|name| matcher::string(&at, name));
            To::Authenticated(name.transpose()?)
        }
        // Deprecated; the connection's own address, which nothing here rewrites.
        Identifier::SourceIp(range) => {
            To::DirectRemoteIp(value::cidr(&at.field("source_ip"), range)?)
        }
        Identifier::DirectRemoteIp(range) => {
            To::DirectRemoteIp(value::cidr(&at.field("direct_remote_ip"), range)?)
        }
        Identifier::RemoteIp(range) => To::RemoteIp(value::cidr(&at.field("remote_ip"), range)?),
        Identifier::Header(header) => To::Header(matcher::header(&at.field("header"), header)?),
        Identifier::UrlPath(path) => To::Path(matcher::path(&at.field("url_path"), path)?),
        Identifier::NotId(id) => {
            To::Not(Box::new(compile_principal(&at.field("not_id"), id, budget)?))
        }
        Identifier::Metadata(_) => return unsupported(at, "metadata"),
        Identifier::FilterState(_) => return unsupported(at, "filter_state"),
        Identifier::SourcedMetadata(_) => return unsupported(at, "sourced_metadata"),
        Identifier::Custom(_) => return unsupported(at, "custom"),
    })
}

fn unsupported<T>(at: &At<'_>, field: &str) -> Result<T, Fault> {
    Err(at.field(field).unsupported("this field is not supported"))
}
