use super::*;

#[test]
fn cluster_names_are_istios_and_parse_back() {
    let host = "reviews.default.svc.cluster.local";
    let cases = [
        (ClusterName::outbound(9080, "v1", host), format!("outbound|9080|v1|{host}")),
        (ClusterName::outbound(80, "", host), format!("outbound|80||{host}")),
        (ClusterName::inbound(9080), "inbound|9080||".to_owned()),
    ];
    for (name, text) in cases {
        assert_eq!(name.to_string(), text);
        assert_eq!(text.parse(), Ok(name));
    }
    let name = ClusterName::outbound(9080, "v1", host);
    assert_eq!(name.sni(), format!("outbound_.9080_.v1_.{host}"));
}

#[test]
fn other_names_are_not_taken_for_cluster_names() {
    let bad = ["PassthroughCluster", "", "outbound|x||h", "outbound|80||h|more", "Inbound|80||"];
    for text in bad.into_iter().chain(["outbound|65536||h", "outbound|80|v1"]) {
        assert_eq!(text.parse::<ClusterName>(), Err(ClusterNameError(text.to_owned())));
    }
}

#[test]
fn spiffe_ids_parse_and_print() {
    let text = "spiffe://cluster.local/ns/default/sa/productpage";
    let id: SpiffeId = text.parse().unwrap();
    assert_eq!((&*id.namespace, &*id.service_account), ("default", "productpage"));
    assert_eq!(id.to_string(), text);
    assert_eq!(SpiffeId::new("cluster.local", "default", "productpage"), Ok(id));
}

#[test]
fn what_is_no_workload_id_is_refused() {
    let forms = [
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/a/sa/",
        "spiffe://cluster.local/ns/a/sa/b/c",
        "spiffe://Cluster.local/ns/a/sa/b",
        "spiffe:///ns/a/sa/b",
        "spiffe://td/ns/../sa/b",
        "spiffe://td/sa/a/ns/b",
        "spiffe://td/ns/a%2f/sa/b",
    ];
    for text in forms {
        assert_eq!(text.parse::<SpiffeId>(), Err(SpiffeError::Form(text.to_owned())));
    }
    let scheme = "https://td/ns/a/sa/b";
    assert_eq!(scheme.parse::<SpiffeId>(), Err(SpiffeError::Scheme(scheme.to_owned())));
    let long = format!("spiffe://td/ns/a/sa/{}", "b".repeat(2048));
    assert_eq!(long.parse::<SpiffeId>(), Err(SpiffeError::Length(long.len())));
}
