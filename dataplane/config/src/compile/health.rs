//! `HealthCheck`.

use std::ops::Range;
use std::time::Duration;

use api::envoy::core::health_check::{
    self, GrpcHealthCheck, HealthChecker, HttpHealthCheck, Payload, TcpHealthCheck, TlsOptions,
    payload,
};
use api::envoy::core::{HeaderValueOption, HealthCheck, RequestMethod};
use api::envoy::protobuf::{self, value::Kind};
use api::envoy::types::{CodecClientType, Int64Range};

use super::at::{At, Fault, decide};
use super::{headers, value};
use crate::health::{self, CheckKind, GrpcCheck, HttpCheck, Intervals, TcpCheck};
use crate::limits::{MAX_CHECK_FIELDS, MAX_PAYLOAD};
use crate::snapshot::{HeaderChange, HeaderValue};

pub(crate) fn compile(at: &At<'_>, check: &HealthCheck) -> Result<health::HealthCheck, Fault> {
    decide!(at, check => HealthCheck {
        used: timeout, interval, initial_jitter, interval_jitter, interval_jitter_percent,
            unhealthy_threshold, healthy_threshold, reuse_connection, health_checker,
            unhealthy_interval, unhealthy_edge_interval, healthy_edge_interval, tls_options,
            transport_socket_match_criteria;
        refused: event_log_path, event_logger, event_service;
        // Whether there was traffic is not known where hosts are checked; Envoy does not look at
        // `alt_port` either.
        without_effect: alt_port, no_traffic_interval, no_traffic_healthy_interval,
            always_log_health_check_failures, always_log_health_check_success;
    });
    let timeout = required(&at.field("timeout"), timeout)?;
    let usual = required(&at.field("interval"), interval)?;
    let or = |name: &str, given, other| {
        Ok::<_, Fault>(positive(&at.field(name), given)?.unwrap_or(other))
    };
    let jitter = |name: &str, given| {
        Ok::<_, Fault>(value::duration(&at.field(name), given)?.unwrap_or_default())
    };
    let unhealthy = or("unhealthy_interval", unhealthy_interval, usual)?;
    let intervals = Intervals {
        usual,
        unhealthy,
        healthy_edge: or("healthy_edge_interval", healthy_edge_interval, usual)?,
        unhealthy_edge: or("unhealthy_edge_interval", unhealthy_edge_interval, unhealthy)?,
        initial_jitter: jitter("initial_jitter", initial_jitter)?,
        jitter: jitter("interval_jitter", interval_jitter)?,
        jitter_percent: *interval_jitter_percent,
    };
    let threshold = |name: &str, given: &Option<protobuf::UInt32Value>| {
        let at = at.field(name);
        given.as_ref().map(|given| given.value).ok_or_else(|| at.missing("it has to be given"))
    };
    Ok(health::HealthCheck {
        kind: kind(at, health_checker.as_ref())?,
        timeout,
        intervals,
        unhealthy_threshold: threshold("unhealthy_threshold", unhealthy_threshold)?,
        healthy_threshold: threshold("healthy_threshold", healthy_threshold)?,
        reuse_connection: value::bool_or(reuse_connection, true),
        alpn: tls_options.iter().flat_map(protocols).collect(),
        criteria: criteria(at, transport_socket_match_criteria.as_ref())?,
    })
}

fn protocols(options: &TlsOptions) -> impl Iterator<Item = Vec<u8>> {
    let TlsOptions { alpn_protocols } = options;
    alpn_protocols.iter().map(|protocol| protocol.clone().into_bytes())
}

type Labels = Vec<(Box<str>, Box<str>)>;

fn criteria(at: &At<'_>, given: Option<&protobuf::Struct>) -> Result<Option<Labels>, Fault> {
    let at = at.field("transport_socket_match_criteria");
    let Some(given) = given else { return Ok(None) };
    let each = given.fields.iter().map(|(key, value)| match &value.kind {
        Some(Kind::StringValue(text)) => Ok((key.as_str().into(), text.as_str().into())),
        _ => Err(at.key(key).unsupported("only text is supported")),
    });
    each.collect::<Result<_, _>>().map(Some)
}

fn kind(at: &At<'_>, checker: Option<&HealthChecker>) -> Result<CheckKind, Fault> {
    match checker {
        Some(HealthChecker::HttpHealthCheck(check)) => {
            http(&at.field("http_health_check"), check).map(CheckKind::Http)
        }
        Some(HealthChecker::TcpHealthCheck(check)) => {
            tcp(&at.field("tcp_health_check"), check).map(CheckKind::Tcp)
        }
        Some(HealthChecker::GrpcHealthCheck(check)) => {
            grpc(&at.field("grpc_health_check"), check).map(CheckKind::Grpc)
        }
        Some(HealthChecker::CustomHealthCheck(custom)) => {
            let health_check::CustomHealthCheck { name, config_type: _ } = custom;
            let at = at.field("custom_health_check");
            Err(at.unsupported(format!("the health check `{name}` is not supported")))
        }
        None => Err(at.missing("one of the kinds of checks has to be given")),
    }
}

