//! One rule as permissions (what is asked for) and principals (who asks).
//!
//! A rule is a list of conditions that must all hold; a condition holds if one of its values does
//! and none of its `not` values. What only a request has cannot be judged on a chain that passes
//! bytes on: there an ALLOW rule that asks for it is left out, so that it allows nothing, and of a
//! DENY rule only the condition is left out, so that it denies more.

use api::envoy::rbac::permission::{Rule as Asked, Set as AskedSet};
use api::envoy::rbac::principal::{Identifier, Set as IdSet};
use api::envoy::rbac::{Permission, Policy, Principal};
use model::kinds::security::{Action, Condition, Operation, Rule, Source};

use super::matcher::{self, Attribute};

/// The values of one condition.
struct Values<'r> {
    attribute: Attribute<'r>,
    values: &'r [String],
    not_values: &'r [String],
}

/// `None`: on this chain the rule means nothing.
pub(super) fn policy(rule: &Rule, namespace: &str, action: Action, tcp: bool) -> Option<Policy> {
    let judge = Judge { namespace, action, tcp };
    let (about_what, about_whom): (Vec<_>, Vec<_>) =
        rule.when.iter().map(values).partition(|when| when.attribute.is_asked());
    let operations: Vec<Vec<Values<'_>>> = match rule.to.as_slice() {
        [] => vec![vec![]],
        to => to.iter().map(|to| operation(&to.operation)).collect(),
    };
    let sources: Vec<Vec<Values<'_>>> = match rule.from.as_slice() {
        [] => vec![vec![]],
        from => from.iter().map(|from| source(&from.source)).collect(),
    };
    let permissions = operations.iter().map(|own| judge.permission(own.iter().chain(&about_what)));
    let principals = sources.iter().map(|own| judge.principal(own.iter().chain(&about_whom)));
    Some(Policy {
        permissions: permissions.collect::<Option<_>>()?,
        principals: principals.collect::<Option<_>>()?,
        ..Policy::default()
    })
}

fn operation(operation: &Operation) -> Vec<Values<'_>> {
    let Operation { hosts, not_hosts, methods, not_methods, .. } = operation;
    let Operation { paths, not_paths, ports, not_ports, .. } = operation;
    keep([
        (Attribute::Host, hosts, not_hosts),
        (Attribute::Method, methods, not_methods),
        (Attribute::Path, paths, not_paths),
        (Attribute::DestinationPort, ports, not_ports),
    ])
}

fn source(source: &Source) -> Vec<Values<'_>> {
    let Source { principals, not_principals, namespaces, not_namespaces, .. } = source;
    let Source { service_accounts, not_service_accounts, .. } = source;
    let Source { ip_blocks, not_ip_blocks, remote_ip_blocks, not_remote_ip_blocks, .. } = source;
    keep([
        (Attribute::Principal, principals, not_principals),
        (Attribute::ServiceAccount, service_accounts, not_service_accounts),
        (Attribute::Namespace, namespaces, not_namespaces),
        (Attribute::RemoteIp, remote_ip_blocks, not_remote_ip_blocks),
        (Attribute::SourceIp, ip_blocks, not_ip_blocks),
    ])
}

fn keep<'r, const N: usize>(
    all: [(Attribute<'r>, &'r Vec<String>, &'r Vec<String>); N],
) -> Vec<Values<'r>> {
    let set = all.into_iter().filter(|(_, yes, no)| !yes.is_empty() || !no.is_empty());
    set.map(|(attribute, values, not_values)| Values { attribute, values, not_values }).collect()
}

fn values(when: &Condition) -> Values<'_> {
    let attribute = Attribute::of(&when.key);
    Values { attribute, values: &when.values, not_values: &when.not_values }
}

/// What does not change from condition to condition.
struct Judge<'r> {
    namespace: &'r str,
    action: Action,
    tcp: bool,
}

impl Judge<'_> {
    /// Whether a condition is judged; `None`: its whole rule is left out.
    fn keeps(&self, condition: &Values<'_>) -> Option<bool> {
        let unknown = self.tcp && condition.attribute.is_http()
            || matches!(condition.attribute, Attribute::Unknown);
        match (unknown, self.action) {
            (false, _) => Some(true),
            (true, Action::Deny) => Some(false),
            (true, _) => None,
        }
    }

    fn permission<'v>(&self, all: impl Iterator<Item = &'v Values<'v>>) -> Option<Permission> {
        let mut rules = Vec::new();
        for condition in all {
            if !self.keeps(condition)? {
                continue;
            }
            let one = |value: &String| matcher::permission(&condition.attribute, value);
            if !condition.values.is_empty() {
                rules.push(any_permission(condition.values.iter().map(one).collect()));
            }
            if !condition.not_values.is_empty() {
                let none = any_permission(condition.not_values.iter().map(one).collect());
                rules.push(Permission { rule: Some(Asked::NotRule(Box::new(none))) });
            }
        }
        if rules.is_empty() {
            rules.push(Permission { rule: Some(Asked::Any(true)) });
        }
        Some(Permission { rule: Some(Asked::AndRules(AskedSet { rules })) })
    }

    fn principal<'v>(&self, all: impl Iterator<Item = &'v Values<'v>>) -> Option<Principal> {
        let mut ids = Vec::new();
        for condition in all {
            if !self.keeps(condition)? {
                continue;
            }
            let one =
                |value: &String| matcher::principal(&condition.attribute, value, self.namespace);
            if !condition.values.is_empty() {
                ids.push(any_principal(condition.values.iter().map(one).collect()));
            }
            if !condition.not_values.is_empty() {
                let none = any_principal(condition.not_values.iter().map(one).collect());
                ids.push(Principal { identifier: Some(Identifier::NotId(Box::new(none))) });
            }
        }
        if ids.is_empty() {
            ids.push(Principal { identifier: Some(Identifier::Any(true)) });
        }
        Some(Principal { identifier: Some(Identifier::AndIds(IdSet { ids })) })
    }
}

fn any_permission(rules: Vec<Permission>) -> Permission {
    Permission { rule: Some(Asked::OrRules(AskedSet { rules })) }
}

fn any_principal(ids: Vec<Principal>) -> Principal {
    Principal { identifier: Some(Identifier::OrIds(IdSet { ids })) }
}
