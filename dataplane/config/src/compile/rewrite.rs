//! Rewrites and redirects.

use api::envoy::matcher::RegexMatchAndSubstitute;
use api::envoy::route::RedirectAction;
use api::envoy::route::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use api::envoy::route::route_action::HostRewriteSpecifier;

use super::at::{At, Fault, decide};
use super::{matcher, value};
use crate::snapshot::{HostRewrite, PathRewrite, Redirect, RedirectPath, Rewrite};

/// What a route's action says about rewriting.
pub(crate) struct Given<'m> {
    pub(crate) prefix: &'m str,
    pub(crate) regex: Option<&'m RegexMatchAndSubstitute>,
    pub(crate) host: Option<&'m HostRewriteSpecifier>,
    pub(crate) append_forwarded_host: bool,
}

/// What a route rewrites; `None`: nothing.
pub(crate) fn compile(at: &At<'_>, given: &Given<'_>) -> Result<Option<Rewrite>, Fault> {
    let path = match (given.prefix, given.regex) {
        ("", None) => None,
        (prefix, None) => Some(prefix_rewrite(&at.field("prefix_rewrite"), prefix)?),
        ("", Some(regex)) => {
            Some(PathRewrite::Regex(matcher::substitution(&at.field("regex_rewrite"), regex)?))
        }
        _ => return Err(at.invalid("one of `prefix_rewrite` and `regex_rewrite` at the most")),
    };
    let host = given.host.map(|host| self::host(at, host)).transpose()?.flatten();
    let append_forwarded_host = given.append_forwarded_host;
    let changes = path.is_some() || host.is_some();
    Ok(changes.then_some(Rewrite { path, host, append_forwarded_host }))
}

fn prefix_rewrite(at: &At<'_>, prefix: &str) -> Result<PathRewrite, Fault> {
    match prefix.starts_with('/') && prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(PathRewrite::Prefix(prefix.as_bytes().into())),
        false => Err(at.invalid(format!("`{prefix}` is not the beginning of a path"))),
    }
}

fn host(at: &At<'_>, given: &HostRewriteSpecifier) -> Result<Option<HostRewrite>, Fault> {
    match given {
        HostRewriteSpecifier::HostRewriteLiteral(name) => {
            let name = literal_host(&at.field("host_rewrite_literal"), name)?;
            Ok(name.map(HostRewrite::Literal))
        }
        HostRewriteSpecifier::AutoHostRewrite(on) => Ok(on.value.then_some(HostRewrite::Endpoint)),
        HostRewriteSpecifier::HostRewriteHeader(name) if name.is_empty() => Ok(None),
        HostRewriteSpecifier::HostRewriteHeader(name) => {
            let name = matcher::header_name(&at.field("host_rewrite_header"), name)?;
            Ok(Some(HostRewrite::Header(name)))
        }
        HostRewriteSpecifier::HostRewritePathRegex(given) => {
            let given = matcher::substitution(&at.field("host_rewrite_path_regex"), given)?;
            Ok(Some(HostRewrite::PathRegex(given)))
        }
        #[allow(unreachable_patterns)] // kinds that a newer API brings
        _ => Err(at.field("host_rewrite").unsupported("this field is not supported")),
    }
}

/// A host that is written down; an empty one rewrites nothing.
pub(crate) fn literal_host(at: &At<'_>, name: &str) -> Result<Option<Box<[u8]>>, Fault> {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\%".contains(&byte);
    match name.bytes().all(good) {
        true => Ok((!name.is_empty()).then(|| name.as_bytes().into())),
        false => Err(at.invalid(format!("`{name}` is not a host"))),
    }
}

/// A `RedirectAction`.
pub(crate) fn redirect(at: &At<'_>, action: &RedirectAction) -> Result<Redirect, Fault> {
    decide!(at, action => RedirectAction {
        used: host_redirect, port_redirect, response_code, strip_query, scheme_rewrite_specifier,
            path_rewrite_specifier;
    });
    let scheme = match scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https"),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme.as_str()),
        Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
    };
    Ok(Redirect {
        status: match value::enumeration(&at.field("response_code"), *response_code)? {
            RedirectResponseCode::MovedPermanently => 301,
            RedirectResponseCode::Found => 302,
            RedirectResponseCode::SeeOther => 303,
            RedirectResponseCode::TemporaryRedirect => 307,
            RedirectResponseCode::PermanentRedirect => 308,
        },
        scheme: text(&at.field("scheme_redirect"), scheme.unwrap_or_default())?,
        host: text(&at.field("host_redirect"), host_redirect)?,
        port: match port_redirect {
            0 => None,
            port => {
                let port = value::port(&at.field("port_redirect"), *port)?;
                Some(format!(":{port}").into_bytes().into())
            }
        },
        path: redirect_path(at, path_rewrite_specifier.as_ref())?,
        strip_query: *strip_query,
    })
}

fn redirect_path(at: &At<'_>, given: Option<&PathRewriteSpecifier>) -> Result<RedirectPath, Fault> {
    Ok(match given {
        None => RedirectPath::Same,
        Some(PathRewriteSpecifier::PathRedirect(path)) => {
            match text(&at.field("path_redirect"), path)? {
                None => RedirectPath::Same,
                Some(path) if path.contains(&b'?') => RedirectPath::WithQuery(path),
                Some(path) => RedirectPath::Whole(path),
            }
        }
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            let prefix = text(&at.field("prefix_rewrite"), prefix)?;
            let prefix = prefix.map(PathRewrite::Prefix);
            prefix.map_or(RedirectPath::Same, RedirectPath::Rewritten)
        }
        Some(PathRewriteSpecifier::RegexRewrite(given)) => {
            let given = matcher::substitution(&at.field("regex_rewrite"), given)?;
            RedirectPath::Rewritten(PathRewrite::Regex(given))
        }
        Some(PathRewriteSpecifier::PathRewrite(_)) => {
            return Err(at.field("path_rewrite").unsupported("this field is not supported"));
        }
    })
}

/// A part of a `location`; `None`: an empty one.
fn text(at: &At<'_>, text: &str) -> Result<Option<Box<[u8]>>, Fault> {
    match text.bytes().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii()) {
        true => Ok((!text.is_empty()).then(|| text.as_bytes().into())),
        false => Err(at.invalid(format!("`{text}` has characters that no URL may have"))),
    }
}
