//! What is refused, with its place and the reason.

use super::*;

/// Each text is refused with exactly this message.
fn refused(cases: &[(String, &str)]) {
    for (yaml, expected) in cases {
        let message = match Bootstrap::parse(yaml) {
            Err(refused) => refused.to_string(),
            Ok(_) => {
                let (_, refused, _) = apply(yaml);
                refused.first().unwrap_or_else(|| panic!("not refused\n{yaml}")).to_string()
            }
        };
        assert_eq!(&message, expected, "\n{yaml}");
    }
}

#[test]
fn clusters() {
    let with = |lines: &str| with_cluster(lines);
    refused(&[
        (
            with("type: LOGICAL_DNS"),
            "cluster `c`: load_assignment: a LOGICAL_DNS cluster has exactly one endpoint \
             (config.invalid)",
        ),
        (
            with("type: STRICT_DNS\ndns_refresh_rate: 0.001s"),
            "cluster `c`: dns_refresh_rate: longer than 1ms (config.invalid)",
        ),
        (
            with(
                "type: STRICT_DNS\n\
                 dns_failure_refresh_rate: {base_interval: 2s, max_interval: 1s}",
            ),
            "cluster `c`: dns_failure_refresh_rate.max_interval: not below `base_interval` \
             (config.invalid)",
        ),
        (
            with("cluster_type: {name: own}"),
            "cluster `c`: cluster_type: the cluster type `own` is not supported \
             (config.unsupported)",
        ),
        (
            with("lb_policy: RING_HASH\nring_hash_lb_config: {maximum_ring_size: 9}"),
            "cluster `c`: ring_hash_lb_config.minimum_ring_size: at most the maximum, and both at \
             most 8388608 (config.invalid)",
        ),
        (
            with("lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 9}"),
            "cluster `c`: maglev_lb_config.table_size: a prime, at most 5000011 (config.invalid)",
        ),
        (
            with("lb_policy: LOAD_BALANCING_POLICY_CONFIG"),
            "cluster `c`: lb_policy: LOAD_BALANCING_POLICY_CONFIG without load_balancing_policy \
             (config.missing)",
        ),
        (
            with(
                "load_balancing_policy: {policies: [{typed_extension_config: {name: a, \
                 typed_config: {\"@type\": type.googleapis.com/\
                 envoy.config.cluster.v3.Cluster}}}]}",
            ),
            "cluster `c`: load_balancing_policy.policies: none of these is supported: \
             envoy.config.cluster.v3.Cluster (config.unsupported)",
        ),
        (
            with("common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 99}}"),
            "cluster `c`: common_lb_config.consistent_hashing_lb_config.hash_balance_factor: at \
             least 100 (config.invalid)",
        ),
        (
            with("circuit_breakers: {thresholds: [{retry_budget: {budget_interval: 1s}}]}"),
            "cluster `c`: circuit_breakers.thresholds[0].retry_budget.budget_interval: this field \
             is not supported (config.unsupported)",
        ),
        (
            with("type: ORIGINAL_DST"),
            "cluster `c`: lb_policy: ORIGINAL_DST clusters, and only they, use CLUSTER_PROVIDED \
             (config.invalid)",
        ),
        (
            with("type: EDS"),
            "cluster `c`: eds_cluster_config: an EDS cluster has to say where from \
             (config.missing)",
        ),
        (
            with("type: EDS\neds_cluster_config: {eds_config: {path_config_source: {path: a}}}"),
            "cluster `c`: eds_cluster_config.eds_config.path_config_source: files are not watched \
             (config.unsupported)",
        ),
        (
            with("outlier_detection: {max_ejection_time: 1s}"),
            "cluster `c`: outlier_detection.max_ejection_time: it cannot be shorter than \
             base_ejection_time (config.invalid)",
        ),
        (
            with("outlier_detection: {enforcing_success_rate: 101}"),
            "cluster `c`: outlier_detection.enforcing_success_rate: from 0 to 100 (config.invalid)",
        ),
        (
            with("outlier_detection: {detect_degraded_hosts: true}"),
            "cluster `c`: outlier_detection.detect_degraded_hosts: this field is not supported \
             (config.unsupported)",
        ),
        (
            with("connect_timeout: 0s"),
            "cluster `c`: connect_timeout: longer than 0s (config.invalid)",
        ),
        (
            with("connect_timeout: -1s"),
            "cluster `c`: connect_timeout: a duration may not be negative (config.invalid)",
        ),
        (
            with("common_lb_config: {healthy_panic_threshold: {value: 101}}"),
            "cluster `c`: common_lb_config.healthy_panic_threshold: from 0 to 100 \
             (config.invalid)",
        ),
        (
            with("common_lb_config: {close_connections_on_host_set_change: true}"),
            "cluster `c`: common_lb_config.close_connections_on_host_set_change: \
             this field is not supported (config.unsupported)",
        ),
    ]);
}

