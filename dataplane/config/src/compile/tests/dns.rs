//! Clusters that are found by names: what is asked, and what becomes of the answers.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::dns::{Family, Lookup, Question, Resolver};
use crate::snapshot::Discovery;

fn strict(names: &[&str], more: &str) -> String {
    let endpoints = names.iter().map(|name| {
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: {name}, port_value: 80}}}}}}}}, "
        )
    });
    let endpoints: String = endpoints.collect();
    let assignment = format!("{{endpoints: [{{lb_endpoints: [{endpoints}]}}]}}");
    format!("type: STRICT_DNS\nload_assignment: {assignment}\n{more}")
}

fn asked(compiler: &Compiler) -> Vec<Question> {
    let mut asked: Vec<_> = compiler.questions().into_iter().collect();
    asked.sort_by(|a, b| a.name.cmp(&b.name));
    asked
}

fn hosts(snapshot: &Snapshot, compiler: &Compiler) -> Vec<String> {
    let hosts = &cluster(snapshot, compiler, "c").endpoints.hosts;
    hosts.iter().map(|host| host.address.to_string()).collect()
}

const CARES: &str = "type.googleapis.com/\
    envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
const LOCAL: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)];

#[test]
fn names_are_asked_for_with_envoys_defaults() {
    let (_, compiler) = good(&with_cluster(&strict(&["b.test", "a.test", "127.0.0.1"], "")));
    let lookup = Arc::new(Lookup {
        logical: false,
        family: Family::Auto,
        refresh: Duration::from_secs(5),
        failure_refresh: None,
        respect_ttl: false,
        ttl_least: Duration::ZERO,
        jitter: Duration::ZERO,
        resolver: Arc::new(Resolver::default()),
    });
    let question = |name: &str| Question { name: name.into(), lookup: Arc::clone(&lookup) };
    assert_eq!(asked(&compiler), [question("a.test"), question("b.test")]);
}

#[test]
fn a_resolver_says_what_it_was_told() {
    let resolver = r#"
typed_dns_resolver_config:
  name: envoy.network.dns_resolver.cares
  typed_config:
    "@type": @CARES@
    resolvers:
    - {socket_address: {address: 10.0.0.53, port_value: 5353, protocol: UDP}}
    - {socket_address: {address: "::1", port_value: 0}}
    use_resolvers_as_fallback: true
    dns_resolver_options: {use_tcp_for_dns_lookups: true, no_default_search_domain: true}
    query_timeout_seconds: 2
    query_tries: 3
    rotate_nameservers: true
    edns0_max_payload_size: 4096
"#;
    let resolver = &resolver.replace("@CARES@", CARES);
    let expected = Resolver {
        servers: vec!["10.0.0.53:5353".parse().unwrap(), "[::1]:53".parse().unwrap()],
        as_fallback: true,
        tcp: true,
        no_search: true,
        rotate: true,
        timeout: Duration::from_secs(2),
        tries: 3,
        udp_payload: 4096,
    };
    let fields = "dns_lookup_family: ALL\ndns_refresh_rate: 60s\ndns_jitter: 0.1s\n\
                  respect_dns_ttl: true\ndns_failure_refresh_rate: {base_interval: 2s}";
    let with = |resolver: &str| with_cluster(&strict(&["a.test"], &format!("{fields}{resolver}")));
    let (_, compiler) = good(&with(resolver));
    let lookup = asked(&compiler)[0].lookup.clone();
    assert_eq!(*lookup.resolver, expected);
    let second = Duration::from_secs(1);
    assert_eq!(
        (lookup.family, lookup.refresh, lookup.respect_ttl),
        (Family::All, 60 * second, true)
    );
    assert_eq!(
        (lookup.failure_refresh, lookup.jitter),
        (Some((2 * second, 20 * second)), second / 10)
    );

    // What the bootstrap says holds where the cluster says nothing.
    let (_, compiler) = good(&format!("{}{resolver}", with("")));
    assert_eq!(*asked(&compiler)[0].lookup.resolver, expected);
    let old = "\ndns_resolvers: [{socket_address: {address: 10.0.0.1, port_value: 53}}]";
    let (_, compiler) = good(&format!("{}{resolver}", with(old)));
    let servers = vec!["10.0.0.1:53".parse().unwrap()];
    assert_eq!(*asked(&compiler)[0].lookup.resolver, Resolver { servers, ..Resolver::default() });
}

