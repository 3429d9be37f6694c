//! HTTP filters and what routes say of them.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::snapshot::{
    AbortAnswer, FilterKind, Override, OverrideKind, RouteTable, Routes, Share, StringKind,
};

const FAULT: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const CORS: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3";
const WRAPPED: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";

fn with_filters(filters: &str, routes: &str) -> String {
    with_manager(&format!(
        "http_filters: [{filters}{ROUTER}]\nroute_config:\n  validate_clusters: false\n{}",
        indent(routes, 2)
    ))
}

fn table(snapshot: &Snapshot) -> &Arc<RouteTable> {
    match &manager(snapshot).routes {
        Routes::Inline(table) => table,
        Routes::Named(_) => panic!("not inline"),
    }
}

#[test]
fn a_fault_says_whom_it_is_for() {
    let filter = format!(
        "{{name: f, typed_config: {{\"@type\": {FAULT}, delay: {{fixed_delay: 1.5s, percentage: \
         {{numerator: 7, denominator: MILLION}}}}, abort: {{grpc_status: 14, percentage: \
         {{numerator: 50}}, response_body: nope}}, upstream_cluster: c, downstream_nodes: [node], \
         max_active_faults: 3, headers: [{{name: x-a}}]}}}}, "
    );
    let (snapshot, _) = good(&with_filters(&filter, "virtual_hosts: []"));
    let filters = &manager(&snapshot).filters;
    assert!(filters.policies().is_none(), "there is a chain to be gone through");
    let FilterKind::Fault(fault) = &filters.all()[0].kind else { panic!("not a fault") };
    let delay = fault.delay.unwrap();
    assert_eq!(delay.fixed, Some(Duration::from_millis(1_500)));
    assert_eq!(delay.share, Share { some: 7, of: 1_000_000 });
    let abort = fault.abort.as_ref().unwrap();
    assert_eq!((abort.answer, &*abort.body), (AbortAnswer::Grpc(14), "nope"));
    assert_eq!(abort.share, Share { some: 50, of: 100 });
    assert_eq!((fault.upstream_cluster.as_deref(), fault.max_active), (Some("c"), Some(3)));
    assert_eq!((fault.headers.len(), fault.downstream_nodes.len()), (1, 1));
}

#[test]
fn what_does_nothing_by_itself_is_no_chain() {
    let idle = format!(
        "{{name: f, typed_config: {{\"@type\": {FAULT}}}}}, {{name: c, typed_config: \
         {{\"@type\": {CORS}.Cors}}}}, {{name: third, disabled: true, typed_config: {{\"@type\": \
         {FAULT}, abort: {{http_status: 500}}}}}}, "
    );
    let (snapshot, _) = good(&with_filters(&idle, "virtual_hosts: []"));
    let filters = &manager(&snapshot).filters;
    assert_eq!(filters.all().len(), 3);
    assert_eq!(filters.policies().map(<[_]>::len), Some(0));
    assert!(!table(&snapshot).has_overrides);
}

#[test]
fn every_level_has_its_say() {
    let fault = |status| {
        format!(
            "typed_per_filter_config: {{f: {{\"@type\": {FAULT}, abort: {{http_status: \
             {status}}}}}}}"
        )
    };
    let routes = format!(
        "{}\nvirtual_hosts:\n- name: v\n  domains: ['*']\n  typed_per_filter_config:\n    f: \
         {{\"@type\": {WRAPPED}, disabled: true}}\n    g: {{\"@type\": {WRAPPED}, config: \
         {{}}}}\n    x: {{\"@type\": {WRAPPED}, is_optional: true, config: {{\"@type\": \
         type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/a.B}}}}\n  \
         routes:\n  - match: {{prefix: /}}\n    {}\n    route: {{weighted_clusters: {{clusters: \
         [{{name: a, weight: 1, {}}}]}}}}",
        fault(401),
        fault(402),
        fault(403),
    );
    let (snapshot, _) = good(&with_filters("", &routes));
    let table = table(&snapshot);
    assert!(table.has_overrides);
    let status = |said: Option<&Override>| match said {
        Some(Override::With(OverrideKind::Fault(fault))) => fault.abort.as_ref().unwrap().answer,
        other => panic!("{other:?}"),
    };
    let host = &table.hosts[0];
    assert_eq!(status(table.overrides.get("f")), AbortAnswer::Http(401));
    assert!(matches!(host.overrides.get("f"), Some(Override::Off)));
    assert!(matches!(host.overrides.get("g"), Some(Override::On)));
    assert!(matches!(host.overrides.get("x"), Some(Override::On)), "optional, unknown: it is on");
    assert!(host.overrides.get("h").is_none());
    assert_eq!(status(host.routes[0].overrides.get("f")), AbortAnswer::Http(402));
    let crate::snapshot::RouteAction::Forward(forward) = &host.routes[0].action else {
        panic!("not forwarded")
    };
    assert_eq!(status(forward.clusters[0].overrides.get("f")), AbortAnswer::Http(403));
}

