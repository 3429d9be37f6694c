//! HTTP/2 against servers of another make, right and wrong.

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Request, Response};

use super::{super::run, *};
use crate::echo::pattern;

on_both!(
    streams_share_connections,
    bodies_go_whole_both_ways,
    waiting_for_a_free_stream_counts,
    more_streams_than_the_server_allows_take_turns,
    a_server_that_goes_away_politely_costs_no_request,
    a_server_that_goes_away_rudely_is_named,
    resets_are_named_and_end_one_stream,
    wrong_answers_are_failures,
    an_answer_before_the_whole_request_ends_its_stream,
    what_never_comes_is_given_up,
    a_connection_for_each_request,
);

/// Streams of one connection in these tests.
const STREAMS: usize = 16;

fn http2(driver: Which, target: impl Into<Option<SocketAddr>>, path: &str) -> LoadSpec {
    LoadSpec { protocol: Protocol::Http2, ..http(driver, target, path) }
}

/// What a server of the h2 crate does beside answering.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner {
    pub(super) streams_max: Option<u32>,
    /// After so many requests of a connection it goes away, and why, if it is rude.
    pub(super) leaves_after: Option<(usize, Option<Reason>)>,
}

/// A server of the h2 crate. It reads each request whole, unless told otherwise by `answer`, which
/// is given what has come.
pub(super) async fn serve<A>(manner: Manner, answer: A) -> SocketAddr
where
    A: Fn(&Request<()>, &[u8], &mut SendResponse<Bytes>) + Clone + Send + 'static,
{
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepted");
            tokio::spawn(serve_one(stream, manner, answer.clone()));
        }
    });
    address
}

async fn serve_one<A>(stream: tokio::net::TcpStream, manner: Manner, answer: A)
where
    A: Fn(&Request<()>, &[u8], &mut SendResponse<Bytes>) + Clone + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(manner.streams_max.unwrap_or(1_000));
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut count = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        count += 1;
        match manner.leaves_after {
            Some((after, None)) if after == count => connection.graceful_shutdown(),
            Some((after, Some(why))) if after == count => connection.abrupt_shutdown(why),
            _ => {}
        }
        let answer = answer.clone();
        tokio::spawn(async move {
            let (parts, mut body) = request.into_parts();
            let request = Request::from_parts(parts, ());
            let whole = match request.uri().path() {
                "/early" => Vec::new(),
                _ => gather(&mut body).await,
            };
            answer(&request, &whole, &mut respond);
        });
    }
}

async fn gather(body: &mut RecvStream) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        whole.extend_from_slice(&data);
    }
    whole
}

/// Answers with a status and a body.
fn plain(respond: &mut SendResponse<Bytes>, status: u16, body: &[u8]) {
    let head = Response::builder().status(status).body(()).expect("a head");
    if let Ok(mut stream) = respond.send_response(head, body.is_empty()) {
        let _ = body.is_empty() || stream.send_data(Bytes::copy_from_slice(body), true).is_ok();
    }
}

async fn streams_share_connections(driver: Which) {
    let echo = echo().await;
    let mut spec = http2(driver, echo.http, "/?size=500");
    (spec.requests, spec.connections, spec.threads) = (Some(600), 4, 2);
    spec.streams = STREAMS;
    spec.expected_body = Some(pattern(500));
    spec.tally = vec!["x-version".into(), "x-none".into()];
    let report = all_right(&spec).await;
    let total = report.total();
    assert_eq!((report.connects, total.statuses.get(&200)), (4, Some(&600)));
    assert_eq!((total.header("x-version", "v1"), total.header("x-none", "(none)")), (600, 600));
    // A status is an answer like any other.
    let busy = LoadSpec { path: "/?status=503".into(), expected_body: None, ..spec };
    assert_eq!(all_right(&busy).await.total().statuses.get(&503), Some(&600));
}

async fn bodies_go_whole_both_ways(driver: Which) {
    let address = serve(Manner::default(), |request, body, respond| {
        assert_eq!(request.method(), "POST");
        plain(respond, 200, body);
    });
    let mut spec = http2(driver, address.await, "/");
    spec.method = "POST".into();
    (spec.requests, spec.streams, spec.connections) = (Some(12), 3, 2);
    // Parts of a frame, whole ones, and more than any window.
    for len in [1, 100, 16_384, 16_385, 70_000, 2_000_000] {
        spec.body = pattern(len);
        spec.expected_body = Some(pattern(len));
        assert_eq!(all_right(&spec).await.connects, 2, "{len} bytes");
    }
}

