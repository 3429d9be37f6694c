//! The upstream of a proxy: it remembers each request and answers by its path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::wire::{self, Message};

/// Starts one on a port of its own.
pub(crate) fn start(seen: Arc<Mutex<Vec<Message>>>) -> SocketAddr {
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
            seen.lock().expect("seen").push(message.clone());
            let (text, ends) = respond(&message);
            if stream.write_all(text.as_bytes()).is_err() || ends {
                return;
            }
        }
    }
}

/// Answers by their paths, whatever is asked, and whether the connection ends with them.
const FIXED: &[(&str, &str, bool)] = &[
    ("/status/204", "HTTP/1.1 204 No Content\r\nx-up: yes\r\n\r\n", false),
    ("/status/304", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n", false),
    (
        "/chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nx-trailer: t\r\n\r\n",
        false,
    ),
    ("/close", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true),
    ("/closing", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye", true),
    ("/broken", "HTTP/1.1 2x0 What\r\n\r\n", true),
    ("/silent", "", true),
    ("/hang", "", false),
    ("/stall", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nstart", false),
    ("/short", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", true),
    (
        "/both",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\n\r\n",
        false,
    ),
    (
        "/hop",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Server: mine\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        false,
    ),
    (
        "/server",
        "HTTP/1.1 200 OK\r\nServer: origin\r\nVia: 1.1 origin\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n",
        false,
    ),
    (
        "/limited",
        "HTTP/1.1 429 Too Many Requests\r\nx-envoy-ratelimited: true\r\n\
         content-length: 0\r\n\r\n",
        false,
    ),
    ("x:443", "HTTP/1.1 200 OK\r\nx-up: yes\r\n\r\nfrom inside", true),
    (
        "/ws",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
         from inside",
        false,
    ),
];

/// The answer's bytes, and whether the connection ends with them.
fn respond(request: &Message) -> (String, bool) {
    let target = request.start.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    if let Some((_, answer, ends)) = FIXED.iter().find(|(fixed, ..)| *fixed == path) {
        return ((*answer).to_owned(), *ends);
    }
    let is_head = request.start.starts_with("HEAD ");
    let plain = |status: &str, body: &str| {
        let sent = if is_head { "" } else { body };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nX-Up: yes\r\nContent-Length: {length}\r\n\r\n{sent}")
    };
    let empty = |fields: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n");
    let text = match path {
        "/status/503" => plain("503 Service Unavailable", "not now"),
        "/interim" => format!("HTTP/1.1 100 Continue\r\n\r\n{}", plain("200 OK", "after")),
        path if path.ends_with("/grpc") => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n";
            let frames = "\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01d";
            format!("{head}content-length: {}\r\n\r\n{frames}", frames.len())
        }
        "/slow" => {
            thread::sleep(Duration::from_secs(1));
            plain("200 OK", "late")
        }
        "/large" => empty(&format!("x-large: {}\r\n", "a".repeat(3 * 1024))),
        "/many" => empty(&"x-a: b\r\n".repeat(30)),
        // For those who count their attempts the first is bad.
        "/second" => match request.fields.get("x-envoy-attempt-count") {
            Some(count) if *count == ["1"] => plain("503 Service Unavailable", "first"),
            _ => plain("200 OK", "second"),
        },
        _ => match (path.strip_prefix("/status/"), path.strip_prefix("/grpc/")) {
            (Some(status), _) => plain(&format!("{status} So"), "so"),
            (_, Some(status)) => {
                empty(&format!("content-type: application/grpc\r\ngrpc-status: {status}\r\n"))
            }
            _ => plain("200 OK", "hello"),
        },
    };
    (text, false)
}
