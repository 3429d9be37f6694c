use std::net::SocketAddr;
use std::sync::Arc;

use config::snapshot::{
    ChainMatch, ClusterId, FilterChain, Listener, SourceType, TcpProxy, Terminal, Transport,
    Weighted,
};
use ipnet::IpNet;
use proptest::prelude::*;

use super::select;
use crate::facts::{ConnectionFacts, Protocols};

fn chain(name: &str, matches: ChainMatch) -> Arc<FilterChain> {
    let cluster = Weighted::plain("c".into(), ClusterId(0), 1);
    Arc::new(FilterChain {
        name: name.into(),
        matches,
        tls: None,
        tls_timeout: None,
        rbac: Vec::new(),
        gates: Vec::new(),
        cluster_by_sni: false,
        terminal: Terminal::Tcp(Arc::new(TcpProxy {
            stat_prefix: "t".into(),
            clusters: vec![cluster],
            total_weight: 1,
            idle_timeout: None,
            tunnel: None,
            max_duration: None,
            jitter_percent: 0.0,
            max_connect_attempts: 1,
            hash_source: false,
            access_log: Vec::new(),
        })),
    })
}

fn listener(chains: Vec<Arc<FilterChain>>) -> Listener {
    Listener {
        name: "l".into(),
        address: SocketAddr::from(([0, 0, 0, 0], 15006)),
        bound: None,
        use_original_dst: false,
        original_dst: true,
        proxy_protocol: None,
        tls_inspector: None,
        http_inspector: None,
        inspect_timeout: None,
        continue_on_timeout: false,
        chains,
        default_chain: Some(chain("default", ChainMatch::default())),
        buffer_limit: 1 << 20,
        access_log: Vec::new(),
    }
}

