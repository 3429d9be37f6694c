use std::net::{IpAddr, SocketAddr};

use config::snapshot::{
    Action, HeaderMatch, Permission, Policy, Principal, Rules, StringKind, Transport, ValueMatch,
};
use tls::session::Peer;
use wire::head::Head;

use super::{http, network};
use crate::facts::{ConnectionFacts, Protocols, RequestFacts};
use crate::fixture::{self, exact, head, peer};

const PRODUCTPAGE: &str = "spiffe://cluster.local/ns/default/sa/productpage";

fn connection() -> ConnectionFacts<'static> {
    ConnectionFacts {
        destination: SocketAddr::from(([10, 244, 1, 2], 9080)),
        source: SocketAddr::from(([10, 244, 1, 7], 40000)),
        direct: None,
        transport: Transport::Tls,
        sni: "outbound_.9080_._.reviews.default.svc.cluster.local",
        alpn: Protocols::NONE,
    }
}

fn rules(action: Action, permission: Permission, principal: Principal) -> Rules {
    let policy =
        |name: &str, permissions, principals| Policy { name: name.into(), permissions, principals };
    Rules {
        action,
        policies: vec![
            policy("a never", Vec::new(), vec![Principal::Any]),
            policy("b rule", vec![permission], vec![principal]),
        ],
    }
}

/// Whether an ALLOW rule of this permission lets the request pass.
fn permits(permission: Permission, request: &Head) -> bool {
    let rules = rules(Action::Allow, permission, Principal::Any);
    judge(&rules, Some(request), None)
}

fn judge(rules: &Rules, request: Option<&Head>, peer: Option<&Peer>) -> bool {
    let connection = connection();
    let remote = IpAddr::from([203, 0, 113, 9]);
    let facts = RequestFacts { head: request, connection: &connection, peer, remote };
    if request.is_some() { http(rules, &facts).allowed } else { network(rules, &facts).allowed }
}

fn header(name: &str, value: &str) -> HeaderMatch {
    HeaderMatch {
        name: name.as_bytes().into(),
        value: ValueMatch::String(exact(value)),
        invert: false,
        missing_as_empty: false,
    }
}

#[test]
fn actions_and_details_are_envoys() {
    let asked = || Permission::Header(header(":method", "GET"));
    let get = head("GET / HTTP/1.1\nhost: a");
    let post = head("POST / HTTP/1.1\nhost: a");
    for (action, request, allowed, details) in [
        (Action::Allow, &get, true, "rbac_access_denied_matched_policy[b_rule]"),
        (Action::Allow, &post, false, "rbac_access_denied_matched_policy[none]"),
        (Action::Deny, &get, false, "rbac_access_denied_matched_policy[b_rule]"),
        (Action::Deny, &post, true, "rbac_access_denied_matched_policy[none]"),
        (Action::Log, &get, true, "rbac_access_denied_matched_policy[b_rule]"),
        (Action::Log, &post, true, "rbac_access_denied_matched_policy[none]"),
    ] {
        let rules = rules(action, asked(), Principal::Any);
        let connection = connection();
        let facts = RequestFacts {
            head: Some(request),
            connection: &connection,
            peer: None,
            remote: connection.source.ip(),
        };
        let verdict = http(&rules, &facts);
        assert_eq!(verdict.allowed, allowed, "{action:?}");
        assert_eq!(verdict.details().to_string(), details, "{action:?}");
    }
}

#[test]
fn permissions_ask_for_what_they_name() {
    let request = head("GET /api/reviews/1?x=2 HTTP/1.1\nhost: a");
    let prefix = fixture::string(StringKind::Prefix(b"/api/".as_slice().into()));
    for (permission, expected) in [
        (Permission::Any, true),
        (Permission::Path(exact("/api/reviews/1")), true),
        (Permission::Path(exact("/api/reviews/1?x=2")), false),
        (Permission::Path(prefix), true),
        (Permission::Header(header(":method", "GET")), true),
        (Permission::Header(header(":method", "get")), false),
        (Permission::DestinationPort(9080), true),
        (Permission::DestinationPort(9081), false),
        (Permission::DestinationPorts(9080, 9081), true),
        (Permission::DestinationPorts(9000, 9080), false),
        (Permission::DestinationIp("10.244.0.0/16".parse().unwrap()), true),
        (Permission::DestinationIp("10.96.0.0/16".parse().unwrap()), false),
        (Permission::ServerName(exact(connection().sni)), true),
        (Permission::ServerName(exact("")), false),
        (Permission::And(vec![]), true),
        (Permission::Or(vec![]), false),
        (Permission::Not(Box::new(Permission::Any)), false),
        (Permission::And(vec![Permission::Any, Permission::DestinationPort(1)]), false),
        (Permission::Or(vec![Permission::DestinationPort(1), Permission::Any]), true),
    ] {
        assert_eq!(permits(permission.clone(), &request), expected, "{permission:?}");
    }
}