#[test]
fn the_extension_is_another_way_to_say_it() {
    let with = |fields: &str| {
        let assignment = strict(&["a.test"], "").replace("type: STRICT_DNS\n", "");
        with_cluster(&format!(
            "cluster_type: {{name: envoy.cluster.dns, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, {fields}}}}}\n\
             {assignment}"
        ))
    };
    let fields = "all_addresses_in_single_endpoint: true, dns_lookup_family: V4_ONLY, \
                  dns_min_refresh_rate: 3s";
    let (_, mut compiler) = good(&with(fields));
    let question = asked(&compiler).remove(0);
    assert!(question.lookup.logical);
    assert_eq!(question.lookup.family, Family::V4Only);
    assert_eq!(question.lookup.ttl_least, Duration::from_secs(3));
    assert!(compiler.answered(&question, Some(LOCAL.to_vec())));
    let snapshot = compiler.build();
    assert_eq!(cluster(&snapshot, &compiler, "c").discovery, Discovery::LogicalDns);
    let (_, compiler) = good(&with(""));
    assert!(!asked(&compiler)[0].lookup.logical);
}

#[test]
fn a_new_version_that_asks_the_same_has_its_answers_at_once() {
    let (_, mut compiler) = good(&with_cluster(&strict(&["a.test"], "")));
    let question = asked(&compiler).remove(0);
    assert_eq!(compiler.cold().len(), 1);
    assert!(compiler.answered(&question, Some(LOCAL.to_vec())));
    let first = compiler.build();
    assert_eq!(hosts(&first, &compiler), ["127.0.0.1:80"]);
    assert!(!compiler.answered(&question, Some(LOCAL.to_vec())), "nothing new");
    let file = |more: &str| {
        let mut bootstrap = Bootstrap::parse(&with_cluster(&strict(&["a.test"], more))).unwrap();
        bootstrap.take_resources()
    };
    assert_eq!(compiler.apply(file("connect_timeout: 1s"), &mut no_sockets), []);
    let second = compiler.build();
    assert_eq!(hosts(&second, &compiler), ["127.0.0.1:80"]);
    let endpoints = |snapshot: &Snapshot| cluster(snapshot, &compiler, "c").endpoints.clone();
    assert!(Arc::ptr_eq(&endpoints(&first), &endpoints(&second)));
    // Another way to ask is another question; the old version serves until it is answered.
    assert_eq!(compiler.apply(file("dns_lookup_family: V4_ONLY"), &mut no_sockets), []);
    assert_eq!(compiler.questions().len(), 2);
    assert_eq!(hosts(&compiler.build(), &compiler), ["127.0.0.1:80"]);
    let other: HashSet<_> = compiler.questions();
    let other = other.into_iter().find(|other| *other != question).unwrap();
    assert!(compiler.answered(&other, None), "it is known that nothing is known");
    assert_eq!(hosts(&compiler.build(), &compiler), [""; 0]);
    assert_eq!(asked(&compiler), [other]);
}

#[test]
fn the_first_listeners_wait_for_the_names_of_the_clusters_beside_them() {
    let tcp = with_tcp("cluster: c");
    let clusters = with_cluster(&strict(&["a.test"], "")).replace("static_resources:\n", "");
    let (snapshot, mut compiler) = good(&format!("{tcp}{clusters}"));
    assert_eq!((snapshot.listeners.len(), compiler.cold().len()), (0, 2));
    let question = asked(&compiler).remove(0);
    assert!(compiler.answered(&question, None));
    assert_eq!(compiler.build().listeners.len(), 1);
    assert!(compiler.cold().is_empty());
}
