//! `AuthorizationPolicy` as RBAC filters.

mod matcher;
mod rule;

use std::collections::BTreeMap;

use api::envoy::listener::Filter;
use api::envoy::protobuf::Any;
use api::envoy::rbac::{Permission, Policy, Principal, permission, principal, rbac};
use api::{any::TYPE_URL_PREFIX, envoy::hcm::HttpFilter};
use model::Model;
use model::kinds::security::{Action, AuthorizationPolicy};
use prost::Message;

use crate::Key;
use crate::http::http_filter;
use crate::parts::filter;

/// Istio gives it to every access filter, also those without shadow rules.
const SHADOW_PREFIX: &str = "istio_dry_run_allow_";

/// The access filters of one workload: what is denied first, then what is allowed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judges {
    /// For chains that read requests.
    pub(crate) http: Vec<HttpFilter>,
    /// For chains that pass bytes on.
    pub(crate) network: Vec<Filter>,
}

impl Judges {
    /// Those of the proxy's own workload.
    pub(crate) fn of(model: &Model, key: &Key) -> Self {
        let policies: Vec<_> = model
            .policies_for(&key.namespace, &key.labels)
            .map(|policy| Named {
                namespace: &policy.namespace,
                name: &policy.name,
                spec: &policy.spec,
            })
            .collect();
        let mut judges = Self::default();
        for action in [Action::Deny, Action::Allow] {
            let own = policies.iter().filter(|policy| policy.spec.action == action);
            let own: Vec<&Named<'_>> = own.collect();
            if own.is_empty() {
                continue;
            }
            let http = any(
                "envoy.extensions.filters.http.rbac.v3.RBAC",
                &HttpRbac {
                    rules: Some(rules(&own, action, false)),
                    shadow_rules_stat_prefix: SHADOW_PREFIX.to_owned(),
                },
            );
            judges.http.push(http_filter("envoy.filters.http.rbac", http));
            let network = any(
                "envoy.extensions.filters.network.rbac.v3.RBAC",
                &NetworkRbac {
                    rules: Some(rules(&own, action, true)),
                    stat_prefix: "tcp.".to_owned(),
                    shadow_rules_stat_prefix: SHADOW_PREFIX.to_owned(),
                },
            );
            judges.network.push(filter("envoy.filters.network.rbac", network));
        }
        judges
    }
}

/// A policy and what it is called.
struct Named<'m> {
    namespace: &'m str,
    name: &'m str,
    spec: &'m AuthorizationPolicy,
}

/// The policies of one action. `tcp`: what only a request has is not known.
fn rules(policies: &[&Named<'_>], action: Action, tcp: bool) -> Rbac {
    let mut named = BTreeMap::new();
    for policy in policies {
        let name =
            |index| format!("ns[{}]-policy[{}]-rule[{index}]", policy.namespace, policy.name);
        if policy.spec.rules.is_empty() {
            named.insert(name(0), nothing());
        }
        for (index, rule) in policy.spec.rules.iter().enumerate() {
            if let Some(policy) = rule::policy(rule, policy.namespace, action, tcp) {
                named.insert(name(index), policy);
            }
        }
    }
    let action = match action {
        Action::Deny => rbac::Action::Deny,
        _ => rbac::Action::Allow,
    };
    Rbac { action: action as i32, policies: named }
}

/// A policy without rules matches nothing.
fn nothing() -> Policy {
    let any = Permission { rule: Some(permission::Rule::Any(true)) };
    let anybody = Principal { identifier: Some(principal::Identifier::Any(true)) };
    Policy {
        permissions: vec![Permission { rule: Some(permission::Rule::NotRule(Box::new(any))) }],
        principals: vec![Principal {
            identifier: Some(principal::Identifier::NotId(Box::new(anybody))),
        }],
        ..Policy::default()
    }
}

/// `envoy.config.rbac.v3.RBAC` with its policies in order: the generated type keeps them in a hash
/// map, whose order, and so whose bytes, differ from run to run.
#[derive(Clone, PartialEq, Message)]
struct Rbac {
    #[prost(enumeration = "rbac::Action", tag = "1")]
    action: i32,
    #[prost(btree_map = "string, message", tag = "2")]
    policies: BTreeMap<String, Policy>,
}

/// `envoy.extensions.filters.http.rbac.v3.RBAC`
#[derive(Clone, PartialEq, Message)]
struct HttpRbac {
    #[prost(message, optional, tag = "1")]
    rules: Option<Rbac>,
    #[prost(string, tag = "3")]
    shadow_rules_stat_prefix: String,
}

/// `envoy.extensions.filters.network.rbac.v3.RBAC`
#[derive(Clone, PartialEq, Message)]
struct NetworkRbac {
    #[prost(message, optional, tag = "1")]
    rules: Option<Rbac>,
    #[prost(string, tag = "3")]
    stat_prefix: String,
    #[prost(string, tag = "5")]
    shadow_rules_stat_prefix: String,
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("{TYPE_URL_PREFIX}{name}"), value: message.encode_to_vec() }
}