#[test]
fn what_clusters_have_in_them() {
    let with = |lines: &str| with_cluster(lines);
    refused(&[
        (
            with(
                "load_assignment: {endpoints: [{}, {lb_endpoints: [{endpoint: {address: \
                 {socket_address: {address: example.com, port_value: 1}}}}]}]}",
            ),
            "cluster `c`: load_assignment.endpoints[1].lb_endpoints[0].endpoint.address.\
             socket_address.address: `example.com` is no IP address (config.invalid)",
        ),
        (
            with(
                "transport_socket: {name: x, typed_config: {\"@type\": \
                 type.googleapis.com/envoy.config.core.v3.Pipe}}",
            ),
            "cluster `c`: transport_socket.typed_config: the transport socket `x` \
             (envoy.config.core.v3.Pipe) is not supported (config.unsupported)",
        ),
        (
            with(
                "transport_socket: {name: x, typed_config: {\"@type\": type.googleapis.com/\
                 envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: \
                 {validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: \
                 {exact: a}}]}}}}",
            ),
            "cluster `c`: transport_socket.typed_config.common_tls_context.validation_context: \
             names are checked only together with `trusted_ca` (config.missing)",
        ),
        (
            with(
                "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.\
                 HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.\
                 http.v3.HttpProtocolOptions, explicit_http_config: {http3_protocol_options: {}}}}",
            ),
            "cluster `c`: typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.\
             HttpProtocolOptions\"].explicit_http_config.http3_protocol_options: HTTP/3 is not \
             spoken to upstreams (config.unsupported)",
        ),
    ]);
}

#[test]
fn listeners() {
    let tcp = |lines: &str| {
        with_tcp("cluster: c").replace("    filter_chains:", &format!("{lines}    filter_chains:"))
    };
    refused(&[
        (
            with_listener("bind_to_port: false"),
            "listener `l`: filter_chains: a listener needs at least one filter chain \
             (config.missing)",
        ),
        (
            with_listener("filter_chains: [{}]"),
            "listener `l`: filter_chains[0].filters: the chain has to end in tcp_proxy or \
             http_connection_manager (config.missing)",
        ),
        (
            tcp("    access_log: [{name: a}]\n"),
            "listener `l`: access_log[0].typed_config: the access log `a` (config.missing)",
        ),
        (
            tcp("    listener_filters: [{name: p, typed_config: {\"@type\": \
                 type.googleapis.com/udpa.type.v1.TypedStruct, type_url: a/b.C}}]\n"),
            "listener `l`: listener_filters[0].typed_config: the listener filter `p` (TypedStruct \
             of b.C) is not supported (config.unsupported)",
        ),
        (
            with_tcp("cluster: c\nmax_connect_attempts: 0"),
            "listener `l`: filter_chains[0].filters[0].typed_config.max_connect_attempts: at least \
             1 (config.invalid)",
        ),
        (
            with_tcp("stat: x"),
            "bootstrap: static_resources.listeners[0].filter_chains[0].filters[0].typed_config: \
             unknown field \"stat\" in TcpProxy (config.malformed)",
        ),
        (
            with_tcp("weighted_clusters: {clusters: [{name: a}]}"),
            "listener `l`: filter_chains[0].filters[0].typed_config.weighted_clusters.clusters[0].\
             weight: at least 1 (config.invalid)",
        ),
        (
            with_listener(
                "filter_chains:\n- {filter_chain_match: {server_names: ['a.*']}, filters: []}",
            ),
            "listener `l`: filter_chains[0].filter_chain_match.server_names[0]: `a.*`: a full \
             name, or `*.` and a suffix (config.invalid)",
        ),
        (
            with_listener(
                "filter_chains:\n- {filter_chain_match: {transport_protocol: quic}, filters: []}",
            ),
            "listener `l`: filter_chains[0].filter_chain_match.transport_protocol: `quic`: only \
             `tls` and `raw_buffer` (config.unsupported)",
        ),
        (
            "static_resources: {listeners: [{name: l, address: {pipe: {path: /x}}, filter_chains: \
             [{filters: [{name: t, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.\
             filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c}}]}]}]}"
                .to_owned(),
            "listener `l`: address.pipe: Unix sockets are not supported here (config.unsupported)",
        ),
    ]);
}

