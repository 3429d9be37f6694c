//! curl in front, the servers for Python behind, in every combination of protocols.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{
    Proxy, Upstream, folder, http_servers, papers, program, python, sha256, upload,
};

/// How curl is told of a version, and what it should come to.
const VERSIONS: [(&str, &str); 4] = [
    ("--http1.0", "1"),
    ("--http1.1", "1.1"),
    ("--http2-prior-knowledge", "2"),
    // Clear, an offer to upgrade that is not taken up; over TLS what is agreed on.
    ("--http2", ""),
];

/// One way through the proxy.
struct Way<'a> {
    curl: &'a Path,
    proxy: &'a Proxy,
    tls: bool,
    flag: &'static str,
    version: &'static str,
    to: Upstream,
    name: String,
}

/// What came.
struct Answer {
    head: String,
    body: PathBuf,
    /// Version, status, and connections that were made for it, by `--write-out`.
    facts: String,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.body).unwrap_or_default()).into_owned()
    }

    fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {}", self.head))
    }
}

impl Way<'_> {
    fn ask(&self, path: &str, words: &[&str]) -> Answer {
        let file = |end: &str| folder().join(format!("curl-{}.{end}", self.name));
        let (head, body) = (file("head"), file("body"));
        let mut command = Command::new("timeout");
        command.arg("30").arg(self.curl).args(["-sS", self.flag, "--cacert"]);
        command.arg(&papers().authority).args(["-H", &format!("x-to: {}", self.to.name)]);
        command.arg("-D").arg(&head).arg("-o").arg(&body).args(words);
        command.args(["-w", "%{http_version} %{http_code} %{num_connects}\\n"]);
        command.arg(format!("{}{path}", self.proxy.url(self.tls)));
        let output = command.stdin(Stdio::null()).output().expect("curl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {command:?}: {said}", self.name);
        let facts = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let head = std::fs::read_to_string(head).unwrap_or_default();
        Answer { head, body, facts }
    }

    fn expect(&self, path: &str, words: &[&str], status: u16) -> Answer {
        let answer = self.ask(path, words);
        let expected = format!("{} {status} 1", self.version);
        assert_eq!(answer.facts, expected, "{} {path} {words:?}: {}", self.name, answer.head);
        answer
    }

    /// Small requests of all kinds.
    fn exchanges(&self) {
        let what = self.expect("/echo?a=b", &["-H", "x-a: Mixed"], 200).json();
        assert_eq!(what["method"], "GET", "{}", self.name);
        assert_eq!(what["path"], "/echo?a=b", "{}", self.name);
        assert!(what["fields"].to_string().contains(r#"["x-a","Mixed"]"#), "{what}");
        let behind = if self.to.http2 { "HTTP/2" } else { "HTTP/1.1" };
        assert_eq!(what["version"], behind, "{}", self.name);
        let head = self.expect("/size/100", &["-I"], 200);
        assert!(head.head.to_lowercase().contains("content-length: 100\r\n"), "{}", head.head);
        for (path, status) in [("/status/204", 204), ("/status/304", 304), ("/status/503", 503)] {
            self.expect(path, &[], status);
        }
        let deleted = self.expect("/echo", &["-X", "DELETE"], 200).json();
        assert_eq!(deleted["method"], "DELETE", "{}", self.name);
    }

    /// Bodies arrive as they were sent, in both directions.
    fn bodies(&self, (file, sum): &(PathBuf, String)) {
        let data = format!("@{}", file.display());
        let posted = self.expect("/echo", &["--data-binary", &data], 200).json();
        assert_eq!(posted["sha256"], **sum, "{}: {posted}", self.name);
        let expecting = ["--data-binary", &data, "-H", "Expect: 100-continue"];
        let posted = self.expect("/echo", &expecting, 200).json();
        assert_eq!(posted["sha256"], **sum, "{}: {posted}", self.name);
        if self.version != "1" {
            let chunked = ["-T", &*file.display().to_string(), "-H", "transfer-encoding: chunked"];
            let put = self.expect("/echo", &chunked, 200).json();
            assert_eq!(put["sha256"], **sum, "{}: {put}", self.name);
        }
        let big = self.expect("/size/2000000", &[], 200);
        let expected = pattern_sum();
        assert_eq!(sha256(&big.body), expected, "{}", self.name);
        let lengthless = self.expect("/chunked/2000000", &[], 200);
        assert_eq!(sha256(&lengthless.body), expected, "{}", self.name);
    }

    fn trailers(&self) {
        let answer = self.expect("/trailers", &[], 200);
        let len = std::fs::metadata(&answer.body).expect("a body").len();
        assert_eq!(len, 1_000, "{}", self.name);
        let passes = self.version == "2" && self.to.http2;
        assert_eq!(answer.head.contains("x-sum: 1"), passes, "{}: {}", self.name, answer.head);
    }

    /// Two requests take one connection. curl 7.88 cannot do that by prior knowledge, whoever the
    /// server is.
    fn keeps_alive(&self) {
        if self.flag == "--http2-prior-knowledge" {
            return;
        }
        let url = format!("{}/size/5", self.proxy.url(self.tls));
        let again = folder().join(format!("curl-{}.again", self.name));
        let words = [url.as_str(), "-o", &again.display().to_string()];
        let facts = self.ask("/size/6", &words).facts;
        let expected = format!("{0} 200 1\n{0} 200 0", self.version);
        assert_eq!(facts, expected, "{}", self.name);
    }
}

/// What `/size/2000000` of `http_server.py` is.
fn pattern_sum() -> String {
    let path = folder().join("pattern");
    if !path.exists() {
        let bytes: Vec<u8> = (0..2_000_000_usize).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, bytes).expect("written");
    }
    sha256(&path)
}

#[test]
fn curl_is_served() {
    let test = "curl_is_served";
    let (Some(curl), Some(python)) = (program(test, "curl"), python(test)) else { return };
    let (upstreams, _servers) = http_servers(&python);
    let proxy = Proxy::start("curl", &upstreams);
    let file = upload("curl-upload", 1_200_000);
    let mut ways = 0;
    for (flag, version) in VERSIONS {
        for (tls, to) in [false, true].into_iter().flat_map(|tls| upstreams.map(|to| (tls, to))) {
            if tls && flag == "--http2-prior-knowledge" {
                continue;
            }
            let version = match (version, tls) {
                ("", true) => "2",
                ("", false) => "1.1",
                (version, _) => version,
            };
            let name = format!("{flag}-{}-{}", if tls { "tls" } else { "clear" }, to.name);
            let way = Way { curl: &curl, proxy: &proxy, tls, flag, version, to, name };
            way.exchanges();
            way.bodies(&file);
            if version != "1" {
                way.trailers();
                way.keeps_alive();
            }
            ways += 1;
        }
    }
    println!("{ways} ways through the proxy");
}
