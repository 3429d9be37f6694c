//! Unary calls of gRPC, against a server of another make.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};

use super::{
    http2::{Manner, serve},
    *,
};

on_both!(calls_are_counted_by_status, messages_go_whole_both_ways, what_is_no_grpc_is_a_failure);

/// An answer: status and type of HTTP, bytes of the body, and `grpc-status`, if there is one.
type Canned<'a> = (u16, &'a str, &'a [u8], Option<&'a str>);

fn send(respond: &mut SendResponse<Bytes>, (status, kind, body, grpc): Canned<'_>) {
    let head = Response::builder().status(status).header("content-type", kind);
    let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) else {
        return;
    };
    if !body.is_empty() {
        let _ = stream.send_data(Bytes::copy_from_slice(body), grpc.is_none());
    }
    let mut trailers = HeaderMap::new();
    if let Some(grpc) = grpc {
        trailers.insert("grpc-status", grpc.parse().expect("a value"));
    }
    if grpc.is_some() || body.is_empty() {
        let _ = stream.send_trailers(trailers);
    }
}

/// Gives the framed message back; `/N` ends with that status, `/only/N` without a body at all.
fn answer(request: &Request<()>, body: &[u8], respond: &mut SendResponse<Bytes>) {
    let field = |name: &str| request.headers().get(name).map(|value| value.as_bytes().to_vec());
    assert_eq!(field("content-type").as_deref(), Some(&b"application/grpc"[..]));
    assert_eq!(
        (field("te").as_deref(), request.method().as_str()),
        (Some(&b"trailers"[..]), "POST")
    );
    let path = request.uri().path().trim_start_matches('/');
    if let Some(status) = path.strip_prefix("only/") {
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", status).body(()).expect("a head");
        let _ = respond.send_response(head, true);
        return;
    }
    send(respond, (200, "application/grpc", body, Some(path)));
}

/// Gives every message back.
pub(super) fn answer_ok(_: &Request<()>, body: &[u8], respond: &mut SendResponse<Bytes>) {
    send(respond, (200, "application/grpc", body, Some("0")));
}

fn grpc(driver: Which, target: SocketAddr, path: &str) -> LoadSpec {
    LoadSpec { driver, ..LoadSpec::grpc(target, "reviews", path) }
}

async fn calls_are_counted_by_status(driver: Which) {
    let address = serve(Manner::default(), answer).await;
    for (path, name) in [
        ("/0", "OK"),
        ("/14", "UNAVAILABLE"),
        ("/only/12", "UNIMPLEMENTED"),
        ("/only/16", "UNAUTHENTICATED"),
        ("/99", "(unknown number)"),
    ] {
        let mut spec = grpc(driver, address, path);
        (spec.requests, spec.streams, spec.connections) = (Some(60), 4, 3);
        spec.tally = vec!["grpc-status".into()];
        let total = all_right(&spec).await.total();
        assert_eq!(total.grpc_statuses.get(name), Some(&60), "{path}: {total:?}");
        assert_eq!(total.not_ok(), if name == "OK" { 0 } else { 60 });
        let number = path.rsplit('/').next().expect("a number");
        assert_eq!(total.header("grpc-status", number), 60, "of heads and trailers");
    }
}

async fn messages_go_whole_both_ways(driver: Which) {
    let address = serve(Manner::default(), answer).await;
    for len in [0, 1, 64, 16_379, 16_380, 300_000] {
        let mut spec = grpc(driver, address, "/0");
        (spec.requests, spec.streams) = (Some(12), 4);
        spec.body = crate::echo::pattern(len);
        spec.expected_body = Some(spec.body.clone());
        assert_eq!(all_right(&spec).await.connects, 1, "{len} bytes");
        spec.expected_body = Some(crate::echo::pattern(len + 1));
        let total = measure(&spec).await.total();
        assert_eq!(total.errors.get("body differs from what was expected"), Some(&12), "{len}");
    }
}

async fn what_is_no_grpc_is_a_failure(driver: Which) {
    const GRPC: &str = "application/grpc+proto";
    const CASES: [(Canned<'_>, &str); 8] = [
        ((200, GRPC, b"\0\0\0\0\x02ok", Some("0")), ""),
        ((200, GRPC, b"\0\0\0\0\x02ok", None), "no grpc-status, and HTTP status 200"),
        ((200, GRPC, b"\0\0\0\0\x02ok", Some("none")), "no grpc-status, and HTTP status 200"),
        ((503, "text/plain", b"upstream connect error", None), "and HTTP status 503"),
        ((200, "text/plain", b"ok", None), "its content-type is another"),
        ((200, GRPC, b"\0\0\0\0\x03ok", Some("0")), "its body is not one message"),
        ((200, GRPC, b"\x01\0\0\0\x02ok", Some("0")), "its body is not one message"),
        ((200, GRPC, b"\0\0\0\0\x01o\0\0\0\0\x01k", Some("0")), "its body is not one message"),
    ];
    let address = serve(Manner::default(), |request, _, respond| {
        let number: usize = request.uri().path().trim_start_matches('/').parse().expect("a case");
        send(respond, CASES[number].0);
    });
    let address = address.await;
    for (number, (_, error)) in CASES.iter().enumerate() {
        let mut spec = grpc(driver, address, &format!("/{number}"));
        (spec.requests, spec.streams) = (Some(6), 2);
        let total = measure(&spec).await.total();
        let failed = if error.is_empty() { 0 } else { 6 };
        assert_eq!((total.requests(), total.failed()), (6, failed), "{number}: {total:?}");
        assert!(total.errors.keys().all(|met| met.ends_with(error)), "{:?}", total.errors);
    }
}
