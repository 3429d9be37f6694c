//! Lines of access logs: both proxies write them in one format, and must say the same of each
//! request.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// All operators whose values can be compared, behind the port that tells whose line it is. Stands
/// for `@ACCESS_LOG@` in a manager.
pub(crate) const ACCESS_LOG: &str = concat!(
    "[{ name: log, typed_config: { \"@type\": type.googleapis.com/",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog, path: \"@LOG@\", log_format: { ",
    "text_format_source: { inline_string: \"%DOWNSTREAM_DIRECT_REMOTE_PORT% ",
    "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% ",
    "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS% ",
    "%CONNECTION_TERMINATION_DETAILS% '%UPSTREAM_TRANSPORT_FAILURE_REASON%' ",
    "received %BYTES_RECEIVED% sent %BYTES_SENT% '%REQ(X-FORWARDED-FOR)%' ",
    "'%REQ(USER-AGENT)%' '%REQ(:AUTHORITY)%' %REQ(:SCHEME)% %UPSTREAM_HOST% ",
    "%UPSTREAM_CLUSTER_RAW% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% ",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQUESTED_SERVER_NAME% '%ROUTE_NAME%' ",
    "attempts %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_PROTOCOL% '%RESP(X-UP)%' ",
    "'%RESP(:STATUS)%' %GRPC_STATUS% %ACCESS_LOG_TYPE% %FILTER_STATE(x)%\\n\" } } } }]"
);

/// Configurations whose lines are compared. (Those of `health` tell how many hosts were tried,
/// which is chance.)
pub(crate) const COMPARED: &[&str] = &["plain", "routes", "policy", "formats", "headers"];

/// Cases whose lines differ on purpose, and the words of `docs/differences-from-envoy.md` that say
/// why.
const DIFFER: &[(&str, &str)] = &[("plain/no host", "a request that was refused as it was read")];

/// A case that was asked of both, and from which ports.
pub(crate) struct Asked {
    pub(crate) name: String,
    /// Its answers are the same, so that its lines have to be.
    pub(crate) compared: bool,
    pub(crate) envoy: u16,
    pub(crate) ours: u16,
}

/// The lines by the port of the client, once no more come.
pub(crate) fn lines(path: &Path) -> BTreeMap<u16, Vec<String>> {
    let (mut seen, mut since) = (None, Instant::now());
    while since.elapsed() < Duration::from_millis(1_500) {
        let length = std::fs::metadata(path).map_or(0, |data| data.len());
        if seen.replace(length) != Some(length) {
            since = Instant::now();
        }
        thread::sleep(Duration::from_millis(50));
    }
    let text = std::fs::read(path).unwrap_or_default();
    let mut lines: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let (port, rest) = line.split_once(' ').expect("a port and more");
        let port = port.parse().expect("a port");
        lines.entry(port).or_default().push(portless(rest));
    }
    lines
}

/// Each proxy has an upstream of its own on a port of its own, and of several hosts any may be
/// chosen.
pub(crate) fn portless(line: &str) -> String {
    let mut pieces = line.split(" 127.0.0.");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(" 127.0.0.");
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        match rest.strip_prefix(':') {
            Some(port) => {
                out.push_str("N:PORT");
                out.push_str(port.trim_start_matches(|c: char| c.is_ascii_digit()));
            }
            None => out.push_str(piece),
        }
    }
    out
}

/// What both have written of these cases; a text for each that differs and is not meant to, and for
/// each that is meant to and does not.
pub(crate) fn compare(envoy: &Path, ours: &Path, asked: &[Asked]) -> Vec<String> {
    let (envoy, ours) = thread::scope(|scope| {
        let envoy = scope.spawn(|| lines(envoy));
        let ours = lines(ours);
        (envoy.join().expect("read"), ours)
    });
    let mut failures = Vec::new();
    // A port that the system gives out twice has the lines of two cases.
    let shares = |case: &Asked| {
        let same = asked.iter().filter(|it| it.envoy == case.envoy || it.ours == case.ours);
        same.count() > 1
    };
    let compared: Vec<_> = asked.iter().filter(|it| it.compared && !shares(it)).collect();
    assert!(compared.len() * 2 > asked.len(), "{} of {}", compared.len(), asked.len());
    for case in compared {
        let (theirs, own) = (envoy.get(&case.envoy), ours.get(&case.ours));
        let is_meant = DIFFER.iter().any(|(name, _)| *name == case.name);
        if (theirs == own) == is_meant {
            failures
                .push(format!("{}: access log\n  envoy {theirs:#?}\n  ours  {own:#?}", case.name));
        }
    }
    failures
}

/// Their reasons, to be found on the page.
pub(crate) fn reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
    DIFFER.iter().copied()
}
