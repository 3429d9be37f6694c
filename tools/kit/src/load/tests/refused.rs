//! Loads that cannot be made.

use super::{super::run, *};

#[tokio::test]
async fn loads_that_cannot_be_made() {
    let fine = LoadSpec::http(SocketAddr::from(ANY), "a", "/");
    let http2 = LoadSpec { protocol: Protocol::Http2, ..fine.clone() };
    let grpc = LoadSpec::grpc(SocketAddr::from(ANY), "a", "/");
    let trips = LoadSpec::tcp(ANY.into());
    let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let tls = |spec: TlsSpec| Some(spec);
    let roots = Some(b"no PEM".to_vec());
    for (spec, told) in [
        (LoadSpec { connections: 0, ..fine.clone() }, "connections must be 1 to 10000"),
        (LoadSpec { threads: 0, ..fine.clone() }, "threads must be 1 to 64"),
        (LoadSpec { threads: 2, ..fine.clone() }, "threads must be 1 to 64, and no more than"),
        (LoadSpec { rate: Some(0.0), ..fine.clone() }, "rate must be above 0"),
        (LoadSpec { rate: Some(f64::NAN), ..fine.clone() }, "rate must be above 0"),
        (LoadSpec { timeout: Duration::ZERO, ..fine.clone() }, "timeout must be above 0"),
        (LoadSpec { path: "/a b".into(), ..fine.clone() }, "request needs a method, a path"),
        (LoadSpec { path: "a".into(), ..fine.clone() }, "request is not HTTP/1.1: http1.invalid"),
        (LoadSpec { headers: field("x", "a\r\nb: c"), ..fine.clone() }, "headers cannot have"),
        (LoadSpec { headers: field("Host", "b"), ..fine.clone() }, "headers cannot have"),
        (LoadSpec { trip_bytes: Some(9), ..fine.clone() }, "trip_bytes are for TCP"),
        (LoadSpec { trip_bytes: Some(0), ..trips.clone() }, "trip_bytes must be 1 to"),
        (LoadSpec { body: Vec::new(), ..trips }, "body must have a byte"),
        (LoadSpec { streams: 2, ..fine.clone() }, "streams are HTTP/2's"),
        (LoadSpec { streams: 0, ..http2.clone() }, "streams must be 1 to 1000"),
        (LoadSpec { streams: 1_001, ..http2.clone() }, "streams must be 1 to 1000"),
        (
            LoadSpec { streams: 101, connections: 1_000, ..http2.clone() },
            "streams must be at most 100000 over all",
        ),
        (
            LoadSpec { streams: 2, keep_alive: false, ..http2.clone() },
            "streams must be 1 where each request",
        ),
        (LoadSpec { path: "/a b".into(), ..http2.clone() }, "request is not HTTP/2: http2.invalid"),
        (LoadSpec { headers: field("TE", "gzip"), ..http2.clone() }, "headers cannot have"),
        (LoadSpec { headers: field("Upgrade", "b"), ..http2 }, "headers cannot have"),
        (LoadSpec { headers: field("te", "b"), ..grpc.clone() }, "headers cannot have"),
        (LoadSpec { method: "GET".into(), ..grpc }, "method must be POST for gRPC"),
        (
            LoadSpec { tls: tls(TlsSpec { roots, ..TlsSpec::default() }), ..fine.clone() },
            "tls tls.bad_secret: the root bundle",
        ),
        (LoadSpec { cpus: vec![100_000], ..fine }, "cannot start the load generator: pinning"),
    ] {
        let error = run(&spec, &Control::new(), |_| {}).await.expect_err(told);
        assert!(error.to_string().starts_with(told), "{error}");
    }
}
