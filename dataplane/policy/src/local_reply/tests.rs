use config::snapshot::{
    Ask, Fact, Format, HeaderChange, HeaderValue, JsonFormat, JsonNode, LogFilter, Operator, Part,
    ReplyMapper, Threshold,
};

use super::*;
use crate::fixture::lines;

fn of(fact: Fact) -> Operator {
    Operator { ask: Ask::Fact(fact), bytes_max: None }
}

fn text(parts: Vec<Part>) -> ReplyFormat {
    let format = LogFormat::Text { format: Format { parts }, empty: "-" };
    ReplyFormat { format, content_type: b"text/own"[..].into() }
}

fn json() -> ReplyFormat {
    let root =
        JsonNode::Object(vec![(b"\"m\""[..].into(), JsonNode::Operator(of(Fact::LocalReplyBody)))]);
    let format = LogFormat::Json(JsonFormat { root, omits_empty: false });
    ReplyFormat { format, content_type: b"application/json"[..].into() }
}

fn mapper(status: u64) -> ReplyMapper {
    let how = config::snapshot::Compare::Equal;
    ReplyMapper {
        filter: LogFilter::Status(Threshold { how, with: status }),
        status: None,
        body: None,
        format: None,
        headers: Vec::new(),
    }
}

fn finished(replies: &LocalReplies, status: u16, body: &str, is_grpc: bool) -> (Head, String) {
    let mut head = Head::default();
    headers::local(&mut head, status, b"");
    let asked = Asked { grpc_status: None, is_grpc, is_head: false, facts: Facts::default() };
    let mut body = body.as_bytes().to_vec();
    finish(replies, &asked, 0, &mut head, &mut body);
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn the_first_mapper_that_holds_has_its_say() {
    let add = |value: &str| {
        let value = HeaderValue::Text(value.as_bytes().into());
        vec![HeaderChange::Append(b"x-by"[..].into(), value)]
    };
    let replies = LocalReplies {
        mappers: vec![
            mapper(500),
            ReplyMapper { status: Some(410), headers: add("first"), ..mapper(404) },
            ReplyMapper { status: Some(599), headers: add("second"), ..mapper(404) },
        ],
        format: Some(text(vec![
            Part::Operator(of(Fact::ResponseCode)),
            Part::Text(b" "[..].into()),
            Part::Operator(of(Fact::LocalReplyBody)),
        ])),
    };
    let (head, body) = finished(&replies, 404, "none", false);
    assert_eq!((head.status, &*body), (410, "410 none"), "the format sees what the mapper made");
    assert_eq!(lines(&head), ["x-by: first", "content-length: 8", "content-type: text/own"]);
    let (head, body) = finished(&replies, 403, "no", false);
    assert_eq!((head.status, &*body), (403, "403 no"));
}

#[test]
fn a_body_may_come_or_go() {
    let with = |body: &[u8]| LocalReplies {
        mappers: vec![ReplyMapper { body: Some(body.into()), ..mapper(503) }],
        format: None,
    };
    let (head, body) = finished(&with(b"later"), 503, "", false);
    assert_eq!((&*body, head.framing), ("later", Framing::Length(5)));
    assert_eq!(lines(&head), ["content-length: 5", "content-type: text/plain"]);
    let (head, body) = finished(&with(b""), 503, "no host", false);
    assert_eq!((&*body, head.framing, lines(&head).len()), ("", Framing::Length(0), 0));
}

#[test]
fn a_call_has_its_message_in_the_head() {
    let replies = LocalReplies {
        mappers: vec![ReplyMapper { status: Some(401), ..mapper(403) }],
        format: Some(json()),
    };
    let (head, body) = finished(&replies, 403, "no %", true);
    assert_eq!((head.status, &*body, head.framing), (200, "", Framing::Length(0)));
    let expected =
        ["content-type: application/grpc", "grpc-status: 16", "grpc-message: {\"m\":\"no %25\"}"];
    assert_eq!(lines(&head), expected);
}
