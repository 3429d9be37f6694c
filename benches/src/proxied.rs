//! Whole requests through a real worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use config::swap::Published;
use session::{Control, Counters, Worker, WorkerSpec};

use crate::mesh;
use crate::script::{Script, Scripted};

/// A worker between the script's client and its upstream.
pub struct Proxied {
    script: Rc<Script>,
    worker: Worker<Scripted>,
    /// Frees snapshots; the worker reads from it.
    _published: Published,
}

impl Proxied {
    /// A worker with this file in force, on this script.
    #[must_use]
    pub fn new(yaml: &str, script: Script) -> Self {
        let script = Rc::new(script);
        let published = Published::new(mesh::compile(yaml).0);
        let spec = WorkerSpec {
            index: 0,
            workers: 1,
            reader: published.reader(),
            control: Arc::new(Control::default()),
            counters: Arc::new(Counters::default()),
            wall: SystemTime::UNIX_EPOCH,
            seed: 7,
        };
        let driver = Scripted::new(Rc::clone(&script)).expect("epoll");
        Self { script, worker: Worker::new(driver, spec), _published: published }
    }

    /// A worker for HTTP, with answers of 1 KiB.
    #[must_use]
    pub fn http(yaml: &str) -> Self {
        Self::new(yaml, script(mesh::REQUEST, &mesh::answer()))
    }

    /// A worker for TCP, with 64 bytes each way.
    #[must_use]
    pub fn tcp() -> Self {
        Self::new(&mesh::plain_tcp(), script(&[b'q'; 64], &[b'a'; 64]))
    }

    /// Serves so many requests.
    pub fn serve(&mut self, requests: u64) {
        self.script.left.set(requests);
        // The script fails when it has nothing more to say, and so the loop ends.
        let _ = self.worker.run();
        assert_eq!(self.script.left.get(), 0, "the script is stuck");
    }
}

fn script(request: &[u8], answer: &[u8]) -> Script {
    let (request, answer) = (request.to_vec(), answer.to_vec());
    Script { request, answer, left: Cell::new(0), got: None }
}

/// Serves so many requests and says what the client and the upstream got.
#[must_use]
pub fn transcript(yaml: &str, request: &[u8], answer: &[u8], requests: u64) -> [Vec<u8>; 2] {
    let got = Some([RefCell::default(), RefCell::default()]);
    let mut proxied = Proxied::new(yaml, Script { got, ..script(request, answer) });
    proxied.serve(requests);
    match &proxied.script.got {
        Some(got) => [got[0].take(), got[1].take()],
        None => Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::transcript;
    use crate::mesh;

    /// Requests of a transcript; the second finds the upstream connected already.
    const REQUESTS: u64 = 3;

    #[test]
    fn what_is_counted_is_a_served_request() {
        for yaml in [mesh::plain_http(), mesh::busy_http()] {
            let answer = mesh::answer();
            let [down, up] = transcript(&yaml, mesh::REQUEST, &answer, REQUESTS);
            let (down, up) = (String::from_utf8_lossy(&down), String::from_utf8_lossy(&up));
            assert_eq!(down.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{down}");
            assert_eq!(down.matches(&"x".repeat(mesh::ANSWER_BODY_BYTES)).count(), 3, "{down}");
            assert_eq!(up.matches("GET /api/reviews/1?lang=en HTTP/1.1\r\n").count(), 3, "{up}");
            assert_eq!(up.matches("x-b3-sampled: 0\r\n").count(), 3, "{up}");
        }
    }

    #[test]
    fn what_is_counted_is_a_round_trip() {
        let [down, up] = transcript(&mesh::plain_tcp(), b"question", b"answer", REQUESTS);
        assert_eq!(String::from_utf8_lossy(&up), "question".repeat(3));
        assert_eq!(String::from_utf8_lossy(&down), "answer".repeat(3));
    }
}
