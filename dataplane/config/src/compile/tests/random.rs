//! Whatever the bytes are, the compiler answers; it never panics.

use std::time::Instant;

use api::envoy::discovery::Resource;
use api::envoy::listener::Listener;
use proptest::prelude::*;

use super::*;

fn bytes_of(yaml: &str) -> Vec<u8> {
    let message: api::envoy::bootstrap::Bootstrap = api::text::parse(yaml).unwrap();
    let resources = message.static_resources.unwrap();
    match resources.listeners.first() {
        Some(listener) => listener.encode_to_vec(),
        None => resources.clusters[0].encode_to_vec(),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![
        bytes_of(&with_tcp("cluster: c")),
        bytes_of(&with_route("match: {prefix: /}\nroute: {cluster: c, timeout: 1s}")),
        bytes_of(&with_cluster(
            "type: EDS\neds_cluster_config: {eds_config: {ads: {}}}\nconnect_timeout: 1s",
        )),
    ]
}

fn feed(bytes: &[u8]) {
    let mut compiler = Compiler::new();
    for type_url in [
        api::any::CLUSTER,
        api::any::ENDPOINTS,
        api::any::LISTENER,
        api::any::ROUTES,
        api::any::SECRET,
        "type.googleapis.com/other",
    ] {
        let any = Any { type_url: type_url.to_owned(), value: bytes.to_vec() };
        let (update, _) = Update::state_of_the_world(type_url, std::slice::from_ref(&any));
        compiler.apply(update, &mut no_sockets);
        let resource = Resource { name: "r".into(), resource: Some(any), ..Default::default() };
        let (update, _) = Update::delta(type_url, &[resource], &["r".into()]);
        compiler.apply(update, &mut no_sockets);
        compiler.build();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        feed(&bytes);
    }

    #[test]
    fn mutated_messages(
        seed in 0_usize..3,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        feed(&bytes);
    }

    #[test]
    fn random_text(text in "[a-z{}:\\[\\] \n\"@-]{0,80}") {
        let _ = Bootstrap::parse(&text);
        let _ = api::text::parse::<Listener>(&text);
    }
}

#[test]
fn a_large_configuration_is_built_in_seconds() {
    let mut update = Update::default();
    for index in 0..2_000 {
        let yaml = format!(
            "name: c{index}\ntype: STATIC\nconnect_timeout: 1s\nload_assignment: {{endpoints: \
             [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 10.0.0.1, \
             port_value: {}}}}}}}}}]}}]}}",
            index + 1
        );
        update.clusters.push(api::text::parse(&yaml).unwrap());
    }
    let routes: String = (0..10_000)
        .map(|index| {
            format!("  - {{match: {{prefix: /{index}}}, route: {{cluster: c{}}}}}\n", index % 2_000)
        })
        .collect();
    let yaml = format!("name: r\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n{routes}");
    let read = Instant::now();
    update.routes.push(api::text::parse(&yaml).unwrap());
    let read = read.elapsed();
    let listener = with_manager(&format!(
        "http_filters: [{ROUTER}]\nrds: {{route_config_name: r, config_source: {{ads: {{}}}}}}"
    ));
    let message: api::envoy::bootstrap::Bootstrap = api::text::parse(&listener).unwrap();
    update.listeners.push(message.static_resources.unwrap().listeners.remove(0));
    let mut compiler = Compiler::new();
    let apply = Instant::now();
    assert!(compiler.apply(update, &mut no_sockets).is_empty());
    let apply = apply.elapsed();
    let build = Instant::now();
    let first = compiler.build();
    let build = build.elapsed();
    let again = Instant::now();
    let second = compiler.build();
    println!(
        "10,000 routes as YAML {read:?}; apply {apply:?}; build {build:?}, again {:?}",
        again.elapsed()
    );
    assert_eq!(first.clusters.len(), 2_000);
    assert_eq!(first.routes["r"].hosts[0].routes.len(), 10_000);
    let shared = first.clusters.iter().zip(&second.clusters);
    assert!(shared.flat_map(|(a, b)| a.iter().zip(b)).all(|(a, b)| Arc::ptr_eq(a, b)));
}
