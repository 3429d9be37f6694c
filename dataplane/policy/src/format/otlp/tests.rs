use config::snapshot::{
    Ask, Fact, FieldName, Format, Moment, Operator, OtlpFormat, OtlpNode, Part, TimePart,
};
use proptest::prelude::*;
use prost::Message;
use wire::head::Head;

use super::otlp;
use crate::fixture;
use crate::format::{Course, Facts};

/// What a collector reads. (Numbers and types are those of OTLP's own files.)
#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 5, 6")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Map(Map),
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Map {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::Text(text.to_owned())) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value) }
}

/// A key as a format has it.
fn key(key: &str) -> Box<[u8]> {
    KeyValue { key: key.to_owned(), value: None }.encode_to_vec().into()
}

fn literal(of: &str) -> OtlpNode {
    OtlpNode::Literal(text(of).encode_to_vec().into())
}

fn request(name: &str) -> Part {
    let name = FieldName { name: name.as_bytes().into(), other: None };
    Part::Operator(Operator { ask: Ask::Request(name), bytes_max: None })
}

fn node(parts: Vec<Part>) -> OtlpNode {
    OtlpNode::Text(Format { parts })
}

fn fact(fact: Fact) -> OtlpNode {
    node(vec![Part::Operator(Operator { ask: Ask::Fact(fact), bytes_max: None })])
}

/// prost leaves zeros out.
fn now() -> Course<'static> {
    Course { start: 1, ..Course::default() }
}

fn read(format: &OtlpFormat, facts: &Facts<'_>) -> LogRecord {
    let mut bytes = Vec::new();
    otlp(format, facts, &mut bytes);
    otlp(format, facts, &mut bytes);
    let ScopeLogs { mut log_records } = ScopeLogs::decode(&bytes[..]).expect("two records");
    assert_eq!(log_records.len(), 2);
    assert_eq!(log_records[0], log_records[1]);
    // Nothing else is in it, and nothing is longer than it has to be.
    assert_eq!(ScopeLogs { log_records: log_records.clone() }.encode_to_vec(), bytes);
    log_records.remove(0)
}

#[test]
fn a_record_says_what_its_format_does() {
    let head = fixture::head("GET /a HTTP/1.1\nhost: h\nx: value");
    let course = Course { start: 1_700_000_000_123_456_789, status: 204, ..Course::default() };
    let facts = Facts { request: Some(&head), course, ..Facts::default() };
    let words = Part::Text(b"x is ".as_slice().into());
    let format = OtlpFormat {
        body: Some(node(vec![words, request("x")])),
        attributes: vec![
            (key("code"), fact(Fact::ResponseCode)),
            (key("none"), node(vec![request("gone")])),
            (key("as it is"), literal("é")),
            (key(""), literal("")),
            (
                key("list"),
                OtlpNode::List(vec![
                    fact(Fact::ResponseFlags),
                    OtlpNode::Map(vec![(key("path"), node(vec![request(":path")]))]),
                    OtlpNode::List(Vec::new()),
                ]),
            ),
            (key("map"), OtlpNode::Map(Vec::new())),
        ],
    };
    let list = |values| AnyValue { value: Some(Value::List(List { values })) };
    let map = |values| AnyValue { value: Some(Value::Map(Map { values })) };
    let expected = LogRecord {
        time_unix_nano: 1_700_000_000_123_456_789,
        body: Some(text("x is value")),
        attributes: vec![
            pair("code", text("204")),
            pair("none", text("-")),
            pair("as it is", text("é")),
            pair("", text("")),
            pair("list", list(vec![text("-"), map(vec![pair("path", text("/a"))]), list(vec![])])),
            pair("map", map(vec![])),
        ],
    };
    assert_eq!(read(&format, &facts), expected);
    let empty = read(&OtlpFormat::default(), &facts);
    assert_eq!(empty, LogRecord { time_unix_nano: 1_700_000_000_123_456_789, ..empty.clone() });
}

