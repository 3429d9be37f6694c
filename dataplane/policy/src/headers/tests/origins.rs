//! What is believed and told of a request's origin, against Envoy 1.40 under the same settings.

use config::snapshot::{Detection, HostForm, Origin, SchemeChange, StripPort, Underscores};

use super::*;
use crate::headers::{host_form, underscores};

fn with(origin: Origin) -> HttpManager {
    HttpManager { origin: Some(Box::new(origin)), ..fixture::manager() }
}

fn nets(text: &str) -> Vec<ipnet::IpNet> {
    vec![text.parse().expect("a net")]
}

#[test]
fn trusted_hops_are_passed_over() {
    for (hops, uses_peer, told, expected) in [
        (0, false, "1.2.3.4, 5.6.7.8", "5.6.7.8"),
        (1, false, "1.2.3.4, 5.6.7.8", "1.2.3.4"),
        (2, false, "1.2.3.4, 5.6.7.8", "127.0.0.1"),
        (1, true, "1.2.3.4, 5.6.7.8", "5.6.7.8"),
        (2, true, "1.2.3.4, 5.6.7.8", "1.2.3.4"),
        (2, true, "1.2.3.4", "127.0.0.1"),
        (1, true, "unknown", "127.0.0.1"),
    ] {
        let mut manager = with(Origin { trusted_hops: hops, ..Origin::default() });
        manager.use_remote_address = uses_peer;
        let mut head = head(&format!("GET / HTTP/1.1\nhost: a\nx-forwarded-for: {told}"));
        let found = arrive(&mut head, &manager, "127.0.0.1:4000", None);
        assert_eq!(found.to_string(), expected, "{hops} {uses_peer} {told}");
    }
}

#[test]
fn internal_is_whom_the_configuration_says() {
    let origin = || Origin { internal: nets("10.0.0.0/8"), ..Origin::default() };
    let internal = "x-envoy-internal: true".to_owned();
    let inner = with(origin());
    assert!(arrived("x-forwarded-for: 10.1.1.1", &inner).contains(&internal));
    assert!(!arrived("x-forwarded-for: 11.1.1.1", &inner).contains(&internal));
    assert!(!arrived("x-forwarded-for: 10.2.2.2, 10.1.1.1", &inner).contains(&internal));
    assert!(!arrived("x-envoy-internal: true", &inner).contains(&internal));
    let hops = with(Origin { trusted_hops: 1, ..origin() });
    assert!(!arrived("x-forwarded-for: 10.1.1.1, 10.1.1.1", &hops).contains(&internal));

    let found = arrived(
        "x-forwarded-for: 10.1.1.1\nx-envoy-ip-tags: a\nx-envoy-force-trace: 1\n\
         x-envoy-max-retries: 3",
        &inner,
    );
    let expected = [
        "x-forwarded-for: 10.1.1.1",
        "x-envoy-ip-tags: a",
        "x-envoy-force-trace: 1",
        "x-envoy-max-retries: 3",
        "x-forwarded-proto: http",
        "x-envoy-internal: true",
    ];
    assert_eq!(found, with_id(&expected));
}

#[test]
fn extensions_are_asked_in_order() {
    let field = |reject| Detection::Field { name: (*b"x-real").into(), is_trusted: true, reject };
    let xff = Detection::ForwardedFor { trusted_hops: 0, trusted: Vec::new(), appends: false };
    let manager = with(Origin { detection: vec![field(None), xff], ..Origin::default() });
    let remote = |fields: &str| {
        let mut head = head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
        arrive(&mut head, &manager, "127.0.0.1:4000", None).to_string()
    };
    assert_eq!(remote("x-real: 1.1.1.1\nx-forwarded-for: 2.2.2.2"), "1.1.1.1");
    assert_eq!(remote("x-real: nobody\nx-forwarded-for: 2.2.2.2"), "2.2.2.2");
    assert_eq!(remote("x-real: nobody"), "127.0.0.1");

    let strict = with(Origin { detection: vec![field(Some(429))], ..Origin::default() });
    let context = RequestContext {
        manager: &strict,
        source: "127.0.0.1:1".parse().expect("an address"),
        local: "127.0.0.1:80".parse().expect("an address"),
        peer: None,
        local_uri: "",
        request_id: 0xd3b0_7384_d9a0_4c9b_8f3e_1c2d_3e4f_5a6b,
    };
    let rejected = request(&mut head("GET / HTTP/1.1\nhost: a"), &context);
    assert_eq!(rejected.map_err(|rejected| rejected.status), Err(429));
}

