//! After warm-up a message costs no allocation.

use ringway_wire::h1::{self, Body, Limits, Parsed, ResponseTo};
use ringway_wire::head::Head;

const REQUEST: &[u8] = b"POST /api/reviews/1?x=y HTTP/1.1\r\nHost: reviews:9080\r\n\
    User-Agent: test\r\nAccept: */*\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\
    X-Request-Id: 0\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;ext=1\r\nhello\r\n0\r\nX: y\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: v1\r\n\r\nok";

fn exchange(head: &mut Head, out: &mut Vec<u8>) {
    let limits = Limits::default();
    let parsed = h1::parse_request(REQUEST, &limits, head).expect("it is a fine request");
    let Parsed::Complete { consumed } = parsed else { panic!("it is whole") };
    let (to, mut body) = (ResponseTo::of(head), Body::new(head.framing));
    h1::strip_hop_by_hop(head);
    head.set(b"x-forwarded-proto", b"http");
    out.clear();
    assert!(h1::encode_request(head, head.framing, out));
    let mut rest = &REQUEST[consumed..];
    while !body.is_done() {
        let step = body.step(rest).expect("it is a fine body");
        rest = &rest[step.skip + step.data..];
    }
    let parsed = h1::parse_response(RESPONSE, to, &limits, head).expect("it is a fine response");
    assert!(matches!(parsed, Parsed::Complete { .. }));
    out.clear();
    assert!(h1::encode_response(head, None, head.framing, out));
}

#[test]
fn no_allocation_per_request_after_warm_up() {
    let (mut head, mut out) = (Head::default(), Vec::new());
    exchange(&mut head, &mut out);
    let cost = allocation_counter::measure(|| {
        for _ in 0..1000 {
            exchange(&mut head, &mut out);
        }
    });
    assert_eq!(cost.count_total, 0, "allocations in 1,000 requests: {cost:?}");
}
