//! Substitution format strings: text with operators such as `%REQ(x)%` in it
//! (Envoy: `configuration/advanced/substitution_formatter`).

use super::Flag;

/// A format string, compiled. What stands beside each other as text is one part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    /// The parts in order.
    pub parts: Vec<Part>,
}

/// A part of a format string.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// As it stands.
    Text(Box<[u8]>),
    /// What an operator gives.
    Operator(Operator),
}

/// An operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// What it asks for.
    pub ask: Ask,
    /// The value is cut to so many bytes (`%REQ(x):10%`).
    pub bytes_max: Option<usize>,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// `REQ`: a field of the request's head, pseudo-headers too.
    Request(FieldName),
    /// `RESP`: a field of the response's head.
    Response(FieldName),
    /// `TRAILER`: a field behind the response's body.
    Trailer(FieldName),
    /// `PATH`
    Path {
        /// With what follows the `?`.
        has_query: bool,
        /// Which path.
        of: PathOf,
    },
    /// `QUERY_PARAM`: the first parameter of that name, decoded.
    QueryParameter(Box<[u8]>),
    /// `QUERY_PARAMS`: all of them, as they stand.
    Query,
    /// `START_TIME`, `EMIT_TIME`
    Time(Moment, Vec<TimePart>),
    /// `DURATION`, `COMMON_DURATION` and their kin.
    Between(Point, Point, Unit),
    /// The address family of operators.
    Address(Side, Shown),
    /// `GRPC_STATUS`, `GRPC_STATUS_NUMBER`
    GrpcStatus(GrpcForm),
    /// `RESPONSE_CODE_DETAILS`, with `ALLOW_WHITESPACES` or without.
    Details {
        /// Spaces stay; else each becomes `_`.
        spaces: bool,
    },
    /// `REQUESTED_SERVER_NAME`
    ServerName(ServerNameOf),
    /// An operator without parameters.
    Fact(Fact),
    /// What cannot exist here, such as `DYNAMIC_METADATA` of filters that there are not.
    Nothing,
}

/// A field's lower-case name, and another one that is asked for where the first is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// `x` of `%REQ(x?y)%`.
    pub name: Box<[u8]>,
    /// `y` of `%REQ(x?y)%`.
    pub other: Option<Box<[u8]>>,
}

/// Which path `PATH` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOf {
    /// `:path`
    Now,
    /// `x-envoy-original-path`
    Original,
    /// The original one where there is one.
    OriginalOrNow,
}

/// What `REQUESTED_SERVER_NAME` looks at first, and what if that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerNameOf {
    /// The ClientHello alone.
    Sni,
    /// The ClientHello, else the authority.
    SniFirst,
    /// The authority, else the ClientHello.
    HostFirst,
}

/// A moment of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request or connection began.
    Start,
    /// Now.
    Emit,
}

/// A piece of a time's format (`strftime`, with Envoy's fractions of a second). All is UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimePart {
    /// As it stands.
    Text(Box<[u8]>),
    /// A conversion such as `Y`; those that stand for others are taken apart already.
    Field(u8),
    /// So many digits of the fraction of the second, 1 to 9.
    Fraction(u8),
    /// The fraction of the second without zeros at its end, with the point; empty for none.
    ShortFraction,
}

/// A point in the life of a request or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// `DS_RX_BEG`: it began.
    RequestBegin,
    /// `DS_RX_END`: the client's last byte has come.
    RequestEnd,
    /// `US_TX_BEG`: the first byte was sent to the upstream.
    UpstreamSendBegin,
    /// `US_TX_END`: the last byte was sent to the upstream.
    UpstreamSendEnd,
    /// `US_RX_BEG`: the upstream's first byte has come.
    UpstreamReceiveBegin,
    /// `US_RX_END`: the upstream's last byte has come.
    UpstreamReceiveEnd,
    /// `DS_TX_BEG`: the first byte was sent to the client.
    ResponseBegin,
    /// `DS_TX_END`: the last byte was sent to the client.
    ResponseEnd,
    /// It is over; where it is not yet, now.
    Over,
}

impl Point {
    /// How many there are.
    pub const COUNT: usize = 9;
}

/// What a time between two points is counted in. What is left is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// Nanoseconds of one.
    pub const fn nanos(self) -> u64 {
        match self {
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// Whose address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `DOWNSTREAM_REMOTE_…`: the client's, as far as it may be believed.
    Client,
    /// `DOWNSTREAM_DIRECT_REMOTE_…`: the direct peer's.
    DirectClient,
    /// `DOWNSTREAM_LOCAL_…`: where the client meant to go.
    Local,
    /// `DOWNSTREAM_DIRECT_LOCAL_…`: where the connection has arrived.
    DirectLocal,
    /// `UPSTREAM_HOST`, `UPSTREAM_REMOTE_…`: the host that was chosen.
    Upstream,
    /// `UPSTREAM_LOCAL_…`: our own on the connection to it.
    UpstreamLocal,
}

/// What of an address is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shown {
    Both,
    WithoutPort,
    Port,
}

