//! The origin, asked by the load that will ask it.

use kit::load::{self, Control, LoadSpec, Protocol};

use super::*;

/// Bodies of less than a frame, of many, and of more than a window.
const SIZES: [usize; 8] = [0, 1, 26, 1_024, 16_379, 16_384, 70_000, 3_000_000];

#[tokio::test]
async fn bodies_are_right_whatever_is_spoken() {
    let origin = Origin::start(Ipv4Addr::LOCALHOST).expect("started");
    for size in SIZES {
        let path = format!("/{size}");
        let http = LoadSpec::http(origin.http, "a", &path);
        let http2 = LoadSpec { protocol: Protocol::Http2, streams: 5, ..http.clone() };
        let post = LoadSpec { method: "POST".into(), body: pattern(100_000), ..http2.clone() };
        let call = LoadSpec::grpc(origin.http, "a", &path);
        let call = LoadSpec { streams: 5, body: pattern(64), ..call };
        for spec in [http, http2, post, call] {
            let expected_body = Some(pattern(size));
            let spec = LoadSpec { connections: 2, requests: Some(20), expected_body, ..spec };
            let report = load::run(&spec, &Control::new(), |_| ()).await.expect("a fine load");
            let (total, protocol) = (report.total(), spec.protocol);
            assert_eq!(total.histogram.len(), 20, "{protocol:?}, {size} bytes: {total:?}");
            assert_eq!((total.unexpected(200..=200), total.not_ok()), (0, 0));
        }
    }
}
