//! `tcp_proxy` end to end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::fixture::{Proxy, cluster, echo, nobody, on_both, pattern, tcp_proxy, upstream};
use crate::Counter;

#[test]
fn bytes_pass_both_ways() {
    on_both(|which| {
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(echo)])]);
        let mut client = proxy.connect();
        for length in [1, 100, 5_000, 70_000] {
            let sent = pattern(length);
            client.write_all(&sent).expect("sent");
            let mut back = vec![0; length];
            client.read_exact(&mut back).expect("echoed");
            assert!(back == sent, "{length} bytes came back changed");
        }
        drop(client);
        proxy.settles(0, 0);
    });
}

/// A stream that is long and fast is handed to the kernel, and not a byte is lost on the way.
#[test]
fn bulk_is_relayed_by_the_kernel() {
    on_both(|which| {
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(echo)])]);
        let sent = pattern(48 << 20);
        let mut client = proxy.connect();
        let mut writer = client.try_clone().expect("a clone");
        let copy = sent.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&copy).expect("sent");
            writer.shutdown(Shutdown::Write).expect("finished");
        });
        let mut back = Vec::new();
        client.read_to_end(&mut back).expect("echoed");
        writing.join().expect("written");
        assert!(back == sent, "{} of {} bytes, or changed ones", back.len(), sent.len());
        proxy.settles(0, 0);
        assert!(proxy.counters.get(Counter::RelayedBytes) > 0, "no relay began");
    });
}

#[test]
fn half_close_passes_and_the_answer_still_comes() {
    on_both(|which| {
        let late = |mut stream: TcpStream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("all of it");
            stream.write_all(format!("{} bytes", all.len()).as_bytes()).expect("answered");
        };
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(late)])]);
        let mut client = proxy.connect();
        client.write_all(&pattern(10_000)).expect("sent");
        client.shutdown(Shutdown::Write).expect("finished");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert_eq!(answer, "10000 bytes");
        proxy.settles(0, 0);
    });
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    on_both(|which| {
        let greeter = |mut stream: TcpStream| stream.write_all(b"welcome").expect("greeted");
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(greeter)])]);
        let mut text = String::new();
        proxy.connect().read_to_string(&mut text).expect("greeted");
        assert_eq!(text, "welcome");
        proxy.settles(0, 0);
    });
}

#[test]
fn an_upstream_that_refuses_closes_the_client() {
    on_both(|which| {
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[nobody()])]);
        let mut bytes = Vec::new();
        // A reset or an end: both say that nobody is there.
        let _ = proxy.connect().read_to_end(&mut bytes);
        assert!(bytes.is_empty());
        proxy.settles(0, 0);
        assert_eq!(proxy.counters.get(Counter::UpstreamConnectFail), 1);
    });
}

/// A reader that stops reading stops the writer, not the worker, and bounds what is held.
#[test]
fn a_slow_reader_holds_the_writer_back() {
    on_both(|which| {
        let slow = |mut stream: TcpStream| {
            thread::sleep(std::time::Duration::from_millis(300));
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("all of it");
            stream.write_all(&(all.len() as u64).to_be_bytes()).expect("answered");
        };
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(slow)])]);
        let mut client = proxy.connect();
        client.write_all(&pattern(16 << 20)).expect("sent");
        client.shutdown(Shutdown::Write).expect("finished");
        let mut length = [0; 8];
        client.read_exact(&mut length).expect("answered");
        assert_eq!(u64::from_be_bytes(length), 16 << 20);
        proxy.settles(0, 0);
    });
}
