//! Headers against what Envoy 1.40 forwarded and answered under the same settings.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::snapshot::{
    Ask, ClientCert, FieldName, Format, ForwardClientCert, HeaderChange, HeaderChanges,
    HeaderValue, HttpManager, Operator, Part, PathMatch, RouteTable, ServerHeader,
};
use tls::session::Peer;
use wire::head::{Framing, Head};

use super::{
    Attempt, RequestContext, forward, local, local_changes, request, response, retry, returned,
};
use crate::fixture::{self, head, lines};
use crate::route::{Found, find};

const ID: &str = "d3b07384-d9a0-4c9b-8f3e-1c2d3e4f5a6b";

fn arrive(head: &mut Head, manager: &HttpManager, source: &str, peer: Option<&Peer>) -> IpAddr {
    let context = RequestContext {
        manager,
        source: source.parse::<SocketAddr>().unwrap(),
        local: SocketAddr::from(([192, 0, 2, 2], 8080)),
        peer,
        local_uri: "spiffe://td/ns/b/sa/server",
        // Version and variant are not among them.
        request_id: 0xd3b0_7384_d9a0_fc9b_cf3e_1c2d_3e4f_5a6b,
    };
    request(head, &context).expect("it may pass")
}

fn arrived(fields: &str, manager: &HttpManager) -> Vec<String> {
    let mut head = head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
    arrive(&mut head, manager, "127.0.0.1:4000", None);
    lines(&head)
}

fn with_id(fields: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = fields.iter().map(|line| (*line).to_owned()).collect();
    all.push(format!("x-request-id: {ID}"));
    all
}

const STEERING: [&str; 16] = [
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
];
const AT_THE_EDGE: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-host",
    "x-envoy-original-path",
];
const PASSING: [&str; 8] = [
    "x-envoy-attempt-count",
    "x-envoy-original-method",
    "x-envoy-original-dst-host",
    "x-envoy-upstream-canary",
    "x-envoy-foo",
    "x-envoy-peer-metadata-id",
    "x-forwarded-host",
    "x-client-trace-id",
];

#[test]
fn what_steers_the_router_does_not_come_in_from_outside() {
    let edge = HttpManager { use_remote_address: true, ..fixture::manager() };
    for (manager, removed) in [(fixture::manager(), false), (edge, true)] {
        let there = |name: &str| {
            let found = arrived(&format!("{name}: 1"), &manager);
            found.iter().any(|line| line == &format!("{name}: 1"))
        };
        assert!(STEERING.iter().all(|name| !there(name)));
        assert!(AT_THE_EDGE.iter().all(|name| there(name) != removed));
        assert!(PASSING.iter().all(|name| there(name)));
    }
}

#[test]
fn the_client_address_is_told_and_believed_as_in_envoy() {
    let inner = fixture::manager();
    assert_eq!(arrived("", &inner), with_id(&["x-forwarded-proto: http"]));
    assert_eq!(
        arrived("x-forwarded-for: 1.2.3.4\nx-forwarded-proto: HTTPS", &inner),
        with_id(&["x-forwarded-for: 1.2.3.4", "x-forwarded-proto: HTTPS"])
    );
    let edge = HttpManager { use_remote_address: true, ..fixture::manager() };
    assert_eq!(
        arrived(
            "x-forwarded-for: 1.2.3.4, 5.6.7.8\nx-forwarded-for: 9.9.9.9\nx-forwarded-proto: https",
            &edge
        ),
        with_id(&[
            "x-forwarded-for: 1.2.3.4, 5.6.7.8,9.9.9.9,192.0.2.2",
            "x-forwarded-proto: http",
            "x-envoy-external-address: 127.0.0.1",
        ])
    );
    for (fields, manager, source, expected) in [
        ("", &inner, "10.0.0.1:1", "10.0.0.1"),
        ("\nx-forwarded-for: 1.2.3.4", &inner, "10.0.0.1:1", "1.2.3.4"),
        ("\nx-forwarded-for: 1.2.3.4, 5.6.7.8", &inner, "10.0.0.1:1", "5.6.7.8"),
        ("\nx-forwarded-for: 1.2.3.4\nx-forwarded-for: fd00::1", &inner, "10.0.0.1:1", "fd00::1"),
        ("\nx-forwarded-for: unknown", &inner, "10.0.0.1:1", "10.0.0.1"),
        ("\nx-forwarded-for: 1.2.3.4", &edge, "[::ffff:10.0.0.1]:1", "10.0.0.1"),
    ] {
        let mut head = head(&format!("GET / HTTP/1.1\nhost: a{fields}"));
        let found = arrive(&mut head, manager, source, None);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{fields} from {source}");
    }
}

