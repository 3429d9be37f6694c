use std::sync::Arc;
use std::time::Duration;

use api::envoy::otlp::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use prost::Message;

use super::super::tests::read_twice;
use super::node;
use crate::compile::At;
use crate::limits::{MAX_FORMAT_DEPTH, MAX_LOG_ATTRIBUTES};
use crate::snapshot::{LogCollector, LogFormat, LogTarget, OtlpFormat, OtlpNode};

/// What Istio sends for a provider `envoyOtelAls`, with more.
fn log(fields: &str) -> String {
    format!(
        "{{name: otel, typed_config: {{'@type': type.googleapis.com/envoy.extensions.\
         access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig, {fields}}}}}"
    )
}

fn common(more: &str) -> String {
    format!(
        "common_config: {{log_name: otel_envoy_accesslog, transport_api_version: V3, \
         filter_state_objects_to_log: [upstream_peer], grpc_service: {{envoy_grpc: \
         {{cluster_name: outbound|4317||collector, authority: collector.ns}}{more}}}}}"
    )
}

fn compiled(fields: &str) -> Result<(Arc<LogCollector>, OtlpFormat), String> {
    let logs = read_twice(&log(fields))?;
    let targets: Vec<_> = logs
        .iter()
        .map(|log| match &log.target {
            LogTarget::Collector(collector) => Arc::clone(collector),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(Arc::ptr_eq(&targets[0], &targets[1]), "one collector, one object");
    let LogFormat::Otlp(format) = logs[1].format.clone() else { panic!("no record") };
    Ok((Arc::clone(&targets[0]), format))
}

#[test]
fn a_collector_is_told_apart_by_all_that_is_said_of_it() {
    let (collector, format) = compiled(&common("")).expect("Istio's");
    assert_eq!(format, OtlpFormat::default());
    assert_eq!(collector.shown(), "otel_envoy_accesslog");
    assert_eq!(&*collector.cluster_name, "outbound|4317||collector");
    assert_eq!(&*collector.authority, "collector.ns");
    assert!(collector.has_labels && collector.attributes.is_empty());
    let defaults = (collector.timeout, collector.flush_interval, collector.buffer_bytes);
    assert_eq!(defaults, (Duration::from_secs(10), Duration::from_secs(1), 16_384));
    let more = ", timeout: 2s, initial_metadata: [{key: X-Token, value: t}]";
    let rest = "disable_builtin_labels: true, stat_prefix: p., buffer_flush_interval: 0.25s, \
                buffer_size_bytes: 0, resource_attributes: {values: [\
                {key: region, value: {string_value: '%PROTOCOL%'}}, \
                {key: number, value: {int_value: 7}}, {key: region, value: {string_value: last}}]}";
    let (collector, _) = compiled(&format!("{}, {rest}", common(more))).expect("all of it");
    assert_eq!(collector.timeout, Duration::from_secs(2));
    assert_eq!(collector.metadata, [("X-Token".to_owned(), "t".to_owned())]);
    assert_eq!((&*collector.stat_prefix, collector.has_labels), ("p.", false));
    assert_eq!((collector.flush_interval, collector.buffer_bytes), (Duration::from_millis(250), 0));
    let pairs: Vec<_> = collector
        .attributes
        .iter()
        .map(|(key, pair)| {
            let pair = KeyValue::decode(&pair[..]).expect("a pair");
            assert_eq!(*key, pair.key);
            pair.value.and_then(|value| value.value).expect("a value")
        })
        .collect();
    assert_eq!(pairs, [Value::StringValue("last".to_owned()), Value::IntValue(7)]);
    let own = "log_name: mine, grpc_service: {envoy_grpc: {cluster_name: c}}";
    let (collector, _) = compiled(own).expect("without common_config");
    assert_eq!((&*collector.name, &*collector.authority), ("mine", ""));
}

#[test]
fn what_never_changes_is_encoded_once() {
    let fields = "body: {string_value: '100%% %PROTOCOL%'}, attributes: {values: [\
                  {key: a, value: {string_value: x}}, {key: b, value: {array_value: {values: [\
                  {string_value: '%RESPONSE_CODE%'}]}}}, {key: c, value: {kvlist_value: {}}}]}";
    let (_, format) = compiled(&format!("{}, {fields}", common(""))).expect("a format");
    let Some(OtlpNode::Text(body)) = &format.body else { panic!("{:?}", format.body) };
    assert_eq!(body.parts.len(), 2);
    let [a, b, c] = &format.attributes[..] else { panic!("{:?}", format.attributes) };
    assert_eq!(a, &((*b"\x0a\x01a").into(), OtlpNode::Literal((*b"\x0a\x01x").into())));
    assert!(matches!(&b.1, OtlpNode::List(list) if matches!(list[..], [OtlpNode::Text(_)])));
    assert_eq!(c.1, OtlpNode::Map(Vec::new()));
}

#[test]
fn what_is_not_understood_is_refused() {
    let common = common("");
    let with = |rest: &str| format!("{common}, {rest}");
    for (fields, reason) in [
        ("stat_prefix: x".to_owned(), "typed_config.grpc_service: it has to be given"),
        (with("grpc_service: {envoy_grpc: {cluster_name: c}}"), "`common_config` is given as"),
        (with("http_service: {}"), "typed_config.http_service: this field is not supported"),
        (with("custom_tags: [{tag: x}]"), "typed_config.custom_tags"),
        (with("formatters: [{name: x}]"), "typed_config.formatters"),
        (with("resource_detectors: [{name: x}]"), "typed_config.resource_detectors"),
        (
            common.replace("{log_name", "{buffer_flush_interval: 0s, log_name"),
            "common_config.buffer_flush_interval: longer than 0s",
        ),
        (with("body: {int_value: 1}"), "typed_config.body: only strings, lists and maps"),
        (with("body: {string_value: '%NOPE%'}"), "typed_config.body.string_value"),
        (
            with("attributes: {values: [{key: a, value: {bool_value: true}}]}"),
            "attributes.values[0].value: only strings",
        ),
        (with("attributes: {values: [{key: a}]}"), "attributes.values[0].value: of `a`"),
        (
            with("attributes: {values: [{key_strindex: 1, value: {string_value: x}}]}"),
            "attributes.values[0].key_strindex",
        ),
        (common.replace("log_name: otel_envoy_accesslog, ", ""), "common_config.log_name"),
        (common.replace("V3", "V2"), "common_config.transport_api_version: only V3"),
        (
            common.replace("{log_name", "{custom_tags: [{tag: x}], log_name"),
            "common_config.custom_tags",
        ),
        (
            common.replace("{log_name", "{grpc_stream_retry_policy: {}, log_name"),
            "common_config.grpc_stream_retry_policy",
        ),
        (self::common(", retry_policy: {}"), "grpc_service.retry_policy"),
        (
            common.replace("authority", "retry_policy: {}, authority"),
            "grpc_service.envoy_grpc.retry_policy",
        ),
        (
            self::common(", initial_metadata: [{key: a, value: '%REQ(x)%'}]"),
            "grpc_service.initial_metadata[0].value: only ASCII text without `%`",
        ),
        (self::common("").replace("outbound|4317||collector", "''"), "`cluster_name` has to"),
    ] {
        let fault = compiled(&fields).expect_err(&fields);
        assert!(fault.contains(reason), "{fields}: {fault}");
    }
}

#[test]
fn depth_and_number_are_limited() {
    let text = || AnyValue { value: Some(Value::StringValue("x".to_owned())) };
    let list = |values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) };
    let nested = |levels| (0..levels).fold(text(), |inner, _| list(vec![inner]));
    let compile = |value| node(&At::root(), &value, 0).map_err(|fault| fault.reason);
    assert!(compile(nested(MAX_FORMAT_DEPTH)).is_ok());
    assert!(compile(nested(MAX_FORMAT_DEPTH + 2)).is_err_and(|why| why.contains("at most 32")));
    let wide = list((0..=MAX_LOG_ATTRIBUTES).map(|_| text()).collect());
    assert!(compile(wide).is_err_and(|why| why.contains("at most 1000")));
}
