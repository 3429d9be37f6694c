//! Lines of access logs: both proxies write them in two formats, and must say the same of each
//! request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Two lines for each request: one of text and one of JSON. Both begin with the client's port,
/// which tells whose they are. Stands for `@ACCESS_LOG@` in a manager.
pub(crate) const ACCESS_LOG: &str = concat!(
    "[{ name: text, typed_config: { \"@type\": type.googleapis.com/",
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
    "'%RESP(:STATUS)%' %GRPC_STATUS% %ACCESS_LOG_TYPE% %FILTER_STATE(x)%\\n\" } } } }, ",
    "{ name: json, typed_config: { \"@type\": type.googleapis.com/",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog, path: \"@LOG@\", log_format: { ",
    "json_format: { a_port: \"%DOWNSTREAM_DIRECT_REMOTE_PORT%\", ",
    "attempts: \"%UPSTREAM_REQUEST_ATTEMPT_COUNT%\", authority: \"%REQ(:AUTHORITY)%\", ",
    "body: \"%LOCAL_REPLY_BODY%\", bytes: { received: \"%BYTES_RECEIVED%\", ",
    "sent: \"%BYTES_SENT%\", head: \"%REQUEST_HEADERS_BYTES%\", ",
    "trailers: \"%RESPONSE_TRAILERS_BYTES%\" }, cluster: \"%UPSTREAM_CLUSTER%\", ",
    "code: \"%RESPONSE_CODE%\", details: \"%RESPONSE_CODE_DETAILS%\", ",
    "flags: \"%RESPONSE_FLAGS%\", ",
    "forwarded: [\"%REQ(X-FORWARDED-FOR)%\", \"%REQ(X-FORWARDED-PROTO)%\"], ",
    "grpc: \"%GRPC_STATUS_NUMBER%\", id: \"%REQ(X-REQUEST-ID)%\", method: \"%REQ(:METHOD)%\", ",
    "path: \"%PATH(NQ)%\", protocol: \"%PROTOCOL% over %UPSTREAM_PROTOCOL%\", ",
    "query: \"%QUERY_PARAMS%\", ",
    "response: [\"%RESP(SERVER)%\", \"%RESP(CONTENT-TYPE)%\", \"%RESP(LOCATION)%\"], ",
    "route: \"%ROUTE_NAME%\", ",
    "trailer: \"%TRAILER(X-TRAILER)%\", times: { whole_ms: \"%DURATION%\", ",
    "request_ms: \"%REQUEST_DURATION%\", response_ms: \"%RESPONSE_DURATION%\", ",
    "sent_ms: \"%RESPONSE_TX_DURATION%\" } } } } }]"
);

/// Cases whose lines differ on purpose though their answers do not, and the words of
/// `docs/differences-from-envoy.md` that say why.
const DIFFER: &[(&str, &str)] = &[
    ("plain/no host", AS_READ),
    ("answers with other bodies/no host", AS_READ),
    ("answers as text/no host", AS_READ),
    ("answers as JSON/no host", AS_READ),
    ("names kept or proper/no host", AS_READ),
    ("proper names/refused", AS_READ),
    ("ids in answers/refused", AS_READ),
    ("a host for http 1.0/http/1.1 without", AS_READ),
    ("upstreams overwritten/none is asked", AS_READ),
    ("upstreams if absent/none is asked", AS_READ),
    ("upstreams passed/none is asked", AS_READ),
    ("unusual targets/a fragment", AS_READ),
    ("unusual targets/a fragment behind a query", AS_READ),
    ("unusual targets made normal/a fragment", AS_READ),
    ("unusual targets/no slash", "`%RESPONSE_CODE_DETAILS%` of a target"),
    ("unusual targets/a query alone", "`%RESPONSE_CODE_DETAILS%` of a target"),
    ("unusual fields/an empty host", "`%REQ(:AUTHORITY)%` of an empty `host`"),
    ("unusual fields/a control character by HTTP/2", "a stream that is ended as malformed"),
    ("unusual fields/DEL by HTTP/2", "a stream that is ended as malformed"),
    ("no absolute targets/absolute", "an absolute target that is refused"),
    ("escaped refused/encoded slash", "a path that is refused for its escaped slashes"),
    ("escaped refused/encoded slash by HTTP/2", "a path that is refused for its escaped slashes"),
    ("tunnels/connect", "a tunnel that its upstream ends"),
    ("fields taken away/of a request", "`%REQ(:SCHEME)%` behind a route"),
    ("fields taken away/of an answer", "`%REQ(:SCHEME)%` behind a route"),
    ("headers/route: folded", FOLDED),
    ("headers/route: folded by HTTP/2", FOLDED),
    ("headers/policy: not folded", FOLDED),
    ("headers/policy: not folded by HTTP/2", FOLDED),
];
const AS_READ: &str = "a request that was refused as it was read";
const OF_FILTERS: &str = "what a filter answers before a body is whole";
const FOLDED: &str = "several lines of a field that Envoy knows";

