//! What a `DestinationRule` says of load balancing becomes what istiod makes of it.

mod common;

use common::{Told, key, text};
use model::Mesh;
use serde_json::{Value, json};

fn told() -> Value {
    let shapes = include_str!("shapes.yaml").replace("MODE", "PERMISSIVE");
    let model = text(Mesh::default(), &shapes);
    Told::of(&model, &key(&model, "web")).json()
}

fn cluster(told: &Value, port: u16, subset: &str) -> Value {
    let name = format!("outbound|{port}|{subset}|cache.default.svc.cluster.local");
    let all = told["clusters"].as_array().unwrap();
    all.iter().find(|cluster| cluster["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
}

#[test]
fn hosts_are_hashed_warmed_up_and_ejected_as_the_rule_says() {
    let told = told();
    let whole = cluster(&told, 85, "");
    assert_eq!(whole["lbPolicy"], "MAGLEV");
    assert_eq!(whole["maglevLbConfig"], json!({"tableSize": "101"}));
    let ring = cluster(&told, 85, "ring");
    assert_eq!(ring["lbPolicy"], "RING_HASH");
    assert_eq!(ring["ringHashLbConfig"], json!({"minimumRingSize": "1024"}));
    let warm = &cluster(&told, 85, "warm")["roundRobinLbConfig"]["slowStartConfig"];
    assert_eq!(warm["slowStartWindow"], "30s");
    assert_eq!(warm["aggression"]["defaultValue"], 2.0);
    assert_eq!(warm["minWeightPercent"]["value"], 10.0);
    let detection = json!({
        "consecutive5xx": 3,
        "enforcingConsecutive5xx": 100,
        "consecutiveGatewayFailure": 0,
        "enforcingConsecutiveGatewayFailure": 0,
        "splitExternalLocalOriginErrors": true,
        "consecutiveLocalOriginFailure": 2,
        "enforcingConsecutiveLocalOriginFailure": 100,
        "enforcingSuccessRate": 0,
        "enforcingLocalOriginSuccessRate": 0,
        "interval": "5s",
        "baseEjectionTime": "60s",
        "maxEjectionPercent": 50,
    });
    for subset in ["", "ring", "warm"] {
        let cluster = cluster(&told, 85, subset);
        assert_eq!(cluster["outlierDetection"], detection, "{subset}");
        assert_eq!(cluster["commonLbConfig"]["healthyPanicThreshold"]["value"], 20.0, "{subset}");
        let budget = &cluster["circuitBreakers"]["thresholds"][0]["retryBudget"];
        let expected = json!({"budgetPercent": {"value": 25.0}, "minRetryConcurrency": 5});
        assert_eq!(*budget, expected);
    }
}

#[test]
fn routes_and_raw_connections_say_what_is_hashed() {
    let told = told();
    let text = told["routes"].as_array().unwrap().iter().find(|table| table["name"] == "85");
    let hosts = text.unwrap()["virtualHosts"].as_array().unwrap();
    let name = "cache.default.svc.cluster.local:85";
    let route = &hosts.iter().find(|host| host["name"] == name).unwrap()["routes"][0]["route"];
    let cookie = json!([{"cookie": {"name": "c", "path": "/", "ttl": "5s"}}]);
    assert_eq!(route["hashPolicy"], cookie);
    let retry = &route["retryPolicy"];
    assert!(retry["retryHostPredicate"].is_null(), "a retry goes to the same host: {retry}");
    assert_eq!(retry["numRetries"], 2);
}
