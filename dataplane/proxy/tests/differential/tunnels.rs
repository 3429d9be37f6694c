//! CONNECT and upgrades.

use super::{Setting, differs, get, same};

const CONNECT: &str = "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n";

/// What is said behind it is meant for the other end.
const CONNECT_AND_MORE: &str =
    "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\nGET /in HTTP/1.1\r\nHost: y\r\n\r\n";

const WEBSOCKET: &str =
    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// CONNECT goes one way, all else another.
const ROUTES: &str = r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { connect_matcher: {} }
    route: { cluster: up, timeout: 5s }
  - { match: { prefix: "/dead" }, route: { cluster: dead } }
  - { match: { prefix: "/" }, route: { cluster: up } }"#;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "tunnels",
        options: "upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: CONNECT }]",
        filters: "",
        routes: ROUTES,
        clusters: "",
        cases: &[
            same("connect", CONNECT),
            same("websocket", WEBSOCKET),
            differs(
                "websocket that is not agreed on",
                concat!(
                    "GET /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n",
                    "Upgrade: websocket\r\n\r\n"
                ),
                "an answer other than 101 to an upgrade, with a body",
            ),
            same(
                "websocket nowhere",
                concat!(
                    "GET /dead HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n",
                    "Upgrade: websocket\r\n\r\n"
                ),
            ),
            same("neither", get!("/plain")),
        ],
    },
    Setting {
        name: "no tunnels",
        options: "",
        filters: "",
        routes: ROUTES,
        clusters: "",
        cases: &[
            same("connect", CONNECT),
            same("websocket", WEBSOCKET),
            same("a host without a port", "CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n"),
        ],
    },
    Setting {
        name: "connect is matched by nothing else",
        options: "upgrade_configs: [{ upgrade_type: CONNECT }]",
        filters: "",
        routes: super::ALL_UP,
        clusters: "",
        cases: &[same("connect", CONNECT)],
    },
    Setting {
        name: "connect ends here",
        options: "upgrade_configs: [{ upgrade_type: CONNECT }]",
        filters: "",
        routes: r#"virtual_hosts:
- name: dead
  domains: ["dead:1"]
  routes:
  - match: { connect_matcher: {} }
    route:
      cluster: dead
      upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]
- name: empty
  domains: ["empty:1"]
  routes:
  - match: { connect_matcher: {} }
    route:
      cluster: empty
      upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]
- name: all
  domains: ["*"]
  routes:
  - match: { connect_matcher: {} }
    route:
      cluster: up
      upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]"#,
        clusters: "",
        cases: &[
            same("and goes on as bytes", CONNECT_AND_MORE),
            same("nobody is there", "CONNECT dead:1 HTTP/1.1\r\nHost: dead:1\r\n\r\n"),
            same("there is no host", "CONNECT empty:1 HTTP/1.1\r\nHost: empty:1\r\n\r\n"),
            same("not a connect", get!("/a")),
        ],
    },
];
