//! Which host serves a request: the same backends behind both proxies.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::cases::HCM;
use crate::harness::Outcome;
use crate::wire;

/// How many backends there are.
const BACKENDS: usize = 6;

/// Backends that say which one they are. What begins with `/bad/N` the first answers with status N.
pub(crate) fn backends() -> Vec<SocketAddr> {
    let start = |number| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || serve(stream, number));
            }
        });
        address
    };
    (0..BACKENDS).map(start).collect()
}

fn serve(mut stream: TcpStream, number: usize) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..length]);
        while let Some(message) = wire::take(&mut bytes, false, false) {
            let path = message.start.split(' ').nth(1).unwrap_or_default().to_owned();
            let bad = path.split("/bad/").nth(1).filter(|_| number == 0);
            let (status, body) = (bad.unwrap_or("200"), format!("b{number}"));
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\n");
            if stream.write_all(format!("{head}\r\n{body}").as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Requests that are told apart by what their cluster's route hashes.
pub(crate) struct Hashed {
    pub(crate) path: &'static str,
    pub(crate) count: u32,
    /// Fields with `@` for the request's number.
    fields: &'static str,
}

impl Hashed {
    pub(crate) fn request(&self, number: u32) -> String {
        let (path, fields) = (self.path, self.fields);
        let text = format!("GET {path}?q=@&r=1 HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        text.replace('@', &number.to_string())
    }
}

const fn hashed(path: &'static str, count: u32, fields: &'static str) -> Hashed {
    Hashed { path, count, fields }
}

pub(crate) const HASHED: &[Hashed] = &[
    hashed("/ring", 60, "x-k: value @\r\n"),
    hashed("/ring-murmur", 60, "x-k: value @\r\n"),
    hashed("/ring-small", 60, "x-k: value @\r\n"),
    hashed("/ring-weighted", 60, "x-k: value @\r\n"),
    hashed("/ring-key", 60, "x-k: value @\r\n"),
    hashed("/ring-localities", 60, "x-k: value @\r\n"),
    hashed("/ring-health", 60, "x-k: value @\r\n"),
    hashed("/ring-priorities", 60, "x-k: value @\r\n"),
    hashed("/ring-bounded", 60, "x-k: value @\r\n"),
    hashed("/ring-extension", 60, "x-k: value @\r\n"),
    hashed("/maglev", 60, "x-k: value @\r\n"),
    hashed("/maglev-small", 60, "x-k: value @\r\n"),
    hashed("/maglev-weighted", 60, "x-k: value @\r\n"),
    hashed("/maglev-key", 60, "x-k: value @\r\n"),
    hashed("/maglev-localities", 60, "x-k: value @\r\n"),
    hashed("/maglev-extension", 60, "x-k: value @\r\n"),
    hashed("/two-values", 40, "x-k: one @\r\nx-k: 1 @\r\n"),
    hashed("/rewrite", 40, "x-k: @-7-@\r\n"),
    hashed("/cookie", 40, "cookie: a=b; c=\"v@\"; d=e\r\n"),
    hashed("/made", 40, "cookie: c=v@\r\n"),
    hashed("/query", 40, ""),
    hashed("/source", 1, ""),
    hashed("/several", 40, "x-k: v@\r\ncookie: c=@@\r\n"),
    hashed("/terminal", 40, "x-k: v@\r\n"),
    hashed("/terminal", 40, "cookie: c=@\r\n"),
    hashed("/path", 40, "x-k: 1\r\n"),
    hashed("/host", 1, ""),
];

const HEADER: &str = "{ header: { header_name: x-k } }";

/// Routes by their names, with hash policy and the cluster's name behind them.
const ROUTES: &[(&str, &str, &str)] = &[
    ("two-values", "{ header: { header_name: X-K } }", "maglev"),
    (
        "rewrite",
        "{ header: { header_name: x-k, regex_rewrite: \
         { pattern: { regex: '([0-9]+)-7' }, substitution: '<\\1$>' } } }",
        "maglev",
    ),
    ("cookie", "{ cookie: { name: c } }", "ring"),
    ("made", "{ cookie: { name: c, ttl: 9s, path: /p } }", "ring"),
    ("query", "{ query_parameter: { name: q } }", "ring"),
    ("source", "{ connection_properties: { source_ip: true } }", "ring"),
    ("several", "{ header: { header_name: x-k } }, { cookie: { name: c } }", "ring"),
    (
        "terminal",
        "{ header: { header_name: x-k }, terminal: true }, { cookie: { name: c } }, \
         { query_parameter: { name: r } }",
        "maglev",
    ),
    ("path", "{ header: { header_name: ':path' } }", "maglev"),
    ("host", "{ header: { header_name: host } }", "maglev"),
];

/// Clusters by their names: what stands in them besides the endpoints, and those.
fn clusters(backends: &[SocketAddr]) -> Vec<(&'static str, String)> {
    let of = |settings: &str, endpoints: String| format!("{settings}\n{endpoints}");
    let flat = || localities(&[(backends, "")]);
    let each = |extra: &dyn Fn(usize) -> String| endpoints_with(backends, extra);
    let weights = |number: usize| format!(", load_balancing_weight: {}", 3 * number + 1);
    let key = |number: usize| {
        format!(
            ", metadata: {{ filter_metadata: {{ envoy.lb: {{ hash_key: 'host {number}' }} }} }}"
        )
    };
    let by_locality = || {
        localities(&[
            (&backends[..2], "zone: b }, load_balancing_weight: 3"),
            (&backends[2..3], "zone: a }, load_balancing_weight: 2"),
            (&backends[3..5], "zone: c }"),
            (&backends[5..], "zone: d }, load_balancing_weight: 1"),
        ])
    };
    let ring = "    lb_policy: RING_HASH";
    let maglev = "    lb_policy: MAGLEV";
    let weighted = "common_lb_config: { locality_weighted_lb_config: {} }";
    vec![
        ("ring", of(ring, flat())),
        (
            "ring-murmur",
            of(
                &format!("{ring}\n    ring_hash_lb_config: {{ hash_function: MURMUR_HASH_2 }}"),
                flat(),
            ),
        ),
        (
            "ring-small",
            of(
                &format!(
                    "{ring}\n    ring_hash_lb_config: \
                     {{ minimum_ring_size: 10, maximum_ring_size: 13 }}"
                ),
                flat(),
            ),
        ),
        ("ring-weighted", of(ring, each(&weights))),
        ("ring-key", of(ring, each(&key))),
        ("ring-localities", of(&format!("{ring}\n    {weighted}"), by_locality())),
        ("ring-health", of(ring, each(&|number| health(number < 4)))),
        ("ring-priorities", of(ring, levels_of(&[(&backends[..4], 1), (&backends[4..], 0)]))),
        (
            "ring-bounded",
            of(
                &format!(
                    "{ring}\n    common_lb_config: {{ consistent_hashing_lb_config: \
                     {{ hash_balance_factor: 120 }} }}"
                ),
                flat(),
            ),
        ),
        (
            "ring-extension",
            of(
                &extension(
                    "ring_hash.v3.RingHash",
                    "hash_function: MURMUR_HASH_2, minimum_ring_size: 64",
                ),
                flat(),
            ),
        ),
        ("maglev", of(maglev, flat())),
        (
            "maglev-small",
            of(&format!("{maglev}\n    maglev_lb_config: {{ table_size: 11 }}"), flat()),
        ),
        ("maglev-weighted", of(maglev, each(&weights))),
        ("maglev-key", of(maglev, each(&key))),
        ("maglev-localities", of(&format!("{maglev}\n    {weighted}"), by_locality())),
        ("maglev-extension", of(&extension("maglev.v3.Maglev", "table_size: 1009"), flat())),
    ]
}

fn extension(kind: &str, fields: &str) -> String {
    let prefix = "type.googleapis.com/envoy.extensions.load_balancing_policies";
    format!(
        "    load_balancing_policy:\n      policies:\n      - typed_extension_config:\n          \
         name: p\n          typed_config: {{ '@type': {prefix}.{kind}, {fields} }}"
    )
}

fn health(is_good: bool) -> String {
    (if is_good { "" } else { ", health_status: UNHEALTHY" }).to_owned()
}

fn host(address: &SocketAddr, extra: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    let address = format!("{{ socket_address: {{ address: {ip}, port_value: {port} }} }}");
    format!("        - {{ endpoint: {{ address: {address} }}{extra} }}\n")
}

const ASSIGNMENT: &str = "    load_assignment:\n      cluster_name: c\n      endpoints:\n";

pub(crate) fn endpoints_with(backends: &[SocketAddr], extra: &dyn Fn(usize) -> String) -> String {
    let hosts = backends.iter().enumerate().map(|(number, at)| host(at, &extra(number)));
    format!("{ASSIGNMENT}      - lb_endpoints:\n{}", hosts.collect::<String>())
}

fn localities(parts: &[(&[SocketAddr], &str)]) -> String {
    let part = |(backends, fields): &(&[SocketAddr], &str)| {
        let hosts: String = backends.iter().map(|address| host(address, "")).collect();
        let fields = match *fields {
            "" => String::new(),
            fields => {
                let mut parts = fields.splitn(2, "}, ");
                let zone = parts.next().unwrap_or_default().trim_end_matches(['}', ' ']);
                let rest = parts.next().map(|rest| format!("        {rest}\n"));
                format!("        locality: {{ {zone} }}\n{}", rest.unwrap_or_default())
            }
        };
        format!("      - lb_endpoints:\n{hosts}{fields}")
    };
    format!("{ASSIGNMENT}{}", parts.iter().map(part).collect::<String>())
}

/// Priorities: their hosts, and how many of these are healthy.
fn levels_of(levels: &[(&[SocketAddr], usize)]) -> String {
    let level = |(priority, (backends, good)): (usize, &(&[SocketAddr], usize))| {
        let hosts = backends.iter().enumerate();
        let hosts = hosts.map(|(number, at)| host(at, &health(number < *good)));
        let hosts: String = hosts.collect();
        format!("      - priority: {priority}\n        lb_endpoints:\n{hosts}")
    };
    format!("{ASSIGNMENT}{}", levels.iter().enumerate().map(level).collect::<String>())
}

const BOOTSTRAP: &str = r#"
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: main
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: main
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
@ROUTES@
  clusters:
@CLUSTERS@
"#;

pub(crate) fn bootstrap(routes: &str, clusters: &[(&str, String)]) -> String {
    let cluster = |(name, fields): &(&str, String)| {
        format!("  - name: {name}\n    connect_timeout: 1s\n{fields}")
    };
    BOOTSTRAP
        .replace("@HCM@", HCM)
        .replace("@ROUTES@", routes)
        .replace("@CLUSTERS@", &clusters.iter().map(cluster).collect::<String>())
}

fn route(path: &str, fields: &str) -> String {
    let route = |path: &str| {
        format!("              - {{ match: {{ path: {path} }}, route: {{ {fields} }} }}\n")
    };
    format!("{}{}", route(&format!("/{path}")), route(&format!("/h2/{path}")))
}

pub(crate) fn hashing(backends: &[SocketAddr]) -> String {
    let clusters = clusters(backends);
    let own = clusters.iter().map(|(name, _)| (*name, HEADER, *name));
    let routes = own.chain(ROUTES.iter().copied()).map(|(path, policy, cluster)| {
        route(path, &format!("cluster: {cluster}, hash_policy: [{policy}]"))
    });
    bootstrap(&routes.collect::<String>(), &clusters)
}

/// What is asked of each cluster below, and by how many of 120 requests a host's count may differ:
/// where the two draw lots, by what chance explains.
pub(crate) const LEVELS: &[(&str, u64)] = &[
    ("/healthy", 1),
    ("/one-of-four", 45),
    ("/none-of-two-levels", 45),
    // Envoy reads on slowly behind an answer of its own: what counts is which answer it is.
    ("/no-panic", 120),
    ("/panic", 2),
    ("/overprovisioned", 1),
    ("/degraded", 40),
    ("/localities", 2),
    ("/localities-health", 3),
    ("/fail-on-panic", 120),
    ("/weights", 2),
    ("/first-supported", 2),
];

pub(crate) fn levels(backends: &[SocketAddr]) -> String {
    let two =
        |good: usize, other: usize| levels_of(&[(&backends[..4], good), (&backends[4..], other)]);
    let by_locality = || {
        localities(&[
            (&backends[..2], "zone: b }, load_balancing_weight: 3"),
            (&backends[2..4], "zone: a }, load_balancing_weight: 1"),
        ])
    };
    let common = |fields: &str| format!("    common_lb_config: {{ {fields} }}\n");
    let weighted = common("locality_weighted_lb_config: {}");
    let generous = two(2, 2) + "      policy: { overprovisioning_factor: 200 }\n";
    let sick = by_locality().replacen(" }\n", ", health_status: UNHEALTHY }\n", 1);
    let unknown = {
        let prefix = "type.googleapis.com/envoy.extensions.load_balancing_policies";
        let none = "type.googleapis.com/xds.type.v3.TypedStruct, \
                    type_url: type.googleapis.com/nobody.knows.this";
        let known = format!("{prefix}.round_robin.v3.RoundRobin");
        let one = |kind: &str| {
            format!(
                "{{ typed_extension_config: {{ name: p, typed_config: {{ '@type': {kind} }} }} }}"
            )
        };
        let (none, known) = (one(none), one(&known));
        format!("    load_balancing_policy: {{ policies: [{none}, {known}] }}\n")
    };
    let weights = |number: usize| format!(", load_balancing_weight: {}", number + 1);
    let degraded = |number: usize| {
        let status = ["HEALTHY", "DEGRADED", "UNHEALTHY", "DEGRADED"];
        format!(", health_status: {}", status[number % 4])
    };
    let clusters = [
        ("healthy", two(4, 2)),
        ("one-of-four", two(1, 2)),
        ("none-of-two-levels", two(0, 0)),
        ("no-panic", common("healthy_panic_threshold: { value: 0 }") + &two(0, 0)),
        ("panic", levels_of(&[(&backends[..4], 1)])),
        ("overprovisioned", generous),
        ("degraded", endpoints_with(&backends[..4], &degraded)),
        ("localities", weighted.clone() + &by_locality()),
        ("localities-health", weighted + &sick),
        (
            "fail-on-panic",
            common("zone_aware_lb_config: { fail_traffic_on_panic: true }")
                + &levels_of(&[(&backends[..4], 1)]),
        ),
        ("weights", endpoints_with(&backends[..3], &weights)),
        ("first-supported", unknown + &endpoints_with(&backends[..2], &|_| String::new())),
    ];
    let routes = clusters.iter().map(|(name, _)| route(name, &format!("cluster: {name}")));
    bootstrap(&routes.collect::<String>(), &clusters)
}

/// Clusters of the bad backend and a good one: name, what is asked, outlier detection.
pub(crate) const EJECTED: &[(&str, &str, &str)] = &[
    ("fives", "/bad/500", "{ consecutive_5xx: 3, max_ejection_percent: 50 }"),
    ("default", "/bad/503", "{}"),
    ("too-many", "/bad/503", "{ consecutive_5xx: 2, max_ejection_percent: 49 }"),
    (
        "always-one",
        "/bad/503",
        "{ consecutive_5xx: 2, max_ejection_percent: 1, always_eject_one_host: true }",
    ),
    (
        "gateway",
        "/bad/502",
        "{ enforcing_consecutive_5xx: 0, consecutive_gateway_failure: 2, \
         enforcing_consecutive_gateway_failure: 100, max_ejection_percent: 100 }",
    ),
    (
        "no-gateway",
        "/bad/500",
        "{ enforcing_consecutive_5xx: 0, consecutive_gateway_failure: 2, \
         enforcing_consecutive_gateway_failure: 100, max_ejection_percent: 100 }",
    ),
    (
        "not-enforced",
        "/bad/503",
        "{ consecutive_5xx: 2, enforcing_consecutive_5xx: 0, max_ejection_percent: 100 }",
    ),
    ("dead", "/x", "{ consecutive_5xx: 3, max_ejection_percent: 100 }"),
    (
        "split",
        "/x",
        "{ consecutive_5xx: 1, split_external_local_origin_errors: true, \
         consecutive_local_origin_failure: 2, max_ejection_percent: 100 }",
    ),
    (
        "split-answers",
        "/bad/503",
        "{ consecutive_5xx: 2, split_external_local_origin_errors: true, \
         consecutive_local_origin_failure: 1, max_ejection_percent: 100 }",
    ),
    ("both", "/bad/503", "{ consecutive_5xx: 2, max_ejection_percent: 100 }"),
    ("both-no-panic", "/bad/503", "{ consecutive_5xx: 2, max_ejection_percent: 100 }"),
    (
        "again",
        "/bad/503",
        "{ consecutive_5xx: 5, interval: 0.1s, base_ejection_time: 600s, max_ejection_time: 600s, \
         max_ejection_percent: 100 }",
    ),
];

pub(crate) fn outliers(backends: &[SocketAddr]) -> String {
    let each = EJECTED.iter().map(|(name, _, detection)| {
        let mut endpoints = endpoints_with(&backends[..2], &|_| String::new());
        if matches!(*name, "dead" | "split") {
            let port = format!("port_value: {} ", backends[0].port());
            endpoints = endpoints.replace(&port, "port_value: @DEAD@ ");
        }
        if name.starts_with("both") {
            endpoints = endpoints_with(&backends[..1], &|_| String::new());
        }
        let panic = match *name {
            "both" => 50,
            _ => 0,
        };
        let fields = format!(
            "    outlier_detection: {detection}\n    common_lb_config: \
             {{ healthy_panic_threshold: {{ value: {panic} }} }}\n{endpoints}"
        );
        (*name, fields)
    });
    let clusters: Vec<_> = each.collect();
    let route = |(name, _): &(&str, String)| {
        format!(
            "              - {{ match: {{ prefix: /{name}/ }}, route: {{ cluster: {name} }} }}\n"
        )
    };
    bootstrap(&clusters.iter().map(route).collect::<String>(), &clusters)
}

/// The bodies of all answers.
pub(crate) fn bodies(outcome: &Outcome) -> Vec<String> {
    outcome.answer.responses.iter().map(|message| message.body.clone()).collect()
}

pub(crate) fn counts(bodies: &[String]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    bodies.iter().for_each(|body| *counts.entry(body.clone()).or_insert(0) += 1);
    counts
}

/// How often each status and body was answered: where round robin begins is a matter of chance.
pub(crate) fn starts<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for message in outcomes.flat_map(|outcome| &outcome.answer.responses) {
        let line = format!("{} {}", message.start, message.body);
        *counts.entry(line).or_insert(0) += 1;
    }
    counts
}

/// The lines of an answer, without a made cookie's value: the two proxies' ports are in it.
pub(crate) fn masked(lines: &[String]) -> Vec<String> {
    let mask = |line: &String| match line.split_once("c=\"") {
        Some((head, rest)) => format!("{head}{}", rest.get(16..).unwrap_or_default()),
        None => line.clone(),
    };
    lines.iter().map(mask).collect()
}