#[test]
fn request_ids_are_kept_or_given() {
    let inner = fixture::manager();
    let edge = HttpManager { use_remote_address: true, ..fixture::manager() };
    let preserving = HttpManager {
        use_remote_address: true,
        preserve_external_request_id: true,
        ..fixture::manager()
    };
    let silent = HttpManager { generate_request_id: false, ..fixture::manager() };
    let own = format!("x-request-id: {ID}");
    for (manager, given, absent) in [
        (&inner, "x-request-id: mine", Some(&own)),
        (&edge, own.as_str(), Some(&own)),
        (&preserving, "x-request-id: mine", Some(&own)),
        (&silent, "x-request-id: mine", None),
    ] {
        let id = |fields: &str| {
            arrived(fields, manager).into_iter().find(|line| line.starts_with("x-request-id"))
        };
        assert_eq!(id("x-request-id: mine").as_deref(), Some(given));
        assert_eq!(id("").as_ref(), absent);
    }
}

#[test]
fn what_belongs_to_the_connection_goes() {
    let manager = HttpManager { via: Some("ring".into()), ..fixture::manager() };
    let fields = "te: trailers, x\nconnection: x-a, close\nx-a: 1\nvia: 1\nkeep-alive: 5";
    let found = arrived(fields, &manager);
    assert!(found.contains(&"te: trailers".to_owned()) && found.contains(&"via: 1, ring".into()));
    assert!(!found.iter().any(|line| line.starts_with("x-a") || line.starts_with("keep-alive")));
    assert!(!found.iter().any(|line| line.starts_with("connection")));
}

fn client() -> Peer {
    Peer {
        uris: vec!["spiffe://td/ns/a/sa/client".into(), "spiffe://td/two".into()],
        dns: vec!["c.local".into(), "d.local".into()],
        subject: r#"CN=cli\;ent=1,OU=x\\y,O=Acme\, \"Inc\""#.into(),
        fingerprint: std::array::from_fn(|at| at as u8),
        verified: true,
        ..Peer::default()
    }
}

fn told(forward: ForwardClientCert, fields: &str, peer: Option<&Peer>) -> Vec<String> {
    let client_cert = ClientCert { forward, subject: true, uri: true, dns: true };
    let manager = HttpManager { client_cert, ..fixture::manager() };
    let mut head = head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
    arrive(&mut head, &manager, "10.0.0.1:1", peer);
    let lines = lines(&head).into_iter();
    lines
        .filter_map(|line| Some(line.strip_prefix("x-forwarded-client-cert: ")?.to_owned()))
        .collect()
}

