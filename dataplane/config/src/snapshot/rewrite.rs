//! What a route makes of a request's target, and where it sends a client instead.

use super::substitution::Substitution;

/// What is changed of a request on its way up, behind all changes to its headers.
#[derive(Debug, Default)]
pub struct Rewrite {
    /// Its path.
    pub path: Option<PathRewrite>,
    /// Its authority.
    pub host: Option<HostRewrite>,
    /// The authority that is replaced is told in `x-forwarded-host` (`append_x_forwarded_host`).
    pub append_forwarded_host: bool,
}

/// What takes a path's place. The query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// `prefix_rewrite`: takes the place of what the route's matcher has matched.
    Prefix(Box<[u8]>),
    /// `regex_rewrite`: of the whole path.
    Regex(Substitution),
}

/// What takes an authority's place.
#[derive(Debug)]
pub enum HostRewrite {
    /// `host_rewrite_literal`
    Literal(Box<[u8]>),
    /// `host_rewrite_header`: the first value of this header (lower case); where there is none
    /// the authority stays.
    Header(Box<[u8]>),
    /// `host_rewrite_path_regex`: made from the path without its query.
    PathRegex(Substitution),
    /// `auto_host_rewrite`: the name of the endpoint that is chosen, if it has one.
    Endpoint,
}

/// `RedirectAction`, compiled. What is not given is as the request has it.
#[derive(Debug, Default)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `scheme_redirect`, or `https` by `https_redirect`.
    pub scheme: Option<Box<[u8]>>,
    /// `host_redirect`
    pub host: Option<Box<[u8]>>,
    /// `port_redirect`, behind a colon.
    pub port: Option<Box<[u8]>>,
    /// Where to below the host.
    pub path: RedirectPath,
    /// The request's query is left out.
    pub strip_query: bool,
}

/// `RedirectAction.path_rewrite_specifier`.
#[derive(Debug, Default)]
pub enum RedirectPath {
    /// The request's own.
    #[default]
    Same,
    /// `path_redirect` without a query: the request's query stays.
    Whole(Box<[u8]>),
    /// `path_redirect` with a query, which takes the place of the request's.
    WithQuery(Box<[u8]>),
    /// As in a [`Rewrite`].
    Rewritten(PathRewrite),
}

/// `VirtualHost.TlsRequirementType`: which requests are sent away to come again by HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequireTls {
    /// None.
    #[default]
    Never,
    /// Those that come from outside (without `x-envoy-internal: true`).
    External,
    /// All.
    Always,
}
