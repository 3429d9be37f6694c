use std::net::SocketAddr;

use config::snapshot::{
    Ask, Fact, FieldName, Flag, Flags, Format, GrpcForm, JsonFormat, JsonNode, Moment, Operator,
    Part, PathOf, Point, ServerNameOf, Shown, Side, TimePart, Unit,
};
use tls::session::Peer;
use wire::head::{Head, Version};

use super::{Client, Course, Facts, Upstream, json, write};
use crate::fixture;

fn ask(ask: Ask, facts: &Facts<'_>) -> String {
    cut(ask, None, facts)
}

fn cut(ask: Ask, bytes_max: Option<usize>, facts: &Facts<'_>) -> String {
    let mut out = Vec::new();
    let parts = vec![Part::Operator(Operator { ask, bytes_max })];
    write(&Format { parts }, facts, b"-", &mut out);
    String::from_utf8(out).expect("text")
}

fn name(name: &str, other: Option<&str>) -> FieldName {
    FieldName { name: name.as_bytes().into(), other: other.map(|other| other.as_bytes().into()) }
}

fn request(text: &str) -> Head {
    fixture::head(text)
}

fn response(status: u16, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.status = status;
    fields.iter().for_each(|(name, value)| {
        head.append(name.as_bytes(), value.as_bytes());
    });
    head
}

#[test]
fn fields_are_found() {
    let head = request(
        "GET /a/b?x=1%202&y=%0d%0a&z HTTP/1.1\nhost: a.b:80\nx-a: 1\nx-a: 2\naccept: t\naccept: u\n\
         x-forwarded-proto: http",
    );
    let answer = response(204, &[("x-up", "yes"), ("x-up", "no")]);
    let trailers = response(0, &[("t", "v")]);
    let facts = Facts {
        request: Some(&head),
        response: Some(&answer),
        trailers: Some(&trailers),
        ..Facts::default()
    };
    let of = |first: &str, other| ask(Ask::Request(name(first, other)), &facts);
    assert_eq!(of(":method", None), "GET");
    assert_eq!(of("x-gone", Some(":path")), "/a/b?x=1%202&y=%0d%0a&z");
    assert_eq!((of(":authority", None), of("host", None)), ("a.b:80".into(), "a.b:80".into()));
    assert_eq!(of(":scheme", None), "http");
    assert_eq!((of("x-a", None), of("accept", None)), ("1".into(), "t,u".into()));
    assert_eq!((of("x-gone", None), of(":status", None)), ("-".into(), "-".into()));
    assert_eq!(cut(Ask::Request(name(":path", None)), Some(3), &facts), "/a/");
    assert_eq!(ask(Ask::Response(name(":status", None)), &facts), "204");
    assert_eq!(ask(Ask::Response(name("x-up", None)), &facts), "yes");
    assert_eq!(ask(Ask::Response(name("host", None)), &facts), "-");
    assert_eq!(ask(Ask::Trailer(name("t", None)), &facts), "v");
    assert_eq!(ask(Ask::Path { has_query: false, of: PathOf::Now }, &facts), "/a/b");
    assert_eq!(ask(Ask::Path { has_query: true, of: PathOf::Original }, &facts), "-");
    assert_eq!(ask(Ask::Query, &facts), "x=1%202&y=%0d%0a&z");
    let parameter = |name: &[u8]| ask(Ask::QueryParameter(name.into()), &facts);
    assert_eq!(
        (parameter(b"x"), parameter(b"z"), parameter(b"q")),
        ("1 2".into(), "".into(), "-".into())
    );
    assert_eq!(parameter(b"y"), "%0d%0a");
    assert_eq!(ask(Ask::ServerName(ServerNameOf::SniFirst), &facts), "a.b:80");
    assert_eq!(ask(Ask::ServerName(ServerNameOf::Sni), &facts), "-");
    let nothing = Facts::default();
    assert_eq!(ask(Ask::Request(name(":method", None)), &nothing), "-");
    assert_eq!(ask(Ask::Nothing, &facts), "-");
}