#[test]
fn client_certificates_are_told_as_envoy_tells_them() {
    let hash = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let element = format!(
        "By=spiffe://td/ns/b/sa/server;Hash={hash};\
         Subject=\"CN=cli\\;ent=1,OU=x\\\\y,O=Acme\\, \\\"Inc\\\"\";\
         URI=spiffe://td/ns/a/sa/client;URI=spiffe://td/two;DNS=c.local;DNS=d.local"
    );
    let client = client();
    let one = "x-forwarded-client-cert: By=x;URI=y";
    let two = "x-forwarded-client-cert: A=1\nx-forwarded-client-cert: B=1";
    use ForwardClientCert::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
    for (mode, fields, verified, expected) in [
        (AppendForward, "", true, vec![element.clone()]),
        (AppendForward, one, true, vec![format!("By=x;URI=y,{element}")]),
        (AppendForward, two, true, vec![format!("A=1,B=1,{element}")]),
        (AppendForward, one, false, vec![]),
        (SanitizeSet, two, true, vec![element]),
        (SanitizeSet, one, false, vec![]),
        (ForwardOnly, one, true, vec!["By=x;URI=y".into()]),
        (ForwardOnly, one, false, vec![]),
        (Sanitize, one, true, vec![]),
        (AlwaysForwardOnly, one, false, vec!["By=x;URI=y".into()]),
    ] {
        let found = told(mode, fields, Some(&client).filter(|_| verified));
        assert_eq!(found, expected, "{mode:?} {fields}");
    }
}

#[test]
fn names_in_certificates_cannot_forge_an_element() {
    let evil = Peer {
        uris: vec!["spiffe://td/x,By=spiffe://td/y;URI=\"z\\".into()],
        dns: vec!["a\r\nx-admin: 1".into()],
        subject: "CN=\"quoted\u{e9}\\".into(),
        fingerprint: [0; 32],
        verified: true,
        ..Peer::default()
    };
    assert_eq!(
        told(ForwardClientCert::SanitizeSet, "", Some(&evil)),
        [concat!(
            "By=spiffe://td/ns/b/sa/server;",
            r#"Subject="CN=\"quoted\C3\A9\\";"#,
            r#"URI="spiffe://td/x,By=spiffe://td/y;URI=\"z\\";"#,
            "DNS=a??x-admin: 1",
        )]
    );
    let nameless = Peer { verified: true, ..Peer::default() };
    assert_eq!(
        told(ForwardClientCert::SanitizeSet, "", Some(&nameless)),
        ["By=spiffe://td/ns/b/sa/server;Subject=\"\";URI="]
    );
}

fn level(tag: &str) -> HeaderChanges {
    let name = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
    let value = || tag.into();
    HeaderChanges::new(
        vec![
            HeaderChange::Append(name("x-order"), value()),
            HeaderChange::Overwrite(name("x-over"), value()),
            HeaderChange::AddIfAbsent(name("x-abs"), value()),
            HeaderChange::OverwriteIfExists(name("x-ifx"), value()),
            HeaderChange::Remove(name(&format!("x-rm-{tag}"))),
        ],
        vec![
            HeaderChange::Append(name("y-order"), value()),
            HeaderChange::Overwrite(name("y-over"), value()),
            HeaderChange::Remove(name(&format!("y-rm-{tag}"))),
        ],
    )
}

fn table(most_specific_wins: bool) -> RouteTable {
    let mut route = fixture::route("r", PathMatch::Prefix(b"/".as_slice().into()));
    route.headers = level("route");
    let mut host = fixture::virtual_host("v", vec![route]);
    let inner = std::sync::Arc::get_mut(&mut host).unwrap();
    inner.headers = level("vhost");
    inner.attempt_count = true;
    RouteTable {
        hosts: vec![host],
        any: Some(0),
        headers: level("table"),
        most_specific_wins,
        ..RouteTable::default()
    }
}

fn attempt<'c>(
    manager: &'c HttpManager,
    table: &'c RouteTable,
    found: &'c Found<'c>,
) -> Attempt<'c> {
    Attempt {
        manager,
        table,
        found,
        attempt: 1,
        timeout: Some(Duration::from_secs(15)),
        facts: None,
    }
}