/// Configurations whose lines are not compared, and the words that say why.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[
    // They tell how many hosts were tried, which is chance.
    ("health", "Access logs"),
    ("redirect-paths", "`%REQUEST_HEADERS_BYTES%` of a redirect"),
    ("bodies kept back", OF_FILTERS),
    ("buffer", OF_FILTERS),
    ("check", OF_FILTERS),
    ("web", OF_FILTERS),
    ("compressor", "`%BYTES_SENT%` of a compressed body"),
    ("steering", "`use_remote_address` and a client on loopback"),
    ("steering-slow", "`use_remote_address` and a client on loopback"),
];

pub(crate) fn is_left_out(setting: &str) -> bool {
    LEFT_OUT.iter().any(|(name, _)| *name == setting)
}

/// A case that was asked of both, and from which ports.
pub(crate) struct Asked {
    pub(crate) name: String,
    /// Its answers are the same, so that its lines have to be.
    pub(crate) compared: bool,
    pub(crate) envoy: u16,
    pub(crate) ours: u16,
}

/// A log of one side, which listens on this port.
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    pub(crate) listens: u16,
}

/// Lines by the port of the client.
type Lines = BTreeMap<u16, Vec<String>>;

impl Log {
    fn lines(&self) -> Lines {
        let text = std::fs::read(&self.path).unwrap_or_default();
        let listens = format!(":{}", self.listens);
        let mut lines = Lines::new();
        for line in String::from_utf8_lossy(&text).split_inclusive('\n') {
            let line = line.strip_prefix("{\"a_port\":").unwrap_or(line);
            let digits = line.bytes().take_while(u8::is_ascii_digit).count();
            // What has no line end yet, and what no client of ours has asked.
            let (Some(whole), Ok(port)) = (line.strip_suffix('\n'), line[..digits].parse()) else {
                continue;
            };
            let rest = whole[digits..].replace(&listens, ":PORT");
            lines.entry(port).or_default().push(steady(&rest));
        }
        lines
    }