async fn waiting_for_a_free_stream_counts(driver: Which) {
    let echo = echo().await;
    // Ten requests due at once, 20 ms each, two streams: the last one took 100 ms.
    let mut spec = http2(driver, echo.http, "/?size=1&delay_ms=20");
    (spec.streams, spec.rate, spec.requests) = (2, Some(10_000.0), Some(10));
    let open = measure(&spec).await.total().histogram;
    spec.rate = None;
    let closed = measure(&spec).await.total().histogram;
    assert!(open.max() >= 95_000_000, "the tenth waited for eight: {} ns", open.max());
    let (slow, fast) = (open.value_at_percentile(50.0), closed.value_at_percentile(50.0));
    assert!(fast * 3 < slow * 2, "nobody waits in a closed loop: {fast} ns against {slow} ns");
}

async fn more_streams_than_the_server_allows_take_turns(driver: Which) {
    let manner = Manner { streams_max: Some(3), ..Manner::default() };
    let address = serve(manner, |_, _, respond| plain(respond, 200, b"ok")).await;
    let mut spec = http2(driver, address, "/");
    (spec.requests, spec.streams) = (Some(200), STREAMS);
    spec.expected_body = Some(b"ok".to_vec());
    let report = measure(&spec).await;
    let total = report.total();
    assert_eq!((total.requests(), report.connects), (200, 1));
    // What was on its way before the server's settings came may have been refused.
    let refused = total.errors.get("stream was reset: REFUSED_STREAM").copied().unwrap_or(0);
    assert_eq!(total.failed(), refused, "{:?}", total.errors);
    assert!(refused <= STREAMS as u64);
}

async fn a_server_that_goes_away_politely_costs_no_request(driver: Which) {
    let manner = Manner { leaves_after: Some((50, None)), ..Manner::default() };
    let address = serve(manner, |_, _, respond| plain(respond, 200, b"ok")).await;
    let mut spec = http2(driver, address, "/");
    (spec.requests, spec.streams) = (Some(500), 4);
    let connects = all_right(&spec).await.connects;
    assert!((5..=10).contains(&connects), "{connects} connections");
    (spec.rate, spec.requests) = (Some(1_000.0), Some(300));
    let connects = all_right(&spec).await.connects;
    assert!((3..=6).contains(&connects), "{connects} connections");
}

async fn a_server_that_goes_away_rudely_is_named(driver: Which) {
    let leaves_after = Some((5, Some(Reason::ENHANCE_YOUR_CALM)));
    let manner = Manner { leaves_after, ..Manner::default() };
    let address = serve(manner, |_, _, respond| plain(respond, 200, b"ok")).await;
    let mut spec = http2(driver, address, "/");
    spec.requests = Some(20);
    let report = measure(&spec).await;
    let total = report.total();
    assert_eq!(total.requests(), 20);
    let gone = total.errors.get("server has gone away: ENHANCE_YOUR_CALM").copied();
    assert_eq!((gone, total.failed(), report.connects), (Some(4), 4, 4), "{:?}", total.errors);
}

async fn resets_are_named_and_end_one_stream(driver: Which) {
    let address = serve(Manner::default(), |_, _, respond| {
        respond.send_reset(Reason::INTERNAL_ERROR);
    });
    let mut spec = http2(driver, address.await, "/");
    (spec.requests, spec.streams) = (Some(40), 4);
    let report = measure(&spec).await;
    let errors = report.total().errors;
    assert_eq!(errors.get("stream was reset: INTERNAL_ERROR"), Some(&40), "{errors:?}");
    assert_eq!(report.connects, 1);
}

