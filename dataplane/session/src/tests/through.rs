//! Ways of a TCP proxy to its upstream: through an HTTP proxy, by another address; and its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    Cluster, Endpoint, Endpoints, Format, Part, TcpProxy, Terminal, UpstreamProtocol,
};

use super::fixture::{Proxy, cluster, echo, nobody, on_both, upstream, weighted};
use crate::Counter;

fn proxy(tunnel: Option<&str>, max_duration: Option<Duration>) -> Terminal {
    let parts = |text: &str| vec![Part::Text(text.as_bytes().into())];
    Terminal::Tcp(Arc::new(TcpProxy {
        stat_prefix: "tcp".into(),
        clusters: vec![weighted(0, 1)],
        total_weight: 1,
        idle_timeout: None,
        tunnel: tunnel.map(|host| Format { parts: parts(host) }),
        max_duration,
        jitter_percent: 0.0,
        max_connect_attempts: 1,
        hash_source: false,
        access_log: Vec::new(),
    }))
}

/// What has to come before anything else is asked first; nothing of the client's gets ahead of it.
fn asking(pieces: &'static [&'static str]) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        let expected = b"CONNECT inside:443 HTTP/1.1\r\nhost: inside:443\r\n\r\n";
        let mut asked = vec![0; expected.len()];
        stream.read_exact(&mut asked).expect("asked");
        assert_eq!(asked, expected);
        for piece in pieces {
            stream.write_all(piece.as_bytes()).expect("answered");
            std::thread::sleep(Duration::from_millis(10));
        }
        echo(stream);
    }
}

#[test]
fn bytes_pass_through_an_http_proxy_once_it_agrees() {
    on_both(|which| {
        let answers: [&'static [&'static str]; 3] = [
            &["HTTP/1.1 200 OK\r\n\r\nhello"],
            &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Fine\r\nx: y\r\n\r\n", "hello"],
            &["HTTP/1.1 20", "0 OK\r\ncontent-length: 7\r\n", "\r\nhel", "lo"],
        ];
        for answer in answers {
            let to = vec![cluster(0, &[upstream(asking(answer))])];
            let proxy = Proxy::start(which, proxy(Some("inside:443"), None), to);
            let mut client = proxy.connect();
            client.write_all(b"early").expect("sent");
            let mut back = [0; 10];
            client.read_exact(&mut back).expect("both");
            assert_eq!(&back, b"helloearly");
            drop(client);
            proxy.settles(0, 0);
        }
    });
}

#[test]
fn an_http_proxy_that_refuses_ends_the_connection() {
    on_both(|which| {
        let answers: [&'static [&'static str]; 3] = [
            &["HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"],
            &["HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"],
            &["whatever\r\n\r\n"],
        ];
        for answer in answers {
            let to = vec![cluster(0, &[upstream(asking(answer))])];
            let proxy = Proxy::start(which, proxy(Some("inside:443"), None), to);
            let mut client = proxy.connect();
            assert!(!matches!(client.read(&mut [0]), Ok(1..)), "{answer:?}");
            proxy.settles(0, 0);
            assert_eq!(proxy.counters.get(Counter::UpstreamConnectFail), 1);
        }
        // A host that would become another line is asked for nothing, and so is a proxy that
        // expects HTTP/2.
        let to = cluster(0, &[upstream(echo)]);
        let modern = Cluster { protocol: UpstreamProtocol::Http2, ..to.clone() };
        for (host, to) in [("a b", to), ("inside:443", modern)] {
            let proxy = Proxy::start(which, proxy(Some(host), None), vec![to]);
            assert!(!matches!(proxy.connect().read(&mut [0]), Ok(1..)));
            proxy.settles(0, 0);
        }
    });
}

#[test]
fn another_address_of_the_host_is_tried() {
    on_both(|which| {
        let mut to = cluster(0, &[]);
        let others = Some([nobody(), upstream(echo)].into());
        let hosts = vec![Endpoint { others, ..Endpoint::new(nobody()) }];
        to.endpoints = Arc::new(Endpoints { version: 1, hosts, ..Endpoints::default() });
        let proxy = Proxy::start(which, proxy(None, None), vec![to]);
        let mut client = proxy.connect();
        client.write_all(b"ping").expect("sent");
        let mut back = [0; 4];
        client.read_exact(&mut back).expect("echoed");
        assert_eq!(&back, b"ping");
        drop(client);
        proxy.settles(0, 0);
        assert_eq!(proxy.counters.get(Counter::UpstreamConnectFail), 0);
        assert_eq!(proxy.finish().open, 1, "the listener alone");
    });
}

#[test]
fn a_host_of_which_no_address_answers_fails_once() {
    on_both(|which| {
        let mut to = cluster(0, &[]);
        let others = Some([nobody(), nobody()].into());
        let hosts = vec![Endpoint { others, ..Endpoint::new(nobody()) }];
        to.endpoints = Arc::new(Endpoints { version: 1, hosts, ..Endpoints::default() });
        let proxy = Proxy::start(which, proxy(None, None), vec![to]);
        assert!(!matches!(proxy.connect().read(&mut [0]), Ok(1..)));
        proxy.settles(0, 0);
        assert_eq!(proxy.counters.get(Counter::UpstreamConnectFail), 1);
    });
}

#[test]
fn a_connection_ends_with_its_time_however_busy_it_is() {
    on_both(|which| {
        let limit = Some(Duration::from_millis(200));
        let to = vec![cluster(0, &[upstream(echo)])];
        let proxy = Proxy::start(which, proxy(None, limit), to);
        let mut client = proxy.connect();
        while client.write_all(b"x").is_ok() && matches!(client.read(&mut [0]), Ok(1)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        proxy.settles(0, 0);
    });
}
