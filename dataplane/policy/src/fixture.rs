//! What the tests of this crate are built from.

use std::sync::Arc;

use config::snapshot::{
    ClientCert, ClusterId, Codec, EscapedSlashes, Forward, HeaderChanges, HostForm, Http1, Http2,
    HttpFilters, HttpManager, Overrides, PathMatch, Route, RouteAction, RouteMatch, Routes,
    ServerHeader, Spans, StringKind, StringMatch, Underscores, VirtualHost, Weighted,
};
use tls::session::Peer;
use wire::h1::{Limits, Parsed, parse_request};
use wire::head::Head;

/// A request's head, read by the codec itself. Lines are given with `\n`.
pub(crate) fn head(text: &str) -> Head {
    let bytes = format!("{}\n\n", text.trim_end()).replace('\n', "\r\n");
    let mut head = Head::default();
    let parsed = parse_request(bytes.as_bytes(), &Limits::default(), &mut head);
    assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{text}: {parsed:?}");
    head
}

/// `GET {path}` to the host `a`.
pub(crate) fn get(path: &str) -> Head {
    head(&format!("GET {path} HTTP/1.1\nhost: a"))
}

/// The fields as lines.
pub(crate) fn lines(head: &Head) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}

/// Envoy's defaults.
pub(crate) fn manager() -> HttpManager {
    HttpManager {
        stat_prefix: "test".into(),
        routes: Routes::Inline(Arc::default()),
        filters: HttpFilters::default(),
        server_name: "envoy".into(),
        server_header: ServerHeader::Overwrite,
        upgrades: Vec::new(),
        via: None,
        use_remote_address: false,
        generate_request_id: true,
        preserve_external_request_id: false,
        client_cert: ClientCert::default(),
        normalize_path: false,
        merge_slashes: false,
        escaped_slashes: EscapedSlashes::KeepUnchanged,
        accept_http_10: false,
        allow_absolute_url: true,
        proxy_100_continue: false,
        codec: Codec::Auto,
        http1: Http1::default(),
        http2: Http2::default(),
        origin: None,
        host_form: HostForm::default(),
        request_id_in_response: false,
        underscores: Underscores::Allow,
        spans: Spans::default(),
        max_head_kib: 60,
        max_fields: 100,
        idle_timeout: None,
        stream_idle_timeout: None,
        request_timeout: None,
        request_headers_timeout: None,
        suppress_envoy_headers: false,
        local_replies: None,
        access_log: Vec::new(),
    }
}

/// A route to one cluster under a name.
pub(crate) fn route(name: &str, path: PathMatch) -> Route {
    let cluster = Weighted::plain(name.into(), ClusterId(0), 1);
    Route {
        name: name.into(),
        matches: RouteMatch::of(path),
        action: RouteAction::Forward(Forward {
            clusters: vec![cluster],
            total_weight: 1,
            ..Forward::nowhere()
        }),
        headers: HeaderChanges::default(),
        overrides: Overrides::default(),
    }
}

/// A virtual host of these routes.
pub(crate) fn virtual_host(name: &str, routes: Vec<Route>) -> Arc<VirtualHost> {
    let routes = routes.into_iter().map(Arc::new).collect();
    Arc::new(VirtualHost { name: name.into(), routes, ..VirtualHost::default() })
}

/// A matcher that heeds case.
pub(crate) fn string(kind: StringKind) -> StringMatch {
    StringMatch { kind, ignore_case: false }
}

/// The whole string is this.
pub(crate) fn exact(text: &str) -> StringMatch {
    string(StringKind::Exact(text.as_bytes().into()))
}

/// A regular expression as the configuration compiles it.
pub(crate) fn regex(text: &str) -> regex::bytes::Regex {
    regex::bytes::Regex::new(&format!(r"\A(?:{text})\z")).unwrap()
}

/// The other side of a mutual TLS connection.
pub(crate) fn peer(uri: &str) -> Peer {
    Peer { uris: vec![uri.to_owned()], verified: true, ..Peer::default() }
}