#[test]
fn chains_that_ask_the_same() {
    let filters = "filters: [{name: t, typed_config: {\"@type\": type.googleapis.com/\
                   envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, \
                   cluster: c}}]";
    let both = |a: &str, b: &str| {
        with_listener(&format!(
            "filter_chains:\n- {{name: one, filter_chain_match: {{{a}}}, {filters}}}\n\
             - {{name: two, filter_chain_match: {{{b}}}, {filters}}}"
        ))
    };
    let message = "listener `l`: filter_chains[1].filter_chain_match: asks the same as the chain \
                   `one` before it (config.invalid)";
    refused(&[
        (both("", ""), message),
        (both("server_names: [a, b]", "server_names: [c, B]"), message),
    ]);
    good(&both("destination_port: 1", "destination_port: 2"));
    good(&both("server_names: [a]", ""));
    good(&both("application_protocols: [a]", "application_protocols: [b]"));
}

#[test]
fn managers() {
    let routes = "route_config: {virtual_hosts: []}";
    let with = |lines: &str| with_manager(&format!("{lines}\nhttp_filters: [{ROUTER}]\n{routes}"));
    let at = "listener `l`: filter_chains[0].filters[0].typed_config";
    let cases = [
        (
            with("codec_type: HTTP3"),
            "codec_type: HTTP/3 is not spoken: use AUTO, HTTP1 or HTTP2 \
            (config.unsupported)",
        ),
        (
            with("http2_protocol_options: {allow_metadata: true}"),
            "http2_protocol_options.allow_metadata: this field is not supported \
            (config.unsupported)",
        ),
        (
            with("http2_protocol_options: {connection_keepalive: {interval: 1s}}"),
            "http2_protocol_options.connection_keepalive.timeout: it has to be given \
            (config.missing)",
        ),
        (
            with(
                "http2_protocol_options: {custom_settings_parameters: [{identifier: 3, value: 1}]}",
            ),
            "http2_protocol_options.custom_settings_parameters[0].identifier: this setting has a \
             field of its own (config.unsupported)",
        ),
        (
            with("http2_protocol_options: {initial_stream_window_size: 1}"),
            "http2_protocol_options.initial_stream_window_size: between 65535 and 2147483647 \
            (config.invalid)",
        ),
        (
            with("access_log: [{name: a}]"),
            "access_log[0].typed_config: the access log `a` (config.missing)",
        ),
        (
            with("upgrade_configs: [{upgrade_type: CONNECT-UDP}]"),
            "upgrade_configs[0].upgrade_type: \
            datagrams are not proxied (config.unsupported)",
        ),
        (
            with("common_http_protocol_options: {max_connection_duration_jitter: {value: 101}}"),
            "common_http_protocol_options.max_connection_duration_jitter: from 0 to 100 \
             (config.invalid)",
        ),
        (
            with("strip_matching_host_port: true\nstrip_any_host_port: true"),
            "strip_matching_host_port: not together with `strip_any_host_port`, as in Envoy \
             (config.invalid)",
        ),
        (
            with("scheme_header_transformation: {scheme_to_overwrite: ftp}"),
            "scheme_header_transformation.scheme_to_overwrite: `http` or `https` (config.invalid)",
        ),
        (
            with("http_protocol_options: {enable_trailers: true}"),
            "http_protocol_options.\
            enable_trailers: this field is not supported (config.unsupported)",
        ),
        (
            with("max_request_headers_kb: 0"),
            "max_request_headers_kb: between 1 and 8192 \
            (config.invalid)",
        ),
    ];
    for (yaml, expected) in cases {
        refused(&[(yaml, &format!("{at}.{expected}"))]);
    }
}

