//! A worker that drains finishes what it has begun, and nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{RouteAction, Terminal};

use super::fixture::{Proxy, cluster, forward, manager, on_both, read_message, route, upstream};

const BODY: usize = 8 << 20;

/// Answers late and at length.
fn late(mut stream: TcpStream) {
    while read_message(&mut stream).is_some() {
        thread::sleep(Duration::from_millis(200));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&vec![b'x'; BODY]);
    }
}

#[test]
fn the_last_answer_arrives_whole_and_says_that_it_is() {
    on_both(|which| {
        let routes = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
        let terminal = Terminal::Http(Arc::new(manager(routes)));
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(late)])]);
        let (mut busy, mut idle) = (proxy.connect(), proxy.connect());
        busy.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        thread::sleep(Duration::from_millis(50));
        proxy.drain();
        assert_eq!(idle.read(&mut [0; 1]).expect("an end"), 0, "idle ones end at once");
        // Whoever reads slowly gets all of it nevertheless.
        thread::sleep(Duration::from_millis(500));
        assert!(!proxy.has_finished(), "the worker has left its answer behind");
        let (head, body) = read_message(&mut busy).expect("an answer");
        assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
        assert_eq!(body.len(), BODY);
        assert_eq!(busy.read(&mut [0; 1]).expect("an end"), 0);
        drop(busy);
        let begun = Instant::now();
        while !proxy.has_finished() {
            assert!(begun.elapsed() < Duration::from_secs(5), "the worker does not finish");
            thread::sleep(Duration::from_millis(10));
        }
        let left = proxy.finish();
        assert_eq!((left.downs, left.ups, left.streams, left.open), (0, 0, 0, 0), "{left:?}");
    });
}

/// A connection that was busy when the drain began ends with its answer, not with its idle time.
#[test]
fn an_answer_that_had_begun_ends_its_connection() {
    on_both(|which| {
        let halting = |mut stream: TcpStream| {
            while read_message(&mut stream).is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
                thread::sleep(Duration::from_millis(300));
                let _ = stream.write_all(b"lt");
            }
        };
        let routes = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
        let terminal = Terminal::Http(Arc::new(manager(routes)));
        let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(halting)])]);
        let mut busy = proxy.connect();
        busy.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        thread::sleep(Duration::from_millis(100));
        proxy.drain();
        let (_, body) = read_message(&mut busy).expect("an answer");
        assert_eq!(body, b"halt");
        busy.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
        assert_eq!(busy.read(&mut [0; 1]).expect("an end"), 0);
    });
}
