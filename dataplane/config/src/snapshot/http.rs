//! The terminal filters: TCP proxy and HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AccessLog, ClusterId, Format, HeaderChanges, HostForm, Http1, HttpFilters, Labels,
    LocalReplies, Origin, Overrides, RouteTable, Underscores,
};

/// `TcpProxy`, compiled.
#[derive(Debug)]
pub struct TcpProxy {
    /// For statistics.
    pub stat_prefix: Arc<str>,
    /// Where to, with weights (one of weight 1 for a plain `cluster`).
    pub clusters: Vec<Weighted>,
    /// The sum of the weights.
    pub total_weight: u32,
    /// Closes after so long without a byte either way; `None`: never. Envoy's default: 1 h.
    pub idle_timeout: Option<Duration>,
    /// The cluster's hosts are HTTP proxies, asked by CONNECT for a connection to this host
    /// (`tunneling_config`).
    pub tunnel: Option<Format>,
    /// Closes after so long, whatever happens; `None`: never.
    pub max_duration: Option<Duration>,
    /// A random time up to so many hundredths of that is added.
    pub jitter_percent: f64,
    /// Attempts to connect (Envoy: 1).
    pub max_connect_attempts: u32,
    /// Where the host follows from a hash, it is the client's address that is hashed.
    pub hash_source: bool,
    /// Who writes a line of each connection.
    pub access_log: Vec<AccessLog>,
}

/// A cluster and its share.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Its name, for logs.
    pub name: Arc<str>,
    /// Where to find it in the snapshot.
    pub cluster: ClusterId,
    /// Its share of the total.
    pub weight: u32,
    /// What it says of HTTP filters.
    pub overrides: Overrides,
    /// The metadata that a host has to have (`metadata_match`), the route's included.
    pub subset: Labels,
    /// What a route does for this cluster alone. Of a TCP proxy's there is nothing.
    pub own: Option<Arc<OfCluster>>,
}

impl Weighted {
    /// This cluster, and nothing besides.
    pub fn plain(name: Arc<str>, cluster: ClusterId, weight: u32) -> Self {
        let (overrides, subset) = (Overrides::default(), Labels::default());
        Self { name, cluster, weight, overrides, subset, own: None }
    }

    /// The request's header that names the cluster, where it is not named here.
    pub fn named_by(&self) -> Option<&[u8]> {
        self.own.as_ref()?.named_by.as_deref()
    }
}

/// What a route does for one of its clusters, before all that it does for every one.
#[derive(Debug, Default)]
pub struct OfCluster {
    /// The request's header that names the cluster (lower case; `cluster_header`).
    pub named_by: Option<Box<[u8]>>,
    /// Changes to headers.
    pub headers: HeaderChanges,
    /// Takes the authority's place (`host_rewrite_literal`).
    pub host: Option<Box<[u8]>>,
}

/// `HttpConnectionManager`, compiled.
#[derive(Debug)]
pub struct HttpManager {
    /// What is spoken.
    pub codec: Codec,
    /// How HTTP/1.1 is spoken.
    pub http1: Http1,
    /// How HTTP/2 is spoken.
    pub http2: Http2,
    /// For statistics.
    pub stat_prefix: Arc<str>,
    /// Where the routes come from.
    pub routes: Routes,
    /// The HTTP filters before the router, in order.
    pub filters: HttpFilters,
    /// Value of the `server` response header, and when it is set.
    pub server_name: Arc<str>,
    /// What is done with `server`.
    pub server_header: ServerHeader,
    /// Upgrades that pass, lower case (`websocket`).
    pub upgrades: Vec<Box<str>>,
    /// Adds `via` with this value.
    pub via: Option<Arc<str>>,
    /// Trusts the direct peer's address over `x-forwarded-for`.
    pub use_remote_address: bool,
    /// What is said besides of where requests come from.
    pub origin: Option<Box<Origin>>,
    /// What is taken off the host.
    pub host_form: HostForm,
    /// Puts the request's id into its answer (`always_set_request_id_in_response`).
    pub request_id_in_response: bool,
    /// Makes an `x-request-id` where there is none (default true).
    pub generate_request_id: bool,
    /// Keeps an `x-request-id` that comes from outside.
    pub preserve_external_request_id: bool,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_cert: ClientCert,
    /// Normalises the path before anything judges it (RFC 3986 dots; default false in Envoy).
    pub normalize_path: bool,
    /// `//` becomes `/`.
    pub merge_slashes: bool,
    /// What is done with `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
    /// Accepts HTTP/1.0.
    pub accept_http_10: bool,
    /// Accepts `GET http://host/path` (RFC 9112 makes it a must; Envoy's default true since 1.30).
    pub allow_absolute_url: bool,
    /// Lets 100 Continue of the upstream pass instead of answering itself.
    pub proxy_100_continue: bool,
    /// The largest request head in KiB (Envoy: 60) and the most fields (Envoy: 100).
    pub max_head_kib: u32,
    /// See `max_head_kib`.
    pub max_fields: u32,
    /// What becomes of field names with `_` (`headers_with_underscores_action`).
    pub underscores: Underscores,
    /// How long connections and requests may last.
    pub spans: Spans,
    /// Closes an idle keep-alive connection (`common_http_protocol_options.idle_timeout`; 1 h).
    pub idle_timeout: Option<Duration>,
    /// Ends a stream on which nothing moves (5 min; `None`: never).
    pub stream_idle_timeout: Option<Duration>,
    /// The time for a request to be received as a whole (`None`: unlimited).
    pub request_timeout: Option<Duration>,
    /// The time for a request head to arrive once begun (`None`: unlimited).
    pub request_headers_timeout: Option<Duration>,
    /// Sent as `x-envoy-*` to upstream and downstream (router's `suppress_envoy_headers`).
    pub suppress_envoy_headers: bool,
    /// Who writes a line of each request.
    pub access_log: Vec<AccessLog>,
    /// What our own answers are made into.
    pub local_replies: Option<Arc<LocalReplies>>,
}

