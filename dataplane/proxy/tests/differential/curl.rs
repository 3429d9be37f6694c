//! Requests by HTTP/2, which curl asks.

use std::net::SocketAddr;
use std::process::Command;

use crate::wire::{self, Message};

/// What curl was answered, and what the upstream was sent for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Curled {
    pub(crate) answer: Vec<String>,
    pub(crate) upstream: Vec<Message>,
}

impl Curled {
    /// The stream has ended with a reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.answer.iter().any(|line| line == "curl: Some(92)")
    }
}

/// The answer's lines in any order, and the port that was asked from. `None`: there is no curl.
pub(crate) fn run(
    address: SocketAddr,
    path: &str,
    arguments: &[&str],
) -> Option<(Vec<String>, u16)> {
    let port = address.port().to_string();
    let arguments = arguments.iter().map(|argument| argument.replace("@PORT@", &port));
    let mut command = Command::new("curl");
    command.args(["-s", "-i", "-m", "5", "--http2-prior-knowledge"]).args(arguments);
    command.args(["-w", "%{stderr}%{local_port}"]).arg(format!("http://{address}{path}"));
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).replace(&port, "PORT");
    let mut answer: Vec<String> = text.split_inclusive("\r\n").map(wire::masked).collect();
    answer.sort();
    // Whether curl was still sending when the connection ended is a race.
    let code = output.status.code().map(|code| if code == 18 { 56 } else { code });
    answer.push(format!("curl: {code:?}"));
    let from = String::from_utf8_lossy(&output.stderr).parse().unwrap_or_default();
    Some((answer, from))
}

/// Fields that HTTP/2 has no place for, or that curl acts upon.
const OF_HTTP_1: &[&str] = &[
    "connection",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whether these bytes of HTTP/1.1 are one request that HTTP/2 can ask, too.
pub(crate) fn can_ask(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let mut lines = head.split("\r\n");
    let start: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, path, "HTTP/1.1"] = start[..] else { return false };
    let fields: Option<Vec<_>> = lines.map(|line| line.split_once(": ")).collect();
    let Some(fields) = fields else { return false };
    let is_name =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let of = |wanted: &str| {
        let found = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let is_whole = match of("content-length")[..] {
        [] => body.is_empty(),
        [length] => length == body.len().to_string(),
        _ => false,
    };
    let is_url = path.starts_with('/') && !path.contains(['\\', '"', '#']);
    is_whole
        && is_url
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && fields.iter().all(|(name, _)| is_name(name))
        && OF_HTTP_1.iter().all(|name| of(name).is_empty())
        && of("host").len() == 1
}

/// The path and what curl is told to ask the same as these bytes of HTTP/1.1.
pub(crate) fn told(request: &str) -> (String, Vec<String>) {
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.split("\r\n");
    let mut start = lines.next().expect("a start line").split(' ');
    let (method, path) = (start.next().expect("a method"), start.next().expect("a target"));
    let mut arguments = vec!["--path-as-is".to_owned(), "--globoff".to_owned()];
    match method {
        "GET" => {}
        "HEAD" => arguments.push("-I".to_owned()),
        method => arguments.extend(["-X".to_owned(), method.to_owned()]),
    }
    let fields = head.to_ascii_lowercase();
    // Nothing is said that those bytes do not say.
    for name in ["accept", "content-type", "user-agent"] {
        if !fields.contains(&format!("\r\n{name}:")) {
            arguments.extend(["-H".to_owned(), format!("{name}:")]);
        }
    }
    for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("content-length")) {
        // With a semicolon for the colon curl sends a field without a value.
        let line = line.strip_suffix(": ").map_or_else(|| line.to_owned(), |n| format!("{n};"));
        arguments.extend(["-H".to_owned(), line]);
    }
    if !body.is_empty() {
        arguments.extend(["--data-binary".to_owned(), body.to_owned()]);
    }
    (path.to_owned(), arguments)
}