#[test]
fn a_cors_policy_keeps_what_it_leaves_unsaid() {
    let policy = format!(
        "virtual_hosts:\n- name: v\n  domains: ['*']\n  typed_per_filter_config: {{c: {{\"@type\": \
         {CORS}.CorsPolicy, allow_origin_string_match: [{{exact: a}}], allow_methods: GET, \
         allow_credentials: false, filter_enabled: {{default_value: {{numerator: 5, denominator: \
         TEN_THOUSAND}}}}}}}}"
    );
    let (snapshot, _) = good(&with_filters("", &policy));
    let said = table(&snapshot).hosts[0].overrides.get("c");
    let Some(Override::With(OverrideKind::Cors(policy))) = said else { panic!("{said:?}") };
    assert!(matches!(&policy.origins[0].kind, StringKind::Exact(text) if **text == *b"a"));
    assert_eq!(policy.methods.as_deref(), Some(&b"GET"[..]));
    assert_eq!((policy.headers.as_deref(), policy.max_age.as_deref()), (None, None));
    assert_eq!((policy.credentials, policy.private_network), (Some(false), None));
    assert_eq!(policy.enabled, Some(Share { some: 5, of: 10_000 }));
}

#[test]
fn what_nobody_understands_is_refused() {
    let at = "listener `l`: filter_chains[0].filters[0].typed_config";
    let route = |said: &str| {
        with_filters(
            "",
            &format!(
                "virtual_hosts: [{{name: v, domains: ['*'], typed_per_filter_config: {{f: \
                 {said}}}}}]"
            ),
        )
    };
    let host = format!("{at}.route_config.virtual_hosts[0].typed_per_filter_config[\"f\"]");
    let filter = |said: &str| {
        let filter = format!("{{name: f, typed_config: {{\"@type\": {FAULT}, {said}}}}}, ");
        with_filters(&filter, "virtual_hosts: []")
    };
    let struct_ = "{\"@type\": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: \
                   type.googleapis.com/a.B}";
    for (yaml, expected) in [
        (
            route(struct_),
            format!(
                "{host}: `TypedStruct of a.B` is nothing that a route can say to the filter `f` \
                 (config.unsupported)"
            ),
        ),
        (
            route(&format!("{{\"@type\": {WRAPPED}, config: {struct_}}}")),
            format!(
                "{host}.config: `TypedStruct of a.B` is nothing that a route can say to the filter \
                 `f` (config.unsupported)"
            ),
        ),
        (
            route(&format!("{{\"@type\": {WRAPPED}}}")),
            format!("{host}.config: `config` or `disabled` has to be given (config.missing)"),
        ),
        (
            route(&format!("{{\"@type\": {FAULT}, abort: {{http_status: 600}}}}")),
            format!("{host}.abort.http_status: between 200 and 599 (config.invalid)"),
        ),
        (
            filter("delay: {fixed_delay: 0s}"),
            format!(
                "{at}.http_filters[0].typed_config.delay.fixed_delay: longer than 0s \
                 (config.invalid)"
            ),
        ),
        (
            filter("response_rate_limit: {fixed_limit: {limit_kbps: 0}}"),
            format!(
                "{at}.http_filters[0].typed_config.response_rate_limit.fixed_limit.limit_kbps: at \
                 least 1 (config.invalid)"
            ),
        ),
    ] {
        let (_, refused, _) = apply(&yaml);
        let said = refused.first().unwrap_or_else(|| panic!("not refused\n{yaml}")).to_string();
        assert_eq!(said, expected, "\n{yaml}");
    }
}

const LIMIT: &str =
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
const MUTATION: &str = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3";

#[test]
fn a_rate_limit_says_what_it_counts() {
    let filter = format!(
        "{{name: l, typed_config: {{\"@type\": {LIMIT}, stat_prefix: s, status: {{code: OK}}, \
         token_bucket: {{max_tokens: 9, tokens_per_fill: 2, fill_interval: 1s}}, filter_enabled: \
         {{default_value: {{numerator: 30}}}}, descriptors: [{{entries: [{{key: a, value: \
         quick}}], token_bucket: {{max_tokens: 1, tokens_per_fill: 60, fill_interval: 2s}}}}, \
         {{entries: [{{key: a, value: slow}}], token_bucket: {{max_tokens: 1, fill_interval: \
         2s}}}}]}}}}, "
    );
    let routes = "virtual_hosts:\n- name: v\n  domains: ['*']\n  rate_limits: [{stage: 3, actions: \
                  [{remote_address: {}}]}]\n  routes: [{match: {prefix: /}, route: {cluster: c, \
                  include_vh_rate_limits: true, rate_limits: [{disable_key: k, actions: \
                  [{generic_key: {descriptor_value: a}}]}, {actions: [{generic_key: \
                  {descriptor_value: b}}]}]}}]";
    let (snapshot, _) = good(&with_filters(&filter, routes));
    let FilterKind::LocalRateLimit(limit) = &manager(&snapshot).filters.all()[0].kind else {
        panic!("not a limit")
    };
    assert_eq!((limit.status, limit.always_takes), (429, true), "no error becomes 429");
    assert_eq!((limit.enabled, limit.enforced), (Share { some: 30, of: 100 }, Share::NONE));
    let bucket = limit.bucket.as_ref().unwrap();
    assert_eq!((bucket.most, bucket.fill, bucket.every), (9, 2, Duration::from_secs(1)));
    let order: Vec<_> = limit.descriptors.iter().map(|one| &*one.entries[0].1).collect();
    assert_eq!(order, [&b"slow"[..], b"quick"], "the slowest to fill first");
    let host = &table(&snapshot).hosts[0];
    assert_eq!(host.overrides.rate_limits[0].stage, 3);
    let said = &host.routes[0].overrides;
    assert_eq!((said.rate_limits.len(), said.includes_host_limits), (2, true));
    assert!(said.rate_limits[0].is_off && !said.rate_limits[1].is_off);
    assert!(!table(&snapshot).has_overrides, "nothing is said of a filter by name");
}