#[test]
fn what_managers_have_in_them() {
    let routes = "route_config: {virtual_hosts: []}";
    let at = "listener `l`: filter_chains[0].filters[0].typed_config";
    let cases = [
        (
            with_manager(routes),
            "http_filters: the last filter has to be envoy.filters.http.router \
            (config.missing)",
        ),
        (
            with_manager(&format!("http_filters: [{ROUTER}, {ROUTER}]\n{routes}")),
            "http_filters[1]: \
            the router has to be the last filter (config.invalid)",
        ),
        (with_manager(&format!("http_filters: [{ROUTER}]")), "has to be given"),
        (
            with_manager(&format!(
                "http_filters: [{ROUTER}]\nrds: {{route_config_name: a, \
            config_source: {{api_config_source: {{api_type: GRPC, grpc_services: [{{envoy_grpc: \
            {{cluster_name: x}}}}]}}}}}}"
            )),
            "rds.config_source: only ADS is supported here \
            (config.unsupported)",
        ),
        (
            with_manager(&format!(
                "http_filters: [{{name: f, typed_config: {{\"@type\": \
            type.googleapis.com/udpa.type.v1.TypedStruct, type_url: x/envoy.Lua}}}}]\n{routes}"
            )),
            "http_filters[0].typed_config: the HTTP filter `f` (TypedStruct of envoy.Lua) is not \
             supported (config.unsupported)",
        ),
    ];
    for (yaml, expected) in cases {
        let expected = match expected {
            "has to be given" => {
                format!("{at}: `rds` or `route_config` has to be given (config.missing)")
            }
            other => format!("{at}.{other}"),
        };
        refused(&[(yaml, &expected)]);
    }
}

/// Where the virtual host of [`with_route`] stands.
const HOST: &str =
    "listener `l`: filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]";

#[test]
fn routes() {
    let route = |lines: &str| with_route(lines);
    let cases = [
        (
            route("match: {prefix: /}"),
            "routes[0]: `route`, `redirect` or `direct_response` has to be given (config.missing)",
        ),
        (
            route("match: {}\nroute: {cluster: c}"),
            "routes[0].match: `prefix`, `path`, \
            `safe_regex` … has to be given (config.missing)",
        ),
        (
            route("match: {safe_regex: {regex: '(['}}\nroute: {cluster: c}"),
            "routes[0].match.\
            safe_regex.regex: `([`: unclosed character class (config.invalid)",
        ),
        (
            route("match: {prefix: /, dynamic_metadata: [{filter: a}]}"),
            "routes[0].match.dynamic_metadata: this field is not supported (config.unsupported)",
        ),
        (
            route("match: {prefix: /, cookies: [{name: a}]}"),
            "routes[0].match.cookies[0].string_match: it has to be given (config.missing)",
        ),
        (
            route("match: {prefix: /, headers: [{name: 'a b'}]}"),
            "routes[0].match.headers[0].name: \
            `a b` is no header name (config.invalid)",
        ),
        (
            route("match: {prefix: /}\nredirect: {port_redirect: 70000}"),
            "routes[0].redirect.port_redirect: 70000 is more than 65535 (config.invalid)",
        ),
        (
            route("match: {prefix: /}\nredirect: {host_redirect: \"a b\"}"),
            "routes[0].redirect.host_redirect: `a b` has characters that no URL may have \
            (config.invalid)",
        ),
    ];
    for (yaml, expected) in cases {
        refused(&[(yaml, &format!("{HOST}.{expected}"))]);
    }
}

