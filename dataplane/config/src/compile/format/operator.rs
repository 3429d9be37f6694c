//! The operators, by name.

use super::super::at::{At, Fault};
use super::super::matcher;
use super::{Command, time};
use crate::snapshot::{
    Ask, Fact, FieldName, GrpcForm, Moment, Operator, PathOf, Point, ServerNameOf, Shown, Side,
    Unit,
};

/// What an operator comes to when it is compiled.
pub(super) enum Compiled {
    /// It is asked each time.
    Operator(Operator),
    /// It is the same for all.
    Text(Box<[u8]>),
}

/// The key under which it is told who has spoken first on a connection.
const FIRST_SPEAKER: &str = "ringway.first_speaker";

/// Operators that take nothing.
#[rustfmt::skip] // one line an operator
const PLAIN: &[(&str, Ask)] = &[
    ("ACCESS_LOG_TYPE", Ask::Fact(Fact::AccessLogType)),
    ("BYTES_RECEIVED", Ask::Fact(Fact::BytesReceived)),
    ("BYTES_SENT", Ask::Fact(Fact::BytesSent)),
    ("CONNECTION_ID", Ask::Fact(Fact::ConnectionId)),
    ("CONNECTION_TERMINATION_DETAILS", Ask::Fact(Fact::ConnectionTerminationDetails)),
    ("DOWNSTREAM_DIRECT_LOCAL_ADDRESS", Ask::Address(Side::DirectLocal, Shown::Both)),
    ("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
        Ask::Address(Side::DirectLocal, Shown::WithoutPort)),
    ("DOWNSTREAM_DIRECT_LOCAL_PORT", Ask::Address(Side::DirectLocal, Shown::Port)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Ask::Address(Side::DirectClient, Shown::Both)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        Ask::Address(Side::DirectClient, Shown::WithoutPort)),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", Ask::Address(Side::DirectClient, Shown::Port)),
    ("DOWNSTREAM_LOCAL_ADDRESS", Ask::Address(Side::Local, Shown::Both)),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Ask::Address(Side::Local, Shown::WithoutPort)),
    ("DOWNSTREAM_LOCAL_PORT", Ask::Address(Side::Local, Shown::Port)),
    ("DOWNSTREAM_LOCAL_URI_SAN", Ask::Fact(Fact::DownstreamLocalUriSan)),
    ("DOWNSTREAM_PEER_DNS_SAN", Ask::Fact(Fact::DownstreamPeerDnsSan)),
    ("DOWNSTREAM_PEER_FINGERPRINT_256", Ask::Fact(Fact::DownstreamPeerFingerprint256)),
    ("DOWNSTREAM_PEER_SUBJECT", Ask::Fact(Fact::DownstreamPeerSubject)),
    ("DOWNSTREAM_PEER_URI_SAN", Ask::Fact(Fact::DownstreamPeerUriSan)),
    ("DOWNSTREAM_REMOTE_ADDRESS", Ask::Address(Side::Client, Shown::Both)),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Ask::Address(Side::Client, Shown::WithoutPort)),
    ("DOWNSTREAM_REMOTE_PORT", Ask::Address(Side::Client, Shown::Port)),
    ("DOWNSTREAM_TLS_VERSION", Ask::Fact(Fact::DownstreamTlsVersion)),
    ("DOWNSTREAM_TRANSPORT_FAILURE_REASON", Ask::Fact(Fact::DownstreamTransportFailureReason)),
    ("DURATION", since_begin(Point::Over)),
    ("FILTER_CHAIN_NAME", Ask::Fact(Fact::FilterChainName)),
    ("GRPC_STATUS_NUMBER", Ask::GrpcStatus(GrpcForm::Number)),
    ("LOCAL_REPLY_BODY", Ask::Fact(Fact::LocalReplyBody)),
    ("PROTOCOL", Ask::Fact(Fact::Protocol)),
    ("REQUEST_DURATION", since_begin(Point::RequestEnd)),
    ("REQUEST_HEADERS_BYTES", Ask::Fact(Fact::RequestHeadersBytes)),
    ("REQUEST_TX_DURATION", since_begin(Point::UpstreamSendEnd)),
    ("RESPONSE_CODE", Ask::Fact(Fact::ResponseCode)),
    ("RESPONSE_DURATION", since_begin(Point::UpstreamReceiveBegin)),
    ("RESPONSE_FLAGS", Ask::Fact(Fact::ResponseFlags)),
    ("RESPONSE_FLAGS_LONG", Ask::Fact(Fact::ResponseFlagsLong)),
    ("RESPONSE_HEADERS_BYTES", Ask::Fact(Fact::ResponseHeadersBytes)),
    ("RESPONSE_TRAILERS_BYTES", Ask::Fact(Fact::ResponseTrailersBytes)),
    ("RESPONSE_TX_DURATION",
        Ask::Between(Point::UpstreamReceiveBegin, Point::ResponseEnd, Unit::Milliseconds)),
    ("ROUTE_NAME", Ask::Fact(Fact::RouteName)),
    // Nothing is traced here, so that there is none.
    ("SPAN_ID", Ask::Nothing),
    ("STREAM_ID", Ask::Fact(Fact::StreamId)),
    ("TRACE_ID", Ask::Nothing),
    ("UPSTREAM_CLUSTER", Ask::Fact(Fact::UpstreamCluster)),
    ("UPSTREAM_CLUSTER_RAW", Ask::Fact(Fact::UpstreamCluster)),
    ("UPSTREAM_HOST", Ask::Address(Side::Upstream, Shown::Both)),
    ("UPSTREAM_HOST_NAME", Ask::Fact(Fact::UpstreamHostName)),
    ("UPSTREAM_LOCAL_ADDRESS", Ask::Address(Side::UpstreamLocal, Shown::Both)),
    ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        Ask::Address(Side::UpstreamLocal, Shown::WithoutPort)),
    ("UPSTREAM_LOCAL_PORT", Ask::Address(Side::UpstreamLocal, Shown::Port)),
    ("UPSTREAM_PEER_DNS_SAN", Ask::Fact(Fact::UpstreamPeerDnsSan)),
    ("UPSTREAM_PEER_SUBJECT", Ask::Fact(Fact::UpstreamPeerSubject)),
    ("UPSTREAM_PEER_URI_SAN", Ask::Fact(Fact::UpstreamPeerUriSan)),
    ("UPSTREAM_PROTOCOL", Ask::Fact(Fact::UpstreamProtocol)),
    ("UPSTREAM_REMOTE_ADDRESS", Ask::Address(Side::Upstream, Shown::Both)),
    ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Ask::Address(Side::Upstream, Shown::WithoutPort)),
    ("UPSTREAM_REMOTE_PORT", Ask::Address(Side::Upstream, Shown::Port)),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", Ask::Fact(Fact::UpstreamRequestAttemptCount)),
    ("UPSTREAM_TLS_VERSION", Ask::Fact(Fact::UpstreamTlsVersion)),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", Ask::Fact(Fact::UpstreamTransportFailureReason)),
];