fn http(at: &At<'_>, check: &HttpHealthCheck) -> Result<HttpCheck, Fault> {
    decide!(at, check => HttpHealthCheck {
        used: host, path, request_headers_to_add, request_headers_to_remove, expected_statuses,
            retriable_statuses, codec_client_type, method;
        refused: send, receive, service_name_matcher;
        // Bodies are not looked at.
        without_effect: response_buffer_size;
    });
    let place = at.field("path");
    let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_path {
        return Err(place.invalid("a path that begins with `/`, of printable ASCII characters"));
    }
    let place = at.field("method");
    let method = match value::enumeration(&place, *method)? {
        RequestMethod::MethodUnspecified => RequestMethod::Get,
        RequestMethod::Connect => return Err(place.invalid("CONNECT is not a health check")),
        method => method,
    };
    let place = at.field("codec_client_type");
    let http2 = match value::enumeration(&place, *codec_client_type)? {
        CodecClientType::Http1 => false,
        CodecClientType::Http2 => true,
        CodecClientType::Http3 => return Err(place.unsupported("HTTP3 is not supported")),
    };
    let remove = at.field("request_headers_to_remove");
    remove.at_most(MAX_CHECK_FIELDS, request_headers_to_remove.len())?;
    let mut expected = statuses(&at.field("expected_statuses"), expected_statuses)?;
    if expected.is_empty() {
        expected.push(200..201);
    }
    Ok(HttpCheck {
        host: authority(&at.field("host"), host)?,
        path: path.clone(),
        method: method.as_str_name().to_owned(),
        remove: request_headers_to_remove.iter().map(|name| name.to_ascii_lowercase()).collect(),
        add: fields(&at.field("request_headers_to_add"), request_headers_to_add)?,
        expected,
        retriable: statuses(&at.field("retriable_statuses"), retriable_statuses)?,
        http2,
    })
}

/// The fields to add, and whether each takes the place of one that is there.
fn fields(at: &At<'_>, list: &[HeaderValueOption]) -> Result<Vec<(String, String, bool)>, Fault> {
    at.at_most(MAX_CHECK_FIELDS, list.len())?;
    let mut fields = Vec::with_capacity(list.len());
    for (index, option) in list.iter().enumerate() {
        let at = at.item(index);
        let (name, value, replaces) = match headers::literal(&at, option)? {
            None => continue,
            Some(HeaderChange::Append(name, value)) => (name, value, false),
            Some(HeaderChange::Overwrite(name, value)) => (name, value, true),
            Some(_) => {
                return Err(at.field("append_action").unsupported("this action is not supported"));
            }
        };
        // Others are refused by `literal`.
        let HeaderValue::Text(value) = value else { continue };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let pair = text(&name).zip(text(&value));
        let (name, value) = pair.ok_or_else(|| at.invalid("only text is supported"))?;
        fields.push((name, value, replaces));
    }
    Ok(fields)
}

fn statuses(at: &At<'_>, list: &[Int64Range]) -> Result<Vec<Range<u16>>, Fault> {
    at.at_most(MAX_CHECK_FIELDS, list.len())?;
    let each = list.iter().enumerate().map(|(index, range)| {
        let Int64Range { start, end } = range;
        let range = u16::try_from(*start).ok().zip(u16::try_from(*end).ok());
        match range {
            Some((start, end)) if 100 <= start && start < end && end <= 600 => Ok(start..end),
            _ => Err(at.item(index).invalid("from 100 up to 600, and not empty")),
        }
    });
    each.collect()
}

fn tcp(at: &At<'_>, check: &TcpHealthCheck) -> Result<TcpCheck, Fault> {
    decide!(at, check => TcpHealthCheck {
        used: send, receive;
        refused: proxy_protocol_config;
    });
    let place = at.field("send");
    let send = send.as_ref().map(|send| bytes(&place, send)).transpose()?.unwrap_or_default();
    let place = at.field("receive");
    place.at_most(MAX_CHECK_FIELDS, receive.len())?;
    let receive = receive.iter().enumerate().map(|(index, one)| bytes(&place.item(index), one));
    Ok(TcpCheck { send, receive: receive.collect::<Result<_, _>>()? })
}

/// Text is hexadecimal, as in Envoy.
fn bytes(at: &At<'_>, payload: &Payload) -> Result<Vec<u8>, Fault> {
    let bytes = match &payload.payload {
        Some(payload::Payload::Binary(bytes)) => bytes.clone(),
        Some(payload::Payload::Text(text)) => {
            hex(text).ok_or_else(|| at.field("text").invalid("pairs of hexadecimal digits"))?
        }
        None => return Err(at.missing("`text` or `binary` has to be given")),
    };
    at.at_most(MAX_PAYLOAD, bytes.len())?;
    Ok(bytes)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |all, one| all << 4 | one)).collect(),
    )
}

fn grpc(at: &At<'_>, check: &GrpcHealthCheck) -> Result<GrpcCheck, Fault> {
    decide!(at, check => GrpcHealthCheck {
        used: service_name, authority, initial_metadata;
    });
    let metadata = fields(&at.field("initial_metadata"), initial_metadata)?;
    Ok(GrpcCheck {
        service: service_name.clone(),
        authority: self::authority(&at.field("authority"), authority)?,
        metadata: metadata.into_iter().map(|(name, value, _)| (name, value)).collect(),
    })
}

fn authority(at: &At<'_>, text: &str) -> Result<String, Fault> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(at.invalid("only printable ASCII characters")),
    }
}

fn required(at: &At<'_>, given: &Option<protobuf::Duration>) -> Result<Duration, Fault> {
    positive(at, given)?.ok_or_else(|| at.missing("it has to be given"))
}

fn positive(at: &At<'_>, given: &Option<protobuf::Duration>) -> Result<Option<Duration>, Fault> {
    match value::duration(at, given)? {
        Some(Duration::ZERO) => Err(at.invalid("longer than 0s")),
        given => Ok(given),
    }
}