#[test]
fn requests_are_changed_level_by_level() {
    let manager = fixture::manager();
    let fields = "x-order: client\nx-ifx: client\nx-abs: client\nx-over: c1\nx-over: c2\n\
                  x-rm-route: 1\nx-rm-vhost: 1\nx-rm-table: 1";
    for (specific, order, last) in [
        (false, ["route", "vhost", "table"], "table"),
        (true, ["table", "vhost", "route"], "route"),
    ] {
        let mut head = head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
        let table = table(specific);
        let found = find(&table, &head, 0).unwrap();
        forward(&mut head, &attempt(&manager, &table, &found));
        let mut found = lines(&head);
        found.sort();
        let mut expected = vec![
            "x-abs: client".to_owned(),
            "x-envoy-attempt-count: 1".into(),
            "x-envoy-expected-rq-timeout-ms: 15000".into(),
            format!("x-ifx: {last}"),
            "x-order: client".into(),
            format!("x-over: {last}"),
        ];
        expected.extend(order.iter().map(|tag| format!("x-order: {tag}")));
        expected.sort();
        assert_eq!(found, expected);
        let orders: Vec<_> =
            lines(&head).into_iter().filter(|l| l.starts_with("x-order")).collect();
        let orders: Vec<_> = orders.iter().map(|line| &line["x-order: ".len()..]).collect();
        assert_eq!(orders[1..], order);
    }
}

#[test]
fn retries_count_and_suppression_is_silent() {
    let manager = HttpManager { suppress_envoy_headers: true, ..fixture::manager() };
    let mut head = head("GET / HTTP/1.1\nhost: a");
    let mut table = table(false);
    table.headers = HeaderChanges::default();
    let found = find(&table, &head, 0).unwrap();
    forward(&mut head, &attempt(&manager, &table, &found));
    retry(&mut head, &Attempt { attempt: 2, ..attempt(&manager, &table, &found) });
    let envoys: Vec<_> = lines(&head).into_iter().filter(|l| l.starts_with("x-envoy")).collect();
    assert_eq!(envoys, ["x-envoy-attempt-count: 2"]);
    let mut answer = Head::default();
    local(&mut answer, 200, b"");
    returned(&mut answer, &attempt(&manager, &table, &found), Some(Duration::from_millis(3)));
    assert!(!lines(&answer).iter().any(|line| line.starts_with("x-envoy")));
}

fn answer(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    local(&mut head, 200, b"");
    for (name, value) in fields {
        head.append(name.as_bytes(), value.as_bytes());
    }
    head
}

#[test]
fn responses_are_finished_as_in_envoy() {
    let upstream = [
        ("server", "app"),
        ("date", "yesterday"),
        ("via", "up1"),
        ("x-envoy-upstream-service-time", "77"),
        ("keep-alive", "5"),
        ("y-order", "up"),
        ("y-over", "up"),
        ("y-rm-vhost", "1"),
    ];
    let table = table(false);
    let request = head("GET / HTTP/1.1\nhost: a");
    let found = find(&table, &request, 0).unwrap();
    for (server_header, via, servers, date) in [
        (ServerHeader::Overwrite, None, ["envoy", "envoy"], "today"),
        (ServerHeader::AppendIfAbsent, Some("v"), ["app", "envoy"], "today"),
        (ServerHeader::PassThrough, Some("v"), ["app", ""], "today"),
    ] {
        let manager = HttpManager { server_header, via: via.map(Into::into), ..fixture::manager() };
        let mut head = answer(&upstream);
        returned(&mut head, &attempt(&manager, &table, &found), Some(Duration::from_micros(2_500)));
        response(&mut head, &manager, date.as_bytes());
        let value = |head: &Head, name: &str| {
            let found = head.values(name.as_bytes()).map(String::from_utf8_lossy);
            found.collect::<Vec<_>>().join("|")
        };
        assert_eq!(value(&head, "x-envoy-upstream-service-time"), "2");
        assert_eq!(value(&head, "date"), "yesterday");
        assert_eq!(value(&head, "via"), if via.is_some() { "up1, v" } else { "up1" });
        assert_eq!(value(&head, "server"), servers[0]);
        assert_eq!(value(&head, "y-order"), "up|route|vhost|table");
        assert_eq!(value(&head, "y-over"), "table");
        assert_eq!(value(&head, "keep-alive") + &value(&head, "y-rm-vhost"), "");

        let mut own = answer(&[]);
        response(&mut own, &manager, date.as_bytes());
        assert_eq!(value(&own, "server"), servers[1]);
        assert_eq!(value(&own, "date"), "today");
    }
}

