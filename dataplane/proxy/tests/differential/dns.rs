//! Clusters that are found by names.
//!
//! `localhost` needs no name server. The one that is named is a port where nobody listens.

use super::{Setting, get, same};

pub(super) const SETTING: Setting = Setting {
    name: "dns",
    options: "",
    filters: "",
    routes: r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - { match: { prefix: "/strict" }, route: { cluster: strict } }
  - { match: { prefix: "/logical" }, route: { cluster: logical } }
  - { match: { prefix: "/preferred" }, route: { cluster: preferred } }
  - { match: { prefix: "/auto" }, route: { cluster: auto } }
  - { match: { prefix: "/six" }, route: { cluster: six } }
  - { match: { prefix: "/address" }, route: { cluster: address } }
  - { match: { prefix: "/nobody" }, route: { cluster: nobody } }
  - { match: { prefix: "/several" }, route: { cluster: several } }
  - { match: { prefix: "/extension" }, route: { cluster: extension } }"#,
    clusters: r#"- name: strict
  type: STRICT_DNS
  dns_lookup_family: V4_ONLY
  load_assignment: &local
    cluster_name: local
    endpoints:
    - lb_endpoints:
      - endpoint: { address: { socket_address: { address: localhost, port_value: @UPSTREAM@ } } }
- name: logical
  type: LOGICAL_DNS
  dns_lookup_family: V4_ONLY
  load_assignment: *local
- name: preferred
  type: STRICT_DNS
  dns_lookup_family: V4_PREFERRED
  load_assignment: *local
- name: auto
  type: LOGICAL_DNS
  load_assignment: *local
- name: six
  type: STRICT_DNS
  dns_lookup_family: V6_ONLY
  load_assignment: *local
- name: address
  type: STRICT_DNS
  load_assignment:
    cluster_name: address
    endpoints: [{ lb_endpoints: [{ endpoint: *up }] }]
- name: nobody
  type: STRICT_DNS
  dns_lookup_family: V4_ONLY
  typed_dns_resolver_config: &nobody
    name: envoy.network.dns_resolver.cares
    typed_config:
      "@type": "type.googleapis.com/\
        envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
      resolvers: [{ socket_address: { address: 127.0.0.1, port_value: @DEAD@ } }]
      dns_resolver_options: { no_default_search_domain: true }
      query_timeout_seconds: 1
      query_tries: 1
  load_assignment:
    cluster_name: nobody
    endpoints:
    - lb_endpoints:
      - endpoint: { address: { socket_address: { address: nobody.test, port_value: @UPSTREAM@ } } }
- name: several
  type: STRICT_DNS
  dns_lookup_family: V4_ONLY
  typed_dns_resolver_config: *nobody
  load_assignment:
    cluster_name: several
    endpoints:
    - lb_endpoints:
      - endpoint: { address: { socket_address: { address: nobody.test, port_value: @UPSTREAM@ } } }
      - endpoint: { address: { socket_address: { address: localhost, port_value: @UPSTREAM@ } } }
      - endpoint: { address: { socket_address: { address: a.localhost, port_value: @UPSTREAM@ } } }
- name: extension
  cluster_type:
    name: envoy.cluster.dns
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
      dns_lookup_family: V4_ONLY
      all_addresses_in_single_endpoint: true
  load_assignment: *local"#,
    cases: &[
        same("each address of a name is a host", get!("/strict")),
        same("a name is one host", get!("/logical")),
        same("IPv4 is preferred", get!("/preferred")),
        same("localhost by any family", get!("/auto")),
        same("localhost by IPv6, where nobody listens", get!("/six")),
        same("an address is one", get!("/address")),
        same("a name that cannot be found", get!("/nobody")),
        same("one of several names is found", get!("/several")),
        same("by the extension", get!("/extension")),
    ],
};
