//! Two proxies on one bootstrap, each with an upstream of its own that remembers what it was sent.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{free_address, skip};
use crate::logs::{self, Asked};
use crate::wire::{self, Answer, Message};

/// The real Envoy.
pub(crate) struct Judge {
    envoy: PathBuf,
}

impl Judge {
    /// Envoy by `RINGWAY_ENVOY`, or where `cargo xtask test` has put it; says so if there is none.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_ringway-proxy")).ancestors().nth(2);
        let installed = target.map(|target| target.join("venv/bin/envoy"));
        let named = std::env::var_os("RINGWAY_ENVOY").map(PathBuf::from);
        let found = named.or(installed).filter(|path| path.exists());
        if found.is_none() {
            skip(test, "no Envoy: set RINGWAY_ENVOY or run `cargo xtask test`");
        }
        found.map(|envoy| Self { envoy })
    }
}

/// Envoy and Ringway side by side.
pub(crate) struct Pair {
    envoy: Side,
    ours: Side,
}

/// What a request led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) upstream: Vec<Message>,
}

struct Side {
    child: Child,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
    /// The access log.
    log: PathBuf,
    /// The port that the last request came from.
    port: AtomicU16,
}

impl Pair {
    pub(crate) fn start(judge: &Judge, name: &str, template: &str) -> Self {
        let envoy = Side::start(name, "envoy", template, |file| {
            let mut command = Command::new(&judge.envoy);
            command.args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]);
            command.args(["--file-flush-interval-msec", "100", "-c"]);
            command.arg(file);
            command
        });
        let ours = Side::start(name, "ringway", template, |file| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-proxy"));
            command.args(["--concurrency", "1", "-c"]).arg(file);
            command
        });
        Self { envoy, ours }
    }

    /// Where Envoy listens, and where we do.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        [self.envoy.address, self.ours.address]
    }

    /// What to know of the last request to find its lines in the logs.
    pub(crate) fn asked(&self, name: String, compared: bool) -> Asked {
        let port = |side: &Side| side.port.load(Ordering::Relaxed);
        Asked { name, compared, envoy: port(&self.envoy), ours: port(&self.ours) }
    }

    /// What the two logs say differently of these.
    pub(crate) fn logs_differ(&self, asked: &[Asked]) -> Vec<String> {
        logs::compare(&self.envoy.log, &self.ours.log, asked)
    }

    /// The same bytes to both.
    pub(crate) fn ask(&self, request: &str) -> (Outcome, Outcome) {
        thread::scope(|scope| {
            let envoy = scope.spawn(|| self.envoy.ask(request));
            let ours = self.ours.ask(request);
            (envoy.join().expect("asked"), ours)
        })
    }
}

/// What curl was answered, and what the upstream was sent for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Curled {
    pub(crate) answer: Vec<String>,
    pub(crate) upstream: Vec<Message>,
}

impl Curled {
    /// A reset was there before curl had looked at the answer.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.answer.iter().any(|line| line == "curl: Some(92)")
    }
}

impl Pair {
    /// The same request by HTTP/2 to both. `None`: there is no curl.
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> Option<(Curled, Curled)> {
        Some((self.envoy.curl(path, arguments)?, self.ours.curl(path, arguments)?))
    }
}

impl Side {
    fn curl(&self, path: &str, arguments: &[&str]) -> Option<Curled> {
        // An answer before the request has come whole may end with a reset, which curl takes for an
        // error: whether it comes to that is a race.
        let once = || self.curl_once(path, arguments);
        let mut curled = once()?;
        for _ in 0..10 {
            if !curled.is_cut_short() {
                break;
            }
            curled = once()?;
        }
        Some(curled)
    }

    fn curl_once(&self, path: &str, arguments: &[&str]) -> Option<Curled> {
        self.seen.lock().expect("seen").clear();
        let url = format!("http://{}{path}", self.address);
        let mut command = Command::new("curl");
        command.args(["-s", "-i", "-m", "5", "--http2-prior-knowledge"]).args(arguments).arg(url);
        let output = command.output().ok()?;
        let port = self.address.port().to_string();
        let text = String::from_utf8_lossy(&output.stdout).replace(&port, "PORT");
        let mut answer: Vec<String> = text.split_inclusive("\r\n").map(wire::masked).collect();
        answer.sort();
        answer.push(format!("curl: {:?}", output.status.code()));
        let mut upstream = std::mem::take(&mut *self.seen.lock().expect("seen"));
        let fields = upstream.iter_mut().flat_map(|message| message.fields.values_mut());
        fields.flatten().for_each(|value| *value = value.replace(&port, "PORT"));
        Some(Curled { answer, upstream })
    }