#[test]
fn own_answers_carry_what_envoys_carry() {
    let table = table(false);
    let request = head("GET / HTTP/1.1\nhost: a");
    let found = find(&table, &request, 0).unwrap();
    let mut denied = Head::default();
    local(&mut denied, 403, b"RBAC: access denied");
    local_changes(&mut denied, &table, &found, None);
    response(&mut denied, &fixture::manager(), b"now");
    assert_eq!((denied.status, denied.framing), (403, Framing::Length(19)));
    assert_eq!(
        lines(&denied),
        [
            "content-length: 19",
            "content-type: text/plain",
            "y-order: route",
            "y-order: vhost",
            "y-over: table",
            "y-order: table",
            "date: now",
            "server: envoy",
        ]
    );
    let mut missing = Head::default();
    local(&mut missing, 404, b"");
    assert_eq!((lines(&missing).len(), missing.framing), (0, Framing::Length(0)));
}

mod origins;

fn value_of(parts: Vec<Part>, keeps_empty: bool) -> HeaderValue {
    let format = Box::new(Format { parts });
    if keeps_empty { HeaderValue::FormatOrEmpty(format) } else { HeaderValue::Format(format) }
}

fn field_of_request(name: &str) -> Part {
    let name = FieldName { name: name.as_bytes().into(), other: None };
    Part::Operator(Operator { ask: Ask::Request(name), bytes_max: None })
}

/// All values of a level are made before it changes anything but what it removes; it replaces
/// before it adds. The order of Envoy, see the differential test.
#[test]
fn values_are_made_of_the_request() {
    let name = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
    let bracketed =
        |of: &str| vec![Part::Text(name("[")), field_of_request(of), Part::Text(name("]"))];
    let changes = HeaderChanges::new(
        vec![
            HeaderChange::Append(name("x-o"), "added".into()),
            HeaderChange::Overwrite(name("x-o"), "replaced".into()),
            HeaderChange::Overwrite(name("x-a"), "new".into()),
            HeaderChange::Append(name("x-b"), value_of(bracketed("x-a"), false)),
            HeaderChange::Append(name("x-c"), value_of(bracketed("x-gone"), false)),
            HeaderChange::Append(name("x-d"), value_of(vec![field_of_request("x-gone")], false)),
            HeaderChange::Append(name("x-e"), value_of(vec![field_of_request("x-gone")], true)),
            HeaderChange::AddIfAbsent(name("x-f"), "1".into()),
            HeaderChange::AddIfAbsent(name("x-f"), "2".into()),
            HeaderChange::Remove(name("x-gone")),
        ],
        Vec::new(),
    );
    assert!(changes.has_formats);
    let mut route = fixture::route("r", PathMatch::Prefix(b"/".as_slice().into()));
    route.headers = changes;
    let table = RouteTable {
        hosts: vec![fixture::virtual_host("v", vec![route])],
        any: Some(0),
        ..RouteTable::default()
    };
    let mut head = head("GET / HTTP/1.1\nhost: a\nx-a: old\nx-gone: g");
    let found = find(&table, &head, 0).unwrap();
    assert!(super::need_facts(&table, &found));
    let manager = fixture::manager();
    let facts = crate::format::Facts::default();
    forward(
        &mut head,
        &Attempt { timeout: None, facts: Some(&facts), ..attempt(&manager, &table, &found) },
    );
    assert_eq!(
        lines(&head),
        [
            "x-o: replaced",
            "x-a: new",
            "x-o: added",
            "x-b: [old]",
            "x-c: []",
            "x-e: ",
            "x-f: 1",
            "x-f: 2",
        ]
    );
}
