//! One value of one condition.

use std::net::IpAddr;

use api::envoy::core::CidrRange;
use api::envoy::matcher::{PathMatcher, StringMatcher, path_matcher};
use api::envoy::protobuf::UInt32Value;
use api::envoy::rbac::principal::{Authenticated, Identifier};
use api::envoy::rbac::{Permission, Principal, permission::Rule as Asked};
use api::envoy::route::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};

use crate::parts::{Pattern, regex, string};

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute<'r> {
    Host,
    Method,
    Path,
    DestinationPort,
    DestinationIp,
    ServerName,
    Principal,
    ServiceAccount,
    Namespace,
    RemoteIp,
    SourceIp,
    Header(&'r str),
    /// The model refuses what this would stand for; should it come here, nothing matches it.
    Unknown,
}

impl<'r> Attribute<'r> {
    /// Of a `when` key.
    pub(super) fn of(key: &'r str) -> Self {
        match key {
            "source.ip" => Self::SourceIp,
            "remote.ip" => Self::RemoteIp,
            "source.principal" => Self::Principal,
            "source.namespace" => Self::Namespace,
            "source.serviceAccount" => Self::ServiceAccount,
            "destination.ip" => Self::DestinationIp,
            "destination.port" => Self::DestinationPort,
            "connection.sni" => Self::ServerName,
            key => {
                let name = key.strip_prefix("request.headers[");
                name.and_then(|name| name.strip_suffix(']')).map_or(Self::Unknown, Self::Header)
            }
        }
    }

    /// It is about what is asked for, not about who asks.
    pub(super) fn is_asked(self) -> bool {
        matches!(self, Self::DestinationPort | Self::DestinationIp | Self::ServerName)
    }

    /// Only a request has it.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Host | Self::Method | Self::Path | Self::Header(_))
    }
}

pub(super) fn permission(attribute: &Attribute<'_>, value: &str) -> Permission {
    let rule = match attribute {
        Attribute::Host => Asked::Header(header(":authority", value, true)),
        Attribute::Method => Asked::Header(header(":method", value, false)),
        Attribute::Path => {
            Asked::UrlPath(PathMatcher { rule: Some(path_matcher::Rule::Path(text(value, ""))) })
        }
        Attribute::DestinationPort => Asked::DestinationPort(value.parse().unwrap_or_default()),
        Attribute::DestinationIp => Asked::DestinationIp(block(value)),
        Attribute::ServerName => Asked::RequestedServerName(text(value, "")),
        _ => Asked::NotRule(Box::new(Permission { rule: Some(Asked::Any(true)) })),
    };
    Permission { rule: Some(rule) }
}

pub(super) fn principal(attribute: &Attribute<'_>, value: &str, namespace: &str) -> Principal {
    let identifier = match attribute {
        Attribute::Principal => name(text(value, "spiffe://")),
        Attribute::Namespace => {
            let namespace = quoted(value);
            name(string(Pattern::SafeRegex(regex(format!(".*/ns/{namespace}/.*")))))
        }
        Attribute::ServiceAccount => {
            let (namespace, account) = value.split_once('/').unwrap_or((namespace, value));
            let (namespace, account) = (quoted(namespace), quoted(account));
            let id = format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{account}(/.+)?");
            name(string(Pattern::SafeRegex(regex(id))))
        }
        Attribute::RemoteIp => Identifier::RemoteIp(block(value)),
        Attribute::SourceIp => Identifier::DirectRemoteIp(block(value)),
        Attribute::Header(header_name) => Identifier::Header(header(header_name, value, false)),
        _ => Identifier::NotId(Box::new(Principal { identifier: Some(Identifier::Any(true)) })),
    };
    Principal { identifier: Some(identifier) }
}

fn name(text: StringMatcher) -> Identifier {
    Identifier::Authenticated(Authenticated { principal_name: Some(text) })
}

/// `*` alone: it must not be empty. `*` at an end: anything there. Else the text itself. What
/// stands before every value is `prefix`.
fn text(value: &str, prefix: &str) -> StringMatcher {
    if value == "*" {
        return string(Pattern::SafeRegex(regex(".+".to_owned())));
    }
    string(match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(end), _) if prefix.is_empty() => Pattern::Suffix(end.to_owned()),
        (Some(end), _) => Pattern::SafeRegex(regex(format!("{prefix}.*{}", quote(end)))),
        (None, Some(begin)) => Pattern::Prefix(format!("{prefix}{begin}")),
        (None, None) => Pattern::Exact(format!("{prefix}{value}")),
    })
}

fn header(name: &str, value: &str, ignore_case: bool) -> HeaderMatcher {
    let specifier = match value {
        "*" => HeaderMatchSpecifier::PresentMatch(true),
        value => {
            let mut text = text(value, "");
            text.ignore_case = ignore_case;
            HeaderMatchSpecifier::StringMatch(text)
        }
    };
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..HeaderMatcher::default()
    }
}

/// An address is a block of one. What is neither was refused by the model; the unspecified address
/// stands for it, from which no packet comes.
fn block(value: &str) -> CidrRange {
    let (address, length) = value.split_once('/').map_or((value, None), |(a, l)| (a, Some(l)));
    let parsed: IpAddr = address.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let whole = if parsed.is_ipv4() { 32 } else { 128 };
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(whole);
    CidrRange {
        address_prefix: parsed.to_string(),
        prefix_len: Some(UInt32Value { value: length }),
    }
}

/// Text as a regular expression that matches it, in RE2's syntax.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// The same, but a `*` stands for anything.
fn quoted(text: &str) -> String {
    quote(text).replace(r"\*", ".*")
}