/// Whoever sends it: a collector that reads Go's or Rust's way refuses a call with a string in it
/// that is none.
#[test]
fn what_is_no_text_becomes_text() {
    for (raw, expected) in [
        (&b"plain"[..], "plain"),
        (b"\xff", "!"),
        (b"a\xffb\xc3", "a!b!"),
        (b"\xc3\xa9\xe2\x82", "é!!"),
        (b"\xed\xa0\x80\xf0\x9f\x92\xa9", "!!!💩"),
    ] {
        let mut head = Head::default();
        head.append(b"x", raw);
        let facts = Facts { request: Some(&head), course: now(), ..Facts::default() };
        let body = Some(node(vec![request("x")]));
        let record = read(&OtlpFormat { body, attributes: Vec::new() }, &facts);
        assert_eq!(record.body, Some(text(expected)), "{raw:?}");
    }
}

#[test]
fn a_time_is_text_like_any_other() {
    let parts = vec![TimePart::Field(b's')];
    let ask = Ask::Time(Moment::Start, parts);
    let body = Some(node(vec![Part::Operator(Operator { ask, bytes_max: None })]));
    let course = Course { start: 7_000_000_000, ..Course::default() };
    let facts = Facts { course, ..Facts::default() };
    let record = read(&OtlpFormat { body, attributes: Vec::new() }, &facts);
    assert_eq!((record.time_unix_nano, record.body), (7_000_000_000, Some(text("7"))));
}

fn nodes() -> impl Strategy<Value = (OtlpNode, AnyValue)> {
    // Lengths on both sides of what one, two and three bytes can tell.
    let sizes = prop_oneof![0..300_usize, 16_370..16_400_usize, Just(2_097_200_usize)];
    let leaf = sizes.prop_map(|size| {
        let said = "x".repeat(size);
        let parts = vec![Part::Text(said.as_bytes().into()), request("none")];
        (node(parts), text(&format!("{said}-")))
    });
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop::collection::vec((inner, any::<bool>()), 0..3).prop_map(|all| {
            let is_map = all.first().is_some_and(|(_, is_map)| *is_map);
            let (nodes, values): (Vec<_>, Vec<_>) = all.into_iter().map(|(both, _)| both).unzip();
            match is_map {
                true => (
                    OtlpNode::Map(nodes.into_iter().map(|node| (key("k"), node)).collect()),
                    AnyValue {
                        value: Some(Value::Map(Map {
                            values: values.into_iter().map(|value| pair("k", value)).collect(),
                        })),
                    },
                ),
                false => {
                    (OtlpNode::List(nodes), AnyValue { value: Some(Value::List(List { values })) })
                }
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_record_is_what_prost_would_write((node, value) in nodes()) {
        let format = OtlpFormat {
            body: Some(node.clone()),
            attributes: vec![(key("key"), node)],
        };
        let record = read(&format, &Facts { course: now(), ..Facts::default() });
        prop_assert_eq!(record.body.as_ref(), Some(&value));
        prop_assert_eq!(record.attributes, vec![pair("key", value)]);
    }
}

/// The buffer is a block that goes round.
#[test]
fn a_record_allocates_nothing_after_warm_up() {
    let mut head = fixture::head("GET /a HTTP/1.1\nhost: h");
    head.append(b"x", b"caf\xe9");
    let facts = Facts { request: Some(&head), ..Facts::default() };
    let long = Part::Text(vec![b'x'; 200].into());
    let map = || OtlpNode::Map(vec![(key("x"), node(vec![request("x")]))]);
    let format = OtlpFormat {
        body: Some(node(vec![long, request("x")])),
        attributes: vec![(key("map"), map()), (key("list"), OtlpNode::List(vec![map(), map()]))],
    };
    let mut block = Vec::new();
    let mut turn = || {
        block.clear();
        (0..100).for_each(|_| otlp(&format, &facts, &mut block));
    };
    turn();
    let cost = allocation_counter::measure(turn);
    assert_eq!(cost.count_total, 0, "{cost:?}");
}