#[test]
fn principals_ask_for_who_it_is() {
    let request = head("GET / HTTP/1.1\nhost: a");
    let named = peer(PRODUCTPAGE);
    let second = Peer { uris: vec!["spiffe://x".into(), PRODUCTPAGE.into()], ..named.clone() };
    let dns = Peer { dns: vec![PRODUCTPAGE.into()], uris: Vec::new(), ..named.clone() };
    let subject = Peer { subject: PRODUCTPAGE.into(), uris: Vec::new(), ..named.clone() };
    let other = peer("spiffe://cluster.local/ns/default/sa/productpageX");
    let unverified = Peer { verified: false, ..named.clone() };
    let is = |principal: &Principal, peer: Option<&Peer>| {
        judge(&rules(Action::Allow, Permission::Any, principal.clone()), Some(&request), peer)
    };
    let productpage = Principal::Authenticated(Some(exact(PRODUCTPAGE)));
    for (case, peer, expected) in [
        ("URI", Some(&named), true),
        ("second URI", Some(&second), true),
        ("DNS", Some(&dns), true),
        ("subject", Some(&subject), true),
        ("another", Some(&other), false),
        ("unverified", Some(&unverified), false),
        ("plaintext", None, false),
    ] {
        assert_eq!(is(&productpage, peer), expected, "{case}");
        let not = Principal::Not(Box::new(productpage.clone()));
        assert_eq!(is(&not, peer), !expected, "not {case}");
    }
    assert!(is(&Principal::Authenticated(None), Some(&other)));
    assert!(!is(&Principal::Authenticated(None), Some(&unverified)));
    assert!(!is(&Principal::Authenticated(None), None));
    for (principal, expected) in [
        (Principal::DirectRemoteIp("10.244.1.7/32".parse().unwrap()), true),
        (Principal::DirectRemoteIp("203.0.113.0/24".parse().unwrap()), false),
        (Principal::RemoteIp("203.0.113.0/24".parse().unwrap()), true),
        (Principal::RemoteIp("10.244.1.7/32".parse().unwrap()), false),
        (Principal::And(vec![Principal::Any, Principal::Or(vec![])]), false),
        (Principal::Header(header("x-a", "1")), false),
        (Principal::Path(exact("/")), true),
    ] {
        assert_eq!(is(&principal, None), expected, "{principal:?}");
    }
}

#[test]
fn a_dot_in_a_name_is_a_dot() {
    let request = head("GET / HTTP/1.1\nhost: a");
    let asked = Principal::Authenticated(Some(exact("spiffe://td/ns/a/sa/b.c")));
    let rules = rules(Action::Allow, Permission::Any, asked);
    assert!(judge(&rules, Some(&request), Some(&peer("spiffe://td/ns/a/sa/b.c"))));
    assert!(!judge(&rules, Some(&request), Some(&peer("spiffe://td/ns/a/sa/bxc"))));
}

#[test]
fn one_line_of_a_denied_header_is_enough() {
    let asked = Permission::Header(header("x-role", "admin"));
    let rules = rules(Action::Deny, asked, Principal::Any);
    for (lines, allowed) in [
        ("x-role: user", true),
        ("x-role: admin", false),
        ("x-role: user\nx-role: admin", false),
        ("x-role: admin\nx-role: user", false),
    ] {
        let request = head(&format!("GET / HTTP/1.1\nhost: a\n{lines}"));
        assert_eq!(judge(&rules, Some(&request), None), allowed, "{lines}");
    }
}

#[test]
fn without_a_request_nothing_of_one_matches() {
    let named = peer(PRODUCTPAGE);
    for (permission, expected) in [
        (Permission::Any, true),
        (Permission::DestinationPort(9080), true),
        (Permission::Path(exact("")), false),
        (Permission::Header(header(":method", "")), false),
        (Permission::Not(Box::new(Permission::Path(exact("/")))), true),
    ] {
        let rules = rules(Action::Allow, permission.clone(), Principal::Any);
        assert_eq!(judge(&rules, None, Some(&named)), expected, "{permission:?}");
    }
}
