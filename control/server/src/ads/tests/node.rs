//! What a client says about itself.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind as ValueKind;
use envoy_types::pb::google::protobuf::{Struct, Value};

use super::*;

const ID: &str = "sidecar~10.244.1.5~reviews-v1.default~default.svc.cluster.local";

fn text(value: &str) -> Value {
    Value { kind: Some(ValueKind::StringValue(value.into())) }
}

fn node(id: &str, metadata: &[(&str, Value)]) -> Node {
    let fields = metadata.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    Node { id: id.into(), metadata: Some(Struct { fields }), ..Default::default() }
}

fn labels(pairs: &[(&str, &str)]) -> Value {
    let fields = pairs.iter().map(|(key, value)| (key.to_string(), text(value))).collect();
    Value { kind: Some(ValueKind::StructValue(Struct { fields })) }
}

#[test]
fn a_sidecar_is_read() {
    let read = ProxyNode::read(Some(&node(
        ID,
        &[
            ("NAMESPACE", text("default")),
            ("SERVICE_ACCOUNT", text("reviews")),
            ("INSTANCE_IPS", text("10.244.1.5, fd00::5")),
            ("LABELS", labels(&[("app", "reviews"), ("version", "v1")])),
            ("ISTIO_VERSION", text("1.30.3")),
        ],
    )))
    .unwrap();
    assert_eq!((read.role, read.pod.as_str()), (Role::Sidecar, "reviews-v1"));
    assert_eq!(
        (read.namespace.as_str(), read.service_account.as_deref()),
        ("default", Some("reviews"))
    );
    assert_eq!(
        read.addresses,
        ["10.244.1.5".parse::<std::net::IpAddr>().unwrap(), "fd00::5".parse().unwrap()]
    );
    assert_eq!(read.labels.get("version").map(String::as_str), Some("v1"));
}

#[test]
fn without_metadata_the_id_says_it() {
    let read = ProxyNode::read(Some(&node(ID, &[]))).unwrap();
    assert_eq!((read.namespace.as_str(), read.service_account), ("default", None));
    assert_eq!(read.addresses, ["10.244.1.5".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let long = format!("sidecar~1.2.3.4~{}~x", "p".repeat(NODE_TEXT_MAX));
    let ids = [
        "",
        "sidecar",
        "sidecar~10.0.0.1~p.ns",
        "sidecar~10.0.0.1~p.ns~d~more",
        "sidecar~not-an-ip~p.ns~ns.svc",
        "sidecar~10.0.0.1~~ns.svc",
        "ztunnel~10.0.0.1~p.ns~ns.svc",
        &long,
    ];
    for id in ids {
        assert!(ProxyNode::read(Some(&node(id, &[]))).is_err(), "{id}");
    }
    assert_eq!(ProxyNode::read(None), Err(NodeError::Missing));
    let bad = node(ID, &[("INSTANCE_IPS", text("10.0.0.1,x"))]);
    assert!(matches!(ProxyNode::read(Some(&bad)), Err(NodeError::Addresses(_))));
    let many: Vec<String> = (0..=NODE_LABELS_MAX).map(|n| n.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "v")).collect();
    let bad = node(ID, &[("LABELS", labels(&many))]);
    assert_eq!(ProxyNode::read(Some(&bad)), Err(NodeError::Labels));
}