async fn wrong_answers_are_failures(driver: Which) {
    let address = serve(Manner::default(), |request, _, respond| match request.uri().path() {
        "/right" => plain(respond, 200, b"ok"),
        "/none" => plain(respond, 200, b""),
        "/short" => plain(respond, 200, b"o"),
        "/long" => plain(respond, 200, b"okay"),
        _ => plain(respond, 200, b"no"),
    });
    let address = address.await;
    for (path, failed) in [("/right", 0), ("/none", 3), ("/short", 3), ("/long", 3), ("/no", 3)] {
        let mut spec = http2(driver, address, path);
        (spec.requests, spec.expected_body) = (Some(3), Some(b"ok".to_vec()));
        let report = measure(&spec).await;
        let (total, differ) = (report.total(), "body differs from what was expected");
        assert_eq!(total.errors.get(differ).copied().unwrap_or(0), failed, "{path}: {total:?}");
        assert_eq!((total.requests(), report.connects), (3, 1), "{path}");
    }
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    for (answer, error) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "answer is not HTTP/2: http2."),
        (b"\0\0\x01\x01\x05\0\0\0\x01\x88", "answer is not HTTP/2: http2.settings_expected"),
        // A header block that names a field that no table has, and one without a status.
        (b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\xff", "answer is not HTTP/2: http2."),
        (
            b"\0\0\0\x04\0\0\0\0\0\0\0\x00\x01\x05\0\0\0\x01",
            "answer is not HTTP/2: http2.missing_pseudo_header",
        ),
        (SETTINGS, "connection closed before"),
    ] {
        let mut spec = http2(driver, canned(answer, 1).await, "/");
        spec.requests = Some(2);
        let total = measure(&spec).await.total();
        assert_eq!((total.histogram.len(), total.failed()), (0, 2), "{error}: {total:?}");
        // A reset may overtake the server's last words.
        let known = |met: &String| met.starts_with(error) || met.starts_with("connection ");
        assert!(total.errors.keys().all(known), "{error}: {:?}", total.errors);
    }
}

async fn an_answer_before_the_whole_request_ends_its_stream(driver: Which) {
    let address = serve(Manner::default(), |_, _, respond| plain(respond, 413, b"much"));
    let mut spec = http2(driver, address.await, "/early");
    (spec.method, spec.body) = ("POST".into(), pattern(5_000_000));
    (spec.requests, spec.streams) = (Some(6), 2);
    let report = all_right(&spec).await;
    assert_eq!((report.total().statuses.get(&413), report.connects), (Some(&6), 1));
}

async fn what_never_comes_is_given_up(driver: Which) {
    let echo = echo().await;
    let mut spec = http2(driver, echo.http, "/?delay_ms=5000");
    (spec.requests, spec.streams) = (Some(4), 2);
    spec.timeout = Duration::from_millis(100);
    let total = measure(&spec).await.total();
    assert_eq!(total.errors.get("no whole answer in time"), Some(&4), "{total:?}");
    let silent = TcpListener::bind(ANY).await.expect("a port");
    spec.target = silent.local_addr().expect("bound");
    let total = measure(&spec).await.total();
    assert_eq!(total.errors.get("no whole answer in time"), Some(&4), "{total:?}");
}

async fn a_connection_for_each_request(driver: Which) {
    let echo = echo().await;
    let mut spec = http2(driver, echo.http, "/?size=100");
    (spec.requests, spec.connections, spec.keep_alive) = (Some(60), 4, false);
    spec.expected_body = Some(pattern(100));
    assert_eq!(all_right(&spec).await.connects, 60);
    spec.reset = true;
    assert_eq!(all_right(&spec).await.connects, 60);
    // Whoever closes every connection has closed on requests.
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let target = listener.local_addr().expect("bound");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let closed =
        LoadSpec { target, streams: 3, keep_alive: true, requests: Some(9), ..spec.clone() };
    let total = measure(&closed).await.total();
    assert_eq!((total.requests(), total.failed()), (9, 9), "{total:?}");
    assert!(total.errors.keys().all(|met| met.starts_with("connection ")), "{:?}", total.errors);
    // Nobody there, for each stream.
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let target = listener.local_addr().expect("bound");
    drop(listener);
    let nobody = LoadSpec { target, streams: 3, keep_alive: true, requests: Some(9), ..spec };
    let report = run(&nobody, &Control::new(), |_| {}).await.expect("a fine load");
    let refused = report.total().errors.get("cannot connect: connection refused").copied();
    assert_eq!(refused, Some(9), "{:?}", report.total().errors);
}
