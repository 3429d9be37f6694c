use api::envoy::accesslog::AccessLog;

use super::list;
use crate::compile::{At, Compiler};
use crate::snapshot::{self, JsonNode, LogFilter, LogFormat, LogTarget};

/// Two of the same.
pub(super) fn read_twice(yaml: &str) -> Result<Vec<snapshot::AccessLog>, String> {
    let log: AccessLog = api::text::parse(yaml).map_err(|error| error.to_string())?;
    let logs = [log.clone(), log];
    let compiled = Compiler::new().scoped(|scope| list(&At::root(), &logs, scope));
    compiled.map_err(|fault| format!("{}: {}", fault.field, fault.reason))
}

fn read(yaml: &str) -> Result<Vec<snapshot::AccessLog>, String> {
    read_twice(yaml)
}

fn file(rest: &str) -> String {
    format!(
        "{{name: f, typed_config: {{'@type': type.googleapis.com/envoy.extensions.access_loggers.\
         file.v3.FileAccessLog, path: /tmp/a{rest}}}}}"
    )
}

fn filter(filter: &str) -> String {
    format!(
        "{{name: f, filter: {{{filter}}}, typed_config: {{'@type': type.googleapis.com/envoy.\
         extensions.access_loggers.stream.v3.StderrAccessLog}}}}"
    )
}

#[test]
fn logs_are_compiled() {
    let logs = read(&file("")).expect("the default format");
    assert_eq!(logs[0].target, LogTarget::File("/tmp/a".into()));
    let LogFormat::Text { format, empty } = &logs[0].format else { panic!("no text") };
    assert!(format.parts.len() > 20 && *empty == "-" && logs[0].filter.is_none());
    let text = read(&file(", log_format: {omit_empty_values: true, text_format: '%PROTOCOL%'}"));
    let text = text.expect("text");
    let LogFormat::Text { format, empty } = &text[0].format else { panic!("no text") };
    assert!(format.parts.len() == 1 && empty.is_empty());
    let json = read(&file(
        ", log_format: {json_format: {b: '%PROTOCOL%', a: 'x %PROTOCOL%', c: {d: 5}, e: [true]}}",
    ));
    let json = json.expect("JSON");
    let LogFormat::Json(format) = &json[0].format else { panic!("no JSON") };
    let JsonNode::Object(fields) = &format.root else { panic!("no object") };
    let keys: Vec<_> = fields.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, [&b"\"a\""[..], b"\"b\"", b"\"c\"", b"\"e\""]);
    let stderr = read(&filter("response_flag_filter: {flags: [NR]}")).expect("a filter");
    assert_eq!(stderr[0].target, LogTarget::Stderr);
    assert!(matches!(&stderr[0].filter, Some(LogFilter::Flags(Some(_)))));
}

#[test]
fn what_is_not_understood_is_refused() {
    for (yaml, reason) in [
        (file(", log_format: {text_format: '%NOPE%'}"), "typed_config.log_format.text_format"),
        (file(", log_format: {formatters: [{name: x}], text_format: x}"), "formatters"),
        (file(", log_format: {json_format: {a: {b: '%NOPE%'}}}"), "json_format[\"a\"][\"b\"]"),
        (filter("metadata_filter: {}"), "filter.metadata_filter"),
        (filter("traceable_filter: {}"), "filter.traceable_filter"),
        (filter("extension_filter: {name: cel}"), "`cel` is not supported"),
        (filter("response_flag_filter: {flags: [XX]}"), "`XX` is no response flag"),
        (filter("and_filter: {filters: [{not_health_check_filter: {}}]}"), "at least two"),
        (filter("status_code_filter: {}"), "status_code_filter.comparison"),
        (
            "{name: g, typed_config: {'@type': type.googleapis.com/envoy.extensions.\
             access_loggers.file.v3.FileAccessLog}}"
                .to_owned(),
            "path",
        ),
    ] {
        let fault = read(&yaml).expect_err(&yaml);
        assert!(fault.contains(reason), "{yaml}: {fault}");
    }
}