#[test]
fn mutations_keep_their_order() {
    let filter = format!(
        "{{name: m, typed_config: {{\"@type\": {MUTATION}.HeaderMutation, mutations: \
         {{request_mutations: [{{append: {{header: {{key: X-A, value: '1'}}}}}}, {{remove: x-b}}, \
         {{remove_on_match: {{key_matcher: {{prefix: x-c}}}}}}, {{append: {{header: \
         {{key: x-d}}}}}}]}}, most_specific_header_mutations_wins: true}}}}, "
    );
    let (snapshot, _) = good(&with_filters(&filter, "virtual_hosts: []"));
    let filters = &manager(&snapshot).filters;
    assert!(filters.changes_answers() && filters.policies().is_none());
    let FilterKind::HeaderMutation(filter) = &filters.all()[0].kind else { panic!("no mutation") };
    assert!(filter.most_specific_wins && filter.mutations.response.is_empty());
    use crate::snapshot::{HeaderChange, Mutation};
    let [
        Mutation::Change(HeaderChange::Append(name, _)),
        Mutation::Change(HeaderChange::Remove(removed)),
        Mutation::RemoveMatching(_),
    ] = &filter.mutations.request[..]
    else {
        panic!("{:?}", filter.mutations.request)
    };
    assert_eq!((&**name, &**removed), (&b"x-a"[..], &b"x-b"[..]));
}

#[test]
fn limits_and_mutations_that_cannot_be_kept_are_refused() {
    let at = "listener `l`: filter_chains[0].filters[0].typed_config.http_filters[0].typed_config";
    let limit = |said: &str| format!("{{name: f, typed_config: {{\"@type\": {LIMIT}, {said}}}}}, ");
    let bucket = "token_bucket: {max_tokens: 1, fill_interval: 1s}";
    for (filter, expected) in [
        (
            limit("token_bucket: {max_tokens: 1, fill_interval: 0.01s}"),
            "token_bucket.fill_interval: at least 50 ms (config.invalid)",
        ),
        (
            limit("token_bucket: {max_tokens: 1}"),
            "token_bucket.fill_interval: it has to be given (config.missing)",
        ),
        (
            limit("local_rate_limit_per_downstream_connection: true"),
            "local_rate_limit_per_downstream_connection: this field is not supported \
             (config.unsupported)",
        ),
        (
            limit(&format!("descriptors: [{{entries: [{{key: a}}], {bucket}}}]")),
            "descriptors[0].entries[0].value: a value has to be given (config.unsupported)",
        ),
        (
            limit("rate_limits: [{actions: [{source_cluster: {}}]}]"),
            "rate_limits[0].actions[0].source_cluster: this way to describe is not supported \
             (config.unsupported)",
        ),
        (
            limit("rate_limits: [{actions: [{generic_key: {descriptor_value: '%REQ(a)%'}}]}]"),
            "rate_limits[0].actions[0].generic_key.descriptor_value: command operators (%…%) are \
             not supported (config.unsupported)",
        ),
        (
            limit("response_headers_to_add: [{header: {key: a, value: '%REQ(b)%'}}]"),
            "response_headers_to_add[0]: command operators (%…%) are not supported in filters \
             (config.unsupported)",
        ),
        (
            format!(
                "{{name: f, typed_config: {{\"@type\": {MUTATION}.HeaderMutation, mutations: \
                 {{query_parameter_mutations: [{{remove: a}}]}}}}}}, "
            ),
            "mutations.query_parameter_mutations: this field is not supported (config.unsupported)",
        ),
    ] {
        let yaml = with_filters(&filter, "virtual_hosts: []");
        let (_, refused, _) = apply(&yaml);
        let said = refused.first().unwrap_or_else(|| panic!("not refused\n{yaml}")).to_string();
        assert_eq!(said, format!("{at}.{expected}"), "\n{yaml}");
    }
}