impl HttpManager {
    /// More is kept of each request than it takes to serve it: somebody may ask for it.
    pub fn keeps_records(&self) -> bool {
        !self.access_log.is_empty() || self.local_replies.is_some()
    }
}

/// How long a manager's connections and requests may last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spans {
    /// A connection is older than that no longer asked for requests (`max_connection_duration`);
    /// `None`: it may be.
    pub connection: Option<Duration>,
    /// So many percent of `connection` may be added by chance (`max_connection_duration_jitter`).
    pub jitter_percent: f64,
    /// A connection by HTTP/1.1 that is too old ends with an answer only
    /// (`http1_safe_max_connection_duration`).
    pub ends_with_answer: bool,
    /// Requests after which a connection ends (`max_requests_per_connection`; 0: no limit).
    pub requests: u32,
    /// A request and its answer take no longer (`max_stream_duration`); `None`: they may.
    pub stream: Option<Duration>,
}

/// `codec_type`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// HTTP/2 where TLS has agreed on it, or where a connection begins with its preface.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// `Http2ProtocolOptions`, compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Streams that may be open at once (`max_concurrent_streams`; 1024).
    pub streams_max: u32,
    /// What may come on a stream before it is passed on (`initial_stream_window_size`; 256 KiB at
    /// the most).
    pub stream_window_bytes: u32,
    /// The same for a connection (`initial_connection_window_size`; 1 MiB at the most).
    pub connection_window_bytes: u32,
    /// `hpack_table_size` (4096).
    pub header_table_bytes: u32,
    /// A malformed message ends its stream alone
    /// (`override_stream_error_on_invalid_http_message`), not its connection.
    pub malformed_ends_stream: bool,
    /// CONNECT with `:protocol` is taken from clients (`allow_connect`, RFC 8441).
    pub extended_connect: bool,
    /// Peers are asked for signs of life (`connection_keepalive`).
    pub keepalive: Option<Keepalive>,
    /// Limits against floods.
    pub floods: Floods,
    /// Settings besides our own, each an identifier and a value (`custom_settings_parameters`);
    /// identifier 0: none.
    pub extra_settings: [(u16, u32); EXTRA_SETTINGS],
}

/// How many settings there may be besides our own.
pub const EXTRA_SETTINGS: usize = 8;

/// `KeepaliveSettings`, compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Between an answer and the next PING (`None`: none is sent without a reason).
    pub interval: Option<Duration>,
    /// By chance up to so much is added to `interval` (Envoy: 15 % of it).
    pub jitter: Duration,
    /// Without an answer by then the connection ends.
    pub timeout: Duration,
    /// A connection that was idle for so long is asked before it gets a request.
    pub idle_interval: Option<Duration>,
}

/// Limits against floods by HTTP/2. What is configured holds up to a bound of our own: a limit that
/// can be switched off protects nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floods {
    /// Answers to control frames that wait to be sent (`max_outbound_control_frames`; 1000, at the
    /// most 10,000).
    pub answers: u32,
    /// Frames one behind the other with nothing in them
    /// (`max_consecutive_inbound_frames_with_empty_payload`; 1, at the most 100).
    pub empty_frames: u32,
    /// PRIORITY frames for each stream (`max_inbound_priority_frames_per_stream`; 100, at the most
    /// 1000).
    pub priorities: u32,
    /// WINDOW_UPDATE frames for each DATA frame that was sent
    /// (`max_inbound_window_update_frames_per_data_frame_sent`; 10, at the most 100).
    pub window_updates: u32,
    /// Streams that may be reset beyond those that were answered (`stream_reset_burst`; 500, at the
    /// most 10,000).
    pub resets: u32,
}

impl Default for Floods {
    fn default() -> Self {
        Self { answers: 1_000, empty_frames: 1, priorities: 100, window_updates: 10, resets: 500 }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams_max: 1024,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            header_table_bytes: 4096,
            malformed_ends_stream: false,
            extended_connect: false,
            keepalive: None,
            floods: Floods::default(),
            extra_settings: [(0, 0); EXTRA_SETTINGS],
        }
    }
}

/// Where routes come from.
#[derive(Debug)]
pub enum Routes {
    /// `route_config`
    Inline(Arc<RouteTable>),
    /// `rds`: the name in [`super::Snapshot::routes`].
    Named(Arc<str>),
}

/// `ServerHeaderTransformation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ServerHeader {
    #[default]
    Overwrite,
    AppendIfAbsent,
    PassThrough,
}

/// `forward_client_cert_details` and `set_current_client_cert_details`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCert {
    /// What becomes of the header.
    pub forward: ForwardClientCert,
    /// Adds `Subject=`.
    pub subject: bool,
    /// Adds `URI=`.
    pub uri: bool,
    /// Adds `DNS=`.
    pub dns: bool,
}

/// `ForwardClientCertDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ForwardClientCert {
    #[default]
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}

/// `PathWithEscapedSlashesAction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EscapedSlashes {
    #[default]
    KeepUnchanged,
    Reject,
    UnescapeAndRedirect,
    UnescapeAndForward,
}
