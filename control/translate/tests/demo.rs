//! Goal: the demo folder becomes what istiod would make of it, byte for byte the same each time.
//! Method: golden files of all resources of the pods that matter; facts from the contract, checked
//! one by one, so that a blessed mistake does not pass.

mod common;

use common::{Told, demo, golden, key};
use serde_json::Value;

fn find<'v>(told: &'v Value, list: &str, name: &str) -> &'v Value {
    let all = told[list].as_array().unwrap();
    let found = all.iter().find(|v| v["name"] == name || v["clusterName"] == name);
    found.unwrap_or_else(|| panic!("no {name} among {list}"))
}

fn names<'v>(told: &'v Value, list: &str) -> Vec<&'v str> {
    let all = told[list].as_array().unwrap();
    all.iter().filter_map(|v| v["name"].as_str().or_else(|| v["clusterName"].as_str())).collect()
}

#[test]
fn resources_are_the_golden_ones() {
    let model = demo();
    for pod in ["productpage", "reviews-v1", "tcp-echo"] {
        let told = Told::of(&model, &key(&model, pod));
        golden(&format!("{pod}.json"), &told.json());
    }
}

#[test]
fn names_are_istios() {
    let model = demo();
    let told = Told::of(&model, &key(&model, "productpage")).json();
    let cluster = "default.svc.cluster.local";
    let clusters = [
        format!("outbound|9080||productpage.{cluster}"),
        format!("outbound|9080||reviews.{cluster}"),
        format!("outbound|9080|v1|reviews.{cluster}"),
        format!("outbound|9080|v2|reviews.{cluster}"),
        format!("outbound|9000||tcp-echo.{cluster}"),
        "PassthroughCluster".to_owned(),
        "BlackHoleCluster".to_owned(),
        "inbound|9080||".to_owned(),
        "InboundPassthroughCluster".to_owned(),
    ];
    assert_eq!(names(&told, "clusters"), clusters);
    let listeners = ["virtualOutbound", "0.0.0.0_9080", "10.96.0.30_9000", "virtualInbound"];
    assert_eq!(names(&told, "listeners"), listeners);
    assert_eq!(names(&told, "routes"), ["9080"]);
}

#[test]
fn the_canary_is_nine_to_one() {
    let model = demo();
    let told = Told::of(&model, &key(&model, "productpage")).json();
    let hosts = find(&told, "routes", "9080")["virtualHosts"].as_array().unwrap();
    let reviews = hosts.iter().find(|h| h["name"] == "reviews.default.svc.cluster.local:9080");
    let reviews = reviews.unwrap();
    let weights = &reviews["routes"][0]["route"]["weightedClusters"]["clusters"];
    assert_eq!(weights[0]["name"], "outbound|9080|v1|reviews.default.svc.cluster.local");
    assert_eq!((&weights[0]["weight"], &weights[1]["weight"]), (&90.into(), &10.into()));
    let domains: Vec<_> =
        reviews["domains"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for domain in ["reviews", "reviews.default", "10.96.0.20", "reviews.default.svc.cluster.local"]
    {
        assert!(domains.contains(&domain), "{domain}");
    }
    assert_eq!(hosts.last().unwrap()["name"], "allow_any");
}

#[test]
fn subsets_have_their_own_endpoints_and_names() {
    let model = demo();
    let told = Told::of(&model, &key(&model, "productpage")).json();
    let v1 = "outbound|9080|v1|reviews.default.svc.cluster.local";
    let ends = &find(&told, "endpoints", v1)["endpoints"][0]["lbEndpoints"];
    assert_eq!(ends.as_array().unwrap().len(), 1);
    let address = &ends[0]["endpoint"]["address"]["socketAddress"];
    assert_eq!(address["address"], "10.244.2.11");
    let mode = &ends[0]["metadata"]["filterMetadata"]["envoy.transport_socket_match"];
    assert_eq!(mode["tlsMode"], "istio");
    let tls = &find(&told, "clusters", v1)["transportSocketMatches"][0]["transportSocket"];
    let context = &tls["typedConfig"];
    assert_eq!(context["sni"], "outbound_.9080_.v1_.reviews.default.svc.cluster.local");
    let common = &context["commonTlsContext"];
    let checks = &common["combinedValidationContext"]["defaultValidationContext"];
    let account = &checks["matchSubjectAltNames"][0]["exact"];
    assert_eq!(account, "spiffe://cluster.local/ns/default/sa/reviews");
    assert_eq!(common["tlsParams"]["tlsMaximumProtocolVersion"], "TLSv1_3");
}

/// STRICT leaves no way in for plain bytes, on named ports and on others.
#[test]
fn strict_admits_only_tls() {
    let model = demo();
    for pod in ["reviews-v1", "tcp-echo", "ratings"] {
        let told = Told::of(&model, &key(&model, pod)).json();
        let chains = find(&told, "listeners", "virtualInbound")["filterChains"].clone();
        for chain in chains.as_array().unwrap() {
            if chain["name"] == "virtualInbound-blackhole" {
                continue;
            }
            assert_eq!(chain["filterChainMatch"]["transportProtocol"], "tls", "{chain}");
            assert!(chain["transportSocket"].is_object(), "{chain}");
            let required = &chain["transportSocket"]["typedConfig"]["requireClientCertificate"];
            assert_eq!(required, true);
        }
    }
}

/// The policy stands before the router of every chain, and on chains of bytes allows nothing, as
/// it asks for methods and paths.
#[test]
fn the_policy_stands_on_every_chain() {
    let model = demo();
    let told = Told::of(&model, &key(&model, "reviews-v1")).json();
    let chains = find(&told, "listeners", "virtualInbound")["filterChains"].clone();
    let mut seen = (0, 0);
    for chain in chains.as_array().unwrap().iter().skip(1) {
        let first = &chain["filters"][0];
        if first["name"] == "envoy.filters.network.rbac" {
            let rules = &first["typedConfig"]["rules"];
            assert!(rules["policies"].as_object().is_none_or(serde_json::Map::is_empty));
            seen.0 += 1;
            continue;
        }
        let filter = &first["typedConfig"]["httpFilters"][0];
        assert_eq!(filter["name"], "envoy.filters.http.rbac");
        let policies = filter["typedConfig"]["rules"]["policies"].as_object().unwrap();
        assert!(policies.contains_key("ns[default]-policy[reviews-policy]-rule[0]"));
        seen.1 += 1;
    }
    assert_eq!(seen, (1, 2));
    let other = Told::of(&model, &key(&model, "tcp-echo")).json().to_string();
    assert!(!other.contains("rbac"), "the policy selects reviews alone");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (one, two) = (demo(), demo());
    for pod in ["productpage", "reviews-v1", "reviews-v2", "tcp-echo", "ratings"] {
        let told = Told::of(&one, &key(&one, pod)).bytes();
        for _ in 0..8 {
            assert_eq!(Told::of(&two, &key(&two, pod)).bytes(), told);
        }
    }
}
