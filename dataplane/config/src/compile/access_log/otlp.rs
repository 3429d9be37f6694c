//! `envoy.access_loggers.open_telemetry`: records for a collector, by gRPC.

use std::time::Duration;

use api::envoy::core::{GrpcService, grpc_service::TargetSpecifier};
use api::envoy::grpc_access_log::CommonGrpcAccessLogConfig;
use api::envoy::otlp::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
use api::envoy::otlp_access_log::OpenTelemetryAccessLogConfig;
use api::envoy::protobuf;
use prost::Message;

use super::super::at::{At, Fault, decide};
use super::super::scope::Scope;
use super::super::{format, source, value};
use crate::limits::{MAX_FORMAT_DEPTH, MAX_LOG_ATTRIBUTE, MAX_LOG_ATTRIBUTES};
use crate::snapshot::{LogCollector, LogFormat, LogTarget, OtlpFormat, OtlpNode};

/// Envoy's defaults.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const BUFFER_BYTES: u32 = 16 << 10;
/// What exporters of OTLP have as their default; Envoy waits for ever.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The collector, and what records say.
pub(super) fn compile(
    at: &At<'_>,
    log: &OpenTelemetryAccessLogConfig,
    scope: &mut Scope<'_>,
) -> Result<(LogTarget, LogFormat), Fault> {
    decide!(at, log => OpenTelemetryAccessLogConfig {
        used: common_config, grpc_service, disable_builtin_labels, resource_attributes, body,
            attributes, stat_prefix, log_name, buffer_flush_interval, buffer_size_bytes;
        refused: http_service, resource_detectors, formatters, custom_tags;
        // No filter that is understood here keeps any state, so that there is none to log.
        without_effect: filter_state_objects_to_log;
    });
    let mut call = Call { name: log_name.clone(), ..Call::default() };
    match (common_config, grpc_service) {
        (Some(common), None) => call.common(&at.field("common_config"), common)?,
        (None, Some(service)) => call.service(&at.field("grpc_service"), service)?,
        (Some(_), Some(_)) => {
            return Err(at.field("grpc_service").invalid("`common_config` is given as well"));
        }
        (None, None) => return Err(at.field("grpc_service").missing("it has to be given")),
    }
    call.buffer(at, buffer_flush_interval.as_ref(), buffer_size_bytes.as_ref())?;
    let place = at.field("resource_attributes");
    let attributes_of_resource = resource(&place, resource_attributes.as_ref())?;
    let body = body.as_ref().filter(|body| body.value.is_some());
    let body = body.map(|body| node(&at.field("body"), body, 0)).transpose()?;
    let attributes = match attributes {
        Some(list) => map(&at.field("attributes"), list, 0)?,
        None => Vec::new(),
    };
    let (cluster_name, cluster) = scope.names.id(at, &call.cluster)?;
    let collector = scope.names.collector(LogCollector {
        name: call.name.into(),
        stat_prefix: stat_prefix.as_str().into(),
        cluster,
        cluster_name,
        authority: call.authority.into(),
        timeout: call.timeout.unwrap_or(TIMEOUT),
        metadata: call.metadata,
        flush_interval: call.flush_interval.unwrap_or(FLUSH_INTERVAL),
        buffer_bytes: call.buffer_bytes.unwrap_or(BUFFER_BYTES),
        has_labels: !disable_builtin_labels,
        attributes: attributes_of_resource,
    });
    Ok((LogTarget::Collector(collector), LogFormat::Otlp(OtlpFormat { body, attributes })))
}

/// How the collector is called.
#[derive(Default)]
struct Call {
    name: String,
    cluster: String,
    authority: String,
    timeout: Option<Duration>,
    metadata: Vec<(String, String)>,
    flush_interval: Option<Duration>,
    buffer_bytes: Option<u32>,
}

impl Call {
    fn common(&mut self, at: &At<'_>, common: &CommonGrpcAccessLogConfig) -> Result<(), Fault> {
        decide!(at, common => CommonGrpcAccessLogConfig {
            used: log_name, grpc_service, transport_api_version, buffer_flush_interval,
                buffer_size_bytes;
            refused: custom_tags, grpc_stream_retry_policy;
            without_effect: filter_state_objects_to_log;
        });
        source::version(&at.field("transport_api_version"), *transport_api_version)?;
        if log_name.is_empty() {
            return Err(at.field("log_name").missing("it may not be empty"));
        }
        if self.name.is_empty() {
            self.name.clone_from(log_name);
        }
        self.buffer(at, buffer_flush_interval.as_ref(), buffer_size_bytes.as_ref())?;
        if self.flush_interval == Some(Duration::ZERO) {
            return Err(at.field("buffer_flush_interval").invalid("longer than 0s"));
        }
        let at = at.field("grpc_service");
        match grpc_service {
            Some(service) => self.service(&at, service),
            None => Err(at.missing("it has to be given")),
        }
    }