/// Milliseconds from the beginning on.
const fn since_begin(to: Point) -> Ask {
    Ask::Between(Point::RequestBegin, to, Unit::Milliseconds)
}

/// Points that `COMMON_DURATION` knows. The three of the upstream's connection are not kept here.
#[rustfmt::skip] // one line a point
const POINTS: &[(&str, Point)] = &[
    ("DS_RX_BEG", Point::RequestBegin),
    ("DS_RX_END", Point::RequestEnd),
    ("US_TX_BEG", Point::UpstreamSendBegin),
    ("US_TX_END", Point::UpstreamSendEnd),
    ("US_RX_BEG", Point::UpstreamReceiveBegin),
    ("US_RX_END", Point::UpstreamReceiveEnd),
    ("DS_TX_BEG", Point::ResponseBegin),
    ("DS_TX_END", Point::ResponseEnd),
];

/// What a command asks for, or why it cannot be had.
pub(super) fn operator(at: &At<'_>, command: &Command<'_>) -> Result<Compiled, Fault> {
    let Command { whole, name, parameters, length } = *command;
    let refuse = |reason: &str| at.invalid(format!("`{whole}`: {reason}"));
    if let Some((_, ask)) = PLAIN.iter().find(|(known, _)| *known == name) {
        return match (parameters, length) {
            (None, None) => Ok(Compiled::Operator(Operator { ask: ask.clone(), bytes_max: None })),
            _ => Err(refuse("it takes neither parameters nor a length")),
        };
    }
    let ask = match (name, parameters) {
        ("HOSTNAME", None) if length.is_none() => return Ok(Compiled::Text(host_name().into())),
        ("HOSTNAME", _) => Err(refuse("it takes neither parameters nor a length")),
        (
            "START_TIME"
            | "EMIT_TIME"
            | "GRPC_STATUS"
            | "PATH"
            | "QUERY_PARAMS"
            | "REQUESTED_SERVER_NAME"
            | "RESPONSE_CODE_DETAILS",
            _,
        ) => optional(at, command, parameters.unwrap_or_default()),
        ("ENVIRONMENT", Some(variable)) if !variable.is_empty() => {
            return Ok(environment(variable, length));
        }
        (
            "REQ" | "REQUEST_HEADER" | "RESP" | "RESPONSE_HEADER" | "TRAILER" | "RESPONSE_TRAILER"
            | "QUERY_PARAM" | "COMMON_DURATION" | "ENVIRONMENT" | "FILTER_STATE"
            | "DYNAMIC_METADATA",
            None | Some(""),
        ) => Err(refuse("it needs parameters")),
        (_, Some(parameters)) => with_parameters(at, command, parameters),
        _ => Err(unknown(at, command)),
    }?;
    let takes_length = matches!(
        ask,
        Ask::Request(_)
            | Ask::Response(_)
            | Ask::Trailer(_)
            | Ask::Path { .. }
            | Ask::Query
            | Ask::QueryParameter(_)
            | Ask::Nothing
    );
    match length.is_some() && !takes_length {
        true => Err(refuse("it takes no length")),
        false => Ok(Compiled::Operator(Operator { ask, bytes_max: length })),
    }
}

