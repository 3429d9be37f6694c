use super::format;
use crate::compile::At;
use crate::snapshot::{
    Ask, Fact, FieldName, Format, GrpcForm, Operator, Part, PathOf, Point, TimePart, Unit,
};

fn compiled(text: &str) -> Format {
    format(&At::root(), text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn text(text: &str) -> Part {
    Part::Text(text.as_bytes().into())
}

fn operator(ask: Ask) -> Part {
    Part::Operator(Operator { ask, bytes_max: None })
}

fn only(text: &str) -> Operator {
    let format = compiled(text);
    match &format.parts[..] {
        [Part::Operator(operator)] => operator.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

fn field(name: &str, other: Option<&str>) -> FieldName {
    FieldName { name: name.as_bytes().into(), other: other.map(|other| other.as_bytes().into()) }
}

#[test]
fn text_and_operators_alternate() {
    assert_eq!(compiled("").as_text(), Some(&b""[..]));
    assert_eq!(compiled("100%%, 50%%").as_text(), Some(&b"100%, 50%"[..]));
    assert_eq!(
        compiled("%%%REQ(a)%%% x %PROTOCOL%").parts,
        [
            text("%"),
            operator(Ask::Request(field("a", None))),
            text("% x "),
            operator(Ask::Fact(Fact::Protocol)),
        ]
    );
}

#[test]
fn parameters_are_read() {
    let cut = only("%REQ(X-A?:Path):10%");
    assert_eq!(cut.ask, Ask::Request(field("x-a", Some(":path"))));
    assert_eq!(cut.bytes_max, Some(10));
    assert_eq!(only("%RESP(x?)%").ask, Ask::Response(field("x", None)));
    assert_eq!(only("%TRAILER(t)%").ask, Ask::Trailer(field("t", None)));
    assert_eq!(only("%REQ(a%b)%").ask, Ask::Request(field("a%b", None)));
    assert_eq!(only("%GRPC_STATUS(NUMBER)%").ask, Ask::GrpcStatus(GrpcForm::Number));
    assert_eq!(only("%PATH(NQ)%").ask, Ask::Path { has_query: false, of: PathOf::OriginalOrNow });
    assert_eq!(only("%RESPONSE_CODE_DETAILS(x)%").ask, Ask::Details { spaces: false });
    assert_eq!(
        only("%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%").ask,
        Ask::Between(Point::UpstreamSendBegin, Point::UpstreamReceiveBegin, Unit::Microseconds)
    );
    assert_eq!(only("%FILTER_STATE(x:PLAIN)%").ask, Ask::Nothing);
    let first = only("%FILTER_STATE(ringway.first_speaker:PLAIN)%").ask;
    assert_eq!(first, Ask::Fact(Fact::FirstSpeaker));
    assert_eq!(only("%DYNAMIC_METADATA(a:b)%").ask, Ask::Nothing);
    assert_eq!(only("%ENVIRONMENT(RINGWAY_THERE_IS_NO_SUCH)%").ask, Ask::Nothing);
    let path = std::env::var("PATH").expect("a path");
    assert_eq!(compiled("%ENVIRONMENT(PATH)%").as_text(), Some(path.as_bytes()));
    assert_eq!(compiled("%ENVIRONMENT(PATH):2%").as_text(), Some(&path.as_bytes()[..2]));
}

#[test]
fn times_are_taken_apart() {
    let Ask::Time(_, parts) = only("%START_TIME(%D %E3S.%3f%%)%").ask else { panic!("no time") };
    let field = |letter| TimePart::Field(letter);
    let text = |text: &str| TimePart::Text(text.as_bytes().into());
    assert_eq!(
        parts,
        [
            field(b'm'),
            text("/"),
            field(b'd'),
            text("/"),
            field(b'y'),
            text(" "),
            field(b'S'),
            text("."),
            TimePart::Fraction(3),
            text("."),
            TimePart::Fraction(3),
            text("%"),
        ]
    );
    assert_eq!(only("%START_TIME%").ask, only("%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%").ask);
}

/// What Istio 1.30 configures.
#[test]
fn the_format_of_istio_is_understood() {
    let format = compiled(concat!(
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
        "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ",
        "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" ",
        "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ",
        "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" ",
        "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
        "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
        "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
    ));
    let operators = format.parts.iter().filter(|part| matches!(part, Part::Operator(_)));
    assert_eq!(operators.count(), 24);
}

/// What Envoy refuses is refused, and what only it understands.
#[test]
fn what_is_not_understood_is_refused() {
    for (text, reason) in [
        ("100%", "`%`: no operator begins with this `%`"),
        ("a % b", "`% b`: no operator begins with this `%`"),
        ("%REQ(x%", "no operator begins"),
        ("%req(x)%", "no operator begins"),
        ("%REQ(x):a%", "no operator begins"),
        ("%REQ(a\nb)%", "no operator begins"),
        ("%NOPE%", "`%NOPE%`: this operator is not supported"),
        ("%NOPE(x)%", "this operator is not supported"),
        ("%TLS_JA3_FINGERPRINT%", "this operator is not supported"),
        ("%CLUSTER_METADATA(a:b)%", "this operator is not supported"),
        ("%DYNAMIC_METADATA(envoy.filters.http.rbac:x)%", "this operator is not supported"),
        ("%DYNAMIC_METADATA([\"envoy.lb\",\"x\"])%", "this operator is not supported"),
        ("%REQ%", "`%REQ%`: it needs parameters"),
        ("%REQ()%", "it needs parameters"),
        ("%REQ(a?b?c)%", "more than one other header"),
        ("%REQ(?a)%", "`` is no header name"),
        ("%REQ(a b)%", "`a b` is no header name"),
        ("%PROTOCOL(x)%", "it takes neither parameters nor a length"),
        ("%BYTES_SENT:3%", "it takes neither parameters nor a length"),
        ("%HOSTNAME:3%", "it takes neither parameters nor a length"),
        ("%START_TIME:3%", "it takes no length"),
        ("%START_TIME(%L)%", "`%L` is not supported in a time"),
        ("%START_TIME(%E0S)%", "`%E0S` is not supported in a time"),
        ("%GRPC_STATUS(FOO)%", "none of CAMEL_STRING"),
        ("%PATH(foo)%", "none of WQ, NQ"),
        ("%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", "none of ms, us, ns"),
        ("%COMMON_DURATION(DS_RX_BEG)%", "two points"),
        ("%COMMON_DURATION(DS_RX_BEG:US_CX_BEG)%", "`US_CX_BEG` is not supported"),
    ] {
        let fault = format(&At::root(), text).expect_err(text);
        assert!(fault.reason.contains(reason), "{text}: {}", fault.reason);
    }
    let long = "x".repeat(crate::limits::MAX_FORMAT + 1);
    assert!(format(&At::root(), &long).is_err());
}
