//! Goal: no set of objects makes the control plane panic, and the same set gives the same bytes in
//! whatever order it came. Method: random objects from small alphabets, so that names collide.

mod common;

use std::collections::BTreeSet;

use common::Told;
use model::{Mesh, Store};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use ringway_translate::Key;
use source::read::read;

const NAMES: [&str; 4] = ["a", "b", "reviews", "x-y"];
const SPACES: [&str; 3] = ["default", "istio-system", "other"];

fn meta() -> impl Strategy<Value = String> {
    let labels = subsequence(vec!["app: a", "app: b", "version: v1", "tier: x"], 0..=3);
    let created = select(vec!["", "creationTimestamp: 2026-01-01T00:00:00Z, "]);
    (select(&NAMES[..]), select(&SPACES[..]), labels, created, any::<bool>()).prop_map(
        |(name, space, mut labels, created, mesh)| {
            labels.sort_by_key(|label| label.split(':').next().map(str::to_owned));
            labels.dedup_by_key(|label| label.split(':').next().map(str::to_owned));
            if mesh {
                labels.push("security.istio.io/tlsMode: istio");
            }
            let labels = labels.join(", ");
            format!("{{name: {name}, namespace: {space}, {created}labels: {{{labels}}}}}")
        },
    )
}

fn pod() -> impl Strategy<Value = String> {
    (meta(), 0u8..4, select(&NAMES[..])).prop_map(|(meta, ip, account)| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {meta}\nspec: {{serviceAccountName: {account}, \
             containers: [{{ports: [{{name: main, containerPort: 8080}}]}}]}}\n\
             status: {{podIP: 10.0.0.{ip}}}\n"
        )
    })
}

fn service() -> impl Strategy<Value = String> {
    let port = (select(vec!["http", "tcp", "odd", "grpc-x", "tls"]), 79u16..84, 0u8..4);
    let ports = proptest::collection::vec(port, 0..4);
    let address = select(vec!["None", "10.96.0.1", "10.96.0.2", "''"]);
    (meta(), ports, address, select(vec!["app: a", "app: b", ""])).prop_map(
        |(meta, ports, address, selector)| {
            let ports: Vec<String> = ports
                .iter()
                .enumerate()
                .map(|(i, (name, port, target))| {
                    let target = match target {
                        0 => "main".to_owned(),
                        1 => "missing".to_owned(),
                        other => (8080 + u16::from(*other)).to_string(),
                    };
                    format!("{{name: {name}-{i}, port: {port}, targetPort: {target}}}")
                })
                .collect();
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {meta}\nspec: {{clusterIP: {address}, \
                 selector: {{{selector}}}, ports: [{}]}}\n",
                ports.join(", ")
            )
        },
    )
}

fn route() -> impl Strategy<Value = String> {
    let hosts =
        vec!["a", "b.default", "'*.svc.cluster.local'", "'*'", "www.example.com", "reviews"];
    let hosts = subsequence(hosts, 1..4);
    let weights = proptest::collection::vec((select(&NAMES[..]), 0u32..3), 1..4);
    let matches = select(vec![
        "",
        "match: [{uri: {prefix: /a}}], ",
        "match: [{port: 80, sourceLabels: {app: a}}, {headers: {x: {}}}], ",
        "match: [{uri: {regex: '('}}], ",
    ]);
    (meta(), hosts, weights, matches).prop_map(|(meta, hosts, weights, matches)| {
        let routes: Vec<String> = weights
            .iter()
            .map(|(host, weight)| {
                format!("{{destination: {{host: {host}, subset: v1}}, weight: {weight}}}")
            })
            .collect();
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {meta}\n\
             spec: {{hosts: [{}], http: [{{{matches}route: [{}]}}]}}\n",
            hosts.join(", "),
            routes.join(", ")
        )
    })
}

fn rest() -> impl Strategy<Value = String> {
    let rule = (meta(), select(vec!["a", "'*.default.svc.cluster.local'", "reviews.other"]))
        .prop_map(|(meta, host)| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {meta}\n\
                 spec: {{host: {host}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}\n"
            )
        });
    let mode = select(vec!["STRICT", "PERMISSIVE", "DISABLE", "UNSET"]);
    let selector = select(vec!["", "selector: {matchLabels: {app: a}}, "]);
    let peers = (meta(), selector.clone(), mode.clone(), mode, any::<bool>()).prop_map(
        |(meta, selector, mode, port, ports)| {
            let ports = if ports && !selector.is_empty() {
                format!(", portLevelMtls: {{8080: {{mode: {port}}}, 9: {{mode: {mode}}}}}")
            } else {
                String::new()
            };
            format!(
                "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {meta}\n\
                 spec: {{{selector}mtls: {{mode: {mode}}}{ports}}}\n"
            )
        },
    );
    let rules = select(vec![
        "",
        ", rules: [{}]",
        ", rules: [{from: [{source: {principals: ['*', 'a*', '*b', '']}}]}]",
        ", rules: [{to: [{operation: {ports: ['80', '99999'], paths: ['/a', '{*}']}}]}]",
        ", rules: [{when: [{key: 'request.headers[x]', notValues: ['*']}]}]",
    ]);
    let action = select(vec!["ALLOW", "DENY", "CUSTOM", "AUDIT"]);
    let access = (meta(), selector, action, rules).prop_map(|(meta, selector, action, rules)| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {meta}\n\
             spec: {{{selector}action: {action}{rules}}}\n"
        )
    });
    prop_oneof![rule, peers, access]
}

fn objects() -> impl Strategy<Value = Vec<String>> {
    let one = prop_oneof![3 => pod(), 3 => service(), 2 => route(), 3 => rest()];
    proptest::collection::vec(one, 0..24).prop_map(|mut all| {
        // One object a name, as a cluster would hold them.
        let mut seen = BTreeSet::new();
        all.retain(|text| {
            let kind = text.lines().nth(1).unwrap_or_default().to_owned();
            let meta = text.lines().nth(2).unwrap_or_default();
            seen.insert((kind, meta.split(", ").take(2).collect::<String>()))
        });
        all
    })
}

fn told(objects: &[String]) -> Vec<u8> {
    let contents = read("random.yaml", &objects.join("---\n"));
    assert_eq!(contents.messages, [], "{objects:#?}");
    let mut store = Store::new(Mesh::default());
    store.apply(&common::put(contents.objects));
    let model = store.model();
    let keys: BTreeSet<Key> = model.workloads.values().map(|pod| Key::of(pod)).collect();
    keys.iter().flat_map(|key| Told::of(&model, key).bytes()).collect()
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

/// The objects twice, the second time in another order.
fn twice() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    objects().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn order_does_not_matter_and_nothing_panics(
        (first, second) in twice()
    ) {
        prop_assert_eq!(told(&first), told(&second));
    }

    /// Any text at all: read, refused or not, without a panic.
    #[test]
    fn any_text_is_survived(text in "[a-z:{}\\[\\]\\-\n '\"*&#|>0-9]{0,200}") {
        let _ = read("any.yaml", &text);
    }
}