/// Those that may have parameters.
fn optional(at: &At<'_>, command: &Command<'_>, text: &str) -> Result<Ask, Fault> {
    let unknown =
        |known: &str| at.invalid(format!("`{}`: its parameter is none of {known}", command.whole));
    Ok(match command.name {
        "START_TIME" => Ask::Time(Moment::Start, time::format(at, command, text)?),
        "EMIT_TIME" => Ask::Time(Moment::Emit, time::format(at, command, text)?),
        "RESPONSE_CODE_DETAILS" => Ask::Details { spaces: text == "ALLOW_WHITESPACES" },
        "QUERY_PARAMS" => match text {
            "" | "ORIG" => Ask::Query,
            "DECODED" => return Err(at.unsupported(format!("`{}`: only ORIG", command.whole))),
            _ => return Err(unknown("ORIG, DECODED")),
        },
        "GRPC_STATUS" => Ask::GrpcStatus(match text {
            "" | "CAMEL_STRING" => GrpcForm::Camel,
            "SNAKE_STRING" => GrpcForm::Snake,
            "NUMBER" => GrpcForm::Number,
            _ => return Err(unknown("CAMEL_STRING, SNAKE_STRING, NUMBER")),
        }),
        "REQUESTED_SERVER_NAME" => Ask::ServerName(match text.split(':').next() {
            Some("" | "SNI_ONLY") | None => ServerNameOf::Sni,
            Some("SNI_FIRST") => ServerNameOf::SniFirst,
            Some("HOST_FIRST") => ServerNameOf::HostFirst,
            Some(_) => return Err(unknown("SNI_ONLY, SNI_FIRST, HOST_FIRST")),
        }),
        "PATH" => {
            let (query, of) = text.split_once(':').unwrap_or((text, ""));
            let of = match of {
                "" | "ORIG_OR_PATH" => PathOf::OriginalOrNow,
                "PATH" => PathOf::Now,
                "ORIG" => PathOf::Original,
                _ => return Err(unknown("ORIG, PATH, ORIG_OR_PATH")),
            };
            match query {
                "" | "WQ" => Ask::Path { has_query: true, of },
                "NQ" => Ask::Path { has_query: false, of },
                _ => return Err(unknown("WQ, NQ")),
            }
        }
        _ => return Err(self::unknown(at, command)),
    })
}