#[test]
fn actions() {
    let route = |lines: &str| with_route(lines);
    let cases = [
        (
            route("match: {prefix: /}\nroute: {cluster: c, prefix_rewrite: x}"),
            "routes[0].route.\
            prefix_rewrite: `x` is not the beginning of a path (config.invalid)",
        ),
        (
            route(
                "match: {prefix: /}\nroute: {cluster: c, prefix_rewrite: /x, regex_rewrite: \
                 {pattern: {regex: a}, substitution: b}}",
            ),
            "routes[0].route: one of `prefix_rewrite` and `regex_rewrite` at the most \
             (config.invalid)",
        ),
        (
            route(
                "match: {prefix: /}\nroute: {cluster: c, regex_rewrite: \
                 {pattern: {regex: a}, substitution: '\\1'}}",
            ),
            "routes[0].route.regex_rewrite: `a`: the substitution names the group 1; there is \
             none (config.invalid)",
        ),
        (
            route("match: {prefix: /}\nroute: {cluster: c, host_rewrite_literal: a/b}"),
            "routes[0].route.host_rewrite_literal: `a/b` is not a host (config.invalid)",
        ),
        (
            route(
                "match: {prefix: /}\nroute: {cluster: c, path_rewrite_policy: {name: a, \
                 typed_config: {\"@type\": type.googleapis.com/envoy.config.core.v3.Pipe}}}",
            ),
            "routes[0].route.\
            path_rewrite_policy: this field is not supported (config.unsupported)",
        ),
        (
            route("match: {prefix: /}\nroute: {cluster_header: a b}"),
            "routes[0].route.cluster_header: `a b` is no header name (config.invalid)",
        ),
        (
            route("match: {prefix: /}\nroute: {cluster: c, request_mirror_policies: [{}]}"),
            "routes[0].route.request_mirror_policies[0]: `cluster` or `cluster_header` has to be \
             given (config.missing)",
        ),
        (
            route("match: {prefix: /}\nroute: {cluster: c, retry_policy: {retry_on: sometimes}}"),
            "routes[0].route.retry_policy.retry_on: the condition `sometimes` is not supported \
             (config.unsupported)",
        ),
        (
            route("match: {prefix: /}\nroute: {weighted_clusters: {clusters: [{name: a}]}}"),
            "routes[0].route: the weights have to add up to at least 1 (config.invalid)",
        ),
        (
            route("match: {prefix: /}\ndirect_response: {status: 99}"),
            "routes[0].direct_response.\
            status: 99 is not between 200 and 599 (config.invalid)",
        ),
        (
            route(
                "match: {prefix: /}\nroute: {cluster: c}\nrequest_headers_to_add: [{header: {key: \
            a, value: '%NOPE%'}}]",
            ),
            "routes[0].request_headers_to_add[0].header.value: \
            `%NOPE%`: this operator is not supported (config.unsupported)",
        ),
        (
            route("match: {prefix: /}\nroute: {cluster: c}\nrequest_headers_to_remove: [Host]"),
            "routes[0].request_headers_to_remove[0]: `host` and names that begin with `:` cannot \
             be changed (config.unsupported)",
        ),
        (
            route(
                "match: {prefix: /}\nroute: {cluster: c}\ntyped_per_filter_config: {a: {\"@type\": \
            type.googleapis.com/envoy.config.core.v3.Pipe}}",
            ),
            "routes[0].typed_per_filter_config[\"a\"]: `envoy.config.core.v3.Pipe` is nothing that \
             a route can say to the filter `a` (config.unsupported)",
        ),
    ];
    for (yaml, expected) in cases {
        refused(&[(yaml, &format!("{HOST}.{expected}"))]);
    }
}

