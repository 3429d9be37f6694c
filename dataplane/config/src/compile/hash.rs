//! `RouteAction.hash_policy`, and that of `TcpProxy`.

use std::fmt::Write;

use api::envoy::route::route_action::HashPolicy;
use api::envoy::route::route_action::hash_policy::{Cookie, Header, PolicySpecifier};
use api::envoy::types::{self, hash_policy::PolicySpecifier as TcpSpecifier};

use super::at::{At, Fault, decide};
use super::{matcher, value};
use crate::limits::MAX_HASH_POLICIES;
use crate::snapshot::{self, HashMethod};

pub(crate) fn compile(
    at: &At<'_>,
    policies: &[HashPolicy],
) -> Result<Vec<snapshot::HashPolicy>, Fault> {
    at.at_most(MAX_HASH_POLICIES, policies.len())?;
    let mut compiled = Vec::with_capacity(policies.len());
    for (index, policy) in policies.iter().enumerate() {
        let at = at.item(index);
        decide!(at, policy => HashPolicy {
            used: terminal, policy_specifier;
        });
        if let Some(method) = method(&at, policy_specifier.as_ref())? {
            compiled.push(snapshot::HashPolicy { method, terminal: *terminal });
        }
    }
    Ok(compiled)
}

/// What is hashed. `None`: nothing, as Envoy takes a `source_ip` that is false.
fn method(at: &At<'_>, specifier: Option<&PolicySpecifier>) -> Result<Option<HashMethod>, Fault> {
    match specifier {
        Some(PolicySpecifier::Header(header)) => {
            self::header(&at.field("header"), header).map(Some)
        }
        Some(PolicySpecifier::Cookie(cookie)) => {
            self::cookie(&at.field("cookie"), cookie).map(Some)
        }
        Some(PolicySpecifier::ConnectionProperties(properties)) => {
            Ok(properties.source_ip.then_some(HashMethod::SourceIp))
        }
        Some(PolicySpecifier::QueryParameter(parameter)) => match parameter.name.is_empty() {
            true => {
                let at = at.field("query_parameter");
                Err(at.field("name").missing("it may not be empty"))
            }
            false => Ok(Some(HashMethod::QueryParameter(parameter.name.as_bytes().into()))),
        },
        Some(PolicySpecifier::FilterState(_)) => {
            Err(at.field("filter_state").unsupported("there is no filter state here"))
        }
        None => Err(at.missing("nothing is said of what to hash")),
    }
}

fn header(at: &At<'_>, header: &Header) -> Result<HashMethod, Fault> {
    decide!(at, header => Header {
        used: header_name, regex_rewrite;
    });
    let place = at.field("regex_rewrite");
    let rewrite = regex_rewrite.as_ref().map(|given| matcher::substitution(&place, given));
    Ok(HashMethod::Header {
        name: matcher::header_name(&at.field("header_name"), header_name)?,
        rewrite: rewrite.transpose()?,
    })
}

fn cookie(at: &At<'_>, cookie: &Cookie) -> Result<HashMethod, Fault> {
    decide!(at, cookie => Cookie {
        used: name, ttl, path, attributes;
    });
    if name.is_empty() {
        return Err(at.field("name").missing("it may not be empty"));
    }
    let safe = |text: &str| text.bytes().all(|byte| byte != b';' && !byte.is_ascii_control());
    if !safe(name) || !safe(path) {
        return Err(at.invalid("no control characters and no `;` in a cookie"));
    }
    let mut behind = String::new();
    let Some(ttl) = value::duration(&at.field("ttl"), ttl)? else {
        return Ok(HashMethod::Cookie { name: name.as_bytes().into(), generate: None });
    };
    // Writing to a string cannot fail.
    if ttl.as_secs() > 0 {
        let _ = write!(behind, "; Max-Age={}", ttl.as_secs());
    }
    if !path.is_empty() {
        let _ = write!(behind, "; Path={path}");
    }
    let at = at.field("attributes");
    for (index, attribute) in attributes.iter().enumerate() {
        if attribute.name.is_empty() || !safe(&attribute.name) || !safe(&attribute.value) {
            return Err(at.item(index).invalid("a name, and neither control characters nor `;`"));
        }
        let _ = match attribute.value.as_str() {
            "" => write!(behind, "; {}", attribute.name),
            value => write!(behind, "; {}={value}", attribute.name),
        };
    }
    behind.push_str("; HttpOnly");
    let generate = Some(behind.into_bytes().into());
    Ok(HashMethod::Cookie { name: name.as_bytes().into(), generate })
}

/// The hash policy of a `TcpProxy`: whether the client's address is hashed.
pub(crate) fn tcp(at: &At<'_>, policies: &[types::HashPolicy]) -> Result<bool, Fault> {
    at.at_most(1, policies.len())?;
    let Some(policy) = policies.first() else { return Ok(false) };
    let at = at.item(0);
    match &policy.policy_specifier {
        Some(TcpSpecifier::SourceIp(_)) => Ok(true),
        Some(TcpSpecifier::FilterState(_)) => {
            Err(at.field("filter_state").unsupported("there is no filter state here"))
        }
        None => Err(at.missing("nothing is said of what to hash")),
    }
}