    /// The lines, once `are_enough` holds, or no more come.
    fn lines_once(&self, are_enough: impl Fn(&Lines) -> bool) -> Lines {
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            let length = std::fs::metadata(&self.path).map_or(0, |data| data.len());
            if seen.replace(length) != Some(length) {
                since = Instant::now();
            }
            let lines = self.lines();
            if since.elapsed() >= Duration::from_secs(3) || are_enough(&lines) {
                return lines;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A line without what differs from run to run: ports of hosts and, where there are several, which
/// of them was chosen, ids that were made, and times.
pub(crate) fn steady(line: &str) -> String {
    let line = without_digits(line, "127.0.0.", "N", |rest| rest.starts_with(':'));
    let line = without_digits(&line, "127.0.0.N:", "PORT", |_| true);
    let line = without_digits(&line, "[::1]:", "PORT", |_| true);
    let line = without_digits(&line, "_ms\":", "N", |_| true);
    without_ids(&line)
}

/// `with` for the digits behind each `mark`, if what comes then `is_meant`.
fn without_digits(line: &str, mark: &str, with: &str, is_meant: fn(&str) -> bool) -> String {
    let mut pieces = line.split(mark);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(mark);
        if rest.len() < piece.len() && is_meant(rest) {
            out.push_str(with);
            out.push_str(rest);
        } else {
            out.push_str(piece);
        }
    }
    out
}

/// A word for each UUID.
fn without_ids(line: &str) -> String {
    const FORM: &str = "00000000-0000-0000-0000-000000000000";
    let is_id = |at: usize| {
        let given = line.as_bytes().get(at..at + FORM.len());
        let fits = |(byte, form): (&u8, u8)| match form {
            b'-' => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        given.is_some_and(|bytes| bytes.iter().zip(FORM.bytes()).all(fits))
    };
    let (mut out, mut at) = (String::new(), 0);
    while let Some(char) = line[at..].chars().next() {
        if is_id(at) {
            out.push_str("UUID");
            at += FORM.len();
        } else {
            out.push(char);
            at += char.len_utf8();
        }
    }
    out
}

/// What both have written of these cases; a text for each that differs and is not meant to, and for
/// each that is meant to and does not. Ours has ended, so that its lines are whole.
pub(crate) fn compare(envoy: &Log, ours: &Log, asked: &[Asked]) -> Vec<String> {
    let own = ours.lines();
    let count = |lines: &Lines, port| lines.get(&port).map_or(0, Vec::len);
    let theirs = envoy.lines_once(|theirs| {
        asked.iter().all(|case| count(theirs, case.envoy) >= count(&own, case.ours))
    });
    // A port that the system gives out twice has the lines of two cases.
    let shares = |case: &Asked| {
        let same = asked.iter().filter(|it| it.envoy == case.envoy || it.ours == case.ours);
        same.count() > 1
    };
    let meant: Vec<_> = asked.iter().filter(|case| case.compared).collect();
    let compared: Vec<_> = meant.iter().filter(|case| !shares(case)).collect();
    assert!(compared.len() * 2 >= meant.len(), "{} of {}", compared.len(), meant.len());
    let mut failures = Vec::new();
    for case in compared {
        let (theirs, own) = (theirs.get(&case.envoy), own.get(&case.ours));
        let is_meant = DIFFER.iter().any(|(name, _)| *name == case.name);
        if (theirs == own) == is_meant {
            failures.push(format!("{}: access log{}", case.name, difference(theirs, own)));
        }
    }
    failures
}

/// The lines that are not the same; of JSON the members alone.
fn difference(envoy: Option<&Vec<String>>, ours: Option<&Vec<String>>) -> String {
    let (Some(envoy), Some(ours)) = (envoy, ours) else {
        return format!("\n  envoy {envoy:#?}\n  ours  {ours:#?}");
    };
    let json = |line: &str| -> Option<BTreeMap<String, Value>> {
        let whole = format!("{{\"a\":0{}", line.replace("_ms\":N", "_ms\":0"));
        serde_json::from_str(&whole).ok()
    };
    let mut out = String::new();
    for at in 0..envoy.len().max(ours.len()) {
        let (envoy, ours) = (envoy.get(at), ours.get(at));
        let members = envoy.and_then(|line| json(line)).zip(ours.and_then(|line| json(line)));
        match members {
            _ if envoy == ours => {}
            Some((envoy, ours)) if envoy != ours => {
                for (key, theirs) in
                    envoy.iter().filter(|(key, value)| ours.get(*key) != Some(value))
                {
                    let own = ours.get(key).cloned().unwrap_or_default();
                    out.push_str(&format!("\n  {key}: envoy {theirs}, ours {own}"));
                }
            }
            _ => out.push_str(&format!("\n  envoy {envoy:?}\n  ours  {ours:?}")),
        }
    }
    out
}

/// Their reasons, to be found on the page.
pub(crate) fn reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
    DIFFER.iter().chain(LEFT_OUT).copied()
}