#[test]
fn hosts_and_unknown_clusters() {
    let host = |lines: &str| with_routes(&format!("virtual_hosts:\n- {{name: v, {lines}}}"));
    let cases = [
        (host("domains: []"), "domains: a virtual host needs at least one domain (config.missing)"),
        (host("domains: [a, A]"), "domains[1]: the domain `A` is there twice (config.invalid)"),
        (
            host("domains: ['a*b']"),
            "domains[0]: `a*b`: a star may stand at one end only \
            (config.invalid)",
        ),
        (
            host("domains: [a], include_attempt_count_in_response: true"),
            "include_attempt_count_in_response: this field is not supported (config.unsupported)",
        ),
    ];
    for (yaml, expected) in cases {
        refused(&[(yaml, &format!("{HOST}.{expected}"))]);
    }
    let strict = with_route("match: {prefix: /}\nroute: {cluster: nobody}")
        .replace("validate_clusters: false", "validate_clusters: true");
    let expected = format!(
        "{HOST}.routes[0].route.cluster: there is no cluster `nobody` \
        (config.unknown)"
    );
    refused(&[(strict, &expected)]);
}

#[test]
fn policies() {
    let with = |policy: &str| {
        with_manager(&format!(
            "http_filters: [{{name: rbac, typed_config: {{\"@type\": type.googleapis.com/\
             envoy.extensions.filters.http.rbac.v3.RBAC, rules: {{policies: {{p: {policy}}}}}}}}}, \
             {ROUTER}]\nroute_config: {{virtual_hosts: []}}"
        ))
    };
    let at = "listener `l`: filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.\
              rules.policies[\"p\"]";
    let any = "[{any: true}]";
    let cases = [
        (with("{}"), ": a policy needs at least one permission and one principal (config.missing)"),
        (
            with(&format!("{{permissions: [{{}}], principals: {any}}}")),
            ".permissions[0]: a \
            permission without a rule (config.missing)",
        ),
        (
            with(&format!(
                "{{permissions: {any}, principals: [{{not_id: {{and_ids: {{ids: \
            [{{filter_state: {{key: a}}}}]}}}}}}]}}"
            )),
            ".principals[0].not_id.and_ids.ids[0].\
            filter_state: this field is not supported (config.unsupported)",
        ),
        (
            with(&format!("{{permissions: [{{destination_port: 70000}}], principals: {any}}}")),
            ".permissions[0].destination_port: 70000 is more than 65535 (config.invalid)",
        ),
        (
            with(&format!(
                "{{permissions: {any}, principals: [{{remote_ip: {{address_prefix: \
            10.0.0.0, prefix_len: 33}}}}]}}"
            )),
            ".principals[0].remote_ip.prefix_len: 33 is too \
            long for 10.0.0.0 (config.invalid)",
        ),
        (
            with(&format!("{{permissions: {any}, principals: {any}, condition: {{}}}}")),
            ".condition: this field is not supported (config.unsupported)",
        ),
    ];
    for (yaml, expected) in cases {
        refused(&[(yaml, &format!("{at}{expected}"))]);
    }
}

#[test]
fn bootstrap_files() {
    refused(&[
        ("foo: 1".to_owned(), "bootstrap: unknown field \"foo\" in Bootstrap (config.malformed)"),
        (
            "dynamic_resources: {lds_config: {ads: {}}}".to_owned(),
            "bootstrap: dynamic_resources.lds_config: `ads_config` has to be given as well \
             (config.missing)",
        ),
        (
            "dynamic_resources: {ads_config: {api_type: REST}}".to_owned(),
            "bootstrap: dynamic_resources.ads_config.api_type: only GRPC and DELTA_GRPC are \
             supported (config.unsupported)",
        ),
        (
            "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{google_grpc: \
             {target_uri: a, stat_prefix: b}}]}}"
                .to_owned(),
            "bootstrap: dynamic_resources.ads_config.grpc_services[0]: only `envoy_grpc` is \
             supported (config.unsupported)",
        ),
        (
            "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: \
             {cluster_name: xds}}]}}"
                .to_owned(),
            "bootstrap: dynamic_resources.ads_config: there is no cluster `xds` in \
             static_resources (config.unknown)",
        ),
        (
            "layered_runtime: {layers: [{name: a, disk_layer: {}}]}".to_owned(),
            "bootstrap: layered_runtime.layers[0].disk_layer: runtime keys have no meaning here \
             (config.unsupported)",
        ),
        (
            "overload_manager: {}".to_owned(),
            "bootstrap: overload_manager: this field is not supported (config.unsupported)",
        ),
    ]);
}