/// Those that must have parameters.
fn with_parameters(at: &At<'_>, command: &Command<'_>, text: &str) -> Result<Ask, Fault> {
    match command.name {
        "REQ" | "REQUEST_HEADER" => Ok(Ask::Request(field_name(at, command, text)?)),
        "RESP" | "RESPONSE_HEADER" => Ok(Ask::Response(field_name(at, command, text)?)),
        "TRAILER" | "RESPONSE_TRAILER" => Ok(Ask::Trailer(field_name(at, command, text)?)),
        "QUERY_PARAM" => Ok(Ask::QueryParameter(text.as_bytes().into())),
        "COMMON_DURATION" => duration(at, command, text),
        "FILTER_STATE" if text.split(':').next() == Some(FIRST_SPEAKER) => {
            Ok(Ask::Fact(Fact::FirstSpeaker))
        }
        // No filter that is understood here keeps any other state.
        "FILTER_STATE" | "PER_REQUEST_STATE" | "UPSTREAM_FILTER_STATE" => Ok(Ask::Nothing),
        // The namespaces of Envoy's own filters may hold what is not kept here.
        "DYNAMIC_METADATA" if !text.trim_start_matches(['[', '"']).starts_with("envoy.") => {
            Ok(Ask::Nothing)
        }
        _ => Err(unknown(at, command)),
    }
}

fn unknown(at: &At<'_>, command: &Command<'_>) -> Fault {
    at.unsupported(format!("`{}`: this operator is not supported", command.whole))
}

fn field_name(at: &At<'_>, command: &Command<'_>, text: &str) -> Result<FieldName, Fault> {
    let mut names = text.split('?');
    let (name, other) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    if names.next().is_some() {
        return Err(at.invalid(format!("`{}`: more than one other header", command.whole)));
    }
    let one = |name: &str| {
        let fault = || at.invalid(format!("`{}`: `{name}` is no header name", command.whole));
        matcher::header_name(at, name).map_err(|_| fault())
    };
    let other = (!other.is_empty()).then(|| one(other)).transpose()?;
    Ok(FieldName { name: one(name)?, other })
}

fn duration(at: &At<'_>, command: &Command<'_>, text: &str) -> Result<Ask, Fault> {
    let refuse = |reason: &str| at.invalid(format!("`{}`: {reason}", command.whole));
    let mut words = text.split(':');
    let (from, to) = (words.next(), words.next());
    let unit = match words.next() {
        None | Some("ms") => Unit::Milliseconds,
        Some("us") => Unit::Microseconds,
        Some("ns") => Unit::Nanoseconds,
        Some(_) => return Err(refuse("the unit is none of ms, us, ns")),
    };
    let (Some(from), Some(to), None) = (from, to, words.next()) else {
        return Err(refuse("it takes two points and a unit"));
    };
    let point = |name: &str| {
        let known = POINTS.iter().find(|(known, _)| *known == name).map(|(_, point)| *point);
        let unknown = || format!("`{}`: the point `{name}` is not supported", command.whole);
        known.ok_or_else(|| at.unsupported(unknown()))
    };
    Ok(Ask::Between(point(from)?, point(to)?, unit))
}

/// The name of this machine, read once; empty if there is none.
fn host_name() -> Vec<u8> {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_ascii_end().to_owned()
}

/// A variable of the process, read once.
fn environment(name: &str, length: Option<usize>) -> Compiled {
    match std::env::var(name) {
        Ok(mut value) => {
            let end = length.unwrap_or(value.len()).min(value.len());
            value.truncate(value.floor_char_boundary(end));
            Compiled::Text(value.into_bytes().into())
        }
        Err(_) => Compiled::Operator(Operator { ask: Ask::Nothing, bytes_max: None }),
    }
}
