//! What a route asks of a request.

use api::envoy::route::route_match::TlsContextMatchOptions;
use api::envoy::route::{CookieMatcher, RouteMatch, route_match};

use super::at::{At, Fault, decide};
use super::{http_filter, matcher, value};
use crate::limits::MAX_COOKIE_NAME;
use crate::snapshot::{self, CookieMatch, MoreMatches, PathMatch, TlsMatch};

/// A `RouteMatch`.
pub(crate) fn compile(at: &At<'_>, given: &RouteMatch) -> Result<snapshot::RouteMatch, Fault> {
    decide!(at, given => RouteMatch {
        used: case_sensitive, headers, query_parameters, path_specifier, runtime_fraction,
            cookies, grpc, tls_context;
        refused: dynamic_metadata, filter_state;
    });
    let place = at.field("headers");
    let headers = headers.iter().enumerate();
    let headers = headers.map(|(index, header)| matcher::header(&place.item(index), header));
    let headers = headers.collect::<Result<_, _>>()?;
    let place = at.field("query_parameters");
    let query = query_parameters.iter().enumerate();
    let query = query.map(|(index, one)| matcher::query(&place.item(index), one));
    Ok(snapshot::RouteMatch {
        path: path(at, path_specifier.as_ref())?,
        case_sensitive: value::bool_or(case_sensitive, true),
        headers,
        query: query.collect::<Result<_, _>>()?,
        more: {
            let place = at.field("cookies");
            let cookies = cookies.iter().enumerate();
            let cookies = cookies.map(|(index, one)| cookie(&place.item(index), one));
            let tls = tls_context.as_ref().map(tls);
            let place = at.field("runtime_fraction");
            let share = runtime_fraction.as_ref();
            let more = MoreMatches {
                cookies: cookies.collect::<Result<_, _>>()?,
                grpc: grpc.is_some(),
                share: share.map(|given| http_filter::runtime_share(&place, given)).transpose()?,
                tls: tls.unwrap_or_default(),
            };
            (!more.is_empty()).then(|| Box::new(more))
        },
    })
}

fn path(at: &At<'_>, given: Option<&route_match::PathSpecifier>) -> Result<PathMatch, Fault> {
    use route_match::PathSpecifier as Specifier;
    let bytes = |text: &String| text.as_bytes().into();
    match given {
        Some(Specifier::Prefix(prefix)) => Ok(PathMatch::Prefix(bytes(prefix))),
        Some(Specifier::Path(path)) => Ok(PathMatch::Exact(bytes(path))),
        Some(Specifier::SafeRegex(pattern)) => {
            Ok(PathMatch::Regex(matcher::regex(&at.field("safe_regex"), pattern)?))
        }
        Some(Specifier::PathSeparatedPrefix(prefix)) => {
            let good = prefix.starts_with('/') && !prefix.ends_with('/');
            if !good || prefix.contains(['?', '#']) {
                let at = at.field("path_separated_prefix");
                return Err(at.invalid("it begins with `/`, does not end in one, has no query"));
            }
            Ok(PathMatch::SeparatedPrefix(bytes(prefix)))
        }
        Some(Specifier::ConnectMatcher(_)) => Ok(PathMatch::Connect),
        Some(Specifier::PathMatchPolicy(_)) => {
            Err(at.field("path_match_policy").unsupported("path templates are not supported"))
        }
        None => Err(at.missing("`prefix`, `path`, `safe_regex` … has to be given")),
    }
}

/// A `CookieMatcher`.
fn cookie(at: &At<'_>, given: &CookieMatcher) -> Result<CookieMatch, Fault> {
    decide!(at, given => CookieMatcher {
        used: name, string_match, invert_match;
    });
    let place = at.field("name");
    if name.is_empty() {
        return Err(place.missing("it may not be empty"));
    }
    place.at_most(MAX_COOKIE_NAME, name.len())?;
    let place = at.field("string_match");
    let Some(value) = string_match else { return Err(place.missing("it has to be given")) };
    Ok(CookieMatch {
        name: name.as_bytes().into(),
        value: matcher::string(&place, value)?,
        invert: *invert_match,
    })
}

fn tls(given: &TlsContextMatchOptions) -> TlsMatch {
    decide!(_, given => TlsContextMatchOptions {
        used: presented, validated;
    });
    let presented = presented.as_ref().map(|presented| presented.value);
    TlsMatch { presented, validated: validated.as_ref().map(|validated| validated.value) }
}
