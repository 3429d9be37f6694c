//! Endpoints by their health, and `healthy_panic_threshold`.
//!
//! Of each cluster's endpoints only one answers and the others are dead: an answer tells which of
//! them were chosen from.

use super::{Setting, get, same};

/// The same request three times over one connection.
macro_rules! thrice {
    ($path:literal) => {
        concat!(get!($path), get!($path), get!($path))
    };
}

pub(super) const SETTING: Setting = Setting {
    name: "health",
    options: "",
    filters: "",
    routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - { match: { prefix: "/zero-none" }, route: { cluster: zero-none } }
  - { match: { prefix: "/zero-one" }, route: { cluster: zero-one } }
  - { match: { prefix: "/fraction" }, route: { cluster: fraction } }
  - { match: { prefix: "/default-none" }, route: { cluster: default-none } }
  - { match: { prefix: "/default-half" }, route: { cluster: default-half } }
  - { match: { prefix: "/half-fraction" }, route: { cluster: half-fraction } }
  - match: { prefix: "/more" }
    route:
      cluster: more
      timeout: 0s
      retry_policy: { retry_on: connect-failure, num_retries: 3 }
  - { match: { prefix: "/enough" }, route: { cluster: enough } }
  - { match: { prefix: "/degraded" }, route: { cluster: degraded } }
  - { match: { prefix: "/spare" }, route: { cluster: spare } }"#,
    clusters: r#"- name: zero-none
  common_lb_config: { healthy_panic_threshold: { value: 0 } }
  load_assignment:
    cluster_name: zero-none
    endpoints: [{ lb_endpoints: [{ endpoint: *up, health_status: UNHEALTHY }] }]
- name: zero-one
  common_lb_config: { healthy_panic_threshold: { value: 0 } }
  load_assignment:
    cluster_name: zero-one
    endpoints:
    - lb_endpoints:
      - { endpoint: *up }
      - { endpoint: *dead, health_status: DRAINING }
      - { endpoint: &dead2 { address: { socket_address: { address: 127.0.0.2,
          port_value: @DEAD@ } } }, health_status: TIMEOUT }
      - { endpoint: &dead3 { address: { socket_address: { address: 127.0.0.3,
          port_value: @DEAD@ } } }, health_status: UNHEALTHY }
- name: fraction
  common_lb_config: { healthy_panic_threshold: { value: 0.9 } }
  load_assignment:
    cluster_name: fraction
    endpoints: [{ lb_endpoints: [{ endpoint: *up, health_status: UNHEALTHY }] }]
- name: default-none
  load_assignment:
    cluster_name: default-none
    endpoints: [{ lb_endpoints: [{ endpoint: *up, health_status: UNHEALTHY }] }]
- name: default-half
  load_assignment:
    cluster_name: default-half
    endpoints:
    - lb_endpoints: [{ endpoint: *up, health_status: UNHEALTHY }, { endpoint: *dead }]
- name: half-fraction
  common_lb_config: { healthy_panic_threshold: { value: 50.9 } }
  load_assignment:
    cluster_name: half-fraction
    endpoints:
    - lb_endpoints: [{ endpoint: *up, health_status: UNHEALTHY }, { endpoint: *dead }]
- name: more
  common_lb_config: { healthy_panic_threshold: { value: 51 } }
  load_assignment:
    cluster_name: more
    endpoints:
    - lb_endpoints: [{ endpoint: *up, health_status: UNHEALTHY }, { endpoint: *dead }]
- name: enough
  common_lb_config: { healthy_panic_threshold: { value: 100 } }
  load_assignment:
    cluster_name: enough
    endpoints:
    - lb_endpoints:
      - { endpoint: *up, health_status: UNHEALTHY }
      - { endpoint: *dead }
      - { endpoint: *dead2, health_status: HEALTHY }
      - { endpoint: *dead3 }
- name: degraded
  common_lb_config: { healthy_panic_threshold: { value: 0 } }
  load_assignment:
    cluster_name: degraded
    endpoints:
    - lb_endpoints:
      - { endpoint: *up, health_status: DEGRADED }
      - { endpoint: *dead, health_status: UNHEALTHY }
- name: spare
  load_assignment:
    cluster_name: spare
    endpoints:
    - lb_endpoints:
      - { endpoint: *up, health_status: DEGRADED }
      - { endpoint: *dead }
      - { endpoint: *dead2 }
      - { endpoint: *dead3 }"#,
    cases: &[
        same("nobody, never in panic", get!("/zero-none")),
        same("a quarter, never in panic", thrice!("/zero-one")),
        same("less than a percent is never", get!("/fraction")),
        same("nobody", thrice!("/default-none")),
        same("half is enough", thrice!("/default-half")),
        same("a fraction is cut", thrice!("/half-fraction")),
        same("half is too little", thrice!("/more")),
        same("three quarters are enough", thrice!("/enough")),
        same("degraded is better than none", thrice!("/degraded")),
        same("degraded is spared", thrice!("/spare")),
    ],
};
