//! Goal: the merge rules are Istio's. Method: small worlds, one question each.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringway_model::{Mesh, Model, MtlsMode, Protocol, Store};
use source::{Batch, Change};

fn model(text: &str) -> Model {
    let contents = source::read::read("f.yaml", text);
    assert_eq!(contents.messages, [], "{text}");
    let mut store = Store::new(Mesh::default());
    let changes = contents.objects.into_iter().map(Change::Put).collect();
    assert_eq!(store.apply(&Batch { changes, messages: vec![] }), []);
    store.model()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{ports: [{name: main, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, labels: {app: web}}
status: {phase: Running, podIP: 10.0.0.2, conditions: [{type: Ready, status: 'False'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c, labels: {app: web}, annotations: {sidecar.istio.io/status: '{}'}}
status: {phase: Succeeded, podIP: 10.0.0.3}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: 10.96.0.1
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: main}
  - {name: dns, port: 53, protocol: UDP}
  - {name: http-two, port: 81}
---
";

#[test]
fn endpoints_come_from_pods_by_selector() {
    let model = model(PODS);
    let web = &model.services["web.default.svc.cluster.local"];
    assert_eq!(web.ports.len(), 2, "UDP is left out");
    let ends: Vec<_> =
        web.ports[0].endpoints.iter().map(|e| (e.address.to_string(), e.ready)).collect();
    // `b` has no port of that name; `c` has run its course.
    assert_eq!(ends, [("10.0.0.1:8080".to_owned(), true)]);
    let ends: Vec<_> = web.ports[1]
        .endpoints
        .iter()
        .map(|e| (e.address.to_string(), e.ready, e.mutual_tls))
        .collect();
    let wanted = [("10.0.0.1:81".to_owned(), true, true), ("10.0.0.2:81".to_owned(), false, false)];
    assert_eq!(ends, wanted);
    let v6: IpAddr = "fd00::1".parse().unwrap();
    assert_eq!(model.workload_at(v6).unwrap().name, "a");
    let served = model.served_at(&["10.0.0.1".parse().unwrap()]);
    let served: Vec<_> = served.iter().map(|(_, port, target)| (port.number, *target)).collect();
    assert_eq!(served, [(80, 8080), (81, 81)]);
}

#[test]
fn slices_count_before_selectors() {
    let slice = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 9999}]
endpoints:
- {addresses: [10.0.0.9], targetRef: {kind: Pod, name: a}}
- {addresses: [10.0.0.8], conditions: {ready: false}}
- {addresses: [10.0.0.7], conditions: {terminating: true}}
";
    let model = model(&format!("{PODS}{slice}"));
    let web = &model.services["web.default.svc.cluster.local"];
    let ends: Vec<_> = web.ports[0]
        .endpoints
        .iter()
        .map(|e| (e.address.to_string(), e.ready, e.mutual_tls))
        .collect();
    let wanted =
        [("10.0.0.8:9999".to_owned(), false, false), ("10.0.0.9:9999".to_owned(), true, true)];
    assert_eq!(ends, wanted);
    assert!(web.ports[1].endpoints.is_empty(), "the slice has no such port");
}

fn peers(name: &str, namespace: &str, spec: &str, age: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, \
         namespace: {namespace}, creationTimestamp: 20{age}-01-01T00:00:00Z}}\nspec: \
         {{{spec}}}\n---\n"
    )
}

/// Port, then workload, then namespace, then mesh; UNSET asks the wider level; the oldest counts.
#[test]
fn modes_of_mutual_tls_are_found_by_level() {
    let web = labels(&[("app", "web")]);
    let none = labels(&[]);
    let text = [
        peers("z-older", "istio-system", "mtls: {mode: STRICT}", "20"),
        peers("a-newer", "istio-system", "mtls: {mode: DISABLE}", "21"),
        peers("ns", "shop", "mtls: {mode: DISABLE}", "20"),
        peers("ns", "unset", "mtls: {mode: UNSET}", "20"),
        peers(
            "web",
            "shop",
            "selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {1: \
             {mode: STRICT}, 2: {mode: UNSET}}",
            "20",
        ),
        peers("web-2", "shop", "selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}", "21"),
    ];
    let model = model(&text.concat());
    let cases = [
        ("default", &none, None, MtlsMode::Strict),
        ("unset", &none, None, MtlsMode::Strict),
        ("shop", &none, None, MtlsMode::Disable),
        ("shop", &web, None, MtlsMode::Permissive),
        ("shop", &web, Some(1), MtlsMode::Strict),
        ("shop", &web, Some(2), MtlsMode::Permissive),
        ("shop", &web, Some(3), MtlsMode::Permissive),
        ("default", &web, Some(1), MtlsMode::Strict),
    ];
    for (namespace, labels, port, wanted) in cases {
        let mode = model.mtls_mode(namespace, labels, port);
        assert_eq!(mode, wanted, "{namespace} {labels:?} {port:?}");
    }
    let empty = Model::default();
    assert_eq!(empty.mtls_mode("a", &none, None), MtlsMode::Permissive);
}

