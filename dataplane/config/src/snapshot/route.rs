//! Route tables.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use regex::bytes::Regex;

use super::{
    Format, HashPolicy, HeaderMatch, HostRewrite, Mirror, Overrides, QueryMatch, Redirect,
    RequireTls, Retry, Rewrite, RouteList, Share, StringMatch, Weighted,
};

/// `RouteConfiguration`, compiled.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Its name.
    pub name: Arc<str>,
    /// All virtual hosts.
    pub hosts: Vec<Arc<VirtualHost>>,
    /// Full domains, lower case, to an index of `hosts`.
    pub exact: HashMap<Box<[u8]>, usize>,
    /// `*.suffix` (stored without the star), longest first.
    pub suffixes: Vec<(Box<[u8]>, usize)>,
    /// `prefix.*` (stored without the star), longest first.
    pub prefixes: Vec<(Box<[u8]>, usize)>,
    /// `*`
    pub any: Option<usize>,
    /// The port in the authority plays no part in finding the host.
    pub ignore_port: bool,
    /// Changes to headers for every route here; innermost level first unless this is set.
    pub headers: HeaderChanges,
    /// `most_specific_header_mutations_wins`
    pub most_specific_wins: bool,
    /// What it says of HTTP filters.
    pub overrides: Overrides,
    /// Something is said of an HTTP filter, here or at any level below.
    pub has_overrides: bool,
}

/// `VirtualHost`, compiled.
#[derive(Debug, Default)]
pub struct VirtualHost {
    /// Its name.
    pub name: Arc<str>,
    /// Its routes, first match wins.
    pub routes: RouteList,
    /// Which of its requests are sent away to come again by HTTPS.
    pub require_tls: RequireTls,
    /// Adds `x-envoy-attempt-count` to the upstream request.
    pub attempt_count: bool,
    /// Changes to headers.
    pub headers: HeaderChanges,
    /// What it says of HTTP filters.
    pub overrides: Overrides,
}

/// `Route`, compiled.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// What it asks of a request.
    pub matches: RouteMatch,
    /// What is done.
    pub action: RouteAction,
    /// Changes to headers.
    pub headers: HeaderChanges,
    /// What it says of HTTP filters.
    pub overrides: Overrides,
}

/// `RouteMatch`.
#[derive(Debug)]
pub struct RouteMatch {
    /// The path without its query.
    pub path: PathMatch,
    /// ASCII case matters in the path.
    pub case_sensitive: bool,
    /// All must match.
    pub headers: Vec<HeaderMatch>,
    /// All must match.
    pub query: Vec<QueryMatch>,
    /// What few routes ask for.
    pub more: Option<Box<MoreMatches>>,
}

impl RouteMatch {
    /// This path, and nothing besides.
    pub fn of(path: PathMatch) -> Self {
        Self { path, case_sensitive: true, headers: Vec::new(), query: Vec::new(), more: None }
    }
}

/// What a route may ask besides path, headers and query; all must match.
#[derive(Debug, Default)]
pub struct MoreMatches {
    /// All must match.
    pub cookies: Vec<CookieMatch>,
    /// It is a call by gRPC.
    pub grpc: bool,
    /// It is among this share of the requests (`runtime_fraction`).
    pub share: Option<Share>,
    /// What it asks of the client's certificate.
    pub tls: TlsMatch,
}

impl MoreMatches {
    /// Nothing is asked.
    pub fn is_empty(&self) -> bool {
        let Self { cookies, grpc, share, tls } = self;
        cookies.is_empty() && !grpc && share.is_none() && *tls == TlsMatch::default()
    }
}

/// `CookieMatcher`.
#[derive(Debug)]
pub struct CookieMatch {
    /// The cookie's name.
    pub name: Box<[u8]>,
    /// What its value is compared with. A cookie that is not there does not match.
    pub value: StringMatch,
    /// It must not match.
    pub invert: bool,
}

/// `TlsContextMatchOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsMatch {
    /// The client has shown a certificate, or has not.
    pub presented: Option<bool>,
    /// It was verified on this connection, or was not.
    pub validated: Option<bool>,
}

/// How a path is compared.
#[derive(Debug)]
pub enum PathMatch {
    /// Begins with.
    Prefix(Box<[u8]>),
    /// Equal.
    Exact(Box<[u8]>),
    /// Equal, or goes on with a `/`.
    SeparatedPrefix(Box<[u8]>),
    /// The whole path matches.
    Regex(Regex),
    /// There is none: the request is a CONNECT (`connect_matcher`).
    Connect,
}

/// What a route does.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // most routes forward, and none is moved about
pub enum RouteAction {
    /// Forwards.
    Forward(Forward),
    /// Answers by itself.
    Direct {
        /// The status.
        status: u16,
        /// The body.
        body: Arc<[u8]>,
    },
    /// Sends the client elsewhere.
    Redirect(Box<Redirect>),
}