fn facts() -> ConnectionFacts<'static> {
    ConnectionFacts {
        destination: "127.0.0.1:9080".parse().unwrap(),
        source: "127.0.0.1:40000".parse().unwrap(),
        direct: None,
        transport: Transport::Raw,
        sni: "",
        alpn: Protocols::NONE,
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn names(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

fn protocols(texts: &[&str]) -> Vec<Box<[u8]>> {
    texts.iter().map(|text| Box::from(text.as_bytes())).collect()
}

fn selected(chains: &[(&str, ChainMatch)], facts: &ConnectionFacts<'_>) -> String {
    let chains = chains.iter().map(|(name, matches)| chain(name, matches.clone())).collect();
    select(&listener(chains), facts).map(|chain| chain.name.to_string()).unwrap_or_default()
}

/// The five listeners that Envoy 1.40 was asked with.
#[test]
fn there_is_no_way_back_from_a_better_match() {
    let by_port = ChainMatch { destination_port: Some(27990), ..ChainMatch::default() };
    let by_net = ChainMatch { prefixes: nets(&["127.0.0.0/8"]), ..ChainMatch::default() };
    let narrow = ChainMatch { prefixes: nets(&["127.0.0.1/32"]), ..ChainMatch::default() };
    let first = [
        ("port", by_port),
        ("ip8", by_net.clone()),
        ("ip32", ChainMatch { source_ports: vec![1], ..narrow.clone() }),
        ("none", ChainMatch::default()),
    ];
    let on_port = ConnectionFacts { destination: "127.0.0.1:27990".parse().unwrap(), ..facts() };
    assert_eq!(selected(&first, &on_port), "port");
    assert_eq!(selected(&first, &facts()), "default");
    let second = [
        ("ip32", ChainMatch { source_prefixes: nets(&["10.0.0.0/8"]), ..narrow }),
        ("ip8", by_net),
    ];
    assert_eq!(selected(&second, &facts()), "default");
}

#[test]
fn the_port_decides_before_all_else() {
    let asks =
        |port, transport| ChainMatch { destination_port: port, transport, ..ChainMatch::default() };
    let chains = [
        ("port-tls", asks(Some(9080), Some(Transport::Tls))),
        ("raw", asks(None, Some(Transport::Raw))),
        ("any", ChainMatch::default()),
    ];
    assert_eq!(selected(&chains, &facts()), "default");
    let tls = ConnectionFacts { transport: Transport::Tls, ..facts() };
    assert_eq!(selected(&chains, &tls), "port-tls");
    let elsewhere = ConnectionFacts { destination: "127.0.0.1:1".parse().unwrap(), ..facts() };
    assert_eq!(selected(&chains, &elsewhere), "raw");
}

#[test]
fn server_names_are_exact_then_the_longest_suffix() {
    let asks = |list: &[&str]| ChainMatch { server_names: names(list), ..ChainMatch::default() };
    let chains = [
        ("exact", asks(&["www.example.com", "*.other.org"])),
        ("long", asks(&["*.www.example.com"])),
        ("short", asks(&["*.example.com"])),
        ("tld", asks(&["*.com"])),
        ("none", asks(&[])),
    ];
    for (sni, expected) in [
        ("www.example.com", "exact"),
        ("WWW.Example.com", "exact"),
        ("a.other.org", "exact"),
        ("a.www.example.com", "long"),
        ("a.example.com", "short"),
        ("example.com", "tld"),
        ("com", "none"),
        (".com", "none"),
        ("", "none"),
        ("example.org", "none"),
    ] {
        let facts = ConnectionFacts { sni, ..facts() };
        assert_eq!(selected(&chains, &facts), expected, "{sni}");
    }
}

#[test]
fn the_clients_first_protocol_that_is_asked_for_decides() {
    let asks = |list: &[&str]| ChainMatch { alpn: protocols(list), ..ChainMatch::default() };
    let chains = [
        ("istio", asks(&["istio", "istio-peer-exchange"])),
        ("http", asks(&["http/1.1", "h2c"])),
        ("any", asks(&[])),
    ];
    let lists: [(&[&[u8]], &str); 5] = [
        (&[b"http/1.1", b"istio"], "http"),
        (&[b"istio", b"http/1.1"], "istio"),
        (&[b"unknown", b"istio"], "istio"),
        (&[b"unknown"], "any"),
        (&[], "any"),
    ];
    for (list, expected) in lists {
        let as_list = ConnectionFacts { alpn: Protocols::List(list), ..facts() };
        assert_eq!(selected(&chains, &as_list), expected, "{list:?}");
        let mut wire = Vec::new();
        for name in list {
            wire.push(name.len() as u8);
            wire.extend_from_slice(name);
        }
        let as_wire = ConnectionFacts { alpn: Protocols::Wire(&wire), ..facts() };
        assert_eq!(selected(&chains, &as_wire), expected, "{list:?} on the wire");
        wire.extend_from_slice(b"\xffshort");
        let torn = ConnectionFacts { alpn: Protocols::Wire(&wire), ..facts() };
        assert_eq!(selected(&chains, &torn), expected, "{list:?} torn");
    }
}

/// What istiod sends for a PERMISSIVE port whose protocol is found out.
#[test]
fn a_permissive_port_tells_its_four_kinds_apart() {
    let asks = |transport, list: &[&str]| ChainMatch {
        destination_port: Some(9080),
        transport: Some(transport),
        alpn: protocols(list),
        ..ChainMatch::default()
    };
    let chains = [
        ("mtls-http", asks(Transport::Tls, &["istio-http/1.0", "istio-http/1.1", "istio-h2"])),
        ("http", asks(Transport::Raw, &["http/1.1", "h2c"])),
        ("mtls-tcp", asks(Transport::Tls, &["istio-peer-exchange", "istio"])),
        ("tcp", asks(Transport::Raw, &[])),
        ("tls-through", asks(Transport::Tls, &[])),
    ];
    let lists: [(Transport, &[&[u8]], &str); 6] = [
        (Transport::Tls, &[b"istio-http/1.1", b"istio", b"http/1.1"], "mtls-http"),
        (Transport::Tls, &[b"istio-peer-exchange", b"istio"], "mtls-tcp"),
        (Transport::Tls, &[b"h2", b"http/1.1"], "tls-through"),
        (Transport::Tls, &[], "tls-through"),
        (Transport::Raw, &[b"http/1.1"], "http"),
        (Transport::Raw, &[], "tcp"),
    ];
    for (transport, list, expected) in lists {
        let facts = ConnectionFacts { transport, alpn: Protocols::List(list), ..facts() };
        assert_eq!(selected(&chains, &facts), expected, "{transport:?} {list:?}");
    }
}

#[test]
fn sources_are_told_apart() {
    let typed = |source_type| ChainMatch { source_type, ..ChainMatch::default() };
    let types = [
        ("local", typed(SourceType::Local)),
        ("external", typed(SourceType::External)),
        ("any", typed(SourceType::Any)),
    ];
    for (source, destination, expected) in [
        ("127.0.0.1:1", "10.0.0.1:1", "local"),
        ("10.0.0.1:1", "10.0.0.1:2", "local"),
        ("[::ffff:10.0.0.1]:1", "10.0.0.1:2", "local"),
        ("10.0.0.2:1", "10.0.0.1:2", "external"),
        ("[::1]:1", "[fd00::1]:2", "local"),
    ] {
        let facts = ConnectionFacts {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ..facts()
        };
        assert_eq!(selected(&types, &facts), expected, "{source} {destination}");
    }
    let nearest = [
        ("port", ChainMatch { source_ports: vec![7], ..ChainMatch::default() }),
        ("net", ChainMatch { source_prefixes: nets(&["10.0.0.0/8"]), ..ChainMatch::default() }),
        (
            "direct",
            ChainMatch { direct_source_prefixes: nets(&["10.9.0.0/16"]), ..ChainMatch::default() },
        ),
        ("any", ChainMatch::default()),
    ];
    for (source, expected) in [
        ("10.9.0.1:7", "direct"),
        ("10.8.0.1:7", "net"),
        ("11.0.0.1:7", "port"),
        ("11.0.0.1:8", "any"),
    ] {
        let facts = ConnectionFacts { source: source.parse().unwrap(), ..facts() };
        assert_eq!(selected(&nearest, &facts), expected, "{source}");
    }
}

#[test]
fn nothing_is_selected_where_there_is_no_default() {
    let by_port = ChainMatch { destination_port: Some(1), ..ChainMatch::default() };
    let mut listener = listener(vec![chain("port", by_port)]);
    listener.default_chain = None;
    assert!(select(&listener, &facts()).is_none());
    listener.chains.clear();
    assert!(select(&listener, &facts()).is_none());
}

/// Envoy's way in so many words: dimension by dimension, keep those with the most specific value.
fn narrowed(chains: &[(String, ChainMatch)], facts: &ConnectionFacts<'_>) -> String {
    let mut left: Vec<_> =
        chains.iter().map(|(name, asked)| (name, super::ranks(asked, facts))).collect();
    for dimension in 0..9 {
        let best = left.iter().map(|(_, ranks)| ranks[dimension]).max().unwrap_or(0);
        left.retain(|(_, ranks)| ranks[dimension] == best && best > 0);
    }
    left.first().map_or_else(|| "default".to_owned(), |(name, _)| (*name).clone())
}

fn any_match() -> impl Strategy<Value = ChainMatch> {
    let nets_of = |all: &'static [&'static str]| {
        prop::sample::subsequence(all, 0..=all.len()).prop_map(|some| nets(&some))
    };
    let port = prop::option::of(9079_u16..9082);
    let transport = prop::option::of(prop::sample::select(vec![Transport::Raw, Transport::Tls]));
    let names_of = prop::sample::subsequence(vec!["a.b", "*.b", "c"], 0..=3);
    let alpn = prop::sample::subsequence(vec!["x", "y"], 0..=2);
    let source = nets_of(&["127.0.0.0/8", "10.0.0.0/8", "0.0.0.0/0"]);
    let prefixes = nets_of(&["127.0.0.0/8", "127.0.0.1/32", "10.0.0.0/8"]);
    let ports = prop::sample::subsequence(vec![1_u16, 40000], 0..=2);
    (port, prefixes, names_of, transport, alpn, source, ports).prop_map(
        |(
            destination_port,
            prefixes,
            server_names,
            transport,
            alpn,
            source_prefixes,
            source_ports,
        )| {
            ChainMatch {
                destination_port,
                prefixes,
                server_names: names(&server_names),
                transport,
                alpn: protocols(&alpn),
                source_prefixes,
                source_ports,
                ..ChainMatch::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn one_pass_finds_what_narrowing_finds(
        matches in prop::collection::vec(any_match(), 0..12),
        sni in prop::sample::select(vec!["", "a.b", "z.b", "c"]),
        alpn in prop::sample::subsequence(vec![&b"y"[..], &b"x"[..]], 0..=2),
    ) {
        let named: Vec<_> =
            matches.into_iter().enumerate().map(|(at, asked)| (at.to_string(), asked)).collect();
        let facts = ConnectionFacts { sni, alpn: Protocols::List(&alpn), ..facts() };
        let chains = named.iter().map(|(name, asked)| chain(name, asked.clone())).collect();
        let listener = listener(chains);
        let found = select(&listener, &facts).unwrap();
        prop_assert_eq!(found.name.to_string(), narrowed(&named, &facts));
    }
}