fn route(name: &str, age: &str, host: &str) -> String {
    let created = match age {
        "" => String::new(),
        age => format!(", creationTimestamp: 20{age}-01-01T00:00:00Z"),
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: \
         {name}{created}}}\nspec: {{hosts: ['{host}'], http: [{{route: [{{destination: {{host: \
         web}}}}]}}]}}\n---\n"
    )
}

#[test]
fn the_most_specific_then_the_oldest_route_counts() {
    type Route<'t> = (&'t str, &'t str, &'t str);
    let cases: [(&[Route<'_>], &str); 5] = [
        (&[("a", "21", "web"), ("b", "20", "web")], "b"),
        (&[("b", "20", "web"), ("a", "20", "web")], "a"),
        (&[("a", "", "web"), ("b", "25", "web")], "b"),
        (&[("a", "20", "*.svc.cluster.local"), ("b", "21", "web")], "b"),
        (&[("a", "20", "*"), ("b", "21", "*.default.svc.cluster.local")], "b"),
    ];
    for (routes, wanted) in cases {
        let text: String = routes.iter().map(|(n, age, host)| route(n, age, host)).collect();
        let model = model(&format!("{PODS}{text}"));
        let found = model.routes_for("web.default.svc.cluster.local", "default").unwrap();
        assert_eq!(found.name, wanted, "{routes:?}");
    }
}

#[test]
fn what_will_not_work_is_warned_of() {
    let text = format!(
        "{PODS}{}{}{}",
        route("one", "20", "web"),
        route("two", "21", "web"),
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: \
         three}\nspec: {hosts: [x], http: [{route: [{destination: {host: web, subset: v9}}]}, \
         {route: [{destination: {host: nobody}}]}, {route: [{destination: {host: web, port: \
         {number: 7}}}]}]}\n"
    );
    let said: Vec<_> = model(&text).warnings.iter().map(ToString::to_string).collect();
    let wanted = [
        "VirtualService default/two: spec.hosts[0]: VirtualService default/one is older and rules",
        "three: spec.http[0].route[0].destination.subset: no DestinationRule gives",
        "three: spec.http[1].route[0].destination.host: there is no service nobody.default",
        "three: spec.http[2].route[0].destination.port.number: web.default.svc",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.contains(wanted), "{said}\n{wanted}");
    }
}

#[test]
fn protocols_are_chosen_by_app_protocol_then_name_then_number() {
    let cases = [
        (None, "http", 80, Protocol::Http),
        (None, "http-web", 80, Protocol::Http),
        (None, "HTTP2-x", 80, Protocol::Http2),
        (None, "grpc-web", 80, Protocol::GrpcWeb),
        (None, "grpc-webby", 80, Protocol::Grpc),
        (None, "grpc-web-x", 80, Protocol::GrpcWeb),
        (None, "httpx", 80, Protocol::Auto),
        (None, "", 80, Protocol::Auto),
        (None, "", 3306, Protocol::Tcp),
        (None, "http", 3306, Protocol::Http),
        (Some("kubernetes.io/h2c"), "http", 80, Protocol::Http2),
        (Some("tcp"), "http", 80, Protocol::Tcp),
        (Some("example.com/odd"), "http", 80, Protocol::Auto),
    ];
    for (app, name, port, wanted) in cases {
        assert_eq!(Protocol::select(app, name, port), wanted, "{app:?} {name} {port}");
    }
}