/// `RouteAction` with a cluster.
#[derive(Debug)]
pub struct Forward {
    /// Where to, with weights.
    pub clusters: Vec<Weighted>,
    /// The sum of the weights.
    pub total_weight: u32,
    /// The request's header whose one value takes the place of chance where it is a number (lower
    /// case; `weighted_clusters.header_name`).
    pub random_header: Option<Box<[u8]>>,
    /// Who is sent a copy of each request.
    pub mirrors: Arc<[Mirror]>,
    /// The whole answer must be there by then (Envoy's default 15 s; `None`: no limit).
    pub timeout: Option<Duration>,
    /// `max_grpc_timeout`: a call's own `grpc-timeout` takes the place of `timeout`.
    pub grpc: Option<Box<GrpcTimeout>>,
    /// `max_stream_duration`. Where there is one, there is neither `timeout` nor `grpc`.
    pub duration: Option<Box<StreamDuration>>,
    /// Overrides the manager's stream idle timeout (outer `None`: does not).
    pub idle_timeout: Option<Option<Duration>>,
    /// Status for a cluster that is not there (503 or 404, 500).
    pub cluster_not_found: u16,
    /// Attempts beyond the first. What may be retried is `retry_on`.
    pub retry: Option<Retry>,
    /// What says which host of a hashing cluster serves a request.
    pub hash: Vec<HashPolicy>,
    /// Upgrades on this route: lower-case name and whether it is on. CONNECT is one, `connect`.
    pub upgrades: Vec<(Box<str>, bool)>,
    /// A CONNECT ends here: what it carries goes on as plain bytes (`connect_config`).
    pub terminates_connect: bool,
    /// What is changed of the request's path and authority.
    pub rewrite: Option<Box<Rewrite>>,
}

/// `max_grpc_timeout` and `grpc_timeout_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcTimeout {
    /// A call may not ask for more, nor for no limit (`None`: it may).
    pub max: Option<Duration>,
    /// Taken off what a call asks for, where that leaves something.
    pub offset: Duration,
}

/// `RouteAction.MaxStreamDuration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamDuration {
    /// A request and its answer may take so long (outer `None`: as the manager says; inner: as long
    /// as they like).
    pub max: Option<Option<Duration>>,
    /// `grpc_timeout_header_max`: `grpc-timeout` takes the place of `max`, up to this (inner
    /// `None`: whatever it says).
    pub grpc_max: Option<Option<Duration>>,
    /// `grpc_timeout_header_offset`: taken off it.
    pub grpc_offset: Duration,
}

impl Forward {
    /// To no cluster at all: every request is answered as one for a cluster that is not there
    /// (`non_forwarding_action`).
    pub fn nowhere() -> Self {
        Self {
            clusters: Vec::new(),
            total_weight: 0,
            random_header: None,
            mirrors: Arc::default(),
            timeout: None,
            grpc: None,
            duration: None,
            idle_timeout: None,
            cluster_not_found: 503,
            retry: None,
            upgrades: Vec::new(),
            terminates_connect: false,
            hash: Vec::new(),
            rewrite: None,
        }
    }

    /// The authority becomes the name of the endpoint that is chosen (`auto_host_rewrite`).
    pub fn names_endpoint(&self) -> bool {
        self.rewrite.as_ref().is_some_and(|r| matches!(r.host, Some(HostRewrite::Endpoint)))
    }
}

/// `request_headers_to_add` and its three sisters.
#[derive(Clone, Debug, Default)]
pub struct HeaderChanges {
    /// To the request on its way up.
    pub request: Vec<HeaderChange>,
    /// To the response on its way down.
    pub response: Vec<HeaderChange>,
    /// A value among them is made of what is known of the request.
    pub has_formats: bool,
}

impl HeaderChanges {
    /// Changes of these two kinds.
    pub fn new(request: Vec<HeaderChange>, response: Vec<HeaderChange>) -> Self {
        let is_format = |change: &HeaderChange| match change {
            HeaderChange::Append(_, value)
            | HeaderChange::AddIfAbsent(_, value)
            | HeaderChange::Overwrite(_, value)
            | HeaderChange::OverwriteIfExists(_, value) => !matches!(value, HeaderValue::Text(_)),
            HeaderChange::Remove(_) => false,
        };
        let has_formats = request.iter().chain(&response).any(is_format);
        Self { request, response, has_formats }
    }
}

/// One change. Names are lower case.
#[derive(Clone, Debug)]
pub enum HeaderChange {
    /// Adds another line.
    Append(Box<[u8]>, HeaderValue),
    /// Adds it where there is none.
    AddIfAbsent(Box<[u8]>, HeaderValue),
    /// Replaces all there are, or adds it.
    Overwrite(Box<[u8]>, HeaderValue),
    /// Replaces all there are; does nothing where there is none.
    OverwriteIfExists(Box<[u8]>, HeaderValue),
    /// Removes all there are.
    Remove(Box<[u8]>),
}

/// The value that a change gives a header.
#[derive(Clone, Debug)]
pub enum HeaderValue {
    /// As it stands.
    Text(Box<[u8]>),
    /// Made anew each time. An empty one changes nothing.
    Format(Box<Format>),
    /// The same, and an empty one counts (`keep_empty_value`).
    FormatOrEmpty(Box<Format>),
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().into())
    }
}