#[test]
fn facts_are_written_as_envoy_writes_them() {
    let peer = Peer { uris: vec!["spiffe://a".into(), "spiffe://b".into()], ..Peer::default() };
    let v6: SocketAddr = "[::1]:80".parse().expect("an address");
    let v4: SocketAddr = "10.0.0.1:0".parse().expect("an address");
    let facts = Facts {
        client: Client {
            local: Some(v6),
            remote: Some(v4),
            peer: Some(&peer),
            ..Client::default()
        },
        upstream: Upstream {
            failure: "delayed connect error: no",
            attempts: 2,
            ..Upstream::default()
        },
        course: Course {
            flags: Flags::of(Flag::UpstreamRetryLimitExceeded)
                .with(Flags::of(Flag::UpstreamConnectionFailure)),
            details: "a b",
            protocol: Some(Version::Http2),
            status: 503,
            points: {
                let mut points = [None; Point::COUNT];
                points[Point::UpstreamReceiveBegin as usize] = Some(2_500_000);
                points[Point::Over as usize] = Some(7_999_999);
                points
            },
            ..Course::default()
        },
        ..Facts::default()
    };
    let fact = |fact| ask(Ask::Fact(fact), &facts);
    assert_eq!(fact(Fact::ResponseFlags), "URX,UF");
    assert_eq!(
        fact(Fact::ResponseFlagsLong),
        "UpstreamRetryLimitExceeded,UpstreamConnectionFailure"
    );
    assert_eq!((fact(Fact::Protocol), fact(Fact::UpstreamProtocol)), ("HTTP/2".into(), "-".into()));
    assert_eq!(fact(Fact::UpstreamTransportFailureReason), "delayed_connect_error:_no");
    assert_eq!(ask(Ask::Details { spaces: false }, &facts), "a_b");
    assert_eq!(ask(Ask::Details { spaces: true }, &facts), "a b");
    assert_eq!(fact(Fact::DownstreamPeerUriSan), "spiffe://a,spiffe://b");
    assert_eq!((fact(Fact::ResponseCode), fact(Fact::BytesSent)), ("503".into(), "0".into()));
    assert_eq!(fact(Fact::UpstreamRequestAttemptCount), "2");
    assert_eq!((fact(Fact::RouteName), fact(Fact::LocalReplyBody)), ("-".into(), "".into()));
    let address = |side, shown| ask(Ask::Address(side, shown), &facts);
    assert_eq!(address(Side::Local, Shown::Both), "[::1]:80");
    assert_eq!(address(Side::Local, Shown::WithoutPort), "::1");
    assert_eq!(address(Side::Client, Shown::Both), "10.0.0.1:0");
    assert_eq!(address(Side::Client, Shown::Port), "0");
    assert_eq!(address(Side::Upstream, Shown::Both), "-");
    let between = |from, to, unit| ask(Ask::Between(from, to, unit), &facts);
    assert_eq!(between(Point::RequestBegin, Point::Over, Unit::Milliseconds), "7");
    assert_eq!(between(Point::UpstreamReceiveBegin, Point::Over, Unit::Microseconds), "5499");
    assert_eq!(between(Point::RequestBegin, Point::ResponseEnd, Unit::Nanoseconds), "-");
    let none = Facts::default();
    assert_eq!(ask(Ask::Fact(Fact::ResponseFlags), &none), "-");
}

#[test]
fn a_call_says_how_it_ended() {
    let call = request("POST /s/m HTTP/1.1\nhost: a\ncontent-type: application/grpc");
    let plain = request("GET / HTTP/1.1\nhost: a");
    let (trailers, head) = (response(0, &[("grpc-status", "7")]), response(200, &[]));
    let mut facts = Facts {
        request: Some(&call),
        response: Some(&head),
        trailers: Some(&trailers),
        ..Facts::default()
    };
    let status = |form, facts: &Facts<'_>| ask(Ask::GrpcStatus(form), facts);
    assert_eq!(status(GrpcForm::Camel, &facts), "PermissionDenied");
    assert_eq!(status(GrpcForm::Snake, &facts), "PERMISSION_DENIED");
    assert_eq!(status(GrpcForm::Number, &facts), "7");
    (facts.trailers, facts.course.status) = (None, 503);
    assert_eq!(status(GrpcForm::Camel, &facts), "Unavailable");
    facts.request = Some(&plain);
    assert_eq!(status(GrpcForm::Camel, &facts), "-");
}

fn time(letters: &str, seconds: u64) -> String {
    let parts = letters.bytes().map(|letter| match letter {
        b' ' => TimePart::Text(b" "[..].into()),
        letter => TimePart::Field(letter),
    });
    let facts = Facts {
        course: Course { start: seconds * 1_000_000_000, ..Course::default() },
        ..Facts::default()
    };
    ask(Ask::Time(Moment::Start, parts.collect()), &facts)
}

