use wire::h1::{Limits, parse_request};
use wire::head::Head;

use super::{Filtered, Reason, refused};

const ALL: &[Reason] = &[
    Reason::AbsolutePathRejected,
    Reason::ChainNotFound,
    Reason::ClusterNotFound,
    Reason::ConnectionFailure,
    Reason::ConnectionOverflow,
    Reason::ConnectionTermination,
    Reason::ConnectionTimeout,
    Reason::DirectResponse,
    Reason::DownstreamGone,
    Reason::DownstreamProtocolError,
    Reason::FaultAbort,
    Reason::Filtered(Filtered::GrpcWebInvalid),
    Reason::Filtered(Filtered::ClusterEmpty),
    Reason::Filtered(Filtered::ClusterUnwell),
    Reason::Filtered(Filtered::ClustersWell),
    Reason::Filtered(Filtered::Ending),
    Reason::Filtered(Filtered::NoCluster),
    Reason::Filtered(Filtered::Well),
    Reason::LocalConnectionFailure,
    Reason::LocalRateLimited,
    Reason::MaxDuration,
    Reason::MissingHost,
    Reason::NoHealthyUpstream,
    Reason::PathInvalid,
    Reason::Filtered(Filtered::PayloadTooLarge),
    Reason::PathRedirect,
    Reason::PerTryTimeout,
    Reason::RbacDenied,
    Reason::RequestHeadersTimeout,
    Reason::RequestIdleTimeout,
    Reason::RequestMaxDuration,
    Reason::RequestTimeout,
    Reason::ResponseTimeout,
    Reason::RewriteInvalid,
    Reason::RouteNotFound,
    Reason::StreamIdleTimeout,
    Reason::TlsRequired,
    Reason::UpgradeRefused,
    Reason::UpstreamOverflow,
    Reason::UpstreamProtocolError,
    Reason::UpstreamReset,
    Reason::UpstreamTlsFailure,
];

#[test]
fn every_reason_has_a_code_of_its_own() {
    let mut codes: Vec<_> = ALL.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
    for reason in ALL {
        let reply = reason.reply();
        assert!(!reply.code.is_empty() && !reply.details.is_empty(), "{reason:?}");
        assert!(matches!(reply.status, 0 | 200 | 301 | 307 | 400..=599), "{reason:?}");
        assert!(!reply.code.contains(|c: char| !c.is_ascii_lowercase() && c != '_'), "{reason:?}");
    }
}

#[test]
fn a_later_attempt_says_so_in_the_body() {
    let refused = Reason::ConnectionFailure;
    assert_eq!(refused.reply_after(1), refused.reply());
    assert_eq!(
        refused.reply_after(2).body,
        "upstream connect error or disconnect/reset before headers. \
         retried and the latest reset reason: remote connection failure"
    );
    assert_eq!(Reason::RbacDenied.reply_after(2), Reason::RbacDenied.reply());
}

#[test]
fn refused_bytes_are_answered_in_envoys_words() {
    for (bytes, status, body, details, flag) in [
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
            "Bad Request",
            "http1.content_length_and_chunked_not_allowed",
            "DPE",
        ),
        ("GET / HTTP/1.0\r\n\r\n", 426, "Upgrade Required", "low_version", "DPE"),
        ("GET /#a HTTP/1.1\r\nhost: a\r\n\r\n", 400, "", "path_normalization_failed", ""),
        ("GET / HTTP/1.1\r\n\r\n", 400, "", "missing_host_header", ""),
    ] {
        let refusal =
            parse_request(bytes.as_bytes(), &Limits::default(), &mut Head::default()).unwrap_err();
        let reply = refused(&refusal);
        let found = (reply.status, reply.body, reply.details, reply.flag);
        assert_eq!(found, (status, body, details, flag), "{bytes}");
    }
}