    fn start(
        name: &str,
        who: &str,
        template: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let upstream = upstream(Arc::clone(&seen));
        let (address, dead) = (free_address(), free_address());
        let text = template
            .replace("@LISTEN@", &address.port().to_string())
            .replace("@UPSTREAM@", &upstream.port().to_string())
            .replace("@DEAD@", &dead.port().to_string())
            .replace("@INNER@", &free_address().port().to_string());
        let folder = std::env::temp_dir().join(format!("ringway-diff-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(format!("{name}-{who}.yaml"));
        let access = file.with_extension("access");
        let _ = fs::remove_file(&access);
        let text = text.replace("@LOG@", &access.display().to_string());
        fs::write(&file, text).expect("the bootstrap");
        let log = fs::File::create(file.with_extension("log")).expect("a log");
        let mut command = command(&file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let port = AtomicU16::new(0);
        let child = child.expect("it starts");
        let mut side = Self { child, address, seen, log: access, port };
        side.wait_until_it_listens(&file.with_extension("log"));
        side
    }

    fn wait_until_it_listens(&mut self, log: &Path) {
        for _ in 0..1_000 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = fs::read_to_string(log).unwrap_or_default();
                panic!("{} ended with {status}: {said}", log.display());
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{} does not listen within 20 s", log.display());
    }

    fn ask(&self, request: &str) -> Outcome {
        self.seen.lock().expect("seen").clear();
        let listens = self.address.port().to_string();
        let request = request.replace("@PORT@", &listens);
        let (answer, port) = wire::exchange(self.address, request.as_bytes());
        self.port.store(port, Ordering::Relaxed);
        let mut upstream = std::mem::take(&mut *self.seen.lock().expect("seen"));
        let fields = upstream.iter_mut().flat_map(|message| message.fields.values_mut());
        fields.flatten().for_each(|value| *value = value.replace(&listens, "PORT"));
        Outcome { answer: portless(answer, self.address), upstream }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The proxies listen on different ports, which must not count as a difference.
fn portless(mut answer: Answer, address: SocketAddr) -> Answer {
    let port = address.port().to_string();
    for message in &mut answer.responses {
        message.body = message.body.replace(&port, "PORT");
        message
            .fields
            .values_mut()
            .flatten()
            .for_each(|value| *value = value.replace(&port, "PORT"));
    }
    answer
}

/// Remembers each request and answers by its path: `/status/N`, `/chunked`, `/close`, `/interim`,
/// `/broken`, `/slow` (after a second), or 200 with a few bytes.
fn upstream(seen: Arc<Mutex<Vec<Message>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let seen = Arc::clone(&seen);
            thread::spawn(move || serve(stream, &seen));
        }
    });
    address
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Message>>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..length]);
        while let Some(message) = wire::take(&mut bytes, false, false) {
            let path = message.start.split(' ').nth(1).unwrap_or_default().to_owned();
            let is_head = message.start.starts_with("HEAD ");
            seen.lock().expect("seen").push(message);
            let (text, ends) = respond(&path, is_head);
            if stream.write_all(text.as_bytes()).is_err() || ends {
                return;
            }
        }
    }
}

fn respond(path: &str, is_head: bool) -> (String, bool) {
    let plain = |status: &str, body: &str| {
        let body_sent = if is_head { "" } else { body };
        format!(
            "HTTP/1.1 {status}\r\nX-Up: yes\r\nContent-Length: {}\r\n\r\n{body_sent}",
            body.len()
        )
    };
    match path.split('?').next().unwrap_or_default() {
        "/status/204" => ("HTTP/1.1 204 No Content\r\nx-up: yes\r\n\r\n".into(), false),
        "/status/304" => ("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".into(), false),
        "/status/503" => (plain("503 Service Unavailable", "not now"), false),
        "/chunked" => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            (format!("{head}3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nx-trailer: t\r\n\r\n"), false)
        }
        path if path.ends_with("/grpc") => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n";
            let frames = "\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01d";
            (format!("{head}content-length: {}\r\n\r\n{frames}", frames.len()), false)
        }
        "/close" => ("HTTP/1.1 200 OK\r\n\r\nuntil the end".into(), true),
        "/closing" => {
            ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye".into(), true)
        }
        "/interim" => (format!("HTTP/1.1 100 Continue\r\n\r\n{}", plain("200 OK", "after")), false),
        "/slow" => {
            thread::sleep(Duration::from_secs(1));
            (plain("200 OK", "late"), false)
        }
        "/broken" => ("HTTP/1.1 2x0 What\r\n\r\n".into(), true),
        "/silent" => (String::new(), true),
        "x:443" => ("HTTP/1.1 200 OK\r\nx-up: yes\r\n\r\nfrom inside".into(), true),
        "/ws" => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
            (format!("{head}Upgrade: websocket\r\n\r\nfrom inside"), false)
        }
        "/hang" => (String::new(), false),
        "/large" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-large: ";
            (format!("{head}{}\r\n\r\n", "a".repeat(3 * 1024)), false)
        }
        "/many" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n";
            (format!("{head}{}\r\n", "x-a: b\r\n".repeat(30)), false)
        }
        "/both" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n";
            (format!("{head}\r\n3\r\nabc\r\n0\r\n\r\n"), false)
        }
        "/short" => ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".into(), true),
        "/hop" => (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\n\
             Server: mine\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
                .into(),
            false,
        ),
        _ => (plain("200 OK", "hello"), false),
    }
}
