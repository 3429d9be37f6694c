//! Active health checks: what hosts see of them, and which hosts are taken.
//!
//! Each proxy has an origin of its own, whose hosts are the addresses 127.0.0.1 to 127.0.0.8.

#[path = "checks/origin.rs"]
mod origin;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::balance;
use super::harness::{Judge, Pair};
use origin::{Origin, RISEN, SUNK};

/// A cluster, its checks, how many hosts it has, and which of them answer requests.
struct Checked {
    name: &'static str,
    /// Fields of the cluster. Stands for all that are checked every 100 ms.
    fields: &'static str,
    hosts: u8,
    /// Fields of the endpoint of each host besides its address, by its number.
    endpoint: fn(u8) -> &'static str,
    taken: &'static [u8],
}

const fn plain(_: u8) -> &'static str {
    ""
}

/// A host is named, another is checked by another name, and one is not checked at all.
const fn named(number: u8) -> &'static str {
    match number {
        1 => ", hostname: ep.example",
        2 => ", hostname: ep.example, health_check_config: { disable_active_health_check: true }",
        3 => ", hostname: ep.example, health_check_config: { hostname: own.example }",
        4 => ", health_check_config: { port_value: 1 }",
        _ => "",
    }
}

const CHECKED: &[Checked] = &[
    Checked {
        name: "http",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 2, healthy_threshold: 3,
      http_health_check: { path: '/check?full', host: check.example,
        expected_statuses: [{ start: 200, end: 205 }],
        retriable_statuses: [{ start: 500, end: 501 }],
        request_headers_to_add: [{ header: { key: X-Why, value: health } },
          { header: { key: user-agent, value: ours },
            append_action: OVERWRITE_IF_EXISTS_OR_ADD }] } }]",
        hosts: 8,
        endpoint: plain,
        taken: &[1, 3, 5, RISEN, SUNK],
    },
    Checked {
        name: "names",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 2, healthy_threshold: 1,
      http_health_check: { path: /check, method: HEAD,
        request_headers_to_remove: [User-Agent] } }]",
        hosts: 4,
        endpoint: named,
        taken: &[1, 2],
    },
    Checked {
        name: "fresh",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 1, healthy_threshold: 1,
      reuse_connection: false, http_health_check: { path: /check } }]",
        hosts: 3,
        endpoint: plain,
        taken: &[1],
    },
    Checked {
        name: "degraded",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 1, healthy_threshold: 1,
      http_health_check: { path: /degraded } }]",
        hosts: 3,
        endpoint: plain,
        taken: &[1],
    },
    Checked {
        name: "tcp",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 1, healthy_threshold: 1,
      tcp_health_check: { send: { text: '50494e47' },
        receive: [{ text: '504f' }, { text: '4e47' }] } }]",
        hosts: 4,
        endpoint: plain,
        taken: &[1],
    },
    Checked {
        name: "tcp-connect",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 1, healthy_threshold: 1,
      tcp_health_check: {} }]",
        hosts: 2,
        endpoint: plain,
        taken: &[1, 2],
    },
    Checked {
        name: "dead",
        fields: "health_checks: [{ @EVERY@, unhealthy_threshold: 1, healthy_threshold: 1,
      tcp_health_check: {} }]",
        hosts: 2,
        endpoint: plain,
        taken: &[],
    },
    Checked {
        name: "grpc",
        fields: "@HTTP2@
    health_checks: [{ @EVERY@, unhealthy_threshold: 2, healthy_threshold: 1,
      grpc_health_check: { service_name: some.Service, authority: check.example,
        initial_metadata: [{ header: { key: x-why, value: health } }] } }]",
        hosts: 4,
        endpoint: plain,
        taken: &[1],
    },
    Checked {
        name: "http2",
        fields: "@HTTP2@
    health_checks: [{ @EVERY@, unhealthy_threshold: 2, healthy_threshold: 1,
      http_health_check: { path: /check, codec_client_type: HTTP2 } }]",
        hosts: 3,
        endpoint: plain,
        taken: &[1],
    },
];

const EVERY: &str = "timeout: 1s, interval: 0.1s, no_traffic_interval: 0.1s";

const HTTP2: &str = r#"typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }"#;

