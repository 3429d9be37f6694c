//! However bytes are cut on their way, the outcome is one: every position of a few requests and
//! responses, through a live proxy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use config::snapshot::{RouteAction, Terminal};
use ring::start::Which;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, on_both, read_message, route, upstream,
};

/// Requests, the second ones behind the first in the same bytes.
const REQUESTS: [&str; 7] = [
    "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0a;e=\"v\"\r\n\
     0123456789\r\n0\r\nx-trailer: t\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
    "\r\nGET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
];

/// Long enough for the first part to be read by itself, mostly.
const PAUSE: Duration = Duration::from_micros(300);

fn split(stream: &mut TcpStream, bytes: &[u8], at: usize) {
    stream.set_nodelay(true).expect("no delay");
    // The proxy may have closed at what it has read.
    let _ = stream.write_all(&bytes[..at]);
    if at > 0 && at < bytes.len() {
        thread::sleep(PAUSE);
    }
    let _ = stream.write_all(&bytes[at..]);
}

/// A message without what is different each time.
fn plain((head, body): (String, Vec<u8>)) -> String {
    let changing = ["date: ", "x-request-id: ", "x-envoy-upstream-service-time: "];
    let lines = head.lines().filter(|line| !changing.iter().any(|name| line.starts_with(name)));
    format!("{}|{}", lines.collect::<Vec<_>>().join("\n"), String::from_utf8_lossy(&body))
}

fn start(which: Which, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Proxy {
    let all = route("/", RouteAction::Forward(forward(&[(0, 1)])));
    let terminal = Terminal::Http(Arc::new(manager(vec![all])));
    Proxy::start(which, terminal, vec![cluster(0, &[upstream(serve)])])
}

/// The answers on one connection, as many as there are requests, and whether it ended then.
fn ask(proxy: &Proxy, request: &str, at: usize) -> Vec<String> {
    let mut stream = proxy.connect();
    split(&mut stream, request.as_bytes(), at);
    let count = request.matches(" HTTP/1.1\r\n").count();
    let answers = (0..count).map_while(|_| read_message(&mut stream)).map(plain);
    answers.collect()
}

#[test]
fn any_split_of_requests_has_the_same_answers() {
    on_both(|which| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let serve = move |mut stream: TcpStream| {
            while let Some(message) = read_message(&mut stream) {
                note.lock().expect("seen").push(plain(message));
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                    return;
                }
            }
        };
        let proxy = start(which, serve);
        for request in REQUESTS {
            let outcome = |at| {
                let answers = ask(&proxy, request, at);
                // Of a body that breaks off, the upstream sees what it happens to see.
                let seen = std::mem::take(&mut *seen.lock().expect("seen"));
                assert!(!answers.is_empty(), "{request:?} split at {at} has no answer");
                (answers, seen)
            };
            let whole = outcome(0);
            for at in 1..request.len() {
                assert_eq!(outcome(at), whole, "{request:?} split at {at}");
            }
        }
        proxy.settles_down(0);
    });
}

/// What an upstream answers, and what the client is to be told: status and body.
const RESPONSES: [(&str, &str, &str); 7] = [
    ("HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 5\r\n\r\nhello", "200", "hello"),
    (
        "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n5\r\nhello\r\n0\r\n\
         x-trailer: t\r\n\r\n",
        "201",
        "abchello",
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "200",
        "ok",
    ),
    ("HTTP/1.1 204 No Content\r\nX-Up: 1\r\n\r\n", "204", ""),
    ("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", "304", ""),
    ("HTTP/1.0 200 OK\r\n\r\nuntil the end", "200", "until the end"),
    ("HTTP/1.1 2x0 What\r\n\r\n", "502", ""),
];

#[test]
fn any_split_of_a_response_is_forwarded_the_same() {
    on_both(|which| {
        let next = Arc::new(Mutex::new((0, 0)));
        let told = Arc::clone(&next);
        let serve = move |mut stream: TcpStream| {
            while read_message(&mut stream).is_some() {
                let (which, at) = *told.lock().expect("told");
                let response = RESPONSES[which].0;
                split(&mut stream, response.as_bytes(), at);
                if response.starts_with("HTTP/1.0") {
                    return;
                }
            }
        };
        let proxy = start(which, serve);
        for (which, (response, status, body)) in RESPONSES.iter().enumerate() {
            let outcome = |at| {
                *next.lock().expect("told") = (which, at);
                let mut client = proxy.connect();
                client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
                plain(read_message(&mut client).expect("an answer"))
            };
            let whole = outcome(0);
            assert!(whole.starts_with(&format!("HTTP/1.1 {status} ")), "{whole}");
            assert!(whole.ends_with(&format!("|{body}")) || *status == "502", "{whole}");
            for at in 1..response.len() {
                assert_eq!(outcome(at), whole, "{response:?} split at {at}");
            }
        }
        proxy.settles_down(0);
    });
}

#[test]
fn any_split_around_an_upgrade_loses_no_byte() {
    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\
        Upgrade: websocket\r\n\r\nfrom client";
    const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
        Upgrade: websocket\r\n\r\nfrom server";
    on_both(|which| {
        let next = Arc::new(Mutex::new(0));
        let told = Arc::clone(&next);
        let serve = move |mut stream: TcpStream| {
            if read_message(&mut stream).is_none() {
                return;
            }
            let at = *told.lock().expect("told");
            split(&mut stream, AGREED, at);
            let mut bytes = [0; 11];
            if stream.read_exact(&mut bytes).is_ok() {
                let _ = stream.write_all(&bytes);
            }
        };
        let proxy = start(which, serve);
        for (request_at, response_at) in
            (0..ASKED.len()).map(|at| (at, 0)).chain((0..AGREED.len()).map(|at| (0, at)))
        {
            *next.lock().expect("told") = response_at;
            let mut client = proxy.connect();
            split(&mut client, ASKED, request_at);
            let (head, _) = read_message(&mut client).expect("an answer");
            assert!(head.starts_with("HTTP/1.1 101 "), "{request_at} {response_at}: {head}");
            let mut tunnelled = [0; 22];
            client.read_exact(&mut tunnelled).expect("the tunnel's bytes");
            let text = String::from_utf8_lossy(&tunnelled);
            assert_eq!(text, "from serverfrom client", "{request_at} {response_at}");
        }
        proxy.settles_down(0);
    });
}

#[test]
fn a_served_connection_is_as_good_after_any_split() {
    on_both(|which| {
        let proxy = start(which, answer("a"));
        let mut stream = proxy.connect();
        let request = "POST /kept HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        for at in 0..request.len() {
            split(&mut stream, request.as_bytes(), at);
            let (_, body) = read_message(&mut stream).expect("the connection is kept");
            assert_eq!(body, b"a|POST /kept HTTP/1.1|abc", "split at {at}");
        }
    });
}