/// Expected are the answers of GNU date (`date -u -d @… +…`).
#[test]
fn days_are_those_of_the_calendar() {
    let all = "Y C y m d e j H I k l M S p P a A b B u w U W V G g s z Z";
    assert_eq!(
        time(all, 0),
        "1970 19 70 01 01  1 001 00 12  0 12 00 00 AM am Thu Thursday Jan January 4 4 00 00 01 \
         1970 70 0 +0000 UTC"
    );
    assert_eq!(
        time(all, 951_827_696),
        "2000 20 00 02 29 29 060 12 12 12 12 34 56 PM pm Tue Tuesday Feb February 2 2 09 09 09 \
         2000 00 951827696 +0000 UTC"
    );
    assert_eq!(
        time(all, 1_735_603_199),
        "2024 20 24 12 30 30 365 23 11 23 11 59 59 PM pm Mon Monday Dec December 1 1 52 53 01 \
         2025 25 1735603199 +0000 UTC"
    );
    // Each of the days of four hundred years has the day before it as its neighbour.
    let mut before = (1970, 1, 0);
    for day in 0..146_097 {
        let text = time("Y m d", day * 86_400);
        let mut words = text.split(' ').map(|word| word.parse::<u32>().expect("a number"));
        let mut next = || words.next().expect("three words");
        let now = (next(), next(), next());
        assert!(now > before, "{before:?} {now:?}");
        assert!(now.2 == before.2 + 1 || now.2 == 1, "{before:?} {now:?}");
        before = now;
    }
    assert_eq!(before, (2369, 12, 31));
}

#[test]
fn fractions_of_a_second() {
    let text = |parts: Vec<TimePart>, nanos| {
        let facts =
            Facts { course: Course { start: nanos, ..Course::default() }, ..Facts::default() };
        ask(Ask::Time(Moment::Start, parts), &facts)
    };
    assert_eq!(text(vec![TimePart::Fraction(3)], 5_012_345_678), "012");
    assert_eq!(text(vec![TimePart::Fraction(9)], 5_012_345_678), "012345678");
    assert_eq!(text(vec![TimePart::ShortFraction], 5_012_300_000), ".0123");
    assert_eq!(text(vec![TimePart::ShortFraction], 5_000_000_000), "");
}

fn json_of(node: JsonNode, omits_empty: bool, facts: &Facts<'_>) -> String {
    let mut out = Vec::new();
    json(&JsonFormat { root: node, omits_empty }, facts, &mut out);
    String::from_utf8(out).expect("text")
}

/// As Envoy 1.40 wrote the same formats of the same requests.
#[test]
fn json_is_typed_and_escaped() {
    let head = request("GET / HTTP/1.1\nhost: a\nx: q\"uo\\te\ty: é€");
    let facts = Facts {
        request: Some(&head),
        course: Course { status: 200, ..Course::default() },
        ..Facts::default()
    };
    let one = |ask: Ask| JsonNode::Operator(Operator { ask, bytes_max: None });
    let key = |text: &str| format!("\"{text}\"").into_bytes().into_boxed_slice();
    let nope = || Ask::Request(name("nope", None));
    let mixed = Format {
        parts: vec![
            Part::Text(b"x ".as_slice().into()),
            Part::Operator(Operator { ask: nope(), bytes_max: None }),
        ],
    };
    let root = || {
        JsonNode::Object(vec![
            (key("a"), one(Ask::Fact(Fact::ResponseCode))),
            (key("b"), JsonNode::Text(mixed.clone())),
            (key("c"), one(nope())),
            (key("d"), one(Ask::Request(name("x", None)))),
            (key("e"), JsonNode::Object(vec![(key("k"), one(nope()))])),
            (key("f"), JsonNode::Array(vec![one(nope()), JsonNode::Literal(b"5"[..].into())])),
            (key("g"), JsonNode::Null),
            (key("h"), one(Ask::Fact(Fact::ResponseFlags))),
        ])
    };
    assert_eq!(
        json_of(root(), false, &facts),
        concat!(
            r#"{"a":200,"b":"x -","c":null,"d":"q\"uo\\te\ty: é€","e":{"k":null},"#,
            r#""f":[null,5],"g":null,"h":"-"}"#
        )
    );
    assert_eq!(
        json_of(root(), true, &facts),
        r#"{"a":200,"b":"x ","d":"q\"uo\\te\ty: é€","f":[5],"h":"-"}"#
    );
    assert_eq!(json_of(JsonNode::Object(vec![(key("c"), one(nope()))]), true, &facts), "{}");
    // What is no text is written byte by byte.
    let mut raw = Head::default();
    raw.append(b"x", b"a\xff\"\t\\");
    let facts = Facts { request: Some(&raw), ..Facts::default() };
    assert_eq!(
        json_of(one(Ask::Request(name("x", None))), false, &facts),
        r#""a\u00ff\u0022\u0009\u005c""#
    );
}