    fn service(&mut self, at: &At<'_>, service: &GrpcService) -> Result<(), Fault> {
        let source::Service { cluster, authority, timeout, metadata } =
            source::service(at, service)?;
        at.refuse("retry_policy", &service.retry_policy)?;
        // `service` takes no other.
        if let Some(TargetSpecifier::EnvoyGrpc(target)) = &service.target_specifier {
            at.field("envoy_grpc").refuse("retry_policy", &target.retry_policy)?;
        }
        (self.cluster, self.authority) = (cluster, authority);
        (self.timeout, self.metadata) = (timeout, metadata);
        Ok(())
    }

    fn buffer(
        &mut self,
        at: &At<'_>,
        interval: Option<&protobuf::Duration>,
        bytes: Option<&protobuf::UInt32Value>,
    ) -> Result<(), Fault> {
        let place = at.field("buffer_flush_interval");
        self.flush_interval = value::duration(&place, &interval.cloned())?.or(self.flush_interval);
        self.buffer_bytes = bytes.map(|bytes| bytes.value).or(self.buffer_bytes);
        Ok(())
    }
}

/// `resource_attributes`. They are sent as they stand; of one key the last counts, in the place of
/// the first, as in Envoy.
fn resource(at: &At<'_>, given: Option<&KeyValueList>) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut attributes: Vec<(String, Vec<u8>)> = Vec::new();
    let list = given.map(|given| &given.values[..]).unwrap_or_default();
    at.at_most(MAX_LOG_ATTRIBUTES, list.len())?;
    for (index, pair) in list.iter().enumerate() {
        let at = at.item(index);
        let encoded = pair.encode_to_vec();
        at.at_most(MAX_LOG_ATTRIBUTE, encoded.len())?;
        at.refuse("key_strindex", &pair.key_strindex)?;
        match attributes.iter_mut().find(|(key, _)| *key == pair.key) {
            Some((_, before)) => *before = encoded,
            None => attributes.push((pair.key.clone(), encoded)),
        }
    }
    Ok(attributes)
}

/// Keys, as a `KeyValue` begins with them, and values.
type Pairs = Vec<(Box<[u8]>, OtlpNode)>;

/// Pairs in their order, of one key as many as there are.
fn map(at: &At<'_>, list: &KeyValueList, depth: usize) -> Result<Pairs, Fault> {
    at.at_most(MAX_FORMAT_DEPTH, depth)?;
    let at = at.field("values");
    at.at_most(MAX_LOG_ATTRIBUTES, list.values.len())?;
    let each = list.values.iter().enumerate().map(|(index, pair)| {
        let at = at.item(index);
        let KeyValue { key, value, key_strindex } = pair;
        at.refuse("key_strindex", key_strindex)?;
        let place = at.field("value");
        let Some(value) = value else { return Err(place.missing(format!("of `{key}`"))) };
        Ok((self::key(key), node(&place, value, depth + 1)?))
    });
    each.collect()
}

/// What a `KeyValue` begins with.
fn key(key: &str) -> Box<[u8]> {
    let pair = KeyValue { key: key.to_owned(), ..KeyValue::default() };
    pair.encode_to_vec().into()
}

/// As in Envoy all values are strings, in lists and maps.
fn node(at: &At<'_>, value: &AnyValue, depth: usize) -> Result<OtlpNode, Fault> {
    match &value.value {
        Some(Value::StringValue(text)) => string(&at.field("string_value"), text),
        Some(Value::KvlistValue(list)) => {
            map(&at.field("kvlist_value"), list, depth).map(OtlpNode::Map)
        }
        Some(Value::ArrayValue(list)) => {
            array(&at.field("array_value"), list, depth).map(OtlpNode::List)
        }
        _ => Err(at.unsupported("only strings, lists and maps of them are supported")),
    }
}

fn array(at: &At<'_>, list: &ArrayValue, depth: usize) -> Result<Vec<OtlpNode>, Fault> {
    at.at_most(MAX_FORMAT_DEPTH, depth)?;
    let at = at.field("values");
    at.at_most(MAX_LOG_ATTRIBUTES, list.values.len())?;
    let each = list.values.iter().enumerate();
    each.map(|(index, value)| node(&at.item(index), value, depth + 1)).collect()
}

fn string(at: &At<'_>, text: &str) -> Result<OtlpNode, Fault> {
    let format = format::format(at, text)?;
    let Some(text) = format.as_text() else { return Ok(OtlpNode::Text(format)) };
    let text = String::from_utf8_lossy(text).into_owned();
    let value = AnyValue { value: Some(Value::StringValue(text)) };
    Ok(OtlpNode::Literal(value.encode_to_vec().into()))
}

#[cfg(test)]
mod tests;