/// How a status of gRPC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcForm {
    /// `PermissionDenied`
    Camel,
    /// `PERMISSION_DENIED`
    Snake,
    /// `7`
    Number,
}

/// Operators without parameters, each by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fact {
    AccessLogType,
    BytesReceived,
    BytesSent,
    ConnectionId,
    ConnectionTerminationDetails,
    DownstreamLocalUriSan,
    DownstreamPeerDnsSan,
    DownstreamPeerFingerprint256,
    DownstreamPeerSubject,
    DownstreamPeerUriSan,
    DownstreamTlsVersion,
    DownstreamTransportFailureReason,
    FilterChainName,
    FirstSpeaker,
    LocalReplyBody,
    Protocol,
    RequestHeadersBytes,
    ResponseCode,
    ResponseFlags,
    ResponseFlagsLong,
    ResponseHeadersBytes,
    ResponseTrailersBytes,
    RouteName,
    StreamId,
    UpstreamCluster,
    UpstreamHostName,
    UpstreamPeerDnsSan,
    UpstreamPeerSubject,
    UpstreamPeerUriSan,
    UpstreamProtocol,
    UpstreamRequestAttemptCount,
    UpstreamTlsVersion,
    UpstreamTransportFailureReason,
}

/// A format that gives JSON (`json_format`), compiled: keys in order, text escaped already.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonFormat {
    /// The object.
    pub root: JsonNode,
    /// What has no value is left out (`omit_empty_values`).
    pub omits_empty: bool,
}

/// A value of a JSON format.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonNode {
    /// Keys, written as JSON with their quotes, and values; ordered by key.
    Object(Vec<(Box<[u8]>, Self)>),
    /// Values in order.
    Array(Vec<Self>),
    /// JSON as it stands.
    Literal(Box<[u8]>),
    /// `null`
    Null,
    /// What one operator gives: a number stays one, and what is not there is `null`.
    Operator(Operator),
    /// A string of several parts.
    Text(Format),
}

/// What a log record of OTLP says, compiled: what is the same in all records is encoded already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtlpFormat {
    /// `body`
    pub body: Option<OtlpNode>,
    /// `attributes`: keys, as a `KeyValue` begins with them, and values.
    pub attributes: Vec<(Box<[u8]>, OtlpNode)>,
}

/// An `AnyValue`.
#[derive(Clone, Debug, PartialEq)]
pub enum OtlpNode {
    /// One that is encoded.
    Literal(Box<[u8]>),
    /// A string.
    Text(Format),
    /// Values in order.
    List(Vec<Self>),
    /// Keys, as a `KeyValue` begins with them, and values.
    Map(Vec<(Box<[u8]>, Self)>),
}

impl Format {
    /// The text, where there is no operator.
    pub fn as_text(&self) -> Option<&[u8]> {
        match &self.parts[..] {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Response flags, a bit each, and which was the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    bits: u32,
    first: u8,
}

impl Flags {
    /// None.
    pub const NONE: Self = Self { bits: 0, first: 0 };

    /// This one alone.
    pub const fn of(flag: Flag) -> Self {
        Self { bits: 1 << flag as u8, first: flag as u8 }
    }

    /// These and, behind them, those.
    pub const fn with(self, other: Self) -> Self {
        let first = if self.is_empty() { other.first } else { self.first };
        Self { bits: self.bits | other.bits, first }
    }

    /// These but for those.
    pub const fn without(self, other: Self) -> Self {
        Self { bits: self.bits & !other.bits, first: self.first }
    }

    /// The two have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.bits & other.bits != 0
    }

    /// There is none.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Those that are set: the one that was set first, as in Envoy, and then the others.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        let is_set = move |flag: &Flag| self.meets(Self::of(*flag));
        let (first, others) = (move |flag: &Flag| *flag as u8 == self.first, Flag::ALL.iter());
        let begin = Flag::ALL.iter().copied().filter(move |flag| first(flag) && is_set(flag));
        begin.chain(others.copied().filter(move |flag| !first(flag) && is_set(flag)))
    }
}

/// Which moment of a request or connection a line is of (`AccessLogType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogType {
    /// A listener's: the connection has ended.
    #[default]
    NotSet,
    /// A connection of the TCP proxy has ended.
    TcpConnectionEnd,
    /// A request is over.
    DownstreamEnd,
}
