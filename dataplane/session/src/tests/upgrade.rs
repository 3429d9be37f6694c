//! Which upgrades pass: the manager's word, and the route's before it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use config::snapshot::{
    Action, FilterKind, Forward, HeaderChange, HttpFilter, HttpRbac, PathMatch, Permission, Policy,
    Principal, Route, RouteAction, Rules, StringKind, StringMatch, Terminal,
};

use super::fixture::{Proxy, cluster, forward, manager, on_both, read_message, route, upstream};

fn agreeing(mut stream: TcpStream) {
    while let Some((head, _)) = read_message(&mut stream) {
        let answer: &[u8] = match head.contains("upgrade: ") {
            true => b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            false => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn with(prefix: &str, upgrades: &[(&str, bool)]) -> Route {
    let upgrades = upgrades.iter().map(|(name, is_on)| ((*name).into(), *is_on)).collect();
    let mut to = route(prefix, RouteAction::Forward(Forward { upgrades, ..forward(&[(0, 1)]) }));
    let seen = HeaderChange::Append((*b"x-route").into(), prefix.into());
    to.headers.response.push(seen);
    to
}

fn routes() -> Vec<Route> {
    let direct = RouteAction::Direct { status: 200, body: (*b"hi").into() };
    let mut exact = with("/exact", &[]);
    exact.matches.path = PathMatch::Exact((*b"/exact").into());
    vec![
        with("/off", &[("websocket", false)]),
        with("/on", &[("foo", true), ("other", false)]),
        with("/plain", &[]),
        with("/deny", &[("foo", true)]),
        route("/direct", direct),
        exact,
    ]
}

/// Refuses what is below `/deny`.
fn denying() -> HttpFilter {
    let path = StringMatch { kind: StringKind::Prefix((*b"/deny").into()), ignore_case: false };
    let policy = Policy {
        name: "p".into(),
        permissions: vec![Permission::Path(path)],
        principals: vec![Principal::Any],
    };
    let rules = Some(Rules { action: Action::Deny, policies: vec![policy] });
    let rbac = HttpRbac { name: "rbac".into(), rules };
    HttpFilter::new("rbac", FilterKind::Rbac(Arc::new(rbac)))
}

/// Path, upgrade (none if empty), status and the route's own header, where the manager lets
/// `websocket` pass and nothing else. As Envoy 1.40 answers.
const CASES: [(&str, &str, &str, Option<&str>); 17] = [
    ("/plain", "websocket", "101", Some("/plain")),
    ("/plain", "WebSocket", "101", Some("/plain")),
    ("/plain", "foo", "403", Some("/plain")),
    ("/off", "websocket", "403", Some("/off")),
    ("/off", "WEBSOCKET", "403", Some("/off")),
    ("/off", "", "200", Some("/off")),
    ("/on", "foo", "101", Some("/on")),
    ("/on", "FOO", "101", Some("/on")),
    ("/on", "other", "403", Some("/on")),
    ("/on", "websocket", "101", Some("/on")),
    ("/direct", "websocket", "200", None),
    ("/direct", "foo", "403", None),
    ("/nowhere", "foo", "404", None),
    ("/nowhere", "websocket", "404", None),
    ("/deny", "foo", "403", Some("/deny")),
    ("/deny", "", "403", Some("/deny")),
    ("/x/../exact", "foo", "403", Some("/exact")),
];

#[test]
fn a_routes_word_on_upgrades_goes_before_the_managers() {
    on_both(|which| {
        let mut manager = manager(routes());
        manager.filters = vec![denying()].into();
        let terminal = Terminal::Http(Arc::new(manager));
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(agreeing)])]);
        for (path, asked, status, seen) in CASES {
            let mut client = proxy.connect();
            let upgrade = match asked {
                "" => String::new(),
                name => format!("Connection: upgrade\r\nUpgrade: {name}\r\n"),
            };
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
            client.write_all(request.as_bytes()).expect("sent");
            let (head, _) = read_message(&mut client).expect("an answer");
            assert_eq!(head.get(9..12), Some(status), "{path} {asked}: {head}");
            let told = head.lines().find_map(|line| line.strip_prefix("x-route: "));
            assert_eq!(told, seen, "{path} {asked}: {head}");
            // What was not agreed on ends the connection: the client may have begun to speak it.
            let ends = !asked.is_empty() && status != "101";
            assert_eq!(head.contains("connection: close"), ends, "{path} {asked}: {head}");
        }
        proxy.settles(0, 0);
    });
}
