//! Goal: an `AuthorizationPolicy` becomes the filter that istiod makes of it. Method: Istio's own
//! inputs and outputs, where they are at hand. What is refused here (JWT, path templates) or needs
//! a mesh with aliases is taken out of both sides, each by name.

mod common;

use std::path::Path;

use common::json;
use model::{Mesh, Model, Store};
use ringway_translate::{Key, ProxyKind, listeners};
use serde_json::{Value, json};
use source::kinds::security::{AuthorizationPolicy, Rule};
use source::{Object, Spec};

#[test]
fn filters_are_istios() {
    let Some(data) = common::istio_data() else {
        return common::skip("filters_are_istios", "no data of Istio; set RINGWAY_ISTIO_DATA");
    };
    let http = data.join("authz/http");
    let cases: [(&str, &[&str]); 8] = [
        ("allow-empty-rule", &["out"]),
        ("allow-nil-rule", &["out"]),
        ("allow-path", &["out"]),
        ("deny-and-allow", &["out1", "out2"]),
        ("deny-empty-rule", &["out"]),
        ("multiple-policies", &["out"]),
        ("single-policy", &["out"]),
        ("simple-policy-principal-with-wildcard", &["out"]),
    ];
    for (name, outputs) in cases {
        let wanted: Vec<Value> = outputs.iter().map(|out| output(&http, name, out)).collect();
        assert_eq!(filters(&http, name), wanted, "{name}");
    }
}

/// The access filters that our sidecar of `httpbin` v1 has.
fn filters(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{name}-in.yaml"))).unwrap();
    let contents = source::read::read(name, &text);
    assert_eq!(contents.messages, []);
    let objects = contents.objects.iter().map(|object| {
        let mut object = Object::clone(object);
        if let Spec::AuthorizationPolicy(policy) = &mut object.spec {
            trim_policy(policy);
        }
        object.into()
    });
    let mut store = Store::new(Mesh { trust_domain: "td1".to_owned(), ..Mesh::default() });
    let refused = store.apply(&common::put(objects.collect()));
    assert_eq!(refused, []);
    http_filters(&store.model())
}

fn http_filters(model: &Model) -> Vec<Value> {
    let labels = [("app", "httpbin"), ("version", "v1")];
    let key = Key {
        kind: ProxyKind::Sidecar,
        namespace: "foo".to_owned(),
        service_account: "default".to_owned(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        addresses: vec![],
    };
    let told = listeners(model, &key);
    let inbound = json(told.last().unwrap());
    let chains = inbound["filterChains"].as_array().unwrap();
    let chain = chains.iter().find(|c| c["name"] == "virtualInbound-catchall-http").unwrap();
    let filters = chain["filters"][0]["typedConfig"]["httpFilters"].as_array().unwrap();
    filters.iter().filter(|f| f["name"] == "envoy.filters.http.rbac").cloned().collect()
}

/// Takes out what the model refuses.
fn trim_policy(policy: &mut AuthorizationPolicy) {
    for rule in &mut policy.rules {
        let Rule { from, to, .. } = rule;
        for from in from.iter_mut() {
            from.source.request_principals.clear();
        }
        from.retain(|from| from.source != Default::default());
        for to in to.iter_mut() {
            to.operation.paths.retain(|path| !path.contains('{'));
            to.operation.not_paths.retain(|path| !path.contains('{'));
        }
    }
}

/// Istio's filter, without what the model refuses.
fn output(folder: &Path, name: &str, out: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{name}-{out}.yaml"))).unwrap();
    let mut filter: Value = serde_saphyr::from_str(&text).unwrap();
    trim(&mut filter);
    if name == "simple-policy-principal-with-wildcard" {
        // Istio's own test runs in a mesh with the aliases `foobar` and `some-td`.
        let policies = &mut filter["typedConfig"]["rules"]["policies"];
        let ids = &mut policies["ns[foo]-policy[httpbin]-rule[0]"]["principals"][1];
        let ids = ids["andIds"]["ids"][0]["orIds"]["ids"].as_array_mut().unwrap();
        ids.retain(|id| id["authenticated"]["principalName"]["exact"].is_null());
    }
    filter
}

fn trim(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(trim),
        Value::Array(items) => {
            let jwt = |item: &Value| item["orIds"].to_string().contains("jwt_authn");
            items.retain(|item| !jwt(item) && item["uriTemplate"].is_null());
            items.iter_mut().for_each(trim);
        }
        _ => {}
    }
    // A rule whose only condition went is a rule for anybody.
    for inner in ["/andIds/ids", "/andRules/rules"] {
        if let Some(Value::Array(all)) = value.pointer_mut(inner)
            && all.is_empty()
        {
            all.push(json!({ "any": true }));
        }
    }
}

/// On chains that pass bytes on, an ALLOW rule about requests allows nothing, and a DENY rule
/// about requests denies all that its other conditions say.
#[test]
fn rules_about_requests_fail_closed_on_bytes() {
    let text = |action: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a, \
             namespace: foo}}\nspec:\n  action: {action}\n  rules:\n  - from: [{{source: \
             {{principals: [p]}}}}]\n    to: [{{operation: {{methods: [GET], ports: ['80']}}}}]\n"
        )
    };
    let network = |action| {
        let model = common::text(Mesh::default(), &text(action));
        let key = Key {
            kind: ProxyKind::Sidecar,
            namespace: "foo".to_owned(),
            service_account: "default".to_owned(),
            labels: Default::default(),
            addresses: vec![],
        };
        let told = listeners(&model, &key);
        let inbound = json(told.last().unwrap());
        let chains = inbound["filterChains"].as_array().unwrap().clone();
        let chain = chains.into_iter().rfind(|chain| chain["name"] == "virtualInbound").unwrap();
        chain["filters"][0]["typedConfig"]["rules"].clone()
    };
    assert_eq!(network("ALLOW"), json!({}), "ALLOW with no policy: nobody");
    let deny = network("DENY");
    assert_eq!(deny["action"], "DENY");
    let policy = &deny["policies"]["ns[foo]-policy[a]-rule[0]"];
    let port = json!([{ "andRules": { "rules": [
        { "orRules": { "rules": [{ "destinationPort": 80 }] } }
    ] } }]);
    assert_eq!(policy["permissions"], port);
}