#[test]
fn trusted_proxies_are_passed_over() {
    let mut trusted = nets("127.0.0.0/8");
    trusted.extend(nets("10.0.0.0/8"));
    let way = Detection::ForwardedFor { trusted_hops: 0, trusted, appends: true };
    let manager =
        with(Origin { detection: vec![way], internal: nets("10.0.0.0/8"), ..Origin::default() });
    for (told, expected, is_internal) in [
        ("1.2.3.4, 10.1.1.1", "1.2.3.4", false),
        ("10.1.1.1", "10.1.1.1", true),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2", false),
        ("zz, 10.1.1.1", "127.0.0.1", false),
    ] {
        let mut head = head(&format!("GET / HTTP/1.1\nhost: a\nx-forwarded-for: {told}"));
        let found = arrive(&mut head, &manager, "127.0.0.1:4000", None);
        assert_eq!(found.to_string(), expected, "{told}");
        let lines = lines(&head);
        assert!(lines.contains(&format!("x-forwarded-for: {told},192.0.2.2")), "{lines:?}");
        assert_eq!(lines.iter().any(|l| l == "x-envoy-internal: true"), is_internal, "{told}");
    }
}

#[test]
fn port_and_scheme_are_told() {
    let origin = Origin { forwarded_port: true, ..Origin::default() };
    let mut manager = with(origin.clone());
    let port = |fields: &str, manager: &HttpManager| {
        let lines = arrived(fields, manager);
        let mut ports = lines.iter().filter_map(|line| line.strip_prefix("x-forwarded-port: "));
        ports.next().map(str::to_owned)
    };
    assert_eq!(port("", &manager).as_deref(), Some("8080"));
    assert_eq!(port("x-forwarded-port: 5", &manager).as_deref(), Some("5"));
    manager.use_remote_address = true;
    assert_eq!(port("x-forwarded-port: 5", &manager).as_deref(), Some("8080"));
    let scheme = with(Origin { scheme: Some(SchemeChange::To("https")), ..origin });
    assert!(
        arrived("x-forwarded-proto: http", &scheme)
            .contains(&"x-forwarded-proto: https".to_owned())
    );
}

#[test]
fn hosts_lose_port_and_dot() {
    let any = HostForm { port: StripPort::Any, strip_dot: true };
    let matching = HostForm { port: StripPort::Matching, strip_dot: false };
    for (form, host, expected) in [
        (any, "a.b.:8080", "a.b"),
        (any, "a.b.", "a.b"),
        (any, "[::1]:80", "[::1]"),
        (any, "[::1]", "[::1]"),
        (any, "a", "a"),
        (matching, "a.:8080", "a."),
        (matching, "a:80", "a:80"),
        (HostForm { strip_dot: true, ..HostForm::default() }, "a.:80", "a:80"),
        (HostForm::default(), "a.:8080", "a.:8080"),
    ] {
        let mut head = head(&format!("GET / HTTP/1.1\nhost: {host}"));
        host_form(&mut head, form, 8080);
        assert_eq!(head.authority(), expected.as_bytes(), "{form:?} {host}");
    }
}

#[test]
fn names_with_underscores_pass_or_do_not() {
    let mut head = head("GET / HTTP/1.1\nhost: a\nx_y: 1\nx-z: 2");
    assert!(underscores(&mut head, Underscores::Allow));
    assert!(!underscores(&mut head, Underscores::Reject));
    assert!(underscores(&mut head, Underscores::Drop));
    assert_eq!(lines(&head), ["x-z: 2"]);
    assert!(underscores(&mut head, Underscores::Reject));
}
