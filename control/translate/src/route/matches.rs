//! Which requests a route is for.

use api::envoy::matcher::StringMatcher;
use api::envoy::route::header_matcher::HeaderMatchSpecifier;
use api::envoy::route::query_parameter_matcher::QueryParameterMatchSpecifier;
use api::envoy::route::route_match::PathSpecifier;
use api::envoy::route::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use model::kinds::networking::{HttpMatch, StringMatch};
use model::view::selects;

use crate::Key;
use crate::parts::{Pattern, flag, regex, string};

/// What is known without looking at a request: port, gateway and who sends.
pub(super) fn holds(asked: &HttpMatch, key: &Key, port: u16) -> bool {
    let gateways = &asked.gateways;
    asked.port.is_none_or(|asked| asked == port)
        && (gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh"))
        && (asked.source_namespace.is_empty() || asked.source_namespace == key.namespace)
        && selects(&asked.source_labels, &key.labels)
}

/// What must be looked at in a request.
pub(super) fn of(asked: &HttpMatch) -> RouteMatch {
    let parts =
        [(":method", &asked.method), (":authority", &asked.authority), (":scheme", &asked.scheme)];
    let parts = parts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let with = asked.headers.iter().map(|(name, value)| (name.as_str(), value));
    let mut headers: Vec<HeaderMatcher> =
        with.chain(parts).map(|(name, value)| header(name, value)).collect();
    headers.extend(asked.without_headers.iter().map(|(name, value)| {
        let mut without = header(name, value);
        without.invert_match = true;
        // A header that is not there is not the one that is unwanted.
        without.treat_missing_header_as_empty = text(value).is_some();
        without
    }));
    RouteMatch {
        path_specifier: Some(path(asked.uri.as_ref())),
        case_sensitive: flag(false).filter(|_| asked.ignore_uri_case),
        headers,
        query_parameters: asked.query_params.iter().map(|(name, v)| parameter(name, v)).collect(),
        ..RouteMatch::default()
    }
}

fn path(uri: Option<&StringMatch>) -> PathSpecifier {
    match uri.map(|uri| (&uri.exact, &uri.prefix, &uri.regex)) {
        Some((Some(exact), _, _)) => PathSpecifier::Path(exact.clone()),
        Some((_, Some(prefix), _)) => PathSpecifier::Prefix(prefix.clone()),
        Some((_, _, Some(expression))) => PathSpecifier::SafeRegex(regex(expression.clone())),
        _ => PathSpecifier::Prefix("/".to_owned()),
    }
}

fn header(name: &str, value: &StringMatch) -> HeaderMatcher {
    let specifier = match text(value) {
        Some(text) => HeaderMatchSpecifier::StringMatch(text),
        None => HeaderMatchSpecifier::PresentMatch(true),
    };
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..HeaderMatcher::default()
    }
}

fn parameter(name: &str, value: &StringMatch) -> QueryParameterMatcher {
    let specifier = match text(value) {
        Some(text) => QueryParameterMatchSpecifier::StringMatch(text),
        None => QueryParameterMatchSpecifier::PresentMatch(true),
    };
    QueryParameterMatcher {
        name: name.to_owned(),
        query_parameter_match_specifier: Some(specifier),
    }
}

/// `None`: it only has to be there.
fn text(value: &StringMatch) -> Option<StringMatcher> {
    let StringMatch { exact, prefix, regex: expression } = value;
    let exact = exact.clone().map(Pattern::Exact);
    let prefix = prefix.clone().map(Pattern::Prefix);
    let expression = expression.clone().map(|text| Pattern::SafeRegex(regex(text)));
    exact.or(prefix).or(expression).map(string)
}