fn bootstrap(origin: &Origin) -> String {
    let (mut routes, mut clusters) = (String::new(), Vec::new());
    for Checked { name, fields, hosts, endpoint, .. } in CHECKED {
        let path = format!("{{ path_separated_prefix: /{name} }}");
        routes.push_str(&format!(
            "              - {{ match: {path}, route: {{ cluster: {name} }} }}\n"
        ));
        let port = match (*name, fields.contains("@HTTP2@")) {
            ("dead", _) => "@DEAD@".to_owned(),
            (_, true) => origin.port_by_http2.to_string(),
            (_, false) => origin.port.to_string(),
        };
        let one = |number| {
            let address = format!("{{ address: 127.0.0.{number}, port_value: {port} }}");
            let more = endpoint(number);
            format!("{{ endpoint: {{ address: {{ socket_address: {address} }}{more} }} }}")
        };
        let endpoints: Vec<_> = (1..=*hosts).map(one).collect();
        let endpoints = endpoints.join(", ");
        let assignment = format!("endpoints: [{{ lb_endpoints: [{endpoints}] }}]");
        let assignment = format!("{{ cluster_name: {name}, {assignment} }}");
        let panic = "common_lb_config: { healthy_panic_threshold: { value: 0 } }";
        let fields = format!("    {fields}\n    {panic}\n    load_assignment: {assignment}\n");
        clusters.push((*name, fields));
    }
    balance::bootstrap(&routes, &clusters).replace("@EVERY@", EVERY).replace("@HTTP2@", HTTP2)
}

/// How often each body comes of so many requests to a cluster, by each proxy.
fn asked(pair: &Pair, cluster: &str) -> [BTreeMap<String, u64>; 2] {
    let request = format!("GET /{cluster}/x HTTP/1.1\r\nHost: x\r\n\r\n");
    let (envoy, ours) = pair.ask(&request.repeat(60));
    [envoy, ours].map(|outcome| balance::counts(&balance::bodies(&outcome)))
}

fn hosts(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| format!("host {number}")).collect()
}

/// Both take these hosts, and no others, once they have had the time.
fn takes(pair: &Pair, cluster: &str, wanted: &BTreeSet<String>) {
    let begin = Instant::now();
    loop {
        let asked = asked(pair, cluster);
        if asked.iter().all(|counts| counts.keys().eq(wanted)) {
            return;
        }
        let [envoy, ours] = asked;
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{cluster}: wanted {wanted:?}, envoy {envoy:?}, ours {ours:?}"
        );
    }
}

#[test]
fn hosts_are_checked_as_envoy_does() {
    let Some(judge) = Judge::find("hosts_are_checked_as_envoy_does") else { return };
    let [theirs, own] = [Origin::start(), Origin::start()];
    let pair = Pair::start_each(&judge, "checks", [&bootstrap(&theirs), &bootstrap(&own)]);
    for Checked { name, taken, .. } in CHECKED {
        // Who listens has checked its hosts once, so that the first answers count.
        let [envoy, ours] = asked(&pair, name);
        let wanted = match taken {
            [] => BTreeSet::from(["no healthy upstream".to_owned()]),
            // What rises is down now.
            taken => hosts(taken.iter().copied().filter(|number| *number != RISEN)),
        };
        let keys = |counts: BTreeMap<String, u64>| counts.into_keys().collect::<BTreeSet<_>>();
        let (envoy, ours) = (keys(envoy), keys(ours));
        assert_eq!((&envoy, &ours), (&wanted, &wanted), "{name}: envoy, then ours");
    }
    for origin in [&theirs, &own] {
        origin.turn();
    }
    takes(&pair, "http", &hosts([1, 3, 5, RISEN]));
    for (who, origin) in [("envoy", &theirs), ("ours", &own)] {
        let turned = origin.turned();
        assert!(turned.good_before_first >= 3, "{who}: {turned:?}");
    }
    let (envoy, ours) = (theirs.seen(), own.seen());
    for (host, theirs) in &envoy {
        assert_eq!(Some(theirs), ours.get(host), "what {host} saw");
    }
    assert!(envoy.keys().eq(ours.keys()));
    println!("{} clusters, {} hosts with their checks compared", CHECKED.len(), envoy.len());
}
